//! Tells the queue's metrics to Prometheus: how many jobs are in which state, counted at each scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::driver::Signals;
use super::{Ended, Environment, FleetError, http};
use crate::live::store::{QueueCounts, RedisStore, Stores};

const GRACE: Duration = Duration::from_secs(1);
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let settings = environment.settings()?;
    let Stores { redis, .. } = environment.stores(&settings)?;
    let queues = Arc::new(Queues { redis, names: settings.queue.queues });
    let routes = Router::new().route("/metrics", get(metrics)).with_state(queues);
    http::serve(environment.port()?, routes, signals, GRACE).await
}

struct Queues {
    redis: RedisStore,
    names: Vec<String>,
}

type JobGauge = Gauge<u64, AtomicU64>;

/// Without an answer of Redis there are no metrics: the scrape fails, and `up` is 0.
async fn metrics(State(queues): State<Arc<Queues>>) -> Response {
    let jobs = Family::<Vec<(&'static str, String)>, JobGauge>::default();
    for queue in &queues.names {
        let counts = match queues.redis.counts(queue).await {
            Ok(counts) => counts,
            Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
        };
        for (state, count) in states(counts) {
            let labels = vec![("queue", queue.clone()), ("state", state.to_owned())];
            jobs.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
        }
    }
    let mut registry = Registry::default();
    registry.register("queue_jobs", "Jobs of a queue by state", jobs);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    ([(CONTENT_TYPE, CONTENT)], text).into_response()
}

const fn states(counts: QueueCounts) -> [(&'static str, u64); 5] {
    let QueueCounts { waiting, active, delayed, completed, failed } = counts;
    [
        ("waiting", waiting),
        ("active", active),
        ("delayed", delayed),
        ("completed", completed),
        ("failed", failed),
    ]
}
