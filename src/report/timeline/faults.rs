//! Faults as bands: from onset to heal, on the lanes that they touch.

use std::collections::BTreeMap;

use crate::check::{FaultReceipt, Judged};
use crate::fault::{FaultId, Injection, Order, Stage};
use crate::history::What;
use crate::history::log::History;
use crate::names::{Endpoint, ProcessName};
use crate::report::text;
use crate::report::timeline::{Clock, Seconds};

#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    pub label: String,
    pub from: Seconds,
    /// The heal, or the end of the picture for what stays; equal to `from` for what has no length.
    pub to: Seconds,
    pub lanes: Vec<ProcessName>,
    /// Onset and heal were proved.
    pub proved: bool,
    pub proof: String,
}

pub(super) fn bands(history: &History, judged: &Judged, clock: Clock, end: Seconds) -> Vec<Band> {
    let mut bands: BTreeMap<(FaultId, u16), Band> = BTreeMap::new();
    for event in &history.events {
        let (order, at, proof, proved) = match &event.ev {
            What::FaultDone { order, effective, proof, .. } => (order, effective.0, proof, true),
            What::FaultUnproved { order, reason } => (order, event.at, reason, false),
            _ => continue,
        };
        let at = clock.seconds(at);
        let key = (order.fault, order.part);
        match order.stage {
            Stage::Onset => {
                let band = bands.entry(key).or_insert_with(|| begin(judged, order, at, end));
                band.proved &= proved;
                band.proof = text::clean(receipt_of(judged, order).map_or(proof, |it| &it.proof), 300);
                merge_lanes(&mut band.lanes, &order.injection);
            }
            Stage::Heal => {
                if let Some(band) = bands.get_mut(&key) {
                    band.to = at.max(band.from).min(end);
                    band.proved &= proved;
                }
            }
        }
    }
    let mut bands: Vec<Band> = bands.into_values().filter(|band| band.from <= end).collect();
    bands.sort_by(|a, b| a.from.total_cmp(&b.from));
    bands
}

fn begin(judged: &Judged, order: &Order, at: Seconds, end: Seconds) -> Band {
    let label = receipt_of(judged, order)
        .map_or_else(|| describe(&order.injection), |fault| text::clean(&text::fault(fault), 70));
    let to = if stays(&order.injection) { end.max(at) } else { at };
    Band { label, from: at, to, lanes: Vec::new(), proved: true, proof: String::new() }
}

/// With what a tap has to say of it, too.
fn receipt_of<'j>(judged: &'j Judged, order: &Order) -> Option<&'j FaultReceipt> {
    judged.faults.iter().find(|fault| fault.fault == order.fault && fault.part == order.part)
}

/// Without a heal, is it still in effect at the end?
fn stays(injection: &Injection) -> bool {
    !matches!(
        injection,
        Injection::Signal { .. }
            | Injection::Stop { .. }
            | Injection::Start { .. }
            | Injection::Resume { .. }
            | Injection::DeleteKeys { .. }
            | Injection::TroubleOver { .. }
            | Injection::Unthrottle { .. }
            | Injection::Reconfigure { .. }
            | Injection::OutOfMemory { .. }
    ) && !matches!(injection, Injection::Trouble { trouble } if !trouble.lasts())
}

fn merge_lanes(lanes: &mut Vec<ProcessName>, injection: &Injection) {
    for lane in touched(injection) {
        if !lanes.contains(&lane) {
            lanes.push(lane);
        }
    }
}

/// A fault on a link is shown at its near end, which is the one that suffers.
fn touched(injection: &Injection) -> Vec<ProcessName> {
    if let Some(process) = injection.process() {
        return vec![process.clone()];
    }
    match injection {
        Injection::StoreDown { store, .. } | Injection::StoreUp { store, .. } => vec![store.as_str().into()],
        Injection::Trouble { trouble } | Injection::TroubleOver { trouble } => {
            vec![trouble.store().as_str().into()]
        }
        Injection::Toxic { links, .. } | Injection::ClearToxic { links, .. } => {
            links.iter().map(|link| link.from.clone()).collect()
        }
        _ => vec![Endpoint::Store(crate::names::Store::Redis).to_string().into()],
    }
}

/// The injection in two or three words.
#[must_use]
pub fn describe(injection: &Injection) -> String {
    let (what, whom) = match injection {
        Injection::Signal { process, .. } => ("signal", process.to_string()),
        Injection::Stop { process, .. } => ("stop", process.to_string()),
        Injection::Start { process } => ("start", process.to_string()),
        Injection::Pause { process } => ("pause", process.to_string()),
        Injection::Resume { process } => ("resume", process.to_string()),
        Injection::StoreDown { store, .. } => ("outage", store.to_string()),
        Injection::StoreUp { store, .. } => ("recovery", store.to_string()),
        Injection::ClockStep { process, .. } => ("clock step", process.to_string()),
        Injection::ClockDrift { process, .. } => ("clock drift", process.to_string()),
        Injection::ClockReset { process } => ("clock reset", process.to_string()),
        Injection::Misconfigure { process, misfit, .. } => {
            ("misconfigure", format!("{process} ({})", misfit.name()))
        }
        Injection::Reconfigure { process, .. } => ("configure rightly", process.to_string()),
        Injection::Throttle { process, .. } => ("throttle", process.to_string()),
        Injection::Unthrottle { process } => ("throttle over", process.to_string()),
        Injection::OutOfMemory { process, .. } => ("out of memory", process.to_string()),
        Injection::Toxic { links, .. } | Injection::ClearToxic { links, .. } => {
            ("network", format!("{} links", links.len()))
        }
        Injection::DeleteKeys { keys } => ("delete keys", format!("({})", keys.len())),
        Injection::Trouble { trouble } | Injection::TroubleOver { trouble } => {
            (trouble.name(), trouble.store().to_string())
        }
    };
    text::clean(&format!("{what} {whom}"), 70)
}
