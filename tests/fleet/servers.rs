//! Redis and Postgres servers of a test's own, on free loopback ports, gone with the value.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub struct RedisServer {
    pub port: u16,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Keeps its data over a kill: append-only file, written at each command.
    pub fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut server = Self { port: free_port(), directory, process: None };
        server.resume();
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A client beside the store under test, to look and to meddle.
    pub fn client(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a Redis address");
        client.get_connection().expect("a connection to Redis")
    }

    pub fn kill(&mut self) {
        stop(self.process.take());
    }

    /// Starts on the same port, with the data that is left.
    pub fn resume(&mut self) {
        let directory = self.directory.path().to_str().expect("a UTF-8 path");
        let port = self.port.to_string();
        let options =
            ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", directory, "--port", &port];
        self.process = Some(spawn(Command::new(find("redis-server")).args(options), "redis-server"));
        await_port(self.port, self.process.as_mut());
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("a running server").id()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub struct PostgresServer {
    pub port: u16,
    data: PathBuf,
    process: Option<Child>,
    _directory: TempDir,
}

impl PostgresServer {
    pub fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let data = directory.path().join("data");
        run(Command::new("cp").args(["-r", "--"]).arg(initialised()).arg(&data), "cp");
        give_to_postgres(directory.path());
        let mut server = Self { port: free_port(), data, process: None, _directory: directory };
        server.resume();
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A client beside the store under test, to look and to meddle.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    /// Returns when the postmaster's children are gone as well: they end by themselves, a moment after
    /// it, and until then no other server can have the data.
    pub fn kill(&mut self) {
        let Some(postmaster) = self.process.take() else { return };
        let pid = postmaster.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("the children of a process that runs");
        stop(Some(postmaster));
        let deadline = Instant::now() + Duration::from_secs(20);
        for child in children.split_whitespace() {
            while Path::new("/proc").join(child).exists() {
                assert!(Instant::now() < deadline, "pid {child} has outlived its postmaster");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    pub fn resume(&mut self) {
        // A killed postmaster leaves its file.
        let _ = std::fs::remove_file(self.data.join("postmaster.pid"));
        let mut server = as_postgres("postgres");
        server.arg("-D").arg(&self.data).args(["-h", "127.0.0.1", "-k", "", "-F", "-p"]);
        self.process = Some(spawn(server.arg(self.port.to_string()), "postgres"));
        await_port(self.port, self.process.as_mut());
    }
}

impl Drop for PostgresServer {
    /// Only a server that runs can remove its shared memory: one that was killed is started again.
    fn drop(&mut self) {
        if self.process.is_none() && !std::thread::panicking() {
            self.resume();
        }
        if let Some(mut server) = self.process.take() {
            let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw).expect("its pid");
            // An immediate shutdown.
            let _ = kill_process(pid, Signal::QUIT);
            let _ = server.wait();
        }
    }
}

/// A data directory to copy. Made once and kept in Cargo's folder for such things: it takes seconds.
fn initialised() -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres-15");
    if !kept.exists() {
        let directory = TempDir::new().expect("a temporary directory");
        give_to_postgres(directory.path());
        let data = directory.path().join("data");
        let options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--username=postgres", "-D"];
        run(as_postgres("initdb").args(options).arg(&data), "initdb");
        let copy = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        run(Command::new("cp").args(["-r", "--"]).arg(&data).arg(copy.path().join("data")), "cp");
        // If another test was faster, its directory is as good.
        let _ = std::fs::rename(copy.path().join("data"), &kept);
    }
    kept
}

/// It refuses to run as root, so another user must own its data.
fn give_to_postgres(directory: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres"]).arg(directory), "chown to postgres");
    }
}

fn run(command: &mut Command, name: &str) {
    let status = spawn(command, name).wait().expect("its end");
    assert!(status.success(), "{name} failed ({status}); is postgresql-15 installed?");
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port").port()
}

/// A command that is killed when the test ends, even if the test is killed itself.
pub fn mortal(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

pub fn await_port(port: u16, mut process: Option<&mut Child>) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(Ok(Some(status))) = process.as_mut().map(|process| process.try_wait()) {
            panic!("the server on port {port} ended: {status}");
        }
        std::thread::yield_now();
    }
}

fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    // An immediate shutdown, in which a server removes its shared memory.
    command.args(["--pdeathsig", "QUIT"]).arg(find(program));
    command
}

fn spawn(command: &mut Command, name: &str) -> Child {
    let command = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("failed to start {name}: {error}"))
}

fn stop(process: Option<Child>) {
    if let Some(mut process) = process {
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// On the PATH, or where Debian puts the programs of Postgres.
fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/lib/postgresql/15/bin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: apt-get install redis-server postgresql-15"))
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
