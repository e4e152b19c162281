use super::configure::{Configuration, Limit, Requirement, Unmet, known_distribution, moments_only};
use super::phi::{Accrual, Estimates};
use super::*;
use crate::dist::{Recorded, Shape};

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

/// η = 1 s, p_L = 0.01, D exponential with mean 0.02 s: the stream of Chen's figures.
fn chen() -> Beats {
    Beats::new(ms(1_000), 10_000, Distribution::Exponential { mean: ms(20) })
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        found == expected || (found - expected).abs() <= tolerance * expected.abs(),
        "{what}: {found} is not {expected}"
    );
}

/// `found` printed with as many digits as `expected` has.
fn assert_digits(found: f64, expected: &str, what: &str) {
    let value: f64 = expected.parse().expect("a number");
    let mantissa = expected.split('e').next().unwrap_or_default();
    let digits = mantissa.replace('.', "").trim_start_matches('0').len();
    let rounded: f64 = format!("{found:.*e}", digits - 1).parse().expect("a number");
    assert_close(rounded, value, 1e-12, &format!("{what}, from {found}"));
}

#[test]
fn the_table_of_the_timing_model() {
    for (detection_ms, recurrence, duration) in [
        (1_020, "2.699", ".0465"),
        (1_100, "60.59", ".566"),
        (1_160, "97.76", ".843"),
        (1_500, "101.01", ".530"),
        (2_000, "101.01", ".0301"),
        (2_020, "269.9", ".0465"),
        (2_160, "9776", ".843"),
        (2_500, "10101", ".530"),
        (3_100, "6.06e5", ".566"),
        (3_500, "1.010e6", ".530"),
    ] {
        let beats = chen();
        let quality = NfdS::new(&beats, ms(detection_ms - 1_000)).quality();
        assert_eq!(quality.detection_max, ms(detection_ms));
        assert_digits(quality.recurrence_s, recurrence, &format!("E(T_MR) at {detection_ms} ms"));
        assert_digits(quality.duration_s, duration, &format!("E(T_M) at {detection_ms} ms"));
        assert_close(quality.rate_per_s * quality.recurrence_s, 1.0, 1e-12, "λ_M");
        assert_close(quality.query_inaccuracy, quality.duration_s / quality.recurrence_s, 1e-12, "1 − P_A");
    }
}

/// The integral of u, once more: by the midpoint rule on a fine grid.
#[test]
fn the_integral_is_good_to_six_digits_for_every_distribution() {
    const STEPS: u32 = 100_000;
    for delay in delays() {
        let beats = Beats::new(ms(1_000), 10_000, delay);
        for shift in [100, 2_500] {
            let detector = NfdS::new(&beats, ms(shift));
            let width_ns = 1e9 / f64::from(STEPS);
            let sum: f64 = (0..STEPS).map(|i| detector.u((f64::from(i) + 0.5) * width_ns)).sum();
            let expected = sum / f64::from(STEPS);
            let found = detector.quality().query_inaccuracy;
            assert_close(found, expected, 1e-6, &format!("{beats:?} and {shift} ms"));
        }
    }
}

fn delays() -> Vec<Distribution> {
    let recorded = [3, 5, 5, 8, 20, 400, 1_700].map(ms).to_vec();
    vec![
        Distribution::Constant(ms(20)),
        Distribution::Uniform { min: ms(50), max: ms(300) },
        Distribution::Exponential { mean: ms(20) },
        Distribution::Exponential { mean: ms(1_500) },
        Distribution::Normal { mean: ms(80), deviation: ms(40) },
        Distribution::Lognormal { median: ms(30), p99: ms(900) },
        Distribution::Pareto { min: ms(5), shape: Shape::from_thousandths(1_200).expect("in range") },
        Distribution::Empirical(Recorded::new(recorded).expect("not empty")),
    ]
}

#[test]
fn what_never_arrives_is_never_trusted_and_what_always_arrives_always() {
    let constant = Distribution::Constant(ms(20));
    let lost = Beats::new(ms(1_000), 1_000_000, constant.clone());
    for quality in [NfdS::new(&lost, ms(1_500)).quality(), ResetOnArrival::new(&lost, ms(1_500)).quality()] {
        assert_eq!((quality.query_accuracy, quality.rate_per_s), (0.0, 0.0));
        assert_eq!((quality.duration_s, quality.recurrence_s), (f64::INFINITY, f64::INFINITY));
    }
    let sure = Beats::new(ms(1_000), 0, constant);
    for quality in [NfdS::new(&sure, ms(20)).quality(), ResetOnArrival::new(&sure, ms(1_000)).quality()] {
        assert_eq!((quality.query_accuracy, quality.rate_per_s), (1.0, 0.0));
        assert_eq!((quality.duration_s, quality.recurrence_s), (0.0, f64::INFINITY));
    }
}

