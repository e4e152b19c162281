//! One system of the catalogue as its row of the table says it.

use serde::Serialize;

use crate::protocol::Backoff;
use crate::scenario::catalogue::Entry;
use crate::time::Span;
use crate::timing::{Age, Checker, Clock, Detection, Expiry, Gate, Pipeline, Recovery, Requeue, Rhythm};

/// A system with its worst case. Durations are model time, in milliseconds in the fields that say so.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub title: String,
    pub about: String,
    /// Of the project that the figures are from.
    pub version: Option<String>,
    pub beat: String,
    pub expiry: String,
    pub checker: String,
    pub retry: String,
    /// Whose clock decides.
    pub clock: String,
    pub worst_case: WorstCase,
    /// The number to compare with: of the project's specification, or of the system's own document.
    pub specified_ms: Option<f64>,
    /// Whether the worst case is more than 2 % away from it.
    pub differs: bool,
    pub note: Option<String>,
    /// The entry with this system's earlier settings.
    pub old: Option<String>,
    pub parameters: Vec<Parameter>,
}

#[derive(Debug, Serialize)]
pub struct Parameter {
    pub name: String,
    pub value: String,
    pub origin: String,
}

/// From the crash to the job being claimable again, as the model computes it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WorstCase {
    Bounded {
        ms: f64,
        /// Where whoever sweeps dies with the victim.
        sweeper_dead_ms: f64,
    },
    /// No bound. Of a crash right after a beat.
    Chance { mean_ms: f64, p99_ms: f64 },
    /// Lost, or left where it is. The crash may be seen all the same.
    Never { detection_ms: Option<f64> },
}

/// A difference up to this share needs no explanation: the specification rounds.
const DIFFERENCE_MAX: f64 = 0.02;

impl Row {
    #[must_use]
    pub fn new(entry: &Entry, pipeline: &Pipeline) -> Self {
        let worst_case = WorstCase::of(pipeline);
        let (table, note) =
            entry.worst_case.as_ref().map_or((None, None), |worst| (worst.table, worst.note.clone()));
        Self {
            name: entry.name.clone(),
            title: entry.title.clone(),
            about: entry.about.clone(),
            version: entry.version.clone(),
            beat: beat(pipeline),
            expiry: expiry(&pipeline.expiry),
            checker: checker(&pipeline.checker),
            retry: retry(&pipeline.recovery),
            clock: clock(&pipeline.expiry),
            worst_case,
            specified_ms: table.map(Span::as_millis_f64),
            differs: table.is_some_and(|table| !worst_case.is_about(table)),
            note,
            old: entry.old.clone(),
            parameters: entry
                .parameters
                .iter()
                .map(|parameter| Parameter {
                    name: parameter.name.clone(),
                    value: parameter.value(),
                    origin: parameter.origin.clone(),
                })
                .collect(),
        }
    }
}

impl WorstCase {
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let detection = pipeline.detection_while_sweeper_lives(Span::ZERO);
        let Requeue::After(delay) = pipeline.recovery.requeue else {
            return Self::Never { detection_ms: detection.most().map(Span::as_millis_f64) };
        };
        match detection {
            Detection::Never => Self::Never { detection_ms: None },
            Detection::Chance { mean, p99, .. } => Self::Chance {
                mean_ms: (mean + delay.max()).as_millis_f64(),
                p99_ms: (p99 + delay.max()).as_millis_f64(),
            },
            Detection::Within(steady) => {
                let dead = pipeline.detection(Span::ZERO).most().unwrap_or(steady.max());
                Self::Bounded {
                    ms: (steady.max() + delay.max()).as_millis_f64(),
                    sweeper_dead_ms: (dead + delay.max()).as_millis_f64(),
                }
            }
        }
    }

    fn is_about(self, table: Span) -> bool {
        let table = table.as_millis_f64();
        matches!(self, Self::Bounded { ms, .. } if (ms - table).abs() <= DIFFERENCE_MAX * table)
    }

    /// `60s (90s)`, the second where the sweeper dies too; `mean 810s, p99 3510s`; `never`.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Bounded { ms, sweeper_dead_ms } if sweeper_dead_ms > ms => {
                format!("{} ({})", seconds(ms), seconds(sweeper_dead_ms))
            }
            Self::Bounded { ms, .. } => seconds(ms),
            Self::Chance { mean_ms, p99_ms } => {
                format!("mean {:.0}s, p99 {:.0}s", mean_ms / 1000.0, p99_ms / 1000.0)
            }
            Self::Never { detection_ms: None } => "never".to_owned(),
            Self::Never { detection_ms: Some(ms) } => format!("never; seen in {}", seconds(ms)),
        }
    }
}

