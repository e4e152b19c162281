//! The world of one scenario in virtual time: its processes on the protocol's machines, its links,
//! its stores, its faults. It implements [`Backend`], so the same conductor drives it.

mod asks;
mod client;
mod clock;
mod delays;
mod http;
mod inject;
mod limits;
mod monitor;
mod observe;
mod pages;
mod process;
mod program;
mod server;
mod signal;
mod trouble;
mod watch;
mod wire;

use std::collections::VecDeque;

use client::{Client, Owner, Request, Who};
pub use clock::EPOCH;
use delays::Delays;
use http::Exchange;
use monitor::Monitor;
use observe::{Collector, Prober, Producer, Saw};
use process::Process;
use program::Duty;
use server::{Server, Stores};
use trouble::Troubles;
use watch::{Asked, Watcher};
use wire::{Conn, Message, Peer, Wire};

use crate::backend::{Action, Backend, BackendError};
use crate::dist::Random;
use crate::fault::{Order, Trigger};
use crate::history::{Event, Heard, What};
use crate::names::{Endpoint, HARNESS, ProcessName, Store};
use crate::protocol::{Reply, StoreError};
use crate::scenario::{Ask, Enqueue, RedisDurability, Scenario};
use crate::sim::agenda::Agenda;
use crate::sim::store::{Postgres, Redis};
use crate::time::{Instant, Span};

/// Virtual time begins here, so that nothing is at the clock's origin by chance.
pub const BEGIN: Instant = Instant::from_nanos(1_000_000_000_000);

/// The simulator as a backend.
pub struct SimBackend(World);

