//! Receipts: which fault was in force when, and what proves it.

use std::collections::BTreeMap;

use crate::check::measure::Moment;
use crate::check::taps::Taps;
use crate::check::{Bound, BoundFrom, CheckResult, FaultReceipt, Verdict};
use crate::fault::{FaultId, FaultKind, Injection, Order, Stage};
use crate::history::What;
use crate::history::log::History;
use crate::names::{Endpoint, ProcessName, Store};
use crate::scenario::Scenario;
use crate::time::{Instant, Span};

/// All parts of all faults, by fault and part.
pub(super) type Faults<'a> = BTreeMap<(FaultId, u16), Part<'a>>;

/// The onset of one part of a fault, and its heal where it has one.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub onset: Half<'a>,
    pub heal: Half<'a>,
}

#[derive(Debug, Default)]
pub(super) struct Half<'a> {
    pub injection: Option<&'a Injection>,
    pub ordered: Option<Instant>,
    pub done: Option<Done<'a>>,
    pub unproved: Option<&'a str>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Done<'a> {
    pub effective: Moment,
    pub lateness: Span,
    pub proof: &'a str,
}

pub(super) fn collect(history: &History) -> Faults<'_> {
    let mut faults = Faults::new();
    for event in &history.events {
        match &event.ev {
            What::FaultOrdered { order } => {
                let half = half_of(&mut faults, order);
                half.ordered.get_or_insert(event.at);
            }
            What::FaultDone { order, effective, lateness, proof } => {
                let effective = Moment::new(effective.0, effective.1);
                let done = Done { effective, lateness: *lateness, proof };
                half_of(&mut faults, order).done.get_or_insert(done);
            }
            What::FaultUnproved { order, reason } => {
                half_of(&mut faults, order).unproved.get_or_insert(reason);
            }
            _ => {}
        }
    }
    faults
}

fn half_of<'f, 'a>(faults: &'f mut Faults<'a>, order: &'a Order) -> &'f mut Half<'a> {
    let part = faults.entry((order.fault, order.part)).or_default();
    let half = match order.stage {
        Stage::Onset => &mut part.onset,
        Stage::Heal => &mut part.heal,
    };
    half.injection.get_or_insert(&order.injection);
    half
}

impl Part<'_> {
    /// For a fault that goes on until it is healed: from the onset's earliest effect to the heal's
    /// latest, or to the end of what is judged.
    pub fn lasting(&self, until: Instant) -> Option<Moment> {
        let onset = self.onset.done?.effective;
        self.onset.injection.filter(|injection| needs_heal(injection))?;
        let end = self.heal.done.map_or(until, |heal| heal.effective.hi);
        Some(Moment { lo: onset.lo, hi: end.max(onset.hi) })
    }

    /// Why the part is not proved, if it is not.
    fn doubt(&self) -> Option<String> {
        let lacks = |half: &Half<'_>, stage: &str| match (half.done, half.unproved, half.injection) {
            (Some(_), ..) | (None, None, None) => None,
            (None, Some(reason), _) => Some(format!("its {stage} is not proved: {reason}")),
            (None, None, Some(_)) => Some(format!("its {stage} was ordered and never confirmed")),
        };
        if self.onset.injection.is_none() {
            return Some("it was healed and never begun".to_owned());
        }
        lacks(&self.onset, "onset").or_else(|| lacks(&self.heal, "heal")).or_else(|| {
            let unhealed = self.onset.injection.is_some_and(needs_heal) && self.heal.injection.is_none();
            unhealed.then(|| "it was never healed".to_owned())
        })
    }
}

/// Whether what the injection does goes on until it is undone.
fn needs_heal(injection: &Injection) -> bool {
    match injection {
        Injection::Pause { .. }
        | Injection::StoreDown { .. }
        | Injection::ClockStep { .. }
        | Injection::ClockDrift { .. }
        | Injection::Throttle { .. }
        | Injection::Misconfigure { .. }
        | Injection::Toxic { .. } => true,
        Injection::Trouble { trouble } => trouble.lasts(),
        Injection::Signal { .. }
        | Injection::Stop { .. }
        | Injection::Start { .. }
        | Injection::Resume { .. }
        | Injection::StoreUp { .. }
        | Injection::ClockReset { .. }
        | Injection::ClearToxic { .. }
        | Injection::Unthrottle { .. }
        | Injection::Reconfigure { .. }
        | Injection::OutOfMemory { .. }
        | Injection::TroubleOver { .. }
        | Injection::DeleteKeys { .. } => false,
    }
}

