use super::*;

const MILLI: f64 = 1e6;

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

fn shape(thousandths: u32) -> Shape {
    Shape::from_thousandths(thousandths).expect("in range")
}

/// One or more of each kind, the awkward ones too.
fn all() -> Vec<Distribution> {
    let recorded = |millis: &[u64]| {
        Distribution::Empirical(Recorded::new(millis.iter().map(|m| ms(*m)).collect()).expect("not empty"))
    };
    vec![
        Distribution::Constant(ms(20)),
        Distribution::Uniform { min: ms(200), max: ms(600) },
        Distribution::Uniform { min: ms(3), max: ms(3) },
        Distribution::Exponential { mean: ms(20) },
        Distribution::Exponential { mean: Span::ZERO },
        Distribution::Normal { mean: ms(100), deviation: ms(10) },
        Distribution::Normal { mean: ms(10), deviation: ms(20) },
        Distribution::Normal { mean: Span::ZERO, deviation: ms(5) },
        Distribution::Normal { mean: ms(7), deviation: Span::ZERO },
        Distribution::Lognormal { median: ms(20), p99: ms(200) },
        Distribution::Lognormal { median: ms(20), p99: ms(20) },
        Distribution::Pareto { min: ms(5), shape: shape(1_000) },
        Distribution::Pareto { min: ms(5), shape: shape(2_500) },
        Distribution::Pareto { min: ms(5), shape: shape(12_000) },
        recorded(&[7]),
        recorded(&[4, 4, 4]),
        recorded(&[30, 10, 10, 20, 45, 45, 45, 200]),
    ]
}

fn draws(distribution: &Distribution, count: usize) -> Vec<Span> {
    let mut random = Random::stream(7, "draws");
    let sampler = distribution.sampler();
    (0..count).map(|_| sampler.sample(&mut random)).collect()
}

/// `∫ f(x) dx` between neighbouring landmarks, by Simpson's rule on a fine grid.
fn integral(points: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    const STEPS: usize = 2_000;
    points
        .windows(2)
        .map(|ends| {
            // Just inside: a density may jump at its ends.
            let (low, high) = (ends[0] + (ends[1] - ends[0]) * 1e-12, ends[1] - (ends[1] - ends[0]) * 1e-12);
            let width = (high - low) / STEPS as f64;
            let weight = |i: usize| if i == 0 || i == STEPS { 1.0 } else { [2.0, 4.0][i % 2] };
            (0..=STEPS).map(|i| weight(i) * f(low + width * i as f64)).sum::<f64>() * width / 3.0
        })
        .sum()
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let scale = expected.abs().max(1e-300);
    assert!((found - expected).abs() <= tolerance * scale, "{what}: {found} is not {expected}");
}

#[test]
fn samples_stay_within_the_ends_and_repeat_for_a_seed() {
    for distribution in all() {
        let samples = draws(&distribution, 2_000);
        assert!(
            samples.iter().all(|s| *s >= distribution.min() && *s <= distribution.max()),
            "{distribution:?}"
        );
        assert_eq!(samples, draws(&distribution, 2_000));
        let mut random = Random::stream(7, "draws");
        assert_eq!(samples[0], distribution.sample(&mut random), "{distribution:?}");
    }
    let mut other = Random::stream(8, "draws");
    let exponential = Distribution::Exponential { mean: ms(20) };
    assert_ne!(exponential.sample(&mut other), draws(&exponential, 1)[0]);
}

/// Dvoretzky, Kiefer and Wolfowitz: the empirical distribution function is farther than
/// `√(ln(2/α) / 2n)` from the true one with probability at most α.
#[test]
fn samples_follow_the_distribution_function() {
    const COUNT: usize = 40_000;
    let bound = libm::sqrt(libm::log(2.0 / 1e-4) / (2.0 * COUNT as f64));
    for distribution in all() {
        let mut samples = draws(&distribution, COUNT);
        samples.sort_unstable();
        for (rank, sample) in samples.iter().enumerate().step_by(97) {
            let nanos = sample.as_nanos() as f64;
            let (low, high) = (distribution.below(nanos), distribution.at_most(nanos + 1.0));
            let share = rank as f64 / COUNT as f64;
            assert!(
                low - bound <= share && share <= high + bound,
                "{distribution:?}: {share} of the samples are below {sample}, {low} to {high} expected"
            );
        }
    }
}

/// The whole range of a ziggurat: body, corners and tail.
#[test]
fn tails_are_drawn_as_often_as_they_should() {
    const COUNT: usize = 1_000_000;
    let mut random = Random::stream(3, "tails");
    let count =
        |draw: &mut dyn FnMut() -> f64, from: f64| (0..COUNT).filter(|_| draw() > from).count() as f64;
    for (from, expected) in [(4.0, libm::exp(-4.0)), (7.8, libm::exp(-7.8))] {
        let found = count(&mut || ziggurat::exponential(&mut random, 50.0), from);
        let mean = expected * COUNT as f64;
        assert!((found - mean).abs() < 4.0 * libm::sqrt(mean), "beyond {from}: {found}, expected {mean}");
    }
    for from in [1.0, 3.0, 3.7, -2.0] {
        let found = count(&mut || ziggurat::normal(&mut random, 8.0), from);
        let mean = 0.5 * libm::erfc(from * std::f64::consts::FRAC_1_SQRT_2) * COUNT as f64;
        assert!((found - mean).abs() < 4.0 * libm::sqrt(mean), "beyond {from}: {found}, expected {mean}");
    }
}

