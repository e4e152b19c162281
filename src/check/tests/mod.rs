//! Judging synthetic histories.

mod counts;
mod detection;
mod mistakes;
mod recovery;
mod support;
mod whole;
