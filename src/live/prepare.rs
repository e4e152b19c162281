//! What the stores need before a fleet starts: the reference fleet's tables, a foreign fleet's own words.

use std::collections::BTreeMap;

use crate::backend::BackendError;
use crate::live::observe::connection::{Postgres, Redis};
use crate::live::provision::StoreInstance;
use crate::live::store::postgres::SCHEMA;
use crate::names::Store;
use crate::scenario::{Fleet, Prepare};
use crate::time::Span;

const ANSWER_LIMIT: Span = Span::from_secs(30);
/// What the statements answer is of no interest; so much of it is borne.
const ROWS_MAX: usize = 10_000;

/// # Errors
/// What the store said to the statement that it did not take.
pub async fn stores(fleet: &Fleet, stores: &BTreeMap<Store, StoreInstance>) -> Result<(), BackendError> {
    if fleet.is_reference() && stores.contains_key(&Store::Postgres) {
        sql(stores, SCHEMA).await.map_err(|error| failed("create the fleet's tables", &error))?;
    }
    for step in &fleet.prepare {
        let done = match step {
            Prepare::Sql(statement) => sql(stores, statement).await,
            Prepare::Redis(words) => redis(stores, words).await,
        };
        done.map_err(|error| failed("prepare the stores", &error))?;
    }
    Ok(())
}

fn failed(doing: &str, error: &str) -> BackendError {
    BackendError::Failed(format!("failed to {doing}: {error}"))
}

async fn sql(stores: &BTreeMap<Store, StoreInstance>, statement: &str) -> Result<(), String> {
    let postgres = stores.get(&Store::Postgres).ok_or("there is no postgres")?;
    Postgres::new(ANSWER_LIMIT).query(postgres, statement, ROWS_MAX).await.map(drop)
}

async fn redis(stores: &BTreeMap<Store, StoreInstance>, words: &[String]) -> Result<(), String> {
    let redis = stores.get(&Store::Redis).ok_or("there is no redis")?;
    let [name, arguments @ ..] = words else { return Err("a Redis command needs a name".into()) };
    let mut command = redis::cmd(name);
    command.arg(arguments);
    Redis::new(ANSWER_LIMIT).ask::<redis::Value>(redis, &command).await.map(drop)
}
