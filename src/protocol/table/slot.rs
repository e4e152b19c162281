//! One slot of a worker: a claimed job on its way from claim to completion (S1, S2).

use super::worker::{Owner, Rules, TableDesk, Timer};
use super::{AfterFailure, TableCommand};
use crate::names::JobId;
use crate::protocol::desk::next_due;
use crate::protocol::{
    ClaimedJob, Command, CommandId, FleetEvent, Output, PLANNED_FAILURE, Reply, StoreError,
};
use crate::time::{Instant, Now};

/// Works on one job at a time: the steps that are saved are read, each missing one is worked on and
/// saved, and the job is finished, with its effect, in one statement.
///
/// An error of the database is no reason to fail the attempt, for its failure could not be written
/// either: the command is sent again until it is answered, and the worker stays on its job meanwhile. A
/// paused worker, or one that was cut off, goes on as if nothing had been: whether its completion
/// counts is for the table to say.
///
/// Where jobs have beats of their own (S1), each is written at the worker's interval from the claim. One
/// that finds the job taken ends the work at once, if there is fencing.
///
/// A handler that never returns does not stop its job's beats, for they are the process's and not the
/// handler's: the job is never found stale, and only the attempt's time-out ends it. Source 001 counts an
/// infinite loop in a handler among the causes of a stale beat, as it is where handler and beats share
/// one thread; here that is a pause of the process.
#[derive(Debug)]
pub(super) struct Slot {
    index: u32,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    job: ClaimedJob,
    /// Steps that are not saved yet, the next one last.
    missing: Vec<u32>,
    stage: Stage,
    /// The command that the stage waits for; none while it works, or waits to send it again.
    waiting: Option<CommandId>,
    beat: Option<CommandId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Loading,
    Working {
        step: u32,
        until: Instant,
    },
    /// The handler does not return.
    Hanging {
        step: u32,
    },
    Saving {
        step: u32,
    },
    Finishing,
    Failing {
        error: String,
        then: AfterFailure,
    },
    Releasing,
}

impl Stage {
    /// Told to the table, whose answer decides the job's fate here.
    const fn finishes(&self) -> bool {
        matches!(self, Self::Finishing | Self::Failing { .. })
    }

    const fn can_fail(&self) -> bool {
        matches!(self, Self::Loading | Self::Working { .. } | Self::Hanging { .. } | Self::Saving { .. })
    }
}

impl Slot {
    pub const fn new(index: u32) -> Self {
        Self { index, active: None }
    }

    pub const fn is_free(&self) -> bool {
        self.active.is_none()
    }

    pub fn job(&self) -> Option<&JobId> {
        self.active.as_ref().map(|active| &active.job.spec.id)
    }

    pub fn begin(&mut self, now: Now, job: ClaimedJob, rules: &Rules, desk: &mut TableDesk) {
        let ClaimedJob { spec, attempt, stalls } = &job;
        desk.emit(FleetEvent::Claimed { job: spec.id.clone(), attempt: *attempt, stalls: *stalls });
        if let Some(timeout) = spec.timeout {
            desk.set_after(now, Timer::Timeout(self.index), timeout);
        }
        if let Some(interval) = rules.job_beat {
            desk.set_after(now, Timer::JobBeat(self.index), interval);
        }
        self.install(job);
        self.enter(Stage::Loading, rules, desk);
    }

    /// Takes a job only to give it back: it was claimed while the worker was told to stop.
    pub fn hand_back(&mut self, job: ClaimedJob, rules: &Rules, desk: &mut TableDesk) {
        self.install(job);
        self.enter(Stage::Releasing, rules, desk);
    }

