//! The proof of an answer: scenarios that try its settings on real stores and processes with the question's
//! faults, and what was measured beside what was predicted.

use super::answer::Answer;
use super::figures::{DAY_S, rate};
use super::point::Point;
use crate::check::{Judged, Verdict};
use crate::dist::Distribution;
use crate::scenario::catalogue::{Quantity, Values};
use crate::scenario::question::{Question, Spells};
use crate::sim::detectors::garwood;
use crate::time::Span;

/// In each run.
pub const PAUSES: u32 = 12;
/// Of wall time, between two beats: long beside what a probe can tell, and beside the host's own stalls.
const INTERVAL_MIN_S: f64 = 1.0;
const SCALES: [f64; 5] = [0.05, 0.1, 0.2, 0.5, 1.0];

/// One scenario, to be run some times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// `recommended` or `present`.
    pub setting: &'static str,
    pub tries: Tries,
    /// Of the scenario.
    pub name: String,
    pub yaml: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// kill -9 of a worker, at a random phase.
    Kill,
    /// As many pauses of a worker as [`PAUSES`] says, as the question has them.
    Pauses,
}

/// What was predicted of a trial, and what its runs measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub setting: &'static str,
    pub tries: Tries,
    /// Runs that were conclusive.
    pub runs: u32,
    pub figure: Compared,
    /// `None`: nothing was measured.
    pub agrees: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Compared {
    /// In model seconds.
    Detection {
        bounds: (Option<f64>, Option<f64>),
        /// The least and the most of 200 simulated runs.
        simulated: Option<(f64, f64)>,
        measured: Vec<f64>,
    },
    /// Of one pause.
    Mistakes {
        closed: (f64, f64),
        simulated: Option<f64>,
        measured: f64,
        /// At 99 %.
        low: f64,
        high: f64,
    },
}

/// Why no setting of a question can be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no fleet of `{system}` comes with this program: what can be tried is redis-heartbeat and redis-queue"
)]
pub struct Untried {
    system: String,
}

/// # Errors
/// If the question's system has no fleet here.
pub fn trials(question: &Question, answer: &Answer) -> Result<Vec<Trial>, Untried> {
    let recommended = answer.recommended.and_then(|index| answer.front.get(index));
    let settings = [("recommended", recommended), ("present", Some(&answer.current))];
    let mut trials = Vec::new();
    for (setting, point) in settings {
        let Some(point) = point else { continue };
        let rig = Rig::of(question, point)?;
        trials.push(rig.trial(setting, Tries::Kill, &rig.kill()));
        if let Some(pauses) = &question.bear.pauses {
            trials.push(rig.trial(setting, Tries::Pauses, &rig.pauses(pauses)));
        }
    }
    Ok(trials)
}

/// A fleet with one setting, as a scenario has it.
struct Rig {
    system: System,
    values: Values,
    interval: Span,
    /// The longest detection.
    most: Span,
    scale: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum System {
    Heartbeat,
    Queue,
}

impl Rig {
    fn of(question: &Question, point: &Point) -> Result<Self, Untried> {
        let untried = || Untried { system: question.system.name.clone() };
        let system = match question.system.name.as_str() {
            "redis-heartbeat" => System::Heartbeat,
            "redis-queue" => System::Queue,
            _ => return Err(untried()),
        };
        let mut values = question.system.values();
        values.extend(point.values.iter().cloned());
        let pipeline = question.system.pipeline_of(&values).map_err(|_| untried())?;
        let interval = pipeline.interval();
        let scale = SCALES.into_iter().find(|scale| interval.as_secs_f64() * scale >= INTERVAL_MIN_S);
        let most = point.figures.detection.map_or(interval, |(_, most)| most);
        Ok(Self { system, values, interval, most, scale: scale.unwrap_or(1.0) })
    }

    fn value(&self, parameter: &str) -> String {
        self.values.get(parameter).map_or_else(String::new, Quantity::to_string)
    }

    fn trial(&self, setting: &'static str, tries: Tries, rest: &str) -> Trial {
        let (system, settings) = match self.system {
            System::Heartbeat => (
                "redis-heartbeat",
                ["interval", "ttl", "threshold", "retries", "retry_backoff"]
                    .map(|name| format!("{name}: {}", self.value(name)))
                    .join(", "),
            ),
            System::Queue => (
                "redis-queue",
                format!(
                    // A job may stall as often as it takes to try all pauses on it.
                    "lock_duration: {}, stalled_interval: {}, max_stalled_count: 100, attempts: {}, \
                     backoff: {{exponential: {}}}",
                    self.value("lock"),
                    self.value("stalled_interval"),
                    self.value("attempts"),
                    self.value("backoff")
                ),
            ),
        };
        let (what, about) = match tries {
            Tries::Kill => ("kill", "a worker is killed at a random phase"),
            Tries::Pauses => ("pauses", "a worker is paused, as the question has it"),
        };
        let name = format!("{setting}-{what}");
        let workers = if self.system == System::Heartbeat { 1 } else { 3 };
        let yaml = format!(
            "name: {name}\nabout: By `syncope tune --verify`; {about}.\ntime_scale: {}\nfleet:\n  system: {system}\n  \
             workers: {workers}\n  settings: {{{settings}}}\nstack:\n  redis: {{durability: aof}}\n  postgres: {{}}\n{rest}",
            self.scale
        );
        Trial { setting, tries, name, yaml }
    }

