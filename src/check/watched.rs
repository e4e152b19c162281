//! Watches: when a question's answer changed, and what it never was.
//!
//! The answer is known at each sample only, so a change lies between the ask of the last sample that
//! still said otherwise and the first answer that says it: an interval, like a detection time.

use crate::check::facts::{Facts, Heeded};
use crate::check::measure::{Limits, Measurement, Moment, bound_ms, in_model, round, stalled};
use crate::check::{Bound, BoundFrom, CheckResult, Range, Verdict, figures};
use crate::fault::FaultId;
use crate::history::Heard;
use crate::scenario::{Since, WatchExpect, Watched, same_answer};
use crate::time::{Instant, Interval, Scale, Span};

/// What one expectation came to.
pub(super) struct Outcome {
    pub check: CheckResult,
    /// How long it took until the answer was the expected one; up to `Span::MAX` if it never was. Of
    /// what must never be: how often it was.
    measured: Option<Measured>,
}

#[derive(Debug, Clone, Copy)]
enum Measured {
    Took(Interval),
    Times(usize),
}

impl Outcome {
    /// In model milliseconds, or as a count.
    pub fn value(&self, scale: Scale) -> Option<Range> {
        self.measured.map(|measured| match measured {
            Measured::Took(took) => figures::in_model(took, scale),
            Measured::Times(times) => Range::exactly(times as f64),
        })
    }
}

pub(super) fn check(facts: &Facts<'_>, quiet: bool) -> Vec<Outcome> {
    let expected = &facts.scenario.expect.watched;
    let one = |(place, watched): (usize, &Watched)| {
        let name = name(expected, place);
        match &watched.expect {
            WatchExpect::Becomes { answer, since, within } => {
                becomes(facts, name, &watched.watch, answer, *since, (*within).into())
            }
            WatchExpect::Never { answer } => never(facts, name, &watched.watch, answer, quiet),
        }
    };
    expected.iter().enumerate().map(one).collect()
}

/// `watched redis-connected becomes false`; where several are of one watch and answer, each with what
/// its time counts from.
fn name(expected: &[Watched], place: usize) -> String {
    let watched = &expected[place];
    let plain = |watched: &Watched| match &watched.expect {
        WatchExpect::Becomes { answer, .. } => format!("watched {} becomes {answer}", watched.watch),
        WatchExpect::Never { answer } => format!("watched {} never {answer}", watched.watch),
    };
    let short = plain(watched);
    let several = expected.iter().filter(|other| plain(other) == short).count() > 1;
    match &watched.expect {
        WatchExpect::Becomes { since, .. } if several => format!("{short} after {}", since_in_words(*since)),
        _ => short,
    }
}

fn since_in_words(since: Since) -> String {
    match since {
        Since::Start => "the start".to_owned(),
        Since::Fault(FaultId(id)) => format!("fault {}", id + 1),
        Since::Heal(FaultId(id)) => format!("heal {}", id + 1),
    }
}

fn becomes(
    facts: &Facts<'_>,
    name: String,
    watch: &str,
    answer: &str,
    since: Since,
    limits: Limits,
) -> Outcome {
    let scale = facts.scenario.time_scale;
    let result = |verdict, took: Option<Interval>, note| {
        let measured = took.map_or("-".to_owned(), |took| match took.max() {
            Span::MAX => format!("not in {}", round(scale.to_model(took.min()))),
            _ => {
                let took = in_model(took, scale);
                format!("{} to {}", round(took.min()), round(took.max()))
            }
        });
        let bound = bound_ms(Some(limits), scale);
        let check = CheckResult {
            name: name.clone(),
            verdict,
            measured,
            bound,
            bound_from: BoundFrom::Scenario,
            note,
            stalled: false,
        };
        Outcome { check, measured: took.map(Measured::Took) }
    };
    let Some(from) = reference(facts, since) else {
        let note = format!("There is no proof of {}: nothing to count from.", since_in_words(since));
        return result(Verdict::Inconclusive, None, note);
    };
    let samples = answers(facts, watch);
    let words = format!("counted from {}", since_in_words(since));
    // What was asked before may have been answered as it was then.
    let is_hit = |sample: &&Said<'_>| sample.asked >= from.lo && same_answer(answer, sample.said);
    let hit = samples.iter().find(is_hit);
    let Some(hit) = hit else {
        let (verdict, waited, note) = missed(facts, watch, answer, from, limits, &samples);
        return result(verdict, waited, note);
    };
    let other = samples.iter().rfind(|sample| sample.at < hit.at && !same_answer(answer, sample.said));
    let was_so = other.is_none_or(|other| other.at < from.lo)
        && samples.iter().any(|sample| sample.at < from.lo && same_answer(answer, sample.said));
    let changed = Moment::new(other.map_or(from.lo, |other| other.asked.max(from.lo)), hit.at);
    let took = changed.since(from);
    let (stalls, longest_stall) = facts.host.stalls_in(Moment { lo: from.lo, hi: hit.at });
    let measurement = Measurement {
        what: format!("`{watch}` to become `{answer}`"),
        measured: took,
        limits: Some(limits),
        latency: Span::ZERO,
        stalls,
        longest_stall,
    };
    let (verdict, why) = measurement.verdict(scale);
    let note = why.map_or_else(
        || {
            let already = if was_so { " It was so before." } else { "" };
            format!("Time until the answer was `{answer}`, {words}.{already}")
        },
        |why| format!("{why}, {words}."),
    );
    let mut found = result(verdict, Some(took), note);
    found.check.stalled = stalled(verdict, &[measurement]);
    found
}