/// With a constant delay arrivals are a whole number G of intervals apart, P(G > n) = p_Lⁿ: a mistake
/// needs G·η > T, and lasts G·η − T.
#[test]
fn a_ttl_under_a_constant_delay() {
    for (ttl_ms, loss_ppm) in [(500, 0), (1_000, 10_000), (1_500, 10_000), (2_999, 200_000), (3_000, 200_000)]
    {
        let beats = Beats::new(ms(1_000), loss_ppm, Distribution::Constant(ms(20)));
        let quality = ResetOnArrival::new(&beats, ms(ttl_ms)).quality();
        let (loss, lost) = (beats.loss(), (ttl_ms / 1_000) as f64);
        let rate = (1.0 - loss) * libm::pow(loss, lost);
        assert_close(quality.rate_per_s, rate, 1e-9, "λ_M");
        let duration = lost + 1.0 / (1.0 - loss) - ttl_ms as f64 / 1e3;
        assert_close(quality.duration_s, duration, 1e-9, &format!("E(T_M) at {ttl_ms} ms"));
        assert_eq!(quality.detection_max, ms(20 + ttl_ms));
    }
}

/// A heavy tail is integrated from some age on; where that begins must not matter.
#[test]
fn a_heavy_tail_s_far_past_counts() {
    let shape = Shape::from_thousandths(1_200).expect("in range");
    let beats = Beats::new(ms(1_000), 0, Distribution::Pareto { min: ms(100), shape });
    let ttl = ms(1_500);
    // By hand, for t = 0.5 s: the product over all of 100,000 beats, and no integral.
    let missed = |age_ns: f64| beats.delay.at_most(age_ns - 1.5e9) + beats.delay.above(age_ns);
    let expected: f64 = (0..200_000).map(|i| missed(0.5e9 + f64::from(i) * 1e9)).product();
    let narrow = ResetOnArrival::new(&beats, ttl);
    assert_close(narrow.silence(0.5e9), expected, 1e-6, "v(t)");
}

const EXAMPLE: Requirement = Requirement {
    detection_max: Span::from_secs(30),
    recurrence_min: Span::from_secs(30 * 86_400),
    duration_max: Span::from_secs(60),
};

#[test]
fn the_configuration_examples() {
    let delay = Distribution::Exponential { mean: ms(20) };
    let known = known_distribution(&EXAMPLE, 10_000, &delay).expect("it can be met");
    assert_digits(known.interval.as_secs_f64(), "9.976", "η");
    assert_digits(known.shift.as_secs_f64(), "20.024", "δ");
    let moments = moments_only(&EXAMPLE, 10_000, ms(20), 0.02).expect("it can be met");
    assert_digits(moments.interval.as_secs_f64(), "9.710", "η");
    assert_digits(moments.shift.as_secs_f64(), "20.290", "δ");

    for Configuration { interval, shift, recurrence_s, limit } in [known, moments] {
        assert_eq!(limit, Limit::Recurrence);
        assert_eq!(interval + shift, EXAMPLE.detection_max);
        assert!(recurrence_s >= EXAMPLE.recurrence_min.as_secs_f64() * (1.0 - 1e-9));
        let beats = Beats::new(interval, 10_000, delay.clone());
        let quality = NfdS::new(&beats, shift).quality();
        assert!(quality.recurrence_s >= recurrence_s * (1.0 - 1e-6), "{quality:?}");
        assert!(quality.duration_s <= EXAMPLE.duration_max.as_secs_f64(), "{quality:?}");
    }
    // f(η) is E(T_MR), and the interval is the largest: half a millisecond more is too much.
    let at = |interval: Span| {
        let beats = Beats::new(interval, 10_000, delay.clone());
        NfdS::new(&beats, EXAMPLE.detection_max - interval).quality().recurrence_s
    };
    assert_close(at(known.interval), known.recurrence_s, 1e-6, "f(η)");
    for more_ns in [500_000, 5_000_000, 20_000_000, 500_000_000, 5_000_000_000] {
        let recurrence_s = at(known.interval + Span::from_nanos(more_ns));
        assert!(recurrence_s < EXAMPLE.recurrence_min.as_secs_f64(), "{more_ns} ns more: {recurrence_s}");
    }
}

