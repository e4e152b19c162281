//! The stores' commands and the fleet's processes, on real servers.

mod outages;
mod queue;
mod servers;
mod tables;
