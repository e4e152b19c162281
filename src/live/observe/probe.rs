//! Asks, all the time, what a user of the system would ask.

mod workers;

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::Value;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_postgres::SimpleQueryRow;

use super::connection::{Postgres, Redis};
use crate::history::{Sample, What};
use crate::live::clock;
use crate::live::provision::{Site, StoreInstance};
use crate::live::sink::Sink;
use crate::live::web::{self, causes};
use crate::names::{HARNESS, JobId, ProcessName, Store};
use crate::scenario::{Ask, Probe};
use crate::time::{Instant, Span};

/// Asking more often would be a load of its own.
pub const INTERVAL_MIN: Span = Span::from_millis(5);
/// Asks without an answer at the same time; what is more is reported as unknown, unasked.
const IN_FLIGHT_MAX: usize = 64;
/// A probe's answer is a few hundred bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks until it is dropped. Asks that are on their way then are not reported any more.
#[derive(Debug)]
pub struct Prober {
    asking: JoinHandle<()>,
}

impl Prober {
    /// Asks every `probe.every` (at least [`INTERVAL_MIN`]), at fixed times, whether or not earlier
    /// asks were answered. `site` says where the process or the store is at each ask. Where it is asked who
    /// lives, each of `workers` does or does not.
    #[must_use]
    pub fn start(
        probe: &Probe,
        workers: BTreeSet<ProcessName>,
        site: Arc<dyn Site>,
        sink: Sink,
        runtime: &Handle,
    ) -> Self {
        let liveness = Liveness { asker: Asker::new(probe, site), workers, sink };
        Self { asking: runtime.spawn(ask_on(Arc::new(liveness), probe.every, probe.timeout)) }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        // Ends the asks as well: their set is dropped with the task.
        self.asking.abort();
    }
}

/// What is asked all the time.
pub(super) trait Asks: Send + Sync + 'static {
    type Answer: Send;

    fn ask(&self) -> impl Future<Output = Result<Self::Answer, String>> + Send;

    /// An error: there was no answer, and why.
    fn report(&self, asked: Instant, answer: Result<Self::Answer, String>);
}

/// Asks every `every` (at least [`INTERVAL_MIN`]) at fixed times, until it is aborted.
pub(super) async fn ask_on<A: Asks>(asks: Arc<A>, every: Span, limit: Span) {
    let free = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut under_way = JoinSet::new();
    let mut ticks = tokio::time::interval(every.max(INTERVAL_MIN).to_std());
    // After a stall of the harness the asks that were missed are not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        while under_way.try_join_next().is_some() {}
        let asked = clock::monotonic();
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            asks.report(asked, Err(format!("{IN_FLIGHT_MAX} asks are unanswered already")));
            continue;
        };
        let asks = Arc::clone(&asks);
        under_way.spawn(async move {
            let answer = match tokio::time::timeout(limit.to_std(), asks.ask()).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {limit}")),
            };
            asks.report(asked, answer);
            drop(permit);
        });
    }
}

struct Liveness {
    asker: Asker,
    workers: BTreeSet<ProcessName>,
    sink: Sink,
}

/// What an ask gave: of the fleet, or which workers live.
enum Told {
    Sample(Sample),
    Living(BTreeSet<ProcessName>),
}

impl Asks for Liveness {
    type Answer = Told;

    async fn ask(&self) -> Result<Told, String> {
        self.asker.ask().await
    }

    fn report(&self, asked: Instant, answer: Result<Told, String>) {
        let at = clock::monotonic();
        let send = |sample| self.sink.send(at, HARNESS.into(), What::Probe { asked, sample });
        match answer {
            Ok(Told::Sample(sample)) => send(sample),
            Ok(Told::Living(living)) => {
                for worker in &self.workers {
                    let alive = living.contains(worker);
                    send(Sample::Alive { subject: Some(worker.clone()), alive });
                }
            }
            Err(error) => send(Sample::Unknown { error }),
        }
    }
}

struct Asker {
    site: Arc<dyn Site>,
    way: Way,
}

enum Way {
    Http { client: Result<reqwest::Client, String>, process: ProcessName, path: String, pointer: String },
    RedisStalls { redis: Redis, command: redis::Cmd },
    Redis { redis: Redis, command: redis::Cmd },
    SqlStalls { postgres: Postgres, query: String },
    Sql { postgres: Postgres, query: String },
    Workers(workers::Way),
}