    /// The reply to the stage's command.
    pub fn replied(
        &mut self,
        now: Now,
        result: Result<Reply, StoreError>,
        rules: &Rules,
        desk: &mut TableDesk,
    ) {
        let Some(active) = &mut self.active else { return };
        active.waiting = None;
        let job = active.id();
        match (active.stage.clone(), result) {
            (Stage::Loading, Ok(Reply::Steps(saved))) => {
                active.missing = active.job.spec.step_numbers().rev().collect();
                active.missing.retain(|step| !saved.contains(step));
                self.next_step(now, rules, desk);
            }
            (Stage::Saving { step }, Ok(Reply::Saved(fresh))) => {
                desk.emit(FleetEvent::StepDone { job, step, fresh });
                self.next_step(now, rules, desk);
            }
            (Stage::Finishing, Ok(Reply::Held(true))) => {
                desk.emit(FleetEvent::EffectDone { job: job.clone() });
                desk.emit(FleetEvent::Completed { job });
                self.free(desk);
            }
            (Stage::Failing { error, then }, Ok(Reply::Held(true))) => {
                let attempt = active.job.attempt;
                let retry_in = match then {
                    AfterFailure::Retry(wait) => Some(wait),
                    AfterFailure::Failed | AfterFailure::DeadLetter => None,
                };
                desk.emit(FleetEvent::AttemptFailed { job, attempt, error, retry_in });
                self.free(desk);
            }
            (Stage::Releasing, _) => self.free(desk),
            (stage, Ok(Reply::Held(false))) if stage.finishes() => {
                desk.emit(FleetEvent::LockLost { job });
                self.free(desk);
            }
            (_, Err(_)) => desk.set_after(now, Timer::Resend(self.index), rules.retry),
            (stage, Ok(reply)) => {
                debug_assert!(false, "{reply:?} is no answer to {stage:?}");
                self.fail("an answer that does not fit".to_owned(), rules, desk);
            }
        }
    }

    /// It is time for the job's own beat. One that waits for its reply stands for the next.
    pub fn beat(&mut self, now: Now, due: Instant, rules: &Rules, desk: &mut TableDesk) {
        let (Some(active), Some(interval)) = (&mut self.active, rules.job_beat) else { return };
        desk.set(now, Timer::JobBeat(self.index), next_due(due, interval, now));
        if active.beat.is_none() {
            let (job, worker, attempt) = (active.id(), rules.worker.clone(), active.job.attempt);
            let beat = Command::Table(TableCommand::BeatJob { job, worker, attempt });
            active.beat = Some(desk.send(Owner::JobBeat(self.index), beat));
        }
    }

    /// The reply to the job's own beat. While the job is being finished, the answer to that decides.
    pub fn beaten(
        &mut self,
        now: Now,
        result: &Result<Reply, StoreError>,
        rules: &Rules,
        desk: &mut TableDesk,
    ) {
        let Some(active) = &mut self.active else { return };
        active.beat = None;
        match result {
            Ok(Reply::Held(false)) if rules.fencing && active.stage.can_fail() => {
                desk.emit(FleetEvent::LockLost { job: active.id() });
                self.interrupt(desk);
                self.free(desk);
            }
            Ok(_) => {}
            Err(_) => desk.set_after(now, Timer::JobBeat(self.index), rules.retry),
        }
    }

    /// The work that was asked for is over. One that comes too soon is the end of a work that was
    /// cancelled, already on its way when it was.
    pub fn work_done(&mut self, now: Now, rules: &Rules, desk: &mut TableDesk) {
        let Some(active) = &self.active else { return };
        if let Stage::Working { step, until } = active.stage
            && until <= now.mono
        {
            if active.job.is_to_fail() {
                self.fail(PLANNED_FAILURE.to_owned(), rules, desk);
            } else {
                self.enter(Stage::Saving { step }, rules, desk);
            }
        }
    }

    /// The work that was asked for cannot be done.
    pub fn work_failed(&mut self, error: String, rules: &Rules, desk: &mut TableDesk) {
        let Some(active) = &mut self.active else { return };
        if let Stage::Working { step, .. } = active.stage {
            // There is no work any more that could be cancelled.
            active.stage = Stage::Saving { step };
            self.fail(error, rules, desk);
        }
    }

    /// The attempt has taken too long.
    pub fn timed_out(&mut self, rules: &Rules, desk: &mut TableDesk) {
        let Some(active) = self.active.as_ref().filter(|active| active.stage.can_fail()) else { return };
        let timeout = active.job.spec.timeout.unwrap_or_default();
        self.fail(format!("timed out after {timeout}"), rules, desk);
    }

    /// It is time to send the stage's command again.
    pub fn resend(&mut self, rules: &Rules, desk: &mut TableDesk) {
        let Some(active) = &self.active else { return };
        debug_assert!(active.waiting.is_none(), "a command is sent again after it was answered");
        self.enter(active.stage.clone(), rules, desk);
    }

