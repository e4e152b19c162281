//! Fleets whose jobs are rows of a Postgres table: claims that skip locked rows, beats and ages by the
//! database's clock, and either a sweeper that fails the jobs of the dead (S2), or workers that put them
//! back, with dead letters that can be replayed (S1).

mod beat;
mod command;
mod rescue;
mod settings;
mod slot;
mod status;
mod sweeper;
#[cfg(test)]
mod tests;
mod worker;

pub use command::{AfterFailure, TableCommand};
pub use settings::{RescueSettings, SWEEPER_ROLE, SweepSettings, TableRole, TableSettings, Watch};
pub use status::{DeadLetter, FleetStatus, StatusRule, WorkersStatus};
pub use sweeper::{Sweeper, WORKER_DIED};
pub use worker::TableWorker;
