//! Runs on a fleet that is played, in virtual time.

mod fake;
mod faults;
mod gates;
mod phases;
mod queues;
mod scene;
mod settling;
mod suites;
mod targeting;
mod triggers;
mod workloads;
