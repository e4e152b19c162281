//! The bounds as steps that a person can follow, made by the same formulas as the bounds themselves.

use serde::{Deserialize, Serialize};

use crate::time::{Interval, Span};
use crate::timing::quantity::{Quantity, Traced};
use crate::timing::{Checker, Detection, Expiry, Gate, Guard, Mistakes, Pipeline, Requeue, Rhythm};

/// One step: `detection, at most = E + r·b = 30s + 1s = 31s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is computed, for people.
    pub name: String,
    /// In symbols.
    pub formula: String,
    /// The same with the numbers put in; empty where the formula is a single symbol.
    pub numbers: String,
    pub result: String,
}

/// All steps, in an order in which each uses only earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derivation {
    pub steps: Vec<Step>,
}

/// The pipeline's bounds and tolerances, step by step.
#[must_use]
pub fn derive(pipeline: &Pipeline) -> Derivation {
    let mut steps = Steps { pipeline, steps: Vec::new() };
    steps.symbols();
    steps.detection();
    steps.recovery();
    steps.silence();
    steps.others();
    Derivation { steps: steps.steps }
}

struct Steps<'p> {
    pipeline: &'p Pipeline,
    steps: Vec<Step>,
}

impl Steps<'_> {
    fn traced(&mut self, name: &str, traced: &Traced) {
        let below = if traced.is_cut() { " (below zero counts as zero)" } else { "" };
        let numbers = if traced.is_symbol() { String::new() } else { traced.numbers.clone() };
        self.push(name, &traced.formula, &numbers, format!("{}{below}", traced.span()));
    }

    fn push(&mut self, name: &str, formula: &str, numbers: &str, result: impl Into<String>) {
        self.steps.push(Step {
            name: name.to_owned(),
            formula: formula.to_owned(),
            numbers: numbers.to_owned(),
            result: result.into(),
        });
    }

    /// E, h, g and what else the other steps name.
    fn symbols(&mut self) {
        let pipeline = self.pipeline;
        match pipeline.expiry {
            Expiry::Both { ttl, age } => {
                let expiry = Traced::of("T", ttl).or_sooner(Traced::of("H", age.threshold));
                self.traced("effective expiry E, of TTL T and threshold H", &expiry);
            }
            Expiry::Ttl(ttl) => self.push("effective expiry E, a time to live", "T", "", ttl.to_string()),
            Expiry::Age(age) => {
                self.push("effective expiry E, an age", "H", "", age.threshold.to_string());
            }
            Expiry::Session(end) => {
                self.push("end of the session, after the crash", "X to E", "", end.to_string());
            }
            Expiry::Never => self.push("effective expiry E", "nothing expires", "", "none"),
        }
        match pipeline.beat.rhythm {
            Rhythm::Never => self.push("beats", "none: the expiry runs from the claim", "", "none"),
            Rhythm::Every(interval) => self.push("interval of beats h", "h", "", interval.to_string()),
            Rhythm::Wakes(within) => {
                self.push("longest interval of beats h, of a loop", "h", "", within.to_string());
            }
            Rhythm::Renew { look, below } => self.push(
                "interval of beats h, of a renew rule",
                "the first look at which less than `below` of E is left",
                &format!("looks each {look}, below {below} of {}", pipeline.expiry.effective()),
                Interval::new(pipeline.interval_min(), pipeline.interval()).to_string(),
            ),
        }
        if pipeline.beats() && !pipeline.slack().is_zero() {
            self.traced("longest time between two arrivals g", &pipeline.gap::<Traced>());
        }
        self.sweep_symbols();
    }

    fn sweep_symbols(&mut self) {
        let Checker::Sweep(sweep) = self.pipeline.checker else { return };
        self.push("period of sweeps S", "S", "", sweep.period.to_string());
        match sweep.guard {
            Guard::Paced(guard) => self.push("guard G, left to expire", "G", "", guard.to_string()),
            Guard::Held(guard) => {
                self.push("guard G, if its holder dies", "G", "", guard.to_string());
            }
            Guard::Free => {}
        }
        match sweep.gate {
            Gate::Leader(ttl) => self.push("the leader's TTL L", "L", "", ttl.to_string()),
            Gate::Idle(round) => self.push("round of an idle worker", "round", "", round.to_string()),
            Gate::Open => {}
        }
    }

    fn detection(&mut self) {
        let Some(ends) = self.pipeline.detection_ends::<Traced>(Span::ZERO) else {
            let why = if self.pipeline.expiry == Expiry::Never { "nothing expires" } else { "nobody looks" };
            self.push("detection", why, "", "never");
            return;
        };
        self.traced("detection, at least", &ends.least);
        let Checker::Chance { per_call_ppm, every } = self.pipeline.checker else {
            self.upper("detection, at most", &ends.least, &ends.steady);
            if ends.most.span() != ends.steady.span() {
                self.upper(
                    "detection, at most, if the sweeper dies with its victim",
                    &ends.least,
                    &ends.most,
                );
            }
            return;
        };
        self.push("detection, at most", "a call sweeps by chance", "", "no bound");
        if let Detection::Chance { mean, p99, .. } = self.pipeline.detection(Span::ZERO) {
            let p = f64::from(per_call_ppm) / 1e6;
            let until = &ends.valid_until;
            let numbers = format!("{} + {every}/{p}", until.numbers);
            self.push("detection, mean", &format!("{} + v/p", until.formula), &numbers, mean.to_string());
            let formula = format!("{} + v·⌈ln 0.01/ln(1 − p)⌉", until.formula);
            let numbers = format!("{} + {every}·⌈ln 0.01/ln(1 − {p})⌉", until.numbers);
            self.push("detection, p99", &formula, &numbers, p99.to_string());
        }
    }

    /// An upper end, which is never below the lower one.
    fn upper(&mut self, name: &str, least: &Traced, most: &Traced) {
        if most.span() < least.span() {
            self.traced(name, least);
        } else {
            self.traced(name, most);
        }
    }

    fn recovery(&mut self) {
        let recovery = self.pipeline.recovery;
        match recovery.requeue {
            Requeue::Never => self.push("requeue", "nothing requeues the job", "", "never"),
            Requeue::After(delay) => {
                let delay = if delay.max().is_zero() { "at once".to_owned() } else { delay.to_string() };
                self.push("requeue after the suspicion", "requeue", "", delay);
            }
        }
        if let (Some(worst), Some(ends), Requeue::After(delay)) =
            (self.pipeline.worst_case(), self.pipeline.detection_ends::<Traced>(Span::ZERO), recovery.requeue)
        {
            let formula = if delay.max().is_zero() { "detection" } else { "detection + requeue" };
            let numbers = if delay.max().is_zero() {
                String::new()
            } else {
                format!("{} + {}", ends.steady.span(), delay.max())
            };
            self.push("worst case from crash to requeue", formula, &numbers, worst.to_string());
        }
        if recovery.requeue != Requeue::Never {
            let claim = format!("0s to {}", recovery.claim_poll);
            self.push("claim by a free worker", "0 to c", "", claim);
        }
    }

    fn silence(&mut self) {
        let margins = self.pipeline.margins();
        if margins.silence_unseen.is_some() {
            let unseen = self.pipeline.silence::<Traced>(Span::ZERO, false);
            self.traced("pause that ends no validity, less than", &unseen);
        }
        if margins.silence_tolerated.is_some() && !self.pipeline.checker.retry_time().is_zero() {
            let tolerated = self.pipeline.silence::<Traced>(Span::ZERO, true);
            self.traced("pause tolerated with the retries, less than", &tolerated);
        }
        match margins.silence_seen {
            Some(seen) => {
                // Of a lock: it ends, and cannot be renewed.
                let is_detection = self.pipeline.detection(Span::ZERO).most() == Some(seen);
                let formula = match (is_detection, self.pipeline.beat.latency.is_zero()) {
                    (true, _) => "detection, at most",
                    (false, true) => "E",
                    (false, false) => "E + l",
                };
                self.push("pause certainly seen, from", formula, "", seen.to_string());
            }
            None if margins.silence_tolerated.is_some() => {
                self.push("pause certainly seen, from", "no bound", "", "none");
            }
            None => {}
        }
    }

    fn others(&mut self) {
        let pipeline = self.pipeline;
        let margins = pipeline.margins();
        if let Some(lost) = margins.beats_lost_until_expired {
            let (expiry, interval) = (pipeline.expiry.effective(), pipeline.interval());
            let slack = pipeline.slack();
            let (formula, expiry) = if slack.is_zero() {
                ("⌈E/h⌉ − 1", expiry.to_string())
            } else {
                ("⌈(E − slack)/h⌉ − 1", format!("({expiry} − {slack})"))
            };
            let numbers = format!("⌈{expiry}/{interval}⌉ − 1");
            self.push("beats in a row whose loss ends a validity", formula, &numbers, lost.to_string());
        }
        if let (Some(lost), false) =
            (margins.beats_lost_until_suspected, pipeline.checker.retry_time().is_zero())
        {
            let (expiry, retries) = (pipeline.expiry.effective(), pipeline.checker.retry_time());
            let numbers = format!("⌈({expiry} + {retries})/{}⌉ − 1", pipeline.interval());
            let name = "beats in a row whose loss leads to a suspicion";
            self.push(name, "⌈(E + r·b)/h⌉ − 1", &numbers, lost.to_string());
        }
        if let Some(skew) = pipeline.skew::<Traced>(Span::ZERO) {
            self.traced("reader's clock ahead of the writer's, less than", &skew);
        }
        if margins.outage.is_some() {
            let name = "store outage that no worker's validity ends in, less than";
            self.traced(name, &pipeline.outage_tolerated::<Traced>());
            self.traced("store outage that may end all together, from", &pipeline.silence(Span::ZERO, false));
            let name = "store outage that ends all together, one correlated mistake, from";
            let last = Traced::of("E", pipeline.expiry.effective());
            self.traced(name, &last);
        }
        if pipeline.beats() {
            let (expiry, next) = (pipeline.expiry.effective(), pipeline.interval_min() + pipeline.slack());
            let sign = if expiry <= next { '≤' } else { '>' };
            let result = match margins.mistakes {
                Mistakes::None => "none by the settings alone",
                Mistakes::BridgedByRetries => "certain but for the retries",
                Mistakes::Certain => "certain in each period",
            };
            self.push("mistakes", &format!("E {sign} h + slack"), &format!("{expiry} {sign} {next}"), result);
        }
    }
}
