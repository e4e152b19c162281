//! Acknowledged jobs and steps against the final state: lost, duplicated, recovered, unexpected.

use crate::check::facts::{Collected, Facts};
use crate::check::{Bound, BoundFrom, CheckResult, JobCounts, StepCounts, Verdict};
use crate::history::EnqueueOutcome;
use crate::names::ProcessName;
use crate::scenario::CountExpect;

pub(super) fn jobs(facts: &Facts<'_>) -> JobCounts {
    let mut counts = JobCounts::default();
    for story in facts.stories.values() {
        let done = story.effects() > 0;
        counts.duplicated += u64::from(story.effects() > 1);
        match story.outcome {
            Some(EnqueueOutcome::Acknowledged) => {
                counts.acknowledged += 1;
                counts.completed += u64::from(done);
                counts.failed += u64::from(story.failed());
                counts.lost += u64::from(!done && !story.failed());
            }
            Some(EnqueueOutcome::Declined(_)) => {
                counts.declined += 1;
                counts.unexpected += u64::from(done);
            }
            Some(EnqueueOutcome::Unknown(_)) | None if story.asked => {
                counts.recovered += u64::from(done);
                counts.indeterminate += u64::from(!done);
            }
            Some(EnqueueOutcome::Unknown(_)) | None => counts.unexpected += u64::from(done),
        }
    }
    counts
}

pub(super) fn steps(facts: &Facts<'_>) -> StepCounts {
    let mut counts = StepCounts::default();
    for story in facts.stories.values() {
        let saved = story.state.map_or(&[] as &[u32], |state| &state.steps);
        for (step, times) in &story.steps {
            counts.acknowledged += 1;
            counts.repeated += times - 1;
            counts.lost += u64::from(!saved.contains(step));
        }
    }
    if !facts.scenario.fleet.effects.tells_steps() {
        counts.lost = 0;
    }
    counts
}

/// What a count needs in order to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Only what the harness and the fleet said in the run.
    Nothing,
    Effects,
    Steps,
}

pub(super) fn check(facts: &Facts<'_>, jobs: &JobCounts, steps: &StepCounts) -> Vec<CheckResult> {
    let expect = &facts.scenario.expect;
    let lost = examples(facts, |story| story.acknowledged() && story.effects() == 0 && !story.failed());
    let twice = duplicates(facts);
    let failed = examples(facts, |story| story.acknowledged() && story.failed());
    let steps_gone = examples(facts, |story| {
        let saved = story.state.map_or(&[] as &[u32], |state| &state.steps);
        story.steps.keys().any(|step| !saved.contains(step))
    });
    let acknowledged = format!("of {} acknowledged jobs", jobs.acknowledged);
    let of_steps = format!("of {} acknowledged steps", steps.acknowledged);
    let rows: [(&str, CountExpect, u64, Needs, String); 7] = [
        (
            "lost",
            expect.lost,
            jobs.lost,
            Needs::Effects,
            format!("{acknowledged}, neither done nor failed at the end{lost}{}", by_lines(facts)),
        ),
        (
            "duplicated",
            expect.duplicated,
            jobs.duplicated,
            Needs::Effects,
            format!("jobs whose work was done more than once{twice}"),
        ),
        (
            "unexpected",
            expect.unexpected,
            jobs.unexpected,
            Needs::Effects,
            "jobs that were done and never taken".to_owned(),
        ),
        (
            "failed",
            expect.failed,
            jobs.failed,
            Needs::Effects,
            format!("{acknowledged}, failed for good by the system's own account{failed}"),
        ),
        (
            "steps_lost",
            expect.steps_lost,
            steps.lost,
            Needs::Steps,
            format!(
                "{of_steps}, not saved at the end{}",
                if steps.lost > 0 { steps_gone } else { String::new() }
            ),
        ),
        (
            "steps_repeated",
            expect.steps_repeated,
            steps.repeated,
            Needs::Nothing,
            format!("{of_steps}, done again although acknowledged"),
        ),
        (
            "declined",
            expect.declined,
            jobs.declined,
            Needs::Nothing,
            "enqueues that were answered without a job being made".to_owned(),
        ),
    ];
    rows.into_iter()
        .map(|(name, expect, count, needs, what)| row(facts, name, expect, count, needs, &what))
        .collect()
}

fn row(
    facts: &Facts<'_>,
    name: &str,
    expect: CountExpect,
    count: u64,
    needs: Needs,
    what: &str,
) -> CheckResult {
    let unknown = missing(facts, needs).filter(|_| expect != CountExpect::ANY);
    let verdict = match (&unknown, expect.admits(count)) {
        (Some(_), _) => Verdict::Inconclusive,
        (None, true) => Verdict::Pass,
        (None, false) => Verdict::Fail,
    };
    CheckResult {
        name: name.to_owned(),
        measured: if unknown.is_some() { "-".to_owned() } else { count.to_string() },
        verdict,
        bound: Bound { min: Some(expect.min as f64), max: expect.max.map(|max| max as f64) },
        bound_from: BoundFrom::Scenario,
        note: unknown.unwrap_or_else(|| format!("{count} {what}.")),
        stalled: false,
    }
}

/// Why the count cannot be known, if it cannot.
fn missing(facts: &Facts<'_>, needs: Needs) -> Option<String> {
    let effects = &facts.scenario.fleet.effects;
    let asked = match needs {
        Needs::Nothing => return None,
        Needs::Effects => effects.is_asked(),
        // A fleet that reports no steps has none to lose.
        Needs::Steps if !effects.tells_steps() => return None,
        Needs::Steps => true,
    };
    match facts.collected {
        _ if !asked => Some("The scenario says no way to read the jobs' effects.".to_owned()),
        Collected::Never => Some("The jobs' final states were never read.".to_owned()),
        Collected::Failed(error) => Some(format!("The jobs' final states could not be read: {error}.")),
        Collected::Whole => None,
    }
}

/// What a verdict that rests on lines of output is worth.
fn by_lines(facts: &Facts<'_>) -> &'static str {
    match facts.scenario.fleet.effects.lines {
        Some(_) => "; effects are counted by lines of output, of which a killed process may owe its last",
        None => "",
    }
}

/// The jobs that were done more than once, and by whom, if that was told.
fn duplicates(facts: &Facts<'_>) -> String {
    let done = facts.stories.iter().filter(|(_, story)| story.effects() > 1);
    named(done.map(|(job, story)| {
        let by: Vec<&str> =
            story.state.map(|state| state.by.iter().map(ProcessName::as_str).collect()).unwrap_or_default();
        if by.is_empty() { job.to_string() } else { format!("{job} by {}", by.join(" and ")) }
    }))
}

/// Up to three of the jobs concerned, in parentheses; empty if there is none.
fn examples(facts: &Facts<'_>, concerned: impl Fn(&crate::check::story::Story<'_>) -> bool) -> String {
    named(facts.stories.iter().filter(|(_, story)| concerned(story)).map(|(job, _)| job.to_string()))
}

fn named(jobs: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = jobs.take(4).collect();
    match names.len() {
        0 => String::new(),
        4 => format!(" ({}, …)", names[..3].join(", ")),
        _ => format!(" ({})", names.join(", ")),
    }
}
