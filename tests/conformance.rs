//! One body of rules, two backends: what a history looks like, whatever made it. The simulator is
//! held to the same rules as real processes, and both must come to the same end.

use std::collections::BTreeMap;
use std::path::Path;

use syncope::backend::Backend;
use syncope::check::{self, Judged, Verdict};
use syncope::fault::Order;
use syncope::history::log::History;
use syncope::history::{Event, FORMAT, Header, Phase, Sample, What};
use syncope::live::Harness;
use syncope::live::provision::BackendKind;
use syncope::names::{HARNESS, JobId, ProcessName};
use syncope::protocol::FleetEvent;
use syncope::run;
use syncope::scenario::{Overrides, Scenario, Source, resolve};
use syncope::sim::SimBackend;
use syncope::time::{Instant, Scale, Span};

const SEED: u64 = 11;
/// What a real run must at least bear: no suite is there to run again what a stall of the host spoiled.
const STALL: Span = Span::from_millis(500);

/// Scenarios whose counts do not depend on who wins a race.
const SCENARIOS: [&str; 15] = [
    "redis-queue/queue-baseline",
    "redis-queue/queue-kill-9",
    "redis-queue/queue-gc-pause-tolerated",
    "redis-queue/queue-attempts-exhausted",
    "redis-queue/queue-postgres-outage-short",
    "redis-queue/queue-graceful-stop",
    "redis-heartbeat/heartbeat-baseline",
    "redis-heartbeat/heartbeat-kill-9",
    "worker-pool/pool-baseline",
    "worker-pool/pool-kill-9",
    "worker-pool/pool-over-maximum",
    "postgres-heartbeat/swept-baseline",
    "postgres-heartbeat/swept-kill-9",
    "postgres-jobs/jobs-baseline",
    "postgres-jobs/jobs-kill-9",
];

/// How many jobs a pool of eight slots holds when it is killed is a matter of chance; of one slot it is not.
const INSTEAD: [(&str, &str, &str); 1] =
    [("worker-pool/pool-kill-9", "worker_count: 4, concurrency: 2", "worker_count: 1, concurrency: 1")];

#[test]
fn both_backends_keep_the_rules_and_come_to_the_same_end() {
    // SAFETY: the only test of this program; nothing has read the environment yet.
    unsafe {
        std::env::set_var("SYNCOPE_BIN", env!("CARGO_BIN_EXE_syncope"));
        std::env::set_var("SYNCOPE_FLEET_BIN", env!("CARGO_BIN_EXE_syncope-fleet"));
    }
    let harness = Harness::start(&format!("conformance-{}", std::process::id())).unwrap();
    for (index, name) in (0..).zip(SCENARIOS) {
        let (text, scenario) = scenario(name);
        let mut real = harness.open(BackendKind::Process, &scenario, index).unwrap();
        let real = outcome(&mut real, "process", &text, &scenario);
        let mut simulated = SimBackend::open(&scenario, SEED).unwrap();
        let simulated = outcome(&mut simulated, "sim", &text, &scenario);
        if let Some(stalled) = real.stalled_host() {
            // Only of safety, then, and of what was asked for: that no stall excuses.
            println!("{name}: not compared as a whole: {stalled}");
            let safety = |judged: &Judged| (judged.jobs.acknowledged, judged.jobs.lost, judged.steps.lost);
            assert_eq!(safety(&simulated), safety(&real), "{name}: simulated, real");
            continue;
        }
        let (ends, reasons) = ([&simulated, &real].map(Ending::of), [&simulated.reasons, &real.reasons]);
        assert_eq!(ends[0], ends[1], "{name}: simulated, real; {reasons:?}");
    }
    harness.guard().close();
}

/// What must not depend on the backend.
#[derive(Debug, PartialEq)]
struct Ending {
    verdict: Verdict,
    acknowledged: u64,
    completed: u64,
    failed: u64,
    lost: u64,
    duplicated: u64,
    steps_lost: u64,
    mistakes: u64,
    faults_confirmed: usize,
    detections: usize,
}

