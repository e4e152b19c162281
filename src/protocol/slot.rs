//! One slot of a worker: a claimed job on its way from claim to completion (S3).

use crate::names::{JobId, Text};
use crate::protocol::command::JobStatus;
use crate::protocol::desk::next_due;
use crate::protocol::queue::Claimed;
use crate::protocol::status::FinalFailure;
use crate::protocol::worker::{Owner, Rules, Timer, WorkerDesk};
use crate::protocol::{ClaimedJob, Command, CommandId, FleetEvent, Output, PlantedBug, Reply, StoreError};
use crate::time::{Instant, Now, Span};

/// The error of an attempt that the job's description wants to fail.
pub const PLANNED_FAILURE: &str = "planned failure";

/// Works on one job at a time, in this order, each step only after the store acknowledged the last:
///
/// 1. status `processing`, and the steps that earlier attempts saved are read;
/// 2. each missing step is worked on and saved;
/// 3. the effect is recorded;
/// 4. status `completed`;
/// 5. the queue is told.
///
/// Everything durable comes before the queue forgets the job, so a crash at any point leaves the job
/// to somebody else and nothing is lost. The price is at-least-once: a crash, or a lost lock,
/// between 3 and 5 has the effect recorded again by the next holder. That duplicate is real and is
/// left to be seen; no test of the status before 3 would close the gap, only narrow it.
///
/// An error of Postgres up to 3 fails the attempt, as in the source. After 3 the effect is durable and
/// failing would only repeat it, so 4 and 5 are sent again until they are answered or the lock is lost.
/// If the first `Complete` or `Fail` did take effect and only its reply was lost, the second finds no
/// lock: the worker cannot tell that from a lost lock and reports one.
///
/// The lock is renewed at each `lock_renew` from the claim's reply. While Redis cannot be reached the
/// work goes on locally (source 003, scenario 2), even past the lock's end: the worker does not stop
/// for a lock that it cannot ask about. Told that the lock is another's, it drops the job at once.
///
/// A handler that never returns stops none of this: its lock is renewed for ever, no stalled check
/// finds it, and only the attempt's time-out ends it.
///
/// Without fencing the worker does not look at what its renewals say, and completes a job that is
/// active, whoever holds it: a zombie's late write lands.
#[derive(Debug)]
pub(super) struct Slot {
    index: u32,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    queue: Text,
    token: Text,
    job: ClaimedJob,
    /// Steps that are not saved yet, the next one last.
    missing: Vec<u32>,
    stage: Stage,
    /// The command that the stage waits for; none while it works, or waits to send it again.
    waiting: Option<CommandId>,
    renewal: Option<CommandId>,
    /// The queue has been told that the job is complete (only ever true under a planted bug).
    acknowledged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Planted bug: completes the job before its work.
    AcknowledgingEarly,
    Starting,
    Loading,
    /// Planted bug: deletes the steps that were saved.
    Dropping,
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
    Recording,
    Closing,
    Completing,
    Failing {
        error: String,
        retry_in: Option<Span>,
    },
    Releasing,
}

impl Stage {
    /// Told to the queue, whose answer decides the job's fate here.
    const fn finishes(&self) -> bool {
        matches!(self, Self::AcknowledgingEarly | Self::Completing | Self::Failing { .. } | Self::Releasing)
    }

    /// Before the effect: the attempt can still fail without repeating it.
    const fn can_fail(&self) -> bool {
        matches!(
            self,
            Self::Starting
                | Self::Loading
                | Self::Dropping
                | Self::Working { .. }
                | Self::Hanging { .. }
                | Self::Saving { .. }
        )
    }
}

impl Slot {
    pub const fn new(index: u32) -> Self {
        Self { index, active: None }
    }

    pub const fn is_free(&self) -> bool {
        self.active.is_none()
    }

    /// The job in work.
    pub fn job(&self) -> Option<&JobId> {
        self.active.as_ref().map(|active| &active.job.spec.id)
    }

