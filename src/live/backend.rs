//! The live backend: one scenario on real stores and processes, through the proxy.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, Runtime};

use crate::backend::{Action, Backend, BackendError};
use crate::history::{Event, What};
use crate::live::clock;
use crate::live::environment;
use crate::live::inject::{self, Firer, Injector};
use crate::live::monitor::Monitor;
use crate::live::observe::{
    self, HiccupMeter, LineCount, Links, Producer, QueueClient, Sources, Subscription,
};
use crate::live::observers::Observers;
use crate::live::provision::cleanup::Guard;
use crate::live::provision::{self, BackendKind, RunContext, Site, StoreInstance};
use crate::live::readings::Readings;
use crate::live::sink::Sink;
use crate::live::stage::Stage;
use crate::live::store::{Limits, PostgresStore, RedisStore};
use crate::live::wires::Wires;
use crate::names::{Link, PRODUCER, Store};
use crate::protocol::{Command, JobSpec, Reply, StoreError, TableCommand};
use crate::scenario::{Enqueue, QueueAsk, Scenario};
use crate::time::{Instant, Span};

/// Stalls of the host from this length on are events of the history.
const HICCUPS_RECORDED_ABOVE: Span = Span::from_millis(5);
/// An enqueue without an answer for so long has an unknown outcome, wall time.
const ENQUEUE_LIMIT: Span = Span::from_secs(10);

/// What all scenarios of one `syncope` share.
pub struct Harness {
    runtime: Runtime,
    firer: Arc<Firer>,
    meter: HiccupMeter,
    guard: Arc<Guard>,
}

impl Harness {
    /// # Errors
    /// If a thread or the watchdog cannot be started.
    pub fn start(run_id: &str) -> io::Result<Self> {
        Ok(Self {
            guard: Guard::open(run_id)?,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            firer: Arc::new(Firer::start()?),
            meter: HiccupMeter::start(HICCUPS_RECORDED_ABOVE)?,
        })
    }

    #[must_use]
    pub fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    /// The container engine that answers, or why none does.
    ///
    /// # Errors
    /// If none answers.
    #[cfg(feature = "docker")]
    pub fn engine(&self) -> Result<String, String> {
        let engine = self.runtime.block_on(provision::engine::detect())?;
        Ok(format!("Docker {}", engine.version))
    }

    /// The container engine that answers, or why none does.
    ///
    /// # Errors
    /// Always: this build has no container backend.
    #[cfg(not(feature = "docker"))]
    pub fn engine(&self) -> Result<String, String> {
        Err("this syncope was built without the container backend".into())
    }

    /// Has everything that the scenarios need before the first of them starts: images, for containers.
    ///
    /// # Errors
    /// If an image cannot be had.
    pub fn prepare<'s>(
        &self,
        kind: BackendKind,
        scenarios: impl IntoIterator<Item = &'s Scenario>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<(), BackendError> {
        match kind {
            #[cfg(feature = "docker")]
            BackendKind::Docker => self.runtime.block_on(async {
                let engine = provision::engine::detect().await.map_err(BackendError::Failed)?;
                provision::images::prepare_images(&engine, &self.guard, scenarios, progress).await
            }),
            _ => provision::prepare_recipes(&self.guard, scenarios, progress),
        }
    }

    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Brings the scenario up: stores, tables, processes, links. `index` tells it from the run's others.
    ///
    /// # Errors
    /// If the environment lacks something, or something did not start; what had started is removed.
    pub fn open(
        &self,
        kind: BackendKind,
        scenario: &Scenario,
        index: u32,
    ) -> Result<LiveBackend, BackendError> {
        self.runtime.block_on(self.bring_up(kind, scenario, index))
    }

    async fn bring_up(
        &self,
        kind: BackendKind,
        scenario: &Scenario,
        index: u32,
    ) -> Result<LiveBackend, BackendError> {
        let (send, events) = channel();
        let sink = Sink::new(send);
        let hiccups = self.meter.subscribe(sink.clone());
        let context = RunContext { guard: Arc::clone(&self.guard), index, sink: sink.clone() };
        let site: Arc<dyn Site> = Arc::from(provision::open(kind, context.clone(), scenario).await?);
        let (monitor, staged) = match Monitor::start(scenario, &context).await {
            Ok(monitor) => {
                let monitor = monitor.map(Arc::new);
                let staged = Stage::set(scenario, &site, monitor.clone(), &context).await;
                (monitor, staged)
            }
            Err(error) => (None, Err(error)),
        };
        match staged {
            Ok(stage) => {
                let backend = LiveBackend::new(self, scenario, Arc::new(stage), sink, events, hiccups);
                backend.producer.ready().await;
                Ok(backend)
            }
            Err(error) => {
                let mut left = site.tear_down().await;
                if let Some(monitor) = monitor {
                    left.extend(monitor.end().await);
                }
                Err(if left.is_empty() {
                    error
                } else {
                    BackendError::Failed(format!("{error}; not removed: {}", left.join(", ")))
                })
            }
        }
    }
}

