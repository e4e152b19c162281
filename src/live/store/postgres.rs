//! The protocol's commands on Postgres. Each is one statement, and so one transaction.

mod operator;
mod table;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls, Row};

use super::link::{Dial, Dialled, Link};
use super::{AddressError, Limits};
use crate::names::{JobId, Store};
use crate::protocol::command::JobStatus;
use crate::protocol::{Command, Reply, StoreError};
pub use operator::{JobReport, replay_statement, status_of, status_query};

/// The tables of the reference fleet. Idempotent; may be run by several callers at once.
pub const SCHEMA: &str = concat!(include_str!("schema.sql"), include_str!("table.sql"));

/// One client of one Postgres. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct PostgresStore(Arc<Link<Dialer>>);

impl PostgresStore {
    /// Starts to connect to `postgres://user:password@host:port/database`, in the background.
    ///
    /// # Errors
    /// If `url` is not such an address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(url: &str, limits: Limits) -> Result<Self, AddressError> {
        Self::connect_as(None, url, limits)
    }

    /// As [`Self::connect`], with the rights of the role from the session's begin.
    ///
    /// # Errors
    /// If `url` is not such an address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_as(role: Option<&str>, url: &str, limits: Limits) -> Result<Self, AddressError> {
        let mut config: Config = url
            .parse()
            .map_err(|error: Error| AddressError { store: Store::Postgres, reason: describe(&error) })?;
        let role = role.map_or_else(String::new, |role| format!(" -c role={role}"));
        config
            .options(format!("-c statement_timeout={}{role}", statement_timeout(limits.command).as_millis()));
        config.application_name("syncope-fleet");
        Ok(Self(Arc::new(Link::open(Dialer(config), limits))))
    }

    /// Makes the tables of the reference fleet, where they are missing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_schema(&self) -> Result<(), StoreError> {
        self.0
            .call(
                |client| async move { client.batch_execute(SCHEMA).await.map_err(|error| classify(&error)) },
            )
            .await
    }

    /// Whether there is a connection at this moment; it may be dead without anybody's knowledge.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.is_up()
    }

    /// # Errors
    /// See [`StoreError`]; a Redis command is `Rejected`.
    pub async fn execute(&self, command: &Command) -> Result<Reply, StoreError> {
        if let Command::AwaitReady { within, .. } = command {
            return Ok(Reply::Ready(self.0.ready(within.to_std(), ping).await));
        }
        self.0.call(|client| run(client, command)).await
    }

    /// The jobs whose work was done and whose id contains `text`, the latest first, at most `limit`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn finished_jobs(&self, text: &str, limit: u32) -> Result<Vec<JobId>, StoreError> {
        const FINISHED: &str = "SELECT job FROM effects WHERE strpos(job, $1) > 0
            GROUP BY job ORDER BY max(at) DESC, job LIMIT $2";
        let limit = i64::from(limit);
        let rows = self.0.call(|client| async move {
            client
                .query_typed(FINISHED, &[(&text, Type::TEXT), (&limit, Type::INT8)])
                .await
                .map_err(|error| classify(&error))
        });
        rows.await?.iter().map(|row| Ok(JobId::from(column::<String>(row)?))).collect()
    }
}

/// Never takes a job back from `completed`. A job that is `pending` is new: it overwrites nothing.
const SET_STATUS: &str = "INSERT INTO jobs (id, status, error, attempts, last_attempt)
    VALUES ($1, $2, $3, coalesce($4, 0), CASE WHEN $2 <> 'pending' THEN now() END)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error,
        attempts = coalesce($4, jobs.attempts), last_attempt = excluded.last_attempt, updated = now()
    WHERE jobs.status <> 'completed' AND excluded.status <> 'pending'";

const LOAD_STEPS: &str = "SELECT step FROM segments WHERE job = $1 ORDER BY step";

const SAVE_STEP: &str =
    "INSERT INTO segments (job, step, worker) VALUES ($1, $2, $3) ON CONFLICT (job, step) DO NOTHING";

const DROP_STEPS: &str = "DELETE FROM segments WHERE job = $1";

const RECORD_EFFECT: &str = "INSERT INTO effects (job, worker, attempt) VALUES ($1, $2, $3)";

