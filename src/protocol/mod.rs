//! The systems under test as sans-IO state machines: what a worker, a detector, a queue decides,
//! with `now` as an argument and every wish returned as data.
//!
//! **Invariant**: no I/O, no clock, no random source, no hash-ordered iteration here.
//! `live::fleet` drives these machines on tokio against real stores; the simulator drives the same
//! code on modelled ones.

pub mod command;
pub mod event;
pub mod job;
pub mod machine;
pub mod settings;

pub use command::{Command, CommandId, Reply, StoreError};
pub use event::FleetEvent;
pub use job::{Backoff, ClaimedJob, JobSpec};
pub use machine::{Input, Machine, Output};
pub use settings::{FleetRole, FleetSettings, HeartbeatSettings, PlantedBug, QueueSettings};
