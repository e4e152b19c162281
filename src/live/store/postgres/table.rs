//! The commands of fleets whose jobs are in Postgres. Each is one statement.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::{Values, classify, execute, integer};
use crate::names::JobId;
use crate::protocol::command::StalledReport;
use crate::protocol::table::{AfterFailure, WORKER_DIED};
use crate::protocol::{ClaimedJob, Reply, StoreError, TableCommand};
use crate::time::Span;

const ENQUEUE: &str = "INSERT INTO executions (execution_id, status, spec, run_at)
    VALUES ($1, 'queued', $2, now() + $3 * interval '1 microsecond') ON CONFLICT (execution_id) DO NOTHING";

const BEAT: &str = "INSERT INTO worker_heartbeats (worker_id, last_heartbeat_at) VALUES ($1, now())
    ON CONFLICT (worker_id) DO UPDATE SET last_heartbeat_at = excluded.last_heartbeat_at";

/// What is ours and was never answered comes first: `false` sorts before `true`.
const CLAIM: &str = "WITH next AS (
        SELECT execution_id FROM executions
        WHERE (status = 'queued' AND run_at <= now() OR status = 'running' AND worker_id = $1)
            AND execution_id <> ALL ($2)
        ORDER BY status = 'queued', run_at, execution_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    UPDATE executions e SET attempts = e.attempts + (e.status = 'queued')::int, status = 'running',
        worker_id = $1, heartbeat_at = now(), updated_at = now()
    FROM next WHERE e.execution_id = next.execution_id
    RETURNING e.spec, e.attempts, e.stalls";

/// The effect is recorded once for each attempt, also if the statement comes twice. All of its parts see
/// the rows as they were before it.
const FINISH: &str = "WITH finished AS (
        UPDATE executions SET status = 'completed', execution_error = NULL, updated_at = now()
        WHERE execution_id = $1 AND (NOT $4 OR status = 'running' AND worker_id = $2 AND attempts = $3)
        RETURNING execution_id),
    recorded AS (
        INSERT INTO effects (job, worker, attempt) SELECT execution_id, $2, $3 FROM finished
        WHERE NOT EXISTS (SELECT FROM effects WHERE job = $1 AND worker = $2 AND attempt = $3))
    SELECT EXISTS (SELECT FROM finished) OR EXISTS (SELECT FROM executions
        WHERE execution_id = $1 AND status = 'completed' AND worker_id = $2 AND attempts = $3)";

const RETRY: &str = "UPDATE executions SET status = 'queued', worker_id = NULL, execution_error = $4,
        run_at = now() + $5 * interval '1 microsecond', updated_at = now()
    WHERE execution_id = $1 AND status = 'running' AND worker_id = $2 AND attempts = $3";

const BEAT_JOB: &str = "UPDATE executions SET heartbeat_at = now()
    WHERE execution_id = $1 AND status = 'running' AND worker_id = $2 AND attempts = $3";

const FAIL: &str = "UPDATE executions SET status = $5, execution_error = $4, updated_at = now()
    WHERE execution_id = $1 AND status = 'running' AND worker_id = $2 AND attempts = $3";

const RELEASE: &str = "UPDATE executions SET status = 'queued', worker_id = NULL, run_at = now(),
        attempts = attempts - 1, updated_at = now()
    WHERE execution_id = $1 AND status = 'running' AND worker_id = $2 AND attempts = $3";

const FAIL_JOBS_OF_THE_DEAD: &str = "UPDATE executions e
    SET status = 'failed', execution_error = $2, stalls = e.stalls + 1, updated_at = now()
    FROM worker_heartbeats w
    WHERE e.status = 'running' AND e.worker_id = w.worker_id
        AND w.last_heartbeat_at < now() - $1 * interval '1 microsecond'
    RETURNING e.execution_id";

/// Of two lookers that find the same job the second finds it changed.
const RESCUE: &str = "UPDATE executions
    SET status = CASE WHEN attempts < (spec::json ->> 'attempts')::int THEN 'queued' ELSE 'dead_letter' END,
        worker_id = CASE WHEN attempts < (spec::json ->> 'attempts')::int THEN NULL ELSE worker_id END,
        execution_error = $2, stalls = stalls + 1, run_at = now(), updated_at = now()
    WHERE status = 'running' AND heartbeat_at < now() - $1 * interval '1 microsecond'
    RETURNING execution_id, status = 'queued'";

const REPLAY: &str = "UPDATE executions SET status = 'queued', worker_id = NULL, execution_error = NULL,
        attempts = 0, run_at = now(), updated_at = now()
    WHERE execution_id = $1 AND status = 'dead_letter'";

