//! The slowest job: the longest time from an enqueue's acknowledgement to the work being done. It
//! shows what no fault's recovery time does: jobs that waited because nobody was at work.

use crate::check::facts::Facts;
use crate::check::measure::{Limits, Measurement, Moment, bound_ms, in_model};
use crate::check::{BoundFrom, CheckResult, Verdict};
use crate::scenario::TimeExpect;
use crate::time::Span;

/// `None` where it is not judged.
pub(super) fn check(facts: &Facts<'_>) -> Option<CheckResult> {
    let TimeExpect::Within(interval) = facts.scenario.expect.slowest_job else { return None };
    let limits = Limits::from(interval);
    let scale = facts.scenario.time_scale;
    let slowest = slowest(facts, limits);
    let (verdict, measured, note) = match slowest {
        None => (Verdict::Inconclusive, "-".to_owned(), "No acknowledged job was done.".to_owned()),
        Some(slowest) => {
            let (verdict, why) = slowest.verdict(scale);
            let note = why.unwrap_or_else(|| {
                format!("From acknowledgement to effect, {} took the longest.", slowest.what)
            });
            (verdict, in_model(slowest.measured, scale).max().to_string(), note)
        }
    };
    Some(CheckResult {
        name: "slowest_job".to_owned(),
        verdict,
        measured,
        bound: bound_ms(Some(limits), scale),
        bound_from: BoundFrom::Scenario,
        note,
    })
}

fn slowest(facts: &Facts<'_>, limits: Limits) -> Option<Measurement> {
    let times = facts.stories.iter().filter_map(|(job, story)| {
        let (accepted, done) = (story.acknowledged_at?, *story.done.first()?);
        Some((Moment::exactly(done).since(accepted), Moment { lo: accepted.lo, hi: done }, *job))
    });
    let (measured, window, job) = times.max_by_key(|(measured, ..)| measured.max())?;
    let (stalls, longest_stall) = facts.host.stalls_in(window);
    let (what, limits) = (job.to_string(), Some(limits));
    Some(Measurement { what, measured, limits, latency: Span::ZERO, stalls, longest_stall })
}
