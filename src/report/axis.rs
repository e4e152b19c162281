//! An axis of model seconds: where a moment is drawn, and round numbers beside it.

/// Rough width of a character at the size of an axis' labels, in the drawing's units.
const CHAR_WIDTH: f64 = 6.1;
/// From here on in scientific notation: a label stays shorter than the gap between two.
const PLAIN_MAX: f64 = 1e7;

/// `from` to `to` in model seconds, drawn from `left` to `right`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    pub from: f64,
    pub to: f64,
    pub left: f64,
    pub right: f64,
}

impl Axis {
    /// What lies outside is drawn at the nearer end.
    #[must_use]
    pub fn x(self, at: f64) -> f64 {
        let share = (at - self.from) / (self.to - self.from).max(f64::MIN_POSITIVE);
        self.left + if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) } * (self.right - self.left)
    }

    #[must_use]
    pub fn holds(self, at: f64) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// Round moments with their labels: about ten, fewer where the labels are long.
    #[must_use]
    pub fn ticks(self) -> Vec<(f64, String)> {
        let length = self.to - self.from;
        let ticks_of = |count: f64| {
            let step = nice_step(length, count);
            let (first, last) = ((self.from / step).ceil(), (self.to / step).floor());
            let places = if last - first > 2.0 * count { 0 } else { (last - first) as i64 + 1 };
            (0..places).map(|n| (first + n as f64) * step).map(|at| (at, label(at, step))).collect::<Vec<_>>()
        };
        let ticks = ticks_of(10.0);
        let longest = ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(1);
        let room = (self.right - self.left) / ((longest + 2) as f64 * CHAR_WIDTH);
        if room >= ticks.len() as f64 { ticks } else { ticks_of((room / 2.0).max(1.0)) }
    }
}

/// 1, 2 or 5 times a power of ten, so that about `count` fit into `length`; never so small that a
/// loop over them is long.
#[must_use]
pub fn nice_step(length: f64, count: f64) -> f64 {
    nice(length / count, &[1.0, 2.0, 5.0, 10.0])
}

/// The least of `factors` times a power of ten that is no less than `rough`. The last factor is 10.
#[must_use]
pub fn nice(rough: f64, factors: &[f64]) -> f64 {
    let rough = rough.max(1e-6);
    let power = libm::pow(10.0, libm::log10(rough).floor());
    factors.iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough)
}

/// Seconds with as many decimals as tell two ticks apart.
#[must_use]
pub fn label(at: f64, step: f64) -> String {
    if at.abs() >= PLAIN_MAX {
        return format!("{at:.2e} s");
    }
    let decimals = (-libm::log10(step.max(1e-9)).floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{at:.decimals$} s");
    match text.strip_prefix('-') {
        Some(positive) if !positive.contains(|c: char| ('1'..='9').contains(&c)) => positive.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn axis(from: f64, to: f64) -> Axis {
        Axis { from, to, left: 100.0, right: 1_100.0 }
    }

    #[test]
    fn moments_are_drawn_in_proportion_and_never_outside() {
        let axis = axis(10.0, 20.0);
        for (at, x) in [(10.0, 100.0), (15.0, 600.0), (20.0, 1_100.0), (1e300, 1_100.0), (-5.0, 100.0)] {
            assert_eq!(axis.x(at), x, "{at}");
        }
        assert!(axis.holds(20.0) && !axis.holds(20.1));
        assert!(super::Axis { from: 5.0, to: 5.0, ..axis }.x(f64::NAN).is_finite());
    }

    #[test]
    fn labels_are_round_and_tell_ticks_apart() {
        for (from, to, first, last) in [
            (0.0, 100.0, "0 s", "100 s"),
            (-20.0, 93.0, "-20 s", "80 s"),
            (30.0, 30.01, "30.000 s", "30.010 s"),
            (0.0, 1.0, "0.0 s", "1.0 s"),
        ] {
            let ticks = axis(from, to).ticks();
            assert_eq!((ticks[0].1.as_str(), ticks[ticks.len() - 1].1.as_str()), (first, last));
            assert!((4..=12).contains(&ticks.len()), "{ticks:?}");
        }
        assert_eq!(label(-0.0, 1.0), "0 s");
    }

    #[test]
    fn labels_keep_apart_whatever_the_range() {
        for (from, to) in
            [(0.0, 1e12), (1e9, 1e9 + 1.0), (123_456.0, 123_456.001), (0.0, 1e-7), (0.0, 1e300), (3.0, 3.0)]
        {
            let axis = axis(from, to);
            for pair in axis.ticks().windows(2) {
                let room = axis.x(pair[1].0) - axis.x(pair[0].0);
                assert!(room > pair[0].1.len() as f64 * CHAR_WIDTH, "{pair:?}");
            }
        }
    }
}