    /// Stops at once and gives the job back (graceful shutdown past its grace).
    pub fn release(&mut self, rules: &Rules, desk: &mut TableDesk) {
        if self.active.as_ref().is_some_and(|active| active.stage != Stage::Releasing) {
            self.interrupt(desk);
            self.enter(Stage::Releasing, rules, desk);
        }
    }

    fn install(&mut self, job: ClaimedJob) {
        debug_assert!(self.active.is_none(), "a slot has one job at a time");
        self.active =
            Some(Active { job, missing: Vec::new(), stage: Stage::Loading, waiting: None, beat: None });
    }

    fn next_step(&mut self, now: Now, rules: &Rules, desk: &mut TableDesk) {
        let Some(active) = &mut self.active else { return };
        match active.missing.pop() {
            Some(step) if active.job.is_to_hang() => active.stage = Stage::Hanging { step },
            Some(step) => {
                let lasting = active.job.spec.step_time(step);
                active.stage = Stage::Working { step, until: now.mono + lasting };
                let (slot, job) = (self.index, active.id());
                desk.output(match active.job.spec.tool {
                    Some(tool) => Output::Run { slot, job, tool, lasting },
                    None => Output::Work { slot, job, step, lasting },
                });
            }
            // Every step was saved before: there is no first step to fail at.
            None if active.job.is_to_fail() => self.fail(PLANNED_FAILURE.to_owned(), rules, desk),
            None => self.enter(Stage::Finishing, rules, desk),
        }
    }

    /// Ends the attempt with an error: the job is retried, or has failed for good.
    fn fail(&mut self, error: String, rules: &Rules, desk: &mut TableDesk) {
        self.interrupt(desk);
        let Some(active) = &self.active else { return };
        let ClaimedJob { spec, attempt, .. } = &active.job;
        let then = match *attempt < spec.attempts {
            true => AfterFailure::Retry(spec.backoff.wait(*attempt)),
            false => rules.end,
        };
        self.enter(Stage::Failing { error, then }, rules, desk);
    }

    /// Ends the work or the command that the stage waits for, and the attempt's timeout.
    fn interrupt(&mut self, desk: &mut TableDesk) {
        let Some(active) = &mut self.active else { return };
        if matches!(active.stage, Stage::Working { .. }) {
            desk.output(Output::CancelWork { slot: self.index });
        }
        if let Some(id) = active.waiting.take() {
            desk.forget(id);
        }
        desk.stop(Timer::Timeout(self.index));
        desk.stop(Timer::Resend(self.index));
    }

    fn free(&mut self, desk: &mut TableDesk) {
        let Some(active) = self.active.take() else { return };
        for id in [active.waiting, active.beat].into_iter().flatten() {
            desk.forget(id);
        }
        for timer in [Timer::JobBeat(self.index), Timer::Timeout(self.index), Timer::Resend(self.index)] {
            desk.stop(timer);
        }
    }

    /// Enters a stage that begins with a command, and sends it.
    fn enter(&mut self, stage: Stage, rules: &Rules, desk: &mut TableDesk) {
        let Some(active) = &mut self.active else { return };
        let command = active.command(&stage, rules);
        active.stage = stage;
        active.waiting = Some(desk.send(Owner::Slot(self.index), command));
    }
}

impl Active {
    fn id(&self) -> JobId {
        self.job.spec.id.clone()
    }

    fn command(&self, stage: &Stage, rules: &Rules) -> Command {
        let (job, worker, attempt) = (self.id(), rules.worker.clone(), self.job.attempt);
        Command::Table(match stage {
            Stage::Loading => return Command::LoadSteps { job },
            Stage::Saving { step } | Stage::Working { step, .. } | Stage::Hanging { step } => {
                return Command::SaveStep { job, step: *step, worker };
            }
            Stage::Finishing => TableCommand::Finish { job, worker, attempt, fenced: rules.fencing },
            Stage::Failing { error, then } => {
                TableCommand::Fail { job, worker, attempt, error: error.clone(), then: *then }
            }
            Stage::Releasing => TableCommand::Release { job, worker, attempt },
        })
    }
}
