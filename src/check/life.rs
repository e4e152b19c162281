//! Ground truth: which process ran when, and how each of its lives ended.

use std::collections::BTreeMap;

use crate::check::faults::Faults;
use crate::check::measure::Moment;
use crate::fault::{Injection, Signal};
use crate::history::What;
use crate::history::log::History;
use crate::names::ProcessName;
use crate::protocol::FleetEvent;
use crate::time::{Instant, Span};

pub(super) type Lives = BTreeMap<ProcessName, Vec<Life>>;

/// One run of a process, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    pub started: Instant,
    /// Its first sign of doing its work: the first beat, else being ready, else the start.
    pub working: Instant,
    /// Sent and acknowledged, in order.
    pub beats: Vec<(Instant, Instant)>,
    /// It said that it is shutting down: from here on a suspicion of it is true.
    pub leaving: Option<Instant>,
    pub end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub at: Moment,
    pub crash: bool,
}

impl Life {
    /// It has said nothing of being at work.
    pub fn is_silent(&self) -> bool {
        self.working == self.started
    }

    /// While it surely ran; up to `until` if it did not end.
    pub fn surely(&self, until: Instant) -> Moment {
        let end = self.end.map_or(until, |end| end.at.lo);
        Moment { lo: self.started, hi: end.max(self.started) }
    }

    /// While it did its work: from its first sign to when it began to leave, or ended.
    pub fn serving(&self, until: Instant) -> Moment {
        let end = self.end.map_or(until, |end| end.at.lo);
        let end = self.leaving.map_or(end, |leaving| leaving.min(end));
        Moment { lo: self.working, hi: end.max(self.working) }
    }

    /// The last beat at or before `at`: when it was sent, and how long its write took.
    pub fn beat_before(&self, at: Instant) -> Option<(Instant, Span)> {
        let index = self.beats.partition_point(|(sent, _)| *sent <= at);
        let (sent, acknowledged) = *self.beats.get(index.checked_sub(1)?)?;
        Some((sent, acknowledged.since(sent)))
    }
}

/// A process that was taken down by the harness at the end lives to the end: `until`.
pub(super) fn collect(history: &History, faults: &Faults<'_>, until: Instant) -> Lives {
    let mut lives = Lives::new();
    let mut last_sign: BTreeMap<&ProcessName, Instant> = BTreeMap::new();
    for event in history.events.iter().filter(|event| event.at <= until) {
        match &event.ev {
            What::Started { .. } => {
                let life = Life {
                    started: event.at,
                    working: event.at,
                    beats: Vec::new(),
                    leaving: None,
                    end: None,
                };
                lives.entry(event.by.clone()).or_default().push(life);
                last_sign.insert(&event.by, event.at);
            }
            What::Exited { code, signal, .. } => {
                let seen = last_sign.get(&event.by).copied().unwrap_or(event.at);
                if let Some(life) = current(&mut lives, &event.by) {
                    let orderly = signal.is_none() && (life.leaving.is_some() || *code == Some(0));
                    let at = blow(faults, &event.by, life.started, event.at)
                        .unwrap_or_else(|| Moment::new(seen, event.at));
                    // An orderly end comes when it comes, not when it was asked for.
                    let at = if orderly { Moment::new(seen, event.at) } else { at };
                    life.end = Some(End { at, crash: !orderly });
                }
            }
            What::Fleet(said) => {
                last_sign.insert(&event.by, event.at);
                if let Some(life) = current(&mut lives, &event.by) {
                    hear(life, event.at, said);
                }
            }
            _ => {}
        }
    }
    end_unreported(&mut lives, faults);
    lives
}

fn current<'l>(lives: &'l mut Lives, process: &ProcessName) -> Option<&'l mut Life> {
    lives.get_mut(process)?.last_mut().filter(|life| life.end.is_none())
}

fn hear(life: &mut Life, at: Instant, said: &FleetEvent) {
    match said {
        FleetEvent::Ready { .. } if life.beats.is_empty() => life.working = at,
        FleetEvent::Beat { sent } => {
            if life.beats.is_empty() {
                life.working = at;
            }
            life.beats.push((*sent, at));
        }
        FleetEvent::ShuttingDown { .. } | FleetEvent::Stopped { .. } => {
            life.leaving.get_or_insert(at);
        }
        _ => {}
    }
}

/// When the signal that ended the life took effect, if the harness sent one: the last that struck.
fn blow(faults: &Faults<'_>, process: &ProcessName, from: Instant, to: Instant) -> Option<Moment> {
    let signals = faults.values().flat_map(|part| [&part.onset, &part.heal]).filter_map(|half| {
        let deadly = matches!(half.injection?, Injection::Signal { .. } | Injection::OutOfMemory { .. });
        let struck = deadly && half.injection?.process() == Some(process);
        struck.then_some(half.done?.effective)
    });
    let within = signals.filter(|effective| from <= effective.lo && effective.lo <= to);
    within
        .max_by_key(|effective| effective.lo)
        .map(|effective| Moment { lo: effective.lo, hi: effective.hi.min(to).max(effective.lo) })
}

/// A SIGKILL that was proved ends a life, also if the exit was not recorded.
fn end_unreported(lives: &mut Lives, faults: &Faults<'_>) {
    for part in faults.values() {
        let Some(
            Injection::Signal { process, signal: Signal::Kill } | Injection::OutOfMemory { process, .. },
        ) = part.onset.injection
        else {
            continue;
        };
        let (Some(done), Some(lives)) = (part.onset.done, lives.get_mut(process)) else { continue };
        let struck = lives.iter_mut().rev().find(|life| life.started <= done.effective.lo);
        if let Some(life) = struck.filter(|life| life.end.is_none()) {
            life.end = Some(End { at: done.effective, crash: true });
        }
    }
}