/// Whether it breaks connections, or lets commands hang.
pub(super) const fn cuts(injection: &Injection) -> bool {
    matches!(injection, Injection::StoreDown { .. } | Injection::Toxic { .. } | Injection::Trouble { .. })
}

pub(super) fn receipts(scenario: &Scenario, faults: &Faults<'_>, taps: &Taps<'_>) -> Vec<FaultReceipt> {
    let tapped = |fault, proof: &str| match taps.proof(fault) {
        Some(tap) => format!("{tap}; {proof}"),
        None => proof.to_owned(),
    };
    let part_receipt = |(&(fault, part), halves): (&(FaultId, u16), &Part<'_>)| FaultReceipt {
        fault,
        part,
        kind: kind_of(scenario, fault).to_owned(),
        target: halves.onset.injection.or(halves.heal.injection).map_or_else(String::new, target_of),
        requested_ns: halves.onset.ordered.map(Instant::as_nanos),
        effective_ns: halves.onset.done.map(|done| done.effective.hi.as_nanos()),
        lateness_ns: halves.onset.done.map(|done| done.lateness.as_nanos()),
        healed_ns: halves.heal.done.map(|done| done.effective.hi.as_nanos()),
        confirmed: doubt(fault, halves, taps).is_none(),
        proof: match (halves.onset.done, halves.onset.unproved) {
            (Some(done), _) => tapped(fault, done.proof),
            (None, Some(reason)) => tapped(fault, &format!("none: {reason}")),
            (None, None) => tapped(fault, "none"),
        },
        heal_proof: match (halves.heal.done, halves.heal.unproved) {
            (Some(done), _) => Some(done.proof.to_owned()),
            (None, reason) => reason.map(|reason| format!("none: {reason}")),
        },
    };
    let never_fired = |fault: FaultId| FaultReceipt {
        fault,
        part: 0,
        kind: kind_of(scenario, fault).to_owned(),
        target: String::new(),
        requested_ns: None,
        effective_ns: None,
        lateness_ns: None,
        healed_ns: None,
        confirmed: false,
        proof: match taps.silence(scenario, fault) {
            Some(silence) => format!("none: it never fired; {silence}"),
            None => "none: it never fired".to_owned(),
        },
        heal_proof: None,
    };
    let mut receipts: Vec<_> = faults.iter().map(part_receipt).collect();
    receipts.extend(unfired(scenario, faults).map(never_fired));
    receipts.sort_by_key(|receipt| (receipt.fault, receipt.part));
    receipts
}

/// The check's name.
pub(super) const CONFIRMED: &str = "faults_confirmed";

/// Why the part is not proved, or not to have come while its command was held, if it is not.
fn doubt(fault: FaultId, halves: &Part<'_>, taps: &Taps<'_>) -> Option<String> {
    let effective = halves.onset.done.map(|done| done.effective.hi);
    halves.doubt().or_else(|| taps.doubt(fault, effective))
}

