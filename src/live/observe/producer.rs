//! The producer: hands jobs to the system as its users do, and records what it was answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::connection::{Postgres, Redis};
use super::probe::{ANSWER_BYTES_MAX, cmd, http_client, read_body};
use crate::history::{EnqueueOutcome, Event, What};
use crate::live::clock;
use crate::live::environment;
use crate::live::provision::{RunningProcess, Said, StoreInstance};
use crate::live::sink::Sink;
use crate::live::web::causes;
use crate::names::{JobId, PRODUCER};
use crate::protocol::JobSpec;
use crate::scenario::{Call, Enqueue};
use crate::time::Span;

/// Asks without an answer at the same time; more wait their turn, unasked.
const IN_FLIGHT_MAX: usize = 256;
/// Programs that run at the same time, each for one job.
const CALLS_MAX: usize = 8;

/// The reference fleet's own way to enqueue, on the producer's link to the store.
pub trait QueueClient: Send + Sync {
    /// Where jobs are in Postgres there is one table, and the queue has no name. False: a job of this
    /// id exists.
    fn enqueue(&self, queue: &str, job: &JobSpec) -> BoxFuture<'_, Result<bool, String>>;

    /// Waits until there is a connection, at most `within`.
    fn ready(&self, within: Span) -> BoxFuture<'_, ()>;
}

/// Programs that hand jobs over.
pub trait Programs: Send + Sync {
    /// Runs the program for one job, on the producer's links; `job` has the values of its templates.
    fn call<'c>(
        &'c self,
        call: &'c Call,
        job: &'c [(String, String)],
        limit: Span,
    ) -> BoxFuture<'c, Result<Said, String>>;

    /// The one that reads all jobs, as it runs; started again, if it has ended.
    fn producer(&self) -> BoxFuture<'_, Result<Arc<RunningProcess>, String>>;
}

/// Where the producer's links begin: the proxy's listeners, with the stores' own credentials. What
/// the way of enqueueing does not need may be missing.
#[derive(Clone, Default)]
pub struct Links {
    pub http: Option<SocketAddr>,
    pub redis: Option<StoreInstance>,
    pub postgres: Option<StoreInstance>,
    pub queue: Option<Arc<dyn QueueClient>>,
    pub programs: Option<Arc<dyn Programs>>,
}

/// Asks are independent of each other: none waits for an earlier answer.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    way: Enqueue,
    links: Links,
    http: Result<reqwest::Client, String>,
    redis: Redis,
    postgres: Postgres,
    free: Semaphore,
    /// Of a program: jobs that it has said nothing about yet, with its generation.
    unanswered: Mutex<Unanswered>,
    timeout: Span,
    sink: Sink,
}

impl Producer {
    /// An ask without an answer for `timeout` has an unknown outcome.
    #[must_use]
    pub fn new(way: Enqueue, links: Links, timeout: Span, sink: Sink, runtime: Handle) -> Self {
        let free = if matches!(way, Enqueue::Call { .. }) { CALLS_MAX } else { IN_FLIGHT_MAX };
        let shared = Shared {
            way,
            links,
            http: http_client(timeout),
            redis: Redis::new(timeout),
            postgres: Postgres::new(timeout),
            free: Semaphore::new(free),
            unanswered: Mutex::default(),
            timeout,
            sink,
        };
        Self { shared: Arc::new(shared), runtime }
    }

    /// Waits for what is connected once and for all; at most for the timeout. Without it the first jobs
    /// would not be handed over, on a busy machine.
    pub async fn ready(&self) {
        if let Some(queue) = &self.shared.links.queue {
            queue.ready(self.shared.timeout).await;
        }
    }

    /// Returns at once; comes back as `EnqueueAsked` and `EnqueueAnswered`.
    pub fn enqueue(&self, spec: JobSpec) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move { shared.enqueue(spec).await });
    }

    /// Takes what a program says of its jobs. Every event of the run, in their order.
    pub fn observe(&self, event: &Event) {
        if event.by.as_str() != PRODUCER {
            return;
        }
        match &event.ev {
            What::Line { text } => {
                if let Some((job, answer)) = said(text) {
                    self.shared.answered(&job, answer);
                }
            }
            What::Exited { generation, .. } => self.shared.ended(*generation),
            _ => {}
        }
    }
}

/// `Err`: no answer, or one that leaves open whether the job was made.
type Answer = Result<EnqueueOutcome, String>;
type Unanswered = BTreeMap<JobId, (u32, oneshot::Sender<Answer>)>;

