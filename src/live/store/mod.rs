//! The protocol's commands on real stores: scripts on Redis, statements on Postgres.
//!
//! Every command is atomic on its server. A command that finds no connection fails at once; the
//! connection comes back by itself.

mod link;
pub mod postgres;
pub mod redis;

use std::time::Duration;

pub use postgres::PostgresStore;
pub use redis::{QueueCounts, RedisStore};

use crate::names::Store;
use crate::protocol::{Command, Reply, StoreError};

/// What carries out a machine's commands. Cheap to clone.
pub trait Execute: Clone + Send + Sync + 'static {
    /// # Errors
    /// See [`StoreError`]; whether the command took effect is then unknown.
    fn execute(&self, command: Command) -> impl Future<Output = Result<Reply, StoreError>> + Send;
}

impl Execute for Stores {
    async fn execute(&self, command: Command) -> Result<Reply, StoreError> {
        Self::execute(self, &command).await
    }
}

impl Execute for PostgresStore {
    async fn execute(&self, command: Command) -> Result<Reply, StoreError> {
        Self::execute(self, &command).await
    }
}

/// Both stores of one process of the fleet. Cheap to clone.
#[derive(Clone)]
pub struct Stores {
    pub redis: RedisStore,
    pub postgres: PostgresStore,
}

impl Stores {
    /// # Errors
    /// See [`StoreError`]; whether the command took effect is then unknown.
    pub async fn execute(&self, command: &Command) -> Result<Reply, StoreError> {
        match command.store() {
            Store::Redis => self.redis.execute(command).await,
            Store::Postgres => self.postgres.execute(command).await,
        }
    }
}

/// How long a store's connection waits before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection to be made, up to the server's first answer.
    pub connect: Duration,
    /// For the answer to a command.
    pub command: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), command: Duration::from_secs(1) }
    }
}

/// An address of a store that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address of {store}: {reason}")]
pub struct AddressError {
    pub store: Store,
    pub reason: String,
}
