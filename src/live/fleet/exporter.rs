//! Tells metrics to Prometheus, counted at each scrape: of a queue in Redis how many jobs are in which
//! state; of a fleet whose jobs are in Postgres that too, and how its workers beat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::driver::Signals;
use super::{Ended, Environment, FleetError, http};
use crate::live::store::{PostgresStore, QueueCounts, RedisStore, Stores};
use crate::live::web;
use crate::protocol::StoreError;
use crate::time::Span;

const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let settings = environment.settings()?;
    let Stores { redis, .. } = environment.stores(&settings)?;
    let queues = Arc::new(Queues { redis, names: settings.queue.queues });
    let routes = Router::new().route("/metrics", get(metrics)).with_state(queues);
    http::serve(environment.port()?, routes, signals, GRACE).await
}

/// Of a fleet whose jobs are in Postgres. A worker is active whose beat is younger than `active`.
pub(super) async fn run_table(
    environment: &Environment,
    database: PostgresStore,
    active: Span,
    signals: Signals,
) -> Result<Ended, FleetError> {
    let tables = Arc::new(Tables { database, active });
    let routes = Router::new().route("/metrics", get(table_metrics)).with_state(tables);
    http::serve(environment.port()?, routes, signals, GRACE).await
}

struct Tables {
    database: PostgresStore,
    active: Span,
}

async fn table_metrics(State(tables): State<Arc<Tables>>) -> Response {
    let asked = async {
        let beats = tables.database.beats(tables.active).await?;
        Ok::<_, StoreError>((beats, tables.database.job_statistics().await?))
    };
    let ((active, newest), statistics) = match asked.await {
        Ok(told) => told,
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    };
    let mut registry = Registry::default();
    let workers = JobGauge::default();
    workers.inner().store(active, Ordering::Relaxed);
    registry.register("workers_active", "Workers with a fresh beat", workers);
    if let Some(newest) = newest {
        let stamp = Gauge::<f64, AtomicU64>::default();
        stamp.set(newest);
        registry.register("workers_last_heartbeat_timestamp_seconds", "When the newest beat was", stamp);
    }
    let jobs = Family::<Labels, JobGauge>::default();
    for (state, count) in statistics {
        let gauge = jobs.get_or_create(&vec![("state", state)]).clone();
        gauge.inner().store(count.parse().unwrap_or_default(), Ordering::Relaxed);
    }
    registry.register("jobs", "Jobs by state", jobs);
    web::metrics(&registry)
}

struct Queues {
    redis: RedisStore,
    names: Vec<String>,
}

type JobGauge = Gauge<u64, AtomicU64>;
type Labels = Vec<(&'static str, String)>;

/// Without an answer of Redis there are no metrics: the scrape fails, and `up` is 0.
async fn metrics(State(queues): State<Arc<Queues>>) -> Response {
    let jobs = Family::<Labels, JobGauge>::default();
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
    web::metrics(&registry)
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