impl Shared {
    async fn enqueue(&self, spec: JobSpec) {
        let Ok(_permit) = self.free.acquire().await else { return };
        let asked = clock::monotonic();
        self.sink.send(asked, PRODUCER.into(), What::EnqueueAsked { job: spec.id.clone() });
        let outcome = match tokio::time::timeout(self.timeout.to_std(), self.ask(&spec)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => EnqueueOutcome::Unknown(error),
            Err(_) => EnqueueOutcome::Unknown(format!("no answer within {}", self.timeout)),
        };
        let answered = What::EnqueueAnswered { job: spec.id, asked, outcome };
        self.sink.send(clock::monotonic(), PRODUCER.into(), answered);
    }

    async fn ask(&self, spec: &JobSpec) -> Answer {
        match &self.way {
            Enqueue::Queue { queues, large_over, .. } => {
                let queue = choose_queue(spec, queues, *large_over).ok_or("the system has no queue")?;
                let client = self.links.queue.as_ref().ok_or("the producer has no client for the queue")?;
                enqueued(client.enqueue(queue, spec).await?)
            }
            Enqueue::Table => {
                let client = self.links.queue.as_ref().ok_or("the producer has no client for the table")?;
                enqueued(client.enqueue("", spec).await?)
            }
            Enqueue::Http { path, body, .. } => {
                let address = self.links.http.ok_or("the producer has no link to the process")?;
                post(self.http.as_ref()?, &format!("http://{address}{path}"), fill(body, spec)?).await
            }
            Enqueue::Redis { command } => {
                let redis = self.links.redis.as_ref().ok_or("the producer has no link to redis")?;
                let words: Vec<String> =
                    command.iter().map(|word| fill(word, spec)).collect::<Result<_, _>>()?;
                self.redis.ask::<redis::Value>(redis, &cmd(&words)).await?;
                Ok(EnqueueOutcome::Acknowledged)
            }
            Enqueue::Sql { statement } => {
                let postgres = self.links.postgres.as_ref().ok_or("the producer has no link to postgres")?;
                self.postgres.query(postgres, &fill_sql(statement, spec)?, usize::MAX).await?;
                Ok(EnqueueOutcome::Acknowledged)
            }
            Enqueue::Program { .. } => {
                let programs = self.links.programs.as_ref().ok_or("the producer is no program")?;
                self.hand_over(&*programs.producer().await?, spec).await
            }
            Enqueue::Call { call, .. } => {
                let programs = self.links.programs.as_ref().ok_or("the producer is no program")?;
                told(programs.call(call, &job_values(spec)?, self.timeout).await?, spec)
            }
        }
    }

    async fn hand_over(&self, program: &RunningProcess, spec: &JobSpec) -> Answer {
        let line = job_json(spec)? + "\n";
        let (answer, answered) = oneshot::channel();
        self.unanswered().insert(spec.id.clone(), (program.generation, answer));
        if let Err(error) = program.input.write(line.as_bytes()).await {
            self.unanswered().remove(&spec.id);
            return Err(format!("the producer does not read: {error}"));
        }
        answered.await.unwrap_or_else(|_| Err("the producer has ended".to_owned()))
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes after the time limit finds nobody.
    fn answered(&self, job: &JobId, answer: Answer) {
        if let Some((_, waiting)) = self.unanswered().remove(job) {
            let _ = waiting.send(answer);
        }
    }

    fn ended(&self, generation: u32) {
        self.unanswered().retain(|_, (of, _)| *of > generation);
    }
}

/// What a program's line says of a job, in the words of Jepsen's histories.
fn said(line: &str) -> Option<(JobId, Answer)> {
    let mut words = line.splitn(3, ' ');
    let (word, job) = (words.next()?, words.next().filter(|job| !job.is_empty())?);
    let why = words.next().unwrap_or("no reason given").to_owned();
    let answer = match word {
        "ok" => Ok(EnqueueOutcome::Acknowledged),
        "fail" => Ok(EnqueueOutcome::Declined(why)),
        "info" => Err(why),
        _ => return None,
    };
    Some((JobId::new(job), answer))
}

fn enqueued(new: bool) -> Answer {
    Ok(match new {
        true => EnqueueOutcome::Acknowledged,
        false => EnqueueOutcome::Declined("a job of this id exists".to_owned()),
    })
}

/// The second queue takes the jobs that work for longer than `large_over`.
fn choose_queue<'a>(spec: &JobSpec, queues: &'a [String], large_over: Option<Span>) -> Option<&'a String> {
    let work = spec.steps.iter().fold(Span::ZERO, |sum, step| sum + *step);
    let is_large = large_over.is_some_and(|limit| work > limit);
    queues.get(usize::from(is_large)).or_else(|| queues.first())
}

