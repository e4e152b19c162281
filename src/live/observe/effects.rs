//! What is told of every job at the end: by the stores, by a process of the fleet, by lines of output.

mod told;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use redis::Value;
use regex_lite::Regex;
use tokio_postgres::SimpleQueryRow;

use super::connection::{Postgres, Redis};
use super::probe::{cmd, count_of, http_client, pairs, read_body, text};
use super::queue;
use crate::history::{Event, FinalState, What};
use crate::live::provision::StoreInstance;
use crate::live::web::causes;
use crate::names::{JobId, ProcessName, Store};
use crate::scenario::{EffectQuery, QueueAsk};
use crate::time::Span;

/// An answer with more rows is an error: a run has some hundreds of jobs.
pub const ROWS_MAX: usize = 1_000_000;
const ANSWER_LIMIT: Span = Span::from_secs(30);
/// Some 80 bytes for each of the most jobs that a scenario may have.
pub const PAGE_BYTES_MAX: usize = 8 << 20;

/// By job.
pub type States = BTreeMap<JobId, FinalState>;

/// Where the answers are. What the query does not need may be missing.
#[derive(Debug, Default)]
pub struct Sources {
    pub stores: BTreeMap<Store, StoreInstance>,
    /// Of the processes whose pages are asked for.
    pub http: BTreeMap<ProcessName, SocketAddr>,
    /// What the program printed, or why that is no answer.
    pub printed: Option<Result<Vec<u8>, String>>,
    /// What lines have said so far.
    pub said: States,
}

/// Reads the state of every job that is known of. Effects that two of the ways count are added up;
/// what has failed for good `queue` says too. Each query has 30 s.
///
/// # Errors
/// If a store or the process is missing, does not answer, or answers in another shape than the query
/// promised.
pub async fn collect(
    effects: &EffectQuery,
    queue: Option<&QueueAsk>,
    sources: &Sources,
) -> Result<States, String> {
    let store = |store| sources.stores.get(&store).ok_or_else(|| format!("there is no {store}"));
    let postgres = Postgres::new(ANSWER_LIMIT);
    let mut jobs = sources.said.clone();
    if let Some(sql) = &effects.sql {
        for row in postgres.query(store(Store::Postgres)?, sql, ROWS_MAX).await? {
            let state = jobs.entry(column(&row, 0)?.into()).or_default();
            state.effects = state.effects.saturating_add(number(&row, 1)?);
            state.failed |= matches!(column(&row, 2)?, "t" | "true");
            if let Ok(Some(by)) = row.try_get(3) {
                state
                    .by
                    .extend(by.split(',').map(str::trim).filter(|by| !by.is_empty()).map(ProcessName::new));
            }
        }
    }
    if let Some(command) = &effects.redis {
        let answer: Value = Redis::new(ANSWER_LIMIT).ask(store(Store::Redis)?, &cmd(command)).await?;
        for (job, count) in pairs(&answer)? {
            let state = jobs.entry(text(job)?.into()).or_default();
            state.effects = state.effects.saturating_add(count_of(count)?);
        }
    }
    if let Some(page) = &effects.http {
        let address = sources.http.get(&page.process);
        let address = *address.ok_or_else(|| format!("{} has no address", page.process))?;
        let body = get(&http_client(ANSWER_LIMIT)?, address, &page.path).await?;
        told::states(&body, effects.steps, &mut jobs)?;
    }
    if let Some(printed) = &sources.printed {
        told::states(printed.as_ref().map_err(String::clone)?, effects.steps, &mut jobs)?;
    }
    if let Some(sql) = &effects.steps_sql {
        for row in postgres.query(store(Store::Postgres)?, sql, ROWS_MAX).await? {
            jobs.entry(column(&row, 0)?.into()).or_default().steps.push(number(&row, 1)?);
        }
    }
    if let Some(ask) = queue {
        let http = ask.page().and_then(|page| sources.http.get(&page.process).copied());
        for job in queue::failed(ask, &sources.stores, http, ANSWER_LIMIT).await? {
            jobs.entry(job).or_default().failed = true;
        }
    }
    for state in jobs.values_mut() {
        state.steps.sort_unstable();
        state.steps.dedup();
    }
    Ok(jobs)
}

/// An error page is no answer, whatever it holds.
pub(super) async fn get(
    client: &reqwest::Client,
    address: SocketAddr,
    path: &str,
) -> Result<Vec<u8>, String> {
    let answer =
        client.get(format!("http://{address}{path}")).send().await.map_err(|error| causes(&error))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("HTTP {status} from {path}"));
    }
    read_body(answer, PAGE_BYTES_MAX).await
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

/// Counts effects by lines of output, as they come.
#[derive(Debug, Default)]
pub struct LineCount {
    pattern: Option<Regex>,
    said: States,
}

impl LineCount {
    /// A pattern that is none counts nothing: `scenario::resolve` has refused it before.
    #[must_use]
    pub fn of(effects: &EffectQuery) -> Self {
        let pattern = effects.lines.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        Self { pattern, said: States::new() }
    }

    /// Each event of the history once, in order.
    pub fn observe(&mut self, event: &Event) {
        let (Some(pattern), What::Line { text }) = (&self.pattern, &event.ev) else { return };
        if let Some(job) = pattern.captures(text).and_then(|groups| groups.name("job")) {
            let state = self.said.entry(job.as_str().into()).or_default();
            state.effects = state.effects.saturating_add(1);
            state.by.push(event.by.clone());
        }
    }

    #[must_use]
    pub fn so_far(&self) -> &States {
        &self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::FleetEvent;
    use crate::time::Instant;

    #[test]
    fn each_line_that_matches_is_an_effect_by_whose_line_it_is() {
        let lines = Some(r"^effect (?<job>\S+)$".to_owned());
        let mut count = LineCount::of(&EffectQuery { lines, ..EffectQuery::default() });
        let mut hear = |by: &str, ev| count.observe(&Event { at: Instant::ZERO, by: by.into(), ev });
        for (by, text) in
            [("w-1", "effect job-1"), ("w-2", "effect job-1"), ("w-1", "effect"), ("w-1", "effect job-2 ")]
        {
            hear(by, What::Line { text: text.to_owned() });
        }
        hear("w-1", What::Fleet(FleetEvent::EffectDone { job: "job-3".into() }));
        let by = vec!["w-1".into(), "w-2".into()];
        let state = FinalState { effects: 2, by, ..FinalState::default() };
        assert_eq!(*count.so_far(), States::from([("job-1".into(), state)]));
    }
}
