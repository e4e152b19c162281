//! What is true of each worker and what is believed of it, and the counting of both.

use super::outcome::Outcome;
use crate::time::Span;

const NEVER: u64 = u64::MAX;

/// Seldom needed, and so apart from what every event touches.
#[derive(Debug)]
pub(super) struct Record {
    lives: Vec<Life>,
    mistaken: u32,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone)]
struct Life {
    /// The start of the mistake that is going on, or `NEVER`.
    mistaken_since: u64,
    /// The start of the last mistake since the worker came up, or `NEVER`.
    mistaken_last: u64,
    up_since: u64,
    /// The crash it is down from, or `NEVER`.
    crashed_at: u64,
    /// The start of the suspicion that is going on, or `NEVER`.
    suspected_since: u64,
}

impl Record {
    pub(super) fn new(workers: u32) -> Self {
        let life = Life {
            mistaken_since: NEVER,
            mistaken_last: NEVER,
            up_since: 0,
            crashed_at: NEVER,
            suspected_since: NEVER,
        };
        Self { lives: vec![life; workers as usize], mistaken: 0, outcome: Outcome::default() }
    }

    pub(super) fn suspect(&mut self, at: u64, worker: u32) {
        let life = &mut self.lives[worker as usize];
        life.suspected_since = at;
        if life.crashed_at != NEVER {
            return;
        }
        if life.mistaken_last != NEVER {
            self.outcome.recurrence.add(Span::from_nanos(at - life.mistaken_last));
        }
        (life.mistaken_since, life.mistaken_last) = (at, at);
        self.outcome.mistakes += 1;
        self.mistaken += 1;
        self.outcome.mistaken_at_once = self.outcome.mistaken_at_once.max(self.mistaken);
    }

    pub(super) fn trust(&mut self, at: u64, worker: u32) {
        self.lives[worker as usize].suspected_since = NEVER;
        self.end_mistake(at, worker);
    }

    pub(super) fn crash(&mut self, at: u64, worker: u32) {
        self.end_mistake(at, worker);
        self.outcome.crashes += 1;
        let life = &mut self.lives[worker as usize];
        self.outcome.up_ns += u128::from(at - life.up_since);
        life.crashed_at = at;
        life.mistaken_last = NEVER;
    }

    /// A suspicion that outlasts the crash is no mistake of the new life.
    pub(super) fn restart(&mut self, at: u64, worker: u32) {
        if !self.count_detection(worker) {
            self.outcome.missed += 1;
        }
        let life = &mut self.lives[worker as usize];
        life.crashed_at = NEVER;
        life.up_since = at;
    }

    pub(super) fn end(mut self, at: u64) -> Outcome {
        for worker in 0..self.lives.len() as u32 {
            let life = &self.lives[worker as usize];
            if life.crashed_at != NEVER {
                if !self.count_detection(worker) {
                    self.outcome.crashes_open += 1;
                }
                continue;
            }
            self.outcome.up_ns += u128::from(at - life.up_since);
            if life.mistaken_since != NEVER {
                self.outcome.mistakes_open += 1;
                self.outcome.mistaken_ns += u128::from(at - life.mistaken_since);
            }
        }
        self.outcome
    }

    fn end_mistake(&mut self, at: u64, worker: u32) {
        let life = &mut self.lives[worker as usize];
        let since = std::mem::replace(&mut life.mistaken_since, NEVER);
        if since != NEVER {
            self.mistaken -= 1;
            self.outcome.mistaken_ns += u128::from(at - since);
            self.outcome.mistake.add(Span::from_nanos(at - since));
        }
    }

    /// False if the worker, which is down, is not under suspicion.
    fn count_detection(&mut self, worker: u32) -> bool {
        let life = &self.lives[worker as usize];
        if life.suspected_since == NEVER {
            return false;
        }
        if life.suspected_since < life.crashed_at {
            self.outcome.suspected_before += 1;
        } else {
            self.outcome.detection.add(Span::from_nanos(life.suspected_since - life.crashed_at));
        }
        true
    }
}
