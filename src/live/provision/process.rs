//! Local processes: stores and fleet as children of the harness, on loopback ports, in a temporary
//! directory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::call::SITE_VARIABLE;
use super::child::{self, Child, Launch, Output};
use super::files;
use super::output::OutputStream;
use super::process_stores::{Installed, StoreServer};
use super::recipe::{self, Outfit};
use super::reference::{FLEET_VARIABLE, faketime_environment, fleet_settings, role_of};
use super::tree::Identity;
use super::undo::{self, Entry, OWNER_FILE, OWNER_VARIABLE};
use super::volume::{self, Root};
use super::{
    RunContext, RunningProcess, Site, StoreInstance, clocks_faked, places, ports, start_side_by_side,
    wait_for_exit, wants_another_redis,
};
use crate::backend::{BackendError, Unstarted};
use crate::fault::OutageKind;
use crate::history::What;
use crate::live::clock;
use crate::live::environment::NO_PROGRAM;
use crate::names::{ProcessName, Store};
use crate::scenario::recipe::Recipe;
use crate::scenario::{ProcessSpec, Program, Scenario, Stack};
use crate::time::Instant;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rustix::process::{Signal, pidfd_send_signal};

pub struct ProcessSite {
    run: RunContext,
    name: String,
    directory: PathBuf,
    installed: Installed,
    libfaketime: Option<PathBuf>,
    stack: Stack,
    volumes: BTreeMap<Store, PathBuf>,
    wants_another_redis: bool,
    /// Of the stores whose clock is faked.
    store_clocks: BTreeMap<Store, PathBuf>,
    outfits: BTreeMap<Recipe, Outfit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: BTreeMap<ProcessName, Arc<RunningProcess>>,
    ports: BTreeMap<ProcessName, u16>,
    clocks: BTreeMap<ProcessName, PathBuf>,
    stores: BTreeMap<Store, Arc<StoreServer>>,
    another_redis: Option<Arc<StoreServer>>,
    /// Of every process that was started, by its leader.
    sessions: BTreeSet<Identity>,
}

