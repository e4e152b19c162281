//! Containers: stores and fleet on a private network, which leads to this host and no further.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::InspectNetworkOptions;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::container::{self, ContainerSpec};
use super::docker_stores::{self, StoreContainer, VOLUME};
use super::engine::{self, Engine};
use super::files;
use super::images::{self, Image};
use super::labels::{self, OWNER_LABEL, RUN_LABEL, SCENARIO_LABEL, SITE_LABEL, Which};
use super::output::OutputStream;
use super::recipe;
use super::recipe::contained::{self, Contained};
use super::reference::{FLEET_VARIABLE, faketime_environment, fleet_settings, role_of};
use super::undo::{self, Entry, OWNER_FILE, OWNER_VARIABLE, RUN_VARIABLE};
use super::volume::{self, Root};
use super::{
    RunContext, RunningProcess, Site, StoreInstance, clocks_faked, places, start_side_by_side,
    wants_another_redis,
};
use crate::backend::BackendError;
use crate::fault::OutageKind;
use crate::history::What;
use crate::live::environment::NO_PROGRAM;
use crate::names::{ProcessName, Store};
use crate::scenario::recipe::Recipe;
use crate::scenario::{ProcessSpec, Program, Scenario, Stack};

/// Every container has an address of its own, so all may listen on the same port.
const HTTP_PORT: u16 = 8080;
/// In a container: where its files are.
const FILES_DIRECTORY: &str = "/syncope/files";
/// In a container: where the clock's directory and libfaketime are mounted.
const CLOCK_DIRECTORY: &str = "/syncope/clock";
const CLOCK_FILE: &str = "offset";
const LIBFAKETIME: &str = "/syncope/libfaketime.so.1";

pub struct DockerSite {
    run: RunContext,
    name: String,
    engine: Engine,
    labels: HashMap<String, String>,
    gateway: IpAddr,
    directory: PathBuf,
    libfaketime: Option<PathBuf>,
    stack: Stack,
    images: images::Resolved,
    outfits: BTreeMap<Recipe, Contained>,
    volumes: BTreeMap<Store, PathBuf>,
    wants_another_redis: bool,
    /// The stores whose clock is to be faked.
    clocked: BTreeSet<Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    processes: BTreeMap<ProcessName, Member>,
    clocks: BTreeMap<ProcessName, PathBuf>,
    stores: BTreeMap<Store, Arc<StoreContainer>>,
    another_redis: Option<Arc<StoreContainer>>,
    store_clocks: BTreeMap<Store, PathBuf>,
}

#[derive(Clone)]
struct Member {
    container: String,
    address: IpAddr,
    /// What it is told: a container is told it once, when it is made.
    told: BTreeMap<String, String>,
    running: Arc<RunningProcess>,
}

