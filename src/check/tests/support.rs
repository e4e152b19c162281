//! Synthetic runs: a scenario and a history, built event by event. Times are milliseconds after the
//! workload's start.

use std::collections::BTreeMap;

use crate::check::{CheckResult, Judged, Verdict, judge};
use crate::dist::Distribution;
use crate::fault::{
    Direction, Fault, FaultId, FaultKind, Injection, JobRef, LinkSelector, Order, OutageKind, Signal, Stage,
    Target, Toxic, Trigger,
};
use crate::history::log::{History, LogWriter};
use crate::history::{EnqueueOutcome, Event, FORMAT, FinalState, Header, Phase, Sample, What};
use crate::names::{HARNESS, JobId, PRODUCER, ProcessName, Store};
use crate::protocol::{Backoff, FleetEvent};
use crate::scenario::{
    Ask, EffectQuery, Enqueue, Expect, Fleet, Probe, ProcessSpec, Program, RedisDurability, RedisSpec,
    Scenario, Stack, Workload,
};
use crate::time::{Instant, Scale, SignedSpan, Span};
use crate::timing::Pipeline;
use crate::timing::tests::{s0_new, s3};

#[derive(Clone)]
pub(super) struct Run {
    pub scenario: Scenario,
    pub events: Vec<Event>,
    parts: BTreeMap<FaultId, u16>,
    pub end: u64,
}

/// The workload starts here, so that there is a time before it.
pub(super) fn at(ms: u64) -> Instant {
    Instant::ZERO + Span::from_secs(1_000) + Span::from_millis(ms)
}

pub(super) fn ms(ms: u64) -> Span {
    Span::from_millis(ms)
}

impl Run {
    /// Two workers that prove their life by a key for both, and an api; no fault.
    pub fn s0(end: u64) -> Self {
        let ask = Ask::Http {
            process: "api".into(),
            path: "/api/health".to_owned(),
            pointer: "/workers/online".to_owned(),
        };
        let mut run = Self::new(scenario(s0_new(), ask), end);
        for worker in ["worker-1", "worker-2"] {
            run.start(0, worker);
        }
        run
    }

    /// Two workers on the queue, and no fault.
    pub fn s3(end: u64) -> Self {
        let mut run = Self::new(scenario(s3(), Ask::RedisStalls { command: Vec::new() }), end);
        for worker in ["worker-1", "worker-2"] {
            run.start(0, worker);
        }
        run
    }

    fn new(scenario: Scenario, end: u64) -> Self {
        let mut run = Self { scenario, events: Vec::new(), parts: BTreeMap::new(), end };
        let header = Header {
            format: FORMAT,
            run_id: "run".to_owned(),
            path: "scenarios/one.yaml".to_owned(),
            source: String::new(),
            rules: None,
            backend: "process".to_owned(),
            seed: 7,
            time_scale: None,
            started_at: "2026-11-22T00:00:00Z".to_owned(),
            repeat: 1,
            replay: "syncope run".to_owned(),
        };
        run.events.push(Event {
            at: Instant::ZERO + Span::from_secs(990),
            by: HARNESS.into(),
            ev: What::Header(Box::new(header)),
        });
        run.push(0, HARNESS, What::Phase(Phase::Inject));
        run
    }

    pub fn push(&mut self, time: u64, by: &str, ev: What) -> &mut Self {
        self.events.push(Event { at: at(time), by: by.into(), ev });
        self
    }

    pub fn says(&mut self, time: u64, by: &str, said: FleetEvent) -> &mut Self {
        self.push(time, by, What::Fleet(said))
    }

    pub fn start(&mut self, time: u64, process: &str) -> &mut Self {
        self.push(time, process, What::Started { generation: 1, pid: 1 });
        self.says(time, process, FleetEvent::Ready { pid: 1 })
    }

    /// Beats of the process, each written in 2 ms.
    pub fn beats(&mut self, process: &str, from: u64, to: u64, every: u64) -> &mut Self {
        let mut time = from;
        while time <= to {
            self.says(time + 2, process, FleetEvent::Beat { sent: at(time) });
            time += every;
        }
        self
    }

    /// A probe of the fleet every 100 ms that takes 10 ms; `None`: not answered.
    pub fn probes(&mut self, from: u64, to: u64, alive: impl Fn(u64) -> Option<bool>) -> &mut Self {
        for time in (from..to).step_by(100) {
            let sample = match alive(time) {
                Some(alive) => Sample::Alive { subject: None, alive },
                None => Sample::Unknown { error: "no answer".to_owned() },
            };
            self.push(time + 10, HARNESS, What::Probe { asked: at(time), sample });
        }
        self
    }

    /// A probe of the queue every 100 ms that takes 10 ms: which job was taken when.
    pub fn stalls(&mut self, from: u64, to: u64, taken: &[(u64, &str)]) -> &mut Self {
        for time in (from..to).step_by(100) {
            let mut counts: BTreeMap<JobId, u32> = BTreeMap::new();
            for (_, job) in taken.iter().filter(|(when, _)| *when <= time) {
                *counts.entry((*job).into()).or_default() += 1;
            }
            let sample = Sample::Stalls(counts.into_iter().collect());
            self.push(time + 10, HARNESS, What::Probe { asked: at(time), sample });
        }
        self
    }

