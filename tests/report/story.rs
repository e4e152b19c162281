//! A history as one would tell it: at this model second, this process, that.

use syncope::fault::{FaultId, Injection, Order, Stage};
use syncope::history::log::History;
use syncope::history::{EnqueueOutcome, Event, FORMAT, Header, Phase, Sample, What};
use syncope::protocol::FleetEvent;
use syncope::time::{Instant, Span};

/// The workload's start on the made-up host's clock.
pub const START_NS: u64 = 5_000_000_000_000;

pub struct Story {
    header: Header,
    scale: f64,
    events: Vec<Event>,
}

impl Story {
    pub fn new(path: &str, scale: f64) -> Self {
        let header = Header {
            format: FORMAT,
            run_id: "20261122-0930-k3f9".into(),
            path: path.into(),
            source: String::new(),
            rules: None,
            backend: "process".into(),
            seed: 7,
            time_scale: None,
            started_at: "2026-11-22T09:30:00Z".into(),
            repeat: 1,
            replay: format!("syncope run {path} --seed 7"),
        };
        Self { header, scale, events: Vec::new() }
    }

    pub fn at(&self, seconds: f64) -> Instant {
        Instant::from_nanos((START_NS as f64 + seconds * self.scale * 1e9) as u64)
    }

    pub fn tell(&mut self, seconds: f64, by: &str, ev: What) -> &mut Self {
        let at = self.at(seconds);
        self.events.push(Event { at, by: by.into(), ev });
        self
    }

    pub fn phases(&mut self, phases: &[(f64, Phase)]) -> &mut Self {
        for (at, phase) in phases {
            self.tell(*at, "harness", What::Phase(*phase));
        }
        self
    }

    pub fn started(&mut self, seconds: f64, by: &str, generation: u32) -> &mut Self {
        self.tell(seconds, by, What::Started { generation, pid: 4_000 + generation })
    }

    pub fn exited(&mut self, seconds: f64, by: &str, generation: u32) -> &mut Self {
        self.tell(seconds, by, What::Exited { generation, code: None, signal: Some(9) })
    }

    pub fn beats(&mut self, by: &str, from: f64, to: f64, every: f64) -> &mut Self {
        for n in 0.. {
            let at = from + f64::from(n) * every;
            if at >= to {
                break;
            }
            let sent = self.at(at - 0.01);
            self.tell(at, by, What::Fleet(FleetEvent::Beat { sent }));
        }
        self
    }

    pub fn enqueues(&mut self, jobs: u32, every: f64) -> &mut Self {
        for n in 1..=jobs {
            let at = f64::from(n - 1) * every;
            let asked = self.at(at);
            let outcome = EnqueueOutcome::Acknowledged;
            self.tell(at + 0.01, "harness", What::EnqueueAnswered { job: job(n).into(), asked, outcome });
        }
        self
    }

    pub fn claims(&mut self, seconds: f64, by: &str, name: &str, stalls: u32) -> &mut Self {
        self.tell(seconds, by, What::Fleet(FleetEvent::Claimed { job: name.into(), attempt: 1, stalls }))
    }

    pub fn completes(&mut self, seconds: f64, by: &str, name: &str) -> &mut Self {
        self.tell(seconds, by, What::Fleet(FleetEvent::Completed { job: name.into() }))
    }

    pub fn works(&mut self, by: &str, name: &str, from: f64, to: f64) -> &mut Self {
        self.claims(from, by, name, 0).completes(to, by, name)
    }

    pub fn stalls(&mut self, seconds: f64, counts: &[(&str, u32)]) -> &mut Self {
        let counts = counts.iter().map(|(job, count)| ((*job).into(), *count)).collect();
        let asked = self.at(seconds - 0.02);
        self.tell(seconds, "harness", What::Probe { asked, sample: Sample::Stalls(counts) })
    }

    pub fn alive(&mut self, seconds: f64, alive: bool) -> &mut Self {
        let asked = self.at(seconds - 0.02);
        self.tell(seconds, "harness", What::Probe { asked, sample: Sample::Alive { subject: None, alive } })
    }

    pub fn fault(
        &mut self,
        seconds: f64,
        (fault, part): (u16, u16),
        stage: Stage,
        injection: Injection,
        proof: &str,
    ) -> &mut Self {
        let order = Order { fault: FaultId(fault), part, stage, injection };
        let effective = (self.at(seconds), self.at(seconds + 0.02));
        let lateness = Span::from_micros(80);
        self.tell(
            seconds + 0.03,
            "harness",
            What::FaultDone { order: Box::new(order), effective, lateness, proof: proof.into() },
        )
    }

    pub fn end(self) -> History {
        let first = Event {
            at: Instant::from_nanos(START_NS - 60_000_000_000),
            by: "harness".into(),
            ev: What::Header(Box::new(self.header)),
        };
        History::from_events(std::iter::once(first).chain(self.events).collect(), false).unwrap()
    }
}

pub fn job(n: u32) -> String {
    format!("job-{n}")
}
