//! What an operator does with a fleet whose jobs are in Postgres (S1): looks at workers and jobs, and
//! replays dead letters. Only `DATABASE_URL` is needed.

use std::fmt::Write as _;
use std::time::Duration;

use super::tools::Tools;
use super::{Environment, FleetError};
use crate::live::store::{Limits, PostgresStore};
use crate::names::Store;
use crate::protocol::table::{StatusRule, WorkersStatus};
use crate::protocol::{Command, Reply, StoreError, TableCommand, Tool};
use crate::time::Span;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether the workers are healthy, and whether the external programs are there where this is asked.
    Status,
    /// How many jobs there are of each status.
    Statistics,
    Job(String),
    DeadLetters,
    /// Queues a dead letter again.
    Replay(String),
}

/// The answer, for a person to read; `Err` also where the job is not there.
///
/// # Errors
/// If the environment names no database, or if that does not answer.
pub async fn answer(question: &Question, environment: &Environment) -> Result<String, FleetError> {
    let limits = Limits { connect: PATIENCE, command: PATIENCE };
    let store = environment.operators_database(limits)?;
    let ready = Command::AwaitReady { store: Store::Postgres, within: Span::from_secs(5) };
    if store.execute(&ready).await != Ok(Reply::Ready(true)) {
        return Err(StoreError::Unavailable("the database does not answer".into()).into());
    }
    let mut text = String::new();
    let none = |job: &str| FleetError::Store(StoreError::Rejected(format!("there is no job {job}")));
    match question {
        Question::Status => {
            status(&store, &mut text).await?;
            let tools = Tools::of(environment);
            for tool in Tool::ALL {
                let there = if tools.has(tool) { "available" } else { "not found" };
                line(&mut text, format_args!("{tool}: {there}"));
            }
        }
        Question::Statistics => {
            for (status, count) in store.job_statistics().await? {
                line(&mut text, format_args!("{status}: {count}"));
            }
        }
        Question::Job(job) => {
            let report = store.job_report(job).await?.ok_or_else(|| none(job))?;
            line(&mut text, format_args!("{job}: {}, {} attempts", report.status, report.attempts));
            let details = [("worker", report.worker), ("error", report.error)];
            for (name, value) in details.into_iter().filter_map(|(name, value)| Some((name, value?))) {
                line(&mut text, format_args!("{name}: {value}"));
            }
            if let Some(age) = report.beat_age {
                line(&mut text, format_args!("last beat: {age} s ago"));
            }
        }
        Question::DeadLetters => {
            for letter in store.dead_letters().await? {
                line(
                    &mut text,
                    format_args!("{}: {} attempts, {}", letter.job, letter.attempts, letter.error),
                );
            }
        }
        Question::Replay(job) => {
            let replay = Command::Table(TableCommand::Replay { job: job.as_str().into() });
            if store.execute(&replay).await? != Reply::Held(true) {
                let reason = format!("there is no dead letter {job}");
                return Err(StoreError::Rejected(reason).into());
            }
            line(&mut text, format_args!("{job} is queued again"));
        }
    }
    Ok(text)
}

async fn status(store: &PostgresStore, text: &mut String) -> Result<(), StoreError> {
    let (count, age) = store.workers().await?;
    line(text, format_args!("workers: {count}"));
    if let Some(age) = age {
        line(text, format_args!("last beat: {:.1} s ago", age.as_secs_f64()));
    }
    line(text, format_args!("status: {}", WorkersStatus::of(age, &StatusRule::DOCUMENTED)));
    Ok(())
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing into a text does not fail.
    let _ = writeln!(text, "{words}");
}
