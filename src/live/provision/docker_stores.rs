//! Redis and Postgres in containers. What a store keeps over an outage lies in its container.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::cleanup::Guard;
use super::container::{self, ContainerSpec};
use super::image_build;
use super::images::Image;
use super::servers;
use super::{Exit, StoreInstance, process, tree, wait_for_exit};
use crate::backend::BackendError;
use crate::fault::OutageKind;
use crate::names::Store;
use crate::scenario::Stack;

const REDIS_PORT: u16 = 6379;
const POSTGRES_PORT: u16 = 5432;
/// In a store's container, where a fault of the scenario fills its disk.
pub(super) const VOLUME: &str = "/syncope/volume";
/// The image brings its data directory: the first start copies it. `$0` is the server, `$@` its arguments.
const MOVE_AND_RUN: &str = "test -e /syncope/volume/data || cp -a \"$PGDATA\" /syncope/volume/data; \
    export PGDATA=/syncope/volume/data; exec \"$0\" \"$@\"";
const LOG_LINES_SHOWN: &str = "12";

pub(super) struct StoreContainer {
    docker: Docker,
    store: Store,
    container: String,
    name: String,
    running: Mutex<Running>,
}

#[derive(Clone)]
struct Running {
    instance: StoreInstance,
    /// As the server gives it.
    version: String,
    pidfd: Arc<std::os::fd::OwnedFd>,
    exit: watch::Receiver<Option<Exit>>,
}

impl StoreContainer {
    pub(super) async fn start(
        docker: &Docker,
        guard: &Guard,
        store: Store,
        mut spec: ContainerSpec,
    ) -> Result<Self, BackendError> {
        spec.keeps_log = true;
        if store == Store::Postgres {
            // For images that initialise their data directory when they start; the others ignore it.
            spec.env.insert("POSTGRES_HOST_AUTH_METHOD".into(), "trust".into());
        }
        let name = spec.name.clone();
        let container = container::create(docker, guard, spec).await?;
        let running = run(docker, store, &container, &name).await?;
        let running = Mutex::new(running);
        Ok(Self { docker: docker.clone(), store, container, name, running })
    }

    pub(super) fn instance(&self) -> StoreInstance {
        self.running().instance
    }

    pub(super) fn version(&self) -> (String, String) {
        (self.store.to_string(), self.running().version)
    }

    pub(super) async fn down(&self, how: OutageKind) -> Result<String, BackendError> {
        let running = self.running();
        let pid = running.instance.pid;
        if running.exit.borrow().is_some() {
            return Err(BackendError::Failed(format!("{} (pid {pid}) has ended already", self.store)));
        }
        let signal = match (how, self.store) {
            (OutageKind::Pause, _) => return self.on_tree(tree::stop_tree, "pause").await,
            // The first process of a container takes all others with it.
            (OutageKind::Kill, _) => Signal::KILL,
            (OutageKind::Stop, Store::Redis) => Signal::TERM,
            // "Fast": does not wait for its clients to leave.
            (OutageKind::Stop, Store::Postgres) => Signal::INT,
            (OutageKind::Refuse, _) => return Err(refuse()),
        };
        let what = format!("signal {} (pid {pid})", self.store);
        pidfd_send_signal(&running.pidfd, signal).map_err(|error| process::failed(&what, &error.into()))?;
        match wait_for_exit(running.exit).await {
            Some(exit) => Ok(format!("{} (pid {pid}) ended: {exit}", self.store)),
            None => Err(BackendError::Failed(format!("{} (pid {pid}) did not end", self.store))),
        }
    }

    pub(super) async fn up(&self, how: OutageKind) -> Result<String, BackendError> {
        match how {
            OutageKind::Pause => {
                let proof = self.on_tree(tree::continue_tree, "continue").await?;
                let Running { instance, exit, .. } = self.running();
                ready(&self.docker, &instance, exit, &self.container).await?;
                Ok(format!("{proof}; {} answers", self.store))
            }
            OutageKind::Kill | OutageKind::Stop => {
                container::wait_until_stopped(&self.docker, &self.container).await;
                let running = run(&self.docker, self.store, &self.container, &self.name).await?;
                let pid = running.instance.pid;
                *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
                Ok(format!("{} (pid {pid}) answers", self.store))
            }
            OutageKind::Refuse => Err(refuse()),
        }
    }

    fn running(&self) -> Running {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn on_tree(
        &self,
        act: fn(i32) -> std::io::Result<String>,
        what: &str,
    ) -> Result<String, BackendError> {
        let pid = self.running().instance.pid;
        let what = format!("{what} {} (pid {pid})", self.store);
        let acted = spawn_blocking(move || act(pid)).await.map_err(std::io::Error::other);
        acted.and_then(|acted| acted).map_err(|error| process::failed(&what, &error))
    }
}

async fn run(docker: &Docker, store: Store, container: &str, name: &str) -> Result<Running, BackendError> {
    let started = container::start(docker, container, name).await?;
    let exit = container::watch_exit(docker, container, &started.pidfd, |_, _| {});
    let exit = exit.map_err(|error| process::failed(&format!("watch {store}"), &error))?;
    let port = match store {
        Store::Redis => REDIS_PORT,
        Store::Postgres => POSTGRES_PORT,
    };
    let instance = StoreInstance::of(store, SocketAddr::new(started.address, port), started.pid);
    let version = ready(docker, &instance, exit.clone(), container).await?;
    Ok(Running { instance, version, pidfd: Arc::new(started.pidfd), exit })
}

/// Returns the server's version.
async fn ready(
    docker: &Docker,
    instance: &StoreInstance,
    exit: watch::Receiver<Option<Exit>>,
    container: &str,
) -> Result<String, BackendError> {
    match servers::wait_until_ready(instance, exit).await {
        Ok(version) => Ok(version),
        Err(error) => {
            let log = log_tail(docker, container).await;
            Err(BackendError::Failed(format!("{error}; its log ends:\n{log}")))
        }
    }
}

async fn log_tail(docker: &Docker, container: &str) -> String {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(LOG_LINES_SHOWN).build();
    let lines = docker.logs(container, Some(options)).filter_map(|line| async { line.ok() });
    lines.map(|line| line.to_string()).collect().await
}

/// The server, with its data on [`VOLUME`] if one is mounted there.
pub(super) fn command_of(store: Store, stack: &Stack, on_volume: bool) -> Vec<String> {
    let mut command: Vec<String> = Vec::new();
    match store {
        Store::Redis => {
            command.extend(
                ["redis-server", "--protected-mode", "no", "--loglevel", "warning"].map(String::from),
            );
            command.extend(servers::redis_settings(stack).iter().copied().map(String::from));
            if on_volume {
                command.extend(["--dir", VOLUME].map(String::from));
            }
        }
        Store::Postgres => {
            if on_volume {
                command.extend(["sh", "-ec", MOVE_AND_RUN].map(String::from));
            }
            command.extend(["postgres", "-c", "listen_addresses=*"].map(String::from));
            command.extend(servers::postgres_settings(stack).flat_map(|setting| ["-c".into(), setting]));
        }
    }
    command
}

/// Other images of Postgres make their data directory when they start, wherever they like.
pub(super) fn check_volume(store: Store, image: &Image) -> Result<(), BackendError> {
    if store == Store::Redis || image.reference == image_build::reference(store) {
        return Ok(());
    }
    let reason = format!("the data of the image {} cannot be put on a volume of its own", image.reference);
    Err(BackendError::Unsupported(reason))
}

fn refuse() -> BackendError {
    BackendError::Unsupported("refusing is the proxy's business".into())
}
