//! What is still to be seen of the watches: a run does not end before it, nor wait for it for ever.

use crate::fault::{FaultId, Stage};
use crate::history::{Event, Heard, What};
use crate::scenario::{Since, WatchExpect, Watched, same_answer};
use crate::time::{Instant, Span};

/// So much longer than the expectation allows, a run goes on: a fail needs a later sample.
const SLACK: Span = Span::from_millis(500);

#[derive(Debug)]
pub(super) struct Watching {
    open: Vec<Open>,
}

/// An answer that is to come.
#[derive(Debug)]
struct Open {
    watch: String,
    answer: String,
    since: Since,
    limit: Span,
    /// When the fault took effect, or was healed last.
    from: Option<Instant>,
    seen: bool,
}

impl Watching {
    pub fn of(expected: &[Watched]) -> Self {
        let open = expected.iter().filter_map(|watched| match &watched.expect {
            WatchExpect::Becomes { answer, since, within } => Some(Open {
                watch: watched.watch.clone(),
                answer: answer.clone(),
                since: *since,
                limit: within.max(),
                from: None,
                seen: false,
            }),
            WatchExpect::Never { .. } => None,
        });
        Self { open: open.collect() }
    }

    /// `start` is the workload's start.
    pub fn observe(&mut self, event: &Event, start: Instant) {
        match &event.ev {
            What::FaultDone { order, effective, .. } => {
                let (stage, fault) = (order.stage, order.fault);
                for open in self.open.iter_mut().filter(|open| open.counts_from(stage, fault)) {
                    match stage {
                        Stage::Onset => open.from = open.from.or(Some(effective.0)),
                        Stage::Heal => {
                            open.from = open.from.max(Some(effective.0));
                            open.seen = false;
                        }
                    }
                }
            }
            What::Watched { watch, answer: Heard::Said(said), .. } => {
                for open in self.open.iter_mut().filter(|open| open.watch == *watch) {
                    let from = open.begins(start);
                    open.seen |= from.is_some_and(|from| event.at >= from) && same_answer(&open.answer, said);
                }
            }
            _ => {}
        }
    }

    /// Everything was answered as expected, or is overdue.
    pub fn is_over(&self, now: Instant, start: Instant) -> bool {
        self.open.iter().all(|open| {
            // A fault that never took effect has nothing that follows it.
            let Some(from) = open.begins(start) else { return true };
            open.seen || open.limit < Span::MAX && now > from + open.limit + SLACK
        })
    }
}

impl Open {
    fn counts_from(&self, stage: Stage, fault: FaultId) -> bool {
        match (self.since, stage) {
            (Since::Fault(wanted), Stage::Onset) | (Since::Heal(wanted), Stage::Heal) => wanted == fault,
            _ => false,
        }
    }

    fn begins(&self, start: Instant) -> Option<Instant> {
        match self.since {
            Since::Start => Some(start),
            Since::Fault(_) | Since::Heal(_) => self.from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Injection, Order};
    use crate::names::HARNESS;
    use crate::time::Interval;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Span::from_millis(ms)
    }

    fn said(ms: u64, text: &str) -> Event {
        let answer = Heard::Said(text.to_owned());
        let ev = What::Watched { watch: "up".to_owned(), asked: at(ms), answer };
        Event { at: at(ms), by: HARNESS.into(), ev }
    }

    fn done(ms: u64, stage: Stage) -> Event {
        let injection = Injection::Pause { process: "worker-1".into() };
        let order = Order { fault: FaultId(0), part: 0, stage, injection };
        let effective = (at(ms), at(ms));
        let ev =
            What::FaultDone { order: Box::new(order), effective, lateness: Span::ZERO, proof: String::new() };
        Event { at: at(ms), by: HARNESS.into(), ev }
    }

    fn watching(since: Since, limit: Span) -> Watching {
        let within = Interval::new(Span::ZERO, limit);
        let expect = WatchExpect::Becomes { answer: "true".to_owned(), since, within };
        Watching::of(&[Watched { watch: "up".to_owned(), expect }])
    }

    #[test]
    fn it_is_over_with_the_answer_that_follows_the_heal() {
        let mut watching = watching(Since::Heal(FaultId(0)), Span::from_secs(5));
        assert!(watching.is_over(at(0), at(0)), "nothing was healed yet");
        watching.observe(&said(50, "true"), at(0));
        watching.observe(&done(100, Stage::Heal), at(0));
        assert!(!watching.is_over(at(150), at(0)), "the answer from before does not count");
        watching.observe(&said(200, "false"), at(0));
        assert!(!watching.is_over(at(250), at(0)));
        watching.observe(&said(300, "true"), at(0));
        assert!(watching.is_over(at(300), at(0)));
    }

    #[test]
    fn it_is_over_once_it_is_overdue() {
        let overdue = watching(Since::Start, Span::from_secs(5));
        assert!(!overdue.is_over(at(5_400), at(0)));
        assert!(overdue.is_over(at(5_501), at(0)));
        let open = watching(Since::Start, Span::MAX);
        assert!(!open.is_over(at(1_000_000), at(0)), "without a limit the run's own end is the end");
    }
}
