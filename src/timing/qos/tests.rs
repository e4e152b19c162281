use super::configure::{Configuration, Limit, Requirement, Unmet, known_distribution, moments_only};
use super::*;

const DAY_S: u64 = 86_400;

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
