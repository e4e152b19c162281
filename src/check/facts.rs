//! A history, indexed once: what every check looks things up in.

use std::collections::BTreeSet;

use crate::check::faults::{self, Faults, Part, stands_between};
use crate::check::host::Host;
use crate::check::life::{self, Life, Lives};
use crate::check::measure::{Moment, overlap, union};
use crate::check::queue::{self, Fill};
use crate::check::story::{self, Stories};
use crate::check::taps::Taps;
use crate::history::log::History;
use crate::history::{Heard, Phase, Sample, What};
use crate::names::{JobId, ProcessName, Store};
use crate::scenario::{Ask, Scenario, WorkersAsk};
use crate::time::{Instant, Span};
use crate::timing::Subject;

pub(super) struct Facts<'a> {
    pub scenario: &'a Scenario,
    pub faults: Faults<'a>,
    pub taps: Taps<'a>,
    pub lives: Lives,
    pub stories: Stories<'a>,
    pub host: Host,
    /// What is judged: from the workload's start to the end of settling.
    pub run: Moment,
    /// Those whose life the probes ask for.
    pub workers: BTreeSet<ProcessName>,
    /// Those who look for the dead: a sweeper, or the workers themselves.
    pub lookers: BTreeSet<ProcessName>,
    pub subject: Subject,
    /// Where the beats are, if that can be told.
    pub beat_store: Option<Store>,
    /// Probes in the order of their answers, those without an answer too.
    pub probes: Vec<Seen<'a>>,
    /// Answers of the watches, those before the workload's start too, in the order of the answers.
    pub heeded: Vec<Heeded<'a>>,
    /// Each worker's life is asked for, and not the fleet's.
    pub one_by_one: bool,
    /// The last reading of the jobs' states.
    pub collected: Collected<'a>,
    /// How full a foreign queue was.
    pub fill: Fill,
}

/// A probe: asked, answered, and what was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub asked: Instant,
    pub at: Instant,
    pub sample: &'a Sample,
}

/// A watch's question: asked, answered, and what was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heeded<'a> {
    pub watch: &'a str,
    pub asked: Instant,
    pub at: Instant,
    pub answer: &'a Heard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collected<'a> {
    Never,
    Failed(&'a str),
    Whole,
}

impl<'a> Facts<'a> {
    pub fn of(scenario: &'a Scenario, history: &'a History) -> Self {
        let run = judged_window(history);
        let faults = faults::collect(history);
        let mut lives = life::collect(history, &faults, run.hi);
        let stories = story::collect(history, &lives, scenario.fleet.claims_by_state());
        let (mut probes, mut heeded) = (Vec::new(), Vec::new());
        let mut collected = Collected::Never;
        for event in &history.events {
            match &event.ev {
                What::Probe { asked, sample } if run.contains(event.at) => {
                    probes.push(Seen { asked: (*asked).min(event.at), at: event.at, sample });
                }
                What::Watched { watch, asked, answer } => {
                    heeded.push(Heeded { watch, asked: (*asked).min(event.at), at: event.at, answer });
                }
                What::Collected { error: None } => collected = Collected::Whole,
                What::Collected { error: Some(error) } => collected = Collected::Failed(error),
                _ => {}
            }
        }
        believe_probes(&mut lives, &probes, run);
        Self {
            scenario,
            faults,
            taps: Taps::of(history),
            lives,
            stories,
            host: Host::of(history),
            run,
            workers: scenario.fleet.workers(),
            lookers: lookers(scenario),
            subject: subject(scenario),
            beat_store: beat_store(scenario),
            probes,
            heeded,
            one_by_one: matches!(asked(scenario), Some(Ask::Workers(_))),
            collected,
            fill: queue::fill(history, run),
        }
    }

    /// The lives of the workers, or of the one that is named.
    pub fn lives_of(&'a self, named: Option<&'a ProcessName>) -> impl Iterator<Item = &'a Life> {
        let is_member = move |name: &ProcessName| match named {
            Some(named) => name == named,
            None => self.workers.contains(name),
        };
        self.lives.iter().filter(move |(name, _)| is_member(name)).flat_map(|(_, lives)| lives)
    }

    /// How long in the window a lasting fault was in force, or nobody was there who is needed
    /// (`without`). `None`: neither touched it, nor a fault the time `before` it.
    ///
    /// For holders, each time that the lookers' way to the store was cut counts for more than it lasted.
    /// It is in force until their clients are connected again. And a look that fails is not repeated, the
    /// next one is: of looks S apart the last good one may come S before it and the next S after it, so
    /// the gap between them is S longer than what it lasted and S.
    pub fn disturbance(&self, window: Moment, before: Span, without: Span) -> Option<Span> {
        let until = self.run.hi;
        let cuts: Vec<Moment> = self.faults.values().filter_map(|part| self.cut(part)).collect();
        let cuts = union(cuts);
        let all =
            union(self.faults.values().filter_map(|part| part.lasting(until)).chain(cuts.iter().copied()));
        let touched = overlap(Moment { lo: window.lo - before, hi: window.hi }, &all);
        let failed = cuts.iter().filter(|cut| cut.meets(window)).count() as u64;
        let period = self.scenario.fleet.pipeline.as_ref().map_or(Span::ZERO, |p| p.checker.period());
        let extra = overlap(window, &all) + period.saturating_mul(failed) + without;
        (!touched.is_zero() || !extra.is_zero()).then_some(extra)
    }

    /// The time in which a looker's way to the store was cut by the fault, and its client not back.
    fn cut(&self, part: &Part<'_>) -> Option<Moment> {
        let injection = part.onset.injection.filter(|injection| faults::cuts(injection))?;
        let struck = self.lookers.iter().any(|looker| stands_between(injection, looker, self.beat_store));
        let lasting = part.lasting(self.run.hi).filter(|_| struck && self.subject == Subject::Holder)?;
        Some(Moment { hi: lasting.hi + self.scenario.fleet.reconnects_within(), ..lasting })
    }

    /// How long in the window nobody was there who could find a holder dead.
    pub fn unwatched(&self, window: Moment) -> Span {
        self.without(&self.lookers, window)
    }

    /// How long in the window nobody was there who could find a holder dead, or nobody who could take
    /// its job up.
    pub fn unserved(&self, window: Moment) -> Span {
        let without_workers = self.without(&self.workers, window);
        if self.lookers == self.workers { without_workers } else { self.unwatched(window) + without_workers }
    }

    /// A probe of a whole fleet needs none of it.
    fn without(&self, needed: &BTreeSet<ProcessName>, window: Moment) -> Span {
        if self.subject == Subject::Fleet {
            return Span::ZERO;
        }
        let lives = needed.iter().filter_map(|name| self.lives.get(name)).flatten();
        let serving = union(lives.map(|life| life.serving(self.run.hi)));
        window.length() - overlap(window, &serving)
    }

    /// The longest time of a probe that was answered in the window.
    pub fn probe_latency(&self, window: Moment) -> Span {
        let within = self.probes.iter().filter(|probe| window.contains(probe.at));
        within.map(|probe| probe.at.since(probe.asked)).max().unwrap_or(Span::ZERO)
    }

    /// Job counts of each answered stall probe, in order.
    pub fn stall_probes(&self) -> impl Iterator<Item = (Seen<'a>, &'a [(JobId, u32)])> {
        self.probes.iter().filter_map(|probe| match probe.sample {
            Sample::Stalls(counts) => Some((*probe, counts.as_slice())),
            _ => None,
        })
    }
}

