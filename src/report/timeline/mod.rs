//! The timeline: what the history says about each process, as lanes over model time.
//!
//! `mod` reads the history, `lane` holds one process's story, `faults` pairs onsets with heals,
//! `draw` makes the picture.

mod draw;
mod faults;
mod lane;

use std::collections::BTreeMap;

use crate::check::Judged;
use crate::fault::Injection;
use crate::history::log::History;
use crate::history::{EnqueueOutcome, Event, Phase, Sample, What};
use crate::names::{HARNESS, JobId, ProcessName, Store};
use crate::protocol::FleetEvent;
use crate::report::text;
use crate::time::Instant;

pub use draw::render;
pub use faults::{Band, describe};
pub use lane::{Change, Held, Lane, LaneKind, Mark, MarkKind, Outcome, State};

/// Seconds of model time, 0 at the workload's start; negative during warm-up.
pub type Seconds = f64;

#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    pub from: Seconds,
    pub to: Seconds,
    pub lanes: Vec<Lane>,
    pub phases: Vec<(Phase, Seconds, Seconds)>,
    pub bands: Vec<Band>,
    /// When the harness itself was not scheduled.
    pub stalls: Vec<(Seconds, Seconds)>,
}

/// How the history's clock becomes the report's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    origin: Instant,
    scale: f64,
}

impl Clock {
    /// Zero is the workload's start, or the first event if there was none.
    #[must_use]
    pub fn of(history: &History, time_scale: f64) -> Self {
        let start = history.events.iter().find(|event| event.ev == What::Phase(Phase::Inject));
        let origin = start.or(history.events.first()).map_or(Instant::ZERO, |event| event.at);
        Self { origin, scale: if time_scale > 0.0 { time_scale } else { 1.0 } }
    }

    #[must_use]
    pub fn seconds(self, at: Instant) -> Seconds {
        (at.as_nanos() as f64 - self.origin.as_nanos() as f64) / 1e9 / self.scale
    }
}

impl Timeline {
    /// From the warm-up's end to the judgement: what was provisioned before and removed after is
    /// not shown.
    #[must_use]
    pub fn of(history: &History, judged: &Judged) -> Self {
        let clock = Clock::of(history, judged.time_scale);
        let (from, to) = window(history, clock);
        let mut reader = Reader::new(clock, (from, to));
        for event in history.events.iter().filter(|event| clock.seconds(event.at) <= to) {
            reader.read(event);
        }
        let bands = faults::bands(history, judged, clock, to);
        let phases = phases(history, clock, (from, to));
        let stalls = reader.stalls.iter().copied().filter(|(_, until)| *until >= from).collect();
        Self { from, to, lanes: reader.finish(&bands), phases, bands, stalls }
    }
}

fn window(history: &History, clock: Clock) -> (Seconds, Seconds) {
    let begins = |phase: Phase| {
        let event = history.events.iter().find(|event| event.ev == What::Phase(phase));
        event.map(|event| clock.seconds(event.at))
    };
    let last = history.events.last().map_or(0.0, |event| clock.seconds(event.at));
    let to = begins(Phase::Judge).or(begins(Phase::TearDown)).unwrap_or(last).max(0.001);
    let warm_up = begins(Phase::WarmUp).unwrap_or(0.0).min(0.0);
    (warm_up.max(-0.12 * to), to)
}

fn phases(history: &History, clock: Clock, (from, to): (Seconds, Seconds)) -> Vec<(Phase, Seconds, Seconds)> {
    let begins: Vec<(Phase, Seconds)> = history
        .events
        .iter()
        .filter_map(|event| match event.ev {
            What::Phase(phase) => Some((phase, clock.seconds(event.at))),
            _ => None,
        })
        .collect();
    let ends = begins.iter().skip(1).map(|(_, at)| *at).chain([to]);
    let spans = begins.iter().zip(ends).map(|((phase, begin), end)| (*phase, begin.max(from), end.min(to)));
    spans.filter(|(_, begin, end)| end > begin).collect()
}

/// Collects lanes while it goes through the events in order.
struct Reader {
    clock: Clock,
    window: (Seconds, Seconds),
    lanes: BTreeMap<ProcessName, Lane>,
    stalls: Vec<(Seconds, Seconds)>,
    /// Last known answer for each subject.
    alive: BTreeMap<Option<ProcessName>, bool>,
    stall_counts: BTreeMap<JobId, u32>,
    /// Who claimed each job, with the stall count that the claim came with, in order.
    claims: BTreeMap<JobId, Vec<(u32, ProcessName)>>,
}

/// The lane of what a user of the system is told about the fleet as a whole.
const FLEET_LANE: &str = "fleet alive?";

