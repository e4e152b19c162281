//! The pictures of an answer: dots over two axes, the recommended and the present setting marked.

use crate::report::axis::{Axis, label, nice_step};
use crate::report::svg::{Anchor, Rect, Svg, number};
use crate::tune::{Answer, Point, Trace};

/// A picture with what it shows.
pub(super) struct Picture {
    pub title: &'static str,
    pub about: &'static str,
    pub svg: String,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = HEIGHT - 44.0;
/// Below one in so many of the largest, rates are drawn at the lower edge.
const DECADES_MAX: f64 = 12.0;
/// Beyond, a line's word stands to its left.
const ROOM_UP_TO: f64 = LEFT + 0.75 * (RIGHT - LEFT);
/// Of the line of a shape.
const SHAPE_POINTS: u32 = 100;

pub(super) fn all(answer: &Answer) -> Vec<Picture> {
    let detection = |point: &Point| point.figures.detection.map(|(_, most)| most.as_secs_f64());
    let mistakes = |point: &Point| Some(point.figures.mistakes.total().most);
    let load = |point: &Point| Some(point.figures.beats_per_second);
    let pause = |point: &Point| point.figures.pause_tolerated.map(|span| span.as_secs_f64());
    let draw = |title, about, x: &dyn Fn(&Point) -> Option<f64>, y: &dyn Fn(&Point) -> Option<f64>, log| {
        Picture { title, about, svg: Scatter { answer, x, y, log }.draw(title) }
    };
    let mut pictures = vec![
        draw(
            "Detection and mistakes",
            "Worst detection in seconds; mistakes of a worker and day, in powers of ten. Each dot is a setting of the front.",
            &detection,
            &mistakes,
            true,
        ),
        draw(
            "Pauses and mistakes",
            "The longest pause that is borne for certain, in seconds; mistakes of a worker and day. Each dot is a setting of the front.",
            &pause,
            &mistakes,
            true,
        ),
        draw(
            "Detection and load",
            "Worst detection in seconds; beats per second of the whole fleet. Each dot is a setting of the front.",
            &detection,
            &load,
            false,
        ),
    ];
    pictures.extend(pauses_seen(answer));
    pictures.extend(answer.trace.iter().flat_map(recorded));
    pictures
}

/// One line for the present setting and one for the recommended one.
fn pauses_seen(answer: &Answer) -> Option<Picture> {
    let seen = &answer.pauses_seen;
    let lines = [
        Line { points: &seen.present, word: "now", class: "s-now", above: true },
        Line { points: &seen.recommended, word: "take", class: "s-take", above: false },
    ];
    lines_of(
        "Pauses taken for deaths",
        "How many of the pauses of each length are taken for a death, at most.",
        &lines,
    )
}

/// Of each thing that was recorded, with the shape that is closest to it.
fn recorded(trace: &Trace) -> impl Iterator<Item = Picture> {
    let fits = [("Delays of beats, as recorded", &trace.delay), ("Pauses, as recorded", &trace.pauses)];
    fits.into_iter().filter_map(|(title, fit)| {
        let fit = fit.as_ref()?;
        let samples = fit.recorded.samples();
        let last = samples.len().saturating_sub(1).max(1) as f64;
        let longest = fit.recorded.max().as_secs_f64();
        let recorded: Vec<(f64, f64)> =
            samples.iter().enumerate().map(|(number, it)| (it.as_secs_f64(), number as f64 / last)).collect();
        let shape: Vec<(f64, f64)> = (0..=SHAPE_POINTS)
            .map(|point| longest * f64::from(point) / f64::from(SHAPE_POINTS))
            .map(|at| (at, 1.0 - fit.shape.above(at * 1e9)))
            .collect();
        let lines = [
            Line { points: &recorded, word: "recorded", class: "s-take", above: false },
            Line { points: &shape, word: "closest shape", class: "s-now", above: true },
        ];
        lines_of(title, "How many are no longer than this, in seconds.", &lines)
    })
}

/// Shares over seconds, from where they are lowest on.
struct Line<'a> {
    points: &'a [(f64, f64)],
    word: &'static str,
    class: &'static str,
    /// The word stands above the line, not below it.
    above: bool,
}

/// `None` if there is no point.
fn lines_of(title: &'static str, about: &'static str, lines: &[Line<'_>]) -> Option<Picture> {
    let ends = lines.iter().filter_map(|line| line.points.last());
    let longest = ends.map(|(length_s, _)| *length_s).reduce(f64::max)?;
    let across = Axis { from: 0.0, to: longest, left: LEFT, right: RIGHT };
    let up = Axis { from: 0.0, to: 1.0, left: 0.0, right: BOTTOM - TOP };
    let mut svg = Svg::new(WIDTH, HEIGHT, "scatter", title);
    let y = |at: f64| BOTTOM - up.x(at);
    for (at, text) in across.ticks() {
        svg.rect(Rect { x: across.x(at), y: TOP, width: 1.0, height: BOTTOM - TOP }, "s-grid", None);
        svg.text(across.x(at), BOTTOM + 18.0, Anchor::Middle, "s-label", &text);
    }
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        svg.rect(Rect { x: LEFT, y: at, width: RIGHT - LEFT, height: 1.0 }, "s-grid", None);
        svg.text(LEFT - 8.0, at + 4.0, Anchor::End, "s-label", &format!("{percent} %"));
    }
    for line in lines {
        let Some((first, rest)) = line.points.split_first() else { continue };
        let place =
            |(length_s, share): &(f64, f64)| format!("{} {}", number(across.x(*length_s)), number(y(*share)));
        let through: String = rest.iter().map(|point| format!("L{}", place(point))).collect();
        svg.path(&format!("M{}{through}", place(first)), &format!("s-line {}", line.class), Some(line.word));
        // Where it has risen half-way.
        if let Some((length_s, share)) = line.points.iter().find(|(_, share)| *share >= 0.5) {
            let (x, above) = (across.x(*length_s), if line.above { -8.0 } else { 16.0 });
            let (x, anchor) = if x > ROOM_UP_TO { (x - 8.0, Anchor::End) } else { (x + 8.0, Anchor::Start) };
            svg.text(x, y(share.min(0.75)) + above, anchor, "s-mark", line.word);
        }
    }
    Some(Picture { title, about, svg: svg.finish() })
}

