//! Of a scenario that cannot be simulated whole, for its fleet is somebody else's: the detection of its kills
//! by the fleet's liveness pipeline alone.

use std::num::NonZeroUsize;

use crate::check::{Simulated, Spread};
use crate::fault::{Fault, FaultKind, JobRef, Signal, Trigger};
use crate::scenario::Scenario;
use crate::sim::crash::{Claimed, Crash};
use crate::time::Span;

/// Between the starts of two workers, wall time: those of a run are started side by side.
const APART: Span = Span::from_millis(100);
/// One crash takes microseconds: as many as a report keeps.
const SEEDS: u64 = 1_000;

/// `None` where nothing is killed, where anything else is done to the fleet besides (the pipeline alone does
/// not know what that does), or where the fleet has no pipeline or nothing to see a detection by.
#[must_use]
pub fn simulate(scenario: &Scenario, first_seed: u64, threads: usize) -> Option<Simulated> {
    let fleet = &scenario.fleet;
    let pipeline = fleet.pipeline.clone().filter(|_| fleet.liveness.is_some())?;
    let claims: Vec<Claimed> =
        scenario.faults.iter().map(|fault| claimed(scenario, fault)).collect::<Option<_>>()?;
    let workers = u32::try_from(fleet.workers().len()).ok()?;
    let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
    let seeds: Vec<u64> = (0..SEEDS).map(|number| first_seed.wrapping_add(number)).collect();
    let took = claims.into_iter().flat_map(|claimed| {
        let crash = Crash { pipeline: pipeline.clone(), workers, apart: APART, claimed };
        crash.simulate(&seeds, threads)
    });
    let model_ms = |wall| scenario.time_scale.to_model(wall).as_nanos() as f64 / 1e6;
    let detection: Vec<f64> = took.flatten().map(model_ms).collect();
    let detection_ms = Some(Spread::of(&detection)?);
    Some(Simulated { pipeline_alone: true, runs: SEEDS, first_seed, detection_ms, ..Simulated::of(&[]) })
}

/// How old the victim's claim is at the crash, if the fault is one and that is known.
fn claimed(scenario: &Scenario, fault: &Fault) -> Option<Claimed> {
    let FaultKind::Kill { signal: Signal::Kill, .. } = fault.kind else { return None };
    let (steps, step_time) = (scenario.workload.steps, scenario.workload.step_time.clone());
    match &fault.when {
        Trigger::At(_) | Trigger::Within { .. } => Some(Claimed::Within { steps, step_time }),
        // A job is claimed again when a sweep has given it back: the sweeps' phase is no accident then.
        Trigger::Claimed { job: JobRef::Job(_), nth: 2.., .. } => None,
        Trigger::Claimed { after, .. } => Some(Claimed::Before { steps: 0, step_time, after: *after }),
        Trigger::StepDone { step, after, .. } => {
            Some(Claimed::Before { steps: *step, step_time, after: *after })
        }
        Trigger::Unanswered { .. } | Trigger::Beat { .. } | Trigger::Wire(_) => None,
    }
}
