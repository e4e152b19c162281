//! Bringing up stores and processes, and taking them away again.
//!
//! A [`Site`] is one scenario's place to run: a private Docker network with containers, or a
//! temporary directory with local processes. Everything it creates is labelled or journalled, so
//! that `syncope clean` and the watchdog find it after a kill -9 of the harness.

mod call;
mod child;
pub mod cleanup;
#[cfg(feature = "docker")]
mod container;
#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "docker")]
mod docker_stores;
#[cfg(feature = "docker")]
pub mod engine;
mod files;
#[cfg(feature = "docker")]
mod fleet_image;
#[cfg(feature = "docker")]
mod image_build;
#[cfg(feature = "docker")]
pub mod images;
#[cfg(feature = "docker")]
mod labels;
mod output;
#[cfg(feature = "docker")]
mod pidfd_info;
mod places;
mod ports;
mod process;
mod process_stores;
pub mod prometheus;
mod recipe;
#[cfg(feature = "docker")]
mod recipe_image;
mod reference;
mod servers;
mod shared_memory;
pub mod survey;
mod template;
pub mod tree;
mod undo;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

pub use self::call::Said;
use self::cleanup::Guard;
use crate::backend::BackendError;
use crate::fault::misfit::Misfit;
use crate::fault::{Fault, FaultKind, OutageKind, Signal};
use crate::live::cgroup::{self, Controller};
use crate::live::environment::Credentials;
use crate::live::sink::Sink;
use crate::names::{ProcessName, Store};
use crate::scenario::{ProcessSpec, Scenario, Stack};

/// Told what is being done, where it takes longer than a moment.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// A process that was asked to end, or killed, is given this long.
const EXIT_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKind {
    Docker,
    Process,
}

/// What a site is told of the run that it is part of.
#[derive(Debug, Clone)]
pub struct RunContext {
    pub guard: Arc<Guard>,
    /// Of this site within the run. No two sites of a run share it.
    pub index: u32,
    pub sink: Sink,
}

impl RunContext {
    /// The name of everything that the site creates.
    #[must_use]
    pub fn site_name(&self) -> String {
        format!("{}{}-{}", places::PREFIX, self.guard.run_id(), self.index)
    }
}

/// Checks that the environment has what the scenario needs, and makes the place. Starts nothing yet.
/// To be called, and the site to be used, within a tokio runtime.
pub async fn open(
    kind: BackendKind,
    run: RunContext,
    scenario: &Scenario,
) -> Result<Box<dyn Site>, BackendError> {
    check_limits(scenario)?;
    match kind {
        BackendKind::Process => Ok(Box::new(process::ProcessSite::open(run, scenario)?)),
        #[cfg(feature = "docker")]
        BackendKind::Docker => Ok(Box::new(docker::DockerSite::open(run, scenario).await?)),
        #[cfg(not(feature = "docker"))]
        BackendKind::Docker => {
            Err(BackendError::Unsupported("this syncope was built without the container backend".into()))
        }
    }
}

/// Has what the scenarios' recipes name installed on this machine, for local processes.
///
/// # Errors
/// If the cache cannot be written.
pub fn prepare_recipes<'s>(
    guard: &Guard,
    scenarios: impl IntoIterator<Item = &'s Scenario>,
    progress: Progress<'_>,
) -> Result<(), BackendError> {
    recipe::prepare_here(scenarios, guard, progress)
}

/// With which Postgres is spoken to, on every site: known before it runs.
#[must_use]
pub fn postgres_credentials() -> Credentials {
    Credentials {
        user: servers::POSTGRES_USER.into(),
        password: None,
        database: servers::POSTGRES_DATABASE.into(),
    }
}

/// This harness, as `{pid}-{start}`: what it makes on the host bears this name.
#[must_use]
pub fn harness_name() -> String {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    tree::Identity::of(own).map_or_else(|| format!("{own}-0"), undo::owner_name)
}

