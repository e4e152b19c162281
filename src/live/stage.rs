//! The scenario's stage: its stores, processes and links, and how they are started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Mutex;

use crate::backend::BackendError;
use crate::fault::misfit::Misfit;
use crate::fault::{Fault, Trigger};
use crate::history::What;
use crate::live::clock;
use crate::live::environment::{self, Credentials};
use crate::live::inject::Launcher;
use crate::live::monitor::Monitor;
use crate::live::observe::{self, Programs};
use crate::live::prepare;
use crate::live::provision::{self, RunContext, RunningProcess, Said, Site};
use crate::live::sink::Sink;
use crate::live::wires::Wires;
use crate::names::{Endpoint, HARNESS, Link, PRODUCER, ProcessName, Store};
use crate::scenario::{Call, Fleet, ProcessSpec, Scenario};
use crate::time::{Instant, Span};

/// For a program that says what was done, wall time: less than the conductor waits for a reading.
const PRINTED_WITHIN: Span = Span::from_secs(10);
/// What a program says of one job is a line.
const CALL_BYTES_MAX: usize = 64 * 1024;
/// A producer that ends at once is not started for each job, wall time.
const PRODUCER_STARTS_APART: Span = Span::from_secs(1);

/// The scenario's processes on their links; starts them, and starts them again.
pub(super) struct Stage {
    pub site: Arc<dyn Site>,
    pub wires: Arc<Wires>,
    processes: BTreeMap<ProcessName, ProcessSpec>,
    pub credentials: Credentials,
    pub monitor: Option<Arc<Monitor>>,
    pub run: RunContext,
    /// When the producer, if it is a program, was started by [`Programs`] last.
    producer_started: Mutex<Option<Instant>>,
}

impl Stage {
    pub async fn set(
        scenario: &Scenario,
        site: &Arc<dyn Site>,
        monitor: Option<Arc<Monitor>>,
        run: &RunContext,
    ) -> Result<Self, BackendError> {
        let wires = Wires::lay(scenario.fleet.links(), site.proxy_address()).map_err(|error| {
            BackendError::Failed(format!("failed to open the proxy's listeners: {error}"))
        })?;
        listen_in(&wires, scenario, &run.sink)?;
        let stage = Self {
            site: Arc::clone(site),
            wires: Arc::new(wires),
            processes: scenario.fleet.programs().map(|spec| (spec.name.clone(), spec.clone())).collect(),
            credentials: provision::postgres_credentials(),
            monitor,
            run: run.clone(),
            producer_started: Mutex::default(),
        };
        if scenario.fleet.is_reference() {
            // Its processes wait for their stores. Both are waited for also if one fails, so that
            // nothing is started behind the back of the removal.
            let (stores, processes) =
                tokio::join!(stage.start_stores(&scenario.fleet), stage.start_processes());
            stores.and(processes)?;
        } else {
            stage.start_stores(&scenario.fleet).await?;
            stage.start_processes().await?;
        }
        Ok(stage)
    }

    /// With all that the fleet finds in them. Only then do the links lead anywhere.
    async fn start_stores(&self, fleet: &Fleet) -> Result<(), BackendError> {
        let stores = self.site.start_stores().await?;
        prepare::stores(fleet, &stores).await?;
        for (store, instance) in &stores {
            self.wires.lead(&Endpoint::Store(*store), instance.address);
        }
        Ok(())
    }

    async fn start_processes(&self) -> Result<(), BackendError> {
        let started = join_all(self.processes.keys().map(|process| self.start(process))).await;
        started.into_iter().try_for_each(|started| started.map(drop))
    }

    /// What the program prints of what was done: it asks the stores themselves, as every observer does.
    pub async fn printed(&self, call: &Call) -> Result<Vec<u8>, String> {
        let stores = Store::ALL.into_iter().filter_map(|store| self.site.store(store));
        let from = ProcessName::new(HARNESS);
        let links: BTreeMap<Link, SocketAddr> = stores
            .map(|at| (Link { from: from.clone(), to: Endpoint::Store(at.store) }, at.address))
            .collect();
        let words = words(call, &environment::of_links(&from, &links, &self.credentials))?;
        let said = self.run.call(&words, &call.folder, PRINTED_WITHIN, observe::PAGE_BYTES_MAX).await?;
        match said.failure() {
            None => Ok(said.output),
            Some(why) => Err(why),
        }
    }

