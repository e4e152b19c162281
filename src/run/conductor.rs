//! The conductor of one scenario: a sans-IO machine that turns events into actions, phase by phase.
//!
//! warm up (steady state proven) → inject (workload and faults) → heal → settle → judge. Time comes
//! from the events and from `timeout`; nothing here waits or draws breath.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::backend::Action;
use crate::fault::Stage;
use crate::history::{EnqueueOutcome, Event, Phase, What};
use crate::names::{JobId, ProcessName};
use crate::protocol::FleetEvent;
use crate::run::faults::{Dated, FaultRun};
use crate::run::gates::Gates;
use crate::run::opinion::Opinion;
use crate::run::queue::QueueTold;
use crate::run::targets::Targets;
use crate::run::watching::Watching;
use crate::run::workload::{Arrival, arrivals};
use crate::scenario::Scenario;
use crate::time::{Instant, Span};
use crate::timing::{Pipeline, Subject};

/// A run whose steady state is not proven by then is inconclusive. Wall time: starting programs
/// does not scale with the scenario.
const WARM_UP_LIMIT: Span = Span::from_secs(30);
/// Between two readings of the final state during settle, wall time.
const COLLECT_EVERY: Span = Span::from_millis(100);
/// A reading of the final state, or the answer to an order, that takes longer is given up.
const ANSWER_LIMIT: Span = Span::from_secs(20);

/// A process that comes back, from a pause or behind a link, is listened to for so long after the last heal,
/// wall time: it must be scheduled, perhaps connect again (`RECONNECT_MAX`), and be answered.
const LATE_WORDS: Span = Span::from_millis(500);

#[derive(Debug)]
pub struct Conductor<'s> {
    scenario: &'s Scenario,
    seed: u64,
    phase: Phase,
    phase_since: Instant,
    /// The workload's start; faults and arrivals count from here.
    start: Instant,
    arrivals: VecDeque<Arrival>,
    faults: Vec<FaultRun>,
    gates: Gates,
    targets: Targets,
    watching: Watching,
    ready: BTreeSet<ProcessName>,
    opinion: Opinion,
    queue: QueueTold,
    asked: u64,
    jobs: BTreeMap<JobId, JobSeen>,
    /// Jobs whose enqueuing was answered, and of those that were acknowledged the ones that have not ended.
    answered: u64,
    unended: u64,
    collecting: Option<Instant>,
    next_collect: Instant,
    last_heal: Instant,
    now: Instant,
    /// When time itself, and no event, brings the next thing to do.
    until: Instant,
    actions: VecDeque<Action>,
    notes: VecDeque<What>,
    over: bool,
}

/// What is known of a job so far.
#[derive(Debug, Clone, Copy, Default)]
struct JobSeen {
    /// Whether the answer to its enqueuing was an acknowledgement, once there is one.
    acknowledged: Option<bool>,
    /// By the last reading of the stores.
    ended: bool,
}

impl JobSeen {
    fn is_unended(self) -> bool {
        self.acknowledged == Some(true) && !self.ended
    }
}

impl<'s> Conductor<'s> {
    /// Begins in warm-up.
    #[must_use]
    pub fn new(scenario: &'s Scenario, seed: u64, now: Instant) -> Self {
        let mut conductor = Self {
            scenario,
            seed,
            phase: Phase::WarmUp,
            phase_since: now,
            start: now,
            arrivals: VecDeque::new(),
            faults: Vec::new(),
            gates: Gates::of(scenario),
            targets: Targets::of(&scenario.fleet),
            watching: Watching::of(&scenario.expect.watched),
            ready: BTreeSet::new(),
            opinion: Opinion::of(&scenario.fleet),
            queue: QueueTold::of(&scenario.fleet),
            asked: 0,
            jobs: BTreeMap::new(),
            answered: 0,
            unended: 0,
            collecting: None,
            next_collect: now,
            last_heal: now,
            now,
            until: now + WARM_UP_LIMIT,
            actions: VecDeque::new(),
            notes: VecDeque::new(),
            over: false,
        };
        conductor.notes.push_back(What::Phase(Phase::WarmUp));
        let fleet = &scenario.fleet;
        if fleet.liveness.is_some() || fleet.state.is_some() || !scenario.watches.is_empty() {
            conductor.actions.push_back(Action::StartProbes);
        }
        conductor
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the conductor itself has to say for the history.
    pub fn poll_note(&mut self) -> Option<What> {
        self.notes.pop_front()
    }

    /// The run has nothing more to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// When `timeout` must be called, at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        self.until
    }

