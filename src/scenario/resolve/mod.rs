//! From the file as written to a [`Scenario`] that cannot be wrong, or every reason why not.

mod clock;
pub(in crate::scenario) mod distribution;
mod expect;
mod external;
mod fault;
mod fleet;
mod length;
mod overlap;
mod prometheus;
mod recipe;
mod timing;
mod trouble;
mod watch;
mod wire;
mod workload;

use super::decode::{Decode, Field, Placed};
use super::diagnostic::{Code, Diagnostic, Place, Report, Source};
use super::scalar::{Duration, Whole};
use super::{PostgresSpec, RedisDurability, RedisSpec, Scenario, Stack, lint, raw, tree};
use crate::protocol::Backoff;
use crate::time::{Scale, SignedSpan, Span};

pub(super) use length::backoffs;

/// What the command line says in place of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub time_scale: Option<Scale>,
    pub seed: Option<u64>,
}

/// A scenario, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub scenario: Scenario,
    pub warnings: Vec<Diagnostic>,
}

/// The scenario, without warnings.
///
/// # Errors
/// Every mistake in the file, sorted by place.
pub fn resolve(source: &Source, overrides: &Overrides) -> Result<Scenario, Vec<Diagnostic>> {
    load(source, overrides).map(|loaded| loaded.scenario)
}

/// The scenario, and the lint's warnings.
///
/// # Errors
/// Every mistake in the file, sorted by place.
pub fn load(source: &Source, overrides: &Overrides) -> Result<Loaded, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let raw = tree::parse(&mut report).and_then(|root| raw::Scenario::decode(&root, &mut report));
    let Some(raw) = raw else {
        return Err(report.into_sorted());
    };
    let scenario = assemble(&raw, overrides, &mut report);
    match scenario {
        Some(scenario) if report.is_clean() => {
            let warnings = lint::lint(source, &raw, &scenario);
            Ok(Loaded { scenario, warnings })
        }
        _ => Err(report.into_sorted()),
    }
}

/// `None` only if the report says why; a scenario may come with errors in the report.
fn assemble(raw: &raw::Scenario, overrides: &Overrides, report: &mut Report<'_>) -> Option<Scenario> {
    let time_scale = overrides.time_scale.or(raw.time_scale.value().copied()).unwrap_or(Scale::ONE);
    let mut context = Context { scale: time_scale, report };

    let mut stack = context.stack(raw);
    let fleet = fleet::resolve(raw, stack.as_ref(), &mut context);
    let defaults = fleet.as_ref().map_or_else(fleet::JobDefaults::default, |(_, defaults)| *defaults);
    let mut fleet = fleet.map(|(fleet, _)| fleet);
    if let Some(stack) = &mut stack {
        stack.prometheus = prometheus::resolve(raw, fleet.as_ref(), &mut context);
    }
    let workload = workload::resolve(raw, defaults, &mut context);

    let world = fault::World {
        fleet: fleet.as_ref(),
        stack: stack.as_ref(),
        jobs: raw.workload.value().and_then(|w| w.jobs.value()).map(|Whole(jobs)| *jobs as u32),
        steps: raw.workload.value().and_then(|w| match &w.steps {
            Field::Absent => Some(1),
            steps => steps.value().map(|Whole(steps)| *steps as u32),
        }),
        watches: watch::names(raw),
    };
    let faults = fault::resolve(raw, &world, &mut context);
    if let Some(fleet) = &fleet {
        overlap::check(&faults, fleet, context.scale, context.report);
    }
    let watches = watch::watches(raw, fleet.as_ref(), stack.as_ref(), &mut context);
    let watched = watch::expected(raw, &faults, &mut context);
    let expect = expect::resolve(raw, watched, context.scale, context.report);
    let faults: Vec<_> = faults.into_iter().map(|placed| placed.value).collect();
    if let Some(fleet) = &mut fleet {
        fault::fake_clocks(fleet, &faults);
    }

    let mut scenario = Scenario {
        name: raw.name.value()?.0.clone(),
        about: raw.about.value().map_or_else(String::new, |text| text.0.trim().to_owned()),
        tags: raw.tags.value().into_iter().flatten().map(|tag| tag.value.0.clone()).collect(),
        claims: raw.claims.value().into_iter().flatten().map(|claim| claim.value.0.clone()).collect(),
        time_scale,
        seed: overrides.seed.or(raw.seed.value().map(|Whole(seed)| *seed)),
        fleet: fleet?,
        stack: stack?,
        workload: workload?,
        watches,
        faults,
        expect,
        settle: Span::ZERO,
    };
    scenario.settle = match raw.settle.value() {
        Some(settle) => context.wall(*settle),
        None => length::default_settle(&scenario),
    };
    length::check(&scenario, raw, context.report);
    Some(scenario)
}

