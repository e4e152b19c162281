//! The fleet's processes: each drives a machine of `protocol`, as `live::fleet::driver` does on tokio.

use std::collections::BTreeMap;

use super::client::{Ask, Owner, Who};
use super::clock::WallClock;
use super::delays::TICK;
use super::http::Api;
use super::limits::{Memory, Quota};
use super::program::{Duty, Program};
use super::signal::number;
use super::wire::Peer;
use super::{Planned, World};
use crate::fault::misfit::Misfit;
use crate::fault::{Order, Signal};
use crate::history::What;
use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::{FleetEvent, Input, Output, Pool, Reply, StoreError};
use crate::scenario::ProcessSpec;
use crate::time::{Instant, Now, Span};

/// Process ids begin here; they are as fictional as the processes.
const FIRST_PID: u32 = 1_001;

/// Laid out as it is written: what nearly every event looks at comes first, and lies together.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Process {
    machine: Option<Program>,
    /// The soonest instant for which a wake-up is planned.
    wakes_for: Option<Instant>,
    /// The others, the latest first. Mostly none: each was planned before one that is sooner.
    wakes_later: Vec<Instant>,
    /// When its program began: its timers tick from here.
    booted: Instant,
    /// Counts starts, from 1.
    pub life: u32,
    pub pid: u32,
    pub state: State,
    paused: bool,
    /// It has used up its [`Quota`].
    pub held: bool,
    pub name: ProcessName,
    pub clock: WallClock,
    /// When the work on each slot is over.
    works: BTreeMap<u32, Instant>,
    /// Its clients of the stores, by [`Store`].
    clients: [Option<usize>; Store::ALL.len()],
    pub duty: Duty,
    /// The wire to the process that it asks over HTTP.
    pub web: Option<usize>,
    /// What came while it stood still.
    inbox: Vec<Planned>,
    /// The exchange that fetches each slot's page.
    pub fetches: BTreeMap<u32, usize>,
    /// Pages that it is about to serve.
    pub pages: u32,
    pub api: Api,
    /// Who waits for its end, and the answer if it has to be killed first.
    stop: Option<(Order, String)>,
    /// What was wrong with its last start.
    pub misfit: Option<Misfit>,
    pub quota: Option<Quota>,
    pub memory: Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Off,
    Booting,
    Running,
    /// Serves what it has, and takes nothing more (HTTP).
    Draining,
}

impl Process {
    pub fn new(spec: &ProcessSpec, duty: Duty) -> Self {
        Self {
            name: spec.name.clone(),
            duty,
            clients: [None; Store::ALL.len()],
            web: None,
            life: 0,
            booted: Instant::ZERO,
            pid: 0,
            state: State::Off,
            paused: false,
            inbox: Vec::new(),
            clock: WallClock::default(),
            machine: None,
            works: BTreeMap::new(),
            fetches: BTreeMap::new(),
            pages: 0,
            wakes_for: None,
            wakes_later: Vec::new(),
            api: Api::default(),
            stop: None,
            misfit: None,
            held: false,
            quota: None,
            memory: Memory::default(),
        }
    }

    pub fn link(&mut self, to: &Endpoint, wire_or_client: usize) {
        match to {
            Endpoint::Store(store) => self.clients[*store as usize] = Some(wire_or_client),
            Endpoint::Process(_) => self.web = Some(wire_or_client),
        }
    }

    pub const fn client(&self, store: Store) -> Option<usize> {
        self.clients[store as usize]
    }

    /// The machine of a pool that runs.
    pub fn pool(&self) -> Option<&Pool> {
        match &self.machine {
            Some(Program::Pool(pool)) => Some(pool),
            _ => None,
        }
    }

    /// It is paused, or has no processor time left.
    pub const fn stands_still(&self) -> bool {
        self.paused || self.held
    }

    pub const fn is_on(&self) -> bool {
        !matches!(self.state, State::Off)
    }

    pub fn next_tick(&self, after: Instant) -> Instant {
        let tick = TICK.as_nanos();
        self.booted + Span::from_nanos(after.since(self.booted).as_nanos().div_ceil(tick) * tick)
    }

    /// Whether its port takes connections.
    pub const fn listens(&self) -> bool {
        matches!(self.state, State::Running)
    }
}