async fn post(client: &reqwest::Client, url: &str, body: String) -> Answer {
    let request = client.post(url).header("content-type", "application/json").body(body);
    let answer = request.send().await.map_err(|error| causes(&error))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("HTTP {status}"));
    }
    let body = read_body(answer, ANSWER_BYTES_MAX).await?;
    let answer: serde_json::Value =
        serde_json::from_slice(&body).map_err(|_| format!("HTTP {status} without JSON"))?;
    match answer.get("acknowledged").and_then(serde_json::Value::as_bool) {
        Some(true) => Ok(EnqueueOutcome::Acknowledged),
        Some(false) => {
            let reason = answer.get("reason").and_then(serde_json::Value::as_str);
            Ok(EnqueueOutcome::Declined(reason.unwrap_or("no reason given").to_owned()))
        }
        None => Err("the answer does not say whether the job is acknowledged".to_owned()),
    }
}

/// What `${job}` and `${spec}` stand for.
fn job_values(spec: &JobSpec) -> Result<[(String, String); 2], String> {
    let values = [("job", spec.id.as_str().to_owned()), ("spec", job_json(spec)?)];
    Ok(values.map(|(name, text)| (name.to_owned(), text)))
}

/// What became of the job for which the program ran: its own words, or else how it ended.
fn told(said: Said, spec: &JobSpec) -> Answer {
    let output = String::from_utf8_lossy(&said.output);
    let mut answers = output.lines().filter_map(self::said).filter(|(job, _)| *job == spec.id);
    match (answers.next(), said.failure()) {
        (Some((_, answer)), _) => answer,
        (None, None) => Ok(EnqueueOutcome::Acknowledged),
        (None, Some(why)) => Err(why),
    }
}

fn job_json(spec: &JobSpec) -> Result<String, String> {
    serde_json::to_string(spec).map_err(|error| format!("the job is no JSON: {error}"))
}

fn fill(template: &str, spec: &JobSpec) -> Result<String, String> {
    fill_with(template, spec, |text| text)
}

/// Quotes in the values are doubled: they stand between quotes in the statement.
fn fill_sql(template: &str, spec: &JobSpec) -> Result<String, String> {
    fill_with(template, spec, |text| text.replace('\'', "''"))
}

fn fill_with(template: &str, spec: &JobSpec, escape: fn(String) -> String) -> Result<String, String> {
    let values = job_values(spec)?.map(|(name, text)| (name, escape(text)));
    environment::expand(template, &BTreeMap::from(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Backoff;

    fn job(id: &str, steps_millis: &[u64]) -> JobSpec {
        JobSpec {
            id: id.into(),
            steps: steps_millis.iter().copied().map(Span::from_millis).collect(),
            attempts: 1,
            backoff: Backoff::Fixed(Span::ZERO),
            delay: Span::ZERO,
            timeout: None,
            failing_attempts: 0,
            hanging_attempts: 0,
            tool: None,
        }
    }

    #[test]
    fn a_large_job_goes_to_the_second_queue() {
        let queues = ["regular".to_owned(), "large".to_owned()];
        let check = |steps: &[u64], over: Option<u64>, queues: &[String], expected: &str| {
            let chosen = choose_queue(&job("job-1", steps), queues, over.map(Span::from_millis));
            assert_eq!(chosen.map(String::as_str), Some(expected), "{steps:?} over {over:?}");
        };
        check(&[50, 50], Some(100), &queues, "regular");
        check(&[50, 51], Some(100), &queues, "large");
        check(&[500], None, &queues, "regular");
        check(&[500], Some(100), &queues[..1], "regular");
    }

    #[test]
    fn a_program_s_line_says_what_became_of_a_job() {
        let check = |line: &str, expected: Option<(&str, Answer)>| {
            assert_eq!(said(line), expected.map(|(job, answer)| (job.into(), answer)), "{line}");
        };
        check("ok job-1", Some(("job-1", Ok(EnqueueOutcome::Acknowledged))));
        check("ok job-1 at once", Some(("job-1", Ok(EnqueueOutcome::Acknowledged))));
        check("fail job-1 it is full", Some(("job-1", Ok(EnqueueOutcome::Declined("it is full".into())))));
        check("fail job-1", Some(("job-1", Ok(EnqueueOutcome::Declined("no reason given".into())))));
        check("info job-1 reset", Some(("job-1", Err("reset".into()))));
        for none in ["", "ok", "ok ", "okay job-1", "connected", " ok job-1"] {
            check(none, None);
        }
    }

    #[test]
    fn templates_are_filled_and_quotes_doubled_in_sql() {
        assert_eq!(fill("a ${job} b ${job}", &job("job-1", &[])).unwrap(), "a job-1 b job-1");
        assert!(fill("${spec}", &job("job-1", &[5])).unwrap().contains(r#""id":"job-1""#));
        assert_eq!(fill("$${job} ${job}", &job("${spec}", &[])).unwrap(), "${job} ${spec}");
        assert_eq!(fill_sql("values ('${job}')", &job("o'clock", &[])).unwrap(), "values ('o''clock')");
    }
}
