//! Virtual time: the same scenarios, on the same protocol code, without sockets and without waiting.
//!
//! **Invariant**: integer time, one seed, no I/O; the same seed gives the same history, byte for
//! byte, on every machine. `sim` and `live` never import each other.

pub mod agenda;
pub mod crash;
pub mod detectors;
pub mod pipeline;
pub mod prometheus;
pub mod seeds;
pub mod store;
pub mod world;

pub use agenda::Agenda;
pub use world::SimBackend;