impl World {
    pub(super) fn start_process(&mut self, process: usize) {
        let pid = FIRST_PID + self.pids;
        self.pids += 1;
        let it = &mut self.processes[process];
        it.life += 1;
        it.pid = pid;
        it.state = State::Booting;
        let (life, name) = (it.life, it.name.clone());
        if let (2.., Some(monitor)) = (life, &mut self.monitor) {
            monitor.restarted(process);
        }
        self.say(name, What::Started { generation: life, pid });
        let boot = self.delays.boot.sample(&mut self.random);
        self.plan_after(boot, Planned::Boot { process, life });
    }

    /// The program is loaded: it connects, and begins.
    pub(super) fn boot(&mut self, process: usize, life: u32) {
        let it = &self.processes[process];
        if it.life != life || it.state != State::Booting {
            return;
        }
        if matches!(it.misfit, Some(Misfit::NoVariable { .. })) {
            return self.end_process(process, Some(2), None);
        }
        for client in it.clients.into_iter().flatten() {
            self.open_client(client);
        }
        let now = self.now_of(process);
        let it = &mut self.processes[process];
        it.state = State::Running;
        it.booted = now.mono;
        let instance = format!("sim-{life}");
        it.machine = Some(it.duty.program(&it.name, it.pid, &instance, now));
        if it.duty.only_serves() {
            let (name, pid) = (it.name.clone(), it.pid);
            self.say(name, What::Fleet(FleetEvent::Ready { pid }));
        }
        self.drain(process);
    }

    /// Its monotonic clock is the host's, its wall clock is its own.
    pub(super) fn now_of(&self, process: usize) -> Now {
        Now { mono: self.now, wall: self.processes[process].clock.read(self.now) }
    }

    /// What concerns a process that stands still waits until it runs again.
    pub(super) fn unless_still<T>(
        &mut self,
        process: Option<usize>,
        what: T,
        planned: impl FnOnce(T) -> Planned,
    ) -> Option<T> {
        let Some(process) = process.filter(|_| self.standing > 0) else { return Some(what) };
        let it = &mut self.processes[process];
        if it.stands_still() {
            it.inbox.push(planned(what));
            return None;
        }
        self.spend(process);
        Some(what)
    }

    /// As above, for an event that the process must run for.
    pub(super) fn unless_its_process_stands_still(&mut self, planned: Planned) -> Option<Planned> {
        let process = self.concerns(&planned);
        self.unless_still(process, planned, |planned| planned)
    }

    pub(super) fn life_of(&self, owner: Owner) -> u32 {
        owner.process().map_or(0, |process| self.processes[process].life)
    }

    /// A client has an answer for its owner.
    pub(super) fn answered(&mut self, client: usize, who: Who, result: Result<Reply, StoreError>) {
        match (self.clients[client].owner, who) {
            (Owner::Process(process), Who::Machine(id)) => {
                self.input(process, Input::Reply { id, result });
            }
            (Owner::Process(process), Who::Scrape(part)) => self.measured(process, part, &result),
            (Owner::Process(process), Who::Local(request)) => self.found_locally(process, request),
            (Owner::Process(process), Who::Enqueue(request)) => {
                self.enqueued_by_api(process, request, &result);
            }
            (Owner::Producer, Who::Enqueue(job)) => self.enqueued_by_producer(job, result),
            (Owner::Producer, _) => debug_assert!(false, "the producer only enqueues"),
        }
    }

    pub(super) fn input(&mut self, process: usize, input: Input) {
        let now = self.now_of(process);
        let it = &mut self.processes[process];
        if let Some(machine) = it.machine.as_mut().and_then(Program::machine) {
            machine.handle(now, input);
            self.drain(process);
        }
    }

    /// A timer of the process, or the end of a work.
    pub(super) fn wake(&mut self, process: usize, life: u32, due: Instant) {
        let it = &mut self.processes[process];
        if it.life != life {
            return;
        }
        if it.wakes_for == Some(due) {
            it.wakes_for = it.wakes_later.pop();
        } else {
            // Their delays have changed their order.
            it.wakes_later.retain(|planned| *planned != due);
        }
        let now = self.now;
        // The machine's own timers first: a lock that ended during the work ended before the work did.
        let timers = it.machine.as_mut().and_then(Program::machine).and_then(|m| m.next_timeout());
        let mut told = timers.is_some_and(|due| due <= now);
        if told {
            self.input(process, Input::Timeout);
        }
        while let Some(slot) = self.finished_work(process) {
            self.processes[process].works.remove(&slot);
            self.input(process, Input::WorkDone { slot });
            told = true;
        }
        // Each input plans the next one.
        if !told {
            self.plan_wake(process);
        }
    }

