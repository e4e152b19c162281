//! A Prometheus without a server: samples, expressions and rules as pure functions of the times they
//! are given. It answers as Prometheus 2.42 does (Debian 12's), which `tests/promql` holds it to.
//!
//! What of PromQL is not modelled is refused when an expression is read, by its name; nothing is
//! guessed. Times are Unix milliseconds, Prometheus's own resolution.

mod expression;
mod functions;
mod operators;
mod parser;
mod query;
mod rules;
mod storage;
mod tokens;

use std::fmt;

pub use expression::{Expression, Kind};
pub use query::{Query, Value};
pub use rules::{AlertState, Group};
pub use storage::{Labels, Point, Sample, SeriesId, Storage};

/// Why an expression or a rule cannot be evaluated here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is no PromQL.
    Wrong(String),
    /// Prometheus knows it; the model does not.
    NotModelled(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(what) => f.write_str(what),
            Self::NotModelled(what) => write!(f, "{what}, which is not modelled"),
        }
    }
}
