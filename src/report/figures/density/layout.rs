//! Where things of the picture are: which seconds it shows, how wide a bar is, which row a label has.

use crate::report::axis::{Axis, nice};
use crate::report::svg::Anchor;

/// Bars over the simulated values, where there are enough values for so many.
const BARS_MAX: f64 = 60.0;
const BARS_MIN: f64 = 8.0;
/// In the drawing's units.
const BAR_WIDTH_MIN: f64 = 4.0;
/// A bound farther from the data than so many times their width is named at the edge, not drawn:
/// else the data shrink to a line.
const REACH: f64 = 25.0;
/// The data count as at least this share of their largest value wide: times that hardly differ are
/// shown in proportion to the bounds, not blown up.
const WIDTH_SHARE_MIN: f64 = 0.25;
const DOTS_MAX: usize = 300;
/// Rough width of a character at the labels' size.
const CHAR_WIDTH: f64 = 6.6;
const LABEL_GAP: f64 = 5.0;

/// A vertical line at `at` seconds.
pub(super) struct Mark {
    pub at: f64,
    pub text: String,
    /// Its label stands to the left by preference: within what is allowed.
    pub is_upper: bool,
    pub class: &'static str,
}

#[derive(Debug, PartialEq)]
pub(super) struct Label {
    /// Of the line.
    pub x: f64,
    pub text_x: f64,
    pub anchor: Anchor,
    pub text: String,
    pub row: usize,
    ends: (f64, f64),
}

#[derive(Debug, PartialEq)]
pub(super) struct Histogram {
    /// Seconds; of the first bar.
    pub from: f64,
    pub width: f64,
    pub counts: Vec<usize>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Dot {
    pub at: f64,
    pub x: f64,
    /// From the axis upwards.
    pub level: usize,
}

/// The seconds to show: all data, and the bounds that are near enough, with some room beside them.
pub(super) fn reach(data: &[f64], bounds: &[f64]) -> (f64, f64) {
    let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (least(data), most(data));
    if !low.is_finite() || !high.is_finite() {
        return (0.0, 1.0);
    }
    let reach = REACH * (high - low).max(high.abs() * WIDTH_SHARE_MIN);
    let near: Vec<f64> =
        bounds.iter().copied().filter(|at| low - reach <= *at && *at <= high + reach).collect();
    let (from, to) = (low.min(least(&near)), high.max(most(&near)));
    let beside = (0.05 * (to - from)).max(0.02 * high.abs()).max(1e-3);
    (if from >= 0.0 { (from - beside).max(0.0) } else { from - beside }, to + beside)
}

/// The more values the more bars, and none thinner than can be seen. `values` in ascending order.
pub(super) fn histogram(values: &[f64], axis: Axis) -> Histogram {
    let seen = BAR_WIDTH_MIN * (axis.to - axis.from) / (axis.right - axis.left);
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Histogram { from: 0.0, width: seen, counts: Vec::new() };
    };
    let bars = (2.0 * (values.len() as f64).sqrt()).clamp(BARS_MIN, BARS_MAX);
    let rough = ((last - first) / bars).max(seen);
    let width = nice(rough, &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]);
    let from = (first / width).floor() * width;
    let place = |value: f64| ((value - from) / width).max(0.0) as usize;
    let mut counts = vec![0; place(*last).min(2 * BARS_MAX as usize) + 1];
    let end = counts.len() - 1;
    for value in values {
        counts[place(*value).min(end)] += 1;
    }
    Histogram { from, width, counts }
}

/// A row and a side of its line for each label, so that none covers another or leaves the drawing.
pub(super) fn place(marks: &[Mark], axis: Axis, drawing_width: f64) -> Vec<Label> {
    let mut placed: Vec<Label> = Vec::new();
    for mark in marks {
        let text = match mark.at {
            at if at > axis.to => format!("{} →", mark.text),
            at if at < axis.from => format!("← {}", mark.text),
            _ => mark.text.clone(),
        };
        let x = axis.x(mark.at);
        let width = text.chars().count() as f64 * CHAR_WIDTH;
        let sides = if mark.is_upper { [Anchor::End, Anchor::Start] } else { [Anchor::Start, Anchor::End] };
        let on = |anchor| match anchor {
            Anchor::Start | Anchor::Middle => (x + LABEL_GAP, (x + LABEL_GAP, x + LABEL_GAP + width)),
            Anchor::End => (x - LABEL_GAP, (x - LABEL_GAP - width, x - LABEL_GAP)),
        };
        let fits = |(from, to): (f64, f64)| from >= 0.0 && to <= drawing_width;
        let is_free = |row: usize, (from, to): (f64, f64)| {
            let apart = |other: &Label| other.ends.1 + LABEL_GAP <= from || to + LABEL_GAP <= other.ends.0;
            placed.iter().all(|other| other.row != row || apart(other))
        };
        // A row for each label is always enough.
        let choices = (0..marks.len()).flat_map(|row| sides.map(|side| (row, side)));
        let (row, anchor) = choices
            .clone()
            .find(|&(row, side)| fits(on(side).1) && is_free(row, on(side).1))
            .or_else(|| choices.clone().find(|&(row, side)| is_free(row, on(side).1)))
            .unwrap_or((marks.len(), sides[0]));
        let (text_x, ends) = on(anchor);
        placed.push(Label { x, text_x, anchor, text, row, ends });
    }
    placed
}

