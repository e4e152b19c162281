//! What each statement does to the tables, on a real Postgres.

use syncope::live::store::{Limits, PostgresStore};
use syncope::names::Store;
use syncope::protocol::command::JobStatus;
use syncope::protocol::{Command, Reply, StoreError};
use syncope::time::Span;

use crate::servers::PostgresServer;

#[tokio::test]
async fn the_schema_is_made_once_by_however_many_callers() {
    let server = PostgresServer::start();
    let stores = [open(&server).await, open(&server).await, open(&server).await];
    let made = tokio::join!(stores[0].create_schema(), stores[1].create_schema(), stores[2].create_schema());
    assert_eq!(made, (Ok(()), Ok(()), Ok(())));
    assert_eq!(stores[0].create_schema().await, Ok(()));
    steps_are_saved_once(&stores[0]).await;
    statuses_go_forward(&stores[0], &server.client().await).await;
    every_execution_has_an_effect(&stores[0]).await;
    a_statement_behind_a_lock_is_cancelled(&stores[0], server.client().await).await;
}

async fn steps_are_saved_once(store: &PostgresStore) {
    let save = |step| Command::SaveStep { job: "a".into(), step, worker: "w1".into() };
    let load = Command::LoadSteps { job: "a".into() };
    assert_eq!(store.execute(&load).await, Ok(Reply::Steps(vec![])));
    assert_eq!(store.execute(&save(2)).await, Ok(Reply::Saved(true)));
    assert_eq!(store.execute(&save(0)).await, Ok(Reply::Saved(true)));
    assert_eq!(store.execute(&save(2)).await, Ok(Reply::Saved(false)));
    assert_eq!(store.execute(&load).await, Ok(Reply::Steps(vec![0, 2])));
    assert_eq!(store.execute(&Command::DropSteps { job: "a".into() }).await, Ok(Reply::Done));
    assert_eq!(store.execute(&load).await, Ok(Reply::Steps(vec![])));
}

async fn statuses_go_forward(store: &PostgresStore, look: &tokio_postgres::Client) {
    let failed = JobStatus::Failed { error: "no luck".into(), attempts: 3 };
    let cases = [
        (JobStatus::Processing, ("processing", None, 0)),
        (JobStatus::Pending, ("processing", None, 0)),
        (failed.clone(), ("failed", Some("no luck"), 3)),
        (JobStatus::Processing, ("processing", None, 3)),
        (JobStatus::Completed, ("completed", None, 3)),
        (JobStatus::Processing, ("completed", None, 3)),
        (failed, ("completed", None, 3)),
    ];
    for (status, expected) in cases {
        let set = Command::SetStatus { job: "a".into(), status };
        assert_eq!(store.execute(&set).await, Ok(Reply::Done));
        let row = look.query_one("SELECT status, error, attempts FROM jobs WHERE id = 'a'", &[]).await;
        let row = row.expect("the job's row");
        assert_eq!((row.get(0), row.get(1), row.get(2)), expected, "after {set:?}");
    }
}

async fn every_execution_has_an_effect(store: &PostgresStore) {
    for (job, attempt) in [("job-1", 1), ("job-1", 1), ("job-2", 2), ("else", 1)] {
        let record = Command::RecordEffect { job: job.into(), worker: "w1".into(), attempt };
        assert_eq!(store.execute(&record).await, Ok(Reply::Done));
    }
    assert_eq!(store.finished_jobs("job-", 10).await, Ok(vec!["job-2".into(), "job-1".into()]));
    assert_eq!(store.finished_jobs("job-", 1).await, Ok(vec!["job-2".into()]));
}

async fn a_statement_behind_a_lock_is_cancelled(store: &PostgresStore, other: tokio_postgres::Client) {
    other.batch_execute("BEGIN; LOCK TABLE effects IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    let record = Command::RecordEffect { job: "late".into(), worker: "w1".into(), attempt: 1 };
    assert_eq!(store.execute(&record).await, Err(StoreError::Timeout));
    assert!(store.is_connected(), "the server answered: the connection is kept");
    other.batch_execute("COMMIT").await.expect("the lock's end");
    assert_eq!(store.finished_jobs("late", 1).await, Ok(vec![]));
}

async fn open(server: &PostgresServer) -> PostgresStore {
    let store = PostgresStore::connect(&server.url(), Limits::default()).expect("an address");
    let ready = Command::AwaitReady { store: Store::Postgres, within: Span::from_secs(10) };
    assert_eq!(store.execute(&ready).await, Ok(Reply::Ready(true)));
    store
}
