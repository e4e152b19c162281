//! Judging synthetic histories.

mod latency;
mod counts;
mod detection;
mod mistakes;
mod recovery;
mod support;
mod whole;
