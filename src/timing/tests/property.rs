//! No simulated detection, silence, skew, loss or outage leaves the bounds, over random pipelines, and
//! each bound is reached within 1 %.

use super::simulation::{Beats, Choices, Looks, Sent, Sweeps, Valid, World};
use crate::time::{Interval, Span};
use crate::timing::{
    Age, Asked, Beat, Checker, Clock, Expiry, Gate, Guard, Pipeline, Recovery, Rhythm, Subject, Sweep,
};

const PIPELINES: u64 = 100;
const TRIALS: u64 = 6_000;

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
        1 => Beats::Renew { look: choices.within(40, 80), below: choices.within(expiry / 3, expiry - 10) },
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
        // A leader is alone: its sweeps are never closer than the period.
        6 => Looks::Sweeps(Sweeps { leader: Some(block), period: period.min(100), ..plain }),
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
    let crash = if last.arrived > last.sent && choices.chance(4) {
        last.arrived - 1
    } else {
        last.sent + choices.biased(next.sent - last.sent)
    };
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
    for seed in 0..PIPELINES {
        let mut choices = Choices::new(seed + 1);
        let world = any_world(&mut choices);
        let pipeline = model(&world);
        let ends = [
            (true, pipeline.detection(Span::ZERO)),
            (false, pipeline.detection_while_sweeper_lives(Span::ZERO)),
        ];
        // Who dies makes no difference to the lower end: either may reach it.
        let mut earliest = u64::MAX;
        for (dies, detection) in ends {
            let bound = detection.interval().expect("somebody looks");
            let (least, most) = extremes(|| crash(&world, dies, &mut choices));
            assert!(bound.contains(ms(least)), "seed {seed}, dies {dies}: {least} ms of {bound}: {world:?}");
            assert!(bound.contains(ms(most)), "seed {seed}, dies {dies}: {most} ms of {bound}: {world:?}");
            earliest = earliest.min(least);
            let near = near(bound.max());
            let late = !dies && earliest > bound.min().as_millis() + near;
            if late || most + near < bound.max().as_millis() {
                loose.push(format!("seed {seed}, dies {dies}: {least} to {most} ms of {bound}: {world:?}"));
            }
        }
    }
    assert!(loose.is_empty(), "{} of them are loose:\n{}", loose.len(), loose.join("\n"));
}

/// Beats with one silence of `lasting` in them, from just before a beat was due or from anywhere: the
/// last beat before it and the first after it.
fn paused(world: &World, lasting: u64, choices: &mut Choices) -> (Sent, Sent) {
    let horizon = 10_000 + 3 * world.expiry();
    let draws = choices.clone();
    let plain = world.play(10_000, horizon, &mut draws.clone(), |sent| sent);
    let index = choices.within(0, plain.len() as u64 - 2) as usize;
    let (last, next) = (plain[index], plain[index + 1]);
    let onset = next.sent - choices.biased(next.sent - last.sent - 1);
    let bend = |sent: u64| if sent >= onset { sent.max(onset + lasting) } else { sent };
    let bent = world.play(10_000, horizon, &mut draws.clone(), bend);
    (last, bent[index + 1])
}

/// One whose beats count again after an expiry, in one phase.
fn revivable_world(choices: &mut Choices) -> World {
    loop {
        let world = any_world(choices);
        let simple = match world.looks {
            Looks::Asked { .. } => true,
            Looks::Sweeps(sweeps) => {
                !sweeps.two_phase && sweeps.paced.or(sweeps.held).or(sweeps.leader).is_none()
            }
        };
        let distinct = world.late + 1 < world.expiry() / 8;
        if simple && distinct && model(&world).silence_unseen(Span::ZERO) > Span::ZERO {
            return world;
        }
    }
}

#[test]
fn a_pause_below_the_tolerance_is_never_seen_and_one_above_the_bound_always() {
    for seed in 0..PIPELINES {
        let mut choices = Choices::new(seed + 7_001);
        let world = revivable_world(&mut choices);
        let pipeline = model(&world);
        let mut seen = |lasting: u64| -> u64 {
            let one = |choices: &mut Choices| {
                let (last, back) = paused(&world, lasting, choices);
                u64::from(world.suspected(last, back.arrived, None, choices).is_some())
            };
            (0..TRIALS / 2).map(|_| one(&mut choices)).sum()
        };
        let tolerated = pipeline.silence_tolerated(Span::ZERO).as_millis();
        let always = pipeline.silence_seen().as_millis();
        assert_eq!(seen(tolerated - 1), 0, "seed {seed}: {tolerated} ms are tolerated: {world:?}");
        assert!(seen(tolerated + tolerated / 100 + 3) > 0, "seed {seed}: {tolerated} ms is loose: {world:?}");
        assert_eq!(seen(always + 1), TRIALS / 2, "seed {seed}: {always} ms are seen: {world:?}");
        assert!(seen(always - always / 100 - 2) < TRIALS / 2, "seed {seed}: {always} ms is loose: {world:?}");
    }
}