struct Scatter<'a> {
    answer: &'a Answer,
    x: &'a dyn Fn(&Point) -> Option<f64>,
    y: &'a dyn Fn(&Point) -> Option<f64>,
    /// The vertical axis is in powers of ten.
    log: bool,
}

impl Scatter<'_> {
    fn draw(&self, title: &str) -> String {
        let mut svg = Svg::new(WIDTH, HEIGHT, "scatter", title);
        let recommended = self.answer.recommended.and_then(|index| self.answer.front.get(index));
        let marked = [(Some(&self.answer.current), "now"), (recommended, "take")];
        let points = self.answer.front.iter().chain([&self.answer.current]);
        let places: Vec<(f64, f64)> = points.filter_map(|point| self.place(point)).collect();
        let Some((across, up)) = self.axes(&places) else {
            svg.text(WIDTH / 2.0, HEIGHT / 2.0, Anchor::Middle, "s-label", "there is nothing to draw");
            return svg.finish();
        };
        let y = |at: f64| BOTTOM - (up.x(self.height(at, &up)) - up.left);
        for (at, text) in across.ticks() {
            svg.rect(Rect { x: across.x(at), y: TOP, width: 1.0, height: BOTTOM - TOP }, "s-grid", None);
            svg.text(across.x(at), BOTTOM + 18.0, Anchor::Middle, "s-label", &text);
        }
        for (at, text) in self.rungs(&up) {
            svg.rect(Rect { x: LEFT, y: y(at), width: RIGHT - LEFT, height: 1.0 }, "s-grid", None);
            svg.text(LEFT - 8.0, y(at) + 4.0, Anchor::End, "s-label", &text);
        }
        for (at_x, at_y) in &places {
            dot(&mut svg, (across.x(*at_x), y(*at_y)), 2.0, "s-dot", None);
        }
        for (point, word) in marked {
            if let Some((at_x, at_y)) = point.and_then(|point| self.place(point)) {
                let (x, y) = (across.x(at_x), y(at_y));
                dot(&mut svg, (x, y), 5.0, if word == "now" { "s-now" } else { "s-take" }, Some(word));
                svg.text(
                    x + 8.0,
                    if word == "now" { y - 6.0 } else { y + 14.0 },
                    Anchor::Start,
                    "s-mark",
                    word,
                );
            }
        }
        svg.finish()
    }

    fn place(&self, point: &Point) -> Option<(f64, f64)> {
        let place = ((self.x)(point)?, (self.y)(point)?);
        (place.0.is_finite() && place.1.is_finite()).then_some(place)
    }

    /// Both axes; the second runs upwards, in exponents of ten if it is logarithmic.
    fn axes(&self, places: &[(f64, f64)]) -> Option<(Axis, Axis)> {
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
        let right = most(&mut places.iter().map(|place| place.0));
        let top = most(&mut places.iter().map(|place| place.1));
        if !right.is_finite() || !top.is_finite() || right <= 0.0 {
            return None;
        }
        let across = Axis { from: 0.0, to: right * 1.05, left: LEFT, right: RIGHT };
        let (from, to) = if self.log && top > 0.0 {
            let to = libm::ceil(libm::log10(top));
            let least =
                places.iter().map(|place| place.1).filter(|at| *at > 0.0).fold(f64::INFINITY, f64::min);
            (libm::floor(libm::log10(least)).max(to - DECADES_MAX).min(to - 1.0), to)
        } else {
            (0.0, if top > 0.0 { top * 1.05 } else { 1.0 })
        };
        Some((across, Axis { from, to, left: 0.0, right: BOTTOM - TOP }))
    }

    /// In the vertical axis' units.
    fn height(&self, at: f64, up: &Axis) -> f64 {
        match self.log {
            true if at > 0.0 => libm::log10(at),
            true => up.from,
            false => at,
        }
    }

    fn rungs(&self, up: &Axis) -> Vec<(f64, String)> {
        if self.log {
            let every = libm::ceil((up.to - up.from) / 8.0).max(1.0);
            let count = libm::floor((up.to - up.from) / every) as i32;
            let exponents = (0..=count).map(|rung| up.to - every * f64::from(rung));
            return exponents
                .map(|it| (libm::pow(10.0, it), if it == 0.0 { "1".to_owned() } else { format!("1e{it}") }))
                .collect();
        }
        let step = nice_step(up.to, 6.0);
        let count = libm::floor(up.to / step) as i32;
        let heights = (0..=count).map(|rung| f64::from(rung) * step);
        heights.map(|at| (at, label(at, step).trim_end_matches(" s").to_owned())).collect()
    }
}

fn dot(svg: &mut Svg, (x, y): (f64, f64), radius: f64, class: &str, title: Option<&str>) {
    let (r, d) = (number(radius), number(2.0 * radius));
    let data = format!("M{} {}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z", number(x - radius), number(y));
    svg.path(&data, class, title);
}
