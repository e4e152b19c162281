use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::*;
use crate::dist::Distribution;

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

fn exactly(span: Span) -> Distribution {
    Distribution::Constant(span)
}

fn exponential(mean: Span) -> Distribution {
    Distribution::Exponential { mean }
}

fn upto(max: Span) -> Distribution {
    Distribution::Uniform { min: Span::ZERO, max }
}

fn spells(gap: Distribution, lasting: Distribution) -> Option<Spells> {
    Some(Spells { gap, lasting })
}

/// Redis-heartbeat's settings, on a network without delay or loss.
fn quiet(workers: u32) -> Pipeline {
    Pipeline {
        workers,
        beat: Beat { every: secs(15), schedule: Schedule::FixedRate, late: exactly(Span::ZERO) },
        link: Link { delay: exactly(Span::ZERO), loss_ppm: 0 },
        expiry: Expiry { ttl: Some(secs(30)), age: None },
        checker: Checker { asks: Asks::Each(exactly(secs(5))), retries: 0, backoff: Span::ZERO, sweeps: 1 },
        faults: Faults::default(),
    }
}

/// All that there is, at once.
fn stormy() -> Pipeline {
    let mut pipeline = quiet(60);
    pipeline.beat.late = exponential(ms(300));
    pipeline.link = Link { delay: exponential(ms(900)), loss_ppm: 150_000 };
    pipeline.expiry = Expiry { ttl: Some(secs(31)), age: Some(secs(33)) };
    pipeline.checker = Checker { asks: Asks::Each(upto(secs(9))), retries: 2, backoff: ms(700), sweeps: 2 };
    pipeline.faults = Faults {
        pauses: spells(exponential(secs(900)), exponential(secs(25))),
        crashes: spells(exponential(secs(3_000)), exponential(secs(200))),
        outages: spells(exponential(secs(1_000)), exponential(secs(20))),
    };
    pipeline
}

fn simulate(pipeline: &Pipeline, span: Span) -> Outcome {
    pipeline.simulate(span, 7).unwrap()
}

#[test]
fn a_quiet_fleet_makes_no_mistake_and_every_event_is_counted() {
    let outcome = simulate(&quiet(100), secs(3_000));
    assert_eq!((outcome.beats, outcome.delivered, outcome.polls), (20_000, 20_000, 60_000));
    assert_eq!(outcome.events, 100_000);
    assert_eq!((outcome.lost, outcome.mistakes, outcome.crashes), (0, 0, 0));
    assert_eq!(outcome.up_ns, 300_000 * 1_000_000_000);
    assert!(outcome.query_accuracy() >= 1.0);
}

/// A change here changes what every stored result means. Debug and release, and every machine, agree on it.
#[test]
fn a_seed_means_the_same_for_ever() {
    let outcome = simulate(&stormy(), secs(10_000));
    let figures = [
        outcome.events,
        outcome.beats,
        outcome.lost,
        outcome.refused,
        outcome.polls,
        outcome.mistakes,
        outcome.crashes,
        outcome.missed,
        outcome.mistaken_ns as u64,
        outcome.detection.mean().unwrap().as_nanos(),
        outcome.recurrence.quantile(500_000).unwrap().as_nanos(),
    ];
    let expected = [
        207_109,
        37_089,
        5_545,
        420,
        137_866,
        881,
        193,
        25,
        12_556_761_670_769,
        31_661_616_292,
        373_662_154_751,
    ];
    assert_eq!(figures, expected);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let seeds: Vec<u64> = (0..7).collect();
    let run = |threads| {
        let threads = NonZeroUsize::new(threads).unwrap();
        stormy().simulate_seeds(secs(1_500), &seeds, threads).unwrap()
    };
    let one = run(1);
    assert!(one.mistakes > 0 && one.detection.count() > 0);
    assert_eq!(run(2), one);
    assert_eq!(run(5), one);
}