    fn finished_work(&self, process: usize) -> Option<u32> {
        let mut works = self.processes[process].works.iter();
        works.find(|&(_, &end)| end <= self.now).map(|(&slot, _)| slot)
    }

    fn drain(&mut self, process: usize) {
        while let Some(output) = self.next_output(process) {
            self.obey(process, output);
        }
        self.plan_wake(process);
    }

    fn next_output(&mut self, process: usize) -> Option<Output> {
        self.processes[process].machine.as_mut()?.machine()?.poll()
    }

    fn obey(&mut self, process: usize, output: Output) {
        match output {
            Output::Send { id, command } => {
                if let Some(client) = self.processes[process].client(command.store()) {
                    self.call(client, Who::Machine(id), Ask::Command(command));
                }
            }
            Output::Work { slot, lasting, .. } if self.processes[process].duty.pool().is_some() => {
                self.fetch(process, slot, lasting);
            }
            Output::Work { slot, lasting, .. } => {
                let end = self.now + lasting;
                self.processes[process].works.insert(slot, end);
            }
            Output::Run { slot, tool, lasting, .. } => {
                if self.processes[process].misfit == Some(Misfit::NoTool { tool }) {
                    let error = tool.missing("virtual time: it is not there");
                    return self.input(process, Input::WorkFailed { slot, error });
                }
                let end = self.now + lasting;
                self.processes[process].works.insert(slot, end);
            }
            Output::CancelWork { slot } => {
                self.processes[process].works.remove(&slot);
                self.cancel_fetch(process, slot);
            }
            Output::MeasureMemory => {
                let life = self.processes[process].life;
                self.plan(self.now, Planned::MemoryRead { process, life });
            }
            Output::Emit(event) => {
                let name = self.processes[process].name.clone();
                self.say(name, What::Fleet(event));
            }
            Output::Answer { query, online, stale } => self.believed(process, query, online, stale),
            Output::Exit { forced } => self.end_process(process, Some(i32::from(forced)), None),
        }
    }

    fn plan_wake(&mut self, process: usize) {
        let it = &mut self.processes[process];
        let timers = it.machine.as_mut().and_then(Program::machine).and_then(|m| m.next_timeout());
        let works = if it.works.is_empty() { None } else { it.works.values().copied().min() };
        let Some(due) = works.into_iter().chain(timers).min() else { return };
        // One that comes too soon finds nothing to do, and plans the next.
        if it.wakes_for.is_none_or(|planned| due < planned) {
            it.wakes_later.extend(it.wakes_for.replace(due));
            let life = it.life;
            let at = it.next_tick(due.max(self.now)) + self.delays.wake.sample(&mut self.random);
            self.plan(at, Planned::Wake { process: process as u32, life, due });
        }
    }

    pub(super) fn end_process(&mut self, process: usize, code: Option<i32>, signal: Option<i32>) {
        let it = &mut self.processes[process];
        if !it.is_on() {
            return;
        }
        it.state = State::Off;
        self.standing -= u32::from(std::mem::take(&mut it.paused)) + u32::from(it.quota.take().is_some());
        it.held = false;
        it.memory = Memory::default();
        it.machine = None;
        it.inbox.clear();
        it.works.clear();
        it.fetches.clear();
        it.pages = 0;
        it.wakes_for = None;
        it.wakes_later.clear();
        it.api = Api::default();
        let (name, generation, clients) = (it.name.clone(), it.life, it.clients);
        let stop = it.stop.take();
        for client in clients.into_iter().flatten() {
            self.close_client(client);
        }
        self.forget_exchanges_of(process);
        self.scrapes_break(process);
        self.say(name, What::Exited { generation, code, signal });
        self.end_all_to(Peer::Process(process));
        if let Some((order, proof)) = stop {
            self.stopped(process, order, proof);
        }
    }

