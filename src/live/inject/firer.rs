//! The thread that fires faults on time.
//!
//! tokio's timer is late by a millisecond in the median; this thread sleeps until 60 µs before the
//! due instant and spins the rest, under SCHED_FIFO where that is permitted. It never fires early,
//! and how late it was goes into the receipt.
//!
//! Only what must be precise is done in a job. Everything slow (proofs, engine calls, files) belongs
//! to the runtime, or the next job is late.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::live::clock;
use crate::time::{Instant, Span};

/// The last stretch before a due instant, in which the thread spins instead of sleeping.
const SPIN: Span = Span::from_micros(60);
/// A low priority among the real-time ones: enough to run before every ordinary thread.
const REALTIME_PRIORITY: i32 = 10;

/// When a job was fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired {
    pub at: Instant,
    /// `at` minus the due instant, never negative.
    pub lateness: Span,
}

pub type Job = Box<dyn FnOnce(Fired) + Send>;

/// One per harness. Jobs that are still waiting when it is dropped are dropped unfired.
#[derive(Debug)]
pub struct Firer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Firer {
    /// # Errors
    /// If the thread cannot be started.
    pub fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("firer".to_owned()).spawn(move || {
            prepare_thread();
            for_thread.run();
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Runs `job` on the firer's thread at `at`, or at once if that has passed. Jobs due at the same
    /// instant run in the order of their scheduling.
    pub fn schedule(&self, at: Instant, job: Job) {
        let mut queue = self.shared.lock();
        let number = queue.next_number;
        queue.next_number += 1;
        queue.waiting.push(Waiting { at, number, job });
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl Drop for Firer {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
        let Some(thread) = self.thread.take() else { return };
        // The last owner may be a job, and a thread cannot wait for itself.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BinaryHeap<Waiting>,
    next_number: u64,
    stopped: bool,
}

impl Shared {
    fn run(&self) {
        while let Some(next) = self.next_due() {
            while clock::monotonic() < next.at {
                std::hint::spin_loop();
            }
            let at = clock::monotonic();
            let fired = Fired { at, lateness: at.since(next.at) };
            // A job that panics has no receipt, which makes its scenario inconclusive; the faults of
            // other scenarios must still be fired.
            let _ = catch_unwind(AssertUnwindSafe(|| (next.job)(fired)));
        }
    }

    /// Waits until a job is due within `SPIN`; `None` when the firer was dropped.
    fn next_due(&self) -> Option<Waiting> {
        let mut queue = self.lock();
        loop {
            if queue.stopped {
                return None;
            }
            let wait = queue.waiting.peek().map(|next| (next.at - SPIN).since(clock::monotonic()));
            queue = match wait {
                Some(Span::ZERO) => return queue.waiting.pop(),
                Some(wait) => {
                    self.changed.wait_timeout(queue, wait.to_std()).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No job runs under the lock, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ordered so that the heap's greatest is the earliest.
struct Waiting {
    at: Instant,
    number: u64,
    job: Job,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("at", &self.at).field("number", &self.number).finish_non_exhaustive()
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

/// Makes the calling thread wake up on time, as far as this process may. What is not permitted is
/// left out: the lateness in the receipts tells the truth anyway.
fn prepare_thread() {
    // The kernel may delay an ordinary thread's wake-up by this much; the default is 50 µs.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let parameters = libc::sched_param { sched_priority: REALTIME_PRIORITY };
    // SAFETY: pid 0 is the calling thread; the pointer is to a live, initialised sched_param.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters);
    }
}
