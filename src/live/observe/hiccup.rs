//! The host's hiccups: how long this machine kept a thread from running that wanted to run.
//!
//! As jHiccup does: a thread sleeps a millisecond, again and again, and measures how late it wakes
//! up. Whatever stalls it (scheduler, hypervisor, a SIGSTOP of the harness) stalls every other
//! measurement of the harness as well. The thread has ordinary priority on purpose.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;

use crate::history::What;
use crate::live::clock;
use crate::live::sink::Sink;
use crate::names::HARNESS;
use crate::time::{Instant, Span};

const INTERVAL: Span = Span::from_millis(1);
/// Stalls beyond this count as this long in the histogram; the events carry the true length.
const STALL_MAX: Span = Span::from_secs(3_600);
const STALL_MIN: Span = Span::from_micros(1);
/// Significant digits of the histogram: within 1%, in some 30 KiB.
const DIGITS: u8 = 2;

/// One per harness; every scenario subscribes.
#[derive(Debug)]
pub struct HiccupMeter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One scenario's view: its events, and its statistics since it subscribed. Ends when dropped.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    number: u64,
}

#[derive(Debug)]
struct Shared {
    recorded_above: Span,
    stopped: AtomicBool,
    subscribers: Mutex<Subscribers>,
}

#[derive(Debug, Default)]
struct Subscribers {
    list: Vec<Subscriber>,
    next_number: u64,
}

#[derive(Debug)]
struct Subscriber {
    number: u64,
    sink: Sink,
    since: Instant,
    stalls: Histogram<u64>,
    /// The longest, exactly.
    max: Span,
}

impl HiccupMeter {
    /// Stalls above `recorded_above` become events.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(recorded_above: Span) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            recorded_above,
            stopped: AtomicBool::new(false),
            subscribers: Mutex::default(),
        });
        let for_thread = Arc::clone(&shared);
        let started = clock::monotonic();
        let thread =
            std::thread::Builder::new().name("hiccups".to_owned()).spawn(move || for_thread.run(started))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    #[must_use]
    pub fn subscribe(&self, sink: Sink) -> Subscription {
        let mut subscribers = self.shared.lock();
        let number = subscribers.next_number;
        subscribers.next_number += 1;
        let subscriber =
            Subscriber { number, sink, since: clock::monotonic(), stalls: histogram(), max: Span::ZERO };
        subscribers.list.push(subscriber);
        drop(subscribers);
        Subscription { shared: Arc::clone(&self.shared), number }
    }
}

impl Drop for HiccupMeter {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Subscription {
    /// The event `HiccupSummary` of the time since the subscription.
    #[must_use]
    pub fn summary(&self) -> What {
        let subscribers = self.shared.lock();
        let mine = subscribers.list.iter().find(|subscriber| subscriber.number == self.number);
        let quantile = |q| mine.map_or(Span::ZERO, |mine| mine.quantile(q));
        What::HiccupSummary {
            samples: mine.map_or(0, |mine| mine.stalls.len()),
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: mine.map_or(Span::ZERO, |mine| mine.max),
            recorded_above: self.shared.recorded_above,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.lock().list.retain(|subscriber| subscriber.number != self.number);
    }
}

impl Shared {
    /// Each sample begins where the last one ended, so that no stall falls between two.
    fn run(&self, mut last: Instant) {
        while !self.stopped.load(Ordering::Relaxed) {
            std::thread::sleep(INTERVAL.to_std());
            let awake = clock::monotonic();
            self.record(awake, awake.since(last + INTERVAL));
            last = awake;
        }
    }

    fn record(&self, at: Instant, stall: Span) {
        for subscriber in &mut self.lock().list {
            // A stall that began before the subscription was another's, as far as it can be told.
            let stall = stall.min(at.since(subscriber.since));
            subscriber.max = subscriber.max.max(stall);
            subscriber.stalls.saturating_record(stall.max(STALL_MIN).as_nanos());
            if stall > self.recorded_above {
                subscriber.sink.send(at, HARNESS.into(), What::Hiccup { stall });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Subscribers> {
        // Nothing panics under the lock that would leave the list in pieces.
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    fn quantile(&self, q: f64) -> Span {
        Span::from_nanos(self.stalls.value_at_quantile(q)).min(self.max)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(STALL_MIN.as_nanos(), STALL_MAX.as_nanos(), DIGITS)
        .expect("the bounds are constants in order")
}