    pub fn begin(&mut self, now: Now, mut claimed: Claimed, rules: &Rules, desk: &mut WorkerDesk) {
        let timeout = &mut claimed.job.spec.timeout;
        *timeout = [*timeout, rules.longest_attempt].into_iter().flatten().min();
        let active = self.install(claimed);
        let ClaimedJob { spec, attempt, stalls } = &active.job;
        desk.emit(FleetEvent::Claimed { job: spec.id.clone(), attempt: *attempt, stalls: *stalls });
        if let Some(timeout) = spec.timeout {
            desk.set_after(now, Timer::Timeout(self.index), timeout);
        }
        if rules.renews_locks() {
            desk.set_after(now, Timer::Renewal(self.index), rules.lock_renew);
        }
        let first = match rules.bug {
            Some(PlantedBug::AcknowledgesEarly) => Stage::AcknowledgingEarly,
            _ => Stage::Starting,
        };
        self.enter(first, rules, desk);
    }

    /// Takes a job only to give it back: it was claimed while the worker was told to stop.
    pub fn hand_back(&mut self, claimed: Claimed, rules: &Rules, desk: &mut WorkerDesk) {
        self.install(claimed);
        self.enter(Stage::Releasing, rules, desk);
    }

    /// The reply to the stage's command.
    pub fn replied(
        &mut self,
        now: Now,
        result: Result<Reply, StoreError>,
        rules: &Rules,
        desk: &mut WorkerDesk,
    ) -> Option<FinalFailure> {
        let active = self.active.as_mut()?;
        active.waiting = None;
        match (active.stage.clone(), result) {
            (Stage::AcknowledgingEarly, Ok(Reply::Held(true))) => {
                active.acknowledged = true;
                desk.emit(FleetEvent::Completed { job: active.job.spec.id.clone() });
                self.enter(Stage::Starting, rules, desk);
            }
            (Stage::Starting, Ok(Reply::Done)) => self.enter(Stage::Loading, rules, desk),
            (Stage::Loading, Ok(Reply::Steps(saved))) => return self.loaded(now, &saved, rules, desk),
            (Stage::Dropping, Ok(Reply::Done)) => return self.next_step(now, rules, desk),
            (Stage::Saving { step }, Ok(Reply::Saved(fresh))) => {
                desk.emit(FleetEvent::StepDone { job: active.job.spec.id.clone(), step, fresh });
                return self.next_step(now, rules, desk);
            }
            (Stage::Recording, Ok(Reply::Done)) => {
                desk.emit(FleetEvent::EffectDone { job: active.job.spec.id.clone() });
                self.enter(Stage::Closing, rules, desk);
            }
            (Stage::Closing, Ok(Reply::Done)) if active.acknowledged => self.free(desk),
            (Stage::Closing, Ok(Reply::Done)) => self.enter(Stage::Completing, rules, desk),
            (Stage::Completing, Ok(Reply::Held(true))) => {
                desk.emit(FleetEvent::Completed { job: active.job.spec.id.clone() });
                self.free(desk);
            }
            (Stage::Failing { error, retry_in }, Ok(Reply::Held(true))) => {
                return self.attempt_failed(error, retry_in, desk);
            }
            (Stage::Releasing, _) => self.free(desk),
            (stage, Ok(Reply::Held(false))) if stage.finishes() => self.lock_lost(desk),
            (stage, Err(_)) if stage.finishes() || stage == Stage::Closing => {
                desk.set_after(now, Timer::Resend(self.index), rules.retry);
            }
            (_, Err(error)) => return self.fail(error.to_string(), rules, desk),
            (stage, Ok(reply)) => {
                debug_assert!(false, "{reply:?} is no answer to {stage:?}");
                return self.fail("an answer that does not fit".to_owned(), rules, desk);
            }
        }
        None
    }

    /// The work that was asked for is over. One that comes too soon is the end of a work that was
    /// cancelled, already on its way when it was.
    pub fn work_done(&mut self, now: Now, rules: &Rules, desk: &mut WorkerDesk) -> Option<FinalFailure> {
        let active = self.active.as_mut()?;
        match active.stage {
            Stage::Working { step, until } if until <= now.mono => {
                active.stage = Stage::Saving { step };
                if active.job.is_to_fail() {
                    return self.fail(PLANNED_FAILURE.to_owned(), rules, desk);
                }
                self.enter(Stage::Saving { step }, rules, desk);
            }
            _ => {}
        }
        None
    }

