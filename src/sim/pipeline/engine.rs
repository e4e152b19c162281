//! The loop: the next event, from three queues, and what it does.
//!
//! Beats and queries come at constant intervals as a rule, and wait in a lane each; all else waits in the
//! agenda. Of one instant, the agenda's events come first, then beats, then queries.

use super::draw::Draw;
use super::lane::Lane;
use super::outcome::Outcome;
use super::record::Record;
use super::settings::{Asks, Pipeline, Schedule, Spells};
use super::spell::Source;
use crate::dist::{Distribution, Random};
use crate::sim::agenda::Agenda;
use crate::time::{Instant, Span};

const NEVER: u64 = u64::MAX;

pub(super) fn run(pipeline: &Pipeline, span: Span, seed: u64) -> Outcome {
    // The end of time stands for no event, and is never reached.
    let end = span.as_nanos().min(NEVER - 1);
    let mut engine = Engine::new(pipeline, end, seed);
    engine.run();
    engine.record.end(end)
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Delivery { worker: u32, stamp: u64 },
    Beat { worker: u32 },
    Poll { worker: u32 },
    Retry { worker: u32, asked: u32 },
    Sweep,
    Expiry { worker: u32 },
    Crash { worker: u32 },
    OutageStarts,
}

struct Engine<'a> {
    pipeline: &'a Pipeline,
    end: u64,
    beats: Lane,
    polls: Lane,
    agenda: Agenda<Event>,
    /// When the agenda's next event is due.
    agenda_at: u64,
    workers: Vec<Worker>,
    /// The store answers again then.
    out_until: u64,
    links: Random,
    delay: Draw,
    /// If it is not always zero.
    late: Option<Draw>,
    lateness: Random,
    ask_after: Option<Draw>,
    asking: Random,
    pauses: Option<Source>,
    crashes: Option<Source>,
    outages: Option<Source>,
    /// With a checker that asks all the time: when each worker's next `Expiry` is due.
    watched: Vec<u64>,
    record: Record,
}

/// What each event touches: four to a cache line.
#[derive(Debug, Clone)]
struct Worker {
    /// The store's record of its last beat is good up to and including this instant.
    fresh_until: u64,
    /// One of the three below: a query is not answered by `fresh_until` alone.
    odd: bool,
    suspected: bool,
    /// A query is being retried.
    asking: bool,
    down: bool,
    /// Sweeps in a row.
    found_dead: u32,
}

impl<'a> Engine<'a> {
    fn new(pipeline: &'a Pipeline, end: u64, seed: u64) -> Self {
        let count = pipeline.workers;
        let mut phases = Random::stream(seed, "phases");
        let beat_phases: Vec<u64> =
            (0..count).map(|_| phases.below(pipeline.beat.every.as_nanos())).collect();
        let ask_after = match &pipeline.checker.asks {
            Asks::Always => None,
            Asks::Each(every) | Asks::Together(every) => Some(Draw::new(every)),
        };
        let mut asking = Random::stream(seed, "asking");
        let polls = match (&pipeline.checker.asks, &ask_after) {
            (Asks::Each(_), Some(after)) => {
                let mut first: Vec<u64> = (0..count).map(|_| phases.below(after.draw(&mut asking))).collect();
                // Workers are alike: numbered in the order of their polls, they lie in memory as they are asked.
                first.sort_unstable();
                first.into_iter().zip(0..).collect()
            }
            _ => Vec::new(),
        };
        let source = |spells: &Option<Spells>, stream, count| {
            spells.as_ref().map(|spells| Source::new(spells, seed, stream, count))
        };
        let faults = &pipeline.faults;
        let late = &pipeline.beat.late;
        let mut engine = Self {
            pipeline,
            end,
            beats: Lane::new(Vec::new(), 0),
            polls: Lane::new(polls, count),
            agenda: Agenda::new(),
            agenda_at: NEVER,
            workers: Vec::new(),
            out_until: 0,
            links: Random::stream(seed, "links"),
            delay: Draw::new(&pipeline.link.delay),
            late: (*late != Distribution::Constant(Span::ZERO)).then(|| Draw::new(late)),
            lateness: Random::stream(seed, "lateness"),
            ask_after,
            asking,
            pauses: source(&faults.pauses, "pauses", count),
            crashes: source(&faults.crashes, "crashes", count),
            outages: source(&faults.outages, "outages", 1),
            watched: vec![NEVER; count as usize],
            record: Record::new(count),
        };
        engine.workers = beat_phases.iter().map(|phase| engine.fresh_worker(*phase)).collect();
        engine.schedule_the_first(&beat_phases);
        engine
    }

    /// One whose last beat arrived an interval before its first is due.
    fn fresh_worker(&self, phase: u64) -> Worker {
        let fresh_until = self.lifetime(phase, phase).saturating_sub(self.pipeline.beat.every.as_nanos());
        Worker { fresh_until, odd: false, suspected: false, asking: false, down: false, found_dead: 0 }
    }

