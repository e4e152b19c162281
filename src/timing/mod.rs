//! The timing model: the liveness pipeline of a job system as a type, and what follows from it.
//!
//! [`Pipeline`] holds every parameter; [`bounds`] gives detection and recovery, [`margins`] the
//! tolerances, [`tolerance`] what a single fault does, [`lint`] the settings that cannot work,
//! [`derivation`] the same bounds as steps to follow, and [`picture`] the worst case drawn.
//!
//! **Invariant**: no I/O, no clock, no random source. Integer nanoseconds and interval arithmetic.

pub mod bounds;
pub mod derivation;
pub mod lint;
pub mod margins;
pub mod picture;
mod pipeline;
pub mod qos;
mod quantity;
pub mod tolerance;

#[cfg(test)]
pub(crate) mod tests;

pub use bounds::{Detection, RecoveryBounds, Work};
pub use derivation::{Derivation, Step, derive};
pub use lint::{Finding, lint, lint_scaled};
pub use margins::{Margins, Mistakes, OutageMargins, SeenShare};
pub use picture::picture;
pub use pipeline::{
    Age, Asked, Beat, Checker, Clock, Expiry, Gate, Guard, Pipeline, Recovery, Requeue, Rhythm, Subject,
    Sweep,
};
pub use tolerance::{Side, Tolerance, tolerates, tolerates_on};
