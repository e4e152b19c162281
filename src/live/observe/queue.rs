//! Asks a foreign queue, all the time, how its jobs stand, and tells what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use redis::Value;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::connection::{Postgres, Redis};
use super::effects::{ROWS_MAX, get};
use super::probe::{INTERVAL_MIN, cmd, http_client, text};
use crate::history::What;
use crate::history::queue::{QueueState, Queued, Standing};
use crate::live::clock;
use crate::live::provision::{Site, StoreInstance};
use crate::live::sink::Sink;
use crate::names::{HARNESS, JobId, ProcessName, Store};
use crate::scenario::{Page, QueueAsk, QueueProbe};
use crate::time::Span;

/// Asks until it is dropped.
#[derive(Debug)]
pub struct QueueSampler {
    asking: JoinHandle<()>,
}

impl QueueSampler {
    /// Asks every `probe.every` (at least [`INTERVAL_MIN`]), and not before the last ask was answered or
    /// has been given up: what has changed since is between two asks. A holder that is none of `processes`
    /// makes an answer misshapen.
    #[must_use]
    pub fn start(
        probe: &QueueProbe,
        processes: BTreeSet<ProcessName>,
        site: Arc<dyn Site>,
        sink: Sink,
        runtime: &Handle,
    ) -> Self {
        let (every, limit) = (probe.every.max(INTERVAL_MIN), probe.timeout);
        let asker = QueueAsker::new(&probe.ask, limit);
        let ask = probe.ask.clone();
        let asking = runtime.spawn(async move {
            let mut ticks = tokio::time::interval(every.to_std());
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut since = clock::monotonic();
            let mut known = Known::default();
            loop {
                ticks.tick().await;
                let asked = clock::monotonic();
                let http = ask.page().and_then(|page| site.http_address(&page.process));
                let answer = asker.ask(|store| site.store(store), http);
                let answer = match tokio::time::timeout(limit.to_std(), answer).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Unread::Unknown(format!("no answer within {limit}"))),
                };
                let answer = answer.and_then(|rows| standings(rows, Some(&processes)));
                let is_answer = answer.is_ok();
                if let Some(answer) = known.news(answer) {
                    sink.send(clock::monotonic(), HARNESS.into(), What::Queue { since, asked, answer });
                }
                if is_answer {
                    since = asked;
                }
            }
        });
        Self { asking }
    }
}

impl Drop for QueueSampler {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// Why there are no standings.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unread {
    Unknown(String),
    Misshapen(String),
}

type Standings = BTreeMap<JobId, (QueueState, Option<ProcessName>)>;

/// What was told last, so that only changes are.
#[derive(Debug, Default)]
struct Known {
    standings: Standings,
    last: Last,
}

#[derive(Debug, Default)]
enum Last {
    #[default]
    Nothing,
    Answered,
    Unread(Unread),
}

impl Known {
    fn news(&mut self, answer: Result<Standings, Unread>) -> Option<Queued> {
        let now = match answer {
            Ok(now) => now,
            // Once, however long it lasts.
            Err(unread) if matches!(&self.last, Last::Unread(last) if *last == unread) => return None,
            Err(unread) => {
                self.last = Last::Unread(unread.clone());
                return Some(match unread {
                    Unread::Unknown(error) => Queued::Unknown { error },
                    Unread::Misshapen(error) => Queued::Misshapen { error },
                });
            }
        };
        let was_answered = matches!(self.last, Last::Answered);
        self.last = Last::Answered;
        let other = now.iter().filter(|(job, standing)| self.standings.get(*job) != Some(*standing));
        let mut changed: Vec<Standing> = other
            .map(|(job, (state, holder))| Standing {
                job: job.clone(),
                state: Some(*state),
                holder: holder.clone(),
            })
            .collect();
        let gone = self.standings.keys().filter(|job| !now.contains_key(*job));
        changed.extend(gone.map(|job| Standing { job: job.clone(), state: None, holder: None }));
        changed.sort();
        self.standings = now;
        (!changed.is_empty() || !was_answered).then_some(Queued::Changed(changed))
    }
}

