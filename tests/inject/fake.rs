//! A site of real child processes and stores, without the provisioning: what the tests of injection
//! and observation run on.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use syncope::backend::BackendError;
use syncope::fault::{OutageKind, Signal as StopSignal};
use syncope::live::provision::{Exit, Input, RunningProcess, Site, StoreInstance};
use syncope::names::{ProcessName, Store};
use syncope::scenario::ProcessSpec;

pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct FakeSite {
    pub processes: Mutex<BTreeMap<ProcessName, Arc<RunningProcess>>>,
    pub clock_files: Mutex<BTreeMap<ProcessName, PathBuf>>,
    pub stores: Mutex<BTreeMap<Store, StoreInstance>>,
    pub http: Mutex<BTreeMap<ProcessName, SocketAddr>>,
    /// What `store_down` and `store_up` say; by default that nothing is known of the store.
    pub store_answer: Mutex<Option<String>>,
}

impl FakeSite {
    /// Starts the command as a process of the fleet, the leader of its own group. Returns its output
    /// after a first line `ready`.
    pub fn run(&self, name: &str, mut command: Command) -> (Arc<RunningProcess>, BufReader<ChildStdout>) {
        let mut child = spawn(command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()));
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        let (exited, exit) = tokio::sync::watch::channel(None);
        std::thread::spawn(move || {
            let status = child.wait().unwrap();
            let _ = exited.send(Some(Exit { code: status.code(), signal: status.signal() }));
        });
        let generation = self.process(&name.into()).map_or(1, |process| process.generation + 1);
        let process = Arc::new(RunningProcess {
            name: name.into(),
            pid,
            pidfd,
            generation,
            exit,
            stop_signal: StopSignal::Term,
            input: Input::default(),
        });
        self.processes.lock().unwrap().insert(name.into(), Arc::clone(&process));
        (process, output)
    }

    pub fn shell(&self, name: &str, script: &str) -> Arc<RunningProcess> {
        self.run(name, shell(script)).0
    }
}

/// `sh` with a script that has to say `ready`.
pub fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that does not outlive this program.
pub fn spawn(command: &mut Command) -> Child {
    // SAFETY: prctl is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.spawn().unwrap()
}

pub fn wait_exit(process: &RunningProcess) -> Exit {
    let started = Instant::now();
    while process.exit.borrow().is_none() {
        assert!(started.elapsed() < PATIENCE, "pid {} does not end", process.pid);
        std::thread::sleep(Duration::from_millis(1));
    }
    process.exit.borrow().unwrap()
}

impl Drop for FakeSite {
    fn drop(&mut self) {
        for process in self.processes.lock().unwrap().values() {
            if let Some(pid) = Pid::from_raw(process.pid) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
    }
}

impl Site for FakeSite {
    fn proxy_address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }

    fn start_stores(&self) -> BoxFuture<'_, Result<BTreeMap<Store, StoreInstance>, BackendError>> {
        Box::pin(async { unimplemented!("the tests start stores themselves") })
    }

    fn start_process(
        &self,
        _: &ProcessSpec,
        _: BTreeMap<String, String>,
    ) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>> {
        Box::pin(async { unimplemented!("the tests start processes themselves") })
    }

    fn http_address(&self, process: &ProcessName) -> Option<SocketAddr> {
        self.http.lock().unwrap().get(process).copied()
    }

    fn http_port(&self, _: &ProcessName) -> u16 {
        0
    }

    fn process(&self, name: &ProcessName) -> Option<Arc<RunningProcess>> {
        self.processes.lock().unwrap().get(name).cloned()
    }

    fn lacked_memory(&self, _process: &ProcessName) -> BoxFuture<'_, Option<bool>> {
        ready(None).boxed()
    }

    fn store(&self, store: Store) -> Option<StoreInstance> {
        self.stores.lock().unwrap().get(&store).cloned()
    }

    fn store_down(&self, _: Store, _: OutageKind) -> BoxFuture<'_, Result<String, BackendError>> {
        let answer = self.store_answer.lock().unwrap().clone();
        Box::pin(async move { answer.ok_or_else(|| BackendError::Failed("it is not running".to_owned())) })
    }

    fn store_up(&self, store: Store, how: OutageKind) -> BoxFuture<'_, Result<String, BackendError>> {
        self.store_down(store, how)
    }

    fn clock_file(&self, process: &ProcessName) -> Option<PathBuf> {
        self.clock_files.lock().unwrap().get(process).cloned()
    }

    fn versions(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn tear_down(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
}

/// A server of a test's own, in a temporary directory on a free loopback port; ends with it.
pub struct Server {
    child: Child,
    pub instance: StoreInstance,
    directory: tempfile::TempDir,
}

/// A killed Postgres leaves its System V segment, which its lock file names on line 7: key and id.
fn remove_shared_memory(data: &Path) {
    let lock = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(id) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
        // A server that ended in good order has removed it.
        let _ = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
    }
}

impl Server {
    pub fn redis() -> Self {
        Self::redis_at(free_port())
    }

    pub fn redis_at(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(directory.path());
        Self::start(Store::Redis, &mut command, port, directory)
    }

    pub fn postgres() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        // Postgres refuses to run as root.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(server_user()), None).unwrap();
            std::os::unix::fs::chown(&data, Some(server_user()), None).unwrap();
        }
        let mut initdb = postgres_program("initdb", &data);
        let made = initdb.args(["--username=postgres", "--auth=trust", "--no-sync"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let mut command = postgres_program("postgres", &data);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let server = Self::start(Store::Postgres, &mut command, port, directory);
        // It accepts connections before it answers queries; its last line here says when it does.
        let started = Instant::now();
        while !std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default().contains("ready") {
            assert!(started.elapsed() < PATIENCE, "postgres does not get ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn start(store: Store, command: &mut Command, port: u16, directory: tempfile::TempDir) -> Self {
        let mut child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{store} ended at once");
            assert!(started.elapsed() < PATIENCE, "{store} does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        let instance = StoreInstance {
            store,
            address,
            pid: i32::try_from(child.id()).unwrap(),
            user: "postgres".to_owned(),
            password: None,
            database: "postgres".to_owned(),
        };
        Self { child, instance, directory }
    }

    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An immediate shutdown, for Postgres with all its children; Redis just ends.
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), Pid::from_raw(self.instance.pid)) {
            let _ = kill_process(pid, Signal::QUIT);
            let _ = kill_process(pid, Signal::CONT);
            if self.instance.store == Store::Redis {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
        remove_shared_memory(&self.directory.path().join("data"));
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn postgres_program(program: &str, data: &Path) -> Command {
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = packaged.map(|version| version.path().join("bin").join(program)).find(|path| path.exists());
    let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(program)));
    command.arg("-D").arg(data).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(server_user());
    }
    command
}

fn server_user() -> u32 {
    use std::os::unix::fs::MetadataExt;
    // The package's own directory belongs to the user that it made.
    std::fs::metadata("/var/lib/postgresql").map_or(65_534, |metadata| metadata.uid())
}
