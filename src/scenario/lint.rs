//! Settings that are allowed and cannot work, or work less well than they look.
//!
//! What follows from the liveness pipeline alone is [`timing::lint`]'s; here is what needs the rest of
//! the scenario. A rule about a fault or a workload is silent where `expect` says that its author knows.

use super::diagnostic::{Code, Diagnostic, Place, Source};
use super::resolve::backoffs;
use super::{FleetSettings, MistakeExpect, Program, Scenario, is_worker_role, raw};
use crate::fault::{FaultKind, OutageKind, Target, Toxic};
use crate::names::{Endpoint, Store};
use crate::time::Span;
use crate::timing::{self, Finding, Subject};

/// A warning. Durations are model time.
#[derive(Debug, Clone, PartialEq)]
pub enum Lint {
    /// What follows from the fleet's timing alone.
    Pipeline(Finding),
    /// The fleet's global lock ends no later than its renewal.
    GlobalLockTooShort { lock: Span, renewal: Span },
    /// A job's attempts end before Postgres is back. `hangs`: for so long the first one holds out.
    OutageOutlastsBackoff { outage: Span, backoffs: Span, hangs: Option<Span> },
    /// The reader's clock runs ahead of the writer's by as much as a fresh beat may age.
    SkewOverTolerance { skew: Span, tolerance: Span },
    /// A job is made to fail as often as it may be tried.
    EveryAttemptFails { job: u32, failing: u32, attempts: u32 },
    /// All attempts together are too short for the job's steps.
    TimeoutTooShort { step: Span, steps: u32, timeout: Span, attempts: u32, saved: u64 },
    /// A rate of restarts that no supervisor with a back-off comes to.
    AlertCannotFire { alert: String, wanted: f64, within: Span, possible: u32 },
}

impl Lint {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Pipeline(finding) => Code::of(finding),
            Self::GlobalLockTooShort { .. } => Code::RenewalTooLate,
            Self::OutageOutlastsBackoff { .. } => Code::OutageOutlastsBackoff,
            Self::SkewOverTolerance { .. } => Code::SkewOverTolerance,
            Self::EveryAttemptFails { .. } | Self::TimeoutTooShort { .. } => Code::AttemptsRunOut,
            Self::AlertCannotFire { .. } => Code::AlertCannotFire,
        }
    }

    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Pipeline(finding) => finding.message(),
            Self::GlobalLockTooShort { lock, renewal } => format!(
                "the global lock of {lock} ends before its renewal after {renewal}: until then no worker is \
                 operational, or another one"
            ),
            Self::OutageOutlastsBackoff { outage, backoffs, hangs } => {
                let hangs = hangs.map_or_else(String::new, |hangs| {
                    format!(" and the {hangs} for which the first one hangs")
                });
                format!(
                    "Postgres is away for {outage}, all attempts of a job may be over after backoffs of \
                     {backoffs}{hangs}"
                )
            }
            Self::SkewOverTolerance { skew, tolerance } => {
                format!("a skew of {skew} makes fresh beats stale: only less than {tolerance} is tolerated")
            }
            Self::EveryAttemptFails { job, failing, attempts } => format!(
                "`job-{job}` cannot be done: its first {failing} attempts fail, and it has {attempts} in all"
            ),
            Self::TimeoutTooShort { step, steps, timeout, attempts, saved } => format!(
                "no job can be done: of {steps} steps of at least {step}, {attempts} attempts of at most \
                 {timeout} can save {saved}"
            ),
            Self::AlertCannotFire { alert, wanted, within, possible } => format!(
                "`{alert}` wants {wanted} restarts in {within}, and Kubernetes's back-off lets a container have \
                 {possible} at most"
            ),
        }
    }

    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Pipeline(finding) => finding.advice(),
            Self::GlobalLockTooShort { lock, .. } => {
                format!("a `lock_interval` of at most a third of {lock}, or a longer `lock_ttl`")
            }
            Self::OutageOutlastsBackoff { .. } => {
                "more attempts or a longer backoff; or expect `failed` jobs".into()
            }
            Self::SkewOverTolerance { .. } => {
                "a longer threshold; or stamp and read beats by one clock, the store's; or expect `mistakes`"
                    .into()
            }
            Self::EveryAttemptFails { .. } => "fewer failing attempts; or expect `failed` jobs".into(),
            Self::TimeoutTooShort { .. } => {
                "a longer `timeout`, shorter steps or more attempts; or expect `failed` jobs".into()
            }
            Self::AlertCannotFire { within, .. } => format!(
                "`rate` is per second: `increase(…) > 3` means more than 3 in {within}; or expect that it never fires"
            ),
        }
    }

    fn into_diagnostic(self, source: &Source, place: Place) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(source, self.code(), place, self.message());
        diagnostic.hint(self.advice());
        diagnostic
    }
}