impl Asker {
    fn new(probe: &Probe, site: Arc<dyn Site>) -> Self {
        let redis = || Redis::new(probe.timeout);
        let way = match &probe.ask {
            Ask::Http { process, path, pointer } => Way::Http {
                client: http_client(probe.timeout),
                process: process.clone(),
                path: path.clone(),
                pointer: pointer.clone(),
            },
            Ask::RedisStalls { command } => Way::RedisStalls { redis: redis(), command: cmd(command) },
            Ask::Redis { command } => Way::Redis { redis: redis(), command: cmd(command) },
            Ask::SqlStalls { query } => {
                Way::SqlStalls { postgres: Postgres::new(probe.timeout), query: query.clone() }
            }
            Ask::Sql { query } => Way::Sql { postgres: Postgres::new(probe.timeout), query: query.clone() },
            Ask::Workers(ask) => Way::Workers(workers::Way::of(ask, probe.timeout)),
        };
        Self { site, way }
    }

    async fn ask(&self) -> Result<Told, String> {
        let sample = match &self.way {
            Way::Http { client, process, path, pointer } => {
                let address =
                    self.site.http_address(process).ok_or_else(|| format!("{process} has no address"))?;
                let body = get(client.as_ref()?, &format!("http://{address}{path}")).await?;
                alive_by_pointer(&body, pointer)
            }
            Way::RedisStalls { redis, command } => {
                stalls(&redis.ask::<Value>(&self.store(Store::Redis)?, command).await?)
            }
            Way::Redis { redis, command } => {
                let answer = redis.ask::<Value>(&self.store(Store::Redis)?, command).await?;
                Ok(alive(is_something(&answer)))
            }
            Way::SqlStalls { postgres, query } => {
                let store = self.store(Store::Postgres)?;
                let rows = postgres.query(&store, query, super::effects::ROWS_MAX).await?;
                stalls_of_rows(rows.iter().map(|row| (row.get(0), row.get(1))))
            }
            Way::Sql { postgres, query } => {
                let rows = postgres.query(&self.store(Store::Postgres)?, query, 1_000).await?;
                Ok(alive(is_true(&rows)))
            }
            Way::Workers(way) => return way.ask(&*self.site).await.map(Told::Living),
        };
        sample.map(Told::Sample)
    }

    fn store(&self, store: Store) -> Result<StoreInstance, String> {
        self.site.store(store).ok_or_else(|| format!("there is no {store}"))
    }
}

pub(super) fn http_client(timeout: Span) -> Result<reqwest::Client, String> {
    web::direct(timeout.to_std()).build().map_err(|error| format!("no HTTP client: {error}"))
}

