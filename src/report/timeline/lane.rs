//! One process's story: when it ran, what it held, when it beat.

use std::collections::BTreeMap;

use crate::names::{JobId, PRODUCER, Store};
use crate::protocol::FleetEvent;
use crate::report::text;
use crate::report::timeline::Seconds;

#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    pub name: String,
    pub kind: LaneKind,
    /// As they were read; `settle` makes `states` of them.
    pub changes: Vec<(Seconds, Change)>,
    /// Without gaps, in order, from the first that is known.
    pub states: Vec<(State, Seconds, Seconds)>,
    /// Beats, or acknowledged enqueues on the producer's lane.
    pub ticks: Vec<Seconds>,
    pub failed_ticks: Vec<(Seconds, String)>,
    pub jobs: Vec<Held>,
    pub marks: Vec<Mark>,
    /// Claimed and not yet ended: the attempt, and since when.
    open: BTreeMap<JobId, (u32, Seconds)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneKind {
    Producer,
    Process,
    Fleet,
    Store,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Up,
    Down,
    Pause,
    Resume,
    Cut,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    Paused,
    Dead,
    /// Runs, and cannot be reached.
    Cut,
    Unknown,
}

/// A job in a worker's hands.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub job: String,
    pub attempt: u32,
    pub from: Seconds,
    pub to: Seconds,
    pub outcome: Outcome,
}

/// The worst last: it gives merged bars their colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Completed,
    StillHeld,
    AttemptFailed,
    LockLost,
    /// The process ended while it held the job.
    CutOff,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub at: Seconds,
    pub kind: MarkKind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    Suspicion,
    Trusted,
    /// This process ran a sweep that found something.
    Sweep,
}

impl Lane {
    pub(super) fn new(name: &str) -> Self {
        let store = Store::ALL.iter().any(|store| store.as_str() == name);
        let kind = match name {
            PRODUCER => LaneKind::Producer,
            super::FLEET_LANE => LaneKind::Fleet,
            _ if store => LaneKind::Store,
            _ => LaneKind::Process,
        };
        Self {
            name: text::clean(name, 60),
            kind,
            changes: Vec::new(),
            states: Vec::new(),
            ticks: Vec::new(),
            failed_ticks: Vec::new(),
            jobs: Vec::new(),
            marks: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    pub(super) fn said(&mut self, at: Seconds, said: &FleetEvent) {
        match said {
            FleetEvent::Beat { .. } => self.ticks.push(at),
            FleetEvent::BeatFailed { error } => {
                self.failed_ticks.push((at, format!("beat failed: {}", text::clean(error, 120))));
            }
            FleetEvent::Claimed { job, attempt, .. } => {
                self.end(at, job, Outcome::LockLost);
                self.open.insert(job.clone(), (*attempt, at));
            }
            FleetEvent::Completed { job } => self.end(at, job, Outcome::Completed),
            FleetEvent::AttemptFailed { job, .. } => self.end(at, job, Outcome::AttemptFailed),
            FleetEvent::LockLost { job } => self.end(at, job, Outcome::LockLost),
            FleetEvent::Abandoned { job } => self.end(at, job, Outcome::CutOff),
            FleetEvent::Stalled { requeued, failed, .. } => {
                let text = format!("stalled check: {} requeued, {} failed", requeued.len(), failed.len());
                self.marks.push(Mark { at, kind: MarkKind::Sweep, text });
            }
            _ => {}
        }
    }

    /// The process ended: what it held, it holds no more.
    pub(super) fn drop_jobs(&mut self, at: Seconds) {
        for (job, (attempt, from)) in std::mem::take(&mut self.open) {
            self.push_job(&job, attempt, (from, at), Outcome::CutOff);
        }
    }

    /// Closes what is open at the end and cuts everything to the window.
    pub(super) fn settle(&mut self, from: Seconds, to: Seconds) {
        for (job, (attempt, since)) in std::mem::take(&mut self.open) {
            self.push_job(&job, attempt, (since, to), Outcome::StillHeld);
        }
        self.jobs.retain(|held| held.to >= from);
        for held in &mut self.jobs {
            held.from = held.from.max(from);
        }
        self.jobs.sort_by(|a, b| a.from.total_cmp(&b.from));
        self.ticks.retain(|at| *at >= from);
        self.failed_ticks.retain(|(at, _)| *at >= from);
        self.marks.retain(|mark| mark.at >= from);
        self.states = self.fold_states(from, to);
    }

    /// The producer and the fleet's answers on top, then processes in natural order, stores last.
    pub(super) fn order(&self) -> (LaneKind, String, u64, String) {
        let digits = self.name.len() - self.name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, number) = self.name.split_at(self.name.len() - digits);
        (self.kind, stem.to_owned(), number.parse().unwrap_or(0), self.name.clone())
    }

    fn end(&mut self, at: Seconds, job: &JobId, outcome: Outcome) {
        if let Some((attempt, from)) = self.open.remove(job) {
            self.push_job(job, attempt, (from, at), outcome);
        }
    }

    fn push_job(&mut self, job: &JobId, attempt: u32, (from, to): (Seconds, Seconds), outcome: Outcome) {
        self.jobs.push(Held { job: text::clean(job.as_str(), 60), attempt, from, to, outcome });
    }

    fn fold_states(&mut self, from: Seconds, to: Seconds) -> Vec<(State, Seconds, Seconds)> {
        // A proof arrives after its effect: changes are read out of order.
        self.changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut states = Vec::new();
        // Stores are up before anything is recorded of them; so is what was never seen to start.
        let starts = self.changes.iter().any(|(_, change)| *change == Change::Up);
        let mut up = self.kind == LaneKind::Store || (self.kind != LaneKind::Fleet && !starts);
        let mut known = up;
        let mut since = from;
        let mut now = State::Running;
        for &(at, change) in &self.changes {
            up = match change {
                Change::Up => true,
                Change::Down => false,
                _ => up,
            };
            let next = match change {
                // What the fleet is asked through may be dead: its answer is unknown all the same.
                Change::Unknown => State::Unknown,
                _ if !up => State::Dead,
                Change::Pause => State::Paused,
                Change::Cut => State::Cut,
                _ => State::Running,
            };
            let at = at.clamp(from, to);
            if known && next != now {
                push_state(&mut states, now, since, at);
            }
            if !known || next != now {
                (known, now, since) = (true, next, at);
            }
        }
        if known {
            push_state(&mut states, now, since, to);
        }
        states
    }
}

fn push_state(states: &mut Vec<(State, Seconds, Seconds)>, state: State, from: Seconds, to: Seconds) {
    if to > from {
        states.push((state, from, to));
    }
}
