//! A backend in virtual time. Its workers claim, do steps and complete; its clock moves only when the
//! run waits, so that every instant in a test is exact.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::backend::{Action, Backend};
use crate::fault::wire::Side;
use crate::fault::{FaultId, Injection, Order};
use crate::history::wire::Wiretap;
use crate::history::{EnqueueOutcome, Event, FinalState, Sample, What};
use crate::names::{Endpoint, HARNESS, JobId, Link, PRODUCER, ProcessName, Store};
use crate::protocol::{FleetEvent, JobSpec};
use crate::scenario::Scenario;
use crate::time::{Instant, Span};

/// From a claim, an enqueue, a reading or an injection to its event.
pub(super) const LAG: Span = Span::from_millis(1);
/// How often the run may look without the time going on, before it is taken to spin.
const SPINS_MAX: u32 = 1_000;

/// What comes of an order, the effect apart, which always takes place at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Proved,
    Unproved,
    After(Span),
    Never,
}

/// How the system under test behaves.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub answer: fn(&Order) -> Answer,
    /// Processes that are never started.
    pub absent: Vec<&'static str>,
    /// Processes that end by themselves, so long after the beginning.
    pub ends: Vec<(&'static str, Span)>,
    /// What processes say besides, so long after the beginning.
    pub says: Vec<(&'static str, Span, FleetEvent)>,
    /// The host stands still: how long, so long after the beginning.
    pub stalls: Vec<(Span, Span)>,
    /// What a gate catches, so long after it is armed: whose command, and which fault's gate.
    pub caught: Vec<(u16, &'static str, Span)>,
    /// Jobs that nobody ever takes.
    pub stuck: Vec<&'static str>,
    /// Jobs whose enqueue has no acknowledgement.
    pub unacknowledged: Vec<&'static str>,
    /// What the probe says at the beginning and from the given time on.
    pub alive: (bool, Span, bool),
    /// How long a reading takes, and how many are answered.
    pub reading: (Span, u32),
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answer: |_| Answer::Proved,
            absent: Vec::new(),
            ends: Vec::new(),
            says: Vec::new(),
            stalls: Vec::new(),
            caught: Vec::new(),
            stuck: Vec::new(),
            unacknowledged: Vec::new(),
            alive: (true, Span::ZERO, true),
            reading: (LAG, u32::MAX),
        }
    }
}

#[derive(Debug)]
enum Planned {
    Say(ProcessName, What),
    End(ProcessName),
    /// The worker goes on with its job, if it still lives this life.
    Work {
        worker: ProcessName,
        life: u32,
    },
    Fire {
        order: Order,
        due: Instant,
    },
    Probe,
    Read,
}

#[derive(Debug, Default)]
struct Process {
    up: bool,
    life: u32,
    /// What it holds.
    job: Option<JobId>,
}

#[derive(Debug)]
struct Job {
    spec: JobSpec,
    saved: u32,
    claims: u32,
    done: bool,
}

#[derive(Debug)]
pub(super) struct Fake {
    script: Script,
    probe_every: Option<Span>,
    pub now: Instant,
    begin: Instant,
    number: u64,
    planned: BTreeMap<(Instant, u64), Planned>,
    processes: BTreeMap<ProcessName, Process>,
    workers: BTreeSet<ProcessName>,
    jobs: BTreeMap<JobId, Job>,
    waiting: VecDeque<JobId>,
    readings: u32,
    probing: bool,
    spins: u32,
    pub performed: Vec<(Instant, Action)>,
}

