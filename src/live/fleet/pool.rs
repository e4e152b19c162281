//! The pool's process (S4): workers that fetch pages, and their health over HTTP.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::driver::{Driver, Signals};
use super::environment::invalid;
use super::labour::Site;
use super::{Ended, Environment, FleetError, http};
use crate::live::clock;
use crate::protocol::Pool;
use crate::protocol::pool::event::PoolHealth;

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?.with_panics()?;
    let (settings, pool) = environment.pool_settings()?;
    let (name, instance) = (environment.pool_name(), environment.instance());
    let site = Site::new(environment.site_url()?, pool.page_timeout.to_std());
    let site = site.map_err(|error| invalid("SITE_URL", error))?;
    let stores = environment.stores(&settings)?;
    let listener = http::listen(environment.pool_port()?).await?;
    let pool = Pool::new(&settings, &pool, &name, std::process::id(), &instance, clock::now());
    let (publish, health) = watch::channel(pool.health());
    let routes =
        Router::new().route("/health", get(tell_health)).route("/live", get(live)).with_state(health);
    // Ends with the process: while the pool stops, its health can still be asked for.
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let (driver, _) = Driver::new(pool, stores, Some(signals));
    let driver = driver.fetching(site).watched(move |pool: &Pool| {
        publish.send_replace(pool.health());
    });
    Ok(driver.run().await)
}

async fn tell_health(State(health): State<watch::Receiver<PoolHealth>>) -> Json<Value> {
    Json(health.borrow().to_json(clock::monotonic()))
}

/// For a liveness probe: whoever answers is alive, whatever its health.
async fn live() -> Json<Value> {
    Json(json!({"live": true}))
}