/// Whether this machine can limit what the scenario's faults want limited.
fn check_limits(scenario: &Scenario) -> Result<(), BackendError> {
    for fault in &scenario.faults {
        let controller = match fault.kind {
            FaultKind::Throttle { .. } => Controller::Cpu,
            FaultKind::OutOfMemory { .. } => Controller::Memory,
            _ => continue,
        };
        cgroup::permitted(controller, &format!("{}.{}", harness_name(), scenario.name)).map_err(
            |reason| {
                BackendError::Unsupported(format!(
                    "the scenario limits a process, and that cannot be done here: {reason}"
                ))
            },
        )?;
    }
    Ok(())
}

/// Whether a fault of the scenario needs a second Redis.
fn wants_another_redis(scenario: &Scenario) -> bool {
    let needs =
        |fault: &Fault| matches!(fault.kind, FaultKind::Misconfigure { misfit: Misfit::AnotherRedis, .. });
    scenario.faults.iter().any(needs)
}

/// The stores whose clock a fault of the scenario fakes.
fn clocks_faked(scenario: &Scenario) -> BTreeSet<Store> {
    let store = |kind: &FaultKind| match kind {
        FaultKind::Trouble { trouble, .. } if trouble.moves_clock() => Some(trouble.store()),
        _ => None,
    };
    scenario.faults.iter().filter_map(|fault| store(&fault.kind)).collect()
}

/// Starts the stack's stores side by side. Waits for all of them also if one fails: a start that is
/// given up half-way could come to something after its place was cleared.
async fn start_side_by_side<F>(
    stack: &Stack,
    start: impl Fn(Store) -> F,
) -> Result<BTreeMap<Store, StoreInstance>, BackendError>
where
    F: Future<Output = Result<StoreInstance, BackendError>>,
{
    let wanted = Store::ALL.into_iter().filter(|store| match store {
        Store::Redis => stack.redis.is_some(),
        Store::Postgres => stack.postgres.is_some(),
    });
    let started = join_all(wanted.map(start)).await;
    started.into_iter().map(|started| started.map(|instance| (instance.store, instance))).collect()
}

/// One scenario's place to run. All methods may be called from any thread of the runtime.
pub trait Site: Send + Sync {
    /// Where the proxy's listeners must be bound so that the fleet reaches them.
    fn proxy_address(&self) -> IpAddr;

    /// Starts all the stores of the scenario side by side, and returns when each accepts a query.
    fn start_stores(&self) -> BoxFuture<'_, Result<BTreeMap<Store, StoreInstance>, BackendError>>;

    /// Starts a process for the first time or again. `env` is complete: templates are resolved. Its
    /// lines and its exit arrive in the run's events (`Started`, `Fleet`, `Line`, `Exited`).
    /// `port`: where an HTTP-serving process must listen (`${port}`), chosen by the site.
    fn start_process(
        &self,
        spec: &ProcessSpec,
        env: BTreeMap<String, String>,
    ) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>>;

    /// The address at which an HTTP-serving process will listen, as the proxy must dial it. For a
    /// container this is known once it runs, so it is asked for after the start.
    fn http_address(&self, process: &ProcessName) -> Option<SocketAddr>;

    /// The port that the process is to be told as `${port}`. Stable over restarts.
    fn http_port(&self, process: &ProcessName) -> u16;

    /// Where the process finds its files (`${files}`), by the path that it sees.
    fn files_directory(&self, process: &ProcessName) -> String {
        let _ = process;
        String::new()
    }

    /// The process as it runs now, or ran last.
    fn process(&self, name: &ProcessName) -> Option<Arc<RunningProcess>>;

    /// Of a process that has ended: whether the kernel killed it for want of memory, as the engine
    /// that ran it was told. `None` if no engine did.
    fn lacked_memory(&self, process: &ProcessName) -> BoxFuture<'_, Option<bool>>;

    fn store(&self, store: Store) -> Option<StoreInstance>;

