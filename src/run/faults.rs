//! The life of one fault of a scenario: armed → fired → in force → healed, as a sans-IO machine.

mod parts;

use crate::dist::{Distribution, Random};
use crate::fault::{Fault, FaultId, FaultKind, Injection, Order, Signal, Stage, Target, Trigger};
use crate::history::queue::Queued;
use crate::history::wire::Wiretap;
use crate::history::{Event, Heard, What};
use crate::names::{JobId, ProcessName};
use crate::protocol::FleetEvent;
use crate::run::targets::{Cause, Targets};
use crate::time::{Instant, Span};
use parts::{Part, Progress, network, part, pause, per_process, rounds, series, start};

/// A fault whose targets are known is ordered so long before its time, so that the backend fires it
/// on the dot. Wall time; more than a conductor's wake-up may be late.
const ORDERED_AHEAD: Span = Span::from_millis(20);

/// Where a fault is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Waits for its trigger; `seen` matching events so far.
    Armed {
        seen: u32,
    },
    /// The trigger has come; fires at `at`, on what the trigger was about if it was about something.
    Due {
        at: Instant,
        cause: Cause,
    },
    Fired,
    /// The run ended without the trigger, or without a target.
    GivenUp,
}

#[derive(Debug)]
pub struct FaultRun {
    fault: Fault,
    state: State,
    parts: Vec<Part>,
    random: Random,
    /// The run heals: what takes effect from now on is undone at once.
    healing: bool,
}

/// An order for the backend, and when to carry it out.
pub type Dated = (Order, Instant);

impl FaultRun {
    /// `start` is the workload's start.
    #[must_use]
    pub fn arm(fault: &Fault, start: Instant, seed: u64) -> Self {
        let mut random = Random::stream(seed, &format!("fault-{}", fault.id.0));
        let state = match &fault.when {
            Trigger::At(after) => State::Due { at: start + *after, cause: Cause::default() },
            Trigger::Within { min, max } => {
                let after = Distribution::Uniform { min: *min, max: *max }.sample(&mut random);
                State::Due { at: start + after, cause: Cause::default() }
            }
            Trigger::StepDone { .. }
            | Trigger::Claimed { .. }
            | Trigger::Unanswered { .. }
            | Trigger::Beat { .. }
            | Trigger::Wire(_) => State::Armed { seen: 0 },
        };
        Self { fault: fault.clone(), state, parts: Vec::new(), random, healing: false }
    }

    #[must_use]
    pub fn id(&self) -> FaultId {
        self.fault.id
    }

    /// It has taken effect as far as it does at once (proved or not), or never will.
    #[must_use]
    pub fn was_carried_out(&self) -> bool {
        let ordered = |part: &Part| matches!(part.progress, Progress::Ordered { .. });
        match self.state {
            State::GivenUp => true,
            State::Fired => !self.parts.iter().any(|part| part.after_previous.is_none() && ordered(part)),
            State::Armed { .. } | State::Due { .. } => false,
        }
    }

    /// The process is paused by it.
    #[must_use]
    pub fn is_pausing(&self, process: &ProcessName) -> bool {
        let in_force = |part: &Part| !matches!(part.progress, Progress::Waiting | Progress::Done);
        let pause = |part: &Part| matches!(&part.onset, Injection::Pause { process: it } if it == process);
        self.parts.iter().any(|part| pause(part) && in_force(part))
    }