    /// What the phase waits for comes then, if no event brings it sooner.
    fn next_moment(&self) -> Instant {
        let candidates = match self.phase {
            Phase::WarmUp => [Some(self.phase_since + WARM_UP_LIMIT), None, None],
            Phase::Heal => [Some(self.heal_deadline()), None, None],
            Phase::Inject => [
                self.arrivals.front().map(|arrival| self.start + arrival.after),
                self.faults.iter().filter_map(FaultRun::next_timeout).filter(|at| *at > self.now).min(),
                Some(self.next_deadline()),
            ],
            _ => [Some(self.next_deadline()), None, None],
        };
        candidates.into_iter().flatten().min().unwrap_or(Instant::FAR_FUTURE)
    }

    fn next_deadline(&self) -> Instant {
        match self.collecting {
            Some(since) => since + ANSWER_LIMIT,
            None => self.next_collect,
        }
    }

    pub fn timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.advance();
    }

    /// Ctrl-C: no more than the undoing of what is in force; the backend's tear-down does that.
    pub fn interrupt(&mut self) {
        self.notes.push_back(What::Interrupted);
        self.finish();
    }

    /// The run cannot go on.
    pub fn abort(&mut self, reason: String) {
        self.notes.push_back(What::Aborted { reason });
        self.finish();
    }

    fn finish(&mut self) {
        self.actions.clear();
        self.actions.push_back(Action::StopProbes);
        self.over = true;
    }

    pub fn handle(&mut self, event: &Event) {
        self.now = self.now.max(event.at);
        if let What::Queue { answer, .. } = &event.ev {
            match self.queue.hear(answer) {
                Ok(true) => {}
                Ok(false) => return self.advance(),
                Err(reason) => return self.abort(reason),
            }
        }
        self.targets.observe(event);
        self.watching.observe(event, self.start);
        self.gates.observe(event);
        match &event.ev {
            What::Fleet(FleetEvent::Ready { .. }) => {
                self.ready.insert(event.by.clone());
            }
            What::Started { .. } if !self.reports_ready(&event.by) => {
                self.ready.insert(event.by.clone());
            }
            What::Exited { code, signal, .. } if self.phase == Phase::WarmUp => {
                let how = signal.map_or_else(
                    || format!("exit code {}", code.unwrap_or(-1)),
                    |signal| format!("signal {signal}"),
                );
                self.abort(format!("{} ended while the run warmed up ({how})", event.by));
                return;
            }
            What::Probe { sample, .. } => {
                self.opinion.hear(sample);
                // Every other event is one, and while faults are injected none is waited for.
                if self.phase == Phase::Inject && self.now < self.until {
                    return;
                }
            }
            What::EnqueueAnswered { job, outcome, .. } => {
                let acknowledged = *outcome == EnqueueOutcome::Acknowledged;
                self.saw(job, |seen| seen.acknowledged = Some(acknowledged));
            }
            What::JobState { job, state } => {
                let ended = state.effects > 0 || state.failed;
                self.saw(job, |seen| seen.ended = ended);
            }
            What::Collected { .. } => self.collected(),
            What::FaultDone { order, .. } | What::FaultUnproved { order, .. }
                if order.stage == Stage::Heal =>
            {
                self.last_heal = self.last_heal.max(event.at);
            }
            _ => {}
        }
        let mut orders = Vec::new();
        for fault in &mut self.faults {
            fault.handle(event, self.start, &mut orders);
        }
        self.dispatch(orders);
        self.advance();
    }

    fn saw(&mut self, job: &JobId, change: impl FnOnce(&mut JobSeen)) {
        // With each event it is asked whether all have ended, so that is counted as it changes.
        let seen = match self.jobs.get_mut(job) {
            Some(seen) => seen,
            None => self.jobs.entry(job.clone()).or_default(),
        };
        self.answered -= u64::from(seen.acknowledged.is_some());
        self.unended -= u64::from(seen.is_unended());
        change(seen);
        self.answered += u64::from(seen.acknowledged.is_some());
        self.unended += u64::from(seen.is_unended());
    }

    fn reports_ready(&self, process: &ProcessName) -> bool {
        self.scenario.fleet.programs().any(|spec| spec.name == *process && spec.reports_ready())
    }

    fn advance(&mut self) {
        if self.over {
            return;
        }
        match self.phase {
            Phase::WarmUp => self.warm_up(),
            Phase::Inject => self.inject(),
            Phase::Heal => self.heal(),
            Phase::Settle => self.settle(),
            Phase::Judge => self.judge(),
            Phase::Provision | Phase::TearDown => unreachable!("the conductor is never in these phases"),
        }
        if !self.gates.is_empty() {
            self.actions.extend(self.gates.open(&self.faults, &self.targets));
        }
        self.until = self.next_moment();
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = self.now;
        self.notes.push_back(What::Phase(phase));
    }

    fn warm_up(&mut self) {
        let all_ready = self.ready.len() == self.scenario.fleet.programs().count();
        if all_ready && self.opinion.is_steady() && self.queue.lacking().is_none() {
            self.start = self.now;
            self.arrivals = arrivals(&self.scenario.workload, self.seed).into();
            self.faults =
                self.scenario.faults.iter().map(|f| FaultRun::arm(f, self.start, self.seed)).collect();
            self.next_collect = self.now + COLLECT_EVERY;
            self.actions.extend(self.gates.arm());
            self.enter(Phase::Inject);
            self.inject();
        } else if self.now >= self.phase_since + WARM_UP_LIMIT {
            let missing: Vec<&str> = self
                .scenario
                .fleet
                .programs()
                .map(|process| &process.name)
                .filter(|name| !self.ready.contains(*name))
                .map(ProcessName::as_str)
                .collect();
            self.abort(if let Some(lacking) = self.queue.lacking() {
                lacking
            } else if missing.is_empty() {
                "no steady state: the liveness probe did not answer `alive` while nothing was wrong".into()
            } else {
                format!("no steady state: not ready after {WARM_UP_LIMIT}: {}", missing.join(", "))
            });
        }
    }

    fn inject(&mut self) {
        while self.arrivals.front().is_some_and(|arrival| self.start + arrival.after <= self.now) {
            if let Some(arrival) = self.arrivals.pop_front() {
                self.asked += 1;
                self.actions.push_back(Action::Enqueue(Box::new(arrival.job)));
            }
        }
        self.fire_due_faults();
        let faults_done = self.faults.iter().all(FaultRun::awaits_only_the_end);
        // A trigger that has not come while all work is over will not come.
        let nothing_comes = self.arrivals.is_empty()
            && self.all_ended()
            && self.faults.iter().all(|fault| fault.awaits_only_the_end() || self.waits_in_vain(fault));
        let overdue = self.arrivals.is_empty() && self.now >= self.inject_deadline();
        if self.arrivals.is_empty() && faults_done || nothing_comes || overdue {
            self.enter(Phase::Heal);
            let mut orders = Vec::new();
            for fault in &mut self.faults {
                fault.heal_now(self.now, &mut orders);
            }
            self.dispatch(orders);
            self.heal();
        } else {
            self.collect_if_due();
        }
    }

    /// Its trigger is an event of work, or it lacks a holder: with all work over neither will come.
    fn waits_in_vain(&self, fault: &FaultRun) -> bool {
        let may_beat = !self.beats_with_work_only() && fault.awaits_beat_from().is_some();
        fault.awaits_trigger()
            && !may_beat
            && (fault.next_timeout().is_none() || fault.lacks_target(self.now))
    }

    fn beats_with_work_only(&self) -> bool {
        self.scenario.fleet.pipeline.as_ref().is_some_and(|pipeline| pipeline.subject == Subject::Holder)
    }

    fn inject_deadline(&self) -> Instant {
        let last_arrival = self.start
            + self.scenario.workload.arrival.max().saturating_mul(u64::from(self.scenario.workload.jobs));
        let moments = |fault: &FaultRun| {
            [fault.next_timeout(), fault.busy_until(), fault.awaits_beat_from().map(|from| self.start + from)]
        };
        let last_fault = self.faults.iter().flat_map(moments).flatten().max().unwrap_or(self.start);
        last_arrival.max(last_fault).max(self.last_heal) + self.scenario.settle
    }

    fn fire_due_faults(&mut self) {
        let mut orders = Vec::new();
        for fault in &mut self.faults {
            fault.advance(self.now, &self.targets, &mut orders);
        }
        self.dispatch(orders);
    }

    fn dispatch(&mut self, orders: Vec<Dated>) {
        // Nearly always, and with every event.
        if orders.is_empty() {
            return;
        }
        for (order, at) in orders {
            self.notes.push_back(What::FaultOrdered { order: Box::new(order.clone()) });
            self.actions.push_back(Action::Inject { order, at });
        }
    }

    fn heal(&mut self) {
        if self.faults.iter().all(FaultRun::is_over) {
            self.last_heal = self.last_heal.max(self.phase_since);
            self.next_collect = self.now;
            self.enter(Phase::Settle);
            self.settle();
        } else if self.now >= self.heal_deadline() {
            self.abort("a fault's undoing was not answered".into());
        }
    }

    /// What is in force for a given time has all of it.
    fn heal_deadline(&self) -> Instant {
        let last_due = self.faults.iter().filter_map(FaultRun::busy_until).max().unwrap_or(self.phase_since);
        last_due.max(self.phase_since) + ANSWER_LIMIT + self.scenario.settle
    }

    fn settle(&mut self) {
        let deadline = self.last_heal + self.scenario.settle;
        // The answer to a reading that is on its way would be taken for the last one's.
        let reading = self.collecting.is_some_and(|since| self.now < since + ANSWER_LIMIT);
        if !reading && (self.settled() || self.now >= deadline) {
            // One more reading, from which nothing can be taken back, is what is judged.
            self.collecting = Some(self.now);
            self.actions.push_back(Action::Collect);
            self.enter(Phase::Judge);
        } else {
            self.collect_if_due();
            self.next_collect = self.next_collect.min(deadline);
        }
    }

    fn judge(&mut self) {
        match self.collecting {
            None => self.finish(),
            Some(since) if self.now >= since + ANSWER_LIMIT => {
                self.notes.push_back(What::Collected { error: Some("the stores did not answer".into()) });
                self.finish();
            }
            Some(_) => {}
        }
    }

    /// Every acknowledged job has ended, nobody holds one, the probes say what is true, and a beat's
    /// time has passed since the last heal, so that late suspicions and the late words of a zombie are
    /// seen, and what the watches are to answer was answered, or is overdue.
    fn settled(&self) -> bool {
        self.all_ended()
            && !self.targets.anything_held()
            && self.opinion_is_true()
            && self.now >= self.last_heal + self.quiet_time()
            && self.watching.is_over(self.now, self.start)
    }

    /// A fleet may be suspected as long as it beats; a holder only while it holds, but one that comes back
    /// has until its next beat for what it says and does late.
    fn quiet_time(&self) -> Span {
        let (always, after_faults) = match &self.scenario.fleet.pipeline {
            Some(pipeline) if pipeline.subject == Subject::Fleet => {
                (pipeline.interval() + pipeline.checker.retry_time() + pipeline.checker.period(), Span::ZERO)
            }
            Some(pipeline) => (Span::ZERO, pipeline.interval()),
            None => (Span::ZERO, Span::ZERO),
        };
        if self.faults.is_empty() { always } else { always.max(after_faults).max(LATE_WORDS) }
    }

    fn fleet_pipeline(&self) -> Option<&Pipeline> {
        self.scenario.fleet.pipeline.as_ref().filter(|pipeline| pipeline.subject == Subject::Fleet)
    }

    fn opinion_is_true(&self) -> bool {
        self.fleet_pipeline().is_none() || self.opinion.is_true(&self.targets)
    }

    fn all_ended(&self) -> bool {
        self.arrivals.is_empty() && self.answered == self.asked && self.unended == 0
    }

    fn collect_if_due(&mut self) {
        match self.collecting {
            Some(since) if self.now < since + ANSWER_LIMIT => {}
            _ if self.now >= self.next_collect => {
                self.collecting = Some(self.now);
                self.actions.push_back(Action::Collect);
            }
            _ => {}
        }
    }

    fn collected(&mut self) {
        self.collecting = None;
        self.next_collect = self.now + COLLECT_EVERY;
    }
}
