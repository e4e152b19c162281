//! Where everything under `live` puts its events.

use std::sync::mpsc::Sender;

use crate::history::{Event, What};
use crate::live::clock;
use crate::names::{HARNESS, ProcessName};
use crate::time::Instant;

/// A cheap handle to the run's one queue of events. Sending never blocks; after the run's end it
/// does nothing.
#[derive(Debug, Clone)]
pub struct Sink(Sender<Event>);

impl Sink {
    #[must_use]
    pub fn new(to: Sender<Event>) -> Self {
        Self(to)
    }

    pub fn send(&self, at: Instant, by: ProcessName, ev: What) {
        // The receiver is gone only when the run has ended.
        let _ = self.0.send(Event { at, by, ev });
    }

    /// The harness says so, now.
    pub fn note(&self, ev: What) {
        self.send(clock::monotonic(), HARNESS.into(), ev);
    }
}
