//! The jobs.

use std::collections::BTreeMap;

use super::Context;
use super::fleet::JobDefaults;
use crate::dist::Distribution;
use crate::protocol::Tool;
use crate::scenario::decode::{Field, Named};
use crate::scenario::diagnostic::Code;
use crate::scenario::scalar::{Whole, job_number};
use crate::scenario::{Workload, raw};
use crate::time::Span;

/// `None` if what it cannot do without is wrong, and reported.
pub(super) fn resolve(
    raw: &raw::Scenario,
    defaults: JobDefaults,
    context: &mut Context<'_, '_>,
) -> Option<Workload> {
    let workload = raw.workload.given()?;
    let jobs = workload.value.jobs.value().map(|Whole(jobs)| *jobs as u32);
    let failing = by_job(&workload.value.failing, jobs, context);
    let hanging = by_job(&workload.value.hanging, jobs, context);
    let workload_place = workload.place;
    let workload = &workload.value;
    let timeout = match &workload.timeout {
        Field::Absent => defaults.timeout,
        timeout => Some(context.positive(timeout, Span::ZERO, "timeout", workload_place)),
    };
    // A workload's own timeout is for all of its jobs.
    let large_timeout = defaults.large_timeout.filter(|_| workload.timeout.is_absent());
    Some(Workload {
        jobs: jobs?,
        arrival: match workload.arrival.value()? {
            raw::Arrival::Every(span) => Distribution::Constant(context.wall(span.value)),
            raw::Arrival::Uniform(pair) => Distribution::Uniform {
                min: context.scale.to_wall(pair.value.0),
                max: context.scale.to_wall(pair.value.1),
            },
            raw::Arrival::Exponential(mean) => Distribution::Exponential { mean: context.wall(mean.value) },
        },
        steps: workload.steps.value().map_or(1, |Whole(steps)| *steps as u32),
        step_time: context.distribution(workload.step_time.given()?)?,
        attempts: workload.attempts.value().map_or(defaults.attempts, |Whole(n)| *n as u32),
        backoff: workload.backoff.value().map_or(defaults.backoff, |backoff| context.backoff(backoff)),
        delay: context.span(&workload.delay, Span::ZERO),
        timeout,
        large_timeout,
        failing,
        hanging,
        kinds: kinds(raw, workload, context),
    })
}

/// Only workers of one system run external programs.
fn kinds(raw: &raw::Scenario, workload: &raw::Workload, context: &mut Context<'_, '_>) -> Vec<Option<Tool>> {
    let Some(kinds) = workload.kinds.given() else { return Vec::new() };
    let system = raw.fleet.value().and_then(|fleet| fleet.system.value());
    if system != Some(&raw::System::PostgresJobs) {
        context
            .report
            .add(Code::ForeignSetting, kinds.place, "jobs of this fleet have no `kinds`")
            .hint("`kinds` belongs to `postgres-jobs`");
    }
    let tool = |kind: &raw::Kind| match kind {
        raw::Kind::Plain => None,
        raw::Kind::Digest => Some(Tool::Digest),
        raw::Kind::Sort => Some(Tool::Sort),
    };
    kinds.value.iter().map(|kind| tool(&kind.value)).collect()
}

/// How many attempts, by the job's number.
fn by_job(
    field: &Field<Named<Whole<1, 100>>>,
    jobs: Option<u32>,
    context: &mut Context<'_, '_>,
) -> BTreeMap<u32, u32> {
    let mut numbers = BTreeMap::new();
    for (key, attempts) in field.value().into_iter().flat_map(|named| &named.0) {
        match (job_number(&key.value), jobs) {
            (Some(number), Some(jobs)) if number > jobs => {
                context
                    .report
                    .add(Code::UnknownJob, key.place, format!("there is no `{}`", key.value))
                    .hint(format!("the workload's jobs are `job-1` to `job-{jobs}`"));
            }
            (Some(number), _) => {
                numbers.insert(number, attempts.value.0 as u32);
            }
            (None, _) => {
                context
                    .report
                    .add(Code::UnknownJob, key.place, format!("`{}` is not a job", key.value))
                    .hint("a job by its number from 1: `job-3`");
            }
        }
    }
    numbers
}
