//! Redis and Postgres as children of the harness.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::child::{self, Child, Launch, Output};
use super::cleanup::Guard;
use super::process::failed;
use super::servers;
use super::template::Postgres;
use super::{Exit, StoreInstance, places, ports, tree, wait_for_exit};
use crate::backend::BackendError;
use crate::fault::OutageKind;
use crate::names::Store;
use crate::scenario::Stack;

/// Another program may take a port between its choice and its use.
const PORTS_TRIED_MAX: u32 = 3;
/// Postgres needs some 10 ms to leave at once; a stuck one is killed.
const QUITS_WITHIN: Duration = Duration::from_millis(500);
/// So much of a server's log goes into an error.
const LOG_BYTES_SHOWN: usize = 1_500;

/// The servers that a scenario's stack needs, as this machine has them.
#[derive(Debug, Clone)]
pub(super) struct Installed {
    redis: Option<PathBuf>,
    postgres: Option<Postgres>,
}

impl Installed {
    /// As whom the server works, if not as the harness's own user.
    pub(super) fn user_of(&self, store: Store) -> Option<(u32, u32)> {
        self.postgres.as_ref().filter(|_| store == Store::Postgres)?.user
    }

    pub(super) fn find(stack: &Stack) -> Result<Self, BackendError> {
        let redis = stack.redis.as_ref().and_then(|_| places::find_program("redis-server", &[]));
        let postgres = stack.postgres.as_ref().and_then(|_| Postgres::find());
        let mut missing = Vec::new();
        if stack.redis.is_some() && redis.is_none() {
            missing.push(("redis-server", "redis-server"));
        }
        if stack.postgres.is_some() && postgres.is_none() {
            missing.push(("postgres", "postgresql"));
        }
        if missing.is_empty() {
            return Ok(Self { redis, postgres });
        }
        let (programs, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        Err(BackendError::Environment {
            what: format!("not installed: {}", programs.join(", ")),
            hint: format!("apt-get install -y {}", packages.join(" ")),
        })
    }
}

/// One store of one scenario. Its data directory and its port stay over outages.
pub(super) struct StoreServer {
    store: Store,
    command: CommandLine,
    guard: Arc<Guard>,
    running: Mutex<Running>,
}

struct CommandLine {
    program: PathBuf,
    arguments: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    directory: PathBuf,
    log: PathBuf,
    user: Option<(u32, u32)>,
}

#[derive(Clone)]
struct Running {
    instance: StoreInstance,
    /// As the server gives it.
    version: String,
    child: Arc<Child>,
    exit: watch::Receiver<Option<Exit>>,
}

impl StoreServer {
    pub(super) async fn start(
        store: Store,
        stack: &Stack,
        installed: &Installed,
        site: &Path,
        env: BTreeMap<OsString, OsString>,
        guard: Arc<Guard>,
    ) -> Result<Self, BackendError> {
        let missing = || BackendError::Failed(format!("{store} is not part of the stack"));
        let directory = site.join(store.as_str());
        let log = site.join(format!("{store}.log"));
        let (program, user) = match store {
            Store::Redis => {
                // A volume of its own is there by now, and is the directory.
                fs::create_dir_all(&directory).map_err(|error| failed("make Redis's directory", &error))?;
                (installed.redis.clone().ok_or_else(missing)?, None)
            }
            Store::Postgres => {
                let postgres = installed.postgres.clone().ok_or_else(missing)?;
                prepare_data(&postgres, &directory, &guard).await?;
                (postgres.server, postgres.user)
            }
        };
        let mut command = CommandLine { program, arguments: Vec::new(), env, directory, log, user };
        let mut tries = 1;
        loop {
            let port = ports::free_port().map_err(|error| failed("find a free port", &error))?;
            command.arguments = arguments_of(store, port, &command.directory, stack);
            match command.run(instance_at(store, port), &guard).await {
                Ok(running) => {
                    let running = Mutex::new(running);
                    return Ok(Self { store, command, guard, running });
                }
                Err(error) if tries >= PORTS_TRIED_MAX => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    pub(super) fn instance(&self) -> StoreInstance {
        self.running().instance
    }

    /// The store and the version of its server.
    pub(super) fn version(&self) -> (String, String) {
        (self.store.to_string(), self.running().version)
    }

    pub(super) async fn down(&self, how: OutageKind) -> Result<String, BackendError> {
        let running = self.running();
        let pid = running.instance.pid;
        match how {
            OutageKind::Pause => self.on_tree(tree::stop_tree, "pause").await,
            OutageKind::Kill => {
                self.on_tree(|pid| tree::kill_tree(pid).map(|()| String::new()), "kill").await?;
                self.ended(&running).await
            }
            OutageKind::Stop => {
                let signal = match self.store {
                    Store::Redis => Signal::TERM,
                    // "Fast": does not wait for its clients to leave.
                    Store::Postgres => Signal::INT,
                };
                let what = format!("stop {} (pid {pid})", self.store);
                running.child.signal(signal).map_err(|error| failed(&what, &error))?;
                self.ended(&running).await
            }
            OutageKind::Refuse => Err(BackendError::Unsupported("refusing is the proxy's business".into())),
        }
    }

    pub(super) async fn up(&self, how: OutageKind) -> Result<String, BackendError> {
        let before = self.running();
        match how {
            OutageKind::Pause => {
                let proof = self.on_tree(tree::continue_tree, "continue").await?;
                self.command.ready(&before.instance, before.exit).await?;
                Ok(format!("{proof}; {} answers", self.store))
            }
            OutageKind::Kill | OutageKind::Stop => {
                let running = self.command.run(before.instance, &self.guard).await?;
                let pid = running.instance.pid;
                *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
                Ok(format!("{} (pid {pid}) answers", self.store))
            }
            OutageKind::Refuse => Err(BackendError::Unsupported("refusing is the proxy's business".into())),
        }
    }

    /// For good, and at once. Postgres gets the chance to remove its shared memory.
    pub(super) async fn end(&self) -> Result<(), String> {
        let running = self.running();
        let pid = running.instance.pid;
        if self.store == Store::Postgres {
            // A paused server takes no other signal. One that has ended takes none, and needs none.
            let _ = running.child.signal(Signal::QUIT).and_then(|()| running.child.signal(Signal::CONT));
            let _ = timeout(QUITS_WITHIN, wait_for_exit(running.exit.clone())).await;
        }
        // It may end in between, by itself: what counts is that it has.
        let killed = self.on_tree(|pid| tree::kill_tree(pid).map(|()| String::new()), "kill").await;
        if running.exit.borrow().is_none() {
            killed.map_err(|error| error.to_string())?;
        }
        let ended = wait_for_exit(running.exit).await;
        ended.map(drop).ok_or_else(|| format!("{} (pid {pid})", self.store))
    }

    fn running(&self) -> Running {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn on_tree(
        &self,
        act: impl FnOnce(i32) -> std::io::Result<String> + Send + 'static,
        what: &str,
    ) -> Result<String, BackendError> {
        let running = self.running();
        let pid = running.instance.pid;
        if running.exit.borrow().is_some() {
            return Err(BackendError::Failed(format!("{} (pid {pid}) has ended already", self.store)));
        }
        let what = format!("{what} {} (pid {pid})", self.store);
        let acted = spawn_blocking(move || act(pid)).await.map_err(std::io::Error::other);
        acted.and_then(|acted| acted).map_err(|error| failed(&what, &error))
    }

    async fn ended(&self, running: &Running) -> Result<String, BackendError> {
        let pid = running.instance.pid;
        match wait_for_exit(running.exit.clone()).await {
            Some(exit) => Ok(format!("{} (pid {pid}) ended: {exit}", self.store)),
            None => Err(BackendError::Failed(format!("{} (pid {pid}) did not end", self.store))),
        }
    }
}

impl CommandLine {
    /// Starts the server and waits until it answers.
    async fn run(&self, at: StoreInstance, guard: &Guard) -> Result<Running, BackendError> {
        let starting = |error: std::io::Error| failed(&format!("start {}", at.store), &error);
        let child = child::launch(Launch {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            env: self.env.clone().into_iter().collect(),
            directory: self.directory.clone(),
            user: self.user,
            death_signal: if at.store == Store::Postgres { Signal::QUIT } else { Signal::KILL },
            output: Output::File(self.log.clone()),
            input: false,
        })
        .await
        .map_err(starting)?;
        guard.record_process(child.pid).map_err(starting)?;
        let exit = child.watch(|_, _| {}).map_err(starting)?;
        let instance = StoreInstance { pid: child.pid, ..at };
        let version = self.ready(&instance, exit.clone()).await?;
        Ok(Running { instance, version, child: Arc::new(child), exit })
    }

    /// Returns the server's version.
    async fn ready(
        &self,
        instance: &StoreInstance,
        exit: watch::Receiver<Option<Exit>>,
    ) -> Result<String, BackendError> {
        let ready = servers::wait_until_ready(instance, exit).await;
        ready.map_err(|error| BackendError::Failed(format!("{error}; its log ends:\n{}", self.log_tail())))
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_BYTES_SHOWN)..]).into_owned()
    }
}

async fn prepare_data(postgres: &Postgres, data: &Path, guard: &Arc<Guard>) -> Result<(), BackendError> {
    let (postgres, data, guard) = (postgres.clone(), data.to_path_buf(), guard.clone());
    let copied = spawn_blocking(move || postgres.copy_data_to(&data, &guard)).await;
    let copied = copied.map_err(std::io::Error::other).and_then(|copied| copied);
    copied.map_err(|error| failed("initialise a Postgres data directory", &error))
}

fn instance_at(store: Store, port: u16) -> StoreInstance {
    StoreInstance::of(store, (Ipv4Addr::LOCALHOST, port).into(), 0)
}

fn arguments_of(store: Store, port: u16, directory: &Path, stack: &Stack) -> Vec<OsString> {
    let port = port.to_string();
    let mut arguments: Vec<OsString> = Vec::new();
    match store {
        Store::Redis => {
            let fixed =
                ["--port", &port, "--bind", "127.0.0.1", "--daemonize", "no", "--loglevel", "warning"];
            arguments.extend(fixed.map(OsString::from));
            arguments.extend(["--dir".into(), directory.into()]);
            arguments.extend(servers::redis_settings(stack).iter().map(OsString::from));
        }
        Store::Postgres => {
            arguments.extend(["-D".into(), directory.into()]);
            arguments.extend(["-p", &port, "-h", "127.0.0.1", "-k", ""].map(OsString::from));
            arguments
                .extend(servers::postgres_settings(stack).flat_map(|setting| ["-c".into(), setting.into()]));
        }
    }
    arguments
}