impl Code {
    /// The code of a pipeline's finding.
    #[must_use]
    pub const fn of(finding: &Finding) -> Self {
        match finding {
            Finding::ThresholdNeverDecides { .. } => Self::ThresholdNeverDecides,
            Finding::MistakesCertain { .. } => Self::MistakesCertain,
            Finding::LateBeatExpires { .. } => Self::LateBeatExpires,
            Finding::NoBeatMayBeLost { .. } => Self::NoBeatMayBeLost,
            Finding::RenewalTooLate { .. } => Self::RenewalTooLate,
            Finding::RetryWithoutWait { .. } | Finding::AttemptsWithoutRequeue { .. } => {
                Self::RetryCannotHelp
            }
            Finding::SkewAcrossClocks { .. } => Self::SkewAcrossClocks,
        }
    }
}

mod alert;

/// Every warning, sorted by place.
pub(super) fn lint(source: &Source, raw: &raw::Scenario, scenario: &Scenario) -> Vec<Diagnostic> {
    let linter = Linter { raw, scenario };
    let mut found: Vec<(Place, Lint)> = Vec::new();
    linter.pipeline(&mut found);
    linter.job_lock(&mut found);
    linter.global_lock(&mut found);
    linter.attempts(&mut found);
    linter.faults(&mut found);
    linter.alerts(&mut found);
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(place, lint)| lint.into_diagnostic(source, place)).collect()
}

struct Linter<'a> {
    raw: &'a raw::Scenario,
    scenario: &'a Scenario,
}

