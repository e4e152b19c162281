//! A stub of a web site: any page, after the time that the asker wants it to take.

use std::time::Duration;

use axum::extract::{Path, Query};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::driver::Signals;
use super::{Ended, Environment, FleetError, http};

const GRACE: Duration = Duration::from_secs(1);

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let routes = Router::new().route("/{job}/{page}", get(page));
    http::serve(environment.port()?, routes, signals, GRACE).await
}

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    takes_us: u64,
}

#[derive(Serialize)]
struct Page {
    title: String,
    /// To the next page.
    next: String,
}

async fn page(Path((job, page)): Path<(String, u32)>, Query(wish): Query<Wish>) -> Json<Page> {
    tokio::time::sleep(Duration::from_micros(wish.takes_us)).await;
    let next = format!("/{job}/{}", u64::from(page) + 1);
    Json(Page { title: format!("{job}, page {page}"), next })
}
