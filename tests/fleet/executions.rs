//! Fleets whose jobs are in Postgres: no Redis is there.

use std::collections::BTreeMap;

use rustix::process::Signal;
use syncope::live::store::{Limits, PostgresStore};
use syncope::names::Store;
use syncope::protocol::table::{RescueSettings, SweepSettings, Watch};
use syncope::protocol::{Command, FleetEvent, JobSpec, Reply, TableCommand, TableSettings};
use syncope::time::Span;

use crate::fleet::{Process, job};
use crate::servers::PostgresServer;

/// The source systems' settings at a few hundredths.
fn settings(watch: Watch) -> TableSettings {
    TableSettings {
        concurrency: 1,
        claim_poll: Span::from_millis(20),
        shutdown_grace: Span::from_secs(20),
        interval: Span::from_millis(100),
        patience: Span::from_secs(2),
        fencing: true,
        watch,
    }
}

struct Stack {
    postgres: PostgresServer,
    store: PostgresStore,
    settings: TableSettings,
}

impl Stack {
    async fn start(watch: Watch) -> Self {
        let postgres = PostgresServer::start();
        let store = PostgresStore::connect(&postgres.url(), Limits::default()).expect("an address");
        let ready = Command::AwaitReady { store: Store::Postgres, within: Span::from_secs(20) };
        assert_eq!(store.execute(&ready).await, Ok(Reply::Ready(true)));
        store.create_schema().await.expect("the tables");
        Self { postgres, store, settings: settings(watch) }
    }

    fn process(&self, role: &str, name: &str) -> Process {
        let environment = [
            ("SYNCOPE_FLEET", serde_json::to_string(&self.settings).expect("JSON")),
            ("SYNCOPE_NAME", name.into()),
            ("DATABASE_URL", self.postgres.url()),
        ];
        let environment: BTreeMap<String, String> =
            environment.map(|(name, value)| (name.into(), value)).into();
        Process::start(role, environment)
    }

    async fn enqueue(&self, job: JobSpec) {
        let enqueue = Command::Table(TableCommand::Enqueue { job });
        assert_eq!(self.store.execute(&enqueue).await, Ok(Reply::Enqueued(true)));
    }

    /// Exit code and answer of an operator's question.
    fn operator(&self, words: &[&str]) -> (Option<i32>, String) {
        let asked = std::process::Command::new(crate::fleet::PROGRAM)
            .args(words)
            .env_clear()
            .env("DATABASE_URL", self.postgres.url())
            .output()
            .expect("the program");
        (asked.status.code(), String::from_utf8_lossy(&asked.stdout).into_owned())
    }

    /// Status, error, and how often the job was done.
    async fn outcome(&self, job: &str) -> (String, Option<String>, i64) {
        const OUTCOME: &str = "SELECT status, execution_error,
            (SELECT count(*) FROM effects WHERE job = $1) FROM executions WHERE execution_id = $1";
        let row = self.postgres.client().await.query_one(OUTCOME, &[&job]).await.expect("the job's row");
        (row.get(0), row.get(1), row.get(2))
    }
}

async fn taken(process: &mut Process) -> (Vec<String>, Vec<String>) {
    let names = |jobs: &[syncope::names::JobId]| jobs.iter().map(ToString::to_string).collect();
    let stalled = process.until("stalled", |ev| match ev {
        FleetEvent::Stalled { requeued, failed, .. } => Some((names(requeued), names(failed))),
        _ => None,
    });
    stalled.await
}

