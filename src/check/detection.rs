//! Detection time: from a crash to the suspicion that stays.
//!
//! Of a fleet as a whole only the crash of its last worker can be seen; of holders, each job that
//! the crashed worker held is a measurement. A graceful stop is no crash.

use crate::check::exposure::may_wipe;
use crate::check::facts::Facts;
use crate::check::measure::{Limits, Measurement, Moment, bound_ms, stalled, summary};
use crate::check::story::{ClaimEnd, Story};
use crate::check::suspicion::{self, Answer, Gap, Taken};
use crate::check::{Bound, BoundFrom, CheckResult, Verdict};
use crate::names::JobId;
use crate::scenario::TimeExpect;
use crate::time::{Instant, Interval, Span};
use crate::timing::Subject;

#[derive(Debug, Default)]
pub(super) struct Detection {
    pub measured: Vec<Measurement>,
    /// Crashes that had to be detected and were not, with the verdict that this means.
    missed: Vec<(Verdict, String)>,
    /// Why crashes were no case for detection.
    not_due: Vec<String>,
}

pub(super) fn measure(facts: &Facts<'_>, taken: &[Taken<'_>]) -> Detection {
    let mut detection = Detection::default();
    if facts.scenario.fleet.liveness.is_none() {
        detection.not_due.push("The scenario has no liveness probe: detection is not measured.".to_owned());
        return detection;
    }
    match facts.subject {
        Subject::Fleet => fleet(facts, &mut detection),
        Subject::Holder => holders(facts, taken, &mut detection),
    }
    detection
}

pub(super) fn check(facts: &Facts<'_>, detection: &Detection) -> CheckResult {
    let expect = facts.scenario.expect.detection_time;
    let scale = facts.scenario.time_scale;
    let limits = limits(facts);
    let (verdict, note) = match expect {
        TimeExpect::Any => (Verdict::Pass, "Measured and reported, not judged.".to_owned()),
        TimeExpect::Never if detection.measured.is_empty() => {
            (Verdict::Pass, "No crash was detected, as expected.".to_owned())
        }
        TimeExpect::Never => {
            let what = &detection.measured[0].what;
            (Verdict::Fail, format!("The crash ({what}) was detected, and was expected not to be."))
        }
        TimeExpect::Model | TimeExpect::Within(_) => judge(facts, detection, limits),
    };
    CheckResult {
        name: "detection_time".to_owned(),
        verdict,
        measured: summary(&detection.measured, scale),
        bound: bound_ms(limits, scale),
        bound_from: bound_from(expect, bound_ms(limits, scale)),
        note,
        stalled: stalled(verdict, &detection.measured),
    }
}

/// The file gives a bound only where it says how long; what is not judged is shown with the model's.
pub(super) fn bound_from(expect: TimeExpect, bound: Bound) -> BoundFrom {
    let is_known = bound.min.is_some() || bound.max.is_some();
    match expect {
        TimeExpect::Within(_) => BoundFrom::Scenario,
        TimeExpect::Any | TimeExpect::Never if !is_known => BoundFrom::Scenario,
        TimeExpect::Model | TimeExpect::Any | TimeExpect::Never => BoundFrom::Model,
    }
}

fn judge(facts: &Facts<'_>, detection: &Detection, limits: Option<Limits>) -> (Verdict, String) {
    let scale = facts.scenario.time_scale;
    let judged = detection.measured.iter().map(|m| m.verdict(scale));
    let mut worst = (Verdict::Pass, None);
    for (verdict, why) in judged.chain(detection.missed.iter().map(|(v, why)| (*v, Some(why.clone())))) {
        if verdict > worst.0 {
            worst = (verdict, why);
        }
    }
    match worst {
        (verdict, Some(why)) => (verdict, format!("{why}.")),
        _ if !detection.measured.is_empty() && limits.is_none() => {
            (Verdict::Pass, "Measured only: this fleet has no timing model.".to_owned())
        }
        _ if !detection.measured.is_empty() => {
            let first = &detection.measured[0].what;
            (
                Verdict::Pass,
                format!("From the crash to the suspicion that stays ({first}): within the bound."),
            )
        }
        _ => {
            let why = detection.not_due.first().cloned();
            let why = why.unwrap_or_else(|| "No worker crashed: there was nothing to detect.".to_owned());
            match facts.scenario.expect.detection_time {
                TimeExpect::Within(_) => (Verdict::Inconclusive, format!("Not measured. {why}")),
                _ => (Verdict::Pass, why),
            }
        }
    }
}

/// The bound that holds without disturbance. Wall time.
pub(super) fn limits(facts: &Facts<'_>) -> Option<Limits> {
    match facts.scenario.expect.detection_time {
        TimeExpect::Within(interval) => Some(interval.into()),
        _ => Limits::of(facts.scenario.fleet.pipeline.as_ref()?.detection(Span::ZERO)),
    }
}

