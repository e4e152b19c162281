//! Judging synthetic histories.

mod counts;
mod detection;
mod latency;
mod mistakes;
mod recovery;
mod support;
mod whole;
