//! The systems under test as sans-IO state machines: what a worker, a detector, a queue decides,
//! with `now` as an argument and every wish returned as data.
//!
//! **Invariant**: no I/O, no clock, no random source, no hash-ordered iteration here.
//! `live::fleet` drives these machines on tokio against real stores; the simulator drives the same
//! code on modelled ones.

mod beat;
pub mod command;
mod desk;
pub mod detector;
pub mod event;
pub mod job;
mod lock;
pub mod machine;
pub mod pool;
mod queue;
mod retry;
pub mod settings;
mod slot;
mod stalled;
mod status;
pub mod table;
#[cfg(test)]
mod testing;
mod tool;
pub mod worker;

pub use beat::beat_key;
pub use command::{Command, CommandId, Reply, StoreError};
pub use detector::Detector;
pub use event::FleetEvent;
pub use job::{Backoff, ClaimedJob, JobSpec};
pub use lock::lock_key;
pub use machine::{Input, Machine, Output};
pub use pool::Pool;
pub use settings::{FleetRole, FleetSettings, HeartbeatSettings, PlantedBug, QueueSettings};
pub use slot::PLANNED_FAILURE;
pub use status::STALLED_TOO_OFTEN;
pub use table::{Sweeper, TableCommand, TableRole, TableSettings, TableWorker};
pub use tool::Tool;
pub use worker::Worker;