    /// Until when a beat counts that was written at `stamp` and arrived at `at`.
    #[inline]
    fn lifetime(&self, at: u64, stamp: u64) -> u64 {
        let ends =
            |limit: Option<Span>, from: u64| limit.map_or(NEVER, |span| from.saturating_add(span.as_nanos()));
        ends(self.pipeline.expiry.ttl, at).min(ends(self.pipeline.expiry.age, stamp))
    }

    fn schedule_the_first(&mut self, beat_phases: &[u64]) {
        let mut beats = Vec::with_capacity(beat_phases.len());
        for (worker, phase) in (0..).zip(beat_phases) {
            if let Asks::Always = self.pipeline.checker.asks {
                self.watch(0, worker);
            }
            let crash = self.crashes.as_ref().map(|crashes| crashes.next(worker));
            if let Some(crash) = crash {
                self.schedule(crash.start, Event::Crash { worker });
            }
            match crash.filter(|crash| crash.start <= *phase) {
                Some(crash) => self.schedule(crash.end, Event::Beat { worker }),
                None => beats.push((*phase, worker)),
            }
        }
        beats.sort_unstable();
        self.beats = Lane::new(beats, self.pipeline.workers);
        if let (Asks::Together(_), Some(after)) = (&self.pipeline.checker.asks, &self.ask_after) {
            let every = after.draw(&mut self.asking);
            let at = self.asking.below(every);
            self.schedule(at, Event::Sweep);
        }
        if let Some(outages) = &self.outages {
            let at = outages.next(0).start;
            self.schedule(at, Event::OutageStarts);
        }
    }

    #[inline]
    fn schedule(&mut self, at: u64, event: Event) {
        self.agenda_at = self.agenda_at.min(at);
        self.agenda.push(Instant::from_nanos(at), event);
    }

    fn run(&mut self) {
        let mut events = 0_u64;
        loop {
            let (beat_at, poll_at) = (self.beats.next_at(), self.polls.next_at());
            if self.agenda_at.min(beat_at).min(poll_at) >= self.end {
                break;
            }
            events += 1;
            if self.agenda_at <= beat_at && self.agenda_at <= poll_at {
                self.next_of_the_agenda();
            } else if beat_at <= poll_at {
                let (at, worker) = self.beats.pop();
                self.beat(at, worker);
            } else {
                let (at, worker) = self.polls.pop();
                self.poll(at, worker);
            }
        }
        self.record.outcome.events = events;
    }

    fn next_of_the_agenda(&mut self) {
        let Some((at, event)) = self.agenda.pop() else { return };
        self.agenda_at = self.agenda.next_at().map_or(NEVER, Instant::as_nanos);
        let at = at.as_nanos();
        match event {
            Event::Delivery { worker, stamp } => self.deliver(at, worker, stamp),
            Event::Beat { worker } => self.beat(at, worker),
            Event::Poll { worker } => self.poll(at, worker),
            Event::Retry { worker, asked } => self.ask(at, worker, asked),
            Event::Sweep => self.sweep(at),
            Event::Expiry { worker } => self.expire(at, worker),
            Event::Crash { worker } => {
                self.workers[worker as usize].down = true;
                self.record.crash(at, worker);
            }
            Event::OutageStarts => self.start_outage(),
        }
    }

    #[inline]
    fn beat(&mut self, at: u64, worker: u32) {
        if self.workers[worker as usize].down {
            self.restart(at, worker);
        }
        let mut written = at;
        if let Some(late) = &self.late {
            written = written.saturating_add(late.draw(&mut self.lateness));
        }
        if let Some(pauses) = &mut self.pauses {
            written = pauses.skip(worker, written);
        }
        let every = self.pipeline.beat.every.as_nanos();
        let mut next = match self.pipeline.beat.schedule {
            Schedule::FixedRate if written - at < every => at.saturating_add(every),
            Schedule::FixedRate => at.saturating_add(((written - at) / every + 1).saturating_mul(every)),
            Schedule::FixedDelay => written.saturating_add(every),
        };
        let mut crashed = false;
        if let Some(crashes) = &self.crashes {
            let crash = crashes.next(worker);
            crashed = crash.start <= written;
            if crash.start <= next {
                next = crash.end;
            }
        }
        if !crashed && written < self.end {
            self.record.outcome.beats += 1;
            self.send(written, worker);
        }
        // Regular beats fall due in the order in which they are scheduled.
        if next - at == every {
            self.beats.push(next, worker);
        } else {
            self.schedule(next, Event::Beat { worker });
        }
    }