    /// Takes a store down (`Kill`, `Stop`, `Pause`; `Refuse` is the proxy's business and an error
    /// here). Returns when it is down, with the proof: exit status, or the state in /proc.
    fn store_down(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>>;

    /// Brings it back with what its durability kept; returns when it accepts a query, with the proof.
    /// Its address may have changed.
    fn store_up(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>>;

    /// The file that libfaketime reads the process's clock offset from (`FAKETIME_TIMESTAMP_FILE`),
    /// as a path on the host; `None` if the process was not started with a fake clock.
    fn clock_file(&self, process: &ProcessName) -> Option<PathBuf>;

    /// The same for a store's server.
    fn store_clock_file(&self, store: Store) -> Option<PathBuf> {
        let _ = store;
        None
    }

    /// The server that a process is told of in place of the stack's Redis, if a fault of the scenario
    /// does that. No link leads to it, and no outage takes it down.
    fn another_redis(&self) -> Option<StoreInstance> {
        None
    }

    /// The root, on this host, of a volume that holds the store's data and nothing else, so that a
    /// fault can fill it. `None` for a store whose disk no fault of the scenario fills.
    fn volume(&self, store: Store) -> Option<PathBuf> {
        let _ = store;
        None
    }

    /// Names and versions of servers and images, for the report.
    fn versions(&self) -> Vec<(String, String)>;

    /// Removes everything; returns what could not be removed.
    fn tear_down(&self) -> BoxFuture<'_, Vec<String>>;
}

/// A store that accepts queries. `address` is direct, for observers; the fleet goes through the proxy.
#[derive(Debug, Clone)]
pub struct StoreInstance {
    pub store: Store,
    pub address: SocketAddr,
    /// On the host.
    pub pid: i32,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
}

impl StoreInstance {
    fn of(store: Store, address: SocketAddr, pid: i32) -> Self {
        let Credentials { user, password, database } = match store {
            Store::Redis => Credentials { user: "default".into(), password: None, database: "0".into() },
            Store::Postgres => postgres_credentials(),
        };
        Self { store, address, pid, user, password, database }
    }
}

/// A process of the fleet, one generation of it.
#[derive(Debug)]
pub struct RunningProcess {
    pub name: ProcessName,
    /// On the host, in the host's PID namespace, also for containers.
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// From 1.
    pub generation: u32,
    /// Resolves when the process is gone: `Some` exit.
    pub exit: watch::Receiver<Option<Exit>>,
    /// What asks it to end in order.
    pub stop_signal: Signal,
    /// Of the producer; any other's is empty from the start.
    pub input: Input,
}

/// What is written here comes to a process's standard input.
#[derive(Default)]
pub struct Input(tokio::sync::Mutex<Option<Pin<Box<dyn AsyncWrite + Send>>>>);

impl Input {
    #[must_use]
    pub fn to(writer: impl AsyncWrite + Send + 'static) -> Self {
        Self(tokio::sync::Mutex::new(Some(Box::pin(writer))))
    }

    /// One at a time. A writing that fails, or is given up in the middle, ends the input: what follows
    /// half a line would be read as its rest.
    ///
    /// # Errors
    /// If the process reads no more, or never did.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut place = self.0.lock().await;
        let mut writer = place.take().ok_or(io::ErrorKind::BrokenPipe)?;
        writer.write_all(bytes).await?;
        writer.flush().await?;
        *place = Some(writer);
        Ok(())
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { signal: Some(signal), .. } => write!(f, "killed by signal {signal}"),
            Self { code: Some(code), .. } => write!(f, "exit code {code}"),
            Self { code: None, signal: None } => write!(f, "ended, how is not known"),
        }
    }
}

/// `None` if it has not ended in [`EXIT_WITHIN`].
async fn wait_for_exit(mut exit: watch::Receiver<Option<Exit>>) -> Option<Exit> {
    let ended = tokio::time::timeout(EXIT_WITHIN, exit.wait_for(Option::is_some)).await;
    ended.ok()?.ok().and_then(|exit| *exit)
}
