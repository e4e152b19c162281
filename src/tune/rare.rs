//! Mistakes too rare to be met by simulation: importance sampling over beats.
//!
//! One beat arrives at y, and a mistake begins at y + T if no other arrives in `(y, y + T]`. In nature
//! the other beats hardly ever all stay away; here each of them is made to, nine times in ten, and the
//! sample counts by the likelihood ratio of what was drawn: `∏ p(drawn) / q(drawn)`, q being
//! `0.1·p + 0.9·p(· | it stays away)`. Each factor is at most ten times what staying away costs in
//! nature, so no sample outweighs the others, and the estimate is unbiased for any p.
//!
//! Beats are independent of each other here ([`crate::timing::qos::INDEPENDENCE`]); what a checker that
//! asks only now and then makes of a mistake is drawn too, and that no closed form has.

use crate::dist::{Distribution, Random};
use crate::time::Span;
use crate::timing::qos::Beats;

/// How often a beat is made to stay away.
const FORCED: f64 = 0.9;
/// Beats that are older than this many intervals have arrived, or are lost: of the heaviest tails that
/// are allowed one in a million is older.
const OLDER_MAX: u32 = 64;
/// `−ln 0.05`: what was not seen in n samples happens in fewer than so many of n, at 95 %.
const NONE_SEEN: f64 = 2.995_732_273_553_991;
/// Two-sided 95 % of a normal distribution.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// An estimate, with its 95 % interval by the central limit theorem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mistakes per beat that is sent.
    pub per_beat: f64,
    pub low: f64,
    pub high: f64,
    pub samples: u64,
    /// In so many samples there was a mistake.
    pub hits: u64,
}

/// What beats, a reset on arrival, and a checker make of each other.
#[derive(Debug, Clone, Copy)]
pub struct Detector<'b> {
    pub beats: &'b Beats,
    /// T: from an arrival to the end of its validity, retries included.
    pub reach: Span,
    /// S: between two questions; zero if it is asked all the time.
    pub period: Span,
}

impl Detector<'_> {
    /// By importance sampling, from `samples` windows. One seed gives one estimate.
    ///
    /// # Panics
    /// Without a sample.
    #[must_use]
    pub fn estimate(&self, samples: u64, seed: u64) -> Estimate {
        self.over_windows(samples, seed, FORCED)
    }

    /// By plain simulation of as many windows: what is rarer than one in `samples` it does not see.
    ///
    /// # Panics
    /// Without a sample.
    #[must_use]
    pub fn simulate(&self, samples: u64, seed: u64) -> Estimate {
        self.over_windows(samples, seed, 0.0)
    }

    fn over_windows(&self, samples: u64, seed: u64, forced: f64) -> Estimate {
        assert!(samples > 0, "an estimate rests on samples");
        let mut random = Random::stream(seed, "rare mistakes");
        let (mut sum, mut squares, mut hits) = (0.0, 0.0, 0);
        for _ in 0..samples {
            let value = self.window(forced, &mut random);
            sum += value;
            squares += value * value;
            hits += u64::from(value > 0.0);
        }
        let count = samples as f64;
        let mean = sum / count;
        let deviation = libm::sqrt((squares / count - mean * mean).max(0.0) / count);
        // Without a hit there is no deviation either: three in `samples` is what that excludes at 95 %.
        let high = if hits == 0 { NONE_SEEN / count } else { mean + NORMAL_95 * deviation };
        // A mistake begins with a beat that arrives.
        let arriving = self.beats.arriving();
        Estimate {
            per_beat: mean * arriving,
            low: (mean - NORMAL_95 * deviation).max(0.0) * arriving,
            high: high * arriving,
            samples,
            hits,
        }
    }

    /// What follows one beat that arrives: the likelihood ratio of what was drawn, times the share of the
    /// checker's phases that see the mistake; zero if there is none.
    fn window(&self, forced: f64, random: &mut Random) -> f64 {
        let (delay, loss) = (&self.beats.delay, self.beats.loss());
        let interval_ns = self.beats.interval.as_nanos() as f64;
        let arrived_ns = delay.sample(random).as_nanos() as f64;
        let end_ns = arrived_ns + self.reach.as_nanos() as f64;
        let mut weight = 1.0;
        let mut next_ns = f64::INFINITY;
        let older = (1..=OLDER_MAX).map(|back| -f64::from(back) * interval_ns);
        let newer = (1..).map(|ahead| f64::from(ahead) * interval_ns).take_while(|sent| *sent < end_ns);
        for sent_ns in older.chain(newer) {
            let early = self.beats.arriving() * delay.at_most(arrived_ns - sent_ns);
            let late = self.beats.arriving() * delay.above(end_ns - sent_ns);
            let away = loss + early + late;
            if random.unit_open() > forced && random.unit_open() > away {
                return 0.0;
            }
            weight /= (1.0 - forced) + forced / away;
            // Of those that stay away only a late one ends the mistake.
            if random.unit_open() * away > loss + early {
                next_ns = next_ns.min(sent_ns + above(delay, end_ns - sent_ns, random));
            }
        }
        weight * self.seen(end_ns, next_ns, random)
    }

    /// The share of the checker's phases in which it asks between the end of the validity and the next
    /// arrival.
    fn seen(&self, end_ns: f64, mut next_ns: f64, random: &mut Random) -> f64 {
        if self.period.is_zero() {
            return 1.0;
        }
        let interval_ns = self.beats.interval.as_nanos() as f64;
        let period_ns = self.period.as_nanos() as f64;
        let mut sent_ns = libm::ceil(end_ns / interval_ns) * interval_ns;
        // What lasts for a whole period is seen: later beats need not be drawn.
        while sent_ns < next_ns.min(end_ns + period_ns) {
            if !random.happens_ppm(self.beats.loss_ppm) {
                next_ns = next_ns.min(sent_ns + self.beats.delay.sample(random).as_nanos() as f64);
            }
            sent_ns += interval_ns;
        }
        ((next_ns - end_ns) / period_ns).clamp(0.0, 1.0)
    }
}