impl DockerSite {
    /// Resolves the images, which builds those that are nowhere to be had, and makes the network.
    pub async fn open(run: RunContext, scenario: &Scenario) -> Result<Self, BackendError> {
        let engine = engine::detect().await.map_err(|what| BackendError::Environment {
            what,
            hint: "apt-get install -y docker.io, and start dockerd; or --backend process".into(),
        })?;
        let images = images::resolve(&engine, &run.guard, scenario, &|_| {}).await?;
        let libfaketime = super::process::libfaketime_for(scenario)?;
        let name = run.site_name();
        let directory = places::scratch().join(&name);
        let labels = HashMap::from([
            (RUN_LABEL.to_owned(), run.guard.run_id().to_owned()),
            (OWNER_LABEL.to_owned(), run.guard.owner().to_owned()),
            (SITE_LABEL.to_owned(), name.clone()),
            (SCENARIO_LABEL.to_owned(), scenario.name.clone()),
        ]);
        let journalled = run
            .guard
            .record(&Entry::Containers)
            .and_then(|()| run.guard.record(&Entry::Directory { path: directory.clone() }))
            .and_then(|()| places::create_passable(&directory))
            .and_then(|()| fs::write(directory.join(OWNER_FILE), run.guard.owner()));
        journalled.map_err(|error| super::process::failed("make a directory for the scenario", &error))?;
        let mut volumes = BTreeMap::new();
        for store in volume::wanted(scenario) {
            let mounted = images.store(store).and_then(|image| {
                docker_stores::check_volume(store, image)?;
                volume::mount(&directory, store, Root::Open)
            });
            let mounted = mounted.inspect_err(|_| drop(undo::remove_directory(&directory)))?;
            volumes.insert(store, mounted);
        }
        let outfits = make_outfits(&run, scenario, &images, &directory)
            .inspect_err(|_| drop(undo::remove_directory(&directory)))?;
        let gateway = create_network(&engine.docker, &name, &labels).await?;
        let stack = scenario.stack.clone();
        Ok(Self {
            run,
            name,
            engine,
            labels,
            gateway,
            directory,
            libfaketime,
            stack,
            images,
            outfits,
            volumes,
            wants_another_redis: wants_another_redis(scenario),
            clocked: clocks_faked(scenario),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn container_spec(&self, of: &str, image: &Image) -> ContainerSpec {
        ContainerSpec {
            name: format!("{}-{of}", self.name),
            image: image.id.clone(),
            env: BTreeMap::from([
                (RUN_VARIABLE.to_owned(), self.run.guard.run_id().to_owned()),
                (OWNER_VARIABLE.to_owned(), self.run.guard.owner().to_owned()),
            ]),
            labels: self.labels.clone(),
            network: self.name.clone(),
            ..ContainerSpec::default()
        }
    }

    async fn start_one_store(&self, store: Store) -> Result<StoreInstance, BackendError> {
        let image = self.images.store(store)?;
        let mut spec = self.container_spec(store.as_str(), image);
        let volume = self.volumes.get(&store);
        spec.binds.extend(volume.map(|volume| format!("{}:{VOLUME}", volume.display())));
        spec.command = Some(docker_stores::command_of(store, &self.stack, volume.is_some()));
        if self.clocked.contains(&store) {
            let file = self.give_clock(Some(store), store.as_str(), &mut spec);
            let file = file.map_err(|error| super::process::failed("give a store a clock", &error))?;
            self.state().store_clocks.extend(file.map(|file| (store, file)));
        }
        let started = StoreContainer::start(&self.engine.docker, &self.run.guard, store, spec).await?;
        let instance = started.instance();
        self.state().stores.insert(store, Arc::new(started));
        Ok(instance)
    }

    async fn start_another_redis(&self) -> Result<(), BackendError> {
        let store = Store::Redis;
        let mut spec = self.container_spec("another-redis", self.images.store(store)?);
        spec.command = Some(docker_stores::command_of(store, &self.stack, false));
        let started = StoreContainer::start(&self.engine.docker, &self.run.guard, store, spec).await?;
        self.state().another_redis = Some(Arc::new(started));
        Ok(())
    }

    async fn start(
        &self,
        spec: &ProcessSpec,
        env: BTreeMap<String, String>,
    ) -> Result<Arc<RunningProcess>, BackendError> {
        let docker = &self.engine.docker;
        let last = self.state().processes.get(&spec.name).cloned();
        let mut told = env;
        told.extend(fleet_settings(spec).map(|settings| (FLEET_VARIABLE.to_owned(), settings)));
        let generation = last.as_ref().map_or(1, |last| last.running.generation + 1);
        if let Some(last) = &last {
            container::wait_until_stopped(docker, &last.container).await;
        }
        let again = last.filter(|last| last.told == told).map(|last| last.container);
        let is_new = again.is_none();
        let container = match again {
            Some(container) => container,
            None => self.create_for(spec, told.clone(), generation).await?,
        };
        let (sink, by) = (self.run.sink.clone(), spec.name.clone());
        let stdout = OutputStream::stdout(sink.clone(), spec);
        let stderr = OutputStream::stderr(sink.clone(), spec);
        let input = container::attach(docker, &container, stdout, stderr, spec.reads_jobs()).await?;
        let started = match container::start(docker, &container, spec.name.as_str()).await {
            Ok(started) => started,
            Err(error) => {
                if is_new {
                    // Nobody knows of it, and its name is wanted again.
                    container::remove(docker, &container).await;
                }
                return Err(error);
            }
        };
        let pid = started.pid;
        sink.send(started.at, by.clone(), What::Started { generation, pid: pid.unsigned_abs() });
        let exit = container::watch_exit(docker, &container, &started.pidfd, move |at, exit| {
            sink.send(at, by, What::Exited { generation, code: exit.code, signal: exit.signal });
        });
        let exit = exit.map_err(|error| super::process::failed(&format!("watch {}", spec.name), &error))?;
        let name = spec.name.clone();
        let running = Arc::new(RunningProcess {
            name,
            pid,
            pidfd: started.pidfd,
            generation,
            exit,
            stop_signal: spec.stop_signal,
            input,
        });
        let member = Member { container, address: started.address, told, running: running.clone() };
        self.state().processes.insert(spec.name.clone(), member);
        Ok(running)
    }

    async fn create_for(
        &self,
        spec: &ProcessSpec,
        env: BTreeMap<String, String>,
        generation: u32,
    ) -> Result<String, BackendError> {
        let image = self.images.process(spec)?;
        let name =
            if generation == 1 { spec.name.to_string() } else { format!("{}-{generation}", spec.name) };
        let mut container = self.container_spec(&name, image);
        container.open_stdin = spec.reads_jobs();
        container.env.extend(env);
        match &spec.program {
            Program::Reference { .. } | Program::Table { .. } => {
                container.command = role_of(&spec.program).map(|role| vec![role.into()]);
            }
            Program::External { command, working_directory, recipe, .. } => {
                container.command.clone_from(command);
                // A folder of this host is none in an image.
                container.working_directory =
                    working_directory.as_ref().and_then(|directory| directory.in_image.clone());
                if let Some(outfit) = recipe.as_ref().and_then(|recipe| self.outfits.get(recipe)) {
                    container.working_directory = Some(contained::SOURCE.to_owned());
                    container.binds.extend(outfit.binds.iter().cloned());
                    // What the scenario says itself stands.
                    for (name, value) in &outfit.environment {
                        container.env.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                }
            }
            Program::Missing { .. } => container.entrypoint = Some(vec![NO_PROGRAM.into()]),
        }
        if !spec.files.is_empty() {
            let directory = self.directory.join("files").join(&name);
            files::write(&directory, &spec.files).map_err(|error| {
                super::process::failed(&format!("write the files of {}", spec.name), &error)
            })?;
            container.binds.push(format!("{}:{FILES_DIRECTORY}:ro", directory.display()));
        }
        self.add_clock(spec, &mut container)
            .map_err(|error| super::process::failed(&format!("give {} a clock", spec.name), &error))?;
        container::create(&self.engine.docker, &self.run.guard, container).await
    }

    fn add_clock(&self, spec: &ProcessSpec, container: &mut ContainerSpec) -> std::io::Result<()> {
        if spec.fake_clock
            && let Some(file) = self.give_clock(None, spec.name.as_str(), container)?
        {
            self.state().clocks.insert(spec.name.clone(), file);
        }
        Ok(())
    }

    /// Returns the clock's file on this host.
    fn give_clock(
        &self,
        store: Option<Store>,
        of: &str,
        container: &mut ContainerSpec,
    ) -> std::io::Result<Option<PathBuf>> {
        let Some(library) = self.libfaketime.as_ref() else { return Ok(None) };
        // The directory is mounted, not the file: the file is replaced, not rewritten.
        let directory = self.directory.join("clocks").join(of);
        fs::create_dir_all(&directory)?;
        let file = directory.join(CLOCK_FILE);
        fs::write(&file, "+0\n")?;
        container.binds.push(format!("{}:{CLOCK_DIRECTORY}:ro", directory.display()));
        container.binds.push(format!("{}:{LIBFAKETIME}:ro", fs::canonicalize(library)?.display()));
        let inside = format!("{CLOCK_DIRECTORY}/{CLOCK_FILE}");
        let variables = faketime_environment(store, LIBFAKETIME.as_ref(), inside.as_ref());
        container.env.extend(
            variables
                .into_iter()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        Ok(Some(file))
    }

    fn store_container(&self, store: Store) -> Result<Arc<StoreContainer>, BackendError> {
        let found = self.state().stores.get(&store).cloned();
        found.ok_or_else(|| BackendError::Failed(format!("{store} was not started")))
    }

    async fn remove_all(&self) -> Vec<String> {
        let which = Which::Site { site: &self.name, owner: self.run.guard.owner() };
        let (mut cleaned, hung) = labels::remove(&self.engine.docker, which).await;
        if !cleaned.failed.is_empty() && !hung {
            // A network goes only when the engine has done with its last container.
            (cleaned, _) = labels::remove(&self.engine.docker, which).await;
        }
        cleaned.add(undo::remove_directory(&self.directory));
        cleaned.failed
    }
}

impl Site for DockerSite {
    fn proxy_address(&self) -> IpAddr {
        self.gateway
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
        Some((self.state().processes.get(process)?.address, HTTP_PORT).into())
    }

    fn files_directory(&self, _process: &ProcessName) -> String {
        FILES_DIRECTORY.to_owned()
    }

    fn http_port(&self, _process: &ProcessName) -> u16 {
        HTTP_PORT
    }

    fn process(&self, name: &ProcessName) -> Option<Arc<RunningProcess>> {
        self.state().processes.get(name).map(|member| member.running.clone())
    }

    fn lacked_memory(&self, process: &ProcessName) -> BoxFuture<'_, Option<bool>> {
        let container = self.state().processes.get(process).map(|member| member.container.clone());
        async move { container::lacked_memory(&self.engine.docker, &container?).await }.boxed()
    }

    fn store(&self, store: Store) -> Option<StoreInstance> {
        self.state().stores.get(&store).map(|container| container.instance())
    }

    fn store_down(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>> {
        async move { self.store_container(store)?.down(how).await }.boxed()
    }

    fn store_up(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>> {
        async move { self.store_container(store)?.up(how).await }.boxed()
    }

    fn clock_file(&self, process: &ProcessName) -> Option<PathBuf> {
        self.state().clocks.get(process).cloned()
    }

    fn store_clock_file(&self, store: Store) -> Option<PathBuf> {
        self.state().store_clocks.get(&store).cloned()
    }

    fn another_redis(&self) -> Option<StoreInstance> {
        self.state().another_redis.as_ref().map(|container| container.instance())
    }

    fn volume(&self, store: Store) -> Option<PathBuf> {
        self.volumes.get(&store).cloned()
    }

    fn versions(&self) -> Vec<(String, String)> {
        let engine = ("docker".to_owned(), self.engine.version.clone());
        let stores: Vec<_> = self.state().stores.values().map(|store| store.version()).collect();
        std::iter::once(engine).chain(stores).chain(self.images.list()).collect()
    }

    fn tear_down(&self) -> BoxFuture<'_, Vec<String>> {
        self.remove_all().boxed()
    }
}

fn make_outfits(
    run: &RunContext,
    scenario: &Scenario,
    images: &images::Resolved,
    directory: &Path,
) -> Result<BTreeMap<Recipe, Contained>, BackendError> {
    let numbered = recipe::all(scenario).enumerate();
    let made = numbered.map(|(number, recipe)| {
        let source = directory.join(format!("source-{number}"));
        Ok((recipe.clone(), contained::make(recipe, images.python(recipe), &source, &run.guard)?))
    });
    made.collect()
}

/// `internal`: no route leads from it to anywhere but this host.
async fn create_network(
    docker: &Docker,
    name: &str,
    labels: &HashMap<String, String>,
) -> Result<IpAddr, BackendError> {
    let making =
        |error: bollard::errors::Error| container::failed(&format!("make the network {name}"), &error);
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".into()),
        internal: Some(true),
        labels: Some(labels.clone()),
        ..NetworkCreateRequest::default()
    };
    docker.create_network(request).await.map_err(making)?;
    let seen = docker.inspect_network(name, None::<InspectNetworkOptions>).await.map_err(making)?;
    let configs = seen.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let gateway = configs.into_iter().find_map(|config| {
        // Some engines append the prefix's length.
        config.gateway?.split('/').next()?.parse().ok()
    });
    gateway.ok_or_else(|| BackendError::Failed(format!("the network {name} has no gateway address")))
}