/// The jobs that have failed for good.
///
/// # Errors
/// If the queue does not answer, or in another shape than the scenario promised.
pub(super) async fn failed(
    ask: &QueueAsk,
    stores: &BTreeMap<Store, StoreInstance>,
    http: Option<SocketAddr>,
    limit: Span,
) -> Result<Vec<JobId>, String> {
    let rows = QueueAsker::new(ask, limit).ask(|store| stores.get(&store).cloned(), http).await;
    match rows.and_then(|rows| standings(rows, None)) {
        Ok(standings) => {
            let failed = standings.into_iter().filter(|(_, (state, _))| *state == QueueState::Failed);
            Ok(failed.map(|(job, _)| job).collect())
        }
        Err(Unread::Unknown(error) | Unread::Misshapen(error)) => Err(error),
    }
}

enum QueueAsker {
    Redis { redis: Redis, command: redis::Cmd },
    Sql { postgres: Postgres, query: String },
    Http { client: Result<reqwest::Client, String>, page: Page },
}

impl QueueAsker {
    fn new(ask: &QueueAsk, limit: Span) -> Self {
        match ask {
            QueueAsk::Redis { command } => Self::Redis { redis: Redis::new(limit), command: cmd(command) },
            QueueAsk::Sql { query } => Self::Sql { postgres: Postgres::new(limit), query: query.clone() },
            QueueAsk::Http(page) => Self::Http { client: http_client(limit), page: page.clone() },
        }
    }

    /// `http` is where the page's process listens.
    async fn ask(
        &self,
        store: impl Fn(Store) -> Option<StoreInstance>,
        http: Option<SocketAddr>,
    ) -> Result<Vec<Row>, Unread> {
        let store = |which| store(which).ok_or_else(|| Unread::Unknown(format!("there is no {which}")));
        match self {
            Self::Redis { redis, command } => {
                let answer = redis.ask::<Value>(&store(Store::Redis)?, command).await;
                triples(&answer.map_err(Unread::Unknown)?).map_err(Unread::Misshapen)
            }
            Self::Sql { postgres, query } => {
                let rows = postgres.query(&store(Store::Postgres)?, query, ROWS_MAX).await;
                let rows = rows.map_err(Unread::Unknown)?;
                let rows = rows.iter().map(|row| {
                    let column = |index: usize| {
                        row.try_get(index).map_err(|_| columns()).map(|text| text.map(str::to_owned))
                    };
                    let (job, state) = (column(0)?.ok_or_else(columns)?, column(1)?.ok_or_else(columns)?);
                    Ok(Row { job, state, holder: column(2)? })
                });
                rows.collect::<Result<_, String>>().map_err(Unread::Misshapen)
            }
            Self::Http { client, page } => {
                let unknown = |error: &str| Unread::Unknown(error.to_owned());
                let client = client.as_ref().map_err(|error| unknown(error))?;
                let address = http.ok_or_else(|| unknown(&format!("{} has no address", page.process)))?;
                let body = get(client, address, &page.path).await.map_err(Unread::Unknown)?;
                serde_json::from_slice(&body)
                    .map_err(|error| Unread::Misshapen(format!("no list of job, state, holder: {error}")))
            }
        }
    }
}

fn columns() -> String {
    "the query has no columns job, state, holder, of which only the last may be null".to_owned()
}

/// As it was told: text that is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    job: String,
    state: String,
    holder: Option<String>,
}

/// A flat array of job, state, holder.
fn triples(answer: &Value) -> Result<Vec<Row>, String> {
    let items = match answer {
        Value::Nil => &[],
        Value::Array(items) if items.len().is_multiple_of(3) => items.as_slice(),
        _ => return Err("redis: the answer is no list of job, state, holder in turn".to_owned()),
    };
    let rows = items.chunks_exact(3).map(|row| {
        let holder = match &row[2] {
            Value::Nil => None,
            holder => Some(text(holder)?),
        };
        Ok(Row { job: text(&row[0])?, state: text(&row[1])?, holder })
    });
    rows.collect()
}

