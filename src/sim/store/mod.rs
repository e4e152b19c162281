//! The two stores as the simulator has them: pure, deterministic, in integer time. They execute
//! [`Command`](crate::protocol::Command)s and give the replies that the live stores give for the
//! same state; `tests/store_model` holds them to that, against real servers.

mod hash;
pub mod look;
pub mod postgres;
pub mod redis;

pub use postgres::Postgres;
pub use redis::Redis;

use crate::protocol::StoreError;

/// What a client hears of a server that does not run.
fn down() -> StoreError {
    StoreError::Unavailable("connection refused".to_owned())
}
