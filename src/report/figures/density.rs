//! The picture of one time: the simulated density, the measured points on it, the bounds as lines.

mod layout;

use crate::check::{Bound, Spread};
use crate::report::axis::{self, Axis};
use crate::report::figures::{Figures, Time};
use crate::report::svg::{Anchor, Rect, Svg, number};
use crate::report::text;

use layout::{Mark, dots, histogram, place, reach};

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 16.0;
const CAPTION_HEIGHT: f64 = 18.0;
const LABEL_HEIGHT: f64 = 17.0;
const PLOT_HEIGHT: f64 = 128.0;
/// Of the plot where nothing was simulated: room for the points alone.
const BARE_HEIGHT: f64 = 40.0;
/// The tallest bar leaves this free above it.
const HEADROOM: f64 = 8.0;
const AXIS_HEIGHT: f64 = 24.0;
const DOT: f64 = 5.0;
const SECONDS_MAX: f64 = 1e15;
/// Above this number points are drawn without a title each.
const TITLED_MAX: usize = 40;

/// `None` if the time was neither simulated nor measured: bounds alone are no picture.
#[must_use]
pub fn render(figures: &Figures<'_>, time: &Time<'_>) -> Option<String> {
    if time.simulated.is_none() && time.measured.is_none() {
        return None;
    }
    let simulated = time.simulated.map_or(Vec::new(), |spread| to_seconds(&spread.values));
    let marks = marks(time);
    let (from, to) = reach(&data_ends(time), &marks.iter().map(|mark| mark.at).collect::<Vec<_>>());
    let axis = Axis { from, to, left: LEFT, right: RIGHT };
    let bars = histogram(&simulated, axis);
    let labels = place(&marks, axis, WIDTH);
    let captions = captions(figures, time, bars.width);

    let label_rows = labels.iter().map(|label| label.row + 1).max().unwrap_or(0);
    let top = captions.len() as f64 * CAPTION_HEIGHT + label_rows as f64 * LABEL_HEIGHT + 8.0;
    let bottom = top + if time.simulated.is_some() { PLOT_HEIGHT } else { BARE_HEIGHT };
    let label = format!("{}: bounds, simulated density and measured values", time.name);
    let mut svg = Svg::new(WIDTH, bottom + AXIS_HEIGHT, "density", &label);

    for (place, caption) in captions.iter().enumerate() {
        draw_caption(&mut svg, caption, place as f64 * CAPTION_HEIGHT);
    }
    draw_allowed(&mut svg, time.model.or(time.demanded), axis, (top, bottom));
    draw_axis(&mut svg, axis, bottom);
    draw_bars(&mut svg, &bars, axis, (top, bottom));
    if let Some(simulated) = time.simulated {
        let x = number(axis.x(seconds(simulated.p50)));
        svg.path(&format!("M{x} {}V{}", number(top), number(bottom)), "d-median", Some("simulated median"));
    }
    let first_row = captions.len() as f64 * CAPTION_HEIGHT;
    for (mark, label) in marks.iter().zip(&labels) {
        let row = first_row + label.row as f64 * LABEL_HEIGHT;
        if axis.holds(mark.at) {
            let line = format!("M{} {}V{}", number(label.x), number(row + 4.0), number(bottom));
            svg.path(&line, mark.class, Some(&label.text));
        }
    }
    for label in &labels {
        let y = first_row + label.row as f64 * LABEL_HEIGHT + 13.0;
        svg.text(label.text_x, y, label.anchor, "d-label", &label.text);
    }
    if let Some(measured) = &time.measured {
        draw_points(&mut svg, measured, axis, (top, bottom));
    }
    Some(svg.finish())
}

fn to_seconds(millis: &[f64]) -> Vec<f64> {
    millis.iter().filter(|ms| ms.is_finite()).map(|ms| seconds(*ms)).collect()
}

/// At most so far out that sums stay numbers.
fn seconds(ms: f64) -> f64 {
    (ms / 1e3).clamp(-SECONDS_MAX, SECONDS_MAX)
}

fn data_ends(time: &Time<'_>) -> Vec<f64> {
    let spreads = time.simulated.into_iter().chain(&time.measured);
    to_seconds(&spreads.flat_map(|spread| [spread.min, spread.max]).collect::<Vec<_>>())
}

/// The bounds' ends. A lower end of zero bounds nothing.
fn marks(time: &Time<'_>) -> Vec<Mark> {
    let of = |bound: Option<Bound>, from: &str, class| {
        let bound = bound.unwrap_or(Bound { min: None, max: None });
        let mark = |end: Option<f64>, words: &str, is_upper| {
            let ms = end.filter(|ms| ms.is_finite())?;
            let text = format!("{from}: {words} {}", text::millis(ms));
            Some(Mark { at: seconds(ms), text, is_upper, class })
        };
        let lower = mark(bound.min.filter(|min| *min > 0.0), "at least", false);
        lower.into_iter().chain(mark(bound.max, "at most", true))
    };
    let model = of(time.model, "model", "d-bound");
    model.chain(of(time.demanded, "scenario", "d-bound d-demanded")).collect()
}

struct Caption {
    /// Of the sample before the text; none for what is missing.
    class: Option<&'static str>,
    text: String,
}