    pub fn enqueue(&mut self, time: u64, job: &str, outcome: EnqueueOutcome) -> &mut Self {
        self.push(time, PRODUCER, What::EnqueueAsked { job: job.into() });
        let answered = What::EnqueueAnswered { job: job.into(), asked: at(time), outcome };
        self.push(time + 1, PRODUCER, answered)
    }

    pub fn claim(&mut self, time: u64, worker: &str, job: &str) -> &mut Self {
        self.says(time, worker, FleetEvent::Claimed { job: job.into(), attempt: 1, stalls: 0 })
    }

    pub fn step(&mut self, time: u64, worker: &str, job: &str, step: u32) -> &mut Self {
        self.says(time, worker, FleetEvent::StepDone { job: job.into(), step, fresh: true })
    }

    /// The effect and, a millisecond later, the completion.
    pub fn complete(&mut self, time: u64, worker: &str, job: &str) -> &mut Self {
        self.says(time, worker, FleetEvent::EffectDone { job: job.into() });
        self.says(time + 1, worker, FleetEvent::Completed { job: job.into() })
    }

    pub fn state(&mut self, job: &str, effects: u32, failed: bool, steps: &[u32]) -> &mut Self {
        let state = FinalState { effects, failed, steps: steps.to_vec(), by: Vec::new() };
        self.push(self.end, HARNESS, What::JobState { job: job.into(), state })
    }

    /// An acknowledged job that a worker does in one go, from its claim.
    pub fn whole_job(&mut self, time: u64, worker: &str, job: &str, lasting: u64) -> &mut Self {
        self.enqueue(time, job, EnqueueOutcome::Acknowledged).claim(time + 1, worker, job);
        self.complete(time + 1 + lasting, worker, job).state(job, 1, false, &[])
    }

    pub fn kill(&mut self, time: u64, process: &str) -> &mut Self {
        let kind = FaultKind::Kill {
            target: Target::Process(process.into()),
            signal: Signal::Kill,
            restart_after: None,
        };
        let id = self.fault(kind);
        self.injected(
            id,
            Stage::Onset,
            time,
            Injection::Signal { process: process.into(), signal: Signal::Kill },
        );
        self.exited(time + 5, process, None, Some(9))
    }

    pub fn exited(&mut self, time: u64, process: &str, code: Option<i32>, signal: Option<i32>) -> &mut Self {
        self.push(time, process, What::Exited { generation: 1, code, signal })
    }

    pub fn pause(&mut self, from: u64, to: u64, processes: &[&str]) -> &mut Self {
        let target = match processes {
            [one] => Target::Process((*one).into()),
            _ => Target::Role("worker".to_owned()),
        };
        let id = self.fault(FaultKind::Pause { target, lasting: ms(to - from) });
        for process in processes {
            self.lasting(
                id,
                (from, to),
                Injection::Pause { process: (*process).into() },
                Injection::Resume { process: (*process).into() },
            );
        }
        self
    }

    pub fn outage(&mut self, from: u64, to: u64, store: Store) -> &mut Self {
        let how = OutageKind::Refuse;
        let id = self.fault(FaultKind::Outage { store, how, lasting: ms(to - from) });
        self.lasting(id, (from, to), Injection::StoreDown { store, how }, Injection::StoreUp { store, how })
    }

    pub fn clock_step(&mut self, time: u64, process: &str, seconds: i64) -> &mut Self {
        let by = SignedSpan(seconds * 1_000_000_000);
        let target = Target::Process(process.into());
        let id = self.fault(FaultKind::ClockStep { target, by, lasting: None });
        self.lasting(
            id,
            (time, self.end - 1),
            Injection::ClockStep { process: process.into(), by },
            Injection::ClockReset { process: process.into() },
        )
    }

    pub fn slow_link(&mut self, from: u64, to: u64, process: &str, latency: u64) -> &mut Self {
        let toxic = Toxic::Latency { latency: ms(latency), jitter: Span::ZERO, direction: Direction::Both };
        let links = LinkSelector { from: Some(Target::Process(process.into())), to: None };
        let id = self.fault(FaultKind::Network { links, toxic, lasting: ms(to - from) });
        let link =
            crate::names::Link { from: process.into(), to: crate::names::Endpoint::Store(Store::Redis) };
        self.lasting(
            id,
            (from, to),
            Injection::Toxic { links: vec![link.clone()], toxic },
            Injection::ClearToxic { links: vec![link], toxic },
        )
    }

    /// Enters a fault into the scenario.
    pub fn fault(&mut self, kind: FaultKind) -> FaultId {
        let id = FaultId(u16::try_from(self.scenario.faults.len()).unwrap());
        let when = Trigger::Claimed { job: JobRef::Any, nth: 1, after: Span::ZERO };
        self.scenario.faults.push(Fault { id, kind, when });
        id
    }