    /// The work that was asked for cannot be done.
    pub fn work_failed(
        &mut self,
        error: String,
        rules: &Rules,
        desk: &mut WorkerDesk,
    ) -> Option<FinalFailure> {
        let active = self.active.as_mut()?;
        let Stage::Working { step, .. } = active.stage else { return None };
        // There is no work any more that could be cancelled.
        active.stage = Stage::Saving { step };
        self.fail(error, rules, desk)
    }

    /// The attempt has taken too long.
    pub fn timed_out(&mut self, rules: &Rules, desk: &mut WorkerDesk) -> Option<FinalFailure> {
        let active = self.active.as_ref()?;
        if !active.stage.can_fail() {
            return None;
        }
        let timeout = active.job.spec.timeout.unwrap_or_default();
        self.fail(format!("timed out after {timeout}"), rules, desk)
    }

    /// It is time to send the stage's command again.
    pub fn resend(&mut self, rules: &Rules, desk: &mut WorkerDesk) {
        let Some(active) = &self.active else { return };
        debug_assert!(active.waiting.is_none(), "a command is sent again after it was answered");
        self.enter(active.stage.clone(), rules, desk);
    }

    pub fn renew(&mut self, now: Now, due: Instant, rules: &Rules, desk: &mut WorkerDesk) {
        let Some(active) = &mut self.active else { return };
        desk.set(now, Timer::Renewal(self.index), next_due(due, rules.lock_renew, now));
        if active.renewal.is_some() {
            return;
        }
        let extend = Command::ExtendLock {
            queue: active.queue.clone(),
            job: active.job.spec.id.clone(),
            token: active.token.clone(),
            lock: rules.lock_duration,
        };
        active.renewal = Some(desk.send(Owner::Renewal(self.index), extend));
    }

    pub fn renewed(
        &mut self,
        now: Now,
        result: &Result<Reply, StoreError>,
        rules: &Rules,
        desk: &mut WorkerDesk,
    ) {
        let Some(active) = &mut self.active else { return };
        active.renewal = None;
        match result {
            // The queue may just have let go of the lock because the job is done: the answer to that
            // command, which is on its way, decides.
            Ok(Reply::Held(false)) if active.stage.finishes() => {}
            Ok(Reply::Held(false)) if rules.fencing => self.lock_lost(desk),
            Ok(_) => {}
            Err(_) => desk.set_after(now, Timer::Renewal(self.index), rules.retry),
        }
    }

    /// Stops at once and gives the job back (graceful shutdown past its grace).
    pub fn release(&mut self, rules: &Rules, desk: &mut WorkerDesk) {
        if self.active.as_ref().is_some_and(|active| active.stage == Stage::Releasing) {
            return;
        }
        self.interrupt(desk);
        match &self.active {
            Some(active) if !active.acknowledged => self.enter(Stage::Releasing, rules, desk),
            _ => self.free(desk),
        }
    }

    fn install(&mut self, claimed: Claimed) -> &Active {
        debug_assert!(self.active.is_none(), "a slot has one job at a time");
        self.active.insert(Active {
            queue: claimed.queue,
            token: claimed.token,
            job: *claimed.job,
            missing: Vec::new(),
            stage: Stage::Starting,
            waiting: None,
            renewal: None,
            acknowledged: false,
        })
    }

    fn loaded(
        &mut self,
        now: Now,
        saved: &[u32],
        rules: &Rules,
        desk: &mut WorkerDesk,
    ) -> Option<FinalFailure> {
        let active = self.active.as_mut()?;
        let mut missing = active.job.spec.step_numbers().rev().collect::<Vec<_>>();
        missing.retain(|step| !saved.contains(step));
        active.missing = missing;
        let again = active.job.attempt > 1 || active.job.stalls > 0;
        if rules.bug == Some(PlantedBug::DropsSavedSteps) && again && !saved.is_empty() {
            self.enter(Stage::Dropping, rules, desk);
            return None;
        }
        self.next_step(now, rules, desk)
    }

