//! The simulator's general queue in a plain loop, and that loop for any queue.

use syncope::dist::Random;
use syncope::sim::agenda::Agenda;
use syncope::time::Instant;

use crate::Counts;
use crate::workload::{ASKS, DELAY, EVERY, LOSS_PPM, TTL, Workload};

pub fn run(workload: &Workload) -> Counts {
    simulate(&mut Calendar(Agenda::new()), workload)
}

pub trait Queue {
    fn push(&mut self, at: u64, event: u32);
    fn pop(&mut self) -> Option<(u64, u32)>;
}

struct Calendar(Agenda<u32>);

impl Queue for Calendar {
    #[inline]
    fn push(&mut self, at: u64, event: u32) {
        self.0.push(Instant::from_nanos(at), event);
    }

    #[inline]
    fn pop(&mut self) -> Option<(u64, u32)> {
        self.0.pop().map(|(at, event)| (at.as_nanos(), event))
    }
}

const BEAT: u32 = 0;
const DELIVERY: u32 = 1;
const QUERY: u32 = 2;
const KINDS: u32 = 4;

#[derive(Clone)]
struct Worker {
    fresh_until: u64,
    suspected: bool,
}

pub fn simulate(queue: &mut impl Queue, workload: &Workload) -> Counts {
    let mut random = Random::stream(1, "bench");
    let mut workers = Vec::new();
    for index in 0..workload.workers {
        let phase = random.below(EVERY.as_nanos());
        queue.push(phase, index * KINDS + BEAT);
        queue.push(random.below(ASKS.as_nanos()), index * KINDS + QUERY);
        workers.push(Worker { fresh_until: phase + (TTL - EVERY).as_nanos(), suspected: false });
    }
    let end = workload.span().as_nanos();
    let mut counts = Counts::default();
    while let Some((at, event)) = queue.pop().filter(|(at, _)| *at < end) {
        counts.events += 1;
        let worker = &mut workers[(event / KINDS) as usize];
        match event % KINDS {
            BEAT => {
                queue.push(at + EVERY.as_nanos(), event);
                if random.below(1_000_000) >= u64::from(LOSS_PPM) {
                    queue.push(at + DELAY.sample(&mut random).as_nanos(), event - BEAT + DELIVERY);
                }
            }
            DELIVERY => worker.fresh_until = at + TTL.as_nanos(),
            _ => {
                queue.push(at + ASKS.as_nanos(), event);
                let dead = at > worker.fresh_until;
                if dead != worker.suspected {
                    worker.suspected = dead;
                    counts.mistakes += u64::from(dead);
                }
            }
        }
    }
    counts
}
