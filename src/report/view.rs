//! What the page's templates print: strings only, cleaned, in the order in which they are read.

use crate::check::{CheckResult, FaultReceipt, Judged, Quantiles, RecoveryPart, Verdict};
use crate::history::log::History;
use crate::history::{Event, What};
use crate::report::timeline::{self, Timeline};
use crate::report::{NotRun, svg, text};

mod claims;
mod figures;

pub use claims::ClaimsView;
pub use figures::{FiguresView, Finding};

/// A line of the table on top.
pub struct Row {
    pub anchor: String,
    pub title: String,
    pub verdict: &'static str,
    pub broken: String,
    pub detection: String,
    pub recovery: String,
    pub lost: u64,
    pub duplicated: u64,
    pub mistakes: u64,
    pub wall: String,
    pub reason: Option<String>,
}

pub struct NotRunView {
    pub name: String,
    pub path: String,
    pub reason: String,
    pub hint: String,
}

/// A scenario's section.
pub struct ScenarioView {
    pub anchor: String,
    pub title: String,
    pub verdict: &'static str,
    pub about: String,
    pub path: String,
    pub reasons: Vec<String>,
    pub facts: Vec<(&'static str, String)>,
    pub timeline: Option<String>,
    pub truncated: bool,
    pub checks: Vec<CheckView>,
    pub model: Vec<(&'static str, String)>,
    pub figures: FiguresView,
    pub recovery_legend: Vec<(String, String)>,
    pub recovery: Vec<RecoveryView>,
    pub recovery_left_out: usize,
    pub faults: Vec<FaultView>,
    pub jobs: Vec<Count>,
    pub steps: Vec<Count>,
    pub mistakes: Vec<(&'static str, String)>,
    pub versions: Vec<(String, String)>,
    pub output: Vec<(String, String)>,
    pub replay: String,
}

pub struct CheckView {
    pub name: String,
    pub verdict: &'static str,
    pub measured: String,
    pub bound: String,
    pub from: &'static str,
    pub note: String,
    pub bar: Option<String>,
}

pub struct RecoveryView {
    pub job: String,
    pub total: String,
    pub bar: String,
}

pub struct FaultView {
    pub what: String,
    pub requested: String,
    pub effective: String,
    pub late: String,
    pub lasted: String,
    pub confirmed: bool,
    pub proof: String,
    pub heal_proof: Option<String>,
}

pub struct Count {
    pub word: &'static str,
    pub count: u64,
    pub meaning: &'static str,
    /// A number above zero deserves a look.
    pub alarming: bool,
}

pub struct Term {
    pub word: &'static str,
    pub meaning: &'static str,
}

const RECOVERY_BARS_MAX: usize = 30;
const OUTPUT_LINES_MAX: usize = 25;
const FAULTS_MAX: usize = 200;

impl Row {
    pub fn new(judged: &Judged, view: &ScenarioView) -> Self {
        Self {
            anchor: view.anchor.clone(),
            title: view.title.clone(),
            verdict: view.verdict,
            broken: text::broken(judged),
            detection: text::quantiles(judged.detection_ms.as_ref()),
            recovery: text::quantiles(judged.recovery_ms.as_ref()),
            lost: judged.jobs.lost,
            duplicated: judged.jobs.duplicated,
            mistakes: judged.mistakes.count,
            wall: format!("{:.1} s", judged.wall_s),
            reason: view.reasons.first().cloned(),
        }
    }
}

impl NotRunView {
    pub fn new(not_run: &NotRun) -> Self {
        Self {
            name: text::line(&not_run.name),
            path: text::line(&not_run.path),
            reason: text::line(&not_run.reason),
            hint: text::line(not_run.hint.as_deref().unwrap_or("-")),
        }
    }
}

impl ScenarioView {
    /// `place` counts from 1 and makes the anchor; see [`anchor`].
    pub fn new(
        place: usize,
        title: String,
        judged: &Judged,
        history: Option<&History>,
        bars_max: usize,
        figures: FiguresView,
    ) -> Self {
        let (recovery_legend, recovery, recovery_left_out) = recovery(&judged.recovery_parts_ms);
        Self {
            anchor: anchor(place),
            title: text::line(&title),
            verdict: text::verdict(judged.verdict),
            about: text::clean(&judged.about, 2_000),
            path: text::line(&judged.path),
            reasons: judged.reasons.iter().map(|reason| text::line(reason)).collect(),
            facts: facts(judged),
            timeline: history.map(|history| timeline::render(&Timeline::of(history, judged), bars_max)),
            truncated: history.is_some_and(|history| history.truncated),
            checks: judged.checks.iter().map(|check| CheckView::new(check, judged)).collect(),
            model: model(judged),
            figures,
            recovery_legend,
            recovery,
            recovery_left_out,
            faults: fault_views(judged, history),
            jobs: jobs(judged),
            steps: steps(judged),
            mistakes: mistakes(judged),
            versions: judged.versions.iter().map(|(what, v)| (text::line(what), text::line(v))).collect(),
            output: history.filter(|_| judged.verdict != Verdict::Pass).map(output).unwrap_or_default(),
            replay: text::clean(&judged.replay, 1_000),
        }
    }
}

pub fn anchor(place: usize) -> String {
    format!("s{place}")
}

fn facts(judged: &Judged) -> Vec<(&'static str, String)> {
    vec![
        ("backend", text::line(&judged.backend)),
        ("time scale", format!("{} (1 s of model time took {} s)", judged.time_scale, judged.time_scale)),
        ("wall time", format!("{:.1} s", judged.wall_s)),
        ("seed", judged.seed.to_string()),
        ("started", text::line(&judged.started_at)),
        (
            "host's scheduling delay",
            format!(
                "median {}, p99 {}, at most {} (wall)",
                text::millis(judged.host.hiccup_p50_wall_ms),
                text::millis(judged.host.hiccup_p99_wall_ms),
                text::millis(judged.host.hiccup_max_wall_ms)
            ),
        ),
    ]
}

impl CheckView {
    fn new(check: &CheckResult, judged: &Judged) -> Self {
        let class = match check.verdict {
            Verdict::Pass => "b-pass",
            Verdict::Inconclusive => "b-inconclusive",
            Verdict::Fail => "b-fail",
        };
        Self {
            name: text::check_name(&check.name),
            verdict: text::verdict(check.verdict),
            measured: text::line(&check.measured),
            bound: text::check_bound(check),
            from: text::bound_from(check.bound_from),
            note: text::line(&check.note),
            bar: measured_range(&check.name, judged)
                .and_then(|range| svg::bound_bar(check.bound, range, class)),
        }
    }
}

/// Smallest, median and largest of what the check is about, in the unit of its bound.
fn measured_range(check: &str, judged: &Judged) -> Option<(f64, f64, f64)> {
    let times = |quantiles: Option<Quantiles>| quantiles.map(|q| (q.min, q.p50, q.max));
    let count = |count: u64| Some((count as f64, count as f64, count as f64));
    match check {
        "detection_time" => times(judged.detection_ms),
        "recovery_time" => times(judged.recovery_ms),
        "lost" => count(judged.jobs.lost),
        "duplicated" => count(judged.jobs.duplicated),
        "unexpected" => count(judged.jobs.unexpected),
        "failed" => count(judged.jobs.failed),
        "declined" => count(judged.jobs.declined),
        "steps_lost" => count(judged.steps.lost),
        "steps_repeated" => count(judged.steps.repeated),
        "mistakes" => count(judged.mistakes.count),
        "query_accuracy" => judged.mistakes.query_accuracy.map(|share| (share, share, share)),
        _ => None,
    }
}

fn model(judged: &Judged) -> Vec<(&'static str, String)> {
    let Some(model) = &judged.model else { return Vec::new() };
    vec![
        ("detection time, undisturbed", text::bound(model.detection_ms, text::Unit::Millis)),
        ("recovery time, undisturbed", text::bound(model.recovery_ms, text::Unit::Millis)),
        ("pause tolerated", text::millis(model.pause_tolerated_ms)),
        ("clock skew tolerated", model.skew_tolerated_ms.map_or("any".to_owned(), text::millis)),
    ]
}

/// Legend (class, part), bars with the longest first, and how many are left out.
fn recovery(recovered: &[RecoveryPart]) -> (Vec<(String, String)>, Vec<RecoveryView>, usize) {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in recovered.iter().flat_map(|job| &job.parts) {
        if !names.contains(&name.as_str()) && names.len() < 12 {
            names.push(name);
        }
    }
    let class = |name: &str| {
        let place = names.iter().position(|known| *known == name).unwrap_or(names.len());
        format!("r-part r{}", place % 8)
    };
    let mut sorted: Vec<&RecoveryPart> = recovered.iter().collect();
    sorted.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    let far =
        sorted.first().map_or(0.0, |job| job.total_ms.max(job.parts.iter().map(|(_, ms)| ms.max(0.0)).sum()));
    let bars = sorted.iter().take(RECOVERY_BARS_MAX).map(|job| RecoveryView {
        job: text::clean(&job.job, 40),
        total: text::millis(job.total_ms),
        bar: svg::stacked_bar(&stack(job, &class), far),
    });
    let legend = names.iter().map(|name| (class(name), part_name(name))).collect();
    (legend, bars.collect(), sorted.len().saturating_sub(RECOVERY_BARS_MAX))
}

fn stack(job: &RecoveryPart, class: &impl Fn(&str) -> String) -> Vec<(String, f64, String)> {
    let part = |(name, ms): &(String, f64)| {
        (class(name), *ms, format!("{}: {}", part_name(name), text::millis(*ms)))
    };
    job.parts.iter().take(20).map(part).collect()
}

fn part_name(name: &str) -> String {
    let words = text::check_name(name);
    words.strip_prefix("to ").map_or(words.clone(), |rest| format!("until {rest}"))
}

fn fault_views(judged: &Judged, history: Option<&History>) -> Vec<FaultView> {
    let clock = history.map(|history| timeline::Clock::of(history, judged.time_scale));
    let moment = |ns: Option<u64>| match (clock, ns) {
        (Some(clock), Some(ns)) => text::moment(clock.seconds(crate::time::Instant::from_nanos(ns))),
        _ => "-".to_owned(),
    };
    let view = |fault: &FaultReceipt| FaultView {
        what: text::fault(fault),
        requested: moment(fault.requested_ns),
        effective: moment(fault.effective_ns),
        late: fault.lateness_ns.map_or("-".to_owned(), |ns| text::millis(ns as f64 / 1e6)),
        lasted: text::lasted(fault, judged.time_scale),
        confirmed: fault.confirmed,
        proof: text::line(&fault.proof),
        heal_proof: fault.heal_proof.as_deref().map(text::line),
    };
    judged.faults.iter().take(FAULTS_MAX).map(view).collect()
}

fn jobs(judged: &Judged) -> Vec<Count> {
    let jobs = judged.jobs;
    let count = |word, count, meaning, alarming: bool| Count {
        word,
        count,
        meaning,
        alarming: alarming && count > 0,
    };
    vec![
        count("acknowledged", jobs.acknowledged, "the system said that it had taken them", false),
        count("completed", jobs.completed, "acknowledged, and their work was done at least once", false),
        count("failed", jobs.failed, "given up by the system, by its own account", true),
        count("lost", jobs.lost, "acknowledged, and at the end neither done nor failed", true),
        count("duplicated", jobs.duplicated, "their work was done more than once", true),
        count(
            "recovered",
            jobs.recovered,
            "the answer to the enqueue was lost, the work was done all the same",
            false,
        ),
        count("unexpected", jobs.unexpected, "done, although nobody had asked for them", true),
        count("declined", jobs.declined, "answered without a job being made", false),
        count(
            "indeterminate",
            jobs.indeterminate,
            "no answer, and not done: it may have been taken or not",
            false,
        ),
    ]
}

fn steps(judged: &Judged) -> Vec<Count> {
    let steps = judged.steps;
    vec![
        Count {
            word: "acknowledged",
            count: steps.acknowledged,
            meaning: "saved, as the worker was told",
            alarming: false,
        },
        Count {
            word: "lost",
            count: steps.lost,
            meaning: "saved, and not there at the end",
            alarming: steps.lost > 0,
        },
        Count {
            word: "repeated",
            count: steps.repeated,
            meaning: "done again although they had been saved",
            alarming: false,
        },
    ]
}

fn mistakes(judged: &Judged) -> Vec<(&'static str, String)> {
    let mistakes = judged.mistakes;
    let mut facts = vec![("mistakes", mistakes.count.to_string())];
    if mistakes.count > 0 {
        facts.push(("of them shared by several workers", mistakes.correlated.to_string()));
        facts.push(("time in mistake", text::millis(mistakes.total_ms)));
    }
    if let Some(accuracy) = mistakes.query_accuracy {
        facts.push(("query accuracy", text::figure(accuracy, text::Unit::Share)));
    }
    if let Some(rate) = mistakes.rate_per_hour_upper {
        facts.push(("rate at most (95 % confidence)", format!("{rate:.1} per hour of model time")));
    }
    facts
}

/// The last lines that processes printed: (process, line).
fn output(history: &History) -> Vec<(String, String)> {
    let printed = |event: &Event| match &event.ev {
        What::Line { text } => Some((text::clean(event.by.as_str(), 60), text::line(text))),
        _ => None,
    };
    let mut last: Vec<_> = history.events.iter().rev().filter_map(printed).take(OUTPUT_LINES_MAX).collect();
    last.reverse();
    last
}

pub fn glossary() -> Vec<Term> {
    [
        ("fleet", "The processes under test: workers that take jobs, and the services around them."),
        ("beat", "One heartbeat write: how a worker proves that it lives (also: the renewal of a job's lock)."),
        ("suspicion", "A detector's statement that a worker, or the whole fleet, is dead."),
        ("detection time", "From the crash to the suspicion that stays."),
        ("mistake", "A suspicion while the worker was in fact running."),
        ("query accuracy", "The share of time in which a running worker was rightly called alive."),
        ("recovery time", "From the fault's effect until the last job that it hit is done again."),
        ("acknowledged", "An enqueue, or a saved step, whose success the client was told of."),
        ("fault, receipt, heal", "What was broken on purpose; the proof that it took effect; its undoing."),
        ("stalled check, sweep", "The periodic search for jobs whose worker has gone silent."),
        ("model time, wall time", "Durations as the scenario writes them; as a clock on the wall shows them. A time scale of 0.1 runs 30 s of model time in 3 s."),
        ("bound from", "Timing model: computed from the fleet's own settings. Scenario: written in the scenario's file. Harness rule: what the tool demands of itself."),
        ("simulated", "Computed in virtual time: the fleet's own protocol code on modelled stores, many seeds. p1, p50, p99: so many percent of the values are no larger."),
        ("model-reality gap", "Measured times that the simulation does not explain: beyond all simulated values, or distributed otherwise (two-sample Kolmogorov-Smirnov test at 1 %). A finding about the model, not a failure of the fleet."),
        ("claim", "What a document says of the system. Confirmed: all that it says was measured, and holds. Refuted: something was measured that it does not admit; no failure of the run. Untested: not, or not well enough, measured."),
        ("pass, fail, inconclusive", "Every check held; one did not; or it could not be told, because a fault was not proved or the host was too busy to measure."),
    ]
    .map(|(word, meaning)| Term { word, meaning })
    .into()
}