impl SimBackend {
    /// Brings the scenario up; its processes start at [`BEGIN`].
    ///
    /// # Errors
    /// If the scenario needs what only real processes can do: programs that are not ours.
    pub fn open(scenario: &Scenario, seed: u64) -> Result<Self, BackendError> {
        let mut world = World::new(scenario, seed)?;
        let versions = vec![("simulator".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        world.tell(What::Versions(versions));
        for process in 0..world.processes.len() {
            world.start_process(process);
        }
        world.start_monitor();
        Ok(Self(world))
    }

    /// How many events of virtual time have happened: messages, timers, questions.
    #[must_use]
    pub const fn happened(&self) -> u64 {
        self.0.happened
    }
}

impl Backend for SimBackend {
    fn now(&self) -> Instant {
        self.0.now
    }

    fn next_event(&mut self, until: Instant) -> Option<Event> {
        self.0.next_event(until)
    }

    fn perform(&mut self, action: Action) {
        let world = &mut self.0;
        match action {
            Action::Enqueue(job) => world.enqueue(*job),
            Action::Inject { order, at } => world.inject(order, at),
            Action::StartProbes => {
                world.prober.on = true;
                if world.prober.asks_something() {
                    world.plan_ask(world.now);
                }
                world.start_watches();
            }
            Action::StopProbes => {
                world.prober.on = false;
                world.watching = false;
            }
            Action::Collect => world.collect(),
            // A scenario with gates was not opened.
            Action::ArmGate { .. } | Action::OpenGate { .. } => {}
        }
    }

    fn tear_down(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What happens at its time. Small, since there is a lot of it: indices have 32 bits where it fills a
/// variant, and what is rare is in a box.
#[derive(Debug)]
enum Planned {
    Boot { process: usize, life: u32 },
    Wake { process: u32, life: u32, due: Instant },
    Terminate { process: usize },
    Grace { process: usize, life: u32 },
    KillAfterGrace { process: usize, life: u32 },
    Upstream { conn: usize },
    Reach { conn: u32, way: u8, message: Message },
    Pump { conn: usize, way: usize },
    Receive { conn: u32, message: Message },
    AtPort { conn: u32, message: Message },
    Redial { client: usize, epoch: u32 },
    DialLimit { client: usize, epoch: u32 },
    ClientTimer { client: usize, at: Instant },
    Answer { client: usize, life: u32, answer: Box<(Who, Result<Reply, StoreError>)> },
    ExchangeLimit { exchange: usize },
    PageDone { process: usize, life: u32, conn: usize },
    MemoryRead { process: usize, life: u32 },
    Grow { process: usize, life: u32, every: Span, order: Box<Order> },
    Refilled { process: usize, life: u32 },
    Panic { process: usize },
    Fire { order: Box<Order> },
    StoreReady { store: Store, order: Box<Order> },
    Occupied { number: u32, each: Span, every: Span },
    Unoccupied,
    Expired { keys: Box<[String]> },
    StatementLimit,
    AskArrives { asked: Instant },
    AskIsThere { ask: usize },
    AskLimit,
    Sampled { ask: u32, saw: Saw },
    WatchTick { watch: usize },
    WatchArrives { asked: Asked },
    WatchLimit { watch: usize },
    WatchHeard { asked: Asked, answer: Box<Heard> },
    Scrape { target: usize },
    ScrapeArrives { scrape: usize, process: usize },
    ScrapeLimit { scrape: usize },
    Scraped { scrape: usize },
    Evaluate { group: usize },
    Read,
    Nothing,
}

/// What is planned, each at a place of its own: the agenda moves places about, which are smaller.
#[derive(Debug, Default)]
struct Plans {
    places: Vec<Planned>,
    free: Vec<u32>,
}

impl Plans {
    #[inline]
    fn put(&mut self, planned: Planned) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = planned;
            return place;
        }
        self.places.push(planned);
        self.places.len() as u32 - 1
    }

    #[inline]
    fn take(&mut self, place: u32) -> Planned {
        self.free.push(place);
        std::mem::replace(&mut self.places[place as usize], Planned::Nothing)
    }
}

struct World {
    now: Instant,
    agenda: Agenda<u32>,
    planned: Plans,
    random: Random,
    delays: Delays,
    wires: Vec<Wire>,
    conns: Vec<Conn>,
    clients: Vec<Client>,
    processes: Vec<Process>,
    exchanges: Vec<Exchange>,
    stores: Stores,
    troubles: Troubles,
    enqueue_by: Enqueue,
    producer: Producer,
    prober: Prober,
    watchers: Vec<Watcher>,
    watching: bool,
    collector: Collector,
    monitor: Option<Box<Monitor>>,
    /// Boxes that requests have left.
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept: they travel in messages")]
    boxes: Vec<Box<Request>>,
    /// What has happened so far.
    happened: u64,
    /// Processes that stand still, and those that will when they have done too much.
    standing: u32,
    /// Some process was once started wrongly.
    misfits: bool,
    /// Processes started so far.
    pids: u32,
    harness: ProcessName,
    /// What the run is to be told.
    said: VecDeque<Event>,
}

impl World {
    fn new(scenario: &Scenario, seed: u64) -> Result<Self, BackendError> {
        if scenario.faults.iter().any(|fault| matches!(fault.when, Trigger::Wire(_))) {
            return Err(unsupported("a `wire` trigger: commands have no bytes in virtual time"));
        }
        let fleet = &scenario.fleet;
        let mut processes = Vec::new();
        for spec in &fleet.processes {
            let duty = Duty::of(&spec.program)
                .ok_or_else(|| unsupported("programs of its own, which do not run in virtual time"))?;
            processes.push(Process::new(spec, duty));
        }
        if matches!(
            fleet.enqueue,
            Enqueue::Redis { .. } | Enqueue::Sql { .. } | Enqueue::Program { .. } | Enqueue::Call { .. }
        ) {
            return Err(unsupported("an enqueue of its own, which is not modelled"));
        }
        trouble::check(&scenario.faults)?;
        let stores = stores(scenario, &processes).ok_or_else(|| unsupported("no process"))?;
        let mut random = Random::stream(seed, "simulator");
        let monitor = Monitor::new(scenario, BEGIN, &mut random)?;
        let mut world = Self {
            now: BEGIN,
            agenda: Agenda::beginning_at(BEGIN),
            planned: Plans::default(),
            random,
            delays: Delays::default(),
            wires: Vec::new(),
            conns: Vec::new(),
            clients: Vec::new(),
            processes,
            exchanges: Vec::new(),
            stores,
            troubles: Troubles::default(),
            enqueue_by: fleet.enqueue.clone(),
            producer: Producer::default(),
            prober: Prober::new(fleet.liveness.as_ref(), None),
            watchers: Vec::new(),
            watching: false,
            collector: Collector::default(),
            monitor,
            boxes: Vec::new(),
            happened: 0,
            standing: 0,
            misfits: false,
            pids: 0,
            harness: HARNESS.into(),
            said: VecDeque::new(),
        };
        world.lay_wires(scenario)?;
        if let Some(Ask::Http { process, .. }) = fleet.liveness.as_ref().map(|probe| &probe.ask) {
            let api = world.process_named(process).ok_or_else(|| unsupported("a probe of nothing"))?;
            world.prober = Prober::new(fleet.liveness.as_ref(), Some(api));
        }
        world.lay_watches(&scenario.watches)?;
        Ok(world)
    }

    fn lay_wires(&mut self, scenario: &Scenario) -> Result<(), BackendError> {
        for link in scenario.fleet.links() {
            let peer = match &link.to {
                Endpoint::Store(store) => Peer::Store(*store),
                Endpoint::Process(name) => {
                    Peer::Process(self.process_named(name).ok_or_else(|| unsupported("a link to nowhere"))?)
                }
            };
            let wire = self.wires.len();
            let from = self.process_named(&link.from);
            self.wires.push(Wire::new(link.clone(), peer));
            let end = match (peer, from) {
                (Peer::Store(store), _) => {
                    let patience = from.map_or(Span::from_secs(1), |p| self.processes[p].duty.patience());
                    let owner = from.map_or(Owner::Producer, Owner::Process);
                    self.clients.push(Client::new(owner, wire, store, patience));
                    self.clients.len() - 1
                }
                (Peer::Process(_), _) => wire,
            };
            match (from, peer) {
                (Some(process), _) => self.processes[process].link(&link.to, end),
                (None, Peer::Store(_)) => {
                    self.producer.client = Some(end);
                    self.open_client(end);
                }
                (None, Peer::Process(_)) => self.producer.wire = wire,
            }
        }
        Ok(())
    }

    /// The next thing that the run is to be told, or `None` once it is `until`.
    fn next_event(&mut self, until: Instant) -> Option<Event> {
        loop {
            if let Some(event) = self.said.pop_front() {
                return Some(event);
            }
            let Some((at, place)) = self.agenda.pop_until(until) else { break };
            self.now = self.now.max(at);
            let planned = self.planned.take(place);
            self.happen(planned);
        }
        self.now = self.now.max(until);
        None
    }

    fn happen(&mut self, planned: Planned) {
        self.happened += 1;
        if self.standing > 0 {
            // Rare, and it moves the event about.
            if let Some(planned) = self.unless_its_process_stands_still(planned) {
                self.come_to_pass(planned);
            }
        } else {
            self.come_to_pass(planned);
        }
    }

    fn come_to_pass(&mut self, planned: Planned) {
        match planned {
            Planned::Reach { conn, way, message } => {
                self.reach(conn as usize, usize::from(way), message);
            }
            Planned::Wake { process, life, due } => self.wake(process as usize, life, due),
            Planned::Boot { process, life } => self.boot(process, life),
            Planned::Terminate { process } => self.terminate(process),
            Planned::Grace { process, life } => self.grace_over(process, life),
            Planned::KillAfterGrace { process, life } => self.kill_after_grace(process, life),
            Planned::Upstream { conn } => self.upstream(conn),
            Planned::Pump { conn, way } => self.pump(conn, way),
            Planned::Receive { conn, message } => self.receive(conn as usize, message),
            Planned::AtPort { conn, message } => self.at_port(conn as usize, message),
            Planned::Redial { client, epoch } => self.redial(client, epoch),
            Planned::DialLimit { client, epoch } => self.dial_limit(client, epoch),
            Planned::ClientTimer { client, at } => self.client_timer(client, at),
            Planned::Answer { client, life, answer } => {
                if self.life_of(self.clients[client].owner) == life {
                    let (who, result) = *answer;
                    self.answered(client, who, result);
                }
            }
            Planned::ExchangeLimit { exchange } => self.exchange_limit(exchange),
            Planned::PageDone { process, life, conn } => self.page_done(process, life, conn),
            Planned::MemoryRead { process, life } => self.memory_read(process, life),
            Planned::Grow { process, life, every, order } => self.grow(process, life, every, order),
            Planned::Refilled { process, life } => self.refilled(process, life),
            Planned::Panic { process } => self.panic_in(process),
            Planned::Fire { order } => self.fire(*order),
            Planned::StoreReady { store, order } => self.store_ready(store, *order),
            Planned::Occupied { number, each, every } => self.occupied(number, each, every),
            Planned::Unoccupied => self.unoccupied(),
            Planned::Expired { keys } => self.expired(&keys),
            Planned::StatementLimit => self.statement_limit(),
            Planned::AskArrives { asked } => self.ask_arrives(asked),
            Planned::AskIsThere { ask } => self.ask_is_there(ask),
            Planned::AskLimit => self.ask_limit(),
            Planned::Sampled { ask, saw } => self.saw(ask as usize, saw),
            Planned::WatchTick { watch } => self.watch_tick(watch),
            Planned::WatchArrives { asked } => self.watch_arrives(asked),
            Planned::WatchLimit { watch } => self.watch_limit(watch),
            Planned::WatchHeard { asked, answer } => self.heard(asked, *answer),
            Planned::Scrape { target } => self.scrape(target),
            Planned::ScrapeArrives { scrape, process } => self.scrape_arrives(scrape, process),
            Planned::ScrapeLimit { scrape } => self.scraped(scrape, false),
            Planned::Scraped { scrape } => self.scraped(scrape, true),
            Planned::Evaluate { group } => self.evaluate(group),
            Planned::Read => self.read(),
            Planned::Nothing => {}
        }
    }

    fn plan(&mut self, at: Instant, planned: Planned) {
        let place = self.planned.put(planned);
        self.agenda.push(at, place);
    }

    fn plan_after(&mut self, wait: Span, planned: Planned) {
        self.plan(self.now + wait, planned);
    }

    /// When a message that is sent now has arrived.
    fn plan_after_message(&mut self, planned: Planned) {
        let wait = self.delay_of_message();
        self.plan_after(wait, planned);
    }

    fn say(&mut self, by: ProcessName, ev: What) {
        self.said.push_back(Event { at: self.now, by, ev });
    }

    /// What the harness itself has to say.
    fn tell(&mut self, ev: What) {
        self.say(self.harness.clone(), ev);
    }

    fn delay_of_message(&mut self) -> Span {
        self.delays.message.sample(&mut self.random)
    }
}

/// `None` without a process, whose settings say how the stores are used.
fn stores(scenario: &Scenario, processes: &[Process]) -> Option<Stores> {
    let (prefix, keep_failed) = processes.first()?.duty.keys();
    let mut postgres = Postgres::new();
    if processes.iter().any(|process| process.duty.sweeps_are_refused()) {
        postgres.refuse_sweeps();
    }
    let durability = scenario.stack.redis.as_ref().map_or(RedisDurability::None, |redis| redis.durability);
    Some(Stores {
        redis: Redis::new(prefix, keep_failed, durability),
        elsewhere: Redis::new(prefix, keep_failed, durability),
        postgres,
        clocks: Store::ALL.map(|_| clock::WallClock::default()),
        servers: Store::ALL.map(|_| Server::new()),
    })
}

fn unsupported(what: &str) -> BackendError {
    BackendError::Unsupported(format!("the simulator cannot run this scenario: it has {what}"))
}
