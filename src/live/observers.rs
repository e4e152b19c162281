//! Everything that is asked and measured all the time while a scenario runs.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::live::observe::{Prober, QueueSampler, WaitMeter, Watcher};
use crate::live::provision::Site;
use crate::live::sink::Sink;
use crate::names::ProcessName;
use crate::scenario::Scenario;

/// Asks until it is dropped.
pub(super) struct Observers {
    _prober: Option<Prober>,
    _sampler: Option<QueueSampler>,
    _watchers: Vec<Watcher>,
    _waits: WaitMeter,
}

impl Observers {
    /// `prometheus` is where the stack's listens, if it has one.
    pub fn start(
        scenario: &Scenario,
        site: &Arc<dyn Site>,
        prometheus: Option<SocketAddr>,
        sink: &Sink,
        runtime: &Handle,
    ) -> Self {
        let fleet = &scenario.fleet;
        let processes = || fleet.processes.iter().map(|spec| spec.name.clone());
        let prober = |probe| Prober::start(probe, fleet.workers(), Arc::clone(site), sink.clone(), runtime);
        let sampler = |probe| {
            let holders = processes().collect();
            QueueSampler::start(probe, holders, Arc::clone(site), sink.clone(), runtime)
        };
        let watcher = |watch| Watcher::start(watch, Arc::clone(site), prometheus, sink.clone(), runtime);
        let all: Vec<ProcessName> = processes().collect();
        Self {
            _prober: fleet.liveness.as_ref().map(prober),
            _sampler: fleet.state.as_ref().map(sampler),
            _watchers: scenario.watches.iter().map(watcher).collect(),
            _waits: WaitMeter::start(all, Arc::clone(site), sink.clone(), runtime),
        }
    }
}