/// Seconds for all rows, so that they can be compared at a glance.
fn seconds(ms: f64) -> String {
    format!("{}s", ms / 1000.0)
}

fn beat(pipeline: &Pipeline) -> String {
    let rhythm = match pipeline.beat.rhythm {
        Rhythm::Never => return "-".to_owned(),
        Rhythm::Every(interval) => interval.to_string(),
        Rhythm::Wakes(_) | Rhythm::Renew { .. } => {
            format!("{}..{}", pipeline.interval_min(), pipeline.interval())
        }
    };
    let slack = pipeline.slack();
    if slack.is_zero() { rhythm } else { format!("{rhythm} + {slack}") }
}

fn expiry(expiry: &Expiry) -> String {
    match expiry {
        Expiry::Ttl(ttl) => ttl.to_string(),
        Expiry::Age(age) => age.threshold.to_string(),
        Expiry::Both { ttl, age } => format!("{ttl}, {}", age.threshold),
        Expiry::Session(_) => "session".to_owned(),
        Expiry::Never => "-".to_owned(),
    }
}

fn checker(checker: &Checker) -> String {
    match checker {
        Checker::OnDemand(asked) if asked.every.is_zero() => "always".to_owned(),
        Checker::OnDemand(asked) => format!("poll {}", asked.every),
        Checker::Sweep(sweep) => {
            let gate = match sweep.gate {
                Gate::Open => "",
                Gate::Idle(_) => " idle",
                Gate::Leader(_) => " leader",
            };
            let marks = if sweep.two_phase { " marks" } else { "" };
            format!("{}{gate}{marks}", sweep.period)
        }
        Checker::Chance { per_call_ppm, every } => {
            format!("{}% / {every}", f64::from(*per_call_ppm) / 10_000.0)
        }
        Checker::Nobody => "-".to_owned(),
    }
}

fn retry(recovery: &Recovery) -> String {
    let wait = match recovery.backoff {
        None => String::new(),
        Some(Backoff::Fixed(wait)) => format!(" × {wait}"),
        Some(Backoff::Exponential(base)) => format!(" × {base}↑"),
    };
    let retries = recovery.attempts.map(|attempts| match attempts.saturating_sub(1) {
        0 => "none".to_owned(),
        retries => format!("{retries}{wait}"),
    });
    let stalls = recovery.max_stalls.map(|stalls| format!("stall {stalls}"));
    match (retries, stalls) {
        (None, None) => "-".to_owned(),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(retries), Some(stalls)) => format!("{retries}, {stalls}"),
    }
}

fn clock(expiry: &Expiry) -> String {
    match expiry {
        Expiry::Ttl(_) => "store".to_owned(),
        Expiry::Age(age) => age_clock(age),
        Expiry::Both { .. } => "mixed".to_owned(),
        Expiry::Session(_) | Expiry::Never => "-".to_owned(),
    }
}

fn age_clock(age: &Age) -> String {
    match (age.stamp, age.read) {
        (Clock::Redis, Clock::Redis) => "redis".to_owned(),
        (Clock::Postgres, Clock::Postgres) => "postgres".to_owned(),
        (Clock::Worker | Clock::Checker, Clock::Worker | Clock::Checker) => "client".to_owned(),
        (Clock::Worker | Clock::Checker, _) | (_, Clock::Worker | Clock::Checker) => "mixed".to_owned(),
        (Clock::Redis, Clock::Postgres) | (Clock::Postgres, Clock::Redis) => "mixed".to_owned(),
    }
}
