//! Numerical integration, to eight digits or so.

/// `∫ f` from the first of `points` to the last, which are sorted; between two neighbours `f` must be
/// smooth.
///
/// Gauss–Kronrod with 7 and 15 nodes, and QUADPACK's estimate of the error (Piessens and others, 1983).
/// The stretch with the largest error is halved until the estimate is 10⁻⁸ of the whole, or a thousand
/// halvings are done.
pub(super) fn integrate(points: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    const TOLERANCE: f64 = 1e-8;
    const HALVINGS_MAX: usize = 1_000;
    let mut stretches: Vec<Stretch> =
        points.windows(2).filter(|ends| ends[0] < ends[1]).map(|ends| rule(ends[0], ends[1], &f)).collect();
    for _ in 0..HALVINGS_MAX {
        let whole: f64 = stretches.iter().map(|stretch| stretch.value).sum();
        let error: f64 = stretches.iter().map(|stretch| stretch.error).sum();
        if error <= TOLERANCE * whole.abs() {
            break;
        }
        let Some(worst) =
            (0..stretches.len()).max_by(|a, b| f64::total_cmp(&stretches[*a].error, &stretches[*b].error))
        else {
            break;
        };
        let Stretch { low, high, .. } = stretches[worst];
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        stretches[worst] = rule(low, middle, &f);
        stretches.push(rule(middle, high, &f));
    }
    stretches.iter().map(|stretch| stretch.value).sum()
}

struct Stretch {
    low: f64,
    high: f64,
    value: f64,
    error: f64,
}

/// Nodes in `[0, 1)` from the outermost to the middle; every second is a node of the Gauss rule too.
const NODES: [f64; 8] = [
    0.991_455_371_120_812_6,
    0.949_107_912_342_758_5,
    0.864_864_423_359_769_1,
    0.741_531_185_599_394_5,
    0.586_087_235_467_691_1,
    0.405_845_151_377_397_2,
    0.207_784_955_007_898_5,
    0.0,
];
const KRONROD: [f64; 8] = [
    0.022_935_322_010_529_22,
    0.063_092_092_629_978_55,
    0.104_790_010_322_250_19,
    0.140_653_259_715_525_92,
    0.169_004_726_639_267_9,
    0.190_350_578_064_785_4,
    0.204_432_940_075_298_9,
    0.209_482_141_084_727_83,
];
/// Of the second, fourth, sixth and eighth node.
const GAUSS: [f64; 4] =
    [0.129_484_966_168_869_7, 0.279_705_391_489_276_64, 0.381_830_050_505_118_9, 0.417_959_183_673_469_4];

fn rule(low: f64, high: f64, f: &impl Fn(f64) -> f64) -> Stretch {
    let (centre, half) = (f64::midpoint(low, high), (high - low) / 2.0);
    let (mut kronrod, mut gauss) = (0.0, 0.0);
    for (i, node) in NODES.iter().enumerate() {
        let pair = if i == 7 { f(centre) } else { f(centre - half * node) + f(centre + half * node) };
        kronrod += KRONROD[i] * pair;
        if i % 2 == 1 {
            gauss += GAUSS[i / 2] * pair;
        }
    }
    let (value, difference) = (kronrod * half, ((kronrod - gauss) * half).abs());
    // The difference is the lower rule's error. The higher one's is as much smaller as that is small.
    let relative = 200.0 * difference / value.abs();
    let error = if relative < 1.0 { value.abs() * relative * libm::sqrt(relative) } else { difference };
    Stretch { low, high, value, error: error.min(difference) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_integrals() {
        let check = |points: &[f64], f: fn(f64) -> f64, expected: f64| {
            let found = integrate(points, f);
            assert!((found / expected - 1.0).abs() < 1e-8, "{found} is not {expected}");
        };
        check(&[0.0, 1.0], |x| x * x, 1.0 / 3.0);
        check(&[0.0, 3.0], |x| libm::exp(-1000.0 * x), 1e-3);
        check(&[0.0, 1.0, 2.0], |x| if x < 1.0 { 1.0 } else { 5.0 }, 6.0);
        check(&[0.0, 1.0], libm::sqrt, 2.0 / 3.0);
        check(&[0.0, 2.0], |x| (x - 0.7).abs(), (0.49 + 1.69) / 2.0);
    }
}