/// Without delay a run of k ≥ 1 lost beats is a mistake where h < T < 2h, and lasts kh + h − T; runs begin
/// at the rate p(1 − p)/h, and k has the mean 1/(1 − p).
#[test]
fn mistakes_by_loss_are_as_many_and_as_long_as_they_must_be() {
    let mut pipeline = quiet(50);
    pipeline.link.loss_ppm = 50_000;
    pipeline.expiry.ttl = Some(secs(20));
    pipeline.checker.asks = Asks::Always;
    let outcome = simulate(&pipeline, secs(150_000));
    let beats = outcome.beats as f64;
    let (mistakes, expected) = (outcome.mistakes as f64, beats * 0.05 * 0.95);
    assert!((mistakes - expected).abs() < 4.0 * expected.sqrt(), "{mistakes}, not {expected}");
    let mean = outcome.mistake.mean().unwrap().as_secs_f64();
    assert!((mean - (15.0 / 0.95 - 5.0)).abs() < 0.1, "{mean}");
    assert_eq!(outcome.mistake.min(), Some(secs(10)));
    let recurrence = outcome.recurrence.mean().unwrap().as_secs_f64();
    assert!((recurrence - 15.0 / (0.05 * 0.95)).abs() < 10.0, "{recurrence}");
    let accuracy = 1.0 - outcome.mistake_rate() * mean;
    assert!((outcome.query_accuracy() - accuracy).abs() < 1e-4);
}

/// The bounds of the timing model, E − h to E + S + rb, and both ends within a hundredth of the width.
#[test]
fn detections_fill_the_bounds() {
    let check = |change: fn(&mut Pipeline), min: Span, max: Span| {
        let mut pipeline = quiet(100);
        pipeline.faults.crashes = spells(upto(secs(200)), exactly(secs(60)));
        change(&mut pipeline);
        let found = simulate(&pipeline, secs(32_000)).detection;
        assert!(found.count() > 18_000, "{found:?}");
        let (first, last) = (found.min().unwrap(), found.max().unwrap());
        assert!(min <= first && last <= max, "{first} to {last} leaves {min} to {max}");
        let near = Span::from_nanos((max - min).as_nanos() / 100);
        assert!(first - min <= near && max - last <= near, "{first} to {last} does not fill {min} to {max}");
    };
    check(|_| (), secs(15), secs(35));
    check(|pipeline| pipeline.expiry = Expiry { ttl: None, age: Some(secs(45)) }, secs(30), secs(50));
    check(|pipeline| pipeline.expiry.age = Some(secs(20)), secs(5), secs(25));
    check(|pipeline| pipeline.checker.asks = Asks::Always, secs(15), secs(30));
    check(|pipeline| pipeline.checker.asks = Asks::Together(exactly(secs(7))), secs(15), secs(37));
    check(|pipeline| (pipeline.checker.retries, pipeline.checker.backoff) = (3, secs(1)), secs(18), secs(38));
    check(|pipeline| pipeline.checker.sweeps = 2, secs(20), secs(40));
}

/// Certain: a pause below E − h is never seen, one of E + S always; E − h is 15 s, E + S 35 s.
#[test]
fn pauses_are_tolerated_and_seen_as_the_model_says() {
    let paused = |lasting: Span| {
        let mut pipeline = quiet(200);
        pipeline.faults.pauses = spells(exactly(secs(200)), exactly(lasting));
        simulate(&pipeline, secs(200 + lasting.as_nanos() / 1_000_000_000 + 100))
    };
    assert_eq!(paused(ms(14_999)).mistakes, 0);
    let some = paused(secs(25)).mistakes;
    assert!((1..200).contains(&some), "{some}");
    assert_eq!(paused(secs(35)).mistakes, 200);
}

#[test]
fn an_outage_is_one_mistake_of_all_together_and_none_if_it_is_short() {
    let outage = |asks: Asks, lasting: Span| {
        let mut pipeline = quiet(200);
        pipeline.checker.asks = asks;
        pipeline.faults.outages = spells(exactly(secs(100)), exactly(lasting));
        simulate(&pipeline, secs(100) + lasting + secs(60))
    };
    for asks in [Asks::Always, Asks::Each(exactly(secs(1))), Asks::Together(exactly(secs(1)))] {
        assert_eq!(outage(asks.clone(), ms(14_999)).mistakes, 0, "{asks:?}");
        let long = outage(asks.clone(), secs(90));
        assert!(long.refused > 1_000 && long.mistaken_at_once > 180, "{asks:?}: {long:?}");
    }
}