    fn lasting(
        &mut self,
        id: FaultId,
        (from, to): (u64, u64),
        onset: Injection,
        heal: Injection,
    ) -> &mut Self {
        self.injected(id, Stage::Onset, from, onset);
        self.injected(id, Stage::Heal, to, heal)
    }

    /// Ordered, and done within 1 and 2 ms of it. After a heal a new part begins.
    pub fn injected(&mut self, id: FaultId, stage: Stage, time: u64, injection: Injection) -> &mut Self {
        let part = *self.parts.entry(id).or_insert(0);
        let order = Order { fault: id, part, stage, injection };
        self.push(time, HARNESS, What::FaultOrdered { order: Box::new(order.clone()) });
        let effective = (at(time + 1), at(time + 2));
        let proof = "seen in /proc".to_owned();
        let done =
            What::FaultDone { order: Box::new(order), effective, lateness: Span::from_micros(80), proof };
        self.push(time + 2, HARNESS, done);
        if stage == Stage::Heal {
            self.parts.insert(id, part + 1);
        }
        self
    }

    pub fn hiccup(&mut self, time: u64, stall: u64) -> &mut Self {
        self.push(time, HARNESS, What::Hiccup { stall: ms(stall) })
    }

    /// For so long, up to then, the process got no processor.
    pub fn starved(&mut self, time: u64, process: &str, waited: u64) -> &mut Self {
        let (process, waited) = (process.into(), ms(waited));
        self.push(time, HARNESS, What::Starved { process, waited, within: waited })
    }

    /// A whole run: collected, judged, ended.
    pub fn events_of_a_whole_run(&self) -> Vec<Event> {
        let mut run = self.clone();
        run.push(self.end, HARNESS, What::Collected { error: None });
        run.push(self.end, HARNESS, What::Phase(Phase::Judge));
        run.push(self.end + 1, HARNESS, What::End);
        run.events
    }

    pub fn judge(&self) -> Judged {
        self.judge_events(self.events_of_a_whole_run())
    }

    /// Written and read again, as a stored run is.
    pub fn judge_events(&self, events: Vec<Event>) -> Judged {
        let history = History::from_events(events, false).expect("the header comes first");
        let judged = judge(&self.scenario, &history);
        assert_eq!(judged, judge(&self.scenario, &stored(&history)), "a stored history judges the same");
        judged
    }
}

pub(super) fn stored(history: &History) -> History {
    let mut bytes = Vec::new();
    let mut writer = LogWriter::new(&mut bytes);
    for event in &history.events {
        writer.append(event).expect("a vector takes everything");
    }
    History::read(bytes.as_slice()).expect("what was written can be read")
}

pub(super) fn check_of<'j>(judged: &'j Judged, name: &str) -> &'j CheckResult {
    judged.checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("no check {name}"))
}

/// The named check has that verdict; what it says is shown if not.
#[track_caller]
pub(super) fn expect(what: &str, run: &Run, name: &str, verdict: Verdict) {
    let judged = run.judge();
    let check = check_of(&judged, name);
    assert_eq!(check.verdict, verdict, "{what}: {check:#?}");
}

fn scenario(pipeline: Pipeline, ask: Ask) -> Scenario {
    let process = |name: &str, role: &str, index: u32, serves_http: bool| ProcessSpec {
        serves_http,
        grace: Span::from_secs(5),
        ..ProcessSpec::new(
            ProcessName::new(name),
            role,
            index,
            Program::External { command: None, image: None, working_directory: None, recipe: None },
        )
    };
    Scenario {
        name: "one".to_owned(),
        about: String::new(),
        tags: Vec::new(),
        claims: vec!["S3-1".to_owned()],
        time_scale: Scale::ONE,
        seed: None,
        fleet: Fleet {
            system: "external".to_owned(),
            processes: vec![
                process("api", "api", 1, true),
                process("worker-1", "worker", 1, false),
                process("worker-2", "worker", 2, false),
            ],
            enqueue: Enqueue::Redis { command: Vec::new() },
            liveness: Some(Probe { every: ms(100), timeout: Span::from_secs(15), ask }),
            effects: EffectQuery {
                sql: Some("select".to_owned()),
                steps_sql: Some("select".to_owned()),
                ..EffectQuery::default()
            },
            state: None,
            pipeline: Some(pipeline),
            prepare: Vec::new(),
            concurrency: 1,
        },
        stack: Stack {
            prometheus: None,
            redis: Some(RedisSpec { durability: RedisDurability::Aof, image: None }),
            postgres: None,
        },
        workload: Workload {
            jobs: 1,
            arrival: Distribution::Constant(ms(500)),
            steps: 4,
            step_time: Distribution::Uniform { min: ms(500), max: ms(1_000) },
            attempts: 3,
            backoff: Backoff::Exponential(ms(1_000)),
            delay: Span::ZERO,
            timeout: None,
            large_timeout: None,
            failing: BTreeMap::new(),
            hanging: BTreeMap::new(),
            kinds: Vec::new(),
        },
        watches: Vec::new(),
        faults: Vec::new(),
        expect: Expect::default(),
        settle: Span::from_secs(60),
    }
}