fn captions(figures: &Figures<'_>, time: &Time<'_>, bar_width: f64) -> [Caption; 3] {
    let simulated = match (figures.sim, time.simulated) {
        (None, _) => "simulated: no (the simulator was not asked, or cannot run this scenario)".to_owned(),
        (Some(sim), None) if sim.pipeline_alone => {
            "simulated: no (of somebody else's fleet only the detection is)".to_owned()
        }
        (Some(sim), None) => format!("simulated: never happened in {} runs", sim.runs),
        (Some(sim), Some(spread)) => format!(
            "simulated: n = {} in {} runs, p1 {}, median {} (dashed line), p99 {}; each bar is {} wide, its height the share of the values",
            spread.n,
            sim.runs,
            text::millis(spread.p1),
            text::millis(spread.p50),
            text::millis(spread.p99),
            text::millis(bar_width * 1e3),
        ),
    };
    let word = if figures.live { "measured" } else { "recorded run (itself simulated)" };
    let measured = match &time.measured {
        None => format!("{word}: none"),
        Some(spread) if spread.n == 1 => format!("{word}: {}", text::millis(spread.p50)),
        Some(spread) => format!(
            "{word}: n = {}, min {}, median {}, max {}",
            spread.n,
            text::millis(spread.min),
            text::millis(spread.p50),
            text::millis(spread.max),
        ),
    };
    let allowed = |from, bound| format!("allowed by the {from}: {}", text::bound(bound, text::Unit::Millis));
    let bound = match (time.model, time.demanded) {
        (Some(model), _) => Some(allowed("timing model", model)),
        (None, Some(demanded)) => Some(allowed("scenario", demanded)),
        (None, None) => None,
    };
    [
        Caption {
            class: bound.is_some().then_some("b-bound"),
            text: bound.unwrap_or("allowed: no bound is known".to_owned()),
        },
        Caption { class: time.simulated.map(|_| "d-bar"), text: simulated },
        Caption { class: time.measured.as_ref().map(|_| "d-point"), text: measured },
    ]
}

fn draw_caption(svg: &mut Svg, caption: &Caption, y: f64) {
    match caption.class {
        Some("d-point") => svg.path(&circle(9.0, y + 9.0), "d-point", None),
        Some(class) => svg.rect(Rect { x: 0.0, y: y + 4.0, width: 18.0, height: 10.0 }, class, None),
        None => {}
    }
    svg.text(26.0, y + 13.0, Anchor::Start, "d-caption", &caption.text);
}

fn draw_allowed(svg: &mut Svg, bound: Option<Bound>, axis: Axis, (top, bottom): (f64, f64)) {
    let Some(bound) = bound else { return };
    let end =
        |end: Option<f64>, open: f64| end.filter(|ms| ms.is_finite()).map_or(open, |ms| axis.x(seconds(ms)));
    let (from, to) = (end(bound.min, LEFT), end(bound.max, RIGHT));
    svg.rect(Rect { x: from, y: top, width: to - from, height: bottom - top }, "b-bound d-allowed", None);
}

fn draw_axis(svg: &mut Svg, axis: Axis, bottom: f64) {
    let mut ticks = format!("M{} {}H{}", number(LEFT), number(bottom), number(RIGHT));
    for (at, label) in axis.ticks() {
        let x = axis.x(at);
        ticks.push_str(&format!("M{} {}v5", number(x), number(bottom)));
        let anchor = if RIGHT - x < 20.0 { Anchor::End } else { Anchor::Middle };
        svg.text(x, bottom + 17.0, anchor, "t-axis", &label);
    }
    svg.path(&ticks, "d-axis", None);
}

fn draw_bars(svg: &mut Svg, bars: &layout::Histogram, axis: Axis, (top, bottom): (f64, f64)) {
    let Some(most) = bars.counts.iter().copied().max().filter(|most| *most > 0) else { return };
    let total: usize = bars.counts.iter().sum();
    let share = |count: usize| text::figure(round_share(count, total), text::Unit::Share);
    for (place, &count) in bars.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let from = bars.from + place as f64 * bars.width;
        let (x, end) = (axis.x(from), axis.x(from + bars.width));
        let height = (bottom - top - HEADROOM) * count as f64 / most as f64;
        let label = |at| axis::label(at, bars.width);
        let title =
            format!("{} to {}: {} of the simulated", label(from), label(from + bars.width), share(count));
        let rect = Rect { x, y: bottom - height, width: (end - x - 0.6).max(1.0), height };
        svg.rect(rect, "d-bar", Some(&title));
    }
    svg.text(LEFT - 6.0, top + HEADROOM + 4.0, Anchor::End, "t-axis", &share(most));
    svg.text(LEFT - 6.0, bottom, Anchor::End, "t-axis", "0");
}

/// To a tenth of a percent: more is noise.
fn round_share(count: usize, total: usize) -> f64 {
    (count as f64 / total.max(1) as f64 * 1e3).round() / 1e3
}

fn draw_points(svg: &mut Svg, measured: &Spread, axis: Axis, (top, bottom): (f64, f64)) {
    let levels = ((bottom - top) / (2.0 * DOT)) as usize;
    let values = to_seconds(&measured.values);
    let dots = dots(&values, axis, 2.0 * DOT, levels);
    let shape = |dot: &layout::Dot| circle(dot.x, bottom - DOT - dot.level as f64 * 2.0 * DOT);
    if dots.len() > TITLED_MAX {
        svg.path(&dots.iter().map(shape).collect::<String>(), "d-point", Some("measured"));
        return;
    }
    for dot in &dots {
        svg.path(&shape(dot), "d-point", Some(&text::millis(dot.at * 1e3)));
    }
}

/// Path data of a point.
fn circle(x: f64, y: f64) -> String {
    let (left, wide) = (number(x - DOT), number(2.0 * DOT));
    format!("M{left} {}a{DOT} {DOT} 0 1 0 {wide} 0a{DOT} {DOT} 0 1 0 -{wide} 0z", number(y))
}

#[cfg(test)]
mod tests;
