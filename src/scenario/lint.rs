//! Settings that are allowed and cannot work, or work less well than they look.

use super::diagnostic::{Code, Diagnostic, Place, Source};
use super::resolve::backoffs;
use super::{Program, QueueSettings, Scenario, raw};
use crate::fault::{FaultKind, Target};
use crate::names::Store;
use crate::time::Span;
use crate::timing::{self, Finding, Subject};

/// A warning. Durations are model time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lint {
    /// What follows from the fleet's timing alone.
    Pipeline(Finding),
    /// A job's attempts end before the store is back.
    OutageOutlastsBackoff { outage: Span, backoffs: Span },
    /// The reader's clock runs ahead of the writer's by as much as a fresh beat may age.
    SkewOverTolerance { skew: Span, tolerance: Span },
}

impl Lint {
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Pipeline(finding) => code_of(finding),
            Self::OutageOutlastsBackoff { .. } => Code::OutageOutlastsBackoff,
            Self::SkewOverTolerance { .. } => Code::SkewOverTolerance,
        }
    }

    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Pipeline(finding) => finding.message(),
            Self::OutageOutlastsBackoff { outage, backoffs } => format!(
                "Postgres is away for {outage}, all attempts of a job are over after backoffs of {backoffs}"
            ),
            Self::SkewOverTolerance { skew, tolerance } => {
                format!("a skew of {skew} makes fresh beats stale: only less than {tolerance} is tolerated")
            }
        }
    }

    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Pipeline(finding) => finding.advice(),
            Self::OutageOutlastsBackoff { .. } => {
                "more attempts or a longer backoff; or expect `failed` jobs".into()
            }
            Self::SkewOverTolerance { .. } => {
                "a longer threshold; or stamp and read beats by one clock, the store's".into()
            }
        }
    }

    fn into_diagnostic(self, source: &Source, place: Place) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(source, self.code(), place, self.message());
        diagnostic.hint(self.advice());
        diagnostic
    }
}

const fn code_of(finding: &Finding) -> Code {
    match finding {
        Finding::ThresholdNeverDecides { .. } => Code::ThresholdNeverDecides,
        Finding::MistakesCertain { .. } => Code::MistakesCertain,
        Finding::NoBeatMayBeLost { .. } => Code::NoBeatMayBeLost,
        Finding::RenewalTooLate { .. } => Code::RenewalTooLate,
    }
}

/// Every warning, sorted by place.
pub(super) fn lint(source: &Source, raw: &raw::Scenario, scenario: &Scenario) -> Vec<Diagnostic> {
    let linter = Linter { raw, scenario };
    let mut found: Vec<(Place, Lint)> = Vec::new();
    linter.pipeline(&mut found);
    linter.renewal(&mut found);
    linter.faults(&mut found);
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
        for finding in timing::lint(pipeline) {
            let place = match finding {
                Finding::ThresholdNeverDecides { .. } => {
                    self.place(|s| s.threshold.place().or(s.ttl.place()))
                }
                _ if self.scenario.fleet.system == "redis-queue" => {
                    self.place(|s| s.lock_renew.place().or(s.lock_duration.place()))
                }
                _ => self.place(|s| s.interval.place().or(s.ttl.place()).or(s.lock_duration.place())),
            };
            found.push((place, Lint::Pipeline(finding.map(|wall| self.model(wall)))));
        }
    }

    /// Of the queue behind a fleet whose beats are another matter.
    fn renewal(&self, found: &mut Vec<(Place, Lint)>) {
        if self.scenario.fleet.pipeline.as_ref().is_some_and(|p| p.subject == Subject::Holder) {
            return;
        }
        let Some(queue) = self.queue().filter(|queue| queue.lock_renew >= queue.lock_duration) else {
            return;
        };
        let lint = Lint::Pipeline(Finding::RenewalTooLate {
            lock: self.model(queue.lock_duration),
            renewal: self.model(queue.lock_renew),
        });
        found.push((self.place(|s| s.lock_renew.place().or(s.lock_duration.place())), lint));
    }

    fn faults(&self, found: &mut Vec<(Place, Lint)>) {
        let places = self.raw.faults.value().into_iter().flatten().map(|entry| entry.place);
        for (fault, place) in self.scenario.faults.iter().zip(places) {
            let lint = match &fault.kind {
                FaultKind::Outage { store: Store::Postgres, lasting, .. } => self.outage(*lasting),
                FaultKind::ClockStep { target, by, .. } => self.skew(target, by.0 > 0, by.abs()),
                FaultKind::ClockDrift { target, ppm, lasting } => {
                    let lasting = lasting.unwrap_or_else(|| self.scenario.expected_length());
                    let skew = u128::from(lasting.as_nanos()) * u128::from(ppm.unsigned_abs()) / 1_000_000;
                    self.skew(target, *ppm > 0, Span::from_nanos(u64::try_from(skew).unwrap_or(u64::MAX)))
                }
                _ => None,
            };
            found.extend(lint.map(|lint| (place, lint)));
        }
    }

    fn outage(&self, lasting: Span) -> Option<Lint> {
        let backoffs = backoffs(&self.scenario.workload);
        (lasting > backoffs).then(|| Lint::OutageOutlastsBackoff {
            outage: self.model(lasting),
            backoffs: self.model(backoffs),
        })
    }

    /// Only a reader ahead of the writer errs; a reader behind is late.
    fn skew(&self, target: &Target, ahead: bool, skew: Span) -> Option<Lint> {
        let pipeline = self.scenario.fleet.pipeline.as_ref()?;
        let tolerance = pipeline.skew_tolerated(Span::ZERO)?;
        let is_worker = match target {
            Target::Process(name) => {
                self.scenario.fleet.processes.iter().any(|p| p.name == *name && p.role == "worker")
            }
            Target::Role(role) | Target::AnyOf(role) => role == "worker",
            Target::HolderOf(_) => true,
        };
        (ahead != is_worker && skew >= tolerance)
            .then(|| Lint::SkewOverTolerance { skew: self.model(skew), tolerance: self.model(tolerance) })
    }

    fn queue(&self) -> Option<&QueueSettings> {
        self.scenario.fleet.processes.iter().find_map(|process| match &process.program {
            Program::Reference { settings, .. } => Some(&settings.queue),
            Program::External { .. } => None,
        })
    }

    /// Of a setting, or else of the fleet.
    fn place(&self, of: impl Fn(&raw::fleet::Settings) -> Option<Place>) -> Place {
        let Some(fleet) = self.raw.fleet.given() else {
            return Place::default();
        };
        let timing = fleet.value.external.value().and_then(|external| external.timing.place());
        fleet.value.settings.value().and_then(of).or(timing).unwrap_or(fleet.place)
    }
}