    fn next_step(&mut self, now: Now, rules: &Rules, desk: &mut WorkerDesk) -> Option<FinalFailure> {
        let active = self.active.as_mut()?;
        match active.missing.pop() {
            Some(step) if active.job.is_to_hang() => active.stage = Stage::Hanging { step },
            Some(step) => {
                let lasting = active.job.spec.step_time(step);
                active.stage = Stage::Working { step, until: now.mono + lasting };
                let job = active.job.spec.id.clone();
                desk.output(Output::Work { slot: self.index, job, step, lasting });
            }
            // Every step was saved before: there is no first step to fail at.
            None if active.job.is_to_fail() => return self.fail(PLANNED_FAILURE.to_owned(), rules, desk),
            None => self.enter(Stage::Recording, rules, desk),
        }
        None
    }

    /// Ends the attempt with an error: tells the queue, which retries the job or fails it for good.
    fn fail(&mut self, error: String, rules: &Rules, desk: &mut WorkerDesk) -> Option<FinalFailure> {
        self.interrupt(desk);
        let active = self.active.as_ref()?;
        if active.acknowledged {
            return self.attempt_failed(error, None, desk);
        }
        let ClaimedJob { spec, attempt, .. } = &active.job;
        let retry_in = (*attempt < spec.attempts).then(|| spec.backoff.wait(*attempt));
        self.enter(Stage::Failing { error, retry_in }, rules, desk);
        None
    }

    fn attempt_failed(
        &mut self,
        error: String,
        retry_in: Option<Span>,
        desk: &mut WorkerDesk,
    ) -> Option<FinalFailure> {
        let (job, attempt) = self.active.as_ref().map(|active| (active.id(), active.job.attempt))?;
        let event = FleetEvent::AttemptFailed { job: job.clone(), attempt, error: error.clone(), retry_in };
        desk.emit(event);
        self.free(desk);
        retry_in.is_none().then_some(FinalFailure { job, error, attempts: attempt })
    }

    fn lock_lost(&mut self, desk: &mut WorkerDesk) {
        if let Some(active) = &self.active {
            desk.emit(FleetEvent::LockLost { job: active.id() });
        }
        self.interrupt(desk);
        self.free(desk);
    }

    /// Ends the work or the command that the stage waits for, and the attempt's timeout.
    fn interrupt(&mut self, desk: &mut WorkerDesk) {
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

    fn free(&mut self, desk: &mut WorkerDesk) {
        let Some(active) = self.active.take() else { return };
        for id in [active.waiting, active.renewal].into_iter().flatten() {
            desk.forget(id);
        }
        for timer in [Timer::Renewal(self.index), Timer::Timeout(self.index), Timer::Resend(self.index)] {
            desk.stop(timer);
        }
    }

    /// Enters a stage that begins with a command, and sends it.
    fn enter(&mut self, stage: Stage, rules: &Rules, desk: &mut WorkerDesk) {
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
        let (job, queue, token) = (self.id(), self.queue.clone(), self.token.clone());
        let worker = || rules.worker.as_str().into();
        match stage {
            Stage::Starting => Command::SetStatus { job, status: JobStatus::Processing },
            Stage::Loading => Command::LoadSteps { job },
            Stage::Dropping => Command::DropSteps { job },
            Stage::Saving { step } | Stage::Working { step, .. } | Stage::Hanging { step } => {
                Command::SaveStep { job, step: *step, worker: worker() }
            }
            Stage::Recording => Command::RecordEffect { job, worker: worker(), attempt: self.job.attempt },
            Stage::Closing => Command::SetStatus { job, status: JobStatus::Completed },
            Stage::AcknowledgingEarly | Stage::Completing => {
                let token = if rules.fencing { token } else { Text::from("") };
                Command::Complete { queue, job, token }
            }
            Stage::Failing { error, retry_in } => {
                Command::Fail { queue, job, token, error: error.clone(), retry_in: *retry_in }
            }
            Stage::Releasing => Command::Release { queue, job, token },
        }
    }
}