#[test]
fn a_density_and_its_atoms_add_up_to_the_probabilities_and_moments() {
    for distribution in all() {
        let points = distribution.landmarks_ns();
        let atoms = distribution.atoms();
        let expect = |g: &dyn Fn(f64) -> f64| {
            integral(&points, |x| g(x) * distribution.density(x))
                + atoms.iter().map(|(at, mass)| g(*at) * mass).sum::<f64>()
        };
        let what = format!("{distribution:?}");
        assert_close(expect(&|_| 1.0), 1.0, 1e-9, &what);
        let mean = distribution.mean_ns();
        assert_close(expect(&|x| x), mean, 1e-9, &what);
        let variance = distribution.variance_ns2();
        let found = expect(&|x| (x - mean) * (x - mean));
        assert!((found - variance).abs() <= 1e-7 * variance.max(mean), "{what}: {found} is not {variance}");

        for window in points.windows(2) {
            let found: f64 = integral(window, |x| distribution.density(x));
            let between = distribution.above(window[0]) - distribution.above(window[1]);
            let jump: f64 = atoms.iter().filter(|(at, _)| *at == window[1]).map(|(_, mass)| mass).sum();
            assert!(
                (found + jump - between).abs() < 1e-10,
                "{what} in {window:?}: {found} + {jump}, {between}"
            );
        }
    }
}

#[test]
fn below_at_most_and_above_are_complements() {
    for distribution in all() {
        for point in distribution.landmarks_ns() {
            for x in [point - 1.0, point, point + 0.5, point * 1.3] {
                let jump: f64 =
                    distribution.atoms().iter().filter(|(at, _)| *at == x).map(|(_, mass)| mass).sum();
                assert_close(distribution.at_most(x) + distribution.above(x), 1.0, 1e-12, "≤ and >");
                assert_close(distribution.below(x) + jump + distribution.above(x), 1.0, 1e-12, "<, =, >");
            }
        }
        assert_eq!(distribution.above(distribution.max().as_nanos() as f64), 0.0);
        assert_eq!(distribution.below(distribution.min().as_nanos() as f64), 0.0);
    }
}

#[test]
fn moments_known_from_tables() {
    let check = |distribution: Distribution, mean: f64, variance: f64| {
        assert_close(distribution.mean_ns() / MILLI, mean, 1e-9, "mean");
        assert_close(distribution.variance_ns2() / (MILLI * MILLI), variance, 1e-9, "variance");
    };
    check(Distribution::Uniform { min: ms(200), max: ms(600) }, 400.0, 160_000.0 / 12.0);
    check(Distribution::Exponential { mean: ms(20) }, 20.0, 400.0);
    // The half normal: σ·√(2/π), σ²·(1 − 2/π).
    let two_over_pi = std::f64::consts::FRAC_2_PI;
    let half = Distribution::Normal { mean: Span::ZERO, deviation: ms(5) };
    check(half, 5.0 * libm::sqrt(two_over_pi), 25.0 * (1.0 - two_over_pi));
    // Uncut, 12/11 and 12/(11² · 10) of the minimum and of its square.
    let pareto = Distribution::Pareto { min: ms(5), shape: shape(12_000) };
    check(pareto, 5.0 * 12.0 / 11.0, 25.0 * 12.0 / 1_210.0);
    let p99 = Distribution::Lognormal { median: ms(20), p99: ms(200) };
    assert_close(p99.above(200.0 * MILLI), 0.01, 1e-9, "one in a hundred");
    assert_close(p99.below(20.0 * MILLI), 0.5, 1e-9, "one in two");
}

/// A digest of draws of every kind: the same on every machine, or portability is lost.
#[test]
fn draws_are_the_same_on_every_machine() {
    let digest = all()
        .iter()
        .flat_map(|distribution| draws(distribution, 5_000))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, span| {
            (hash ^ span.as_nanos()).wrapping_mul(0x0100_0000_01b3)
        });
    assert_eq!(digest, 8_704_519_774_035_479_202);
}

#[test]
fn a_distribution_is_written_and_read_back() {
    for distribution in all() {
        let text = serde_json::to_string(&distribution).expect("it can be written");
        assert_eq!(serde_json::from_str::<Distribution>(&text).expect("it can be read"), distribution);
    }
    assert!(serde_json::from_str::<Distribution>("{\"empirical\":[]}").is_err());
    assert!(serde_json::from_str::<Distribution>("{\"pareto\":{\"min\":1,\"shape\":0}}").is_err());
}
