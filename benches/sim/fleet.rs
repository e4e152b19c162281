//! The whole simulator: the reference fleet's machines, clients, links and stores.

use std::path::PathBuf;

use syncope::backend::{Action, Backend as _};
use syncope::names::ProcessName;
use syncope::scenario::{Overrides, Scenario, Source, resolve};
use syncope::sim::SimBackend;
use syncope::time::Span;

use crate::Counts;
use crate::workload::{ASKS, Workload};

const SCENARIO: &str = "
name: full-fleet
fleet:
  system: redis-heartbeat
  settings: {interval: 15s, ttl: 30s, threshold: 45s}
stack: {redis: {}, postgres: {}}
workload: {jobs: 1, arrival: {every: 1s}, steps: 1, step_time: {constant: 1s}}
";

pub fn run(workload: &Workload) -> Counts {
    let scenario = scenario(workload);
    let mut backend = SimBackend::open(&scenario, 1).expect("the reference fleet can be simulated");
    backend.perform(Action::StartProbes);
    let end = backend.now() + workload.span();
    while backend.next_event(end).is_some() {}
    Counts { events: backend.happened(), mistakes: 0 }
}

fn scenario(workload: &Workload) -> Scenario {
    let source = Source::new(PathBuf::from("full-fleet.yaml"), SCENARIO.to_owned());
    let mut scenario = resolve(&source, &Overrides::default()).expect("the scenario is right");
    let processes = &mut scenario.fleet.processes;
    let worker = processes.pop().expect("a worker is the last process");
    processes.extend((1..=workload.workers).map(|index| {
        let name = ProcessName::from(format!("worker-{index}"));
        syncope::scenario::ProcessSpec { name, index, ..worker.clone() }
    }));
    // As many questions as if each worker were asked for.
    if let Some(probe) = &mut scenario.fleet.liveness {
        probe.every = Span::from_nanos(ASKS.as_nanos() / u64::from(workload.workers));
    }
    scenario
}