impl Ending {
    fn of(judged: &Judged) -> Self {
        Self {
            verdict: judged.verdict,
            acknowledged: judged.jobs.acknowledged,
            completed: judged.jobs.completed,
            failed: judged.jobs.failed,
            lost: judged.jobs.lost,
            duplicated: judged.jobs.duplicated,
            steps_lost: judged.steps.lost,
            mistakes: judged.mistakes.count,
            faults_confirmed: judged.faults.iter().filter(|fault| fault.confirmed).count(),
            detections: judged.samples.detection_ms.len(),
        }
    }
}

fn scenario(name: &str) -> (String, Scenario) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.yaml"));
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (_, written, instead) in INSTEAD.iter().filter(|(of, ..)| *of == name) {
        assert!(text.contains(written), "{name} has {written}");
        text = text.replace(written, instead);
    }
    let source = Source::new(path, text.clone());
    let of_the_file = resolve(&source, &Overrides::default()).unwrap();
    let slower = STALL.as_secs_f64() / check::stall_bearable(&of_the_file).as_secs_f64();
    let time_scale: Scale =
        format!("{:.4}", of_the_file.time_scale.as_f64() * slower.max(1.0)).parse().unwrap();
    let scenario = resolve(&source, &Overrides { time_scale: Some(time_scale), seed: None }).unwrap();
    (text, scenario)
}

/// The one body: runs the scenario, and looks at every rule.
fn outcome(backend: &mut dyn Backend, kind: &str, text: &str, scenario: &Scenario) -> Judged {
    let header = Header {
        format: FORMAT,
        run_id: "conformance".into(),
        path: scenario.name.clone(),
        source: text.into(),
        rules: None,
        backend: kind.into(),
        seed: SEED,
        time_scale: None,
        started_at: "2023-11-14T22:30:00Z".into(),
        repeat: 1,
        replay: String::new(),
    };
    let begin = backend.now();
    let note = |at, ev| Event { at, by: HARNESS.into(), ev };
    let mut events = vec![note(begin, What::Header(Box::new(header)))];
    run::drive(backend, scenario, SEED, None, &mut |event| events.push(event));
    events.push(note(backend.now(), What::End));
    assert_eq!(backend.tear_down(), Vec::<String>::new(), "{kind}: nothing is left");
    // A fleet's own stamps may lie a little before the run's first event.
    let first = events.iter().map(|event| event.at).min().unwrap();
    events[0].at = first;
    let history = History::from_events(events, false).unwrap();
    let rules = Rules { kind, scenario, events: &history.events };
    rules.processes_live_one_life_at_a_time();
    rules.every_question_has_one_answer();
    rules.every_order_has_one_answer();
    rules.jobs_go_step_by_step();
    rules.beats_keep_their_interval();
    rules.probes_are_asked_all_the_time();
    check::judge(scenario, &history)
}

struct Rules<'a> {
    kind: &'a str,
    scenario: &'a Scenario,
    events: &'a [Event],
}