    fn spec(&self, process: &ProcessName) -> Result<ProcessSpec, BackendError> {
        let spec = self.processes.get(process).cloned();
        spec.ok_or_else(|| BackendError::Failed(format!("there is no process {process}")))
    }

    async fn launch(&self, spec: ProcessSpec) -> Result<Arc<RunningProcess>, BackendError> {
        let port = self.site.http_port(&spec.name);
        let failed = format!("environment of {}", spec.name);
        let files = self.site.files_directory(&spec.name);
        let (spec, env) = environment::resolve(spec, self.wires.listeners(), port, &files, &self.credentials)
            .map_err(|error| BackendError::Failed(format!("{failed}: {error}")))?;
        let process = &spec.name;
        let running = self.site.start_process(&spec, env).await?;
        if let Some(ask) = &spec.ready {
            let asking = observe::until_ready(
                ask.clone(),
                Arc::clone(&self.site),
                Arc::clone(&running),
                self.run.sink.clone(),
            );
            tokio::spawn(asking);
        }
        if let Some(address) = self.site.http_address(process) {
            if let Some(monitor) = &self.monitor {
                monitor.moved(process, address)?;
            }
            self.wires.lead(&Endpoint::Process(process.clone()), address);
        }
        Ok(running)
    }
}

/// The program's command line.
fn words(call: &Call, values: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    call.command.iter().map(|word| environment::expand(word, values)).collect()
}

/// Taps the links whose commands set faults off.
fn listen_in(wires: &Wires, scenario: &Scenario, sink: &Sink) -> Result<(), BackendError> {
    let wire = |fault: &Fault| match &fault.when {
        Trigger::Wire(wire) => Some((fault.id, wire.clone())),
        _ => None,
    };
    let sink = sink.clone();
    let listener = Box::new(move |at, heard| sink.send(at, HARNESS.into(), What::Wire(heard)));
    wires
        .tap(scenario.faults.iter().filter_map(wire).collect(), listener)
        .map_err(|error| BackendError::Failed(format!("failed to tap the links: {error}")))
}

impl Launcher for Stage {
    fn start(&self, process: &ProcessName) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>> {
        let spec = self.spec(process);
        async move { self.launch(spec?).await }.boxed()
    }

    fn start_with(
        &self,
        process: &ProcessName,
        misfit: &Misfit,
    ) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>> {
        let another = self.site.another_redis().map(|instance| instance.address);
        let spec = self.spec(process).and_then(|spec| environment::misfitted(spec, misfit, another));
        async move { self.launch(spec?).await }.boxed()
    }
}

impl Programs for Stage {
    fn call<'c>(
        &'c self,
        call: &'c Call,
        job: &'c [(String, String)],
        limit: Span,
    ) -> BoxFuture<'c, Result<Said, String>> {
        async move {
            let producer = ProcessName::new(PRODUCER);
            let mut values = environment::of_links(&producer, self.wires.listeners(), &self.credentials);
            values.extend(job.iter().cloned());
            let words = words(call, &values)?;
            self.run.call(&words, &call.folder, limit, CALL_BYTES_MAX).await
        }
        .boxed()
    }

    fn producer(&self) -> BoxFuture<'_, Result<Arc<RunningProcess>, String>> {
        async move {
            let name = ProcessName::new(PRODUCER);
            // One start at a time: whoever waits here finds what the one before started.
            let mut started = self.producer_started.lock().await;
            if let Some(running) = self.site.process(&name).filter(|it| it.exit.borrow().is_none()) {
                return Ok(running);
            }
            let now = clock::monotonic();
            if started.is_some_and(|at| now.since(at) < PRODUCER_STARTS_APART) {
                return Err("the producer has ended, and it was just started again".to_owned());
            }
            *started = Some(now);
            self.start(&name).await.map_err(|error| error.to_string())
        }
        .boxed()
    }
}
