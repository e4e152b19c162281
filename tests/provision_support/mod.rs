//! What the provisioning tests share: a small scenario, and a place to bring it up in.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use syncope::dist::Distribution;
use syncope::history::{Event, What};
use syncope::live::provision::cleanup::Guard;
use syncope::live::provision::{BackendKind, RunContext, Site, StoreInstance, open};
use syncope::live::sink::Sink;
use syncope::protocol::Backoff;
use syncope::scenario::{
    EffectQuery, Enqueue, Expect, Fleet, FleetRole, FleetSettings, PostgresSpec, ProcessSpec, Program,
    QueueSettings, RedisDurability, RedisSpec, Scenario, Stack, Workload,
};
use syncope::time::{Scale, Span};

pub struct Place {
    pub site: Box<dyn Site>,
    pub guard: Arc<Guard>,
    pub events: Receiver<Event>,
}

/// A run id that no other test has.
pub fn run_id(test: &str) -> String {
    format!("test-{test}-{}", std::process::id())
}

pub async fn place(kind: BackendKind, test: &str, scenario: &Scenario) -> Place {
    // SAFETY: every test sets the same value, before anything reads it.
    unsafe {
        std::env::set_var("SYNCOPE_BIN", env!("CARGO_BIN_EXE_syncope"));
        // The test program is a fleet, too: see `play_fleet`.
        std::env::set_var("SYNCOPE_FLEET_BIN", std::env::current_exe().unwrap());
    }
    let guard = Guard::open(&run_id(test)).unwrap();
    let (to, events) = channel();
    let run = RunContext { guard: guard.clone(), index: 1, sink: Sink::new(to) };
    let site = open(kind, run, scenario).await.unwrap();
    Place { site, guard, events }
}

impl Place {
    /// The next event for which `pick` has an answer.
    pub fn wait<T>(&self, what: &str, pick: impl Fn(&What) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no event: {what}"));
            if let Some(picked) = pick(&event.ev) {
                return picked;
            }
        }
    }

    pub fn wait_for_line(&self, line: &str) {
        self.wait(line, |ev| matches!(ev, What::Line { text } if text == line).then_some(()));
    }

    pub async fn leave(self) {
        let left = self.site.tear_down().await;
        self.guard.close();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

pub fn scenario(redis: Option<RedisDurability>, postgres: bool, processes: Vec<ProcessSpec>) -> Scenario {
    Scenario {
        name: "provision".into(),
        about: String::new(),
        tags: Vec::new(),
        claims: Vec::new(),
        time_scale: Scale::ONE,
        seed: None,
        fleet: Fleet {
            system: "external".into(),
            processes,
            enqueue: Enqueue::Redis { command: Vec::new() },
            liveness: None,
            effects: EffectQuery::default(),
            state: None,
            pipeline: None,
            prepare: Vec::new(),
            concurrency: 1,
        },
        stack: Stack {
            prometheus: None,
            redis: redis.map(|durability| RedisSpec { durability, image: None }),
            postgres: postgres.then(PostgresSpec::default),
        },
        workload: Workload {
            jobs: 0,
            arrival: Distribution::Constant(Span::ZERO),
            steps: 1,
            step_time: Distribution::Constant(Span::ZERO),
            attempts: 1,
            backoff: Backoff::Fixed(Span::ZERO),
            delay: Span::ZERO,
            timeout: None,
            large_timeout: None,
            failing: BTreeMap::new(),
            hanging: BTreeMap::new(),
            kinds: Vec::new(),
        },
        watches: Vec::new(),
        faults: Vec::new(),
        expect: Expect::default(),
        settle: Span::ZERO,
    }
}

/// A shell script as a process of the fleet.
pub fn shell(name: &str, script: &str, image: Option<&str>) -> ProcessSpec {
    ProcessSpec::new(
        name.into(),
        "worker",
        1,
        Program::External {
            command: Some(vec!["sh".into(), "-c".into(), script.into()]),
            image: image.map(str::to_owned),
            working_directory: None,
            recipe: None,
        },
    )
}

/// The reference fleet's program as the tests have it: this very program, which the role as its
/// argument makes run its test of that name, [`play_fleet`].
pub fn reference(name: &str) -> ProcessSpec {
    let queue = QueueSettings {
        queues: vec!["regular".into()],
        concurrency: 1,
        lock_duration: Span::ZERO,
        lock_renew: Span::ZERO,
        stalled_interval: Span::ZERO,
        max_stalled_count: 1,
        claim_poll: Span::ZERO,
        shutdown_grace: Span::ZERO,
        keep_failed: Span::ZERO,
        fencing: true,
    };
    let settings =
        FleetSettings { prefix: "app:test".into(), queue, heartbeat: None, pool: None, planted_bug: None };
    let program = Program::Reference { role: FleetRole::Worker, settings: Box::new(settings) };
    ProcessSpec { program, ..shell(name, "", None) }
}

/// Says its settings and waits to be killed; does nothing where it is run as a test.
pub fn play_fleet() {
    let Ok(settings) = std::env::var("SYNCOPE_FLEET") else { return };
    let settings: FleetSettings = serde_json::from_str(&settings).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nprefix {}", settings.prefix).unwrap();
    out.flush().unwrap();
    loop {
        std::thread::park();
    }
}

pub fn redis_set(store: &StoreInstance, key: &str, value: &str) {
    let mut connection = redis_connection(store);
    redis::cmd("SET").arg(key).arg(value).exec(&mut connection).unwrap();
}

pub fn redis_get(store: &StoreInstance, key: &str) -> Option<String> {
    redis::cmd("GET").arg(key).query(&mut redis_connection(store)).unwrap()
}

fn redis_connection(store: &StoreInstance) -> redis::Connection {
    redis::Client::open(format!("redis://{}", store.address)).unwrap().get_connection().unwrap()
}

pub async fn postgres(store: &StoreInstance) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config.host(store.address.ip().to_string()).port(store.address.port());
    config.user(&store.user).dbname(&store.database);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits, without events to wait for, until nothing is left to be found.
pub fn until(what: &str, within: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !reached() {
        assert!(Instant::now() < deadline, "not in {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A System V segment of a Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    id: i32,
    pub attached: u32,
}

impl Segment {
    pub fn is_there(self) -> bool {
        segment(self.id).is_some()
    }
}

/// Those that the lock files name which the run's servers, living or killed, have in their directories.
pub fn postgres_segments(run: &str) -> Vec<Segment> {
    let sites = ["/dev/shm".into(), std::env::temp_dir()]
        .into_iter()
        .flat_map(|place| std::fs::read_dir(place).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains(run));
    let locks = sites.filter_map(|site| std::fs::read_to_string(site.join("postgres/postmaster.pid")).ok());
    locks.filter_map(|lock| segment(lock.lines().nth(6)?.split_whitespace().nth(1)?.parse().ok()?)).collect()
}

fn segment(id: i32) -> Option<Segment> {
    let all = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    all.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[1].parse() == Ok(id)).then(|| Segment { id, attached: words[6].parse().unwrap() })
    })
}
