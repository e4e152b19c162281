//! Bringing up stores and processes, and taking them away again.
//!
//! A [`Site`] is one scenario's place to run: a private Docker network with containers, or a
//! temporary directory with local processes. Everything it creates is labelled or journalled, so
//! that `syncope clean` and the watchdog find it after a kill -9 of the harness.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::backend::BackendError;
use crate::fault::OutageKind;
use crate::names::{ProcessName, Store};
use crate::scenario::ProcessSpec;

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

    /// The process as it runs now, or ran last.
    fn process(&self, name: &ProcessName) -> Option<Arc<RunningProcess>>;

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
    pub exit: tokio::sync::watch::Receiver<Option<Exit>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}
