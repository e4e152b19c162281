//! The producer, the effect queries and the SQL probe against a real Postgres and a real Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use syncope::history::{EnqueueOutcome, Event, FinalState, Sample, What};
use syncope::live::observe::effects::States;
use syncope::live::observe::{Links, Prober, Producer, QueueClient, Sources, collect};
use syncope::live::sink::Sink;
use syncope::names::{JobId, PRODUCER, Store};
use syncope::protocol::{Backoff, JobSpec};
use syncope::scenario::{Ask, EffectQuery, Enqueue, Page, Probe};
use syncope::time::Span;
use tokio::runtime::Runtime;

use crate::fake::{FakeSite, PATIENCE, Server};
use crate::web::Web;

const TIMEOUT: Span = Span::from_secs(20);

pub fn job(id: &str) -> JobSpec {
    JobSpec {
        id: id.into(),
        steps: vec![Span::from_millis(1)],
        attempts: 1,
        backoff: Backoff::Fixed(Span::ZERO),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts: 0,
        hanging_attempts: 0,
        tool: None,
    }
}

/// Enqueues the job and returns the outcome.
fn outcome(way: Enqueue, links: Links, timeout: Span, id: &str) -> EnqueueOutcome {
    let runtime = Runtime::new().unwrap();
    let (sender, events): (_, Receiver<Event>) = channel();
    let producer = Producer::new(way, links, timeout, Sink::new(sender), runtime.handle().clone());
    runtime.block_on(producer.ready());
    producer.enqueue(job(id));
    let first = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!((first.by.as_str(), first.ev), (PRODUCER, What::EnqueueAsked { job: id.into() }));
    let second = events.recv_timeout(PATIENCE).unwrap();
    let What::EnqueueAnswered { job, asked, outcome } = second.ev else { panic!("an answer") };
    assert_eq!((job.as_str(), asked), (id, first.at));
    assert!(second.at >= asked);
    outcome
}

pub fn check_unknown(outcome: &EnqueueOutcome, reason: &str) {
    assert!(matches!(outcome, EnqueueOutcome::Unknown(why) if why.contains(reason)), "{outcome:?}");
}

