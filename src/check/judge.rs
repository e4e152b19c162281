//! From a history to a verdict.

use crate::check::facts::Facts;
use crate::check::measure::{Limits, middles, model_ms, quantiles};
use crate::check::{
    Bound, CheckResult, Judged, ModelFigures, Samples, Verdict, counts, detection, faults, figures, host,
    latency, mistakes, recovery, suspicion, watched,
};
use crate::history::What;
use crate::history::log::History;
use crate::names::ProcessName;
use crate::scenario::Scenario;
use crate::time::{Instant, Interval, Span};
use crate::timing::Work;

/// Judges a run by its history alone. The scenario must be the history's own (its `source`, resolved
/// with its time scale). The same history gives the same result, always.
///
/// - A run that was interrupted, aborted, or has no end is inconclusive, whatever its checks say.
/// - A fault without proof makes it inconclusive, as does a stall of the host above what it can bear:
///   then no check that depends on time fails or passes on that evidence, while a lost job or step
///   still fails, for no stall excuses it.
/// - A fail of a run in which the host kept one of its processes waiting for a processor, for longer than
///   the run can bear, is inconclusive too; again not that of a loss.
/// - Else the verdict is the gravest of its checks'.
#[must_use]
pub fn judge(scenario: &Scenario, history: &History) -> Judged {
    let facts = Facts::of(scenario, history);
    let scale = scenario.time_scale;
    let host = host::check(scenario, &facts.host, facts.run);
    let quiet = host.verdict == Verdict::Pass;

    let taken = suspicion::taken(&facts);
    let detection = detection::measure(&facts, &taken);
    let recovery = recovery::measure(&facts, &taken);
    let found = mistakes::find(&facts, &taken);
    let mistakes = mistakes::figures(&facts, &found);
    let jobs = counts::jobs(&facts);
    let steps = counts::steps(&facts);

    let mut checks = vec![detection::check(&facts, &detection), recovery::check(&facts, &recovery)];
    checks.extend(latency::check(&facts));
    checks.extend(counts::check(&facts, &jobs, &steps));
    checks.push(mistakes::check(&facts, &found, &mistakes, quiet));
    checks.extend(mistakes::check_accuracy(&facts, &mistakes, quiet));
    let watched = watched::check(&facts, quiet);
    checks.extend(watched.iter().map(|outcome| outcome.check.clone()));
    let figures = figures::of(
        &facts,
        &figures::Measured {
            detection: &detection.measured,
            recovery: &recovery.measured,
            watched: &watched,
            jobs: &jobs,
            steps: &steps,
            mistakes: &mistakes,
            asked: found.asked || mistakes.count > 0,
        },
    );
    checks.push(faults::check(scenario, &facts.faults, &facts.taps));
    checks.push(host);

    let broken = broken(history);
    let starved = facts.host.starved_beyond(host::stall_bearable(scenario));
    excuse(&mut checks, quiet, starved, broken.is_some());
    let gravest = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Pass);
    let verdict = if broken.is_some() { Verdict::Inconclusive } else { gravest };

    let first = history.events.first().map_or(Instant::ZERO, |event| event.at);
    let last = history.events.last().map_or(first, |event| event.at);
    Judged {
        name: scenario.name.clone(),
        about: scenario.about.clone(),
        path: history.header.path.clone(),
        backend: history.header.backend.clone(),
        verdict,
        reasons: reasons(broken, &checks),
        seed: history.header.seed,
        repeat: history.header.repeat,
        time_scale: scale.as_f64(),
        started_at: history.header.started_at.clone(),
        wall_s: last.since(first).as_secs_f64(),
        replay: history.header.replay.clone(),
        faults: faults::receipts(scenario, &facts.faults, &facts.taps),
        checks,
        jobs,
        steps,
        detection_ms: quantiles(&detection.measured, scale),
        recovery_ms: quantiles(&recovery.measured, scale),
        recovery_parts_ms: recovery.parts,
        mistakes,
        model: model(scenario),
        samples: Samples {
            detection_ms: middles(&detection.measured, scale),
            recovery_ms: middles(&recovery.measured, scale),
        },
        figures,
        sim: None,
        gaps: Vec::new(),
        host: facts.host.figures(),
        versions: versions(history),
        claims: scenario.claims.clone(),
    }
}

