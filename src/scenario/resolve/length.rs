//! How long a run takes: what is expected, what is waited for at most, and what is refused.

use crate::fault::trouble::Trouble;
use crate::fault::{Fault, FaultKind, Trigger};
use crate::protocol::Backoff;
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::{Program, Scenario, WatchExpect, Workload, raw};
use crate::time::Span;

/// The longest run, in wall time.
const RUN_MAX: Span = Span::from_secs(24 * 3_600);

/// Wall time that starts, claims and connections may take over what the model says.
const SLACK: Span = Span::from_secs(5);

impl Scenario {
    /// The wall time from the first enqueue to the last job's end, if every random draw is its mean.
    /// Without provisioning.
    #[must_use]
    pub fn expected_length(&self) -> Span {
        let arrival = self.workload.arrival.mean().saturating_mul(u64::from(self.workload.jobs) - 1);
        let faults_end = self.faults.iter().map(|fault| end_of(fault, arrival)).max().unwrap_or(Span::ZERO);
        let job = one_job(&self.workload) + hung(&self.workload);
        (arrival + self.workload.delay + job + backlog(self)).max(faults_end)
    }
}

/// Refuses a run that is too long.
pub(super) fn check(scenario: &Scenario, raw: &raw::Scenario, report: &mut Report<'_>) {
    let length = scenario.expected_length() + scenario.settle;
    if length > RUN_MAX {
        let place = raw.workload.place().unwrap_or_default();
        report
            .add(Code::TooLong, place, format!("the run would take {length} of wall time"))
            .hint(format!("at most {RUN_MAX}: fewer jobs, earlier faults, or a smaller time scale"));
    }
}

/// Long enough for every acknowledged job to end, if the fleet does as its model says:
///
/// - a suspicion, sweeps and guard included, for each stall that a job may have and one more;
/// - every attempt of a job, its time-out as the longest, with the backoffs between;
/// - the backlog that the workload leaves, and that the faults leave;
/// - what a watch is expected to answer.
pub(super) fn default_settle(scenario: &Scenario) -> Span {
    let workload = &scenario.workload;
    let longest_attempt = {
        let work = workload.step_time.max().saturating_mul(u64::from(workload.steps));
        let hangs = !workload.hanging.is_empty();
        workload.timeout_of(work).map_or(work, |timeout| if hangs { timeout } else { work.min(timeout) })
    };
    let attempts = longest_attempt.saturating_mul(u64::from(workload.attempts)) + backoffs(workload);
    let faults = scenario.faults.iter().map(|fault| lasting(&fault.kind));
    let faults = faults.fold(Span::ZERO, |sum, lasting| sum + lasting);
    (suspicions(scenario) + attempts + backlog(scenario) + faults + workload.delay).max(watched(scenario))
        + SLACK
}

/// The longest that an answer may be waited for.
fn watched(scenario: &Scenario) -> Span {
    let limits = scenario.expect.watched.iter().filter_map(|watched| match &watched.expect {
        WatchExpect::Becomes { within, .. } if within.max() < Span::MAX => Some(within.max()),
        WatchExpect::Becomes { .. } | WatchExpect::Never { .. } => None,
    });
    limits.max().unwrap_or(Span::ZERO)
}

/// The sum of all waits between the attempts of one job.
pub(crate) fn backoffs(workload: &Workload) -> Span {
    let retries = u64::from(workload.attempts.saturating_sub(1));
    match workload.backoff {
        Backoff::Fixed(wait) => wait.saturating_mul(retries),
        Backoff::Exponential(base) => {
            base.saturating_mul(1u64.checked_shl(retries as u32).unwrap_or(u64::MAX).saturating_sub(1))
        }
    }
}

