//! No simulated detection, silence, skew, loss or outage leaves the bounds, over random pipelines, and
//! each bound is reached within 1 %.

use super::simulation::{Beats, Choices, Looks, Sent, Sweeps, Valid, World};
use crate::time::{Interval, Span};
use crate::timing::{
    Age, Asked, Beat, Checker, Clock, Expiry, Gate, Guard, Pipeline, Recovery, Rhythm, Subject, Sweep,
};

const PIPELINES: u64 = 60;
const TRIALS: u64 = 1_500;

fn ms(ticks: u64) -> Span {
    Span::from_millis(ticks)
}

/// The same pipeline, in the model's words.
fn model(world: &World) -> Pipeline {
    let rhythm = match world.beats {
        Beats::Every(interval) => Rhythm::Every(ms(interval)),
        Beats::Wakes(min, max) => Rhythm::Wakes(Interval::new(ms(min), ms(max))),
        Beats::Renew { look, below } => Rhythm::Renew { look: ms(look), below: ms(below) },
    };
    let expiry = match world.valid {
        Valid::Ttl(ttl) => Expiry::Ttl(ms(ttl)),
        Valid::Age(age) => Expiry::Age(Age::across(ms(age))),
        Valid::StoreAge(age) => {
            Expiry::Age(Age { threshold: ms(age), stamp: Clock::Postgres, read: Clock::Postgres })
        }
        Valid::Both { ttl, age } => Expiry::Both { ttl: ms(ttl), age: Age::across(ms(age)) },
    };
    let checker = match world.looks {
        Looks::Asked { every, retries, backoff } => Checker::OnDemand(Asked {
            every: ms(every),
            retries: u32::try_from(retries).expect("few"),
            backoff: ms(backoff),
            ready_wait: Span::ZERO,
        }),
        Looks::Sweeps(sweeps) => Checker::Sweep(Sweep {
            period: ms(sweeps.period),
            two_phase: sweeps.two_phase,
            guard: match (sweeps.paced, sweeps.held) {
                (Some(guard), _) => Guard::Paced(ms(guard)),
                (_, Some(guard)) => Guard::Held(ms(guard)),
                _ => Guard::Free,
            },
            gate: match sweeps.leader {
                Some(ttl) => Gate::Leader(ms(ttl)),
                None if sweeps.round > 0 => Gate::Idle(ms(sweeps.round)),
                None => Gate::Open,
            },
        }),
    };
    Pipeline {
        beat: Beat { rhythm, buffer: Span::ZERO, delay: ms(world.late), latency: ms(world.latency) },
        expiry,
        checker,
        recovery: Recovery::at_once(Span::ZERO),
        subject: Subject::Fleet,
    }
}

/// Any pipeline; sometimes one whose settings make mistakes certain.
fn any_world(choices: &mut Choices) -> World {
    let expiry = choices.within(100, 800);
    let interval = match choices.next() % 4 {
        0 => expiry,
        parts => (expiry / (parts + 1)).max(20) + choices.within(0, 9),
    };
    let beats = match choices.next() % 4 {
        0 => Beats::Wakes((interval / 2).max(1), interval),
        1 => Beats::Renew { look: choices.within(10, 60), below: choices.within(expiry / 3, expiry - 10) },
        _ => Beats::Every(interval),
    };
    let other = expiry + choices.within(0, 200);
    let valid = match choices.next() % 5 {
        0 => Valid::Age(expiry),
        1 => Valid::StoreAge(expiry),
        2 => Valid::Both { ttl: expiry, age: other },
        3 => Valid::Both { ttl: other, age: expiry },
        _ => Valid::Ttl(expiry),
    };
    let late = [0, 3, 15][(choices.next() % 3) as usize];
    let latency = [0, 2, 9][(choices.next() % 3) as usize];
    World { beats, valid, looks: any_looks(choices), late, latency }
}

fn any_looks(choices: &mut Choices) -> Looks {
    let period = choices.within(20, 300);
    let plain =
        Sweeps { period, two_phase: choices.chance(2), paced: None, held: None, leader: None, round: 0 };
    let block = choices.within(10, 400);
    match choices.next() % 8 {
        0 => Looks::Asked { every: 0, retries: 0, backoff: 0 },
        1 => Looks::Asked { every: period, retries: choices.within(0, 3), backoff: choices.within(1, 20) },
        2 => Looks::Asked { every: 0, retries: choices.within(1, 3), backoff: choices.within(1, 20) },
        3 => Looks::Sweeps(Sweeps { paced: Some(period), ..plain }),
        4 => Looks::Sweeps(Sweeps { paced: Some(block), ..plain }),
        5 => Looks::Sweeps(Sweeps { held: Some(block), round: choices.biased(100), ..plain }),
        6 => Looks::Sweeps(Sweeps { leader: Some(block), ..plain }),
        _ => Looks::Sweeps(Sweeps { round: choices.biased(150), ..plain }),
    }
}

/// A run of beats, and one of them with the one after it.
fn beats(world: &World, choices: &mut Choices) -> Vec<Sent> {
    let horizon = 10_000 + 3 * world.expiry();
    world.play(10_000, horizon, choices, |sent| sent)
}

/// One crash: how long it takes until the suspicion that stays.
fn crash(world: &World, sweeper_dies: bool, choices: &mut Choices) -> u64 {
    let beats = beats(world, choices);
    let index = choices.within(1, beats.len() as u64 - 2) as usize;
    let (before, last, next) = (beats[index - 1], beats[index], beats[index + 1]);
    let crash = last.sent + choices.biased(next.sent - last.sent);
    // What is on its way may still arrive, or not.
    let lost = last.arrived > crash && choices.chance(2);
    let last = if lost { before } else { last };
    let found = world
        .suspected(last, u64::MAX, sweeper_dies.then_some(crash), choices)
        .expect("somebody looks in the end");
    found.saturating_sub(crash)
}

/// The least and the most of many trials.
fn extremes(mut trial: impl FnMut() -> u64) -> (u64, u64) {
    (0..TRIALS).map(|_| trial()).fold((u64::MAX, 0), |(least, most), x| (least.min(x), most.max(x)))
}

/// 1 % of the upper end, and what a tick rounds.
fn near(max: Span) -> u64 {
    max.as_millis() / 100 + 2
}

#[test]
fn no_crash_leaves_the_bounds_of_detection_and_both_ends_are_reached() {
    let mut loose = Vec::new();
    for seed in 0..PIPELINES * 3 {
        let mut choices = Choices::new(seed + 1);
        let world = any_world(&mut choices);
        let pipeline = model(&world);
        let ends = [
            (true, pipeline.detection(Span::ZERO)),
            (false, pipeline.detection_while_sweeper_lives(Span::ZERO)),
        ];
        for (dies, detection) in ends {
            let bound = detection.interval().expect("somebody looks");
            let (least, most) = extremes(|| crash(&world, dies, &mut choices));
            assert!(bound.contains(ms(least)), "seed {seed}, dies {dies}: {least} ms of {bound}: {world:?}");
            assert!(bound.contains(ms(most)), "seed {seed}, dies {dies}: {most} ms of {bound}: {world:?}");
            let near = near(bound.max());
            if least > bound.min().as_millis() + near || most + near < bound.max().as_millis() {
                loose.push(format!("seed {seed}, dies {dies}: {least} to {most} ms of {bound}: {world:?}"));
            }
        }
    }
    assert!(loose.is_empty(), "{} of them are loose:\n{}", loose.len(), loose.join("\n"));
}