    /// SIGTERM.
    pub(super) fn terminate(&mut self, process: usize) {
        if self.unless_still(Some(process), (), |()| Planned::Terminate { process }).is_none() {
            return;
        }
        if !self.processes[process].duty.only_serves() {
            return self.input(process, Input::Shutdown);
        }
        let it = &mut self.processes[process];
        if it.state != State::Running {
            return;
        }
        it.state = State::Draining;
        let (name, life, grace) = (it.name.clone(), it.life, it.duty.shutdown_grace());
        self.say(name, What::Fleet(FleetEvent::ShuttingDown { active: 0 }));
        self.plan_after(grace, Planned::Grace { process, life });
        self.leave_if_done(process);
    }

    /// An HTTP process that is told to stop ends with its last answer.
    pub(super) fn leave_if_done(&mut self, process: usize) {
        let it = &self.processes[process];
        if it.state == State::Draining && it.api.is_idle() && it.pages == 0 {
            self.leave(process, false);
        }
    }

    pub(super) fn grace_over(&mut self, process: usize, life: u32) {
        let it = &self.processes[process];
        if it.life == life && it.state == State::Draining {
            self.leave(process, true);
        }
    }

    fn leave(&mut self, process: usize, forced: bool) {
        let name = self.processes[process].name.clone();
        self.say(name, What::Fleet(FleetEvent::Stopped { forced }));
        self.end_process(process, Some(i32::from(forced)), None);
    }

    /// A graceful stop: the order is done when the process has ended.
    pub(super) fn stop_process(&mut self, process: usize, grace: Span, order: Order) {
        let it = &mut self.processes[process];
        if !it.is_on() {
            let reason = format!("{} is gone already", it.name);
            return self.unproved(order, reason);
        }
        let (pid, life) = (it.pid, it.life);
        it.stop = Some((order, format!("virtual time: pid {pid} ended after SIGTERM")));
        self.plan_after(grace, Planned::KillAfterGrace { process, life });
        self.terminate(process);
    }

    pub(super) fn kill_after_grace(&mut self, process: usize, life: u32) {
        let it = &mut self.processes[process];
        if it.life == life
            && let Some((_, proof)) = &mut it.stop
        {
            proof.push_str("; it had to be killed");
            self.end_process(process, None, Some(number(Signal::Kill)));
        }
    }

    pub(super) fn pause(&mut self, process: usize) -> Result<String, String> {
        let it = &mut self.processes[process];
        if !it.is_on() {
            return Err(format!("{} is gone already", it.name));
        }
        self.standing += u32::from(!std::mem::replace(&mut it.paused, true));
        Ok(format!("virtual time: pid {} stands still", it.pid))
    }

    pub(super) fn resume(&mut self, process: usize) -> String {
        let it = &mut self.processes[process];
        self.standing -= u32::from(std::mem::take(&mut it.paused));
        let proof = format!("virtual time: pid {} runs", it.pid);
        self.let_go(process);
        proof
    }

    /// What waited for the process happens now, if it runs.
    pub(super) fn let_go(&mut self, process: usize) {
        let it = &mut self.processes[process];
        if !it.stands_still() {
            for planned in std::mem::take(&mut it.inbox) {
                self.plan(self.now, planned);
            }
        }
    }

    /// By name, for an order.
    pub(super) fn process_named(&self, name: &ProcessName) -> Option<usize> {
        self.processes.iter().position(|process| process.name == *name)
    }

    /// The process that must run for the event to happen, if there is one.
    pub(super) fn concerns(&self, planned: &Planned) -> Option<usize> {
        match planned {
            Planned::Boot { process, .. }
            | Planned::Grace { process, .. }
            | Planned::MemoryRead { process, .. }
            | Planned::PageDone { process, .. } => Some(*process),
            Planned::Wake { process, .. } => Some(*process as usize),
            Planned::Answer { client, .. }
            | Planned::Redial { client, .. }
            | Planned::DialLimit { client, .. }
            | Planned::ClientTimer { client, .. } => self.clients[*client].owner.process(),
            Planned::ExchangeLimit { exchange } => self.exchanges[*exchange].from.process(),
            _ => None,
        }
    }
}
