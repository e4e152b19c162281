//! What a proxy costs between a client and a real Redis: directly, through a plain tokio copy, through
//! Syncope's proxy, through it with a tap that waits for a command that does not come, and through HAProxy if
//! it is installed. `cargo bench --bench proxy`.
//!
//! The hosts that this runs on are never quiet, so a figure alone says little: the ways take turns in
//! short rounds, and what is compared is the median over the rounds of each way's ratio to direct
//! in the same round. Where other work wants the cores, requests per second say most of all how
//! many threads a proxy competes with; the processor time that it needs for a request is a better guide then.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use syncope::fault::FaultId;
use syncope::fault::wire::{CommandPattern, Side, Wire};
use syncope::names::{Endpoint, Link, Store};
use syncope::proxy::Proxy;
use syncope::time::Span;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 21;
const PINGS: usize = 500;
const CONNECTIONS: usize = 50;
/// Requests that are sent at once, where they are pipelined.
const PIPELINED: usize = 16;
const REQUESTS_LASTING: Duration = Duration::from_millis(200);
/// Values per round, each set once and got once.
const VALUES: usize = 24;
const VALUE_BYTES: usize = 1 << 20;
const READY_WITHIN: Duration = Duration::from_secs(10);

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the proxy benchmark did not run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (_redis, redis) = start_redis(dir.path())?;

    let copies = tokio::runtime::Runtime::new()?;
    let copy = copies.block_on(plain_copy(redis))?;

    let proxy = Proxy::start(clock)?;
    let link = |from: &str| Link { from: from.into(), to: Endpoint::Store(Store::Redis) };
    let syncope = proxy.listen(link("bench"), Ipv4Addr::LOCALHOST.into(), Some(redis))?;
    let tapped = proxy.listen(link("tapped"), Ipv4Addr::LOCALHOST.into(), Some(redis))?;
    for (number, side) in [Side::Before, Side::After].into_iter().enumerate() {
        let command = CommandPattern { name: Some("EVALSHA".into()), ..CommandPattern::default() };
        let wire = Wire { links: vec![link("tapped")], command, nth: 1, side };
        let fault = FaultId(number as u16);
        proxy.tap(vec![(fault, wire)], Box::new(|_, _| {}))?;
        proxy.arm(fault, Span::from_secs(3_600))?;
    }

    let mut ways = vec![
        Way::new(0, "direct", ProxyThreads::None, redis),
        Way::new(1, "tokio copy", ProxyThreads::Named("tokio-rt-worker"), copy),
        Way::new(2, "syncope", ProxyThreads::Named("syncope-proxy"), syncope),
        Way::new(3, "tapped", ProxyThreads::Named("syncope-proxy"), tapped),
    ];
    let haproxy = start_haproxy(dir.path(), redis);
    match &haproxy {
        Ok((server, address)) => {
            ways.push(Way::new(4, "haproxy", ProxyThreads::Of(server.0.id()), *address));
        }
        Err(error) => eprintln!("without haproxy: {error}"),
    }

    let client = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for round in 0..ROUNDS {
        // Another order each time: what a round leaves behind falls on each way alike.
        ways.rotate_left(round % 2 + 1);
        for way in &mut ways {
            way.ping_micros.push(ping_micros(way.address)?);
        }
        for way in &mut ways {
            let before = way.proxy.cpu_micros();
            let (requests, per_second) = client.block_on(requests(way.address, 1))?;
            way.requests.push(per_second);
            way.cpu_micros.push((way.proxy.cpu_micros() - before) / requests);
        }
        for way in &mut ways {
            way.pipelined.push(client.block_on(requests(way.address, PIPELINED))?.1);
        }
        for way in &mut ways {
            way.bandwidth.push(mebibytes_per_second(way.address)?);
        }
    }
    ways.sort_by_key(|way| way.place);
    print(&ways);
    Ok(())
}

/// A way to Redis, with one figure per round.
struct Way {
    /// In the table; the first is what the others are compared with.
    place: usize,
    name: &'static str,
    proxy: ProxyThreads,
    address: SocketAddr,
    ping_micros: Vec<f64>,
    requests: Vec<f64>,
    pipelined: Vec<f64>,
    /// Of the proxy alone, per request.
    cpu_micros: Vec<f64>,
    bandwidth: Vec<f64>,
}