impl Rules<'_> {
    fn place(&self) -> String {
        format!("{} on {}", self.scenario.name, self.kind)
    }

    /// Started, then its own events, then exited; generations count from 1 without a gap.
    fn processes_live_one_life_at_a_time(&self) {
        let mut lives: BTreeMap<&ProcessName, (u32, bool)> = BTreeMap::new();
        for event in self.events {
            let life = lives.entry(&event.by).or_default();
            match &event.ev {
                What::Started { generation, .. } => {
                    assert_eq!((*generation, life.1), (life.0 + 1, false), "{}: {event:?}", self.place());
                    *life = (*generation, true);
                }
                What::Exited { generation, .. } => {
                    assert_eq!((*generation, true), *life, "{}: {event:?}", self.place());
                    life.1 = false;
                }
                What::Fleet(_) => assert!(life.1, "{}: speaks before its start: {event:?}", self.place()),
                _ => {}
            }
        }
    }

    fn every_question_has_one_answer(&self) {
        let mut asked: BTreeMap<&JobId, (Instant, u32)> = BTreeMap::new();
        for event in self.events {
            match &event.ev {
                What::EnqueueAsked { job } => {
                    assert!(asked.insert(job, (event.at, 0)).is_none(), "{}: {job} twice", self.place());
                }
                What::EnqueueAnswered { job, asked: at, .. } => {
                    let known = asked.get_mut(job).expect("what is answered was asked");
                    assert_eq!(known.0, *at, "{}: {job}", self.place());
                    known.1 += 1;
                }
                _ => {}
            }
        }
        assert_eq!(asked.len() as u32, self.scenario.workload.jobs, "{}", self.place());
        assert!(asked.values().all(|(_, answers)| *answers == 1), "{}: {asked:?}", self.place());
    }

    fn every_order_has_one_answer(&self) {
        let mut orders: Vec<(&Order, u32)> = Vec::new();
        for event in self.events {
            match &event.ev {
                What::FaultOrdered { order } => orders.push((order, 0)),
                What::FaultDone { order, effective, .. } => {
                    assert!(effective.0 <= effective.1 && effective.1 <= event.at, "{event:?}");
                    let known = orders.iter_mut().find(|(known, _)| **known == **order);
                    known.expect("what is done was ordered").1 += 1;
                }
                What::FaultUnproved { reason, .. } => panic!("{}: unproved: {reason}", self.place()),
                _ => {}
            }
        }
        assert!(orders.iter().all(|(_, answers)| *answers == 1), "{}: {orders:?}", self.place());
    }

    /// Of one claim: its steps in ascending order, then the effect, then the completion.
    fn jobs_go_step_by_step(&self) {
        let mut at_step: BTreeMap<(&ProcessName, &JobId), u32> = BTreeMap::new();
        for event in self.events {
            let What::Fleet(said) = &event.ev else { continue };
            match said {
                FleetEvent::Claimed { job, .. } => {
                    at_step.insert((&event.by, job), 0);
                }
                FleetEvent::StepDone { job, step, .. } => {
                    let last = at_step.get_mut(&(&event.by, job)).expect("a step of a claimed job");
                    assert!(*step > *last, "{}: {event:?} after step {last}", self.place());
                    *last = *step;
                }
                FleetEvent::Completed { job } => {
                    let last = at_step.remove(&(&event.by, job));
                    assert_eq!(last, Some(self.scenario.workload.steps), "{}: {event:?}", self.place());
                }
                _ => {}
            }
        }
    }

    /// As long as nothing is wrong with the process or the store.
    fn beats_keep_their_interval(&self) {
        let Some(interval) = self.scenario.fleet.pipeline.as_ref().map(syncope::timing::Pipeline::interval)
        else {
            return;
        };
        if !self.scenario.faults.is_empty() {
            return;
        }
        let late = Span::from_millis(60) + self.stalls();
        let mut last: BTreeMap<&ProcessName, Instant> = BTreeMap::new();
        for event in self.events {
            if let What::Fleet(FleetEvent::Beat { sent }) = &event.ev
                && let Some(before) = last.insert(&event.by, *sent)
            {
                let apart = sent.since(before);
                assert!(
                    apart + late >= interval && apart <= interval + late,
                    "{}: {} beats {apart} apart",
                    self.place(),
                    event.by
                );
            }
        }
    }

    fn probes_are_asked_all_the_time(&self) {
        let Some(probe) = &self.scenario.fleet.liveness else { return };
        let mut asked: Vec<Instant> = Vec::new();
        let mut warm = false;
        for event in self.events {
            warm |= matches!(event.ev, What::Phase(Phase::Inject));
            if let What::Probe { asked: at, sample } = &event.ev {
                assert!(*at <= event.at, "{}: {event:?}", self.place());
                let is_answered = !matches!(sample, Sample::Unknown { .. });
                let may_fail = !warm || !self.scenario.faults.is_empty();
                assert!(is_answered || may_fail, "{}: {event:?}", self.place());
                asked.push(*at);
            }
        }
        asked.sort();
        let longest = asked.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or(Span::MAX);
        // A busy machine skips ticks; a simulator never does.
        let ticks = if self.kind == "sim" { 1 } else { 12 };
        let most = probe.every.saturating_mul(ticks) + self.stalls();
        assert!(longest <= most, "{}: {longest} without an ask", self.place());
    }

    /// All of the host's stalls that were measured: none in virtual time.
    fn stalls(&self) -> Span {
        let stall = |event: &Event| match event.ev {
            What::Hiccup { stall } => Some(stall),
            _ => None,
        };
        self.events.iter().filter_map(stall).fold(Span::ZERO, |sum, stall| sum + stall)
    }
}
