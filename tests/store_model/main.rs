//! The simulator's stores against real servers: the same random commands, the same replies, the same
//! keys and rows in the end.
//!
//! Time. A command of the servers runs on their clocks, so no outcome may hang on the moment at which
//! it ran. Sequences run abreast, one step of all at a time, and between two steps the server's clock
//! moves on by more than the shortest expiry: what is short is over at the next step, what is long is
//! never over. The model runs with the server's clock as it was read before each step.
//!
//! `SYNCOPE_SEQUENCES` is how many sequences each store gets, `SYNCOPE_SEED` which.

mod allocation;
mod bench;
mod crash;
mod executions;
mod judge;
mod mutants;
mod postgres;
mod redis;
mod rows;
mod sequence;
#[path = "../fleet/servers.rs"]
#[allow(dead_code, reason = "shared with the fleet's tests, which use more of it")]
mod servers;
mod shrink;
mod tables;

/// How many sequences a store gets. The default takes some seconds.
fn sequences() -> u64 {
    number("SYNCOPE_SEQUENCES", 512)
}

fn seed() -> u64 {
    number("SYNCOPE_SEED", 1)
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}
