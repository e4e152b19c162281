//! Faults that are on one thing at the same time, so that they cannot be healed one by one.
//!
//! Only faults whose times can be compared are: two with the same event as their trigger, or two at
//! given times. Whether an event comes before a given time is the run's affair.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::{candidates, selected};
use crate::fault::trouble::Trouble;
use crate::fault::wire::Wire;
use crate::fault::{Fault, FaultKind, JobRef, LinkSelector, OutageKind, Signal, Target, Trigger};
use crate::names::{Endpoint, JobId, ProcessName, Store};
use crate::scenario::Fleet;
use crate::scenario::decode::Placed;
use crate::scenario::diagnostic::{Code, Report};
use crate::time::{Scale, Span};

/// Reports each fault that overlaps with an earlier one of the list.
pub(super) fn check(faults: &[Placed<Fault>], fleet: &Fleet, scale: Scale, report: &mut Report<'_>) {
    let mut held: BTreeMap<Thing, Vec<(usize, Window)>> = BTreeMap::new();
    for (position, fault) in faults.iter().enumerate() {
        let Claim { things, window } = claim(&fault.value, fleet);
        let clash = things.iter().find_map(|thing| {
            let (earlier, first) = held.get(thing)?.iter().find(|(_, first)| first.meets(&window))?;
            Some((faults[*earlier].place, first.clone(), thing))
        });
        if let Some((place, first, thing)) = clash {
            let line = report.line(place);
            let message = format!("this overlaps with the fault on line {line}: both are on {thing}");
            let hint = match first.end {
                Some(end) => format!(
                    "that one takes {}: let this one begin after its end",
                    scale.to_model(end - first.start)
                ),
                None => "that one never ends: give it `restart_after` or `for`, or leave one out".into(),
            };
            report
                .add(Code::Overlap, fault.place, message)
                .label("the two cannot be healed one by one")
                .hint(hint);
        }
        for thing in things {
            held.entry(thing).or_default().push((position, window.clone()));
        }
    }
}

/// What a fault holds, and when.
struct Claim {
    things: Vec<Thing>,
    window: Window,
}

/// What only one fault at a time can be on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Process(ProcessName),
    Clock(ProcessName),
    Link(ProcessName, Endpoint),
    Store(Store),
    /// Whoever holds this job; none: the trigger's job.
    Holder(Option<JobId>),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(name) => name.fmt(f),
            Self::Clock(name) => write!(f, "the clock of {name}"),
            Self::Link(from, to) => write!(f, "the link {from} -> {to}"),
            Self::Store(store) => store.fmt(f),
            Self::Holder(None) => f.write_str("the holder of the same job"),
            Self::Holder(Some(id)) => write!(f, "the holder of {id}"),
        }
    }
}