/// A foreign process says nothing of its work. When it was started again, the suspicion of its death
/// is no mistake until a probe has found it alive.
fn believe_probes(lives: &mut Lives, probes: &[Seen<'_>], run: Moment) {
    for (name, lives) in lives {
        let again = lives.iter_mut().filter(|life| life.is_silent() && life.started > run.lo);
        for life in again {
            let alive = probes.iter().find(|probe| {
                let of_it = matches!(probe.sample, Sample::Alive { subject, alive: true }
                    if subject.as_ref().is_none_or(|subject| subject == name));
                of_it && probe.asked >= life.started
            });
            life.working = alive.map_or(run.hi, |probe| probe.at).max(life.started);
        }
    }
}

/// From the workload's start to the end of settling, or as much of it as there is.
fn judged_window(history: &History) -> Moment {
    let phase = |wanted: Phase| {
        history.events.iter().find(|event| event.ev == What::Phase(wanted)).map(|event| event.at)
    };
    let first = history.events.first().map_or(Instant::ZERO, |event| event.at);
    let last = history.events.last().map_or(first, |event| event.at);
    let from = phase(Phase::Inject).unwrap_or(first);
    let to = phase(Phase::Judge).or_else(|| phase(Phase::TearDown)).unwrap_or(last);
    Moment { lo: from, hi: to.max(from) }
}

/// Processes whose role is to look for the dead; else the workers do.
fn lookers(scenario: &Scenario) -> BTreeSet<ProcessName> {
    let sweepers = scenario.fleet.processes.iter().filter(|process| process.sweeps());
    let sweepers: BTreeSet<ProcessName> = sweepers.map(|process| process.name.clone()).collect();
    if sweepers.is_empty() { scenario.fleet.workers() } else { sweepers }
}

fn subject(scenario: &Scenario) -> Subject {
    match (&scenario.fleet.pipeline, asked(scenario)) {
        (Some(pipeline), _) => pipeline.subject,
        (None, Some(Ask::RedisStalls { .. } | Ask::SqlStalls { .. })) => Subject::Holder,
        (None, _) => Subject::Fleet,
    }
}

/// The store that the probe asks; behind an HTTP probe the only store there is, else Redis, where
/// every system that has both keeps its beats.
fn beat_store(scenario: &Scenario) -> Option<Store> {
    let stack = &scenario.stack;
    match asked(scenario) {
        Some(Ask::Redis { .. } | Ask::RedisStalls { .. } | Ask::Workers(WorkersAsk::Redis { .. })) => {
            Some(Store::Redis)
        }
        Some(Ask::Sql { .. } | Ask::SqlStalls { .. } | Ask::Workers(WorkersAsk::Sql { .. })) => {
            Some(Store::Postgres)
        }
        Some(Ask::Http { .. } | Ask::Workers(WorkersAsk::Http { .. })) | None => {
            let redis = stack.redis.as_ref().map(|_| Store::Redis);
            redis.or_else(|| stack.postgres.as_ref().map(|_| Store::Postgres))
        }
    }
}

fn asked(scenario: &Scenario) -> Option<&Ask> {
    scenario.fleet.liveness.as_ref().map(|probe| &probe.ask)
}
