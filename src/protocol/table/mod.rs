//! Fleets whose jobs are rows of a Postgres table: claims that skip locked rows, beats and ages by the
//! database's clock, and a sweep that finds the jobs of the dead (S2).

mod beat;
mod command;
mod settings;
mod slot;
mod sweeper;
mod worker;

pub use command::TableCommand;
pub use settings::{SWEEPER_ROLE, SweepSettings, TableRole, TableSettings};
pub use sweeper::{Sweeper, WORKER_DIED};
pub use worker::TableWorker;
