//! What the stores say of every job at the end.

use std::collections::BTreeMap;

use redis::Value;
use tokio_postgres::SimpleQueryRow;

use super::connection::{Postgres, Redis};
use super::probe::{cmd, count_of, pairs, text};
use crate::history::FinalState;
use crate::live::provision::StoreInstance;
use crate::names::{JobId, Store};
use crate::scenario::EffectQuery;
use crate::time::Span;

/// An answer with more rows is an error: a run has some hundreds of jobs.
pub const ROWS_MAX: usize = 1_000_000;
const ANSWER_LIMIT: Span = Span::from_secs(30);

/// Reads the state of every job that the stores know, sorted by job. Effects that SQL and Redis both
/// count are added up. Each query has 30 s.
///
/// # Errors
/// If a store is missing, does not answer, or answers in another shape than the query promised.
pub async fn collect(
    effects: &EffectQuery,
    stores: &BTreeMap<Store, StoreInstance>,
) -> Result<Vec<(JobId, FinalState)>, String> {
    let store = |store| stores.get(&store).ok_or_else(|| format!("there is no {store}"));
    let postgres = Postgres::new(ANSWER_LIMIT);
    let mut jobs: BTreeMap<JobId, FinalState> = BTreeMap::new();
    if let Some(sql) = &effects.sql {
        for row in postgres.query(store(Store::Postgres)?, sql, ROWS_MAX).await? {
            let state = jobs.entry(column(&row, 0)?.into()).or_default();
            state.effects = state.effects.saturating_add(number(&row, 1)?);
            state.failed |= matches!(column(&row, 2)?, "t" | "true");
        }
    }
    if let Some(command) = &effects.redis {
        let answer: Value = Redis::new(ANSWER_LIMIT).ask(store(Store::Redis)?, &cmd(command)).await?;
        for (job, count) in pairs(&answer)? {
            let state = jobs.entry(text(job)?.into()).or_default();
            state.effects = state.effects.saturating_add(count_of(count)?);
        }
    }
    if let Some(sql) = &effects.steps_sql {
        for row in postgres.query(store(Store::Postgres)?, sql, ROWS_MAX).await? {
            jobs.entry(column(&row, 0)?.into()).or_default().steps.push(number(&row, 1)?);
        }
    }
    for state in jobs.values_mut() {
        state.steps.sort_unstable();
        state.steps.dedup();
    }
    Ok(jobs.into_iter().collect())
}

/// SQL's NULL is an error too: a job without a name, or a count that is none.
fn column(row: &SimpleQueryRow, index: usize) -> Result<&str, String> {
    match row.try_get(index) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(format!("postgres: column {} of an effect query is null", index + 1)),
        Err(_) => Err(format!("postgres: an effect query has no column {}", index + 1)),
    }
}

fn number(row: &SimpleQueryRow, index: usize) -> Result<u32, String> {
    let text = column(row, index)?;
    text.parse().map_err(|_| format!("postgres: `{text}` in column {} is not a count", index + 1))
}
