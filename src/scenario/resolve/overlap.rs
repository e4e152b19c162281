//! Faults that are on one thing at the same time, so that they cannot be healed one by one.
//!
//! Only faults whose times can be compared are: two with the same event as their trigger, or two at
//! given times. Whether an event comes before a given time is the run's affair.

use super::fault::{candidates, selected};
use crate::fault::{Fault, FaultKind, JobRef, OutageKind, Signal, Target, Trigger};
use crate::names::{Endpoint, ProcessName, Store};
use crate::scenario::Fleet;
use crate::scenario::decode::Placed;
use crate::scenario::diagnostic::{Code, Diagnostic, Place, Report};
use crate::time::Span;

/// Reports each fault that overlaps with an earlier one of the list.
pub(super) fn check(faults: &[Placed<Fault>], fleet: &Fleet, report: &mut Report<'_>) {
    let claims: Vec<Claim> = faults.iter().map(|fault| claim(&fault.value, fleet)).collect();
    for (later, second) in claims.iter().enumerate() {
        let clash = claims[..later].iter().enumerate().find_map(|(earlier, first)| {
            let thing = first.shared(second)?;
            first.window.meets(&second.window).then_some((earlier, thing))
        });
        if let Some((earlier, thing)) = clash {
            clash_found(&faults[earlier], &claims[earlier], &faults[later], &thing, report);
        }
    }
}

fn clash_found(
    first: &Placed<Fault>,
    claim: &Claim,
    second: &Placed<Fault>,
    thing: &Thing,
    report: &mut Report<'_>,
) {
    let line = line_of(first.place, report);
    let hint = match claim.window.end {
        Some(end) => {
            format!("let this one begin more than {} after it (wall time)", end - claim.window.start)
        }
        None => "that one never ends: give it `restart_after` or `for`, or leave one of the two out".into(),
    };
    report
        .add(
            Code::Overlap,
            second.place,
            format!("this overlaps with the fault on line {line}: both are on {}", thing.describe()),
        )
        .label("the two cannot be healed one by one")
        .hint(hint);
}

fn line_of(place: Place, report: &Report<'_>) -> usize {
    Diagnostic::new(report.source(), Code::Overlap, place, "").line
}

/// What a fault holds, and when.
struct Claim {
    things: Vec<Thing>,
    window: Window,
}

/// What only one fault at a time can be on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Process(ProcessName),
    Clock(ProcessName),
    Link(ProcessName, Endpoint),
    Store(Store),
    /// Whoever holds this job.
    Holder(JobRef),
}

impl Thing {
    fn describe(&self) -> String {
        match self {
            Self::Process(name) => name.to_string(),
            Self::Clock(name) => format!("the clock of {name}"),
            Self::Link(from, to) => format!("the link {from} -> {to}"),
            Self::Store(store) => store.to_string(),
            Self::Holder(JobRef::Any) => "the holder of the same job".into(),
            Self::Holder(JobRef::Job(id)) => format!("the holder of {id}"),
        }
    }
}

impl Claim {
    fn shared(&self, other: &Self) -> Option<Thing> {
        self.things.iter().find(|thing| other.things.contains(thing)).cloned()
    }
}

/// From `start` to `end` (`None`: for ever) after an origin.
struct Window {
    origin: Origin,
    start: Span,
    end: Option<Span>,
}

/// What times are counted from: comparable only with itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    Workload,
    StepDone { job: JobRef, step: u32, nth: u32 },
    Claimed { job: JobRef, nth: u32 },
    Beat { process: Option<ProcessName>, from: Span },
}

