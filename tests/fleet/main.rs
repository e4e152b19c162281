//! The stores' commands and the fleet's processes, on real servers.

mod executions;
mod fleet;
mod outages;
mod pool;
mod queue;
mod search;
mod servers;
mod tables;
mod workers;
