//! The Prometheus of a scenario's stack, and what the harness itself tells it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::backend::BackendError;
use crate::history::Event;
use crate::live::observe::Restarts;
use crate::live::provision::RunContext;
use crate::live::provision::prometheus::Prometheus;
use crate::names::ProcessName;
use crate::scenario::Scenario;

pub struct Monitor {
    prometheus: Prometheus,
    restarts: Restarts,
    /// Who is scraped, and where; nobody before his start.
    targets: Mutex<BTreeMap<ProcessName, Option<SocketAddr>>>,
}

impl Monitor {
    /// `None` if the stack has none.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn start(scenario: &Scenario, run: &RunContext) -> Result<Option<Self>, BackendError> {
        let Some(spec) = &scenario.stack.prometheus else { return Ok(None) };
        let restarts = Restarts::serve(&scenario.fleet.processes).await;
        let restarts = restarts.map_err(|error| {
            BackendError::Failed(format!("failed to tell the harness's own metrics: {error}"))
        })?;
        let prometheus = Prometheus::start(spec, run, restarts.address()).await?;
        let targets = Mutex::new(spec.scrape.iter().map(|process| (process.clone(), None)).collect());
        Ok(Some(Self { prometheus, restarts, targets }))
    }

    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.prometheus.address()
    }

    #[must_use]
    pub fn version(&self) -> (String, String) {
        self.prometheus.version()
    }

    /// The process listens there from now on.
    ///
    /// # Errors
    /// If Prometheus cannot be told.
    pub fn moved(&self, process: &ProcessName, to: SocketAddr) -> Result<(), BackendError> {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = targets.get_mut(process) else { return Ok(()) };
        if place.replace(to) == Some(to) {
            return Ok(());
        }
        let known = targets.iter().filter_map(|(process, at)| Some((process.clone(), (*at)?))).collect();
        self.prometheus.scrape(&known).map_err(|error| {
            BackendError::Failed(format!("failed to tell Prometheus where {process} is: {error}"))
        })
    }

    pub fn observe(&self, event: &Event) {
        self.restarts.observe(event);
    }

    /// For good. Returns what could not be removed.
    pub async fn end(&self) -> Vec<String> {
        self.prometheus.end().await
    }
}