impl Fake {
    pub fn new(scenario: &Scenario, script: Script) -> Self {
        let begin = Instant::ZERO + Span::from_secs(1_000);
        let specs = &scenario.fleet.processes;
        let mut fake = Self {
            probe_every: scenario.fleet.liveness.as_ref().map(|probe| probe.every),
            now: begin,
            begin,
            number: 0,
            planned: BTreeMap::new(),
            processes: specs.iter().map(|spec| (spec.name.clone(), Process::default())).collect(),
            workers: specs.iter().filter(|s| s.role == "worker").map(|s| s.name.clone()).collect(),
            jobs: BTreeMap::new(),
            waiting: VecDeque::new(),
            readings: 0,
            probing: false,
            spins: 0,
            performed: Vec::new(),
            script,
        };
        for spec in specs {
            if !fake.script.absent.contains(&spec.name.as_str()) {
                fake.start(&spec.name);
            }
        }
        for (name, after) in fake.script.ends.clone() {
            fake.plan(begin + after, Planned::End(name.into()));
        }
        for (after, stall) in fake.script.stalls.clone() {
            fake.plan(begin + after, Planned::Say(HARNESS.into(), What::Hiccup { stall }));
        }
        for (name, after, says) in fake.script.says.clone() {
            fake.plan(begin + after, Planned::Say(name.into(), What::Fleet(says)));
        }
        fake
    }

    fn plan(&mut self, at: Instant, planned: Planned) {
        self.number += 1;
        self.planned.insert((at, self.number), planned);
    }

    fn say(&mut self, by: &ProcessName, what: What) {
        self.plan(self.now, Planned::Say(by.clone(), what));
    }

    fn start(&mut self, name: &ProcessName) {
        let process = self.processes.get_mut(name).expect("the process is the scenario's");
        process.up = true;
        process.life += 1;
        let generation = process.life;
        self.say(name, What::Started { generation, pid: 1 });
        self.claim();
    }

    fn end(&mut self, name: &ProcessName) {
        let process = self.processes.get_mut(name).expect("the process is the scenario's");
        if !process.up {
            return;
        }
        process.up = false;
        let generation = process.life;
        self.waiting.extend(process.job.take());
        self.say(name, What::Exited { generation, code: None, signal: Some(9) });
        self.claim();
    }

    /// Free workers take what waits, the first worker the first job.
    fn claim(&mut self) {
        for worker in self.workers.clone() {
            let process = &self.processes[&worker];
            let life = process.life;
            if !process.up || process.job.is_some() {
                continue;
            }
            let Some(id) = self.waiting.pop_front() else { return };
            let job = self.jobs.get_mut(&id).expect("what waits was enqueued");
            job.claims += 1;
            let claimed = FleetEvent::Claimed { job: id.clone(), attempt: 1, stalls: job.claims - 1 };
            let step = job.spec.steps[job.saved as usize];
            self.processes.get_mut(&worker).expect("it was found").job = Some(id);
            self.say(&worker, What::Fleet(claimed));
            self.plan(self.now + step, Planned::Work { worker, life });
        }
    }

    fn work(&mut self, worker: &ProcessName, life: u32) {
        let process = &self.processes[worker];
        let Some(id) = process.job.clone().filter(|_| process.up && process.life == life) else { return };
        let job = self.jobs.get_mut(&id).expect("what is held was enqueued");
        job.saved += 1;
        let step = FleetEvent::StepDone { job: id.clone(), step: job.saved, fresh: true };
        let next = job.spec.steps.get(job.saved as usize).copied();
        job.done = next.is_none();
        self.say(worker, What::Fleet(step));
        if let Some(next) = next {
            self.plan(self.now + next, Planned::Work { worker: worker.clone(), life });
        } else {
            self.say(worker, What::Fleet(FleetEvent::Completed { job: id }));
            self.processes.get_mut(worker).expect("it was found").job = None;
            self.claim();
        }
    }

    fn fire(&mut self, order: Order, due: Instant) {
        match &order.injection {
            Injection::Signal { process, .. } | Injection::Stop { process, .. } => self.end(process),
            Injection::Start { process } => self.start(process),
            _ => {}
        }
        let fired = self.now;
        let lateness = fired.since(due);
        let done = What::FaultDone {
            order: Box::new(order.clone()),
            effective: (fired, fired),
            lateness,
            proof: "seen".to_owned(),
        };
        let (wait, what) = match (self.script.answer)(&order) {
            Answer::Proved => (LAG, done),
            Answer::After(wait) => (wait, done),
            Answer::Unproved => {
                (LAG, What::FaultUnproved { order: Box::new(order), reason: "nobody saw it".to_owned() })
            }
            Answer::Never => return,
        };
        self.plan(self.now + wait, Planned::Say(HARNESS.into(), what));
    }