    #[inline]
    fn send(&mut self, written: u64, worker: u32) {
        let loss = self.pipeline.link.loss_ppm;
        if loss > 0 && self.links.below(1_000_000) < u64::from(loss) {
            self.record.outcome.lost += 1;
            return;
        }
        let at = written.saturating_add(self.delay.draw(&mut self.links));
        self.schedule(at, Event::Delivery { worker, stamp: written });
    }

    #[inline]
    fn deliver(&mut self, at: u64, worker: u32, stamp: u64) {
        if at < self.out_until {
            self.record.outcome.refused += 1;
            return;
        }
        self.record.outcome.delivered += 1;
        let fresh_until = self.lifetime(at, stamp);
        let state = &mut self.workers[worker as usize];
        state.fresh_until = fresh_until;
        if let Asks::Always = self.pipeline.checker.asks {
            if state.suspected && at <= fresh_until {
                state.suspected = false;
                self.record.trust(at, worker);
            }
            self.watch(at, worker);
        }
    }

    #[cold]
    fn restart(&mut self, at: u64, worker: u32) {
        self.workers[worker as usize].down = false;
        self.record.restart(at, worker);
        if let Some(crashes) = &mut self.crashes {
            let crash = crashes.after(worker, at);
            self.schedule(crash.start, Event::Crash { worker });
        }
    }

    #[inline]
    fn poll(&mut self, at: u64, worker: u32) {
        self.query(at, worker);
        match &self.ask_after {
            // Then regular, as beats are.
            Some(Draw::Constant(every)) => self.polls.push(at.saturating_add(*every), worker),
            Some(after) => {
                let next = at.saturating_add(after.draw(&mut self.asking).max(1));
                self.schedule(next, Event::Poll { worker });
            }
            None => {}
        }
    }

    fn sweep(&mut self, at: u64) {
        (0..self.pipeline.workers).for_each(|worker| self.query(at, worker));
        if let Some(after) = &self.ask_after {
            let next = at.saturating_add(after.draw(&mut self.asking).max(1));
            self.schedule(next, Event::Sweep);
        }
    }

    #[inline]
    fn query(&mut self, at: u64, worker: u32) {
        let state = &self.workers[worker as usize];
        if at <= state.fresh_until && !state.odd && at >= self.out_until {
            self.record.outcome.polls += 1;
        } else if !state.asking {
            self.ask(at, worker, 0);
        }
    }

    /// A query that has been made `asked` times before.
    #[inline(never)]
    fn ask(&mut self, at: u64, worker: u32, asked: u32) {
        self.record.outcome.polls += 1;
        let checker = &self.pipeline.checker;
        let state = &mut self.workers[worker as usize];
        state.asking = false;
        if at < self.out_until {
            // No answer says nothing of the worker.
        } else if at <= state.fresh_until {
            state.found_dead = 0;
            if std::mem::take(&mut state.suspected) {
                self.record.trust(at, worker);
            }
        } else if !state.suspected {
            state.asking = asked < checker.retries;
            if !state.asking {
                state.found_dead += 1;
                if state.found_dead >= checker.sweeps {
                    state.found_dead = 0;
                    state.suspected = true;
                    self.record.suspect(at, worker);
                }
            }
        }
        state.odd = state.suspected || state.asking || state.found_dead > 0;
        if state.asking {
            let next = at.saturating_add(checker.backoff.as_nanos());
            self.schedule(next, Event::Retry { worker, asked: asked + 1 });
        }
    }

    /// Sees to it that the expiry of what the store holds of the worker is an event.
    fn watch(&mut self, at: u64, worker: u32) {
        let state = &self.workers[worker as usize];
        let due = state.fresh_until.saturating_add(self.patience()).saturating_add(1).max(at);
        let watched = &mut self.watched[worker as usize];
        if !state.suspected && due < *watched {
            *watched = due;
            self.schedule(due, Event::Expiry { worker });
        }
    }

    fn expire(&mut self, at: u64, worker: u32) {
        let watched = &mut self.watched[worker as usize];
        if *watched != at {
            return;
        }
        *watched = NEVER;
        let state = &self.workers[worker as usize];
        if at <= state.fresh_until.saturating_add(self.patience()) {
            self.watch(at, worker);
        } else if at < self.out_until {
            self.watched[worker as usize] = self.out_until;
            self.schedule(self.out_until, Event::Expiry { worker });
        } else {
            self.workers[worker as usize].suspected = true;
            // The end of the record's time is still part of it; the suspicion begins with it all the same.
            self.record.suspect(at - 1, worker);
        }
    }

    fn patience(&self) -> u64 {
        let checker = &self.pipeline.checker;
        checker.backoff.saturating_mul(u64::from(checker.retries)).as_nanos()
    }

    fn start_outage(&mut self) {
        if let Some(outages) = &mut self.outages {
            self.out_until = outages.next(0).end;
            let next = outages.after(0, self.out_until);
            self.schedule(next.start, Event::OutageStarts);
        }
    }
}
