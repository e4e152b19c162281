//! The stores' commands and the fleet's processes, on real servers.

mod fleet;
mod outages;
mod pool;
mod queue;
mod search;
mod servers;
mod tables;
mod workers;
