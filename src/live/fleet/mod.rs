//! The reference fleet's processes: `protocol`'s machines on tokio, against real stores.
//!
//! Each process writes one JSON line per event on its standard output ([`emit`]), ends gracefully on
//! SIGTERM, says its wall clock on SIGUSR1, and takes more memory on SIGWINCH.

mod api;
mod ballast;
mod catalogue;
mod driver;
pub mod emit;
mod environment;
mod http;
mod worker;

pub use environment::{Environment, EnvironmentError};

use crate::protocol::FleetRole;

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
    }
}

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("failed to {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
}
