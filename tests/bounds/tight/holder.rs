//! One job, its holder, and one other who looks for the dead, each at a phase of its own.

use std::fmt::Write as _;

use syncope::fault::{FaultId, Stage};
use syncope::history::What;
use syncope::history::log::History;
use syncope::protocol::FleetEvent;

use super::bound;
use crate::draft::System;
use crate::virtual_time::read;

/// Milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    pub system: System,
    /// Between two beats, or two renewals.
    pub beat: u64,
    /// Of a beat or a lock.
    pub expiry: u64,
    /// Between two looks of one who looks.
    pub look: u64,
    pub claim_poll: u64,
    /// The other is killed early, and back so long after: the phase of its looks.
    pub other_back: u64,
    pub step: u64,
}

/// What strikes the holder, so long after a beat of its own.
#[derive(Debug, Clone, Copy)]
pub enum Blow {
    Kill { after: u64 },
    Pause { after: u64, lasting: u64 },
}

/// The holder's fault is the second.
const BLOW: FaultId = FaultId(1);
/// A kill takes effect so much later, at most, and a beat comes so much later than it is due.
pub const NEARLY: u64 = 5;
/// The job has been claimed by then.
pub const BACK_MIN: u64 = 1_000;

impl Holder {
    pub const fn new(system: System, beat: u64, expiry: u64, look: u64) -> Self {
        Self { system, beat, expiry, look, claim_poll: 20, other_back: BACK_MIN, step: 1_000 }
    }

    /// The beat that the blow follows: by then the other is back and looks.
    const fn beats(&self) -> u64 {
        (BACK_MIN + self.look) / self.beat + 2
    }

    /// About when the blow comes.
    pub const fn blow_after(&self, after: u64) -> u64 {
        self.beats() * self.beat + after
    }

    /// Longer than any detection.
    const fn long(&self) -> u64 {
        2 * (self.expiry + 2 * self.look)
    }

    /// The same with its other back at another phase of the looks, from 0 to `look`.
    pub const fn with_phase(self, phase: u64) -> Self {
        Self { other_back: BACK_MIN + phase % self.look, ..self }
    }

    pub fn text(&self, blow: Blow) -> String {
        let Self { system, beat, expiry, look, claim_poll, other_back, step } = *self;
        let (beats, long) = (self.beats(), self.long());
        // It lasts until all is over.
        let steps = (beats * beat + long) / step;
        let role = system.role();
        let (settings, other) = match system {
            System::Queue | System::Pool => {
                let pool = if system == System::Pool { "worker_count: 1, " } else { "" };
                let settings = format!(
                    "{pool}lock_duration: {expiry}ms, lock_renew: {beat}ms, stalled_interval: {look}ms, \
                     max_stalled_count: 9"
                );
                (settings, format!("{role}-2"))
            }
            System::Swept | System::Rescued | System::Heartbeat => {
                let settings = format!("interval: {beat}ms, threshold: {expiry}ms, check_interval: {look}ms");
                let other = if system == System::Swept { "sweeper".into() } else { format!("{role}-2") };
                (settings, other)
            }
        };
        let workers = if system == System::Swept { 1 } else { 2 };
        let mut text = format!(
            "name: tight\nfleet:\n  system: {}\n  workers: {workers}\n  settings: {{{settings}, \
             claim_poll: {claim_poll}ms, concurrency: 1}}\nstack:\n  postgres: {{}}\n",
            system.name()
        );
        if system.has_redis() {
            text.push_str("  redis: {durability: aof}\n");
        }
        // The job comes while the other is away, so the first worker holds it.
        let _ = write!(
            text,
            "workload:\n  jobs: 1\n  arrival: {{every: 1s}}\n  delay: 300ms\n  steps: {steps}\n  \
             step_time: {{constant: {step}ms}}\nfaults:\n  - kill: {{target: {{process: {other}}}, \
             signal: KILL, restart_after: {other_back}ms}}\n    when: {{at: 100ms}}\n"
        );
        let (fault, after) = match blow {
            Blow::Kill { after } => {
                let fault =
                    format!("kill: {{target: {{process: {role}-1}}, signal: KILL, restart_after: {long}ms}}");
                (fault, after)
            }
            Blow::Pause { after, lasting } => {
                (format!("pause: {{target: {{process: {role}-1}}, for: {lasting}ms}}"), after)
            }
        };
        // A worker's beats run from its start, those of a lock or of a job in work from the claim.
        let when = match system {
            System::Swept => {
                format!("beat: {{process: {role}-1, from: {}ms, after: {after}ms}}", beats * beat)
            }
            _ => format!("claimed: {{job: job-1, after: {}ms}}", beats * beat + after),
        };
        let _ = write!(
            text,
            "  - {fault}\n    when: {{{when}}}\nexpect: {{duplicated: any, failed: any}}\nsettle: 600s\n"
        );
        text
    }

    /// The model's bounds of detection, in milliseconds.
    pub fn bound(&self) -> (f64, f64) {
        let text = self.text(Blow::Kill { after: 0 });
        let scenario = read(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let (least, most) = bound(&scenario);
        (least / 1e6, most / 1e6)
    }
}

/// From the blow until the job was taken, in milliseconds; `None`: it never was.
pub fn taken_after(history: &History) -> Option<f64> {
    let blow = history.events.iter().find_map(|event| match &event.ev {
        What::FaultDone { order, effective, .. } if order.stage == Stage::Onset && order.fault == BLOW => {
            Some(effective.0)
        }
        _ => None,
    });
    let blow = blow.expect("the holder was struck");
    let taken = history
        .events
        .iter()
        .find(|event| event.at > blow && matches!(event.ev, What::Fleet(FleetEvent::Stalled { .. })));
    taken.map(|taken| taken.at.since(blow).as_nanos() as f64 / 1e6)
}