impl Reader {
    fn new(clock: Clock, window: (Seconds, Seconds)) -> Self {
        Self {
            clock,
            window,
            lanes: BTreeMap::new(),
            stalls: Vec::new(),
            alive: BTreeMap::new(),
            stall_counts: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    fn read(&mut self, event: &Event) {
        let at = self.clock.seconds(event.at);
        match &event.ev {
            What::Started { .. } => self.lane(&event.by).changes.push((at, Change::Up)),
            What::Exited { .. } => {
                let lane = self.lane(&event.by);
                lane.changes.push((at, Change::Down));
                lane.drop_jobs(at);
            }
            What::Fleet(said) => self.fleet(at, &event.by, said),
            What::EnqueueAnswered { outcome, .. } => self.enqueued(at, &event.by, outcome),
            What::Probe { asked, sample } => self.probe(self.clock.seconds(*asked), at, sample),
            What::FaultDone { order, effective, .. } => {
                self.injected(self.clock.seconds(effective.1), &order.injection);
            }
            What::Hiccup { stall } => self.stalls.push((self.clock.seconds(event.at - *stall), at)),
            What::Versions(versions) => self.stores(versions),
            _ => {}
        }
    }

    fn finish(mut self, bands: &[Band]) -> Vec<Lane> {
        // A process that only a fault names has a lane too, so that the band has a place.
        for name in bands.iter().flat_map(|band| &band.lanes) {
            self.lane(name);
        }
        let (from, to) = self.window;
        let mut lanes: Vec<Lane> = self.lanes.into_values().collect();
        for lane in &mut lanes {
            lane.settle(from, to);
        }
        lanes.sort_by_cached_key(Lane::order);
        lanes
    }

    fn lane(&mut self, name: &ProcessName) -> &mut Lane {
        self.lanes.entry(name.clone()).or_insert_with(|| Lane::new(name.as_str()))
    }

    fn fleet(&mut self, at: Seconds, by: &ProcessName, said: &FleetEvent) {
        if let FleetEvent::Claimed { job, stalls, .. } = said {
            self.claims.entry(job.clone()).or_default().push((*stalls, by.clone()));
        }
        self.lane(by).said(at, said);
    }

    fn enqueued(&mut self, at: Seconds, by: &ProcessName, outcome: &EnqueueOutcome) {
        let name = if by.as_str() == HARNESS { ProcessName::new(crate::names::PRODUCER) } else { by.clone() };
        let lane = self.lane(&name);
        match outcome {
            EnqueueOutcome::Acknowledged => lane.ticks.push(at),
            EnqueueOutcome::Declined(reason) => {
                lane.failed_ticks.push((at, format!("declined: {}", text::clean(reason, 120))));
            }
            EnqueueOutcome::Unknown(error) => {
                lane.failed_ticks.push((at, format!("no answer: {}", text::clean(error, 120))));
            }
        }
    }

    fn probe(&mut self, asked: Seconds, at: Seconds, sample: &Sample) {
        match sample {
            Sample::Alive { subject, alive } => self.answered(asked, at, subject.clone(), *alive),
            Sample::Stalls(counts) => {
                for (job, count) in counts {
                    self.stalled(at, job, *count);
                }
            }
            Sample::Unknown { .. } => {
                if self.alive.contains_key(&None) {
                    self.lane(&FLEET_LANE.into()).changes.push((at, Change::Unknown));
                }
            }
        }
    }

    fn answered(&mut self, asked: Seconds, at: Seconds, subject: Option<ProcessName>, alive: bool) {
        let before = self.alive.insert(subject.clone(), alive);
        let name = subject.clone().unwrap_or_else(|| FLEET_LANE.into());
        let lane = self.lane(&name);
        if subject.is_none() {
            lane.changes.push((at, if alive { Change::Up } else { Change::Down }));
        }
        match (before, alive) {
            (Some(true), false) => lane.marks.push(Mark {
                at,
                kind: MarkKind::Suspicion,
                text: format!("suspected dead: asked at {}", text::moment(asked)),
            }),
            (Some(false), true) => {
                lane.marks.push(Mark { at, kind: MarkKind::Trusted, text: "trusted again".to_owned() });
            }
            _ => {}
        }
    }

    /// A job's stall count has risen: whoever held it before is suspected.
    fn stalled(&mut self, at: Seconds, job: &JobId, count: u32) {
        let known = self.stall_counts.insert(job.clone(), count).unwrap_or(0);
        if count <= known {
            return;
        }
        let claims = self.claims.get(job).map_or(&[][..], Vec::as_slice);
        let holder = claims.iter().rev().find(|(stalls, _)| *stalls < count).map(|(_, who)| who.clone());
        if let Some(holder) = holder {
            let text = format!("suspected dead: {} was taken from it", text::clean(job.as_str(), 60));
            self.lane(&holder).marks.push(Mark { at, kind: MarkKind::Suspicion, text });
        }
    }

    fn injected(&mut self, at: Seconds, injection: &Injection) {
        use crate::fault::OutageKind;
        let (name, change) = match injection {
            Injection::Pause { process } => (process.clone(), Change::Pause),
            Injection::Resume { process } => (process.clone(), Change::Resume),
            Injection::StoreDown { store, how } => {
                let change = match how {
                    OutageKind::Kill | OutageKind::Stop => Change::Down,
                    OutageKind::Pause => Change::Pause,
                    OutageKind::Refuse => Change::Cut,
                };
                (store.as_str().into(), change)
            }
            Injection::StoreUp { store, how } => {
                let change = match how {
                    OutageKind::Kill | OutageKind::Stop => Change::Up,
                    OutageKind::Pause | OutageKind::Refuse => Change::Resume,
                };
                (store.as_str().into(), change)
            }
            _ => return,
        };
        self.lane(&name).changes.push((at, change));
    }

    fn stores(&mut self, versions: &[(String, String)]) {
        for store in Store::ALL {
            if versions.iter().any(|(what, _)| what == store.as_str()) {
                self.lane(&store.as_str().into());
            }
        }
    }
}
