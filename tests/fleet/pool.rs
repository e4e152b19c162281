//! Pool processes: their pages, their health, their workers' panics, and how they stop.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use syncope::protocol::pool::event::{JobEnd, JobKind, JobResult, PoolEvent};
use syncope::protocol::pool::settings::PoolSettings;
use syncope::protocol::{FleetEvent, FleetSettings, QueueSettings};
use syncope::time::Span;

use crate::fleet::{Process, Stack, job, settings};
use crate::servers::free_port;

#[tokio::test]
async fn pages_are_fetched_and_a_site_that_is_gone_fails_the_attempt() {
    let stack = Stack::start(pool_settings()).await;
    let (mut site, mut pool, url) = start(&stack).await;
    stack.enqueue(job("crawl", &[50, 50, 50])).await;
    let result = pool.until("a result", told_result).await;
    assert_eq!((result.kind, result.status), (JobKind::FullCrawl, JobEnd::Completed));
    assert_eq!((result.pages_scraped, result.total_pages), (3, 3));
    assert!(result.duration >= Span::from_millis(150), "{}", result.duration);
    assert_eq!(stack.outcome("crawl").await, (1, "completed".into()));

    site.signal(Signal::KILL);
    site.ended().await;
    stack.enqueue(job("lost", &[50])).await;
    let result =
        pool.until("a last result", |ev| told_result(ev).filter(|r| r.status == JobEnd::Failed)).await;
    assert_eq!((result.kind, result.pages_scraped), (JobKind::SinglePage, 0));
    assert_eq!(get(&url, "/live").await["live"], true);
}

#[tokio::test]
async fn health_follows_redis_and_a_panic() {
    let mut stack = Stack::start(pool_settings()).await;
    let (_site, mut pool, url) = start(&stack).await;
    let health = get(&url, "/health").await;
    assert_eq!((&health["totalWorkers"], &health["healthy"]), (&2.into(), &true.into()), "{health}");
    assert!(health["memory"]["used"].as_u64().is_some_and(|used| used > 0), "{health}");

    stack.redis.kill();
    until(&url, |health| health["redisConnected"] == false && health["healthy"] == false).await;
    stack.redis.resume();
    until(&url, |health| health["redisConnected"] == true && health["healthy"] == true).await;

    stack.enqueue(job("a", &[10, 400, 10])).await;
    pool.until("a step", |ev| matches!(ev, FleetEvent::StepDone { .. }).then_some(())).await;
    pool.signal(Signal::USR2);
    let lost = pool.until("an error", |ev| match ev {
        FleetEvent::Pool(PoolEvent::WorkerError { jobs, .. }) => Some(jobs.clone()),
        _ => None,
    });
    assert_eq!(lost.await, ["a".into()]);
    pool.until("a new worker", |ev| {
        matches!(ev, FleetEvent::Pool(PoolEvent::WorkerReady { start: 2, .. })).then_some(())
    })
    .await;
    assert_eq!(pool.claims("a").await, (1, 1), "a stall, and no attempt");
    pool.completes("a").await;
}

#[tokio::test]
async fn past_its_grace_a_pool_hands_every_job_back() {
    let queue = QueueSettings { shutdown_grace: Span::from_millis(50), ..pool_settings().queue };
    let stack = Stack::start(FleetSettings { queue, ..pool_settings() }).await;
    let (_site, mut pool, _) = start(&stack).await;
    for id in ["a", "b", "c"] {
        stack.enqueue(job(id, &[5_000])).await;
    }
    let mut held = 0;
    while held < 3 {
        pool.until("a claim", |ev| matches!(ev, FleetEvent::Claimed { .. }).then_some(())).await;
        held += 1;
    }
    pool.signal(Signal::TERM);
    let forced = pool.until("stopped", |ev| match ev {
        FleetEvent::Stopped { forced } => Some(*forced),
        _ => None,
    });
    assert!(forced.await);
    assert_eq!(pool.ended().await.code(), Some(1));
    let waiting: Vec<String> = redis::cmd("LRANGE")
        .arg("app:test:regular:waiting")
        .arg(0)
        .arg(-1)
        .query(&mut stack.redis.client())
        .expect("the list");
    assert_eq!(waiting.len(), 3, "{waiting:?}");
}

fn pool_settings() -> FleetSettings {
    let queue = QueueSettings { queues: vec!["regular".into()], concurrency: 2, ..settings().queue };
    let pool = PoolSettings {
        workers: 2,
        health_interval: Some(Span::from_millis(100)),
        restart_after: Span::from_millis(20),
        ..PoolSettings::documented()
    };
    FleetSettings { queue, pool: Some(pool), ..settings() }
}

/// A site, a pool on it, and where the pool's health is told.
async fn start(stack: &Stack) -> (Process, Process, String) {
    let (site_port, pool_port) = (free_port(), free_port());
    let with_port = |name: &str, port: u16| -> BTreeMap<String, String> {
        let mut environment = stack.environment(name);
        environment.insert("PORT".into(), port.to_string());
        environment.insert("SITE_URL".into(), format!("http://127.0.0.1:{site_port}"));
        environment
    };
    let mut site = Process::start("site", with_port("site", site_port));
    site.ready().await;
    let mut pool = Process::start("pool", with_port("pool-1", pool_port));
    pool.ready().await;
    (site, pool, format!("http://127.0.0.1:{pool_port}"))
}

async fn get(url: &str, path: &str) -> Value {
    let answer = reqwest::get(format!("{url}{path}")).await.expect("an answer");
    answer.json().await.expect("JSON")
}

async fn until(url: &str, is_so: impl Fn(&Value) -> bool) {
    let asking = async {
        while !is_so(&get(url, "/health").await) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asking).await.expect("the health should follow");
}

fn told_result(ev: &FleetEvent) -> Option<JobResult> {
    match ev {
        FleetEvent::Pool(PoolEvent::Result(result)) => Some((**result).clone()),
        _ => None,
    }
}
