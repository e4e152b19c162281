//! Judging synthetic histories.

mod claims;
mod counts;
mod detection;
mod disturbed;
mod latency;
mod mistakes;
mod queue;
mod recovery;
mod support;
mod taps;
mod watched;
mod whole;
