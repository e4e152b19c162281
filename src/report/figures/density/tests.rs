use super::*;
use crate::check::Simulated;

fn simulated(values: &[f64]) -> Simulated {
    Simulated {
        pipeline_alone: false,
        runs: 300,
        first_seed: 1,
        passed: 300,
        inconclusive: 0,
        failed: 0,
        other_seeds: Vec::new(),
        detection_ms: Spread::of(values),
        recovery_ms: None,
        runs_with_mistakes: 0,
        mistakes: 0,
        runs_with_losses: 0,
        runs_with_duplicates: 0,
    }
}

fn picture(simulated_ms: Option<&[f64]>, measured_ms: &[f64], model: Option<Bound>) -> Option<String> {
    let sim = simulated_ms.map(simulated);
    let time = |simulated, measured, model| Time {
        name: "detection time",
        model,
        demanded: None,
        simulated,
        measured,
    };
    let figures = Figures {
        live: true,
        runs: 1,
        inconclusive: 0,
        sim: sim.as_ref(),
        times: [
            time(sim.as_ref().and_then(|sim| sim.detection_ms.as_ref()), Spread::of(measured_ms), model),
            time(None, None, None),
        ],
        counts: ["mistakes", "lost", "duplicated"].map(|name| crate::report::figures::Count {
            name,
            bounds: Vec::new(),
            simulated: None,
            simulated_total: None,
            measured: 0,
            measured_total: String::new(),
            rate_per_hour_upper: None,
        }),
        gaps: Vec::new(),
    };
    render(&figures, &figures.times[0])
}

const MODEL: Bound = Bound { min: Some(15_000.0), max: Some(90_000.0) };

#[test]
fn the_picture_names_all_three() {
    let values: Vec<f64> = (0..300).map(|n| 31_000.0 + f64::from(n) * 150.0).collect();
    let svg = picture(Some(&values), &[40_000.0, 41_000.0, 60_000.0], Some(MODEL)).unwrap();
    for said in [
        "allowed by the timing model: 15 s to 90 s",
        "simulated: n = 300 in 300 runs, p1 31.3 s, median 53.4 s (dashed line), p99 75.4 s; each bar is 1.5 s wide, its height the share of the values",
        "measured: n = 3, min 40 s, median 41 s, max 60 s",
        "model: at least 15 s",
        "model: at most 90 s",
        "d-median",
    ] {
        assert!(svg.contains(said), "{said}: {svg}");
    }
}

#[test]
fn what_is_missing_is_said() {
    assert_eq!(picture(None, &[], Some(MODEL)), None, "bounds alone are no picture");
    let measured_only = picture(None, &[40_000.0], None).unwrap();
    assert!(measured_only.contains("simulated: no (") && measured_only.contains("no bound is known"));
    let simulated_only = picture(Some(&[40_000.0]), &[], Some(MODEL)).unwrap();
    assert!(simulated_only.contains("measured: none"), "{simulated_only}");
    let never = picture(Some(&[]), &[40_000.0], Some(MODEL)).unwrap();
    assert!(never.contains("simulated: never happened in 300 runs"), "{never}");
}

#[test]
fn any_values_make_a_picture_of_bounded_size_with_finite_places() {
    let even = |n: u32, from: f64, to: f64| -> Vec<f64> {
        (0..n).map(|i| from + (to - from) * f64::from(i) / f64::from(n.max(2) - 1)).collect()
    };
    for (simulated, measured) in [
        (vec![45_000.0], vec![45_000.0]),
        (vec![45_000.0; 1_000], vec![45_000.0; 1_000]),
        (even(1_000, 45_000.0, 45_000.001), vec![45_000.0]),
        (even(1_000, 1e15, 2e15), vec![1.0]),
        (even(1_000, 0.0, 0.001), vec![f64::MAX]),
        (vec![0.0], vec![0.0]),
        (even(100_000, 0.0, 1e6), even(100_000, 0.0, 1e6)),
        (vec![-5.0], vec![f64::MAX, -f64::MAX]),
    ] {
        let svg = picture(Some(&simulated), &measured, Some(MODEL)).unwrap();
        assert!(svg.len() < 40_000, "{} bytes", svg.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
