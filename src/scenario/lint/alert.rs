//! Alerting rules that cannot hold.

use super::{Lint, Linter};
use crate::scenario::diagnostic::Place;
use crate::scenario::promql::{Rate, rate_of};
use crate::scenario::{Question, WatchExpect};
use crate::time::Span;

/// Kubernetes waits so long before it starts a container again that has died, twice as long the next
/// time, and so on up to [`BACKOFF_MAX`] (Pod lifecycle, "container restarts").
const BACKOFF_FIRST: Span = Span::from_secs(10);
const BACKOFF_MAX: Span = Span::from_secs(300);

impl Linter<'_> {
    /// `rate(c[w]) > r` needs more than r·w increments of c in w. Of restarts there are never more than
    /// the back-off lets through.
    pub(super) fn alerts(&self, found: &mut Vec<(Place, Lint)>) {
        let rules = self.raw.stack.value().and_then(|stack| stack.prometheus.value()?.rules.value());
        for rule in rules.into_iter().flatten() {
            let (Some(alert), Some(expr)) = (rule.value.alert.value(), rule.value.expr.given()) else {
                continue;
            };
            let Some(Rate { counter, within, per_second }) = rate_of(&expr.value.0) else { continue };
            let possible = restarts_possible(within);
            let wanted = per_second * within.as_secs_f64();
            if counter.contains("restart") && wanted > f64::from(possible) && !self.expects_silence(&alert.0)
            {
                let lint = Lint::AlertCannotFire { alert: alert.0.clone(), wanted, within, possible };
                found.push((expr.place, lint));
            }
        }
    }

    fn expects_silence(&self, alert: &str) -> bool {
        let is_of = |ask: &Question| matches!(ask, Question::Alert { name } if name == alert);
        let mut watches = self.scenario.watches.iter().filter(|watch| is_of(&watch.ask));
        watches.any(|watch| {
            let mut expected =
                self.scenario.expect.watched.iter().filter(|watched| watched.watch == watch.name);
            expected
                .any(|watched| matches!(&watched.expect, WatchExpect::Never { answer } if answer == "firing"))
        })
    }
}

/// The first one may fall into the window's beginning, so it counts without its wait.
fn restarts_possible(within: Span) -> u32 {
    let (mut restarts, mut wait, mut passed) = (1, BACKOFF_FIRST, BACKOFF_FIRST);
    while passed <= within {
        restarts += 1;
        wait = wait.saturating_mul(2).min(BACKOFF_MAX);
        passed = passed + wait;
    }
    restarts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_up_to_five_minutes() {
        // At 0, 10, 30, 70, 150 and 310 s, then each 300 s.
        for (seconds, restarts) in [(5, 1), (10, 2), (60, 3), (300, 5), (310, 6), (3_600, 16)] {
            assert_eq!(restarts_possible(Span::from_secs(seconds)), restarts, "{seconds} s");
        }
    }
}