/// `processes`: whose names a holder's may be.
fn standings(rows: Vec<Row>, processes: Option<&BTreeSet<ProcessName>>) -> Result<Standings, Unread> {
    let mut standings = Standings::new();
    for Row { job, state, holder } in rows {
        let Some(state) = QueueState::named(&state) else {
            let known = QueueState::ALL.map(QueueState::as_str).join(", ");
            return Err(Unread::Misshapen(format!("{job} is `{state}`; a job is one of {known}")));
        };
        let holder = holder.filter(|holder| !holder.is_empty() && state == QueueState::Active);
        let holder = holder.map(ProcessName::from);
        if let (Some(holder), Some(processes)) = (&holder, processes)
            && !processes.contains(holder)
        {
            let error = format!("{job} is held by `{holder}`, and no process of the fleet has that name");
            return Err(Unread::Misshapen(error));
        }
        if standings.insert(JobId::from(job.clone()), (state, holder)).is_some() {
            return Err(Unread::Misshapen(format!("{job} is told of twice")));
        }
    }
    Ok(standings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(job: &str, state: &str, holder: Option<&str>) -> Row {
        Row { job: job.into(), state: state.into(), holder: holder.map(str::to_owned) }
    }

    fn read(rows: &[Row]) -> Result<Standings, Unread> {
        standings(rows.to_vec(), Some(&BTreeSet::from(["w-1".into(), "w-2".into()])))
    }

    fn standing(job: &str, state: Option<QueueState>, holder: Option<&str>) -> Standing {
        Standing { job: job.into(), state, holder: holder.map(Into::into) }
    }

    #[test]
    fn only_changes_are_told_and_what_is_unknown_once() {
        use QueueState::{Active, Waiting};
        let mut known = Known::default();
        let unknown = |why: &str| Err(Unread::Unknown(why.to_owned()));
        let told = |why: &str| Some(Queued::Unknown { error: why.to_owned() });
        let held = [row("a", "active", Some("w-1")), row("b", "waiting", None)];
        let taken = [row("a", "active", Some("w-2"))];
        let all = vec![standing("a", Some(Active), Some("w-1")), standing("b", Some(Waiting), None)];
        let changed = vec![standing("a", Some(Active), Some("w-2")), standing("b", None, None)];
        for (answer, expected) in [
            (unknown("refused"), told("refused")),
            (unknown("refused"), None),
            (read(&[]), Some(Queued::Changed(Vec::new()))),
            (read(&[]), None),
            (read(&held), Some(Queued::Changed(all))),
            (read(&held), None),
            (unknown("late"), told("late")),
            (unknown("refused"), told("refused")),
            // It answers again, and that is news.
            (read(&held), Some(Queued::Changed(Vec::new()))),
            (read(&taken), Some(Queued::Changed(changed))),
        ] {
            assert_eq!(known.news(answer), expected);
        }
    }

    #[test]
    fn a_holder_counts_while_its_job_is_active() {
        let rows = [row("a", "done", Some("w-1")), row("b", "active", Some("")), row("c", "active", None)];
        assert!(read(&rows).unwrap().values().all(|(_, holder)| holder.is_none()));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (rows, named) in [
            (vec![row("a", "running", None)], "`running`"),
            (vec![row("a", "active", Some("w-3"))], "`w-3`"),
            (vec![row("a", "done", None), row("a", "failed", None)], "twice"),
        ] {
            let Err(Unread::Misshapen(why)) = read(&rows) else { panic!("{rows:?} is understood") };
            assert!(why.contains(named), "{why}");
        }
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let rows = triples(&Value::Array(vec![text("a"), text("active"), Value::Nil]));
        assert_eq!(rows, Ok(vec![row("a", "active", None)]));
        assert!(triples(&Value::Array(vec![text("a"), text("active")])).is_err());
        assert!(triples(&Value::Okay).is_err());
    }
}