#[test]
fn an_http_enqueue_is_acknowledged_declined_or_unknown() {
    let web = Web::start(200, r#"{"acknowledged": true}"#);
    let ask = |timeout| {
        let way = Enqueue::Http {
            process: "api".into(),
            path: "/search".to_owned(),
            body: r#"{"id": "${job}", "spec": ${spec}}"#.to_owned(),
        };
        outcome(way, Links { http: Some(web.address), ..Links::default() }, timeout, "job-1")
    };
    assert_eq!(ask(TIMEOUT), EnqueueOutcome::Acknowledged);
    let (line, body) = web.seen.lock().unwrap()[0].clone();
    assert_eq!(line, "post /search http/1.1");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(serde_json::from_value::<JobSpec>(body["spec"].clone()).unwrap(), job("job-1"));

    web.answer(202, r#"{"acknowledged": false, "reason": "offline"}"#);
    assert_eq!(ask(TIMEOUT), EnqueueOutcome::Declined("offline".to_owned()));
    web.answer(500, r#"{"acknowledged": true}"#);
    check_unknown(&ask(TIMEOUT), "500");
    web.answer(200, "{}");
    check_unknown(&ask(TIMEOUT), "does not say");
    web.hang();
    check_unknown(&ask(Span::from_millis(50)), "");
}

#[test]
fn a_producer_without_its_link_says_so() {
    let way = Enqueue::Redis { command: vec!["PING".to_owned()] };
    check_unknown(&outcome(way, Links::default(), TIMEOUT, "job-1"), "no link to redis");
}

/// Takes what it has not yet seen.
#[derive(Default)]
struct OneQueue {
    taken: Mutex<Vec<(String, JobId)>>,
    /// Whoever asks before is not connected yet.
    ready: Mutex<bool>,
}

impl QueueClient for OneQueue {
    fn enqueue(&self, queue: &str, job: &JobSpec) -> BoxFuture<'_, Result<bool, String>> {
        if !*self.ready.lock().unwrap() {
            return Box::pin(async { Err("not connected yet".to_owned()) });
        }
        let entry = (queue.to_owned(), job.id.clone());
        let mut taken = self.taken.lock().unwrap();
        let is_new = !taken.contains(&entry);
        taken.push(entry);
        Box::pin(async move { Ok(is_new) })
    }

    fn ready(&self, _: Span) -> BoxFuture<'_, ()> {
        Box::pin(async { *self.ready.lock().unwrap() = true })
    }
}

#[test]
fn the_reference_queue_is_asked_through_its_client_once_that_is_connected() {
    let queue = Arc::new(OneQueue::default());
    let ask = || {
        let way = Enqueue::Queue {
            prefix: "app:test".to_owned(),
            queues: vec!["regular".to_owned(), "large".to_owned()],
            large_over: Some(Span::ZERO),
        };
        outcome(way, Links { queue: Some(Arc::clone(&queue) as _), ..Links::default() }, TIMEOUT, "job-1")
    };
    assert_eq!(ask(), EnqueueOutcome::Acknowledged);
    assert!(matches!(ask(), EnqueueOutcome::Declined(_)));
    assert_eq!(queue.taken.lock().unwrap()[0], ("large".to_owned(), "job-1".into()));
}

#[test]
fn jobs_enqueued_by_command_are_found_by_the_effect_queries() {
    let (redis, postgres) = (Server::redis(), Server::postgres());
    let links = || Links {
        redis: Some(redis.instance.clone()),
        postgres: Some(postgres.instance.clone()),
        ..Links::default()
    };
    let sql = |statement: &str, id: &str| {
        outcome(Enqueue::Sql { statement: statement.to_owned() }, links(), TIMEOUT, id)
    };
    let tables = "create table jobs (job text primary key, spec jsonb, effects bigint default 0, failed boolean \
                  default false, by text); create table steps (job text, step integer); \
                  insert into steps values ('job-2', 2), ('job-2', 1), ('job-2', 2)";
    assert_eq!(sql(tables, "tables"), EnqueueOutcome::Acknowledged);
    let insert = "insert into jobs (job, spec) values ('${job}', '${spec}')";
    assert_eq!(sql(insert, "job-1"), EnqueueOutcome::Acknowledged);
    check_unknown(&sql(insert, "job-1"), "duplicate key");
    assert_eq!(
        sql("insert into jobs values ('job-2', '{}', 3, true, 'w-1,w-2, w-1')", "x"),
        EnqueueOutcome::Acknowledged
    );
    let command = ["HINCRBY", "effects", "${job}", "1"].map(str::to_owned).to_vec();
    let count = || outcome(Enqueue::Redis { command: command.clone() }, links(), TIMEOUT, "job-1");
    assert_eq!((count(), count()), (EnqueueOutcome::Acknowledged, EnqueueOutcome::Acknowledged));

    let runtime = Runtime::new().unwrap();
    let stores = BTreeMap::from([
        (Store::Redis, redis.instance.clone()),
        (Store::Postgres, postgres.instance.clone()),
    ]);
    let sources = Sources { stores, ..Sources::default() };
    let effects = EffectQuery {
        sql: Some("select job, effects, failed, by from jobs".to_owned()),
        redis: Some(vec!["HGETALL".to_owned(), "effects".to_owned()]),
        steps_sql: Some("select job, step from steps".to_owned()),
        ..EffectQuery::default()
    };
    let found = runtime.block_on(collect(&effects, None, &sources)).unwrap();
    let by = ["w-1", "w-2", "w-1"].map(Into::into).to_vec();
    let expected = States::from([
        ("job-1".into(), FinalState { effects: 2, ..FinalState::default() }),
        ("job-2".into(), FinalState { effects: 3, failed: true, steps: vec![1, 2], by }),
    ]);
    assert_eq!(found, expected);

    let wrong = EffectQuery { sql: Some("select 'job-1'".to_owned()), ..EffectQuery::default() };
    assert!(runtime.block_on(collect(&wrong, None, &sources)).unwrap_err().contains("no column 2"));
    let none = EffectQuery { redis: effects.redis.clone(), ..EffectQuery::default() };
    assert_eq!(runtime.block_on(collect(&none, None, &Sources::default())).unwrap_err(), "there is no redis");

    probe_sql(&postgres, "select count(*) = 2 from jobs", |sample| {
        *sample == Sample::Alive { subject: None, alive: true }
    });
    probe_sql(&postgres, "select effects > 7 from jobs where job = 'none'", |sample| {
        *sample == Sample::Alive { subject: None, alive: false }
    });
    probe_sql(
        &postgres,
        "select nonsense",
        |sample| matches!(sample, Sample::Unknown { error } if error.contains("nonsense")),
    );
}

#[test]
fn a_page_tells_the_effects_and_an_error_page_tells_nothing() {
    let runtime = Runtime::new().unwrap();
    let page = Page { process: "api".into(), path: "/effects".to_owned() };
    let effects = EffectQuery { http: Some(page), ..EffectQuery::default() };
    let web = Web::start(200, r#"[{"job": "job-1", "effects": 1, "by": "worker-2"}]"#);
    let said = States::from([("job-1".into(), FinalState { effects: 1, ..FinalState::default() })]);
    let ask = |address: Option<_>| {
        let http = address.map(|address| ("api".into(), address)).into_iter().collect();
        let sources = Sources { http, said: said.clone(), ..Sources::default() };
        runtime.block_on(collect(&effects, None, &sources))
    };
    let by = vec!["worker-2".into()];
    let both = FinalState { effects: 2, by, ..FinalState::default() };
    assert_eq!(ask(Some(web.address)), Ok(States::from([("job-1".into(), both)])));
    assert_eq!(web.seen.lock().unwrap()[0].0, "get /effects http/1.1");
    web.answer(503, r#"{"job-1": 1}"#);
    assert!(ask(Some(web.address)).unwrap_err().contains("503"));
    assert_eq!(ask(None).unwrap_err(), "api has no address");
}

fn probe_sql(server: &Server, query: &str, expected: impl Fn(&Sample) -> bool) {
    let runtime = Runtime::new().unwrap();
    let site = FakeSite::default();
    site.stores.lock().unwrap().insert(Store::Postgres, server.instance.clone());
    let (sender, events) = channel();
    let probe =
        Probe { every: Span::from_millis(10), timeout: TIMEOUT, ask: Ask::Sql { query: query.to_owned() } };
    let _prober = Prober::start(&probe, BTreeSet::new(), Arc::new(site), Sink::new(sender), runtime.handle());
    let What::Probe { sample, .. } = events.recv_timeout(PATIENCE).unwrap().ev else { panic!("a probe") };
    assert!(expected(&sample), "{query}: {sample:?}");
}