/// Whose processor time a way costs.
enum ProxyThreads {
    None,
    /// Threads of this process, by name.
    Named(&'static str),
    /// All threads of a process.
    Of(u32),
}

impl ProxyThreads {
    /// Used so far. Zero where the kernel does not account for it.
    fn cpu_micros(&self) -> f64 {
        let (tasks, name) = match self {
            Self::None => return 0.0,
            Self::Named(name) => ("/proc/self/task".to_owned(), Some(*name)),
            Self::Of(pid) => (format!("/proc/{pid}/task"), None),
        };
        let nanos = std::fs::read_dir(tasks).into_iter().flatten().flatten().filter_map(|task| {
            let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
            let counts = match name {
                Some(name) => read("comm")?.trim() == name,
                None => true,
            };
            if counts { read("schedstat")?.split(' ').next()?.parse::<f64>().ok() } else { None }
        });
        nanos.sum::<f64>() / 1e3
    }
}

impl Way {
    fn new(place: usize, name: &'static str, proxy: ProxyThreads, address: SocketAddr) -> Self {
        let [ping_micros, requests, pipelined, cpu_micros, bandwidth] = [const { Vec::new() }; 5];
        Self { place, name, proxy, address, ping_micros, requests, pipelined, cpu_micros, bandwidth }
    }
}

fn print(ways: &[Way]) {
    let direct = &ways[0];
    println!(
        "{:12} {:>16} {:>24} {:>16} {:>24} {:>24}",
        "",
        "PING µs (added)",
        "50 connections req/s",
        "its CPU µs/req",
        "16 at once req/s",
        "1 MiB values MiB/s"
    );
    for way in ways {
        let added: Vec<f64> = paired(way, direct, |way| &way.ping_micros).map(|(a, b)| a - b).collect();
        let requests: Vec<f64> = paired(way, direct, |way| &way.requests).map(|(a, b)| a / b).collect();
        let pipelined: Vec<f64> = paired(way, direct, |way| &way.pipelined).map(|(a, b)| a / b).collect();
        let bandwidth: Vec<f64> = paired(way, direct, |way| &way.bandwidth).map(|(a, b)| a / b).collect();
        println!(
            "{:12} {:>8.1} ({:>+5.1}) {:>17.0} ({:.2}) {:>16.1} {:>17.0} ({:.2}) {:>17.0} ({:.2})",
            way.name,
            median(&way.ping_micros),
            median(&added),
            median(&way.requests),
            median(&requests),
            median(&way.cpu_micros),
            median(&way.pipelined),
            median(&pipelined),
            median(&way.bandwidth),
            median(&bandwidth),
        );
    }
    println!("medians of {ROUNDS} interleaved rounds; in brackets, against direct in the same round");
    let ratio = |figures: fn(&Way) -> &[f64]| {
        median(&paired(&ways[3], &ways[2], figures).map(|(a, b)| a / b).collect::<Vec<_>>())
    };
    println!(
        "with a tap against without: {:.3} of the requests per second, {:.3} pipelined, {:.3} of the bandwidth",
        ratio(|way| &way.requests),
        ratio(|way| &way.pipelined),
        ratio(|way| &way.bandwidth),
    );
}

fn paired<'a>(
    way: &'a Way,
    direct: &'a Way,
    figures: impl Fn(&'a Way) -> &'a [f64],
) -> impl Iterator<Item = (f64, f64)> {
    figures(way).iter().copied().zip(figures(direct).iter().copied())
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The median round trip of a PING on one connection.
fn ping_micros(address: SocketAddr) -> Result<f64> {
    let mut stream = connect(address)?;
    let mut answer = [0; PONG.len()];
    let mut micros = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = Instant::now();
        stream.write_all(PING)?;
        stream.read_exact(&mut answer)?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&micros))
}

/// How many PINGs many connections get answered, and how many per second, each sending the next when it has the
/// answer; `depth` of them at once.
async fn requests(address: SocketAddr, depth: usize) -> Result<(f64, f64)> {
    let (asked, answered) = (PING.repeat(depth), PONG.len() * depth);
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let start = Instant::now();
    let asked = &asked;
    let clients = streams.into_iter().map(|mut stream| async move {
        let (mut answer, mut count) = (vec![0; answered], 0u32);
        while start.elapsed() < REQUESTS_LASTING {
            stream.write_all(asked).await?;
            stream.read_exact(&mut answer).await?;
            count += depth as u32;
        }
        io::Result::Ok(count)
    });
    let counts = futures_util::future::try_join_all(clients).await?;
    let count = f64::from(counts.iter().sum::<u32>());
    Ok((count, count / start.elapsed().as_secs_f64()))
}

/// Large values, set and got on one connection.
fn mebibytes_per_second(address: SocketAddr) -> Result<f64> {
    let mut stream = connect(address)?;
    let mut set = format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n${VALUE_BYTES}\r\n").into_bytes();
    set.resize(set.len() + VALUE_BYTES, b'x');
    set.extend(b"\r\n");
    let mut value = vec![0; format!("${VALUE_BYTES}\r\n").len() + VALUE_BYTES + 2];
    let start = Instant::now();
    for _ in 0..VALUES {
        stream.write_all(&set)?;
        stream.read_exact(&mut [0; b"+OK\r\n".len()])?;
        stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nv\r\n")?;
        stream.read_exact(&mut value)?;
    }
    let mebibytes = (2 * VALUES * VALUE_BYTES) as f64 / f64::from(1 << 20);
    Ok(mebibytes / start.elapsed().as_secs_f64())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What anyone would write: a task per connection, and tokio's own copy.
async fn plain_copy(upstream: SocketAddr) -> io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(upstream).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok(address)
}

/// A child process that is stopped with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_redis(dir: &Path) -> Result<(Server, SocketAddr)> {
    let address = free_address()?;
    let child = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
        .arg(address.port().to_string())
        .arg("--dir")
        .arg(dir)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("redis-server: {error}; `apt-get install redis-server` installs it"))?;
    let server = Server(child);
    wait_for_pong(address).map_err(|error| format!("redis-server on {address}: {error}"))?;
    Ok((server, address))
}

fn start_haproxy(dir: &Path, upstream: SocketAddr) -> Result<(Server, SocketAddr)> {
    let address = free_address()?;
    let config = dir.join("haproxy.cfg");
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen redis\n bind {address}\n server redis {upstream}\n"
    );
    std::fs::write(&config, text)?;
    let child =
        Command::new("haproxy").arg("-q").arg("-db").arg("-f").arg(&config).stderr(Stdio::null()).spawn()?;
    let server = Server(child);
    wait_for_pong(address)?;
    Ok((server, address))
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn wait_for_pong(address: SocketAddr) -> Result<()> {
    let start = Instant::now();
    loop {
        match ping_micros(address) {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > READY_WITHIN => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn clock() -> syncope::time::Instant {
    let time = clock_gettime(ClockId::Monotonic);
    syncope::time::Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