impl ProcessSite {
    /// Checks what the scenario needs, and makes its directory.
    pub fn open(run: RunContext, scenario: &Scenario) -> Result<Self, BackendError> {
        let installed = Installed::find(&scenario.stack)?;
        let libfaketime = libfaketime_for(scenario)?;
        for spec in scenario.fleet.programs() {
            command_of(spec)?;
        }
        let name = run.site_name();
        let directory = places::scratch().join(&name);
        let made = run
            .guard
            .record(&Entry::Directory { path: directory.clone() })
            .and_then(|()| places::create_passable(&directory))
            .and_then(|()| fs::write(directory.join(OWNER_FILE), run.guard.owner()))
            .and_then(|()| fs::create_dir(directory.join("clocks")));
        made.map_err(|error| failed("make a directory for the scenario", &error))?;
        let mut volumes = BTreeMap::new();
        for store in volume::wanted(scenario) {
            let mounted = volume::mount(&directory, store, Root::Of(installed.user_of(store)));
            let mounted = mounted.inspect_err(|_| drop(undo::remove_directory(&directory)))?;
            volumes.insert(store, mounted);
        }
        let outfits = make_outfits(&run, scenario, &directory)
            .inspect_err(|_| drop(undo::remove_directory(&directory)))?;
        let clock = |store: Store| (store, directory.join("clocks").join(store.as_str()));
        let store_clocks: BTreeMap<_, _> = clocks_faked(scenario).into_iter().map(clock).collect();
        for file in store_clocks.values() {
            fs::write(file, "+0\n").map_err(|error| failed("make a store's clock", &error))?;
        }
        let wants_another_redis = wants_another_redis(scenario);
        let state = Mutex::default();
        let stack = scenario.stack.clone();
        Ok(Self {
            run,
            name,
            directory,
            installed,
            libfaketime,
            stack,
            volumes,
            wants_another_redis,
            store_clocks,
            outfits,
            state,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server(&self, store: Store) -> Result<Arc<StoreServer>, BackendError> {
        let found = self.state().stores.get(&store).cloned();
        found.ok_or_else(|| BackendError::Failed(format!("{store} was not started")))
    }

    async fn start_one_store(&self, store: Store) -> Result<StoreInstance, BackendError> {
        let mut environment = self.run.environment();
        if let (Some(library), Some(file)) = (&self.libfaketime, self.store_clocks.get(&store)) {
            environment.extend(faketime_environment(Some(store), library, file));
        }
        let server = StoreServer::start(
            store,
            &self.stack,
            &self.installed,
            &self.directory,
            environment,
            self.run.guard.clone(),
        )
        .await?;
        let instance = server.instance();
        self.state().stores.insert(store, Arc::new(server));
        Ok(instance)
    }

    /// Beside the stack's, in a directory of its own.
    async fn start_another_redis(&self) -> Result<(), BackendError> {
        let directory = self.directory.join("another");
        fs::create_dir(&directory).map_err(|error| failed("make a second Redis's directory", &error))?;
        let (environment, guard) = (self.run.environment(), self.run.guard.clone());
        let starting =
            StoreServer::start(Store::Redis, &self.stack, &self.installed, &directory, environment, guard);
        let server = starting.await?;
        self.state().another_redis = Some(Arc::new(server));
        Ok(())
    }

    async fn start(
        &self,
        spec: &ProcessSpec,
        env: BTreeMap<String, String>,
    ) -> Result<Arc<RunningProcess>, BackendError> {
        let starting = |error: io::Error| failed(&format!("start {}", spec.name), &error);
        let generation = self.process(&spec.name).map_or(1, |last| last.generation + 1);
        let (program, arguments, directory) = command_of(spec)?;
        let outfit = recipe::of(&spec.program).and_then(|recipe| self.outfits.get(recipe));
        let directory = outfit.map(|outfit| outfit.directory.clone()).or(directory);
        let directory = directory.unwrap_or_else(|| self.directory.clone());
        let mut environment = self.run.environment();
        environment.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
        if let Some(outfit) = outfit {
            outfit.add_to(&mut environment).map_err(starting)?;
        }
        environment.extend(self.clock_environment(spec).map_err(starting)?);
        if let Some(settings) = fleet_settings(spec) {
            environment.insert(FLEET_VARIABLE.into(), settings.into());
        }
        files::write(&self.files_of(&spec.name), &spec.files).map_err(starting)?;
        // Before: it may speak before this is told that it was started.
        let begun = clock::monotonic();
        let mut child = child::launch(Launch {
            program,
            arguments,
            env: environment.into_iter().collect(),
            directory,
            user: None,
            death_signal: Signal::KILL,
            output: Output::Piped,
            input: spec.reads_jobs(),
        })
        .await
        .map_err(|error| match (error.kind(), starting(error)) {
            (io::ErrorKind::NotFound, BackendError::Failed(what)) => {
                BackendError::NotStarted { what, why: Unstarted::NoProgram }
            }
            (_, failed) => failed,
        })?;
        let running = self.adopt(spec, generation, begun, &mut child).map_err(starting)?;
        let running = Arc::new(RunningProcess { pidfd: child.pidfd, ..running });
        self.state().processes.insert(spec.name.clone(), running.clone());
        Ok(running)
    }

    /// The child's start, output and end become events, in this order.
    fn adopt(
        &self,
        spec: &ProcessSpec,
        generation: u32,
        begun: Instant,
        child: &mut Child,
    ) -> io::Result<RunningProcess> {
        let pid = child.pid;
        let session = self.run.guard.record_process(pid)?;
        self.state().sessions.insert(session);
        let sink = self.run.sink.clone();
        let by = spec.name.clone();
        let started = What::Started { generation, pid: pid.unsigned_abs() };
        sink.send(begun, by.clone(), started);
        let stdout = OutputStream::stdout(sink.clone(), spec);
        let stderr = OutputStream::stderr(sink.clone(), spec);
        child.follow(stdout, stderr)?;
        let exit = child.watch(move |at, exit| {
            undo::remove_faketime_files(pid);
            sink.send(at, by, What::Exited { generation, code: exit.code, signal: exit.signal });
        })?;
        let (name, input) = (spec.name.clone(), child.input()?);
        Ok(RunningProcess {
            name,
            pid,
            pidfd: child.pidfd.try_clone()?,
            generation,
            exit,
            stop_signal: spec.stop_signal,
            input,
        })
    }

    fn files_of(&self, process: &ProcessName) -> PathBuf {
        self.directory.join("files").join(process.as_str())
    }

    /// A restarted process keeps its clock: a fault may still be on it.
    fn clock_environment(&self, spec: &ProcessSpec) -> io::Result<Vec<(OsString, OsString)>> {
        let Some(library) = self.libfaketime.as_ref().filter(|_| spec.fake_clock) else {
            return Ok(Vec::new());
        };
        let file = self.directory.join("clocks").join(spec.name.as_str());
        if !file.exists() {
            fs::write(&file, "+0\n")?;
        }
        self.state().clocks.insert(spec.name.clone(), file.clone());
        Ok(faketime_environment(None, library, &file))
    }

    async fn remove_all(&self) -> Vec<String> {
        let (processes, stores) = {
            let mut state = self.state();
            let mut stores: Vec<_> = std::mem::take(&mut state.stores).into_values().collect();
            stores.extend(state.another_redis.take());
            (state.processes.values().cloned().collect::<Vec<_>>(), stores)
        };
        for process in &processes {
            // One that has ended needs no signal.
            let _ = pidfd_send_signal(&process.pidfd, Signal::KILL);
        }
        let mut left = Vec::new();
        for server in stores {
            left.extend(server.end().await.err());
        }
        for process in processes {
            if wait_for_exit(process.exit.clone()).await.is_none() {
                left.push(format!("process {} ({})", process.pid, process.name));
            }
        }
        left.extend(self.sweep().await);
        left
    }

    /// Descendants that left their parents, then the directory.
    async fn sweep(&self) -> Vec<String> {
        let (name, owner) = (self.name.clone(), self.run.guard.owner().to_owned());
        let directory = self.directory.clone();
        let sessions = self.state().sessions.clone();
        let swept = tokio::task::spawn_blocking(move || {
            let mut cleaned =
                undo::kill_marked(|env| env.has(SITE_VARIABLE, &name) && env.has(OWNER_VARIABLE, &owner));
            cleaned.add(undo::kill_strays(&sessions, &BTreeSet::from([directory.clone()])));
            cleaned.add(undo::remove_directory(&directory));
            cleaned.failed
        });
        swept.await.unwrap_or_else(|error| vec![format!("the sweep of {}: {error}", self.name)])
    }
}

impl Site for ProcessSite {
    fn proxy_address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }

    fn start_stores(&self) -> BoxFuture<'_, Result<BTreeMap<Store, StoreInstance>, BackendError>> {
        async move {
            if self.wants_another_redis {
                self.start_another_redis().await?;
            }
            start_side_by_side(&self.stack, |store| self.start_one_store(store)).await
        }
        .boxed()
    }

    fn start_process(
        &self,
        spec: &ProcessSpec,
        env: BTreeMap<String, String>,
    ) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>> {
        let spec = spec.clone();
        async move { self.start(&spec, env).await }.boxed()
    }

    fn http_address(&self, process: &ProcessName) -> Option<SocketAddr> {
        let port = *self.state().ports.get(process)?;
        Some((Ipv4Addr::LOCALHOST, port).into())
    }

    fn files_directory(&self, process: &ProcessName) -> String {
        self.files_of(process).to_string_lossy().into_owned()
    }

    fn http_port(&self, process: &ProcessName) -> u16 {
        let mut state = self.state();
        // Without a free port the process is told none that it could bind, and says so.
        *state.ports.entry(process.clone()).or_insert_with(|| ports::free_port().unwrap_or_default())
    }

    fn process(&self, name: &ProcessName) -> Option<Arc<RunningProcess>> {
        self.state().processes.get(name).cloned()
    }

    fn lacked_memory(&self, _process: &ProcessName) -> BoxFuture<'_, Option<bool>> {
        ready(None).boxed()
    }

