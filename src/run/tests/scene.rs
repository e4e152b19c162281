//! A scenario on the played fleet, and what is asked of its run. Times are milliseconds after the
//! workload's start.

use super::fake::{Fake, Script};
use crate::backend::{Action, Backend as _};
use crate::fault::{Order, Stage};
use crate::history::{Event, Phase, What};
use crate::names::{HARNESS, ProcessName};
use crate::run;
use crate::scenario::{Overrides, Scenario, Source, resolve};
use crate::time::{Instant, Span};

pub(super) const SEED: u64 = 7;
/// No run of these tests takes as long, in virtual time.
const RUN_MAX: Span = Span::from_secs(300);

pub(super) fn ms(ms: u64) -> Span {
    Span::from_millis(ms)
}

/// Three workers and an api, which nobody probes.
#[derive(Clone)]
pub(super) struct Scene {
    pub workload: &'static str,
    pub fleet: &'static str,
    pub faults: Vec<String>,
    pub settle: &'static str,
    pub seed: u64,
    pub script: Script,
    /// Ctrl-C, so long after the beginning.
    pub interrupt_after: Option<Span>,
}

/// One job of a second, in ten steps.
pub(super) const ONE_JOB: &str = "{jobs: 1, arrival: {every: 1s}, steps: 10, step_time: {constant: 100ms}}";
/// Six jobs of a second each, one every half a second.
pub(super) const SIX_JOBS: &str =
    "{jobs: 6, arrival: {every: 500ms}, steps: 10, step_time: {constant: 100ms}}";
pub(super) const PROBED: &str = "liveness: {every: 100ms, redis: [EXISTS, beat]}";

impl Default for Scene {
    fn default() -> Self {
        Self {
            workload: SIX_JOBS,
            fleet: "",
            faults: Vec::new(),
            settle: "10s",
            seed: SEED,
            script: Script::default(),
            interrupt_after: None,
        }
    }
}

impl Scene {
    pub fn with(fault: &str) -> Self {
        Self { faults: vec![fault.to_owned()], ..Self::default() }
    }

    pub fn scenario(&self) -> Scenario {
        let Self { workload, fleet, settle, .. } = self;
        let faults: String = self.faults.iter().map(|fault| format!("  - {fault}\n")).collect();
        let faults = if faults.is_empty() { String::new() } else { format!("faults:\n{faults}") };
        let text = format!(
            r#"name: played
fleet:
  external:
    roles:
      worker: {{count: 3, command: [worker], links: [redis]}}
      api: {{command: [api], links: [redis]}}
    enqueue: {{redis: [LPUSH, jobs, "${{spec}}"]}}
    effects: {{redis: [HGETALL, effects]}}
    {fleet}
stack: {{redis: {{}}}}
workload: {workload}
settle: {settle}
{faults}"#
        );
        resolve(&Source::new("played.yaml", text.as_str()), &Overrides::default())
            .unwrap_or_else(|wrong| panic!("{text}\n{wrong:#?}"))
    }

    pub fn run(&self) -> Ran {
        let scenario = self.scenario();
        run_of(&scenario, self)
    }
}

/// `scene`'s script and seed on another scenario.
pub(super) fn run_of(scenario: &Scenario, scene: &Scene) -> Ran {
    let mut fake = Fake::new(scenario, scene.script.clone());
    let begin = fake.now();
    let mut events = Vec::new();
    let last = std::cell::Cell::new(begin);
    let interrupted = || {
        assert!(last.get().since(begin) < RUN_MAX, "the run never ends");
        scene.interrupt_after.is_some_and(|after| last.get() >= begin + after)
    };
    run::drive(&mut fake, scenario, scene.seed, Some(&interrupted), &mut |event| {
        last.set(event.at);
        events.push(event);
    });
    Ran { events, performed: fake.performed, begin, end: fake.now }
}

pub(super) struct Ran {
    pub events: Vec<Event>,
    pub performed: Vec<(Instant, Action)>,
    pub begin: Instant,
    pub end: Instant,
}

/// An order as the backend got it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub order: Order,
    pub given: u64,
    pub due: u64,
}

impl Ran {
    pub fn phases(&self) -> Vec<(Phase, Instant)> {
        self.events
            .iter()
            .filter_map(|event| match event.ev {
                What::Phase(phase) => Some((phase, event.at)),
                _ => None,
            })
            .collect()
    }

    /// When the phase began, in milliseconds after the workload's start.
    pub fn began(&self, wanted: Phase) -> u64 {
        let (_, at) =
            self.phases().into_iter().find(|(phase, _)| *phase == wanted).expect("it had the phase");
        self.after_start(at)
    }

    pub fn has_phase(&self, wanted: Phase) -> bool {
        self.phases().iter().any(|(phase, _)| *phase == wanted)
    }

    pub fn after_start(&self, at: Instant) -> u64 {
        let start = self.phases().iter().find(|(phase, _)| *phase == Phase::Inject).expect("it injected").1;
        assert!(at >= start, "nothing is asked about warm-up");
        at.since(start).as_millis()
    }

    pub fn aborted(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match &event.ev {
            What::Aborted { reason } => Some(reason.as_str()),
            _ => None,
        })
    }

    pub fn enqueued(&self) -> Vec<(u64, String)> {
        self.performed
            .iter()
            .filter_map(|(at, action)| match action {
                Action::Enqueue(job) => Some((self.after_start(*at), job.id.to_string())),
                _ => None,
            })
            .collect()
    }

    pub fn orders(&self) -> Vec<Given> {
        self.performed
            .iter()
            .filter_map(|(given, action)| match action {
                Action::Inject { order, at } => Some(Given {
                    order: order.clone(),
                    given: self.after_start(*given),
                    due: self.after_start(*at),
                }),
                _ => None,
            })
            .collect()
    }

    pub fn onsets(&self) -> Vec<Given> {
        self.orders().into_iter().filter(|given| given.order.stage == Stage::Onset).collect()
    }

    pub fn heals(&self) -> Vec<Given> {
        self.orders().into_iter().filter(|given| given.order.stage == Stage::Heal).collect()
    }

    /// What a process said since the workload's start, and when.
    pub fn said(&self, wanted: impl Fn(&What) -> bool) -> Vec<(u64, ProcessName)> {
        let inject = self.events.iter().position(|event| event.ev == What::Phase(Phase::Inject));
        self.events
            .iter()
            .skip(inject.expect("it injected"))
            .filter(|event| wanted(&event.ev))
            .map(|event| (self.after_start(event.at), event.by.clone()))
            .collect()
    }

    /// Since the beginning, in milliseconds.
    pub fn took(&self) -> u64 {
        self.end.since(self.begin).as_millis()
    }

    pub fn notes(&self, wanted: impl Fn(&What) -> bool) -> usize {
        self.events.iter().filter(|event| event.by.as_str() == HARNESS && wanted(&event.ev)).count()
    }
}

/// Whom the injection is on.
pub(super) fn victim(given: &Given) -> &str {
    let injection = &given.order.injection;
    injection.process().unwrap_or_else(|| panic!("{injection:?} is on no process")).as_str()
}
