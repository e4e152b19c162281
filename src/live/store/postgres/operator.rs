//! What an operator asks of the tables of a fleet whose jobs are in Postgres (S1).

use tokio_postgres::types::Type;

use super::{PostgresStore, Values, classify};
use crate::fault::trouble::DeadLetters;
use crate::protocol::StoreError;
use crate::protocol::table::{DeadLetter, FleetStatus};
use crate::time::Span;

/// One job as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    pub status: String,
    pub attempts: String,
    /// Where it has one.
    pub worker: Option<String>,
    pub error: Option<String>,
    /// Age of its own beat, in seconds.
    pub beat_age: Option<String>,
}

/// The age in whole milliseconds.
const WORKERS: &str = "SELECT count(*)::text,
    (extract(epoch FROM clock_timestamp() - max(last_heartbeat_at)) * 1000)::bigint::text
    FROM worker_heartbeats";

const STATISTICS: &str = "SELECT status, count(*)::text FROM executions GROUP BY status ORDER BY status";

const JOB: &str = "SELECT status, attempts::text, worker_id, execution_error,
    round(extract(epoch FROM clock_timestamp() - heartbeat_at), 1)::text
    FROM executions WHERE execution_id = $1";

const DEAD_LETTERS: &str = "SELECT execution_id, attempts::text, coalesce(execution_error, '')
    FROM executions WHERE status = 'dead_letter' ORDER BY updated_at DESC, execution_id LIMIT 100";

/// Beats younger than `$1` microseconds, and the newest in seconds since 1970.
const BEATS: &str = "SELECT count(*) FILTER (WHERE clock_timestamp() - last_heartbeat_at < $1 * interval '1 microsecond')::text,
    extract(epoch FROM max(last_heartbeat_at))::text FROM worker_heartbeats";

/// All that [`status_of`] reads, at one moment: a word for what the row is of, and two or three texts.
#[must_use]
pub fn status_query(stale_above: Span) -> String {
    let stale_micros = stale_above.as_nanos() / 1_000;
    let letters_max = FleetStatus::LETTERS_MAX;
    format!(
        "SELECT 'workers', count(*)::text,
            (extract(epoch FROM clock_timestamp() - max(last_heartbeat_at)) * 1000000)::bigint::text, NULL
            FROM worker_heartbeats
        UNION ALL SELECT 'jobs', status, count(*)::text, NULL FROM executions GROUP BY status
        UNION ALL SELECT 'stale', count(*)::text, NULL, NULL FROM executions WHERE status = 'running'
            AND clock_timestamp() - heartbeat_at > {stale_micros} * interval '1 microsecond'
        UNION ALL (SELECT 'dead_letter', execution_id, attempts::text, coalesce(execution_error, '')
            FROM executions WHERE status = 'dead_letter'
            ORDER BY updated_at DESC, execution_id LIMIT {letters_max})"
    )
}

/// The answer to [`status_query`], row by row; what is no such row says nothing.
#[must_use]
pub fn status_of<'r>(rows: impl IntoIterator<Item = [Option<&'r str>; 4]>) -> FleetStatus {
    let mut status = FleetStatus::default();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    for row in rows {
        match row {
            [Some("workers"), count, age, _] => {
                status.workers = number(count).unwrap_or_default();
                // A beat of a clock that was ahead is of now.
                status.beat_age = age.map(|age| Span::from_micros(age.parse().unwrap_or_default()));
            }
            [Some("jobs"), Some(name), count, _] => {
                status.jobs.insert(name.to_owned(), number(count).unwrap_or_default());
            }
            [Some("stale"), count, ..] => status.stale = number(count).unwrap_or_default(),
            [Some("dead_letter"), Some(job), attempts, error] => status.dead_letters.push(DeadLetter {
                job: job.to_owned(),
                attempts: attempts.unwrap_or_default().to_owned(),
                error: error.unwrap_or_default().to_owned(),
            }),
            _ => {}
        }
    }
    status
}

/// Queues dead letters again, due at once, with all of their attempts; returns which.
#[must_use]
pub fn replay_statement(letters: &DeadLetters) -> String {
    let which = match letters {
        DeadLetters::All => String::new(),
        // A job's name has no quotes: it is `job-` and digits.
        DeadLetters::Job(job) => format!(" AND execution_id = '{job}'"),
    };
    format!(
        "UPDATE executions SET status = 'queued', worker_id = NULL, execution_error = NULL,
            attempts = 0, run_at = now(), updated_at = now()
        WHERE status = 'dead_letter'{which} RETURNING execution_id"
    )
}

impl PostgresStore {
    /// How many workers have beaten within the span, and when the newest beat was (seconds since 1970).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn beats(&self, within: Span) -> Result<(u64, Option<f64>), StoreError> {
        let micros = within.as_nanos() as f64 / 1e3;
        let rows = self.texts(BEATS, &[(&micros, Type::FLOAT8)]).await?;
        let [active, newest] = columns(rows.into_iter().next().unwrap_or_default());
        let active = active.and_then(|count| count.parse().ok()).unwrap_or_default();
        Ok((active, newest.and_then(|seconds| seconds.parse().ok())))
    }

    /// How many workers have ever beaten, and the age of the newest beat.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn workers(&self) -> Result<(String, Option<Span>), StoreError> {
        let rows = self.texts(WORKERS, &[]).await?;
        let [count, age] = columns(rows.into_iter().next().unwrap_or_default());
        let age = age.and_then(|millis| millis.parse().ok()).map(Span::from_millis);
        Ok((count.unwrap_or_default(), age))
    }

    /// How many jobs there are of each status.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn job_statistics(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = self.texts(STATISTICS, &[]).await?;
        let pair = |row| {
            let [status, count] = columns(row);
            (status.unwrap_or_default(), count.unwrap_or_default())
        };
        Ok(rows.into_iter().map(pair).collect())
    }

    /// `None` if there is no such job.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn job_report(&self, job: &str) -> Result<Option<JobReport>, StoreError> {
        let rows = self.texts(JOB, &[(&job, Type::TEXT)]).await?;
        Ok(rows.into_iter().next().map(|row| {
            let [status, attempts, worker, error, beat_age] = columns(row);
            let (status, attempts) = (status.unwrap_or_default(), attempts.unwrap_or_default());
            JobReport { status, attempts, worker, error, beat_age }
        }))
    }

    /// The latest hundred.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = self.texts(DEAD_LETTERS, &[]).await?;
        let letter = |row| {
            let [job, attempts, error] = columns(row).map(Option::unwrap_or_default);
            DeadLetter { job, attempts, error }
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// Every column as a text, null as none.
    async fn texts(
        &self,
        statement: &str,
        values: Values<'_>,
    ) -> Result<Vec<Vec<Option<String>>>, StoreError> {
        let rows = self.0.call(|client| async move {
            client.query_typed(statement, values).await.map_err(|error| classify(&error))
        });
        let text = |row: &tokio_postgres::Row, index| row.try_get(index).map_err(|error| classify(&error));
        rows.await?.iter().map(|row| (0..row.len()).map(|index| text(row, index)).collect()).collect()
    }
}

/// As many as are asked for; what is missing is none.
fn columns<const N: usize>(row: Vec<Option<String>>) -> [Option<String>; N] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().flatten())
}
