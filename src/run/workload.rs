//! The workload of a scenario: which jobs, when. A function of the seed alone.

use crate::dist::Random;
use crate::names::JobId;
use crate::protocol::JobSpec;
use crate::scenario::Workload;
use crate::time::Span;

/// A job and its moment, counted from the workload's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub after: Span,
    pub job: JobSpec,
}

/// All arrivals in order of time. The first comes at once.
#[must_use]
pub fn arrivals(workload: &Workload, seed: u64) -> Vec<Arrival> {
    let mut gaps = Random::stream(seed, "arrivals");
    let mut steps = Random::stream(seed, "steps");
    let mut after = Span::ZERO;
    (1..=workload.jobs)
        .map(|number| {
            if number > 1 {
                after = after + workload.arrival.sample(&mut gaps);
            }
            let steps: Vec<Span> =
                (0..workload.steps).map(|_| workload.step_time.sample(&mut steps)).collect();
            let work = steps.iter().fold(Span::ZERO, |sum, step| sum + *step);
            let job = JobSpec {
                id: job_id(number),
                steps,
                attempts: workload.attempts,
                backoff: workload.backoff,
                delay: workload.delay,
                timeout: workload.timeout_of(work),
                failing_attempts: workload.failing.get(&number).copied().unwrap_or(0),
                hanging_attempts: workload.hanging.get(&number).copied().unwrap_or(0),
                tool: workload.tool_of(number),
            };
            Arrival { after, job }
        })
        .collect()
}

/// The name of the `number`-th job, from 1.
#[must_use]
pub fn job_id(number: u32) -> JobId {
    JobId::from(format!("job-{number}"))
}
