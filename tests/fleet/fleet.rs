//! Processes of the reference fleet, and what they say.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use syncope::live::store::{Limits, PostgresStore, RedisStore};
use syncope::names::{JobId, Store};
use syncope::protocol::event::FleetLine;
use syncope::protocol::{
    Backoff, Command, FleetEvent, FleetSettings, HeartbeatSettings, JobSpec, QueueSettings, Reply,
};
use syncope::time::Span;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::servers::{PostgresServer, RedisServer, mortal};

/// No event of these tests is further away than this.
const PATIENCE: Duration = Duration::from_secs(30);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_syncope-fleet");

/// Stores with the tables made, and the producer's and the observer's clients.
pub struct Stack {
    pub redis: RedisServer,
    pub postgres: PostgresServer,
    pub queue: RedisStore,
    pub settings: FleetSettings,
}

impl Stack {
    pub async fn start(settings: FleetSettings) -> Self {
        let (redis, postgres) = (RedisServer::start(), PostgresServer::start());
        let limits = Limits::default();
        let keep = Span::from_secs(60);
        let queue = RedisStore::connect(&redis.url(), &settings.prefix, keep, limits).expect("an address");
        let tables = PostgresStore::connect(&postgres.url(), limits).expect("an address");
        let within = Span::from_secs(20);
        let ready = |store| Command::AwaitReady { store, within };
        assert_eq!(queue.execute(&ready(Store::Redis)).await, Ok(Reply::Ready(true)));
        assert_eq!(tables.execute(&ready(Store::Postgres)).await, Ok(Reply::Ready(true)));
        tables.create_schema().await.expect("the tables");
        Self { redis, postgres, queue, settings }
    }

    pub fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let settings = serde_json::to_string(&self.settings).expect("JSON");
        [
            ("SYNCOPE_FLEET", settings),
            ("SYNCOPE_NAME", name.into()),
            ("REDIS_URL", self.redis.url()),
            ("DATABASE_URL", self.postgres.url()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into()
    }

    pub fn worker(&self, name: &str) -> Process {
        Process::start("worker", self.environment(name))
    }

    pub async fn enqueue(&self, job: JobSpec) {
        // This client finds its way back to a server that was down by itself, and in its own time.
        let ready = Command::AwaitReady { store: Store::Redis, within: Span::from_secs(10) };
        assert_eq!(self.queue.execute(&ready).await, Ok(Reply::Ready(true)));
        let enqueue = Command::Enqueue { queue: "regular".into(), job };
        assert_eq!(self.queue.execute(&enqueue).await, Ok(Reply::Enqueued(true)));
    }

    /// How often the job was done, and its status.
    pub async fn outcome(&self, job: &str) -> (i64, String) {
        const OUTCOME: &str = "SELECT (SELECT count(*) FROM effects WHERE job = $1), status
            FROM jobs WHERE id = $1";
        let row = self.postgres.client().await.query_one(OUTCOME, &[&job]).await.expect("the job's row");
        (row.get(0), row.get(1))
    }
}

/// One process; killed with the value.
pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Everything it said up to now.
    pub said: Vec<FleetLine>,
}

impl Process {
    pub fn start(role: &str, environment: BTreeMap<String, String>) -> Self {
        let mut command = tokio::process::Command::from(mortal(Path::new(PROGRAM)));
        command.arg(role).envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("setpriv, of util-linux");
        let out = child.stdout.take().expect("it is piped");
        Self { child, lines: BufReader::new(out).lines(), said: vec![] }
    }

    /// The next event that `pick` accepts.
    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&FleetEvent) -> Option<T>) -> T {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("never: {what}; it said {:#?}", self.said));
            let Some(line) = line.expect("its output") else {
                panic!("it ended without: {what}; it said {:#?}", self.said);
            };
            let line: FleetLine =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            self.said.push(line);
            if let Some(picked) = self.said.last().and_then(|line| pick(&line.ev)) {
                return picked;
            }
        }
    }

    pub async fn ready(&mut self) {
        self.until("ready", |ev| matches!(ev, FleetEvent::Ready { .. }).then_some(())).await;
    }

    /// The attempt and the stalls of the job's next claim.
    pub async fn claims(&mut self, id: &str) -> (u32, u32) {
        self.until("claimed", |ev| match ev {
            FleetEvent::Claimed { job, attempt, stalls } if job.as_str() == id => Some((*attempt, *stalls)),
            _ => None,
        })
        .await
    }

    pub async fn completes(&mut self, id: &str) {
        self.until("completed", |ev| {
            matches!(ev, FleetEvent::Completed { job } if job.as_str() == id).then_some(())
        })
        .await;
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("it runs");
        kill_process(pid, signal).expect("the signal");
    }

    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it should end").expect("its exit")
    }

    /// As if who reads its events had died.
    pub async fn ended_after_its_output_was_closed(self) -> ExitStatus {
        let Self { mut child, lines, .. } = self;
        drop(lines);
        timeout(PATIENCE, child.wait()).await.expect("it should end").expect("its exit")
    }
}

/// The source system's settings at a hundredth or so.
pub fn settings() -> FleetSettings {
    FleetSettings {
        prefix: "app:test".into(),
        queue: QueueSettings {
            queues: vec!["regular".into(), "large".into()],
            concurrency: 1,
            lock_duration: Span::from_millis(500),
            lock_renew: Span::from_millis(200),
            stalled_interval: Span::from_millis(250),
            max_stalled_count: 1,
            claim_poll: Span::from_millis(20),
            shutdown_grace: Span::from_secs(20),
            keep_failed: Span::from_secs(60),
            fencing: true,
        },
        heartbeat: None,
        pool: None,
        planted_bug: None,
    }
}

pub fn heartbeat() -> HeartbeatSettings {
    HeartbeatSettings {
        interval: Span::from_millis(50),
        ttl: Span::from_millis(600),
        threshold: Span::from_millis(900),
        retries: 1,
        retry_backoff: Span::from_millis(20),
        ready_wait: Span::from_millis(300),
        lock_ttl: Span::from_millis(600),
        lock_interval: Span::from_millis(100),
    }
}

pub fn job(id: &str, steps_ms: &[u64]) -> JobSpec {
    JobSpec {
        id: JobId::new(id),
        steps: steps_ms.iter().map(|&ms| Span::from_millis(ms)).collect(),
        attempts: 3,
        backoff: Backoff::Fixed(Span::from_millis(10)),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts: 0,
        hanging_attempts: 0,
        tool: None,
    }
}
