//! A stub of the external catalogue: the same few results for the same query.

use std::time::Duration;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::driver::Signals;
use super::{Ended, Environment, FleetError, http};

const RESULTS: u32 = 3;
const GRACE: Duration = Duration::from_secs(1);

/// One thing that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub id: String,
    pub source: String,
}

pub(super) async fn run(environment: &Environment) -> Result<Ended, FleetError> {
    let signals = Signals::catch()?;
    let routes = Router::new().route("/search", get(search));
    http::serve(environment.port()?, routes, signals, GRACE).await
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(Query(search): Query<Search>) -> Json<Vec<Found>> {
    let found = |n| Found { id: format!("{}#{n}", search.q), source: "catalogue".into() };
    Json((1..=RESULTS).map(found).collect())
}
