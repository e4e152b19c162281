//! What a running scenario's line says.

use crate::fault::{Injection, Stage};
use crate::history::{EnqueueOutcome, Event, Phase, What};
use crate::protocol::FleetEvent;
use crate::report::text;

#[derive(Debug, Default)]
pub struct Progress {
    phase: Option<Phase>,
    last_fault: String,
    acknowledged: u64,
    completed: u64,
}

impl Progress {
    /// Takes the event in; what it is worth on a line of its own, if it is.
    pub fn take(&mut self, event: &Event) -> Option<String> {
        match &event.ev {
            What::Phase(phase) => {
                self.phase = Some(*phase);
                matches!(phase, Phase::Inject | Phase::Settle).then(|| phase_name(*phase).to_owned())
            }
            What::FaultDone { order, proof, .. } => {
                let verb = if order.stage == Stage::Onset { "fault" } else { "healed" };
                self.last_fault = format!("{verb}: {}", injection(&order.injection));
                Some(format!("{} ({})", self.last_fault, text::clean(proof, 120)))
            }
            What::FaultUnproved { order, reason } => {
                self.last_fault = format!("not proved: {}", injection(&order.injection));
                Some(format!("{} ({})", self.last_fault, text::clean(reason, 120)))
            }
            What::EnqueueAnswered { outcome: EnqueueOutcome::Acknowledged, .. } => {
                self.acknowledged += 1;
                None
            }
            What::Fleet(FleetEvent::Completed { .. }) => {
                self.completed += 1;
                None
            }
            What::Interrupted => Some("interrupted".to_owned()),
            What::Aborted { reason } => Some(format!("aborted: {}", text::line(reason))),
            _ => None,
        }
    }

    pub fn line(&self) -> String {
        let phase = self.phase.map_or("starting", phase_name);
        let jobs = match self.acknowledged {
            0 => String::new(),
            acknowledged => format!(", {}/{acknowledged} jobs", self.completed),
        };
        let fault = if self.last_fault.is_empty() { String::new() } else { format!(", {}", self.last_fault) };
        format!("{phase}{jobs}{fault}")
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Provision => "bringing up the stack",
        Phase::WarmUp => "warming up",
        Phase::Inject => "workload and faults",
        Phase::Heal => "healing",
        Phase::Settle => "settling",
        Phase::Judge => "judging",
        Phase::TearDown => "removing the stack",
    }
}

fn injection(injection: &Injection) -> String {
    crate::report::timeline::describe(injection)
}
