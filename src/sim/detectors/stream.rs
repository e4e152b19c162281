//! Beats on their way: sent, lost, held up, and arriving in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Pauses, Simulation};
use crate::dist::{Random, Sampler};
use crate::time::{Instant, Span};

pub(super) struct Stream {
    interval: Span,
    count: u64,
    loss_ppm: u32,
    delay: Sampler,
    delays: Random,
    losses: Random,
    stalls: Option<Stalls>,
    /// Arrivals that a later beat may still overtake.
    under_way: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl Stream {
    pub(super) fn new(simulation: &Simulation) -> Self {
        Self {
            interval: simulation.beats.interval,
            count: simulation.count,
            loss_ppm: simulation.beats.loss_ppm,
            delay: simulation.beats.delay.sampler(),
            delays: Random::stream(simulation.seed, "delays"),
            losses: Random::stream(simulation.seed, "losses"),
            stalls: simulation.pauses.as_ref().map(|pauses| Stalls::new(pauses, simulation.seed)),
            under_way: BinaryHeap::new(),
        }
    }

    /// Calls `arrival(sequence, at)` for each beat that arrives before the last one is due, in order.
    pub(super) fn run(&mut self, mut arrival: impl FnMut(u64, Instant)) {
        let mut due = Instant::ZERO;
        for sequence in 0..self.count {
            while let Some(Reverse((at, earlier))) = self.under_way.peek().copied()
                && at <= due
            {
                self.under_way.pop();
                arrival(earlier, at);
            }
            let next_due = due + self.interval;
            if !self.losses.happens_ppm(self.loss_ppm) {
                let leaves = self.stalls.as_mut().map_or(due, |stalls| stalls.leaves(due));
                let at = leaves + self.delay.sample(&mut self.delays);
                // Nothing can overtake it: later beats are sent later than it arrives.
                if at <= next_due && self.under_way.is_empty() {
                    arrival(sequence, at);
                } else {
                    self.under_way.push(Reverse((at, sequence)));
                }
            }
            due = next_due;
        }
        // What arrives after the end is of no interest.
        while let Some(Reverse((at, sequence))) = self.under_way.pop()
            && at <= due
        {
            arrival(sequence, at);
        }
    }
}

/// The pauses, one after the other.
struct Stalls {
    gap: Sampler,
    lasting: Sampler,
    random: Random,
    start: Instant,
    end: Instant,
}

impl Stalls {
    fn new(pauses: &Pauses, seed: u64) -> Self {
        let mut stalls = Self {
            gap: pauses.gap.sampler(),
            lasting: pauses.lasting.sampler(),
            random: Random::stream(seed, "pauses"),
            start: Instant::ZERO,
            end: Instant::ZERO,
        };
        stalls.advance();
        stalls
    }

    /// When a beat that is due at `due` leaves; `due` never goes back.
    fn leaves(&mut self, due: Instant) -> Instant {
        while self.end <= due {
            self.advance();
        }
        if self.start <= due { self.end } else { due }
    }

    fn advance(&mut self) {
        self.start = self.end + self.gap.sample(&mut self.random);
        // At least a nanosecond passes, so that pauses of no length at no distance come to an end.
        self.end = self.start + self.lasting.sample(&mut self.random).max(Span::from_nanos(1));
    }
}
