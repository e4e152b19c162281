//! An injector on a fake site, and a proxy that only takes notes.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use syncope::backend::BackendError;
use syncope::fault::{FaultId, Injection, Order, Stage, Toxic};
use syncope::history::{Event, What};
use syncope::live::clock;
use syncope::live::inject::{AppliedAt, Firer, Injector, Launcher, Network, Parts};
use syncope::live::provision::RunningProcess;
use syncope::live::sink::Sink;
use syncope::names::{Endpoint, Link, ProcessName, Store};
use syncope::time::{Instant, Span};

use crate::fake::{FakeSite, PATIENCE};

pub struct Rig {
    pub site: Arc<FakeSite>,
    pub network: Arc<NotedNetwork>,
    pub launcher: Arc<TestLauncher>,
    pub injector: Injector,
    events: Receiver<Event>,
    _runtime: tokio::runtime::Runtime,
}

/// What became of an order.
#[derive(Debug)]
pub struct Done {
    pub from: Instant,
    pub until: Instant,
    pub proof: String,
}

impl Rig {
    pub fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, events) = channel();
        let (site, network) = (Arc::new(FakeSite::default()), Arc::new(NotedNetwork::default()));
        let launcher = Arc::new(TestLauncher::default());
        let parts = Parts {
            site: Arc::clone(&site) as _,
            network: Arc::clone(&network) as _,
            launcher: Arc::clone(&launcher) as _,
            sink: Sink::new(sender),
            runtime: runtime.handle().clone(),
        };
        let injector = Injector::new(parts, Arc::new(Firer::start().unwrap()));
        Self { site, network, launcher, injector, events, _runtime: runtime }
    }

    /// `Err`: the reason why there is no proof.
    pub fn inject(&self, injection: Injection) -> Result<Done, String> {
        self.inject_at(injection, clock::monotonic(), || ())
    }

    /// With something to be done between the order and its due time.
    pub fn inject_at(&self, injection: Injection, at: Instant, then: impl FnOnce()) -> Result<Done, String> {
        let order = Order { fault: FaultId(0), part: 0, stage: Stage::Onset, injection };
        self.injector.inject(order.clone(), at);
        then();
        match self.events.recv_timeout(PATIENCE).expect("an order ends in an event").ev {
            What::FaultDone { order: done, effective: (from, until), proof, .. } => {
                assert_eq!(*done, order);
                assert!(from <= until, "{from:?} to {until:?}");
                assert!(until <= clock::monotonic());
                Ok(Done { from, until, proof })
            }
            What::FaultUnproved { order: done, reason } => {
                assert_eq!(*done, order);
                Err(reason)
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    pub fn check_done(&self, injection: Injection, proof: &str) -> Done {
        let asked = clock::monotonic();
        let done = self.inject(injection).unwrap();
        assert!(done.proof.contains(proof), "`{}` lacks `{proof}`", done.proof);
        assert!(done.until >= asked);
        done
    }

    pub fn check_unproved(&self, injection: Injection, reason: &str) {
        let found = self.inject(injection).unwrap_err();
        assert!(found.contains(reason), "`{found}` lacks `{reason}`");
    }
}

/// Does what the test says.
#[derive(Default)]
pub struct TestLauncher {
    pub start: Mutex<Option<Result<Arc<RunningProcess>, String>>>,
    /// Started when asked for.
    pub script: Mutex<Option<(Arc<FakeSite>, String)>>,
}

impl Launcher for TestLauncher {
    fn start(&self, process: &ProcessName) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>> {
        let name = process.clone();
        Box::pin(async move {
            if let Some((site, script)) = &*self.script.lock().unwrap() {
                return Ok(site.shell(name.as_str(), script));
            }
            let answer = self.start.lock().unwrap().take().expect("the test said what to do");
            answer.map_err(BackendError::Failed)
        })
    }
}

#[derive(Default)]
pub struct NotedNetwork {
    pub notes: Mutex<Vec<String>>,
    /// What a probe of a refused link finds.
    pub lets_through: Mutex<bool>,
}

pub fn link(from: &str, to: Store) -> Link {
    Link { from: from.into(), to: Endpoint::Store(to) }
}

impl NotedNetwork {
    fn note(&self, text: String) -> AppliedAt {
        self.notes.lock().unwrap().push(text.clone());
        let now = clock::monotonic();
        AppliedAt { from: now, until: now + Span::from_nanos(1), note: text }
    }
}

impl Network for NotedNetwork {
    fn links(&self) -> Vec<Link> {
        vec![
            link("worker-1", Store::Redis),
            link("worker-1", Store::Postgres),
            link("worker-2", Store::Redis),
        ]
    }

    fn apply(&self, links: &[Link], toxic: Toxic) -> io::Result<AppliedAt> {
        Ok(self.note(format!("{toxic:?} on {}", join(links))))
    }

    fn heal(&self, links: &[Link], toxic: Toxic) -> io::Result<AppliedAt> {
        Ok(self.note(format!("no {toxic:?} on {}", join(links))))
    }

    fn probe_refused(&self, _: &Link) -> Result<String, String> {
        if *self.lets_through.lock().unwrap() {
            Err("connected".to_owned())
        } else {
            Ok("connection refused".to_owned())
        }
    }

    fn store_moved(&self, store: Store, to: SocketAddr) {
        self.note(format!("{store} is at {to}"));
    }
}

fn join(links: &[Link]) -> String {
    links.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
