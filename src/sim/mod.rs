//! Virtual time: the queue of coming events, and what is simulated on it.

pub mod agenda;
pub mod pipeline;
pub mod seeds;