impl Window {
    fn of(when: &Trigger, lasting: Option<Span>) -> Self {
        let (origin, first, last) = match when {
            Trigger::At(at) => (Origin::Workload, *at, *at),
            Trigger::Within { min, max } => (Origin::Workload, *min, *max),
            Trigger::StepDone { job, step, nth, after } => {
                (Origin::StepDone { job: job.clone(), step: *step, nth: *nth }, *after, *after)
            }
            Trigger::Claimed { job, nth, after } => {
                (Origin::Claimed { job: job.clone(), nth: *nth }, *after, *after)
            }
            Trigger::Beat { process, from, after } => {
                (Origin::Beat { process: process.clone(), from: *from }, *after, *after)
            }
        };
        Self { origin, start: first, end: lasting.map(|lasting| last + lasting) }
    }

    fn meets(&self, other: &Self) -> bool {
        self.origin == other.origin
            && self.end.is_none_or(|end| other.start <= end)
            && other.end.is_none_or(|end| self.start <= end)
    }
}

fn claim(fault: &Fault, fleet: &Fleet) -> Claim {
    let (things, lasting) = match &fault.kind {
        // A signal that does not end a process by itself holds nothing.
        FaultKind::Kill { signal: Signal::Hup | Signal::Usr1 | Signal::Usr2, .. }
        | FaultKind::DeleteKeys { .. } => (Vec::new(), Some(Span::ZERO)),
        FaultKind::Kill { target, restart_after, .. } => (on_process(target, fleet), *restart_after),
        FaultKind::Stop { target, restart_after, .. } => (on_process(target, fleet), *restart_after),
        FaultKind::Restart { target, grace } => (on_process(target, fleet), Some(*grace)),
        FaultKind::Pause { target, lasting } => (on_process(target, fleet), Some(*lasting)),
        FaultKind::Pauses { target, lasting, gap, count } => {
            let round = lasting.max() + gap.max();
            (on_process(target, fleet), Some(round.saturating_mul(u64::from(*count))))
        }
        FaultKind::ScaleToZero { role, lasting } => {
            (on_process(&Target::Role(role.clone()), fleet), *lasting)
        }
        FaultKind::Outage { store, how, lasting } => (on_store(*store, *how, fleet), Some(*lasting)),
        FaultKind::ClockStep { target, lasting, .. } | FaultKind::ClockDrift { target, lasting, .. } => {
            let clocks = on_process(target, fleet).into_iter().map(|thing| match thing {
                Thing::Process(name) => Thing::Clock(name),
                other => other,
            });
            (clocks.collect(), *lasting)
        }
        FaultKind::Network { links, lasting, .. } => {
            // Of a choice among several links, which one is known only in the run.
            let is_certain = links.from.as_ref().is_none_or(|from| {
                matches!(from, Target::Process(_) | Target::Role(_)) || candidates(from, fleet).count() == 1
            });
            let links = if is_certain { selected(links, fleet) } else { Vec::new() };
            (links.into_iter().map(|(from, to)| Thing::Link(from, to)).collect(), Some(*lasting))
        }
    };
    Claim { things, window: Window::of(&fault.when, lasting) }
}

/// The processes that the fault is on for certain.
fn on_process(target: &Target, fleet: &Fleet) -> Vec<Thing> {
    let mut names: Vec<Thing> = candidates(target, fleet).cloned().map(Thing::Process).collect();
    match target {
        Target::Process(_) | Target::Role(_) => {}
        Target::HolderOf(job) if names.len() != 1 => names = vec![Thing::Holder(job.clone())],
        Target::AnyOf(_) if names.len() != 1 => names.clear(),
        Target::AnyOf(_) | Target::HolderOf(_) => {}
    }
    names
}

/// The store, and its links where the outage is on them.
fn on_store(store: Store, how: OutageKind, fleet: &Fleet) -> Vec<Thing> {
    let mut things = vec![Thing::Store(store)];
    if how == OutageKind::Refuse {
        let to = Some(Endpoint::Store(store));
        let links = selected(&crate::fault::LinkSelector { from: None, to }, fleet);
        things.extend(links.into_iter().map(|(from, to)| Thing::Link(from, to)));
    }
    things
}