#[test]
fn the_share_of_pauses_seen_is_what_the_phases_give() {
    for (seed, looks) in [
        (1, Looks::Asked { every: 0, retries: 2, backoff: 5 }),
        (2, Looks::Asked { every: 120, retries: 1, backoff: 5 }),
        (3, Looks::Asked { every: 900, retries: 0, backoff: 0 }),
    ] {
        let world = World { beats: Beats::Every(150), valid: Valid::Ttl(400), looks, late: 0, latency: 0 };
        let (pipeline, mut choices) = (model(&world), Choices::new(seed));
        for lasting in [260, 330, 420, 600, 1_000] {
            let Looks::Asked { every, retries, backoff } = world.looks else { continue };
            let mut seen = 0;
            for _ in 0..40_000 {
                let back = choices.within(0, 149) + lasting;
                let answered = 400 + retries * backoff + choices.within(0, every.max(1) - 1);
                seen += u64::from(answered < back);
            }
            let share = pipeline.silence_seen_share(ms(lasting)).expect("there are beats");
            let found = seen as f64 / 40_000.0;
            assert!((found - share.least).abs() < 0.015, "{lasting} ms: {found} of {share:?}, {world:?}");
            assert!((share.least - share.most).abs() < 1e-9, "a fixed rhythm leaves nothing open");
        }
    }
}

#[test]
fn a_clock_ahead_by_less_than_the_tolerance_makes_no_fresh_beat_stale() {
    for seed in 0..PIPELINES {
        let mut choices = Choices::new(seed + 8_001);
        let world = revivable_world(&mut choices);
        let Some(tolerated) = model(&world).skew_tolerated(Span::ZERO) else { continue };
        let age = match world.valid {
            Valid::Age(age) | Valid::Both { age, .. } => age,
            Valid::Ttl(_) | Valid::StoreAge(_) => continue,
        };
        let tolerated = tolerated.as_millis();
        let mut stale = |ahead: u64| {
            (0..TRIALS / 10).any(|_| {
                let beats = beats(&world, &mut choices);
                beats.windows(2).any(|pair| pair[1].arrived - 1 + ahead >= pair[0].sent + age)
            })
        };
        assert!(!stale(tolerated - 1), "seed {seed}: {tolerated} ms are tolerated: {world:?}");
        assert!(stale(tolerated + tolerated / 100 + 3), "seed {seed}: {tolerated} ms is loose: {world:?}");
    }
}

#[test]
fn fewer_lost_beats_than_the_bound_end_no_validity_and_as_many_can() {
    for seed in 0..PIPELINES {
        let mut choices = Choices::new(seed + 9_001);
        let world = revivable_world(&mut choices);
        if matches!(world.beats, Beats::Renew { .. }) {
            continue;
        }
        let pipeline = model(&world);
        let mut over = |lost: u64| -> Vec<i64> {
            let one = |choices: &mut Choices| {
                let beats = world.play(10_000, 10_000 + 8 * world.expiry(), choices, |sent| sent);
                let index = choices.within(0, beats.len() as u64 - 2 - lost) as usize;
                let back = beats[index + 1 + lost as usize].arrived;
                back.cast_signed() - world.ends(beats[index], 0).cast_signed()
            };
            (0..TRIALS / 4).map(|_| one(&mut choices)).collect()
        };
        let bound = pipeline.beats_lost_until_expired();
        if bound > 0 {
            assert!(over(bound - 1).iter().all(|over| *over < 0), "seed {seed}: {bound}: {world:?}");
        }
        assert!(over(bound).iter().any(|over| *over >= 0), "seed {seed}: {bound} is loose: {world:?}");
    }
}

#[test]
fn a_store_outage_ends_validities_when_the_model_says() {
    for seed in 0..PIPELINES {
        let mut choices = Choices::new(seed + 10_001);
        let world = revivable_world(&mut choices);
        let outage = model(&world).outage();
        // By how much the last success's validity outlives the next success, and the outage's end.
        let mut left = |lasting: u64| -> Vec<[i64; 2]> {
            let one = |choices: &mut Choices| {
                let beats = world.play(10_000, 10_000 + 8 * world.expiry() + lasting, choices, |sent| sent);
                let first = beats[choices.within(1, 3) as usize];
                let onset = first.arrived - choices.biased(first.arrived - first.sent);
                let back = onset + lasting;
                let last = beats.iter().rfind(|beat| beat.arrived < onset).expect("one came before");
                let next = beats.iter().find(|beat| beat.sent > back).expect("one comes after");
                let ends = world.ends(*last, 0).cast_signed();
                [ends - next.arrived.cast_signed(), ends - back.cast_signed()]
            };
            (0..TRIALS / 4).map(|_| one(&mut choices)).collect()
        };
        let [tolerated, first, all] =
            [outage.tolerated, outage.correlated_from, outage.all_from].map(Span::as_millis);
        if tolerated > 0 {
            let harmless = left(tolerated - 1).iter().all(|[of_next, _]| *of_next >= 0);
            assert!(harmless, "seed {seed}: {tolerated} ms are tolerated: {world:?}");
        }
        // Of other rhythms only some draws of their intervals fill an outage to its end.
        if matches!(world.beats, Beats::Every(_)) {
            let harmful = left(tolerated + tolerated / 100 + 3).iter().any(|[of_next, _]| *of_next <= 0);
            assert!(harmful, "seed {seed}: {tolerated} ms is loose: {world:?}");
        }
        assert!(left(first - 1).iter().all(|[_, of_end]| *of_end > 0), "seed {seed}: {first} ms: {world:?}");
        let some = left(first + first / 100 + 3).iter().any(|[_, of_end]| *of_end <= 0);
        assert!(some, "seed {seed}: {first} ms is loose: {world:?}");
        assert!(left(all).iter().all(|[_, of_end]| *of_end <= 0), "seed {seed}: {all} ms: {world:?}");
    }
}