pub struct LiveBackend {
    runtime: Handle,
    scenario: Scenario,
    stage: Arc<Stage>,
    sink: Sink,
    events: Receiver<Event>,
    injector: Injector,
    producer: Producer,
    observers: Option<Observers>,
    hiccups: Subscription,
    readings: Readings,
    lines: LineCount,
    /// Taken out of `events` before their turn.
    waiting: VecDeque<Event>,
}

impl LiveBackend {
    fn new(
        harness: &Harness,
        scenario: &Scenario,
        stage: Arc<Stage>,
        sink: Sink,
        events: Receiver<Event>,
        hiccups: Subscription,
    ) -> Self {
        let runtime = harness.runtime().clone();
        let mut versions = stage.site.versions();
        versions.extend(stage.monitor.iter().map(|monitor| monitor.version()));
        sink.note(What::Versions(versions));
        let injector = Injector::new(
            inject::Parts {
                site: Arc::clone(&stage.site),
                network: Arc::<Wires>::clone(&stage.wires),
                launcher: Arc::<Stage>::clone(&stage),
                sink: sink.clone(),
                runtime: runtime.clone(),
            },
            Arc::clone(&harness.firer),
        );
        let way = scenario.fleet.enqueue.clone();
        let links = producer_links(scenario, &stage);
        let producer = Producer::new(way, links, ENQUEUE_LIMIT, sink.clone(), runtime.clone());
        Self {
            runtime,
            scenario: scenario.clone(),
            stage,
            sink,
            events,
            injector,
            producer,
            observers: None,
            hiccups,
            readings: Readings::default(),
            lines: LineCount::of(&scenario.fleet.effects),
            waiting: VecDeque::new(),
        }
    }

    fn collect(&mut self) {
        let reading = self.readings.begin();
        // What the one before said in time and nobody has heard yet is not this one's answer.
        while let Ok(event) = self.events.try_recv() {
            self.hear(&event);
            self.waiting.push_back(event);
        }
        self.waiting.retain(|event| !matches!(event.ev, What::Collected { .. }));
        let (stage, sink) = (Arc::clone(&self.stage), self.sink.clone());
        let (effects, state) = (self.scenario.fleet.effects.clone(), self.scenario.fleet.state.clone());
        let said = self.lines.so_far().clone();
        self.runtime.spawn(async move {
            let (site, queue) = (&stage.site, state.map(|state| state.ask));
            let stores =
                Store::ALL.into_iter().filter_map(|store| Some((store, site.store(store)?))).collect();
            let pages = effects.http.iter().chain(queue.as_ref().and_then(QueueAsk::page));
            let http =
                pages.filter_map(|page| Some((page.process.clone(), site.http_address(&page.process)?)));
            let printed = match &effects.program {
                Some(call) => Some(stage.printed(call).await),
                None => None,
            };
            let sources = Sources { stores, http: http.collect(), printed, said };
            let read = observe::collect(&effects, queue.as_ref(), &sources).await;
            reading.end(read, &sink);
        });
    }

    fn receive(&mut self, until: Instant) -> Option<Event> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        let wait = until.since(clock::monotonic());
        let event = self.events.recv_timeout(wait.to_std()).ok()?;
        self.hear(&event);
        Some(event)
    }

    /// Each event once, in order, as soon as it is taken out.
    fn hear(&mut self, event: &Event) {
        self.lines.observe(event);
        self.producer.observe(event);
    }
}