/// Why the run proves nothing, if it does not.
fn broken(history: &History) -> Option<String> {
    let events = || history.events.iter().map(|event| &event.ev);
    let aborted = events().find_map(|ev| match ev {
        What::Aborted { reason } => Some(format!("The run could not be carried on: {reason}.")),
        _ => None,
    });
    let interrupted = || {
        let found = events().any(|ev| matches!(ev, What::Interrupted));
        found.then(|| "The run was interrupted.".to_owned())
    };
    let cut = || {
        let ended = events().any(|ev| matches!(ev, What::End));
        (history.truncated || !ended).then(|| "The history has no end: the run was cut off.".to_owned())
    };
    aborted.or_else(interrupted).or_else(cut)
}

/// Losses that nothing excuses but a run without an end.
const SAFETY: [&str; 3] = ["lost", "steps_lost", "unexpected"];

/// A stall of the harness stops its proxies too: a fault that nobody ordered, which may well cost a
/// lock and so a duplicate. The same is true of a process that got no processor, and of a fault without
/// its proof: nobody knows what was done. Only a loss is a fail all the same. What passed in spite of a
/// starved process has passed.
fn excuse(checks: &mut [CheckResult], quiet: bool, starved: Option<(&ProcessName, Span)>, broken: bool) {
    let mut is_starved = false;
    let unproved =
        checks.iter().any(|check| check.name == faults::CONFIRMED && check.verdict == Verdict::Inconclusive);
    for check in checks.iter_mut().filter(|check| check.verdict == Verdict::Fail) {
        let why = if broken {
            "The run did not reach its end: this is no proof."
        } else if SAFETY.contains(&check.name.as_str()) {
            continue;
        } else if unproved {
            "A fault has no proof: this may be its doing."
        } else if !quiet {
            "The host stalled for longer than the run can bear: this may be its doing."
        } else if starved.is_some() {
            is_starved = true;
            "The host kept the fleet waiting for longer than the run can bear: this may be its doing."
        } else {
            continue;
        };
        check.verdict = Verdict::Inconclusive;
        check.note = format!("{} {why}", check.note);
    }
    let host = checks.iter_mut().find(|check| check.name == host::HOST_QUIET);
    if let (Some((process, waited)), Some(host), true) = (starved, host, is_starved) {
        host.verdict = Verdict::Inconclusive;
        host.stalled = true;
        host.note = format!(
            "{} But {process} was ready to run and had no processor for {waited} in one spell: what failed \
             may be the host's doing.",
            host.note
        );
    }
}

/// What broke the run, then fails, then what is inconclusive; safety before time within each.
fn reasons(broken: Option<String>, checks: &[CheckResult]) -> Vec<String> {
    let mut judged: Vec<&CheckResult> =
        checks.iter().filter(|check| check.verdict != Verdict::Pass).collect();
    judged.sort_by_key(|check| (std::cmp::Reverse(check.verdict), rank(&check.name)));
    let from_checks = judged.iter().map(|check| format!("{}: {}", check.name, check.note));
    broken.into_iter().chain(from_checks).collect()
}

fn rank(name: &str) -> usize {
    const ORDER: [&str; 11] = [
        "lost",
        "steps_lost",
        "duplicated",
        "unexpected",
        faults::CONFIRMED,
        "host_quiet",
        "failed",
        "detection_time",
        "recovery_time",
        "mistakes",
        "query_accuracy",
    ];
    ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len())
}

/// What the model says of these settings, in model time.
fn model(scenario: &Scenario) -> Option<ModelFigures> {
    let pipeline = scenario.fleet.pipeline.as_ref()?;
    let scale = scenario.time_scale;
    let open = Bound { min: None, max: None };
    let bound = |limits: Limits| Bound {
        min: Some(model_ms(limits.min, scale)),
        max: limits.max.map(|max| model_ms(max, scale)),
    };
    let workload = &scenario.workload;
    let steps = u64::from(workload.steps);
    let longest_job = workload.step_time.max().saturating_mul(steps);
    // A job may be anywhere in its work, and finds a free worker.
    let work = Work { rest: Interval::new(Span::ZERO, longest_job), longest_job, ahead: 0, slots: 1 };
    Some(ModelFigures {
        detection_ms: Limits::of(pipeline.detection(Span::ZERO)).map_or(open, bound),
        recovery_ms: pipeline.recovery(&work).map_or(open, |recovery| bound(recovery.total().into())),
        pause_tolerated_ms: model_ms(pipeline.silence_tolerated(Span::ZERO), scale),
        skew_tolerated_ms: pipeline.skew_tolerated(Span::ZERO).map(|skew| model_ms(skew, scale)),
    })
}

fn versions(history: &History) -> Vec<(String, String)> {
    let mut all = history.events.iter().filter_map(|event| match &event.ev {
        What::Versions(versions) => Some(versions),
        _ => None,
    });
    all.next_back().cloned().unwrap_or_default()
}
