//! The slowest job: the longest time from an enqueue's acknowledgement to the work being done. It
//! shows what no fault's recovery time does: jobs that waited because nobody was at work. And the
//! slowest answer: the longest that whoever asked for a job had to wait for word of it.

use crate::check::facts::Facts;
use crate::check::measure::{Limits, Measurement, Moment, bound_ms, in_model, stalled};
use crate::check::{BoundFrom, CheckResult, Verdict};
use crate::names::JobId;
use crate::scenario::TimeExpect;
use crate::time::{Interval, Span};

/// Those that are judged.
pub(super) fn check(facts: &Facts<'_>) -> Vec<CheckResult> {
    let expect = &facts.scenario.expect;
    let job = judged(facts, "slowest_job", expect.slowest_job, slowest_job(facts));
    let answer = judged(facts, "slowest_answer", expect.slowest_answer, slowest_answer(facts));
    job.into_iter().chain(answer).collect()
}

/// What took longest, and how long, within which window.
pub(super) struct Slowest {
    pub took: Interval,
    window: Moment,
    job: JobId,
}

fn judged(
    facts: &Facts<'_>,
    name: &str,
    expect: TimeExpect,
    slowest: Option<Slowest>,
) -> Option<CheckResult> {
    let TimeExpect::Within(interval) = expect else { return None };
    let limits = Limits::from(interval);
    let scale = facts.scenario.time_scale;
    let is_job = name == "slowest_job";
    let (verdict, measured, note, stalled) = match slowest {
        None => {
            let nothing = if is_job { "No acknowledged job was done." } else { "No enqueue was answered." };
            (Verdict::Inconclusive, "-".to_owned(), nothing.to_owned(), false)
        }
        Some(Slowest { took, window, job }) => {
            let (stalls, longest_stall) = facts.host.stalls_in(window);
            let (what, limits) = (job.to_string(), Some(limits));
            let slowest =
                Measurement { what, measured: took, limits, latency: Span::ZERO, stalls, longest_stall };
            let (verdict, why) = slowest.verdict(scale);
            let note = why.unwrap_or_else(|| {
                let from = if is_job { "acknowledgement to effect" } else { "being asked for to the answer" };
                format!("From {from}, {} took the longest.", slowest.what)
            });
            let measured = in_model(slowest.measured, scale).max().to_string();
            (verdict, measured, note, stalled(verdict, &[slowest]))
        }
    };
    Some(CheckResult {
        name: name.to_owned(),
        verdict,
        measured,
        bound: bound_ms(Some(limits), scale),
        bound_from: BoundFrom::Scenario,
        note,
        stalled,
    })
}

pub(super) fn slowest_job(facts: &Facts<'_>) -> Option<Slowest> {
    let times = facts.stories.iter().filter_map(|(job, story)| {
        let (accepted, done) = (story.acknowledged_at?, *story.done.first()?);
        let took = done.since(accepted);
        Some(Slowest {
            took,
            window: Moment { lo: accepted.lo, hi: done.hi.max(accepted.lo) },
            job: (*job).clone(),
        })
    });
    times.max_by_key(|slowest| slowest.took.max())
}

pub(super) fn slowest_answer(facts: &Facts<'_>) -> Option<Slowest> {
    let times = facts.stories.iter().filter_map(|(job, story)| {
        let (took, at) = story.answered?;
        let window = Moment { lo: at - took, hi: at };
        Some(Slowest { took: Interval::exactly(took), window, job: (*job).clone() })
    });
    times.max_by_key(|slowest| slowest.took.max())
}