async fn run(client: Arc<Client>, command: &Command) -> Result<Reply, StoreError> {
    match command {
        Command::SetStatus { job, status } => {
            let (name, error, attempts) = match status {
                JobStatus::Pending => ("pending", None, None),
                JobStatus::Processing => ("processing", None, None),
                JobStatus::Completed => ("completed", None, None),
                JobStatus::Failed { error, attempts } => ("failed", Some(error), Some(integer(*attempts)?)),
            };
            let values: Values<'_> = &[
                (&job.as_str(), Type::TEXT),
                (&name, Type::TEXT),
                (&error, Type::TEXT),
                (&attempts, Type::INT4),
            ];
            execute(&client, SET_STATUS, values).await?;
            Ok(Reply::Done)
        }
        Command::LoadSteps { job } => {
            let rows = client.query_typed(LOAD_STEPS, &[(&job.as_str(), Type::TEXT)]).await;
            let steps = rows.map_err(|error| classify(&error))?.iter().map(step).collect::<Result<_, _>>()?;
            Ok(Reply::Steps(steps))
        }
        Command::SaveStep { job, step, worker } => {
            let step = integer(*step)?;
            let values: Values<'_> =
                &[(&job.as_str(), Type::TEXT), (&step, Type::INT4), (&worker.as_str(), Type::TEXT)];
            Ok(Reply::Saved(execute(&client, SAVE_STEP, values).await? == 1))
        }
        Command::DropSteps { job } => {
            execute(&client, DROP_STEPS, &[(&job.as_str(), Type::TEXT)]).await?;
            Ok(Reply::Done)
        }
        Command::RecordEffect { job, worker, attempt } => {
            let attempt = integer(*attempt)?;
            let values: Values<'_> =
                &[(&job.as_str(), Type::TEXT), (&worker.as_str(), Type::TEXT), (&attempt, Type::INT4)];
            execute(&client, RECORD_EFFECT, values).await?;
            Ok(Reply::Done)
        }
        Command::Table(command) => table::run(client, command).await,
        _ => Err(StoreError::Rejected(format!("not a Postgres command: {command:?}"))),
    }
}

type Values<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// In one round trip: with the types given, the server need not be asked for them.
async fn execute(client: &Client, statement: &str, values: Values<'_>) -> Result<u64, StoreError> {
    client.execute_typed(statement, values).await.map_err(|error| classify(&error))
}

fn step(row: &Row) -> Result<u32, StoreError> {
    u32::try_from(column::<i32>(row)?).map_err(|error| StoreError::Rejected(error.to_string()))
}

fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row) -> Result<T, StoreError> {
    row.try_get(0).map_err(|error| classify(&error))
}

fn integer(number: u32) -> Result<i32, StoreError> {
    i32::try_from(number).map_err(|error| StoreError::Rejected(error.to_string()))
}

async fn ping(client: Arc<Client>) -> Result<(), StoreError> {
    client.simple_query("SELECT 1").await.map(drop).map_err(|error| classify(&error))
}

fn classify(error: &Error) -> StoreError {
    let Some(code) = error.code() else {
        // Without a code it is not the server that speaks.
        return StoreError::Unavailable(describe(error));
    };
    let gone = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_SESSION_TIMEOUT,
    ];
    if *code == SqlState::QUERY_CANCELED {
        StoreError::Timeout
    } else if gone.contains(code) || code.code().starts_with("08") {
        StoreError::Unavailable(describe(error))
    } else {
        StoreError::Rejected(describe(error))
    }
}

/// The error with what lies under it: its own text names only the kind.
fn describe(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Shorter than our own patience, so that a statement behind a lock is cancelled by the server, and
/// its connection stays.
fn statement_timeout(command: Duration) -> Duration {
    (command * 4 / 5).max(Duration::from_millis(1))
}

struct Dialer(Config);

impl Dial for Dialer {
    type Client = Arc<Client>;

    fn dial(&self) -> BoxFuture<'_, Result<Dialled<Self::Client>, String>> {
        async move {
            let (client, connection) = self.0.connect(NoTls).await.map_err(|error| describe(&error))?;
            let driver = connection.map(|result| match result {
                Ok(()) => "the connection was closed".into(),
                Err(error) => describe(&error),
            });
            Ok((Arc::new(client), driver.boxed()))
        }
        .boxed()
    }
}
