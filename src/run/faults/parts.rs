//! The parts of a fault: one for each process, pause or crash, and how each comes about.

use crate::fault::{Injection, Toxic};
use crate::names::{Link, ProcessName};
use crate::time::{Instant, Span};

/// A fault has fewer parts than its numbers go, on as many processes as there may be.
const ROUNDS_MAX: u32 = 200;

/// One thing that the fault does, and its undoing.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub onset: Injection,
    /// What undoes it, and how long after it took effect; `None` for the length: when the run heals.
    pub heal: Option<(Injection, Option<Span>)>,
    pub progress: Progress,
    /// Begin this part so long after the part before it has healed (a series of pauses).
    pub after_previous: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    Ordered {
        due: Instant,
    },
    /// Carried out (proved or not); the heal, if any, is due at the instant.
    InForce {
        heal_at: Instant,
    },
    HealOrdered {
        due: Instant,
    },
    Done,
}

pub(super) fn per_process(processes: &[ProcessName], part: impl FnMut(&ProcessName) -> Part) -> Vec<Part> {
    processes.iter().map(part).collect()
}

/// `count` equal parts for each process, each `gap` after the undoing of the one before.
pub(super) fn series(
    processes: &[ProcessName],
    count: u32,
    gap: Span,
    one: impl Fn(&ProcessName) -> Part,
) -> Vec<Part> {
    let of = |process| {
        let one = &one;
        (0..count).map(move |index| Part { after_previous: (index > 0).then_some(gap), ..one(process) })
    };
    processes.iter().flat_map(of).collect()
}

/// Whole rounds, there and back, at least one.
pub(super) fn rounds(every: Span, lasting: Span) -> u32 {
    let round = every.saturating_mul(2).as_nanos().max(1);
    u32::try_from(lasting.as_nanos() / round).unwrap_or(u32::MAX).clamp(1, ROUNDS_MAX)
}

pub(super) fn part(onset: Injection, heal: Option<(Injection, Option<Span>)>) -> Part {
    Part { onset, heal, progress: Progress::Waiting, after_previous: None }
}

pub(super) fn start(process: &ProcessName) -> Injection {
    Injection::Start { process: process.clone() }
}

pub(super) fn pause(process: &ProcessName, lasting: Span) -> Part {
    let resume = Injection::Resume { process: process.clone() };
    part(Injection::Pause { process: process.clone() }, Some((resume, Some(lasting))))
}

pub(super) fn network(links: Vec<Link>, toxic: Toxic, lasting: Span) -> Part {
    let clear = Injection::ClearToxic { links: links.clone(), toxic };
    part(Injection::Toxic { links, toxic }, Some((clear, Some(lasting))))
}