#[tokio::test]
async fn the_sweeper_fails_the_job_of_a_killed_worker() {
    let sweep = SweepSettings {
        threshold: Span::from_millis(600),
        interval: Span::from_millis(100),
        may_update: true,
    };
    let stack = Stack::start(Watch::Sweeper(sweep)).await;
    let mut sweeper = stack.process("sweeper", "sweeper");
    sweeper.ready().await;
    let mut worker = stack.process("table-worker", "worker-1");
    worker.ready().await;
    stack.enqueue(job("quick", &[10])).await;
    worker.completes("quick").await;
    stack.enqueue(job("slow", &[60_000])).await;
    assert_eq!(worker.claims("slow").await, (1, 0));
    worker.signal(Signal::KILL);
    assert_eq!(taken(&mut sweeper).await, (vec![], vec!["slow".to_owned()]));
    assert_eq!(stack.outcome("quick").await, ("completed".into(), None, 1));
    let error = Some("Worker died unexpectedly".to_owned());
    assert_eq!(stack.outcome("slow").await, ("failed".into(), error, 0));
    sweeper.signal(Signal::TERM);
    assert_eq!(sweeper.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_worker_puts_back_the_job_of_a_killed_one_and_does_it() {
    let rescue = RescueSettings { threshold: Span::from_millis(600), interval: Span::from_millis(100) };
    let stack = Stack::start(Watch::Workers(rescue)).await;
    let mut first = stack.process("table-worker", "worker-1");
    first.ready().await;
    stack.enqueue(job("a", &[10, 2_000])).await;
    assert_eq!(first.claims("a").await, (1, 0));
    first.until("a step", |ev| matches!(ev, FleetEvent::StepDone { step: 1, .. }).then_some(())).await;
    first.signal(Signal::KILL);
    let mut second = stack.process("table-worker", "worker-2");
    second.ready().await;
    assert_eq!(taken(&mut second).await, (vec!["a".to_owned()], vec![]));
    assert_eq!(second.claims("a").await, (2, 1), "it is a second attempt");
    second.completes("a").await;
    assert_eq!(stack.outcome("a").await, ("completed".into(), None, 1));
}

#[tokio::test]
async fn a_job_that_fails_for_good_is_a_dead_letter_and_can_be_replayed() {
    let rescue = RescueSettings { threshold: Span::from_secs(60), interval: Span::from_secs(60) };
    let stack = Stack::start(Watch::Workers(rescue)).await;
    let mut worker = stack.process("table-worker", "worker-1");
    worker.ready().await;
    let spec = JobSpec { attempts: 2, failing_attempts: 2, ..job("a", &[10]) };
    stack.enqueue(spec).await;
    for attempt in [1, 2] {
        assert_eq!(worker.claims("a").await, (attempt, 0));
    }
    worker
        .until("it failed", |ev| matches!(ev, FleetEvent::AttemptFailed { retry_in: None, .. }).then_some(()))
        .await;
    assert_eq!(stack.outcome("a").await, ("dead_letter".into(), Some("planned failure".into()), 0));
    assert_eq!(stack.operator(&["dead-letters"]), (Some(0), "a: 2 attempts, planned failure\n".into()));
    assert_eq!(stack.operator(&["stats"]), (Some(0), "dead_letter: 1\n".into()));
    let (code, status) = stack.operator(&["status"]);
    assert!(code == Some(0) && status.starts_with("workers: 1\nlast beat: "), "{status}");
    assert!(status.ends_with("status: healthy\ndigest: available\nsort: available\n"), "{status}");
    assert_eq!(stack.operator(&["replay", "b"]).0, Some(1), "there is no such dead letter");
    assert_eq!(stack.operator(&["replay", "a"]), (Some(0), "a is queued again\n".into()));
    assert_eq!(worker.claims("a").await, (1, 0), "with all of its attempts");
}

#[test]
fn a_missing_database_is_named() {
    let worker = std::process::Command::new(crate::fleet::PROGRAM)
        .arg("table-worker")
        .env_clear()
        .env("SYNCOPE_NAME", "worker-1")
        .env("SYNCOPE_FLEET", {
            let rescue = RescueSettings { threshold: Span::from_secs(1), interval: Span::from_secs(1) };
            serde_json::to_string(&settings(Watch::Workers(rescue))).expect("JSON")
        })
        .output()
        .expect("the program");
    assert_eq!(worker.status.code(), Some(2));
    let message = String::from_utf8_lossy(&worker.stderr);
    assert!(message.contains("DATABASE_URL is not set"), "{message}");
}