pub(super) async fn run(client: Arc<Client>, command: &TableCommand) -> Result<Reply, StoreError> {
    match command {
        TableCommand::Enqueue { job } => {
            let spec = serde_json::to_string(job).map_err(rejected)?;
            let delay = micros(job.delay);
            let values: Values<'_> =
                &[(&job.id.as_str(), Type::TEXT), (&spec, Type::TEXT), (&delay, Type::FLOAT8)];
            Ok(Reply::Enqueued(execute(&client, ENQUEUE, values).await? == 1))
        }
        TableCommand::Beat { worker } => {
            execute(&client, BEAT, &[(&worker.as_str(), Type::TEXT)]).await?;
            Ok(Reply::Done)
        }
        TableCommand::Claim { worker, holding } => {
            let holding: Vec<&str> = holding.iter().map(JobId::as_str).collect();
            let values: Values<'_> = &[(&worker.as_str(), Type::TEXT), (&holding, Type::TEXT_ARRAY)];
            let rows = client.query_typed(CLAIM, values).await.map_err(|error| classify(&error))?;
            Ok(Reply::Claimed(rows.first().map(claimed).transpose()?.map(Box::new)))
        }
        TableCommand::Finish { job, worker, attempt, fenced } => {
            let attempt = integer(*attempt)?;
            let values: Values<'_> = &[
                (&job.as_str(), Type::TEXT),
                (&worker.as_str(), Type::TEXT),
                (&attempt, Type::INT4),
                (fenced, Type::BOOL),
            ];
            let rows = client.query_typed(FINISH, values).await.map_err(|error| classify(&error))?;
            let held = rows.first().map(|row| row.try_get(0).map_err(|error| classify(&error)));
            Ok(Reply::Held(held.transpose()?.unwrap_or(false)))
        }
        TableCommand::BeatJob { job, worker, attempt } => {
            let attempt = integer(*attempt)?;
            let values: Values<'_> =
                &[(&job.as_str(), Type::TEXT), (&worker.as_str(), Type::TEXT), (&attempt, Type::INT4)];
            Ok(Reply::Held(execute(&client, BEAT_JOB, values).await? == 1))
        }
        TableCommand::Fail { job, worker, attempt, error, then } => {
            let attempt = integer(*attempt)?;
            let (job, worker) = (job.as_str(), worker.as_str());
            let ended: Values<'_> =
                &[(&job, Type::TEXT), (&worker, Type::TEXT), (&attempt, Type::INT4), (error, Type::TEXT)];
            let wait = match then {
                AfterFailure::Retry(wait) => micros(*wait),
                AfterFailure::Failed | AfterFailure::DeadLetter => 0.0,
            };
            let (statement, last): (_, (&(dyn ToSql + Sync), Type)) = match then {
                AfterFailure::Retry(_) => (RETRY, (&wait, Type::FLOAT8)),
                AfterFailure::Failed => (FAIL, (&"failed", Type::TEXT)),
                AfterFailure::DeadLetter => (FAIL, (&"dead_letter", Type::TEXT)),
            };
            Ok(Reply::Held(execute(&client, statement, &[ended, &[last]].concat()).await? == 1))
        }
        TableCommand::Release { job, worker, attempt } => {
            let attempt = integer(*attempt)?;
            let values: Values<'_> =
                &[(&job.as_str(), Type::TEXT), (&worker.as_str(), Type::TEXT), (&attempt, Type::INT4)];
            Ok(Reply::Held(execute(&client, RELEASE, values).await? == 1))
        }
        TableCommand::FailJobsOfTheDead { stale } => {
            let values: Values<'_> = &[(&micros(*stale), Type::FLOAT8), (&WORKER_DIED, Type::TEXT)];
            let rows = client.query_typed(FAIL_JOBS_OF_THE_DEAD, values).await;
            let rows = rows.map_err(|error| classify(&error))?;
            let mut failed = rows.iter().map(job).collect::<Result<Vec<_>, _>>()?;
            failed.sort_unstable();
            Ok(Reply::StalledCheck(StalledReport { ran: true, requeued: Vec::new(), failed }))
        }
        TableCommand::Rescue { stale } => {
            let values: Values<'_> = &[(&micros(*stale), Type::FLOAT8), (&WORKER_DIED, Type::TEXT)];
            let rows = client.query_typed(RESCUE, values).await.map_err(|error| classify(&error))?;
            let mut report = StalledReport { ran: true, ..StalledReport::default() };
            for row in &rows {
                let is_queued: bool = row.try_get(1).map_err(|error| classify(&error))?;
                if is_queued { &mut report.requeued } else { &mut report.failed }.push(job(row)?);
            }
            report.requeued.sort_unstable();
            report.failed.sort_unstable();
            Ok(Reply::StalledCheck(report))
        }
        TableCommand::Replay { job } => {
            Ok(Reply::Held(execute(&client, REPLAY, &[(&job.as_str(), Type::TEXT)]).await? == 1))
        }
    }
}

/// Intervals in Postgres are whole microseconds; a factor for one is a double.
fn micros(span: Span) -> f64 {
    (span.as_nanos() / 1_000) as f64
}

fn job(row: &Row) -> Result<JobId, StoreError> {
    row.try_get::<_, String>(0).map(JobId::from).map_err(|error| classify(&error))
}

fn claimed(row: &Row) -> Result<ClaimedJob, StoreError> {
    let spec: &str = row.try_get(0).map_err(|error| classify(&error))?;
    let count = |index| {
        let count: i32 = row.try_get(index).map_err(|error| classify(&error))?;
        u32::try_from(count).map_err(rejected)
    };
    Ok(ClaimedJob {
        spec: serde_json::from_str(spec).map_err(rejected)?,
        attempt: count(1)?,
        stalls: count(2)?,
    })
}

fn rejected(error: impl std::fmt::Display) -> StoreError {
    StoreError::Rejected(error.to_string())
}