    fn enqueue(&mut self, spec: JobSpec) {
        let id = spec.id.clone();
        let producer = ProcessName::from(PRODUCER);
        let acknowledged = !self.script.unacknowledged.contains(&id.as_str());
        let outcome = if acknowledged {
            EnqueueOutcome::Acknowledged
        } else {
            EnqueueOutcome::Unknown("no answer".to_owned())
        };
        self.say(&producer, What::EnqueueAsked { job: id.clone() });
        let answer = What::EnqueueAnswered { job: id.clone(), asked: self.now, outcome };
        self.plan(self.now + LAG, Planned::Say(producer, answer));
        if !self.script.stuck.contains(&id.as_str()) {
            self.waiting.push_back(id.clone());
        }
        self.jobs.insert(id, Job { spec, saved: 0, claims: 0, done: false });
        self.claim();
    }

    fn probe(&mut self) {
        let Some(every) = self.probe_every.filter(|_| self.probing) else { return };
        let (before, from, after) = self.script.alive;
        let alive = if self.now >= self.begin + from { after } else { before };
        let sample = Sample::Alive { subject: None, alive };
        self.say(&HARNESS.into(), What::Probe { asked: self.now, sample });
        self.plan(self.now + every, Planned::Probe);
    }

    fn read(&mut self) {
        let known = self.jobs.iter().map(|(id, job)| {
            let state = FinalState {
                effects: u32::from(job.done),
                failed: false,
                steps: (1..=job.saved).collect(),
                by: Vec::new(),
            };
            What::JobState { job: id.clone(), state }
        });
        for state in known.collect::<Vec<_>>() {
            self.say(&HARNESS.into(), state);
        }
        self.say(&HARNESS.into(), What::Collected { error: None });
    }
}

impl Fake {
    fn catch(&mut self, fault: FaultId) {
        for (_, sender, after) in self.script.caught.clone().iter().filter(|(of, ..)| *of == fault.0) {
            let link = Link { from: (*sender).into(), to: Endpoint::Store(Store::Redis) };
            let (side, command) = (Side::Before, "DONE".to_owned());
            let caught = Wiretap::Caught { fault, link, side, nth: 1, command };
            self.plan(self.now + *after, Planned::Say(HARNESS.into(), What::Wire(caught)));
        }
    }
}

impl Backend for Fake {
    fn now(&self) -> Instant {
        self.now
    }

    fn next_event(&mut self, until: Instant) -> Option<Event> {
        let before = self.now;
        while let Some(next) = self.planned.first_entry() {
            let at = next.key().0;
            if at > until.max(self.now) {
                break;
            }
            self.now = self.now.max(at);
            match next.remove() {
                Planned::Say(by, ev) => {
                    self.spins = 0;
                    return Some(Event { at: self.now, by, ev });
                }
                Planned::End(name) => self.end(&name),
                Planned::Work { worker, life } => self.work(&worker, life),
                Planned::Fire { order, due } => self.fire(order, due),
                Planned::Probe => self.probe(),
                Planned::Read => self.read(),
            }
        }
        self.now = self.now.max(until);
        self.spins = if self.now > before { 0 } else { self.spins + 1 };
        assert!(self.spins < SPINS_MAX, "the run asks for a time that has passed, again and again");
        None
    }

    fn perform(&mut self, action: Action) {
        self.performed.push((self.now, action.clone()));
        match action {
            Action::Enqueue(spec) => self.enqueue(*spec),
            Action::Inject { order, at } => {
                self.plan(at.max(self.now), Planned::Fire { order, due: at });
            }
            Action::StartProbes => {
                self.probing = true;
                self.plan(self.now, Planned::Probe);
            }
            Action::StopProbes => self.probing = false,
            Action::ArmGate { fault, .. } => self.catch(fault),
            Action::OpenGate { .. } => {}
            Action::Collect => {
                self.readings += 1;
                let (takes, answered) = self.script.reading;
                if self.readings <= answered {
                    self.plan(self.now + takes, Planned::Read);
                }
            }
        }
    }

    fn tear_down(&mut self) -> Vec<String> {
        Vec::new()
    }
}