/// Points that would cover each other are stacked, up to `levels`; of very many, as many as can be
/// told apart, evenly over their order. `values` in ascending order.
pub(super) fn dots(values: &[f64], axis: Axis, size: f64, levels: usize) -> Vec<Dot> {
    let drawn = values.len().min(DOTS_MAX);
    let mut last_at: Vec<f64> = vec![f64::NEG_INFINITY; levels.max(1)];
    let picked = (0..drawn).map(|n| values[n * (values.len() - 1) / (drawn - 1).max(1)]);
    picked
        .filter_map(|at| {
            let x = axis.x(at);
            let level = last_at.iter().position(|last| x - last >= size)?;
            last_at[level] = x;
            Some(Dot { at, x, level })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn axis(from: f64, to: f64) -> Axis {
        Axis { from, to, left: 50.0, right: 1_184.0 }
    }

    fn mark(at: f64, is_upper: bool) -> Mark {
        Mark { at, text: format!("model: at most {at} s"), is_upper, class: "d-bound" }
    }

    #[test]
    fn bounds_are_shown_unless_they_are_far_out() {
        let (from, to) = reach(&[31.0, 78.0], &[15.0, 90.0]);
        assert!((10.0..15.0).contains(&from) && (90.0..95.0).contains(&to), "{from} {to}");
        let (_, to) = reach(&[31.0, 78.0], &[15.0, 1e9]);
        assert!(to < 100.0, "a bound out of sight does not squeeze the data: {to}");
        let (from, to) = reach(&[30.0, 30.0], &[15.0, 90.0]);
        assert!(from < 15.0 && to > 90.0, "one value, in proportion to its bounds");
        let (from, to) = reach(&[0.0, 0.0], &[]);
        assert!(from == 0.0 && to > 0.0);
        assert_eq!(reach(&[], &[5.0]), (0.0, 1.0));
    }

    #[test]
    fn every_value_is_in_a_bar_and_bars_are_round_and_wide_enough() {
        for (count, from, to, axis) in [
            (1_000, 31.0, 78.0, axis(10.0, 95.0)),
            (8, 31.0, 78.0, axis(10.0, 95.0)),
            (300, 30.0, 30.001, axis(0.0, 100.0)),
            (5, 7.0, 7.0, axis(0.0, 8.0)),
            (1_000, 1e9, 2e9, axis(0.0, 3e9)),
        ] {
            let values: Vec<f64> =
                (0..count).map(|n| from + (to - from) * f64::from(n) / f64::from(count.max(2) - 1)).collect();
            let bars = histogram(&values, axis);
            assert_eq!(bars.counts.iter().sum::<usize>(), values.len());
            assert!(bars.counts.len() <= BARS_MAX as usize + 1, "{}", bars.counts.len());
            assert!(axis.x(axis.from + bars.width) - axis.left >= BAR_WIDTH_MIN - 1e-6);
            assert!(bars.from <= values[0]);
            let end = bars.from + bars.counts.len() as f64 * bars.width;
            assert!(end >= values[values.len() - 1], "{end}");
        }
        assert!(histogram(&[], axis(0.0, 1.0)).counts.is_empty());
        let many: Vec<f64> = (0..1_000).map(f64::from).collect();
        assert!((40..=61).contains(&histogram(&many, axis(0.0, 1_000.0)).counts.len()));
    }

    #[test]
    fn no_label_covers_another_or_leaves_the_drawing() {
        for ends in [
            [15.0, 90.0, 15.0, 90.0],
            [30.0, 30.0, 30.0, 30.0],
            [0.5, 0.6, 99.4, 99.5],
            [99.0, 99.1, 99.2, 99.3],
            [-1e9, 1e9, -1e9, 1e9],
        ] {
            let marks: Vec<Mark> =
                ends.iter().enumerate().map(|(place, at)| mark(*at, place % 2 == 1)).collect();
            let labels = place(&marks, axis(0.0, 100.0), 1_200.0);
            for (place, one) in labels.iter().enumerate() {
                assert!(one.ends.0 >= 0.0 && one.ends.1 <= 1_200.0, "{one:?}");
                for other in &labels[place + 1..] {
                    let apart = one.ends.1 < other.ends.0 || other.ends.1 < one.ends.0;
                    assert!(one.row != other.row || apart, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_bound_out_of_sight_points_to_its_side() {
        let labels = place(&[mark(-5.0, false), mark(500.0, true)], axis(0.0, 100.0), 1_200.0);
        assert!(labels[0].text.starts_with('←') && labels[1].text.ends_with('→'), "{labels:?}");
    }

    #[test]
    fn points_that_coincide_are_stacked_and_never_overlap() {
        let dots_of = |values: &[f64], levels| dots(values, axis(0.0, 100.0), 8.0, levels);
        let same = dots_of(&[50.0; 5], 10);
        assert_eq!(same.iter().map(|dot| dot.level).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(dots_of(&[50.0; 50], 10).len(), 10, "no higher than the plot");
        assert_eq!(dots_of(&[10.0, 90.0], 10).iter().map(|dot| dot.level).max(), Some(0));
        assert!(dots_of(&[], 10).is_empty());
        let many: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 10.0).collect();
        let drawn = dots_of(&many, 15);
        assert!((100..=DOTS_MAX).contains(&drawn.len()));
        assert_eq!((drawn[0].at, drawn[drawn.len() - 1].at), (0.0, 99.9), "both ends are shown");
    }
}