/// What every part of the resolution needs.
struct Context<'r, 's> {
    scale: Scale,
    report: &'r mut Report<'s>,
}

/// Redis keeps times in milliseconds: a shorter setting means nothing to it.
const SETTING_MIN: Span = Span::from_millis(1);

impl Context<'_, '_> {
    fn wall(&self, Duration(model): Duration) -> Span {
        self.scale.to_wall(model)
    }

    /// The field, or the default (in model time), as wall time.
    fn span(&self, field: &Field<Duration>, default: Span) -> Span {
        self.wall(field.value().copied().unwrap_or(Duration(default)))
    }

    fn optional(&self, field: &Field<Duration>) -> Option<Span> {
        field.value().map(|model| self.wall(*model))
    }

    /// As `span`, for what must not be zero, nor be scaled to nothing.
    fn positive(&mut self, field: &Field<Duration>, default: Span, name: &str, parent: Place) -> Span {
        let model = field.value().map_or(default, |Duration(model)| *model);
        let wall = self.scale.to_wall(model);
        if wall < SETTING_MIN && !matches!(field, Field::Bad) {
            let place = field.place().unwrap_or(parent);
            let message = if model < SETTING_MIN {
                format!("`{name}` is {model}: too short")
            } else {
                format!("`{name}` is {model}, at a time scale of {}: {wall} is too short", self.scale)
            };
            self.report
                .add(Code::DurationTooShort, place, message)
                .hint(format!("at least {SETTING_MIN} must be left of it"));
        }
        wall.max(SETTING_MIN)
    }

    fn signed(&self, model: SignedSpan) -> SignedSpan {
        let wall = i64::try_from(self.scale.to_wall(model.abs()).as_nanos()).unwrap_or(i64::MAX);
        SignedSpan(if model.0 < 0 { -wall } else { wall })
    }

    fn backoff(&self, raw: &raw::Backoff) -> Backoff {
        match raw {
            raw::Backoff::Fixed(span) => Backoff::Fixed(self.wall(span.value)),
            raw::Backoff::Exponential(base) => Backoff::Exponential(self.wall(base.value)),
        }
    }

    /// `None` if it is wrong, and reported.
    fn stack(&mut self, raw: &raw::Scenario) -> Option<Stack> {
        let both = raw::Stack {
            redis: Field::Given(Placed { value: raw::Redis::default(), place: Place::default() }),
            postgres: Field::Given(Placed { value: raw::Postgres::default(), place: Place::default() }),
            prometheus: Field::Absent,
        };
        let stack = match &raw.stack {
            Field::Absent => &both,
            Field::Given(stack) => &stack.value,
            Field::Bad => return None,
        };
        let redis = stack.redis.value().map(|redis| RedisSpec {
            durability: redis.durability.value().copied().unwrap_or(RedisDurability::Rdb),
            image: redis.image.value().map(|image| image.0.clone()),
        });
        let postgres = stack.postgres.value().map(|postgres| PostgresSpec {
            image: postgres.image.value().map(|image| image.0.clone()),
            max_connections: postgres.max_connections.value().map(|Whole(most)| *most as u32),
        });
        let is_bad = matches!(stack.redis, Field::Bad) || matches!(stack.postgres, Field::Bad);
        (!is_bad).then_some(Stack { redis, postgres, prometheus: None })
    }
}
