//! What the stores need before a fleet starts: the reference fleet's tables, a foreign fleet's own words.

use std::collections::BTreeMap;

use crate::backend::BackendError;
use crate::live::environment::{Credentials, postgres_url};
use crate::live::observe::connection;
use crate::live::provision::StoreInstance;
use crate::live::store::{Limits, PostgresStore};
use crate::names::Store;
use crate::scenario::{Fleet, Prepare};

/// # Errors
/// What the store said to the statement that it did not take.
pub async fn stores(fleet: &Fleet, stores: &BTreeMap<Store, StoreInstance>) -> Result<(), BackendError> {
    if fleet.is_reference()
        && let Some(postgres) = stores.get(&Store::Postgres)
    {
        create_tables(postgres).await?;
    }
    for step in &fleet.prepare {
        run(step, stores).await.map_err(|error| BackendError::Failed(format!("failed to prepare: {error}")))?;
    }
    Ok(())
}

async fn create_tables(postgres: &StoreInstance) -> Result<(), BackendError> {
    let credentials = Credentials {
        user: postgres.user.clone(),
        password: postgres.password.clone(),
        database: postgres.database.clone(),
    };
    let failed = |error: String| BackendError::Failed(format!("failed to create the fleet's tables: {error}"));
    let store = PostgresStore::connect(&postgres_url(postgres.address, &credentials), Limits::default())
        .map_err(|error| failed(error.to_string()))?;
    store.ready(Limits::default().connect).await;
    store.create_schema().await.map_err(|error| failed(error.to_string()))
}

async fn run(step: &Prepare, stores: &BTreeMap<Store, StoreInstance>) -> Result<(), String> {
    let store = |store| stores.get(&store).ok_or_else(|| format!("there is no {store}"));
    match step {
        Prepare::Sql(statement) => connection::execute_sql(store(Store::Postgres)?, statement).await,
        Prepare::Redis(command) => connection::execute_redis(store(Store::Redis)?, command).await,
    }
}
