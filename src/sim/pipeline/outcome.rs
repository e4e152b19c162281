//! What a simulation counted.

use super::histogram::Histogram;

/// Counts and times, all integers: they add up to the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Scheduled and executed: beats, deliveries, queries, and the faults' starts and ends.
    pub events: u64,
    /// Written by workers.
    pub beats: u64,
    /// On the way.
    pub lost: u64,
    /// Taken by the store.
    pub delivered: u64,
    /// Arrived while the store was out.
    pub refused: u64,
    /// Queries, retries included. None with a checker that asks all the time.
    pub polls: u64,
    /// Of all workers together, in nanoseconds; also while they stand still, but not while they are down.
    pub up_ns: u128,
    /// Of that, the time under suspicion.
    pub mistaken_ns: u128,
    /// Suspicions of a worker that is up.
    pub mistakes: u64,
    /// Of those, still going on at the end, and not among `mistake`.
    pub mistakes_open: u64,
    /// Workers under suspicion at the same time while up, at most.
    pub mistaken_at_once: u32,
    /// How long mistakes lasted (T_M), in nanoseconds; one that a crash ends lasts until then.
    pub mistake: Histogram,
    /// From the start of a mistake to the start of the same worker's next (T_MR), in nanoseconds.
    pub recurrence: Histogram,
    pub crashes: u64,
    /// Crashes of a worker that was under suspicion already, and stayed so. Not among `detection`.
    pub suspected_before: u64,
    /// Crashes after which the worker was back before any suspicion that stayed.
    pub missed: u64,
    /// Crashes of which the end of the simulation came first.
    pub crashes_open: u64,
    /// From a crash to the suspicion that stays (T_D), in nanoseconds.
    pub detection: Histogram,
}

impl Outcome {
    /// Adds what another simulation counted.
    pub fn merge(&mut self, other: &Self) {
        // Taken apart, so that a new count cannot be forgotten.
        let Self {
            events,
            beats,
            lost,
            delivered,
            refused,
            polls,
            up_ns,
            mistaken_ns,
            mistakes,
            mistakes_open,
            mistaken_at_once,
            mistake,
            recurrence,
            crashes,
            suspected_before,
            missed,
            crashes_open,
            detection,
        } = other;
        self.events += events;
        self.beats += beats;
        self.lost += lost;
        self.delivered += delivered;
        self.refused += refused;
        self.polls += polls;
        self.up_ns += up_ns;
        self.mistaken_ns += mistaken_ns;
        self.mistakes += mistakes;
        self.mistakes_open += mistakes_open;
        self.mistaken_at_once = self.mistaken_at_once.max(*mistaken_at_once);
        self.mistake.merge(mistake);
        self.recurrence.merge(recurrence);
        self.crashes += crashes;
        self.suspected_before += suspected_before;
        self.missed += missed;
        self.crashes_open += crashes_open;
        self.detection.merge(detection);
    }

    /// The part of the time that a worker that is up is trusted (P_A), from 0 to 1.
    #[must_use]
    pub fn query_accuracy(&self) -> f64 {
        if self.up_ns == 0 { 1.0 } else { 1.0 - self.mistaken_ns as f64 / self.up_ns as f64 }
    }

    /// Mistakes per worker and second of its time (λ_M).
    #[must_use]
    pub fn mistake_rate(&self) -> f64 {
        if self.up_ns == 0 { 0.0 } else { self.mistakes as f64 * 1e9 / self.up_ns as f64 }
    }
}
