//! Alerting rules that cannot hold.

use super::{Lint, Linter};
use crate::scenario::diagnostic::Place;
use crate::scenario::promql::{Rate, rate_of};
use crate::scenario::{Question, RuleKind, WatchExpect};
use crate::time::Span;

/// Kubernetes waits so long before it starts a container again that has died, twice as long the next
/// time, and so on up to [`BACKOFF_MAX`] (Pod lifecycle, "container restarts").
const BACKOFF_FIRST: Span = Span::from_secs(10);
const BACKOFF_MAX: Span = Span::from_secs(300);

impl Linter<'_> {
    /// `rate(c[w]) > r` needs more than r·w increments of c in w. Of restarts there are never more than
    /// the back-off lets through.
    pub(super) fn alerts(&self, found: &mut Vec<(Place, Lint)>) {
        let Some(prometheus) = &self.scenario.stack.prometheus else { return };
        for (rule, place) in prometheus.groups.iter().flat_map(|group| &group.rules).zip(self.rule_places()) {
            let Some(Rate { counter, within, per_second }) = rate_of(&rule.written) else { continue };
            let possible = restarts_possible(within);
            let wanted = per_second * within.as_secs_f64();
            let expected = rule.kind == RuleKind::Record || self.expects_silence(&rule.name);
            if counter.contains("restart") && wanted > f64::from(possible) && !expected {
                let lint = Lint::AlertCannotFire { alert: rule.name.clone(), wanted, within, possible };
                found.push((place, lint));
            }
        }
    }

    /// Of each rule's expression; of a file's rules all where the file is named.
    fn rule_places(&self) -> impl Iterator<Item = Place> {
        let prometheus = self.raw.stack.value().and_then(|stack| stack.prometheus.value());
        let inline = prometheus.and_then(|prometheus| prometheus.rules.value()).into_iter().flatten();
        let inline = inline.filter_map(|rule| rule.value.expr.place());
        let file = prometheus.and_then(|prometheus| prometheus.rules_file.place());
        inline.chain(file.into_iter().flat_map(std::iter::repeat))
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