    fn store(&self, store: Store) -> Option<StoreInstance> {
        self.state().stores.get(&store).map(|server| server.instance())
    }

    fn store_down(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>> {
        async move { self.server(store)?.down(how).await }.boxed()
    }

    fn store_up(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>> {
        async move { self.server(store)?.up(how).await }.boxed()
    }

    fn clock_file(&self, process: &ProcessName) -> Option<PathBuf> {
        self.state().clocks.get(process).cloned()
    }

    fn store_clock_file(&self, store: Store) -> Option<PathBuf> {
        self.store_clocks.get(&store).cloned()
    }

    fn another_redis(&self) -> Option<StoreInstance> {
        self.state().another_redis.as_ref().map(|server| server.instance())
    }

    fn volume(&self, store: Store) -> Option<PathBuf> {
        self.volumes.get(&store).cloned()
    }

    fn versions(&self) -> Vec<(String, String)> {
        self.state().stores.values().map(|store| store.version()).collect()
    }

    fn tear_down(&self) -> BoxFuture<'_, Vec<String>> {
        self.remove_all().boxed()
    }
}

fn make_outfits(
    run: &RunContext,
    scenario: &Scenario,
    directory: &Path,
) -> Result<BTreeMap<Recipe, Outfit>, BackendError> {
    let numbered = recipe::all(scenario).enumerate();
    let made = numbered.map(|(number, recipe)| {
        let source = directory.join(format!("source-{number}"));
        Ok((recipe.clone(), Outfit::make(recipe, source, &run.guard)?))
    });
    made.collect()
}

pub(super) fn libfaketime_for(scenario: &Scenario) -> Result<Option<PathBuf>, BackendError> {
    let of_processes = scenario.fleet.processes.iter().any(|spec| spec.fake_clock);
    if !of_processes && clocks_faked(scenario).is_empty() {
        return Ok(None);
    }
    let missing = || BackendError::Environment {
        what: "libfaketime is not installed, and the scenario has a clock fault".into(),
        hint: "apt-get install -y faketime".into(),
    };
    places::libfaketime().map(Some).ok_or_else(missing)
}

type CommandLine = (PathBuf, Vec<OsString>, Option<PathBuf>);

/// Program, arguments, and the directory that it is started in.
fn command_of(spec: &ProcessSpec) -> Result<CommandLine, BackendError> {
    match &spec.program {
        Program::Reference { .. } | Program::Table { .. } => {
            let program = places::own_program("syncope-fleet", "SYNCOPE_FLEET_BIN").map_err(|error| {
                let hint = "cargo build --bins, or set SYNCOPE_FLEET_BIN".into();
                BackendError::Environment { what: error.to_string(), hint }
            })?;
            Ok((program, role_of(&spec.program).map(OsString::from).into_iter().collect(), None))
        }
        Program::External { command: Some(command), working_directory, .. } if !command.is_empty() => {
            let arguments = command[1..].iter().map(OsString::from).collect();
            let directory = working_directory.as_ref();
            let directory = directory.map(|it| fs::canonicalize(&it.on_host)).transpose();
            let directory =
                directory.map_err(|error| failed(&format!("enter {}'s directory", spec.name), &error))?;
            Ok((program_path(&command[0], directory.as_deref()), arguments, directory))
        }
        Program::Missing { .. } => Ok((NO_PROGRAM.into(), Vec::new(), None)),
        Program::External { .. } => Err(BackendError::Unsupported(format!(
            "{} has no command, only an image: it needs docker",
            spec.name
        ))),
    }
}

/// A path with a slash is relative to the working directory, as a shell would have it.
pub(super) fn program_path(program: &str, directory: Option<&Path>) -> PathBuf {
    match directory {
        Some(directory) if program.contains('/') => directory.join(program),
        _ => program.into(),
    }
}

pub(super) fn failed(what: &str, error: &io::Error) -> BackendError {
    BackendError::Failed(format!("failed to {what}: {error}"))
}