fn suspicions(scenario: &Scenario) -> Span {
    let Some(pipeline) = &scenario.fleet.pipeline else {
        return Span::ZERO;
    };
    let checker = &pipeline.checker;
    let once = checker.period()
        + pipeline.detection(Span::ZERO).most().unwrap_or(Span::ZERO)
        + checker.longest_query();
    let stalls = u64::from(pipeline.recovery.max_stalls.unwrap_or(1)) + 1;
    // Where the heartbeat requeues nothing, the reference queue's locks and sweeps do.
    let queue = scenario.fleet.processes.iter().find_map(|process| match &process.program {
        Program::Reference { settings, .. } => Some(&settings.queue),
        Program::Table { .. } | Program::External { .. } | Program::Missing { .. } => None,
    });
    let locks = queue.map_or(Span::ZERO, |queue| {
        queue.lock_duration + queue.stalled_interval.saturating_mul(3) + queue.claim_poll
    });
    once.max(locks).saturating_mul(stalls)
}

/// Work that is left when the last job has arrived.
fn backlog(scenario: &Scenario) -> Span {
    let workload = &scenario.workload;
    let workers = scenario.fleet.processes.iter().filter(|process| process.works_on_jobs()).count();
    let slots = (workers.max(1) as u64).saturating_mul(u64::from(scenario.fleet.concurrency));
    let work = one_job(workload).saturating_mul(u64::from(workload.jobs));
    let arrival = workload.arrival.mean().saturating_mul(u64::from(workload.jobs));
    Span::from_nanos(work.as_nanos() / slots) - arrival
}

/// What the handlers that never return take until their attempts time out, of the job that hangs most often.
fn hung(workload: &Workload) -> Span {
    let attempts = workload.hanging.values().copied().max().unwrap_or(0);
    let timeout = workload.timeout_of(one_job(workload)).unwrap_or(Span::ZERO);
    timeout.saturating_mul(u64::from(attempts.min(workload.attempts)))
}

fn one_job(workload: &Workload) -> Span {
    workload.step_time.mean().saturating_mul(u64::from(workload.steps))
}

/// When the fault is healed; an event is taken to come with the last job at the latest.
fn end_of(fault: &Fault, arrival: Span) -> Span {
    let onset = match &fault.when {
        Trigger::At(at) => *at,
        Trigger::Within { max, .. } => *max,
        Trigger::StepDone { after, .. }
        | Trigger::Claimed { after, .. }
        | Trigger::Unanswered { after, .. } => arrival + *after,
        Trigger::Beat { from, after, .. } => *from + *after,
        Trigger::Wire(_) => arrival,
    };
    onset + lasting(&fault.kind)
}

/// Until it is undone; zero for what is never undone.
fn lasting(kind: &FaultKind) -> Span {
    match kind {
        FaultKind::Kill { restart_after, .. } | FaultKind::OutOfMemory { restart_after, .. } => {
            restart_after.unwrap_or(Span::ZERO)
        }
        FaultKind::Stop { grace, restart_after, .. } => restart_after.unwrap_or(*grace),
        FaultKind::Restart { grace, .. } => *grace,
        FaultKind::Pauses { lasting, gap, count, .. } => {
            (lasting.mean() + gap.mean()).saturating_mul(u64::from(*count))
        }
        FaultKind::CrashLoop { runs_for, restart_after, count, .. } => {
            (*runs_for + *restart_after).saturating_mul(u64::from(*count))
        }
        FaultKind::ClockStrobe { lasting, .. }
        | FaultKind::Throttle { lasting, .. }
        | FaultKind::Misconfigure { lasting, .. }
        | FaultKind::Pause { lasting, .. }
        | FaultKind::Outage { lasting, .. }
        | FaultKind::Network { lasting, .. } => *lasting,
        FaultKind::ScaleToZero { lasting, .. }
        | FaultKind::ClockStep { lasting, .. }
        | FaultKind::ClockDrift { lasting, .. } => lasting.unwrap_or(Span::ZERO),
        FaultKind::Trouble { trouble: Trouble::ExpireKeys { after, .. }, .. } => *after,
        FaultKind::Trouble { lasting, .. } => lasting.unwrap_or(Span::ZERO),
        FaultKind::DeleteKeys { .. } => Span::ZERO,
    }
}
