//! The only place with sockets, containers and processes.

mod backend;
pub mod cgroup;
pub mod clock;
pub mod environment;
pub mod fleet;
pub mod inject;
mod monitor;
pub mod observe;
mod observers;
mod prepare;
pub mod provision;
mod readings;
pub mod sink;
mod stage;
pub mod store;
mod web;
mod wires;

pub use backend::{Harness, LiveBackend};