fn producer_links(scenario: &Scenario, stage: &Arc<Stage>) -> Links {
    let end = scenario.fleet.enqueue.ends().into_iter().next();
    let link = end.map(|to| Link { from: PRODUCER.into(), to });
    let listener: Option<SocketAddr> = link.and_then(|link| stage.wires.listeners().get(&link).copied());
    let through = |store| {
        let instance = stage.site.store(store)?;
        Some(StoreInstance { address: listener?, ..instance })
    };
    let mut links = Links::default();
    match &scenario.fleet.enqueue {
        Enqueue::Http { .. } => links.http = listener,
        Enqueue::Program { .. } | Enqueue::Call { .. } => links.programs = Some(Arc::<Stage>::clone(stage)),
        Enqueue::Redis { .. } => links.redis = through(Store::Redis),
        Enqueue::Sql { .. } => links.postgres = through(Store::Postgres),
        Enqueue::Table => {
            links.queue = listener
                .and_then(|address| {
                    let url = environment::postgres_url(address, &stage.credentials);
                    PostgresStore::connect(&url, Limits::default()).ok()
                })
                .map(|store| Arc::new(store) as Arc<dyn QueueClient>);
        }
        Enqueue::Queue { prefix, .. } => {
            links.queue = listener
                .and_then(|address| {
                    RedisStore::connect(&format!("redis://{address}"), prefix, Span::ZERO, Limits::default())
                        .ok()
                })
                .map(|store| Arc::new(store) as Arc<dyn QueueClient>);
        }
    }
    links
}

impl QueueClient for RedisStore {
    fn enqueue(&self, queue: &str, job: &JobSpec) -> BoxFuture<'_, Result<bool, String>> {
        let command = Command::Enqueue { queue: queue.into(), job: job.clone() };
        async move { is_new(self.execute(&command).await) }.boxed()
    }

    fn ready(&self, within: Span) -> BoxFuture<'_, ()> {
        let command = Command::AwaitReady { store: Store::Redis, within };
        async move { drop(self.execute(&command).await) }.boxed()
    }
}

impl QueueClient for PostgresStore {
    fn enqueue(&self, _: &str, job: &JobSpec) -> BoxFuture<'_, Result<bool, String>> {
        let command = Command::Table(TableCommand::Enqueue { job: job.clone() });
        async move { is_new(self.execute(&command).await) }.boxed()
    }

    fn ready(&self, within: Span) -> BoxFuture<'_, ()> {
        let command = Command::AwaitReady { store: Store::Postgres, within };
        async move { drop(self.execute(&command).await) }.boxed()
    }
}

fn is_new(answer: Result<Reply, StoreError>) -> Result<bool, String> {
    match answer {
        Ok(Reply::Enqueued(new)) => Ok(new),
        Ok(other) => Err(format!("an unexpected answer: {other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

impl Backend for LiveBackend {
    fn now(&self) -> Instant {
        clock::monotonic()
    }

    fn next_event(&mut self, until: Instant) -> Option<Event> {
        let event = self.receive(until)?;
        self.injector.observe(&event);
        if let Some(monitor) = &self.stage.monitor {
            monitor.observe(&event);
        }
        Some(event)
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Enqueue(job) => self.producer.enqueue(*job),
            Action::Inject { order, at } => self.injector.inject(order, at),
            Action::ArmGate { fault, limit } => self.stage.wires.arm(fault, limit),
            Action::OpenGate { fault, lost } => self.stage.wires.open_gate(fault, lost),
            Action::StartProbes => {
                let prometheus = self.stage.monitor.as_ref().map(|monitor| monitor.address());
                let site = &self.stage.site;
                let observers = Observers::start(&self.scenario, site, prometheus, &self.sink, &self.runtime);
                self.observers = Some(observers);
            }
            Action::StopProbes => {
                self.observers = None;
                self.sink.note(self.hiccups.summary());
            }
            Action::Collect => self.collect(),
        }
    }

    fn tear_down(&mut self) -> Vec<String> {
        self.observers = None;
        self.runtime.block_on(async {
            let mut left = self.stage.site.tear_down().await;
            if let Some(monitor) = &self.stage.monitor {
                left.extend(monitor.end().await);
            }
            if self.scenario.fleet.calls_programs() {
                left.extend(self.stage.run.sweep());
            }
            left
        })
    }
}
