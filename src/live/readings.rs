//! Readings of every job's state: one counts at a time, the one that was asked for last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::history::{FinalState, What};
use crate::live::observe::effects::States;
use crate::live::sink::Sink;

#[derive(Debug, Default)]
pub struct Readings(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    last: u64,
    /// The states that were reported, so that only changes are.
    reported: States,
}

/// A reading that was asked for.
#[derive(Debug)]
pub struct Reading {
    number: u64,
    progress: Arc<Mutex<Progress>>,
}

impl Readings {
    /// Those before have nothing to say from now on: who asked has given them up, and would take
    /// their late word for this one's.
    #[must_use]
    pub fn begin(&self) -> Reading {
        let mut progress = lock(&self.0);
        progress.last += 1;
        Reading { number: progress.last, progress: Arc::clone(&self.0) }
    }
}

impl Reading {
    /// Tells the changes since the last reading, then that it is over.
    pub fn end(self, read: Result<States, String>, sink: &Sink) {
        // Held until all is told: nothing of this comes after the beginning of the next.
        let mut progress = lock(&self.progress);
        if progress.last != self.number {
            return;
        }
        let error = match read {
            Ok(states) => {
                progress.report(states, sink);
                None
            }
            Err(error) => Some(error),
        };
        sink.note(What::Collected { error });
    }
}

impl Progress {
    fn report(&mut self, states: States, sink: &Sink) {
        for (job, state) in &states {
            if self.reported.get(job) != Some(state) {
                sink.note(What::JobState { job: job.clone(), state: state.clone() });
            }
        }
        // What the stores knew and know no more.
        for job in self.reported.keys().filter(|job| !states.contains_key(*job)) {
            sink.note(What::JobState { job: job.clone(), state: FinalState::default() });
        }
        self.reported = states;
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc;

    use super::*;

    fn with_effects(effects: u32) -> Result<States, String> {
        Ok(BTreeMap::from([("job-1".into(), FinalState { effects, ..FinalState::default() })]))
    }

    #[test]
    fn the_late_answer_of_a_reading_that_was_given_up_is_not_told() {
        let (to, told) = mpsc::channel();
        let (sink, readings) = (Sink::new(to), Readings::default());
        let (given_up, last) = (readings.begin(), readings.begin());
        given_up.end(with_effects(0), &sink);
        assert_eq!(told.try_iter().count(), 0);
        last.end(with_effects(1), &sink);
        let said: Vec<What> = told.try_iter().map(|event| event.ev).collect();
        let state = FinalState { effects: 1, ..FinalState::default() };
        assert_eq!(said, [What::JobState { job: "job-1".into(), state }, What::Collected { error: None }]);
    }

    #[test]
    fn only_changes_are_told() {
        let (to, told) = mpsc::channel();
        let (sink, readings) = (Sink::new(to), Readings::default());
        for (read, events) in [
            (with_effects(1), 2),
            (with_effects(1), 1),
            (Err("no answer".to_owned()), 1),
            (with_effects(2), 2),
            (Ok(States::new()), 2),
            (Ok(States::new()), 1),
        ] {
            readings.begin().end(read, &sink);
            assert_eq!(told.try_iter().count(), events);
        }
    }
}
