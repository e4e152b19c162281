//! The search api (S0): a background refresh if it believes workers to be online, a synchronous look
//! into the external catalogue if not. The user gets results either way.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::catalogue::Found;
use super::driver::{Asker, Driver, Signals};
use super::emit::emit;
use super::environment::{invalid, limits};
use super::{Ended, Environment, FleetError, http};
use crate::live::store::Stores;
use crate::live::{clock, web};
use crate::protocol::detector::Detector;
use crate::protocol::{Command, FleetEvent, JobSpec};

/// Local results of one search.
const LOCAL_MAX: u32 = 20;

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let settings = environment.settings()?;
    let heartbeat = settings.heartbeat.as_ref();
    let heartbeat = heartbeat.ok_or_else(|| invalid("SYNCOPE_FLEET", "the api needs `heartbeat`"))?;
    let queue = settings.queue.queues.first();
    let queue = queue.ok_or_else(|| invalid("SYNCOPE_FLEET", "the api needs a queue"))?.clone();
    let catalogue = Catalogue::new(environment.catalogue_url()?, limits(&settings).command)?;
    let port = environment.port()?;
    let stores = environment.stores(&settings)?;
    let detector = Detector::new(heartbeat, &settings.prefix);
    let (driver, workers) = Driver::new(detector, stores.clone(), None);
    tokio::spawn(driver.run());
    let routes = Router::new()
        .route("/api/search", post(search))
        .route("/api/health", get(health))
        .with_state(Api { workers, stores, catalogue, queue });
    http::serve(port, routes, signals, settings.queue.shutdown_grace.to_std()).await
}

#[derive(Clone)]
struct Api {
    workers: Asker,
    stores: Stores,
    catalogue: Catalogue,
    queue: String,
}

#[derive(Deserialize)]
struct Search {
    q: String,
    /// The refresh that the search asks for.
    job: JobSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// Whether the refresh was enqueued.
    acknowledged: bool,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    skip_reason: Option<&'static str>,
    results: Vec<Found>,
    /// Sources that gave no results because they did not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    degraded: Vec<&'static str>,
}

async fn search(State(api): State<Api>, Json(search): Json<Search>) -> (StatusCode, Json<Answer>) {
    let asked = clock::monotonic();
    let local = api.stores.postgres.finished_jobs(&search.q, LOCAL_MAX);
    let (belief, local) = tokio::join!(api.workers.ask(), local);
    let job = search.job.id.clone();
    let mut answer =
        Answer { acknowledged: false, reason: None, skip_reason: None, results: vec![], degraded: vec![] };
    let mut status = StatusCode::OK;
    match local {
        Ok(jobs) => answer.results.extend(jobs.iter().map(|job| found_locally(job.as_str()))),
        Err(_) => answer.degraded.push("local"),
    }
    if belief.online {
        let enqueue = Command::Enqueue { queue: api.queue.as_str().into(), job: search.job };
        answer.acknowledged = api.stores.redis.execute(&enqueue).await.is_ok();
        if !answer.acknowledged {
            status = StatusCode::SERVICE_UNAVAILABLE;
            answer.reason = Some("enqueue_failed");
        }
    } else {
        answer.reason = Some("workers_offline");
        answer.skip_reason = answer.reason;
        match api.catalogue.search(&search.q).await {
            Ok(found) => merge(&mut answer.results, found),
            Err(_) => answer.degraded.push("catalogue"),
        }
    }
    emit(FleetEvent::Searched { job, online: belief.online, took: clock::monotonic().since(asked) });
    (status, Json(answer))
}

fn found_locally(job: &str) -> Found {
    Found { id: job.into(), source: "local".into() }
}

/// What is known locally is not listed twice.
fn merge(results: &mut Vec<Found>, external: Vec<Found>) {
    for found in external {
        if results.iter().all(|known| known.id != found.id) {
            results.push(found);
        }
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    workers: Workers,
    redis: bool,
}

#[derive(Serialize)]
struct Workers {
    online: bool,
    /// There was a heartbeat, and it was too old.
    stale: bool,
}

async fn health(State(api): State<Api>) -> Json<Health> {
    let belief = api.workers.ask().await;
    // The detector has just used the connection: it is not up without reason.
    let redis = api.stores.redis.is_connected();
    let status = if belief.online && redis { "ok" } else { "degraded" };
    Json(Health { status, workers: Workers { online: belief.online, stale: belief.stale }, redis })
}

/// The external catalogue, behind its link.
#[derive(Clone)]
struct Catalogue {
    url: String,
    client: reqwest::Client,
}

impl Catalogue {
    fn new(base: &str, patience: std::time::Duration) -> Result<Self, FleetError> {
        let client = web::direct(patience).build();
        let client = client.map_err(|error| invalid("CATALOGUE_URL", error))?;
        Ok(Self { url: format!("{}/search", base.trim_end_matches('/')), client })
    }

    async fn search(&self, text: &str) -> Result<Vec<Found>, reqwest::Error> {
        let answer = self.client.get(&self.url).query(&[("q", text)]).send().await?;
        answer.error_for_status()?.json().await
    }
}