    fn kill(&self) -> String {
        // Work until the worker's end is seen, and it is back.
        let span_s = (self.interval + self.interval + self.most).as_secs_f64();
        let (from, to) = (self.interval, self.interval + self.interval);
        let (jobs, target) = match self.system {
            System::Heartbeat => (work(30, span_s / 30.0, 2, 0.4), "{process: worker-1}"),
            System::Queue => {
                (work(90, to.as_secs_f64() / 30.0, 10, to.as_secs_f64() / 100.0), "{holder_of: any}")
            }
        };
        format!(
            "{jobs}faults:\n  - kill: {{target: {target}, signal: KILL, restart_after: {}}}\n    \
             when: {{within: [{from}, {to}]}}\nexpect: {{detection_time: model, recovery_time: any, mistakes: any, \
             failed: any, lost: any, duplicated: any, steps_lost: any}}\n",
            self.most + self.interval
        )
    }

    /// So far apart that one is over and forgotten before the next begins.
    fn pauses(&self, pauses: &Spells) -> String {
        let gap = Distribution::Uniform { min: self.most, max: self.most + self.interval };
        let apart_s = (gap.mean_ns() + pauses.lasting.mean_ns()) / 1e9;
        let span_s = apart_s * f64::from(PAUSES);
        let jobs = match self.system {
            System::Heartbeat => work(30, span_s / 30.0, 2, 0.4),
            // Each worker holds one job all the time, and renews its lock again and again.
            System::Queue => work(3, 1.0, 40, 1.5 * span_s / 40.0),
        };
        format!(
            "{jobs}faults:\n  - pauses:\n      target: {{process: worker-1}}\n      lasting: {}\n      gap: {}\n      \
             count: {PAUSES}\n    when: {{at: {}}}\nexpect: {{detection_time: any, recovery_time: any, mistakes: any, \
             failed: any, lost: any, duplicated: any, steps_lost: any}}\n",
            pauses.lasting,
            gap,
            self.interval + self.interval
        )
    }
}

/// Jobs of `steps` steps, so many seconds apart.
fn work(jobs: u32, every_s: f64, steps: u32, step_s: f64) -> String {
    let ms = |seconds: f64| Span::from_millis(((seconds * 1e3) as u64).max(1));
    format!(
        "workload:\n  jobs: {jobs}\n  arrival: {{every: {}}}\n  steps: {steps}\n  step_time: {{uniform: [{}, {}]}}\n",
        ms(every_s),
        ms(step_s * 0.8),
        ms(step_s * 1.2)
    )
}

/// What the runs of the trials say. An inconclusive run has measured nothing.
#[must_use]
pub fn findings(question: &Question, answer: &Answer, trials: &[Trial], runs: &[Judged]) -> Vec<Finding> {
    let finding = |trial: &Trial| {
        let conclusive = |run: &&Judged| run.name == trial.name && run.verdict != Verdict::Inconclusive;
        let runs: Vec<&Judged> = runs.iter().filter(conclusive).collect();
        let point = match (trial.setting, answer.recommended) {
            ("recommended", Some(index)) => &answer.front[index],
            _ => &answer.current,
        };
        let (figure, agrees) = match trial.tries {
            Tries::Kill => detection(&runs),
            Tries::Pauses => mistakes(question, point, &runs),
        };
        Finding { setting: trial.setting, tries: trial.tries, runs: runs.len() as u32, figure, agrees }
    };
    trials.iter().map(finding).collect()
}

/// Every one within the model's bounds.
fn detection(runs: &[&Judged]) -> (Compared, Option<bool>) {
    let measured: Vec<f64> =
        runs.iter().flat_map(|run| &run.samples.detection_ms).map(|ms| ms / 1e3).collect();
    let bounds = runs.first().and_then(|run| run.model).map_or((None, None), |model| {
        (model.detection_ms.min.map(|ms| ms / 1e3), model.detection_ms.max.map(|ms| ms / 1e3))
    });
    let simulated = runs.iter().find_map(|run| run.sim.as_ref()?.detection_ms.as_ref());
    let simulated = simulated.map(|spread| (spread.min / 1e3, spread.max / 1e3));
    // The verdict on each run allows for what a probe cannot tell; a failed one is outside.
    let agrees = runs.iter().all(|run| run.verdict == Verdict::Pass);
    let agrees = (!measured.is_empty()).then_some(agrees);
    (Compared::Detection { bounds, simulated, measured }, agrees)
}

/// What was simulated, and what the closed form has, lies within what was measured.
fn mistakes(question: &Question, point: &Point, runs: &[&Judged]) -> (Compared, Option<bool>) {
    let per_day = question.bear.pauses.as_ref().map_or(0.0, |pauses| rate(pauses) * DAY_S);
    let share = |of: f64| if per_day > 0.0 { of / per_day } else { 0.0 };
    let closed = point.figures.mistakes.pauses;
    let closed = (share(closed.least), share(closed.most));
    let pauses = f64::from(PAUSES);
    let simulated = runs.iter().find_map(|run| run.sim.as_ref());
    let simulated = simulated.map(|sim| sim.mistakes as f64 / sim.runs as f64 / pauses);
    let seen: u64 = runs.iter().map(|run| run.mistakes.count).sum();
    let tried = pauses * runs.len() as f64;
    let (low, high) = garwood(seen);
    let (measured, low, high) = (seen as f64 / tried, low / tried, (high / tried).min(1.0));
    let agrees = closed.0 <= high && low <= closed.1 && simulated.is_none_or(|it| low <= it && it <= high);
    let figure = Compared::Mistakes { closed, simulated, measured, low, high };
    (figure, (!runs.is_empty()).then_some(agrees))
}