/// From `start` to `end` (`None`: for ever) after an origin.
#[derive(Debug, Clone)]
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
    Unanswered { watch: String, times: u32 },
    Beat { process: Option<ProcessName>, from: Span },
    Wire(Wire),
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
            Trigger::Unanswered { watch, times, after } => {
                (Origin::Unanswered { watch: watch.clone(), times: *times }, *after, *after)
            }
            Trigger::Beat { process, from, after } => {
                (Origin::Beat { process: process.clone(), from: *from }, *after, *after)
            }
            Trigger::Wire(wire) => (Origin::Wire(wire.clone()), Span::ZERO, Span::ZERO),
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
    let (mut things, lasting) = match &fault.kind {
        // A signal that does not end a process by itself holds nothing.
        FaultKind::Kill { signal: Signal::Hup | Signal::Usr1 | Signal::Usr2, .. }
        | FaultKind::DeleteKeys { .. } => (Vec::new(), Some(Span::ZERO)),
        FaultKind::OutOfMemory { target, restart_after, .. }
        | FaultKind::Kill { target, restart_after, .. }
        | FaultKind::Stop { target, restart_after, .. } => (on_process(target, fleet), *restart_after),
        FaultKind::Restart { target, grace } => (on_process(target, fleet), Some(*grace)),
        FaultKind::Throttle { target, lasting, .. }
        | FaultKind::Misconfigure { target, lasting, .. }
        | FaultKind::Pause { target, lasting } => (on_process(target, fleet), Some(*lasting)),
        FaultKind::Pauses { target, lasting, gap, count } => {
            let round = lasting.max() + gap.max();
            (on_process(target, fleet), Some(round.saturating_mul(u64::from(*count))))
        }
        FaultKind::CrashLoop { target, runs_for, restart_after, count } => {
            let all = (*runs_for + *restart_after).saturating_mul(u64::from(*count));
            (on_process(target, fleet), Some(all))
        }
        FaultKind::ScaleToZero { role, lasting } => {
            (on_process(&Target::Role(role.clone()), fleet), *lasting)
        }
        FaultKind::Trouble { trouble, .. } if !trouble.lasts() => (Vec::new(), Some(Span::ZERO)),
        FaultKind::Trouble {
            trouble: Trouble::ClockStep { store, .. } | Trouble::ClockDrift { store, .. },
            lasting,
        } => (vec![Thing::Clock(ProcessName::new(store.as_str()))], *lasting),
        FaultKind::Trouble { trouble, lasting } => (vec![Thing::Store(trouble.store())], *lasting),
        FaultKind::Outage { store, how, lasting } => (on_store(*store, *how, fleet), Some(*lasting)),
        FaultKind::ClockStep { target, lasting, .. } | FaultKind::ClockDrift { target, lasting, .. } => {
            (on_clock(target, fleet), *lasting)
        }
        FaultKind::ClockStrobe { target, lasting, .. } => (on_clock(target, fleet), Some(*lasting)),
        FaultKind::Network { links, lasting, .. } => {
            // Of a choice among several links, which one is known only in the run.
            let is_certain = links.from.as_ref().is_none_or(|from| {
                matches!(from, Target::Process(_) | Target::Role(_)) || candidates(from, fleet).count() == 1
            });
            let links = if is_certain { selected(links, fleet) } else { Vec::new() };
            (links.into_iter().map(|(from, to)| Thing::Link(from, to)).collect(), Some(*lasting))
        }
    };
    let window = Window::of(&fault.when, lasting);
    if !matches!(window.origin, Origin::StepDone { .. } | Origin::Claimed { .. }) {
        // Without a job's event, the holder of any job is somebody else each time.
        things.retain(|thing| *thing != Thing::Holder(None));
    }
    Claim { things, window }
}

/// The processes that the fault is on for certain.
fn on_process(target: &Target, fleet: &Fleet) -> Vec<Thing> {
    let mut names: Vec<Thing> = candidates(target, fleet).cloned().map(Thing::Process).collect();
    match target {
        Target::Process(_) | Target::Role(_) => {}
        Target::HolderOf(job) if names.len() != 1 => {
            names = vec![Thing::Holder(match job {
                JobRef::Any => None,
                JobRef::Job(id) => Some(id.clone()),
            })];
        }
        Target::AnyOf(_) if names.len() != 1 => names.clear(),
        Target::AnyOf(_) | Target::HolderOf(_) => {}
    }
    names
}

fn on_clock(target: &Target, fleet: &Fleet) -> Vec<Thing> {
    let clocks = on_process(target, fleet).into_iter().map(|thing| match thing {
        Thing::Process(name) => Thing::Clock(name),
        other => other,
    });
    clocks.collect()
}

/// The store, and its links where the outage is on them.
fn on_store(store: Store, how: OutageKind, fleet: &Fleet) -> Vec<Thing> {
    let mut things = vec![Thing::Store(store)];
    if how == OutageKind::Refuse {
        let to = Some(Endpoint::Store(store));
        let links = selected(&LinkSelector { from: None, to }, fleet);
        things.extend(links.into_iter().map(|(from, to)| Thing::Link(from, to)));
    }
    things
}