fn fleet(facts: &Facts<'_>, detection: &mut Detection) {
    for named in suspicion::subjects(facts) {
        let answers = suspicion::answers(facts, named);
        let name = named.map_or_else(|| "the fleet".to_owned(), ToString::to_string);
        for gap in suspicion::gaps(facts.lives_of(named)) {
            if !facts.run.contains(gap.from.hi) {
                continue;
            }
            if gap.crash {
                measure_gap(facts, &name, &answers, &gap, detection);
            } else {
                detection.not_due.push(format!("Of {name} the last worker stopped gracefully: no crash."));
            }
        }
    }
    let crashed = facts
        .lives_of(None)
        .any(|life| life.end.is_some_and(|end| end.crash && facts.run.contains(end.at.hi)));
    if crashed && detection.measured.is_empty() && detection.missed.is_empty() {
        let why = "Workers crashed while others ran: a probe of the whole fleet cannot see that.";
        detection.not_due.push(why.to_owned());
    }
}

fn measure_gap(facts: &Facts<'_>, name: &str, answers: &[Answer], gap: &Gap, detection: &mut Detection) {
    let ended = gap.back.unwrap_or(Instant::FAR_FUTURE);
    // The suspicion that stays begins after the last answer that still said "alive".
    let alive = answers.iter().rfind(|answer| answer.alive && answer.at < ended);
    let trusted = alive.map_or(facts.run.lo, |answer| answer.asked);
    let dead = answers.iter().find(|answer| {
        !answer.alive && answer.at >= gap.from.lo && answer.asked < ended && answer.asked >= trusted
    });
    let window = Moment { lo: gap.from.lo, hi: dead.map_or(facts.run.hi.min(ended), |answer| answer.at) };
    let late = late_beat(facts, gap.last_beat);
    match dead {
        Some(dead) => {
            let took = alive.map_or(Span::ZERO, |answer| answer.at.since(answer.asked));
            let latency = took + gap.last_beat.map_or(Span::ZERO, |(_, write)| write);
            let measured = Moment::new(trusted, dead.at).since(gap.from);
            detection.measured.push(measurement(facts, name.to_owned(), measured, window, latency, late));
        }
        None => {
            let asked = answers.iter().map(|answer| answer.asked).max().unwrap_or(facts.run.lo);
            missed(facts, name, window, asked.min(ended), gap.back.is_some(), detection);
        }
    }
}

/// By how much the last beat was older than an interval when the crash came: beats are late by
/// nature, and what this one was is known.
fn late_beat(facts: &Facts<'_>, last_beat: Option<(Span, Span)>) -> Span {
    match (&facts.scenario.fleet.pipeline, last_beat) {
        (Some(pipeline), Some((age, _))) => age - pipeline.interval(),
        _ => Span::ZERO,
    }
}

fn holders(facts: &Facts<'_>, taken: &[Taken<'_>], detection: &mut Detection) {
    let mut crashes: Vec<(&crate::names::ProcessName, Moment)> = Vec::new();
    for name in &facts.workers {
        let lives = facts.lives.get(name).into_iter().flatten();
        let ends = lives.filter_map(|life| life.end).filter(|end| end.crash && facts.run.contains(end.at.hi));
        crashes.extend(ends.map(|end| (name, end.at)));
    }
    for (&job, story) in &facts.stories {
        for (index, claim) in story.claims.iter().enumerate() {
            let crash = match claim.end {
                // A holder crashed within a process that lives on.
                Some((at, ClaimEnd::Abandoned)) => Some(Moment::exactly(at)),
                Some((_, ClaimEnd::Died)) => crashes
                    .iter()
                    .find(|(name, at)| *name == claim.by && claim_ends_at(facts, claim, *at))
                    .map(|(_, at)| *at),
                _ => None,
            };
            if let Some(crash) = crash {
                let what = format!("{job} of {}", claim.by);
                measure_claim(facts, &what, job, story, index, crash, taken, detection);
            }
        }
    }
    if !crashes.is_empty() && detection.measured.is_empty() && detection.missed.is_empty() {
        detection.not_due.push("The crashed worker held no job: there was nothing to take over.".to_owned());
    }
}

fn claim_ends_at(facts: &Facts<'_>, claim: &crate::check::story::Claim<'_>, crash: Moment) -> bool {
    let life = facts.lives.get(claim.by).and_then(|lives| lives.get(claim.life));
    life.and_then(|life| life.end).is_some_and(|end| end.at == crash)
}

