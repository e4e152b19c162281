//! Running a scenario on a backend: phases, workload, faults.

pub mod admission;
pub mod conductor;
pub mod crashes;
pub mod ensemble;
pub mod faults;
pub mod gates;
mod opinion;
pub mod pace;
mod queue;
pub mod suite;
pub mod targets;
#[cfg(test)]
mod tests;
mod watching;
pub mod workload;

use crate::backend::Backend;
use crate::history::Event;
use crate::names::HARNESS;
use crate::run::conductor::Conductor;
use crate::scenario::Scenario;
use crate::time::{Instant, Span};

/// How often an idle run looks whether it was interrupted, wall time.
const INTERRUPT_POLL: Span = Span::from_millis(50);

/// Drives `backend` through the scenario's phases. Every event is handed to `record` as it comes.
/// The backend has been brought up, and is not torn down here. Without an `interrupted` nothing ends
/// the run early, and nobody has to look.
pub fn drive(
    backend: &mut dyn Backend,
    scenario: &Scenario,
    seed: u64,
    interrupted: Option<&dyn Fn() -> bool>,
    record: &mut dyn FnMut(Event),
) {
    let mut conductor = Conductor::new(scenario, seed, backend.now());
    let mut told = false;
    loop {
        while let Some(note) = conductor.poll_note() {
            record(Event { at: backend.now(), by: HARNESS.into(), ev: note });
        }
        while let Some(action) = conductor.poll_action() {
            backend.perform(action);
        }
        if conductor.is_over() {
            // What was on its way when the run ended.
            while let Some(event) = backend.next_event(Instant::ZERO) {
                record(event);
            }
            return;
        }
        let mut until = conductor.next_timeout();
        if let Some(interrupted) = interrupted {
            if interrupted() && !told {
                told = true;
                conductor.interrupt();
                continue;
            }
            until = until.min(backend.now() + INTERRUPT_POLL);
        }
        if let Some(event) = backend.next_event(until) {
            conductor.handle(&event);
            record(event);
        } else {
            conductor.timeout(backend.now());
        }
    }
}
