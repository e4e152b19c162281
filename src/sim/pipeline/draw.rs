//! Distributions made ready for drawing from them millions of times.

use crate::dist::{Distribution, Random};

const LAYERS: usize = 256;
/// Where the lowest layer's tail begins, and the area of each layer, for 256 layers of e⁻ˣ (Marsaglia and
/// Tsang, *The Ziggurat Method for Generating Random Variables*, 2000).
const TAIL: f64 = 7.697_117_470_131_05;
const AREA: f64 = 0.003_949_659_822_581_572;
/// As `Distribution::Exponential` cuts its samples.
const CUT: f64 = 50.0;

/// Draws what a distribution gives, but other samples than its own: for the exponential one by the
/// ziggurat method, which takes a logarithm for one sample in a hundred. IEEE multiplication and `libm`
/// alone, so the samples are the same on every machine.
#[derive(Debug, Clone)]
pub(super) enum Draw {
    Constant(u64),
    Exponential { mean: f64, ziggurat: Box<Ziggurat> },
    Other(Distribution),
}

impl Draw {
    pub(super) fn new(distribution: &Distribution) -> Self {
        match distribution {
            Distribution::Constant(span) => Self::Constant(span.as_nanos()),
            Distribution::Exponential { mean } => {
                Self::Exponential { mean: mean.as_nanos() as f64, ziggurat: Box::new(Ziggurat::new()) }
            }
            other => Self::Other(other.clone()),
        }
    }

    /// In nanoseconds.
    #[inline]
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        match self {
            Self::Constant(nanos) => *nanos,
            Self::Exponential { mean, ziggurat } => (mean * ziggurat.draw(random).min(CUT)) as u64,
            Self::Other(distribution) => distribution.sample(random).as_nanos(),
        }
    }
}

/// e⁻ˣ covered by layers of equal area, the lowest with the tail.
#[derive(Debug, Clone)]
pub(super) struct Ziggurat {
    /// The width of each layer, falling; one more than layers, the last zero.
    widths: [f64; LAYERS + 1],
    /// e⁻ˣ there.
    heights: [f64; LAYERS + 1],
}

impl Ziggurat {
    fn new() -> Self {
        let mut widths = [0.0; LAYERS + 1];
        widths[0] = AREA / libm::exp(-TAIL);
        widths[1] = TAIL;
        for layer in 2..LAYERS {
            let below = widths[layer - 1];
            widths[layer] = -libm::log(AREA / below + libm::exp(-below));
        }
        Self { widths, heights: widths.map(|width| libm::exp(-width)) }
    }

    /// Exponential with mean 1.
    #[inline]
    fn draw(&self, random: &mut Random) -> f64 {
        loop {
            let bits = random.below(1 << 63);
            let layer = bits as usize % LAYERS;
            let x = ((bits >> 10) as f64 + 0.5) / (1_u64 << 53) as f64 * self.widths[layer];
            if x < self.widths[layer + 1] {
                return x;
            }
            if let Some(x) = self.at_the_edge(layer, x, random) {
                return x;
            }
        }
    }

    /// Where a layer's end lies outside the curve.
    #[cold]
    fn at_the_edge(&self, layer: usize, x: f64, random: &mut Random) -> Option<f64> {
        if layer == 0 {
            return Some(TAIL - libm::log(random.unit_open()));
        }
        let (low, high) = (self.heights[layer], self.heights[layer + 1]);
        (low + (high - low) * random.unit_open() < libm::exp(-x)).then_some(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    /// Kolmogorov and Smirnov's statistic against 1 − e⁻ˣ; 1.63 / √n is exceeded once in a hundred.
    #[test]
    fn the_ziggurat_gives_the_exponential_distribution() {
        let ziggurat = Ziggurat::new();
        let mut random = Random::stream(3, "ziggurat");
        let count = 100_000;
        let mut samples: Vec<f64> = (0..count).map(|_| ziggurat.draw(&mut random)).collect();
        samples.sort_by(f64::total_cmp);
        let distance = samples.iter().enumerate().map(|(index, x)| {
            let below = index as f64 / f64::from(count);
            (1.0 - libm::exp(-x) - below).abs()
        });
        let distance = distance.fold(0.0, f64::max);
        assert!(distance * f64::from(count).sqrt() < 1.63, "{distance}");
        let tail = samples.iter().filter(|x| **x > TAIL).count() as f64;
        let expected = f64::from(count) * libm::exp(-TAIL);
        assert!((tail - expected).abs() < 4.0 * expected.sqrt(), "{tail} beyond the tail, not {expected}");
    }

    #[test]
    fn a_drawn_distribution_keeps_its_mean_and_ends() {
        let ms = Span::from_millis;
        for distribution in [
            Distribution::Constant(ms(7)),
            Distribution::Uniform { min: ms(3), max: ms(11) },
            Distribution::Exponential { mean: ms(7) },
        ] {
            let draw = Draw::new(&distribution);
            let mut random = Random::stream(1, "draw");
            let samples: Vec<Span> = (0..50_000).map(|_| Span::from_nanos(draw.draw(&mut random))).collect();
            assert!(samples.iter().all(|s| (distribution.min()..=distribution.max()).contains(s)));
            let mean = samples.iter().map(|s| s.as_millis_f64()).sum::<f64>() / 50_000.0;
            assert!((mean - 7.0).abs() < 0.1, "{distribution:?}: {mean}");
        }
    }
}
