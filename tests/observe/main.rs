//! What the harness sees, against real servers and small fake ones.

#[path = "../inject/fake.rs"]
mod fake;
mod hiccup;
mod probe;
mod producer;
mod queue;
mod ready;
mod stores;
mod waiting;
mod watch;
mod web;