impl Linter<'_> {
    fn model(&self, wall: Span) -> Span {
        self.scenario.time_scale.to_model(wall)
    }

    fn pipeline(&self, found: &mut Vec<(Place, Lint)>) {
        let Some(pipeline) = &self.scenario.fleet.pipeline else {
            return;
        };
        for finding in timing::lint_scaled(pipeline, self.scenario.time_scale) {
            let place = match finding {
                Finding::ThresholdNeverDecides { .. } | Finding::SkewAcrossClocks { .. } => self
                    .setting(|s| s.threshold.place().or(s.ttl.place()))
                    .or_else(|| self.timing(|t| t.threshold.place())),
                Finding::RetryWithoutWait { .. } => {
                    self.setting(|s| s.retries.place()).or_else(|| self.timing(|t| t.retries.place()))
                }
                _ => self
                    .setting(|s| {
                        let renewal = s.lock_renew.place().or(s.lock_duration.place());
                        let beat = s.interval.place().or(s.ttl.place());
                        // Only one of them is of this fleet's pipeline.
                        if pipeline.subject == Subject::Holder { renewal } else { beat }
                    })
                    .or_else(|| self.timing(|t| t.beat.place())),
            };
            found.push((place.unwrap_or_else(|| self.fleet()), Lint::Pipeline(finding)));
        }
    }

    /// Of the queue behind a fleet whose beats are another matter.
    fn job_lock(&self, found: &mut Vec<(Place, Lint)>) {
        if self.scenario.fleet.pipeline.as_ref().is_some_and(|p| p.subject == Subject::Holder) {
            return;
        }
        let Some(queue) = self.reference().map(|settings| &settings.queue) else { return };
        if queue.lock_renew >= queue.lock_duration {
            let lint = Lint::Pipeline(Finding::RenewalTooLate {
                lock: self.model(queue.lock_duration),
                renewal: self.model(queue.lock_renew),
            });
            let place = self.setting(|s| s.lock_renew.place().or(s.lock_duration.place()));
            found.push((place.unwrap_or_else(|| self.fleet()), lint));
        }
    }

    /// A holder believes in the lock for one TTL from its last renewal, and tries again an interval
    /// after it: with `TTL ≤ interval` it is not operational for the rest of each interval.
    fn global_lock(&self, found: &mut Vec<(Place, Lint)>) {
        let Some(heartbeat) = self.reference().and_then(|settings| settings.heartbeat.as_ref()) else {
            return;
        };
        if heartbeat.lock_interval >= heartbeat.lock_ttl {
            let lint = Lint::GlobalLockTooShort {
                lock: self.model(heartbeat.lock_ttl),
                renewal: self.model(heartbeat.lock_interval),
            };
            let place = self.setting(|s| s.lock_interval.place().or(s.lock_ttl.place()));
            found.push((place.unwrap_or_else(|| self.fleet()), lint));
        }
    }

    /// Jobs that must fail whatever happens, where none is expected to.
    ///
    /// A step is saved before the next begins, and an attempt goes on from what is saved, so one that is
    /// ended after the timeout t saves at most `⌊t / s⌋` steps of at least s: `a` attempts together save
    /// `a·⌊t / s⌋`, and the job needs all.
    fn attempts(&self, found: &mut Vec<(Place, Lint)>) {
        if !self.scenario.fleet.is_reference() || !self.expects_no_failure() {
            return;
        }
        let (workload, raw) = (&self.scenario.workload, self.raw.workload.given());
        let attempts = workload.attempts;
        let place_or =
            |place: Option<Place>| place.or(raw.map(|workload| workload.place)).unwrap_or_default();
        let doomed = workload.failing.iter().chain(&workload.hanging);
        if let Some((&job, &failing)) = doomed.into_iter().find(|(_, failing)| **failing >= attempts) {
            let place = raw.and_then(|workload| {
                workload.value.failing.place().or_else(|| workload.value.hanging.place())
            });
            found.push((place_or(place), Lint::EveryAttemptFails { job, failing, attempts }));
        }
        let step = workload.step_time.min();
        let work = step.saturating_mul(u64::from(workload.steps));
        let Some(timeout) = workload.timeout_of(work).filter(|_| !step.is_zero()) else { return };
        let saved = u64::from(attempts).saturating_mul(timeout.as_nanos() / step.as_nanos());
        if saved < u64::from(workload.steps) {
            let place = raw.and_then(|workload| workload.value.timeout.place());
            let place = place.or_else(|| self.setting(|s| s.timeout.place()));
            let (step, timeout) = (self.model(step), self.model(timeout));
            let lint = Lint::TimeoutTooShort { step, steps: workload.steps, timeout, attempts, saved };
            found.push((place_or(place), lint));
        }
    }

    fn faults(&self, found: &mut Vec<(Place, Lint)>) {
        let places = self.raw.faults.value().into_iter().flatten().map(|entry| entry.place);
        for (fault, place) in self.scenario.faults.iter().zip(places) {
            let lint = match &fault.kind {
                FaultKind::ClockStep { target, by, .. } | FaultKind::ClockStrobe { target, by, .. } => {
                    self.skew(target, by.0 > 0, by.abs())
                }
                FaultKind::ClockDrift { target, ppm, lasting } => {
                    let lasting = lasting.unwrap_or_else(|| self.scenario.expected_length());
                    let skew = u128::from(lasting.as_nanos()) * u128::from(ppm.unsigned_abs()) / 1_000_000;
                    self.skew(target, *ppm > 0, Span::from_nanos(u64::try_from(skew).unwrap_or(u64::MAX)))
                }
                kind => self.outage(kind),
            };
            found.extend(lint.map(|lint| (place, lint)));
        }
    }

    /// An attempt needs Postgres from its first moment. Without a connection it fails at once, so the
    /// last attempt of a job that fails at the onset begins as soon as the backoffs are over, and the job
    /// has failed for good if Postgres is not back by then: `D ≥ Σ backoffs`. Where connections hang, the
    /// first attempt holds out for the client's patience, which then drops the connection: `D > patience
    /// + Σ backoffs`. What a foreign fleet makes of attempts and backoffs is not known.
    fn outage(&self, kind: &FaultKind) -> Option<Lint> {
        let (outage, hangs) = self.postgres_away(kind)?;
        let patience = self.reference()?.patience();
        let backoffs = backoffs(&self.scenario.workload);
        let outlasts = if hangs { outage > backoffs + patience } else { outage >= backoffs };
        (outlasts && self.expects_no_failure()).then(|| Lint::OutageOutlastsBackoff {
            outage: self.model(outage),
            backoffs: self.model(backoffs),
            hangs: hangs.then(|| self.model(patience)),
        })
    }

    /// For how long no worker reaches Postgres, and whether its connections hang meanwhile. One worker
    /// alone that is cut off leaves the retry to the others.
    fn postgres_away(&self, kind: &FaultKind) -> Option<(Span, bool)> {
        match kind {
            FaultKind::Outage { store: Store::Postgres, how, lasting } => {
                Some((*lasting, *how == OutageKind::Pause))
            }
            FaultKind::Network { links, toxic, lasting } => {
                let to_postgres = links.to.as_ref().is_none_or(|to| *to == Endpoint::Store(Store::Postgres));
                let from_all = match &links.from {
                    None => true,
                    Some(Target::Role(role)) => is_worker_role(role),
                    Some(_) => false,
                };
                let hangs = match toxic {
                    Toxic::Timeout | Toxic::Partition { .. } => true,
                    Toxic::Refuse | Toxic::ResetPeer => false,
                    Toxic::Latency { .. }
                    | Toxic::Bandwidth { .. }
                    | Toxic::SlowClose { .. }
                    | Toxic::Slicer { .. }
                    | Toxic::LimitData { .. } => return None,
                };
                (to_postgres && from_all).then_some((*lasting, hangs))
            }
            _ => None,
        }
    }

    /// Only a reader ahead of the writer errs; a reader behind is late.
    fn skew(&self, target: &Target, ahead: bool, skew: Span) -> Option<Lint> {
        let pipeline = self.scenario.fleet.pipeline.as_ref()?;
        let tolerance = pipeline.skew_tolerated(Span::ZERO)?;
        let is_worker = match target {
            Target::Process(name) => {
                self.scenario.fleet.processes.iter().any(|p| p.name == *name && p.works_on_jobs())
            }
            Target::Role(role) | Target::AnyOf(role) => is_worker_role(role),
            Target::HolderOf(_) => true,
        };
        (ahead != is_worker && skew >= tolerance && !self.expects_mistakes())
            .then(|| Lint::SkewOverTolerance { skew: self.model(skew), tolerance: self.model(tolerance) })
    }

    fn expects_no_failure(&self) -> bool {
        self.scenario.expect.failed.max == Some(0)
    }

    fn expects_mistakes(&self) -> bool {
        matches!(self.scenario.expect.mistakes, MistakeExpect::Count(count) if count.min > 0)
    }

    /// None for a foreign fleet, and for one without Redis.
    fn reference(&self) -> Option<&FleetSettings> {
        self.scenario.fleet.processes.iter().find_map(|process| match &process.program {
            Program::Reference { settings, .. } => Some(&**settings),
            Program::Table { .. } | Program::External { .. } | Program::Missing { .. } => None,
        })
    }

    /// Where a setting of a reference fleet stands.
    fn setting(&self, of: impl Fn(&raw::fleet::Settings) -> Option<Place>) -> Option<Place> {
        self.raw.fleet.value()?.settings.value().and_then(of)
    }

    /// Where a time of a foreign fleet stands.
    fn timing(&self, of: impl Fn(&raw::fleet::Timing) -> Option<Place>) -> Option<Place> {
        let timing = &self.raw.fleet.value()?.external.value()?.timing;
        timing.value().and_then(of).or(timing.place())
    }

    fn fleet(&self) -> Place {
        self.raw.fleet.place().unwrap_or_default()
    }
}