#[test]
fn the_binding_constraint_is_named() {
    let delay = Distribution::Exponential { mean: ms(20) };
    let modest = Requirement { recurrence_min: ms(1), ..EXAMPLE };
    let free = known_distribution(&modest, 10_000, &delay).expect("it can be met");
    assert_eq!((free.limit, free.shift), (Limit::Detection, Span::ZERO));
    let short = Requirement { duration_max: ms(5_000), ..modest };
    let found = known_distribution(&short, 10_000, &delay).expect("it can be met");
    assert_eq!((found.limit, found.interval), (Limit::Duration, ms(4_950)));
    let found = moments_only(&short, 10_000, ms(20), 0.0).expect("it can be met");
    assert_eq!((found.limit, found.interval), (Limit::Duration, ms(4_950)));
}

#[test]
fn what_cannot_be_met_says_which_constraint_is_to_blame() {
    let delay = Distribution::Uniform { min: ms(50), max: ms(300) };
    let both = |requirement: &Requirement, loss_ppm| {
        [
            known_distribution(requirement, loss_ppm, &delay).expect_err("known"),
            moments_only(requirement, loss_ppm, ms(175), 0.005).expect_err("moments"),
        ]
    };
    let hasty = Requirement { detection_max: ms(40), ..EXAMPLE };
    for unmet in both(&hasty, 10_000) {
        assert!(matches!(unmet, Unmet::Detection { asked, .. } if asked == ms(40)), "{unmet}");
    }
    for unmet in both(&EXAMPLE, 1_000_000) {
        assert_eq!(unmet, Unmet::Loss);
    }
    for unmet in both(&Requirement { duration_max: Span::ZERO, ..EXAMPLE }, 10_000) {
        assert_eq!(unmet, Unmet::Duration);
    }
    // A tail as long as the detection time: no number of beats is in time often enough.
    let late = Distribution::Constant(ms(29_999));
    let unmet = known_distribution(&EXAMPLE, 10_000, &late).expect_err("one beat decides");
    assert!(matches!(unmet, Unmet::Recurrence { best_s, .. } if best_s < 100.0), "{unmet}");
}

#[test]
fn phi_reaches_its_thresholds() {
    let (mean, deviation) = (ms(1_000), ms(100));
    for (threshold, normal_s, exponential_s) in
        [(1.0, "1.128", "2.30"), (8.0, "1.523", "18.42"), (12.0, "1.629", "27.63")]
    {
        let reach = phi::normal_reach(threshold, mean, deviation);
        assert_digits(reach.as_secs_f64(), normal_s, &format!("normal, φ = {threshold}"));
        assert_close(phi::normal(reach, mean, deviation), threshold, 1e-7, "φ at that time");
        let reach = phi::exponential_reach(threshold, mean);
        assert_digits(reach.as_secs_f64(), exponential_s, &format!("exponential, φ = {threshold}"));
        assert_close(phi::exponential(reach, mean), threshold, 1e-7, "φ at that time");
    }
}

/// Akka's own lines, with both of its branches.
#[test]
fn the_normal_phi_is_akka_s() {
    let (mean, deviation) = (ms(1_000), ms(100));
    for silence_ms in (0..2_000).step_by(37) {
        let y = (silence_ms as f64 - 1_000.0) / 100.0;
        let e = libm::exp(-y * (1.5976 + 0.070_566 * y * y));
        let akka = if silence_ms > 1_000 {
            -libm::log10(e / (1.0 + e))
        } else {
            -libm::log10(1.0 - 1.0 / (1.0 + e))
        };
        let found = phi::normal(ms(silence_ms), mean, deviation);
        // Far below the mean Akka's second branch cancels.
        assert!((found - akka).abs() <= 1e-9 * akka + 1e-15, "{silence_ms} ms: {found}, {akka}");
    }
}

#[test]
fn estimates_move_with_a_window() {
    let settings = Accrual { window: 4, acceptable_pause: ms(500), ..Accrual::akka() };
    let mut estimates = Estimates::new(settings);
    // Two samples stand for the first estimate: 0.75 s and 1.25 s.
    assert_eq!(estimates.reach().as_millis(), phi::normal_reach(8.0, ms(1_500), ms(250)).as_millis());
    for _ in 0..4 {
        estimates.record(ms(2_000), false);
    }
    estimates.record(ms(60_000), true);
    assert_eq!(estimates.reach().as_millis(), phi::normal_reach(8.0, ms(2_500), ms(100)).as_millis());
    estimates.record(ms(1_000), false);
    estimates.record(ms(1_000), false);
    assert_eq!(estimates.reach().as_millis(), phi::normal_reach(8.0, ms(2_000), ms(500)).as_millis());

    let mut estimates = Estimates::new(Accrual::cassandra());
    assert_eq!(estimates.reach().as_millis(), phi::exponential_reach(8.0, ms(2_000)).as_millis());
    estimates.record(ms(1_000), true);
    estimates.record(ms(2_001), false);
    assert_eq!(estimates.reach().as_millis(), phi::exponential_reach(8.0, ms(1_500)).as_millis());
}
