//! The gates of faults that hang on a command on the wire: armed with the workload's start, opened once the
//! fault has been carried out.

use crate::backend::Action;
use crate::fault::wire::Side;
use crate::fault::{FaultId, FaultKind, Trigger};
use crate::history::wire::Wiretap;
use crate::history::{Event, What};
use crate::names::ProcessName;
use crate::run::faults::FaultRun;
use crate::run::targets::Targets;
use crate::scenario::Scenario;
use crate::time::Span;

/// What a gate holds is held for so long at most, wall time, and for as long as the fault's own pauses and
/// periods of grace: an order is proved well within that, or not at all.
const HOLD_LIMIT: Span = Span::from_secs(20);
/// A series of pauses goes on for so long at most.
const SERIES_LIMIT: Span = Span::from_secs(120);

/// All of a run.
#[derive(Debug, Default)]
pub struct Gates(Vec<Gate>);

#[derive(Debug)]
struct Gate {
    fault: FaultId,
    side: Side,
    limit: Span,
    /// Whose command it has caught.
    caught: Option<ProcessName>,
    opened: bool,
}

impl Gates {
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let gate = |fault: &crate::fault::Fault| match &fault.when {
            Trigger::Wire(wire) => {
                let limit = HOLD_LIMIT + longest(&fault.kind);
                Some(Gate { fault: fault.id, side: wire.side, limit, caught: None, opened: false })
            }
            _ => None,
        };
        Self(scenario.faults.iter().filter_map(gate).collect())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins to wait for the commands.
    pub fn arm(&self) -> impl Iterator<Item = Action> {
        self.0.iter().map(|gate| Action::ArmGate { fault: gate.fault, limit: gate.limit })
    }

    pub fn observe(&mut self, event: &Event) {
        if let What::Wire(Wiretap::Caught { fault, link, .. }) = &event.ev
            && let Some(gate) = self.0.iter_mut().find(|gate| gate.fault == *fault)
        {
            gate.caught = Some(link.from.clone());
        }
    }

    /// Opens the gates of faults that have been carried out, or will not be.
    pub fn open(&mut self, faults: &[FaultRun], targets: &Targets) -> Vec<Action> {
        let mut actions = Vec::new();
        for gate in self.0.iter_mut().filter(|gate| !gate.opened) {
            let Some(fault) = faults.iter().find(|fault| fault.id() == gate.fault) else { continue };
            // What a paused process was about to send is not sent before it goes on.
            let pausing = |process: &ProcessName| gate.side == Side::Before && fault.is_pausing(process);
            if fault.was_carried_out() && !gate.caught.as_ref().is_some_and(pausing) {
                gate.opened = true;
                let lost = gate.caught.as_ref().is_some_and(|process| !targets.is_up(process));
                actions.push(Action::OpenGate { fault: gate.fault, lost });
            }
        }
        actions
    }
}

/// How long the fault itself may take until what it holds may go on.
fn longest(kind: &FaultKind) -> Span {
    match kind {
        FaultKind::Pause { lasting, .. } => *lasting,
        FaultKind::Pauses { .. } => SERIES_LIMIT,
        FaultKind::Stop { grace, .. }
        | FaultKind::Restart { grace, .. }
        | FaultKind::Misconfigure { grace, .. } => *grace,
        _ => Span::ZERO,
    }
}