    /// Nothing more will come of it by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            State::GivenUp => true,
            State::Fired => self.parts.iter().all(|part| part.progress == Progress::Done),
            State::Armed { .. } | State::Due { .. } => false,
        }
    }

    /// Has fired, and every onset was answered: only heals that wait for the run's end are left.
    #[must_use]
    pub fn awaits_only_the_end(&self) -> bool {
        match self.state {
            State::GivenUp => true,
            State::Fired => self.parts.iter().all(|part| match part.progress {
                Progress::Done => true,
                Progress::InForce { heal_at } => heal_at == Instant::FAR_FUTURE,
                _ => false,
            }),
            State::Armed { .. } | State::Due { .. } => false,
        }
    }

    /// Waits for an event that may never come.
    #[must_use]
    pub fn awaits_trigger(&self) -> bool {
        matches!(self.state, State::Armed { .. } | State::Due { .. })
    }

    /// The next moment at which `advance` has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if let State::Due { at, .. } = self.state {
            return Some(self.order_at(at));
        }
        self.parts
            .iter()
            .filter_map(|part| match part.progress {
                Progress::InForce { heal_at } if heal_at != Instant::FAR_FUTURE => Some(heal_at),
                _ => None,
            })
            .min()
    }

    /// When the last of what is ordered is due, if it has not been answered.
    #[must_use]
    pub fn busy_until(&self) -> Option<Instant> {
        self.parts
            .iter()
            .filter_map(|part| match part.progress {
                Progress::Ordered { due } | Progress::HealOrdered { due } => Some(due),
                _ => None,
            })
            .max()
    }

    /// From when on a beat sets it off, counted from the workload's start, if that is what it waits for.
    #[must_use]
    pub fn awaits_beat_from(&self) -> Option<Span> {
        match (&self.state, &self.fault.when) {
            (State::Armed { .. }, Trigger::Beat { from, .. }) => Some(*from),
            _ => None,
        }
    }

    /// When to order what is due at `at`: who runs and who holds is known at that moment only.
    fn order_at(&self, at: Instant) -> Instant {
        let target = match &self.fault.kind {
            FaultKind::Kill { target, .. }
            | FaultKind::Stop { target, .. }
            | FaultKind::Restart { target, .. }
            | FaultKind::Pause { target, .. }
            | FaultKind::Pauses { target, .. }
            | FaultKind::ClockStep { target, .. }
            | FaultKind::ClockDrift { target, .. }
            | FaultKind::ClockStrobe { target, .. }
            | FaultKind::CrashLoop { target, .. }
            | FaultKind::Throttle { target, .. }
            | FaultKind::Misconfigure { target, .. }
            | FaultKind::OutOfMemory { target, .. } => Some(target),
            FaultKind::Network { links, .. } => links.from.as_ref(),
            FaultKind::ScaleToZero { .. }
            | FaultKind::Outage { .. }
            | FaultKind::DeleteKeys { .. }
            | FaultKind::Trouble { .. } => None,
        };
        match target {
            Some(Target::AnyOf(_) | Target::HolderOf(_)) => at,
            Some(Target::Process(_) | Target::Role(_)) | None => at - ORDERED_AHEAD,
        }
    }

    /// Looks at an event: the trigger may have come, or the backend has answered an order.
    pub fn handle(&mut self, event: &Event, start: Instant, out: &mut Vec<Dated>) {
        match &event.ev {
            What::Fleet(fleet) => self.trigger(event, fleet, start),
            What::Queue { answer: Queued::Changed(changed), .. } => {
                for standing in changed.iter().filter(|standing| standing.claimant().is_some()) {
                    self.claimed(event.at, &standing.job);
                }
            }
            What::Watched { watch, answer, .. } => self.watched(event.at, watch, answer),
            What::Wire(Wiretap::Caught { fault, link, .. }) if *fault == self.fault.id => {
                if let State::Armed { .. } = self.state {
                    let cause = Cause { job: None, sender: Some(link.from.clone()) };
                    self.state = State::Due { at: event.at, cause };
                }
            }
            What::FaultDone { order, effective, .. } if order.fault == self.fault.id => {
                self.answered(order, *effective, event.at, out);
            }
            What::FaultUnproved { order, .. } if order.fault == self.fault.id => {
                self.answered(order, (event.at, event.at), event.at, out);
            }
            _ => {}
        }
    }

    fn trigger(&mut self, event: &Event, fleet: &FleetEvent, start: Instant) {
        let State::Armed { .. } = self.state else { return };
        match (&self.fault.when, fleet) {
            (
                Trigger::StepDone { job: wanted, step: wanted_step, nth, after },
                FleetEvent::StepDone { job, step, .. },
            ) if step == wanted_step && wanted.admits(job) => {
                self.saw(event.at, *nth, *after, Some(job));
            }
            (_, FleetEvent::Claimed { job, .. }) => self.claimed(event.at, job),
            (Trigger::Beat { process, from, after }, FleetEvent::Beat { .. })
                if process.as_ref().is_none_or(|name| *name == event.by) && event.at >= start + *from =>
            {
                self.saw(event.at, 1, *after, None);
            }
            _ => {}
        }
    }

    fn claimed(&mut self, at: Instant, job: &JobId) {
        if let Trigger::Claimed { job: wanted, nth, after } = &self.fault.when
            && wanted.admits(job)
        {
            self.saw(at, *nth, *after, Some(job));
        }
    }

    /// One more of the events that it waits for `nth` of.
    fn saw(&mut self, at: Instant, nth: u32, after: Span, job: Option<&JobId>) {
        let State::Armed { seen } = &mut self.state else { return };
        *seen += 1;
        if *seen >= nth {
            let cause = Cause { job: job.cloned(), sender: None };
            self.state = State::Due { at: at + after, cause };
        }
    }

    fn watched(&mut self, at: Instant, name: &str, answer: &Heard) {
        let (State::Armed { seen }, Trigger::Unanswered { watch, times, after }) =
            (&mut self.state, &self.fault.when)
        else {
            return;
        };
        if watch != name {
            return;
        }
        *seen = if matches!(answer, Heard::Unknown { .. }) { *seen + 1 } else { 0 };
        if *seen >= *times {
            self.state = State::Due { at: at + *after, cause: Cause::default() };
        }
    }

    fn answered(&mut self, order: &Order, effective: (Instant, Instant), now: Instant, out: &mut Vec<Dated>) {
        let Some(part) = self.parts.get_mut(usize::from(order.part)) else { return };
        match (order.stage, part.progress) {
            (Stage::Onset, Progress::Ordered { .. }) => {
                part.progress = match &part.heal {
                    None => Progress::Done,
                    Some((_, None)) if self.healing => Progress::InForce { heal_at: now },
                    Some((_, None)) => Progress::InForce { heal_at: Instant::FAR_FUTURE },
                    Some((_, Some(lasting))) => Progress::InForce { heal_at: effective.1 + *lasting },
                };
                // The heal goes out ahead of its time, so that the backend fires it on the dot.
                self.order_heal_if(order.part, |heal_at| heal_at != Instant::FAR_FUTURE, out);
            }
            (Stage::Heal, Progress::HealOrdered { .. }) => {
                part.progress = Progress::Done;
                self.begin_next_in_series(usize::from(order.part), now, out);
            }
            _ => {}
        }
    }

    fn begin_next_in_series(&mut self, healed: usize, now: Instant, out: &mut Vec<Dated>) {
        let Some(part) = self.parts.get_mut(healed + 1) else { return };
        if let (Some(gap), Progress::Waiting) = (part.after_previous, part.progress) {
            part.progress = Progress::Ordered { due: now + gap };
            out.push((self.order(healed + 1, Stage::Onset), now + gap));
        }
    }

    /// Fires if it is due and its target is there.
    pub fn advance(&mut self, now: Instant, targets: &Targets, out: &mut Vec<Dated>) {
        let State::Due { at, cause } = &self.state else { return };
        if self.order_at(*at) > now {
            return;
        }
        let (at, cause) = (*at, cause.clone());
        // A target that nobody is yet (`holder_of` while no job is held) is waited for.
        let Some(parts) = self.plan(targets, &cause) else { return };
        self.parts = parts;
        self.state = State::Fired;
        for index in 0..self.parts.len() {
            if self.parts[index].after_previous.is_none() {
                self.parts[index].progress = Progress::Ordered { due: at };
                out.push((self.order(index, Stage::Onset), at));
            }
        }
    }

    /// Whether it is due and only lacks its target.
    #[must_use]
    pub fn lacks_target(&self, now: Instant) -> bool {
        matches!(self.state, State::Due { at, .. } if at <= now)
    }

    /// The run heals: what is in force is undone now, what has not fired never will.
    pub fn heal_now(&mut self, now: Instant, out: &mut Vec<Dated>) {
        self.healing = true;
        if self.awaits_trigger() {
            self.state = State::GivenUp;
        }
        for index in 0..self.parts.len() {
            let part = &mut self.parts[index];
            match part.progress {
                Progress::InForce { .. } => {
                    part.progress = Progress::HealOrdered { due: now };
                    out.push((self.order(index, Stage::Heal), now));
                }
                Progress::Waiting => part.progress = Progress::Done,
                _ => {}
            }
        }
    }

    fn order_heal_if(&mut self, part: u16, wanted: impl Fn(Instant) -> bool, out: &mut Vec<Dated>) {
        let index = usize::from(part);
        if let Progress::InForce { heal_at } = self.parts[index].progress
            && wanted(heal_at)
        {
            self.parts[index].progress = Progress::HealOrdered { due: heal_at };
            out.push((self.order(index, Stage::Heal), heal_at));
        }
    }

    fn order(&self, index: usize, stage: Stage) -> Order {
        let part = &self.parts[index];
        let injection = match (stage, &part.heal) {
            (Stage::Heal, Some((heal, _))) => heal.clone(),
            _ => part.onset.clone(),
        };
        let number = u16::try_from(index).expect("a fault has fewer parts than u16::MAX: bounded by resolve");
        Order { fault: self.fault.id, part: number, stage, injection }
    }

    /// The fault's parts on the targets of this moment; `None` if there is no target now.
    fn plan(&mut self, targets: &Targets, cause: &Cause) -> Option<Vec<Part>> {
        let random = &mut self.random;
        let mut on = |target: &Target| targets.resolve(target, cause, random);
        let parts = match &self.fault.kind {
            FaultKind::Kill { target, signal, restart_after } => per_process(&on(target)?, |process| {
                let restart = restart_after.map(|after| (start(process), Some(after)));
                part(Injection::Signal { process: process.clone(), signal: *signal }, restart)
            }),
            FaultKind::Stop { target, grace, restart_after } => per_process(&on(target)?, |process| {
                let restart = restart_after.map(|after| (start(process), Some(after)));
                part(Injection::Stop { process: process.clone(), grace: *grace }, restart)
            }),
            FaultKind::Restart { target, grace } => per_process(&on(target)?, |process| {
                let stop = Injection::Stop { process: process.clone(), grace: *grace };
                part(stop, Some((start(process), Some(Span::ZERO))))
            }),
            FaultKind::Pause { target, lasting } => {
                per_process(&on(target)?, |process| pause(process, *lasting))
            }
            FaultKind::Pauses { target, lasting, gap, count } => {
                let mut parts = Vec::new();
                for process in on(target)? {
                    for index in 0..*count {
                        let mut one = pause(&process, lasting.sample(random));
                        one.after_previous = (index > 0).then(|| gap.sample(random));
                        parts.push(one);
                    }
                }
                parts
            }
            FaultKind::ScaleToZero { role, lasting } => per_process(targets.of_role(role), |process| {
                let restart = lasting.map(|lasting| (start(process), Some(lasting)));
                part(Injection::Signal { process: process.clone(), signal: Signal::Kill }, restart)
            }),
            FaultKind::Outage { store, how, lasting } => vec![part(
                Injection::StoreDown { store: *store, how: *how },
                Some((Injection::StoreUp { store: *store, how: *how }, Some(*lasting))),
            )],
            FaultKind::ClockStep { target, by, lasting } => per_process(&on(target)?, |process| {
                let reset = Injection::ClockReset { process: process.clone() };
                part(Injection::ClockStep { process: process.clone(), by: *by }, Some((reset, *lasting)))
            }),
            FaultKind::ClockDrift { target, ppm, lasting } => per_process(&on(target)?, |process| {
                let reset = Injection::ClockReset { process: process.clone() };
                part(Injection::ClockDrift { process: process.clone(), ppm: *ppm }, Some((reset, *lasting)))
            }),
            FaultKind::ClockStrobe { target, by, every, lasting } => {
                let rounds = rounds(*every, *lasting);
                series(&on(target)?, rounds, *every, |process| {
                    let reset = Injection::ClockReset { process: process.clone() };
                    part(
                        Injection::ClockStep { process: process.clone(), by: *by },
                        Some((reset, Some(*every))),
                    )
                })
            }
            FaultKind::CrashLoop { target, runs_for, restart_after, count } => {
                series(&on(target)?, *count, *runs_for, |process| {
                    let kill = Injection::Signal { process: process.clone(), signal: Signal::Kill };
                    part(kill, Some((start(process), Some(*restart_after))))
                })
            }
            FaultKind::Misconfigure { target, misfit, grace, lasting } => {
                per_process(&on(target)?, |process| {
                    let (process, grace, misfit) = (process.clone(), *grace, misfit.clone());
                    let over = Injection::Reconfigure { process: process.clone(), grace };
                    part(Injection::Misconfigure { process, misfit, grace }, Some((over, Some(*lasting))))
                })
            }
            FaultKind::Throttle { target, share, lasting } => per_process(&on(target)?, |process| {
                let over = Injection::Unthrottle { process: process.clone() };
                let throttle = Injection::Throttle { process: process.clone(), share: *share };
                part(throttle, Some((over, Some(*lasting))))
            }),
            FaultKind::OutOfMemory { target, limit, every, restart_after } => {
                per_process(&on(target)?, |process| {
                    let restart = restart_after.map(|after| (start(process), Some(after)));
                    part(
                        Injection::OutOfMemory { process: process.clone(), limit: *limit, every: *every },
                        restart,
                    )
                })
            }
            FaultKind::Network { links, toxic, lasting } => {
                let from = match &links.from {
                    Some(target) => Some(on(target)?),
                    None => None,
                };
                let links = targets.links(from.as_deref(), links.to.as_ref());
                vec![network(links, *toxic, *lasting)]
            }
            FaultKind::DeleteKeys { keys } => {
                vec![part(Injection::DeleteKeys { keys: keys.clone() }, None)]
            }
            FaultKind::Trouble { trouble, lasting } => {
                let trouble = trouble.clone();
                let over = || (Injection::TroubleOver { trouble: trouble.clone() }, *lasting);
                let over = trouble.lasts().then(over);
                vec![part(Injection::Trouble { trouble }, over)]
            }
        };
        Some(parts)
    }
}
