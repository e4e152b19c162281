//! A foreign queue's own figures: how full it was, and for how long after the last fault's end.

use std::collections::BTreeMap;

use crate::check::faults::Faults;
use crate::check::measure::{Moment, model_ms};
use crate::check::{Figure, Range};
use crate::history::What;
use crate::history::log::History;
use crate::history::queue::{QueueState, Queued};
use crate::names::JobId;
use crate::time::{Instant, Scale};

/// What the samples of the judged time show.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fill {
    asked: bool,
    waiting_most: u64,
    active_most: u64,
    /// Since when there was nothing to do any more, at the end.
    emptied: Option<Moment>,
    /// There is something to do.
    is_filled: bool,
}

pub(super) fn fill(history: &History, run: Moment) -> Fill {
    let mut fill = Fill::default();
    let mut jobs: BTreeMap<&JobId, QueueState> = BTreeMap::new();
    for event in history.events.iter().filter(|event| event.at <= run.hi) {
        let What::Queue { since, answer: Queued::Changed(changed), .. } = &event.ev else { continue };
        fill.asked = true;
        for standing in changed {
            match standing.state {
                Some(state) => jobs.insert(&standing.job, state),
                None => jobs.remove(&standing.job),
            };
        }
        let count = |wanted| jobs.values().filter(|state| **state == wanted).count() as u64;
        let (waiting, active) = (count(QueueState::Waiting), count(QueueState::Active));
        fill.waiting_most = fill.waiting_most.max(waiting);
        fill.active_most = fill.active_most.max(active);
        let is_filled = waiting + active + count(QueueState::Delayed) > 0;
        if fill.is_filled && !is_filled {
            fill.emptied = Some(Moment::new(*since, event.at));
        }
        fill.is_filled = is_filled;
    }
    fill
}

impl Fill {
    /// `queue.drained` is from the last heal until the queue was empty for good.
    pub fn figures(&self, faults: &Faults<'_>, run: Moment, scale: Scale) -> Vec<Figure> {
        if !self.asked {
            return Vec::new();
        }
        let figure = |name: &str, value| Figure { name: name.to_owned(), values: vec![value] };
        let mut figures = vec![
            figure("queue.waiting", Range::exactly(self.waiting_most as f64)),
            figure("queue.active", Range::exactly(self.active_most as f64)),
        ];
        let healed = faults.values().filter_map(|part| part.heal.done).map(|done| done.effective.hi).max();
        figures.extend(healed.map(|healed| figure("queue.drained", self.drained(healed, run, scale))));
        figures
    }

    fn drained(&self, healed: Instant, run: Moment, scale: Scale) -> Range {
        let after = |at: Instant| model_ms(at.since(healed), scale);
        match self.emptied {
            _ if self.is_filled => Range { min: after(run.hi), max: None },
            Some(emptied) => Range { min: after(emptied.lo), max: Some(after(emptied.hi)) },
            None => Range::exactly(0.0),
        }
    }
}