#[test]
fn asking_again_and_marking_first_prevent_mistakes() {
    let mut pipeline = quiet(300);
    pipeline.link.loss_ppm = 100_000;
    let plain = simulate(&pipeline, secs(5_000)).mistakes;
    pipeline.checker.sweeps = 2;
    let marked = simulate(&pipeline, secs(5_000)).mistakes;
    (pipeline.checker.sweeps, pipeline.checker.retries, pipeline.checker.backoff) = (1, 2, secs(8));
    let again = simulate(&pipeline, secs(5_000)).mistakes;
    assert!(0 < again && again < marked && marked < plain, "{plain}, {marked}, {again}");
}

#[test]
fn a_loop_that_sleeps_drifts_and_a_ticker_does_not() {
    let beats = |schedule| {
        let mut pipeline = quiet(10);
        (pipeline.beat.schedule, pipeline.beat.late) = (schedule, exactly(secs(1)));
        simulate(&pipeline, secs(48_000)).beats
    };
    assert_eq!(beats(Schedule::FixedRate), 32_000);
    assert!((29_990..=30_010).contains(&beats(Schedule::FixedDelay)));
}

#[test]
fn a_pipeline_that_makes_no_sense_is_refused() {
    let check = |change: fn(&mut Pipeline), error| {
        let mut pipeline = quiet(1);
        change(&mut pipeline);
        assert_eq!(pipeline.simulate(secs(1), 1), Err(error));
    };
    check(|pipeline| pipeline.workers = 0, PipelineError::Workers);
    check(|pipeline| pipeline.beat.every = Span::ZERO, PipelineError::Interval);
    check(|pipeline| pipeline.link.loss_ppm = 1_000_001, PipelineError::Loss);
    check(|pipeline| pipeline.expiry.ttl = None, PipelineError::NoExpiry);
    check(|pipeline| pipeline.checker.asks = Asks::Each(exactly(Span::ZERO)), PipelineError::Checker);
    check(|pipeline| pipeline.checker.sweeps = 0, PipelineError::Sweeps);
    check(
        |pipeline| pipeline.faults.pauses = spells(exactly(Span::ZERO), exactly(Span::ZERO)),
        PipelineError::Gap,
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// With writes up to w late and deliveries up to d: E − h − w to w + d + E + S + rb; nothing lost.
    #[test]
    fn no_detection_leaves_the_bounds(
        seed in any::<u64>(),
        every in 100_u64..5_000,
        spare in 1_u64..20_000,
        (late, delay) in (0_u64..2_000, 0_u64..2_000),
        (asks, period) in (0..3, 1_u64..9_000),
        (retries, backoff) in (0_u32..4, 1_u64..800),
        (rate, by_age) in any::<(bool, bool)>(),
    ) {
        let mut pipeline = quiet(20);
        // No beat may overtake another, whose older stamp would then stand last.
        let (late, delay) = (late % every.div_ceil(2), delay % every.div_ceil(2));
        let expiry = ms(every + late + delay + spare);
        pipeline.beat = Beat {
            every: ms(every),
            schedule: if rate { Schedule::FixedRate } else { Schedule::FixedDelay },
            late: upto(ms(late)),
        };
        pipeline.link.delay = upto(ms(delay));
        pipeline.expiry = Expiry { ttl: (!by_age).then_some(expiry), age: by_age.then_some(expiry) };
        pipeline.checker.retries = retries;
        pipeline.checker.backoff = ms(backoff);
        let period = if asks == 0 { Span::ZERO } else { ms(period) };
        pipeline.checker.asks = match asks {
            0 => Asks::Always,
            1 => Asks::Each(exactly(period)),
            _ => Asks::Together(exactly(period)),
        };
        let retried = ms(backoff * u64::from(retries));
        let max = expiry + period + retried + ms(late + delay);
        pipeline.faults.crashes = spells(upto(secs(20)), exactly(max + ms(1)));
        let outcome = pipeline.simulate(secs(300), seed).unwrap();
        prop_assert_eq!((outcome.mistakes, outcome.missed), (0, 0));
        prop_assert!(outcome.detection.count() > 0);
        prop_assert!(outcome.detection.max() <= Some(max), "{:?} over {}", outcome.detection.max(), max);
        let min = expiry + retried - ms(every + late);
        prop_assert!(outcome.detection.min() >= Some(min), "{:?} under {}", outcome.detection.min(), min);
    }
}