/// No proof, no pass: a fault without its receipt makes the scenario inconclusive.
pub(super) fn check(scenario: &Scenario, faults: &Faults<'_>, taps: &Taps<'_>) -> CheckResult {
    let mut doubts: Vec<String> = unfired(scenario, faults)
        .map(|fault| {
            let why = taps.silence(scenario, fault).unwrap_or_else(|| "its trigger did not come".to_owned());
            format!("fault {} ({}) never fired: {why}", fault.0, kind_of(scenario, fault))
        })
        .collect();
    doubts.extend(faults.iter().filter_map(|(&(fault, part), halves)| {
        let doubt = doubt(fault, halves, taps)?;
        let target = halves.onset.injection.or(halves.heal.injection).map_or_else(String::new, target_of);
        Some(format!("fault {}.{part} ({} of {target}): {doubt}", fault.0, kind_of(scenario, fault)))
    }));
    let total = receipts(scenario, faults, taps).len();
    let note = match (doubts.first(), total) {
        (Some(first), _) if doubts.len() > 1 => format!("{first}; and {} more.", doubts.len() - 1),
        (Some(first), _) => format!("{first}."),
        (None, 0) => "The scenario injects no fault.".to_owned(),
        (None, _) => "Every fault took effect and was healed, each with its proof.".to_owned(),
    };
    CheckResult {
        name: CONFIRMED.to_owned(),
        verdict: if doubts.is_empty() { Verdict::Pass } else { Verdict::Inconclusive },
        measured: format!("{} of {total}", total - doubts.len().min(total)),
        bound: Bound { min: Some(total as f64), max: None },
        bound_from: BoundFrom::Harness,
        note,
        stalled: false,
    }
}

fn unfired<'s>(scenario: &'s Scenario, faults: &'s Faults<'_>) -> impl Iterator<Item = FaultId> + 's {
    let fired = |id: FaultId| faults.range((id, 0)..=(id, u16::MAX)).next().is_some();
    scenario.faults.iter().map(|fault| fault.id).filter(move |id| !fired(*id))
}

pub(super) fn kind_of(scenario: &Scenario, id: FaultId) -> &'static str {
    let Some(fault) = scenario.faults.get(usize::from(id.0)) else { return "unknown" };
    match &fault.kind {
        FaultKind::Trouble { trouble, .. } => trouble.name(),
        FaultKind::Kill { .. } => "kill",
        FaultKind::Stop { .. } => "stop",
        FaultKind::Restart { .. } => "restart",
        FaultKind::Pause { .. } => "pause",
        FaultKind::Pauses { .. } => "pauses",
        FaultKind::ScaleToZero { .. } => "scale_to_zero",
        FaultKind::Outage { .. } => "outage",
        FaultKind::ClockStep { .. } => "clock_step",
        FaultKind::ClockDrift { .. } => "clock_drift",
        FaultKind::Misconfigure { .. } => "misconfigure",
        FaultKind::Throttle { .. } => "throttle_cpu",
        FaultKind::OutOfMemory { .. } => "out_of_memory",
        FaultKind::ClockStrobe { .. } => "clock_strobe",
        FaultKind::CrashLoop { .. } => "crash_loop",
        FaultKind::Network { .. } => "network",
        FaultKind::DeleteKeys { .. } => "delete_keys",
    }
}

/// Whether the injection stands between the process and the store: the store is down, the link is
/// disturbed, or the process does not run.
pub(super) fn stands_between(injection: &Injection, process: &ProcessName, store: Option<Store>) -> bool {
    match injection {
        Injection::StoreDown { store: down, .. } => store.is_none_or(|store| store == *down),
        Injection::Toxic { links, .. } => links.iter().any(|link| {
            let reaches = match &link.to {
                Endpoint::Store(to) => store.is_none_or(|store| store == *to),
                Endpoint::Process(_) => false,
            };
            reaches && link.from == *process
        }),
        Injection::Pause { process: struck }
        | Injection::Throttle { process: struck, .. }
        | Injection::Misconfigure { process: struck, .. } => struck == process,
        Injection::Trouble { trouble } => {
            trouble.lasts() && !trouble.moves_clock() && store.is_none_or(|store| store == trouble.store())
        }
        _ => false,
    }
}

fn target_of(injection: &Injection) -> String {
    match injection {
        Injection::StoreDown { store, .. } | Injection::StoreUp { store, .. } => store.to_string(),
        Injection::Toxic { links, .. } | Injection::ClearToxic { links, .. } => {
            links.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Injection::DeleteKeys { keys } => keys.join(", "),
        Injection::Trouble { trouble } | Injection::TroubleOver { trouble } => trouble.store().to_string(),
        other => other.process().map_or_else(String::new, ToString::to_string),
    }
}