#[expect(clippy::too_many_arguments, reason = "one claim and all that is known of it")]
fn measure_claim(
    facts: &Facts<'_>,
    what: &str,
    job: &JobId,
    story: &Story<'_>,
    index: usize,
    crash: Moment,
    taken: &[Taken<'_>],
    detection: &mut Detection,
) {
    let next_claim = story.claims.get(index + 1).map(|claim| claim.at);
    // One that took it from the holder before is answered by the time of this claim.
    let of_this = |taken: &Taken<'_>| taken.at.hi >= crash.lo && taken.at.hi > story.claims[index].at;
    let seen = taken.iter().find(|taken| {
        taken.job == job && of_this(taken) && next_claim.is_none_or(|next| taken.at.lo <= next)
    });
    let life = facts.lives.get(story.claims[index].by).and_then(|lives| lives.get(story.claims[index].life));
    let beat = life.and_then(|life| life.beat_before(crash.hi));
    let late = late_beat(facts, beat.map(|(sent, took)| (crash.hi.since(sent), took)));
    if let Some(seen) = seen {
        let window = Moment { lo: crash.lo, hi: seen.at.hi };
        let latency = sweeps_late(facts, window);
        let measured = seen.at.since(crash);
        detection.measured.push(measurement(facts, what.to_owned(), measured, window, latency, late));
        return;
    }
    // Without a suspicion: it was completed and the worker died before it could say so, or it came
    // back by another way (a store that lost its data and got the job again).
    let over = story.effects() > 0 || story.failed() || next_claim.is_some();
    if !over && wiped(facts, story.claims[index].since) {
        detection
            .not_due
            .push(format!("The store may have lost {job}: there was nothing left to take over."));
    } else if !over {
        let asked = facts.stall_probes().map(|(probe, _)| probe.asked).last().unwrap_or(facts.run.lo);
        missed(facts, what, Moment { lo: crash.lo, hi: facts.run.hi }, asked, false, detection);
    }
}

/// Sweeps are counted from the reply to the last: each of them in the window may be late by a round
/// trip, which takes as long as a probe's, and by the worker's timer.
fn sweeps_late(facts: &Facts<'_>, window: Moment) -> Span {
    let period = facts.scenario.fleet.pipeline.as_ref().map_or(Span::ZERO, |p| p.checker.period());
    let sweeps = window.length().as_nanos() / period.as_nanos().max(1) + 1;
    (facts.probe_latency(window) + TIMER).saturating_mul(sweeps)
}

/// How late a timer of an asynchronous runtime may be on a quiet host: its wheel ticks once a
/// millisecond, and the wake-up takes its time. What a busy host adds is measured.
const TIMER: Span = Span::from_millis(2);

/// An outage that may have cost the store its data came after `since`. The counts judge the loss.
fn wiped(facts: &Facts<'_>, since: Instant) -> bool {
    facts.faults.iter().any(|((id, _), part)| {
        let fault = facts.scenario.faults.get(usize::from(id.0));
        let after = part.onset.done.is_some_and(|done| done.effective.hi >= since);
        after && fault.is_some_and(|fault| may_wipe(facts, &fault.kind))
    })
}

/// `late` moves the lower end: an older beat ends sooner.
fn measurement(
    facts: &Facts<'_>,
    what: String,
    measured: Interval,
    window: Moment,
    latency: Span,
    late: Span,
) -> Measurement {
    let (stalls, longest_stall) = facts.host.stalls_in(window);
    let limits = disturbed(facts, window).map(|limits| Limits { min: limits.min - late, ..limits });
    Measurement { what, measured, limits, latency, stalls, longest_stall }
}

/// Liveness is owed only while nothing else is in its way: a bound of the model moves by the time
/// that another fault lasted in it. A bound that the scenario states stands as it is.
fn disturbed(facts: &Facts<'_>, window: Moment) -> Option<Limits> {
    let limits = limits(facts)?;
    if matches!(facts.scenario.expect.detection_time, TimeExpect::Within(_)) {
        return Some(limits);
    }
    let before = facts.scenario.fleet.pipeline.as_ref().map_or(Span::ZERO, |p| p.expiry.effective());
    match facts.disturbance(window, before, facts.unwatched(window)) {
        Some(extra) => Some(Limits { min: Span::ZERO, ..limits.disturbed(extra) }),
        None => Some(limits),
    }
}

/// No suspicion by `asked`, the last time that somebody asked while the subject was gone; `back`: it
/// returned.
fn missed(
    facts: &Facts<'_>,
    what: &str,
    window: Moment,
    asked: Instant,
    back: bool,
    detection: &mut Detection,
) {
    let scale = facts.scenario.time_scale;
    let limits = disturbed(facts, window);
    let (stalls, _) = facts.host.stalls_in(window);
    let waited = asked.since(window.lo);
    match limits.and_then(|limits| limits.max) {
        Some(max) if waited > max + stalls => {
            let why = format!("{what} crashed and was not suspected within {}", scale.to_model(waited));
            detection.missed.push((Verdict::Fail, why));
        }
        _ if back => {
            detection
                .not_due
                .push(format!("Of {what} a worker was back before the crash had to be noticed."));
        }
        _ => {
            let why = format!("{what} crashed, and the run ended before a suspicion was due");
            detection.missed.push((Verdict::Inconclusive, why));
        }
    }
}
