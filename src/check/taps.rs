//! What the taps have to say of the faults that hang on a command on the wire.

use std::collections::BTreeMap;

use crate::fault::wire::Side;
use crate::fault::{FaultId, Trigger};
use crate::history::What;
use crate::history::log::History;
use crate::history::wire::{Fate, Wiretap};
use crate::names::Link;
use crate::scenario::Scenario;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Taps<'a> {
    caught: BTreeMap<FaultId, Held<'a>>,
    aside: Vec<(&'a Link, &'a str)>,
}

/// That a command was caught, and that it was released.
#[derive(Debug)]
struct Held<'a> {
    caught: &'a Wiretap,
    released: Option<(Instant, &'a Wiretap)>,
}

impl<'a> Taps<'a> {
    pub fn of(history: &'a History) -> Self {
        let mut taps = Self::default();
        for event in &history.events {
            let What::Wire(heard) = &event.ev else { continue };
            match heard {
                Wiretap::Caught { fault, .. } => {
                    taps.caught.entry(*fault).or_insert(Held { caught: heard, released: None });
                }
                Wiretap::Released { fault, .. } => {
                    if let Some(held) = taps.caught.get_mut(fault) {
                        held.released.get_or_insert((event.at, heard));
                    }
                }
                Wiretap::Aside { link, reason } => taps.aside.push((link, reason)),
            }
        }
        taps
    }

    /// What the tap says of the fault, as part of its proof.
    pub fn proof(&self, fault: FaultId) -> Option<String> {
        let Held { caught, released } = self.caught.get(&fault)?;
        let Wiretap::Caught { link, side, nth, command, .. } = caught else { return None };
        let which = format!("{command}, command {nth} of its kind");
        let stood = match side {
            Side::Before => format!("{which}, stood in the proxy on {link} unsent"),
            Side::After => format!("{which}, was carried out; its reply stood in the proxy on {link}"),
        };
        let end = match released {
            Some((_, Wiretap::Released { held, fate, bytes, .. })) => match fate {
                Fate::Passed => format!(" for {held}, then it was passed on"),
                Fate::Lost => format!(" for {held}; its {bytes} bytes were lost with the connection"),
                Fate::Expired => format!(" for {held}, then it had to be passed on"),
            },
            _ => String::new(),
        };
        Some(format!("{stood}{end}"))
    }

    /// Why the fault did not come while its command was held, if it did not.
    pub fn doubt(&self, fault: FaultId, effective: Option<Instant>) -> Option<String> {
        let Some((at, Wiretap::Released { held, fate: Fate::Expired, .. })) =
            &self.caught.get(&fault)?.released
        else {
            return None;
        };
        let late = effective.is_none_or(|effective| effective > *at);
        late.then(|| format!("its command could be held for {held} only, and it was not carried out by then"))
    }

    /// Why its trigger may not have come.
    pub fn silence(&self, scenario: &Scenario, fault: FaultId) -> Option<String> {
        let Trigger::Wire(wire) = &scenario.faults.get(usize::from(fault.0))?.when else { return None };
        let (link, reason) = self.aside.iter().find(|(link, _)| wire.links.contains(link))?;
        Some(format!("the tap on {link} stepped aside: {reason}"))
    }
}
