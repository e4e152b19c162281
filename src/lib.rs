//! Syncope: a chaos and fault-tolerance test harness for fleets of background workers.
//!
//! Dependency direction, enforced by `tests/tidy.rs`:
//! `cli → {run, report} → {live, sim, check, tune} → {scenario} → {backend} → {timing, history, fault} →
//! protocol → {dist, names, time}`; `proxy` uses only `time`, `names`, `fault` and `history`.

pub mod backend;
pub mod check;
pub mod cli;
pub mod dist;
pub mod fault;
pub mod history;
pub mod live;
pub mod names;
pub mod protocol;
pub mod proxy;
pub mod report;
pub mod run;
pub mod scenario;
pub mod sim;
pub mod time;
pub mod timing;
pub mod tune;