/// A command line of Redis. An empty one, which no scenario has, is answered by an error of the server's.
pub(super) fn cmd(words: &[String]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

/// The body as JSON, whatever the status: a health check may well say 503 and why.
pub(super) async fn get(client: &reqwest::Client, url: &str) -> Result<serde_json::Value, String> {
    let answer = client.get(url).send().await.map_err(|error| causes(&error))?;
    let status = answer.status();
    let body = read_body(answer, ANSWER_BYTES_MAX).await?;
    serde_json::from_slice(&body).map_err(|_| format!("HTTP {status} without JSON"))
}

pub(super) async fn read_body(mut answer: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| causes(&error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(format!("an answer of more than {bytes_max} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn alive(alive: bool) -> Sample {
    Sample::Alive { subject: None, alive }
}

fn alive_by_pointer(body: &serde_json::Value, pointer: &str) -> Result<Sample, String> {
    match body.pointer(pointer) {
        Some(value) => Ok(alive(*value == serde_json::Value::Bool(true))),
        // An error page says nothing of the fleet's life.
        None => Err(format!("the answer has nothing at `{pointer}`")),
    }
}

/// The first column of the first row.
pub(super) fn is_true(rows: &[SimpleQueryRow]) -> bool {
    rows.first().and_then(|row| row.get(0)) == Some("t")
}

pub(super) fn is_something(answer: &Value) -> bool {
    match answer {
        Value::Nil | Value::Int(0) | Value::Boolean(false) => false,
        Value::BulkString(bytes) => !bytes.is_empty() && bytes != b"0",
        Value::SimpleString(text) => !text.is_empty() && text != "0",
        Value::Array(items) | Value::Set(items) => !items.is_empty(),
        Value::Map(items) => !items.is_empty(),
        _ => true,
    }
}

/// A flat array or a map of job, count.
fn stalls(answer: &Value) -> Result<Sample, String> {
    let mut stalls: Vec<(JobId, u32)> = pairs(answer)?
        .into_iter()
        .map(|(job, count)| Ok((JobId::from(text(job)?), count_of(count)?)))
        .collect::<Result<_, String>>()?;
    stalls.sort();
    Ok(Sample::Stalls(stalls))
}

/// Columns of job, count.
fn stalls_of_rows<'r>(
    rows: impl Iterator<Item = (Option<&'r str>, Option<&'r str>)>,
) -> Result<Sample, String> {
    let mut stalls: Vec<(JobId, u32)> = rows
        .map(|(job, count)| {
            let (job, count) = (job.ok_or("a job is null")?, count.ok_or("a count is null")?);
            let count = count.parse().map_err(|_| format!("`{count}` is not a count"))?;
            Ok((JobId::from(job), count))
        })
        .collect::<Result<_, String>>()
        .map_err(|error| format!("postgres: {error}"))?;
    stalls.sort();
    Ok(Sample::Stalls(stalls))
}

pub(super) fn pairs(answer: &Value) -> Result<Vec<(&Value, &Value)>, String> {
    let pairs: Vec<_> = match answer {
        Value::Nil => Vec::new(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
        Value::Array(items) if items.len().is_multiple_of(2) => {
            items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect()
        }
        _ => return Err("redis: the answer is not a list of pairs".to_owned()),
    };
    if pairs.len() > super::effects::ROWS_MAX {
        return Err("redis: the answer is too long".to_owned());
    }
    Ok(pairs)
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Ok(text.clone()),
        Value::Int(number) => Ok(number.to_string()),
        _ => Err("redis: a job's id is not a text".to_owned()),
    }
}

pub(super) fn count_of(value: &Value) -> Result<u32, String> {
    let text = text(value)?;
    text.trim().parse().map_err(|_| format!("redis: `{text}` is not a count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn stalls_are_read_from_flat_arrays_and_maps_and_sorted() {
        let expected = Sample::Stalls(vec![("job-1".into(), 2), ("job-2".into(), 1)]);
        let flat = Value::Array(vec![bulk("job-2"), Value::Int(1), bulk("job-1"), bulk("2")]);
        let map = Value::Map(vec![(bulk("job-2"), bulk("1")), (bulk("job-1"), bulk("2"))]);
        assert_eq!(stalls(&flat), Ok(expected.clone()));
        assert_eq!(stalls(&map), Ok(expected));
        assert_eq!(stalls(&Value::Nil), Ok(Sample::Stalls(Vec::new())));
    }

    #[test]
    fn an_answer_that_is_no_list_of_pairs_is_an_error() {
        for answer in
            [Value::Okay, Value::Array(vec![bulk("job-1")]), Value::Array(vec![bulk("a"), bulk("x")])]
        {
            assert!(stalls(&answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn stalls_are_read_from_rows_and_sorted() {
        let rows = [(Some("job-2"), Some("1")), (Some("job-1"), Some("2"))];
        let expected = Sample::Stalls(vec![("job-1".into(), 2), ("job-2".into(), 1)]);
        assert_eq!(stalls_of_rows(rows.into_iter()), Ok(expected));
        for wrong in [(None, Some("1")), (Some("job-1"), None), (Some("job-1"), Some("x"))] {
            assert!(stalls_of_rows([wrong].into_iter()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn alive_is_neither_nil_nor_zero_nor_empty() {
        for dead in [Value::Nil, Value::Int(0), bulk(""), bulk("0"), Value::Array(Vec::new())] {
            assert!(!is_something(&dead), "{dead:?}");
        }
        for live in [Value::Int(3), bulk("x"), Value::Okay, Value::Array(vec![Value::Nil])] {
            assert!(is_something(&live), "{live:?}");
        }
    }

    #[test]
    fn only_true_is_alive_and_nothing_is_unknown() {
        let body = serde_json::json!({"workers": {"online": true, "stale": false, "n": 1}});
        assert_eq!(alive_by_pointer(&body, "/workers/online"), Ok(alive(true)));
        assert_eq!(alive_by_pointer(&body, "/workers/stale"), Ok(alive(false)));
        assert_eq!(alive_by_pointer(&body, "/workers/n"), Ok(alive(false)));
        assert!(alive_by_pointer(&body, "/nothing").is_err());
    }
}
