//! The reference fleet's processes: `protocol`'s machines on tokio, against real stores.
//!
//! Each process writes one JSON line per event on its standard output ([`emit`]), ends gracefully on
//! SIGTERM, says its wall clock on SIGUSR1, and takes more memory on SIGWINCH. On SIGUSR2 the task of one
//! of a pool's workers panics.

mod api;
mod ballast;
mod catalogue;
mod driver;
pub mod emit;
mod environment;
mod exporter;
mod http;
mod labour;
mod memory;
pub mod operator;
mod pool;
mod readiness;
mod site;
mod table;
pub mod tools;
mod worker;

pub use environment::{Environment, EnvironmentError};

use crate::protocol::{FleetRole, TableRole};

/// How a process ended by its own will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Work was left undone.
    pub forced: bool,
}

/// Runs one process of the fleet until it is told to stop.
///
/// # Errors
/// If the environment lacks something, or if the process cannot serve its port.
pub async fn run(role: FleetRole, environment: &Environment) -> Result<Ended, FleetError> {
    match role {
        FleetRole::Worker => worker::run(environment).await,
        FleetRole::Api => api::run(environment).await,
        FleetRole::Catalogue => catalogue::run(environment).await,
        FleetRole::Pool => pool::run(environment).await,
        FleetRole::Site => site::run(environment).await,
        FleetRole::Exporter => exporter::run(environment).await,
    }
}

/// Runs one process of a fleet whose jobs are in Postgres, until it is told to stop.
///
/// # Errors
/// If the environment lacks something.
pub async fn run_table(role: TableRole, environment: &Environment) -> Result<Ended, FleetError> {
    table::run(role, environment).await
}

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("failed to {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error(transparent)]
    Store(#[from] crate::protocol::StoreError),
}