/// No such answer.
fn missed(
    facts: &Facts<'_>,
    watch: &str,
    answer: &str,
    from: Moment,
    limits: Limits,
    samples: &[Said<'_>],
) -> (Verdict, Option<Interval>, String) {
    let Some(last) = samples.iter().rfind(|sample| sample.at >= from.lo) else {
        return (Verdict::Inconclusive, None, format!("`{watch}` was never answered in that time."));
    };
    let scale = facts.scenario.time_scale;
    let waited = last.asked.since(from.hi);
    let (stalls, _) = facts.host.stalls_in(Moment { lo: from.lo, hi: last.at });
    let certain = limits.max.is_none_or(|max| waited > max + stalls);
    let shown = round(scale.to_model(waited));
    let note =
        format!("For {shown} `{watch}` never answered `{answer}`; its last answer was `{}`.", last.said);
    let waited = Some(Interval::new(waited, Span::MAX));
    if certain {
        (Verdict::Fail, waited, note)
    } else {
        (Verdict::Inconclusive, waited, format!("{note} The run ended before it was due."))
    }
}

fn never(facts: &Facts<'_>, name: String, watch: &str, answer: &str, quiet: bool) -> Outcome {
    // While the fleet starts, much is not yet as it will be.
    let mut samples = answers(facts, watch);
    samples.retain(|sample| sample.asked >= facts.run.lo);
    let count = samples.iter().filter(|sample| same_answer(answer, sample.said)).count();
    let first = samples.iter().find(|sample| same_answer(answer, sample.said));
    let (verdict, note) = match first {
        Some(first) => {
            let after = facts.scenario.time_scale.to_model(first.at.since(facts.run.lo));
            let note = format!(
                "`{watch}` answered `{answer}` {count} times of {}, first {} after the workload's start.",
                samples.len(),
                round(after)
            );
            (Verdict::Fail, note)
        }
        None if samples.is_empty() => {
            (Verdict::Inconclusive, format!("`{watch}` was never answered: nothing is known."))
        }
        None if !quiet => {
            (Verdict::Inconclusive, "The host stalled: an answer may have gone unseen.".to_owned())
        }
        None => (Verdict::Pass, format!("None of {} answers was `{answer}`.", samples.len())),
    };
    let check = CheckResult {
        name,
        verdict,
        measured: if samples.is_empty() { "-".to_owned() } else { count.to_string() },
        bound: Bound { min: Some(0.0), max: Some(0.0) },
        bound_from: BoundFrom::Scenario,
        note,
        stalled: false,
    };
    Outcome { check, measured: (!samples.is_empty()).then_some(Measured::Times(count)) }
}

/// An answer of a watch.
struct Said<'a> {
    asked: Instant,
    at: Instant,
    said: &'a str,
}

fn answers<'a>(facts: &Facts<'a>, watch: &str) -> Vec<Said<'a>> {
    let of_it = |heeded: &&Heeded<'a>| heeded.watch == watch && heeded.at <= facts.run.hi;
    let said = |heeded: &Heeded<'a>| match heeded.answer {
        Heard::Said(said) => Some(Said { asked: heeded.asked, at: heeded.at, said }),
        Heard::Unknown { .. } => None,
    };
    facts.heeded.iter().filter(of_it).filter_map(said).collect()
}

/// The first effect of the fault, or its last heal.
fn reference(facts: &Facts<'_>, since: Since) -> Option<Moment> {
    let parts = |fault: FaultId| facts.faults.range((fault, 0)..=(fault, u16::MAX)).map(|(_, part)| part);
    match since {
        Since::Start => Some(Moment::exactly(facts.run.lo)),
        Since::Fault(fault) => {
            let effects = parts(fault).filter_map(|part| Some(part.onset.done?.effective));
            effects.min_by_key(|effective| effective.lo)
        }
        Since::Heal(fault) => {
            let heals = parts(fault).filter_map(|part| Some(part.heal.done?.effective));
            heals.max_by_key(|effective| effective.hi)
        }
    }
}