/// A delay of more than `from_ns`, in nanoseconds.
fn above(delay: &Distribution, from_ns: f64, random: &mut Random) -> f64 {
    delay.exceeded_by(random.unit_open() * delay.above(from_ns), from_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::qos::ResetOnArrival;

    fn beats(loss_ppm: u32) -> Beats {
        Beats::new(Span::from_secs(1), loss_ppm, Distribution::Exponential { mean: Span::from_millis(20) })
    }

    /// Of 95 % intervals 19 in 20 hold the truth, and all samples together are not off to one side.
    #[test]
    fn a_mistake_in_a_thousand_million_beats_is_estimated_as_the_closed_form_has_it() {
        const SEEDS: u64 = 40;
        let beats = beats(10_000);
        for reach_ms in [2_500, 4_500] {
            let reach = Span::from_millis(reach_ms);
            let exact = ResetOnArrival::new(&beats, reach).quality().rate_per_s;
            let detector = Detector { beats: &beats, reach, period: Span::ZERO };
            let found: Vec<Estimate> = (0..SEEDS).map(|seed| detector.estimate(5_000, seed)).collect();
            let held = found.iter().filter(|it| it.low <= exact && exact <= it.high).count();
            assert!(held >= 34, "{reach_ms} ms: {exact:e} in {held} of {SEEDS} intervals");
            let mean = found.iter().map(|it| it.per_beat).sum::<f64>() / SEEDS as f64;
            let half = (found[0].high - found[0].low) / 2.0 / libm::sqrt(SEEDS as f64);
            assert!(
                (mean - exact).abs() < 2.0 * half,
                "{reach_ms} ms: {exact:e}, on average {mean:e} ± {half:e}"
            );
            assert!(half < 0.01 * exact, "{reach_ms} ms: {exact:e}, on average {mean:e} ± {half:e}");
        }
    }

    #[test]
    fn plain_simulation_sees_none_and_says_what_that_excludes() {
        let beats = beats(10_000);
        let reach = Span::from_millis(4_500);
        let exact = ResetOnArrival::new(&beats, reach).quality().rate_per_s;
        let plain = Detector { beats: &beats, reach, period: Span::ZERO }.simulate(100_000, 7);
        assert_eq!((plain.hits, plain.per_beat), (0, 0.0));
        assert!(exact < plain.high && plain.high < 4e-5, "{plain:?}");
    }

    #[test]
    fn where_mistakes_are_common_both_agree() {
        let beats = beats(200_000);
        let detector =
            Detector { beats: &beats, reach: Span::from_millis(1_500), period: Span::from_secs(3) };
        let (sampled, plain) = (detector.estimate(200_000, 1), detector.simulate(200_000, 2));
        assert!(sampled.low < plain.high && plain.low < sampled.high, "{sampled:?} against {plain:?}");
    }
}
