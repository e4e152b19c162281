//! The picture of a [`Timeline`]: phases, fault labels, lanes, axis. Thinned where events are
//! denser than pixels, so that its size is bounded whatever the history holds.

use crate::report::axis;
use crate::report::svg::{Anchor, Rect, Svg, number};
use crate::report::text;
use crate::report::timeline::lane::{Lane, LaneKind, MarkKind, State};
use crate::report::timeline::{Band, Seconds, Timeline};

mod jobs;

const WIDTH: f64 = 1_200.0;
const LEFT: f64 = 118.0;
const RIGHT: f64 = WIDTH - 16.0;
const PHASES_HEIGHT: f64 = 18.0;
const LABEL_HEIGHT: f64 = 17.0;
const LABEL_ROWS_MAX: usize = 4;
const AXIS_HEIGHT: f64 = 26.0;
const LANES_MAX: usize = 40;
const BANDS_MAX: usize = 200;
/// Ticks and marks closer than this are drawn as one.
const TICK_GAP: f64 = 1.5;
const MARK_GAP: f64 = 4.0;
/// Rough width of a character at the labels' size.
const CHAR_WIDTH: f64 = 6.1;

/// At most about `bars_max` bars of jobs: what does not fit is drawn merged.
#[must_use]
pub fn render(timeline: &Timeline, bars_max: usize) -> String {
    let lanes = &timeline.lanes[..timeline.lanes.len().min(LANES_MAX)];
    let bands = &timeline.bands[..timeline.bands.len().min(BANDS_MAX)];
    let scale = Scale { from: timeline.from, to: timeline.to };
    let labels = place_labels(bands, scale);
    let label_rows = labels.iter().flatten().map(|label| label.row + 1).max().unwrap_or(0);
    let packed = jobs::pack(lanes, scale, bars_max);
    let top = PHASES_HEIGHT + label_rows as f64 * LABEL_HEIGHT + 6.0;
    let rows = place_lanes(lanes, &packed, top);
    let bottom = rows.last().map_or(top, |row| row.y + row.height);

    let left_out = timeline.lanes.len() - lanes.len();
    let height = bottom + AXIS_HEIGHT + if left_out > 0 { 16.0 } else { 0.0 };
    let mut svg = Svg::new(WIDTH, height, "timeline", "what each process did over time");
    draw_rows(&mut svg, &rows);
    draw_axis(&mut svg, scale, top, bottom);
    draw_bands(&mut svg, bands, scale, (lanes, &rows), (top, bottom));
    draw_phases(&mut svg, timeline, scale, bottom);
    for ((lane, row), bars) in lanes.iter().zip(&rows).zip(&packed) {
        draw_lane(&mut svg, lane, row, scale);
        jobs::draw(&mut svg, bars, row.y + STATUS_TOP + status_height(lane) + 3.0);
    }
    draw_labels(&mut svg, bands, &labels);
    draw_stalls(&mut svg, timeline, scale, bottom);
    if left_out > 0 {
        let text = format!("{left_out} more processes are not drawn");
        svg.text(LEFT, height - 4.0, Anchor::Start, "t-note", &text);
    }
    svg.finish()
}

#[derive(Debug, Clone, Copy)]
struct Scale {
    from: Seconds,
    to: Seconds,
}

impl Scale {
    fn x(self, at: Seconds) -> f64 {
        let share = (at - self.from) / (self.to - self.from).max(1e-9);
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }
}

#[derive(Debug, Clone, Copy)]
struct Row {
    y: f64,
    height: f64,
}

const STATUS_TOP: f64 = 9.0;
const TICKS_HEIGHT: f64 = 7.0;

fn status_height(lane: &Lane) -> f64 {
    match lane.kind {
        LaneKind::Producer => 0.0,
        LaneKind::Process => 6.0,
        LaneKind::Fleet | LaneKind::Store => 9.0,
    }
}

fn place_lanes(lanes: &[Lane], packed: &[jobs::Bars], top: f64) -> Vec<Row> {
    let mut y = top;
    let mut rows = Vec::with_capacity(lanes.len());
    for (lane, bars) in lanes.iter().zip(packed) {
        let ticks =
            if lane.ticks.is_empty() && lane.failed_ticks.is_empty() { 0.0 } else { TICKS_HEIGHT + 3.0 };
        let height = (STATUS_TOP + status_height(lane) + 3.0 + bars.height() + ticks + 4.0).max(26.0);
        rows.push(Row { y, height });
        y += height;
    }
    rows
}

fn draw_rows(svg: &mut Svg, rows: &[Row]) {
    for row in rows.iter().step_by(2) {
        svg.rect(Rect { x: 0.0, y: row.y, width: WIDTH, height: row.height }, "t-row", None);
    }
}

fn draw_axis(svg: &mut Svg, scale: Scale, top: f64, bottom: f64) {
    let step = axis::nice_step(scale.to - scale.from, 10.0);
    let first = (scale.from / step).ceil() as i64;
    let last = (scale.to / step).floor() as i64;
    let mut grid = String::new();
    for n in first..=last {
        let at = n as f64 * step;
        let x = scale.x(at);
        grid.push_str(&format!("M{} {}V{}", number(x), number(top), number(bottom + 4.0)));
        let anchor = if RIGHT - x < 20.0 { Anchor::End } else { Anchor::Middle };
        svg.text(x, bottom + 18.0, anchor, "t-axis", &axis::label(at, step));
    }
    svg.path(&grid, "t-grid", None);
    if scale.from < 0.0 {
        let x = scale.x(0.0);
        svg.path(&format!("M{} {}V{}", number(x), number(top), number(bottom)), "t-zero", None);
    }
    svg.text(LEFT - 26.0, bottom + 18.0, Anchor::End, "t-axis", "model time");
}

fn draw_phases(svg: &mut Svg, timeline: &Timeline, scale: Scale, bottom: f64) {
    use crate::history::Phase;
    for &(phase, from, to) in &timeline.phases {
        let name = match phase {
            Phase::WarmUp => "warm up",
            Phase::Inject => "workload and faults",
            Phase::Heal => "heal",
            Phase::Settle => "settle",
            Phase::Provision | Phase::Judge | Phase::TearDown => continue,
        };
        let (x, width) = (scale.x(from), scale.x(to) - scale.x(from));
        svg.rect(Rect { x, y: 1.0, width, height: PHASES_HEIGHT - 3.0 }, "t-phase", Some(name));
        if width > name.len() as f64 * CHAR_WIDTH + 8.0 {
            svg.text(x + width / 2.0, 12.5, Anchor::Middle, "t-phase-name", name);
        }
        if matches!(phase, Phase::Heal | Phase::Settle) {
            let line = format!("M{} {}V{}", number(x), number(PHASES_HEIGHT), number(bottom));
            svg.path(&line, "t-zero", Some(name));
        }
    }
}

struct Label {
    row: usize,
    x: f64,
    anchor: Anchor,
}

/// Greedy: each label goes into the first row where it has room, or is left to the tooltip.
fn place_labels(bands: &[Band], scale: Scale) -> Vec<Option<Label>> {
    let mut ends = [0.0; LABEL_ROWS_MAX];
    let mut place = |band: &Band| {
        let width = label_text(band).chars().count() as f64 * CHAR_WIDTH + 10.0;
        let x = scale.x(band.from);
        let (start, anchor) =
            if x + width > RIGHT { ((x - width).max(LEFT), Anchor::End) } else { (x, Anchor::Start) };
        let row = ends.iter().position(|end| *end <= start)?;
        ends[row] = start + width;
        Some(Label { row, x, anchor })
    };
    bands.iter().map(&mut place).collect()
}

fn label_text(band: &Band) -> String {
    if band.proved { band.label.clone() } else { format!("{} (unproved)", band.label) }
}

fn draw_bands(
    svg: &mut Svg,
    bands: &[Band],
    scale: Scale,
    (lanes, rows): (&[Lane], &[Row]),
    (top, bottom): (f64, f64),
) {
    // Many faults would darken the whole picture: then only their own lanes show them.
    let across = bands.len() <= 24;
    for band in bands {
        let x = scale.x(band.from);
        let width = (scale.x(band.to) - x).max(2.0);
        let title = band_title(band);
        if across {
            svg.rect(Rect { x, y: top - 4.0, width, height: bottom - top + 4.0 }, "f-band", Some(&title));
        }
        for (lane, row) in lanes.iter().zip(rows) {
            if band.lanes.iter().any(|name| text::clean(name.as_str(), 60) == lane.name) {
                let class = if band.proved { "f-on" } else { "f-on f-unproved" };
                let on = Rect { x, y: row.y + 1.0, width, height: row.height - 2.0 };
                svg.rect(on, class, Some(&title));
            }
        }
    }
}

fn band_title(band: &Band) -> String {
    let when = if band.to > band.from {
        format!("{} to {}", text::moment(band.from), text::moment(band.to))
    } else {
        text::moment(band.from)
    };
    let proved = if band.proved { "proof" } else { "NOT PROVED" };
    format!("{}, {when}. {proved}: {}", band.label, band.proof)
}

fn draw_labels(svg: &mut Svg, bands: &[Band], labels: &[Option<Label>]) {
    for (band, label) in bands.iter().zip(labels) {
        let Some(label) = label else { continue };
        let y = PHASES_HEIGHT + label.row as f64 * LABEL_HEIGHT + 12.0;
        let (x, gap) = (label.x, if label.anchor == Anchor::End { -5.0 } else { 5.0 });
        let flag = format!("M{} {}V{}", number(x), number(y - 9.0), number(y + 5.0));
        svg.path(&flag, "f-flag", None);
        svg.text(x + gap, y, label.anchor, "f-label", &label_text(band));
    }
}

fn draw_lane(svg: &mut Svg, lane: &Lane, row: &Row, scale: Scale) {
    let middle = row.y + row.height / 2.0 + 4.0;
    svg.text(LEFT - 10.0, middle, Anchor::End, "t-name", &shorten(&lane.name));
    draw_states(svg, lane, row, scale);
    let y = row.y + row.height - TICKS_HEIGHT - 3.0;
    let (one, many) =
        if lane.kind == LaneKind::Producer { ("enqueue", "enqueues") } else { ("beat", "beats") };
    let path = tick_path(lane.ticks.iter().map(|at| scale.x(*at)), y);
    if !path.is_empty() {
        let count = lane.ticks.len();
        svg.path(&path, "t-tick", Some(&format!("{count} {}", if count == 1 { one } else { many })));
    }
    if let Some((_, first)) = lane.failed_ticks.first() {
        let path = tick_path(lane.failed_ticks.iter().map(|(at, _)| scale.x(*at)), y);
        svg.path(&path, "t-tick-failed", Some(&format!("{} × {first}", lane.failed_ticks.len())));
    }
    draw_marks(svg, lane, row, scale);
}

fn shorten(name: &str) -> String {
    const SHOWN: usize = 16;
    if name.chars().count() <= SHOWN {
        return name.to_owned();
    }
    name.chars().take(SHOWN - 1).chain(['…']).collect()
}

fn draw_states(svg: &mut Svg, lane: &Lane, row: &Row, scale: Scale) {
    let mut drawn_to = 0.0;
    for &(state, from, to) in &lane.states {
        let (x, end) = (scale.x(from), scale.x(to));
        if end - drawn_to < TICK_GAP && state == State::Running {
            continue;
        }
        drawn_to = end;
        let fleet = lane.kind == LaneKind::Fleet;
        let (class, word) = match state {
            State::Running if fleet => ("t-run", "users were told: alive"),
            State::Dead if fleet => ("t-dead", "users were told: dead"),
            State::Running => ("t-run", "running"),
            State::Paused => ("t-paused", "paused"),
            State::Dead => ("t-dead", "dead"),
            State::Cut => ("t-cut", "unreachable"),
            State::Unknown => ("t-cut", "no answer"),
        };
        let title = format!("{word}, {} to {}", text::moment(from), text::moment(to));
        let bar = Rect { x, y: row.y + STATUS_TOP, width: (end - x).max(1.0), height: status_height(lane) };
        svg.rect(bar, class, Some(&title));
    }
}

fn tick_path(xs: impl Iterator<Item = f64>, y: f64) -> String {
    let mut path = String::new();
    let mut last = f64::NEG_INFINITY;
    for x in xs {
        if x - last >= TICK_GAP {
            last = x;
            path.push_str(&format!("M{} {}v{TICKS_HEIGHT}", number(x), number(y)));
        }
    }
    path
}

fn draw_marks(svg: &mut Svg, lane: &Lane, row: &Row, scale: Scale) {
    let mut last = [f64::NEG_INFINITY; 3];
    for mark in &lane.marks {
        let x = scale.x(mark.at);
        let (place, class, shape) = match mark.kind {
            MarkKind::Suspicion => (0, "m-suspicion", "l-5 -9h10z"),
            MarkKind::Trusted => (1, "m-trusted", "l-5 -9h10z"),
            MarkKind::Sweep => (2, "m-sweep", "l-4 -4l4 -4l4 4z"),
        };
        if x - last[place] < MARK_GAP {
            continue;
        }
        last[place] = x;
        let title = format!("{}: {}", text::moment(mark.at), mark.text);
        let path = format!("M{} {}{shape}", number(x), number(row.y + STATUS_TOP + 1.0));
        svg.path(&path, class, Some(&title));
    }
}

fn draw_stalls(svg: &mut Svg, timeline: &Timeline, scale: Scale, bottom: f64) {
    let mut drawn_to = f64::NEG_INFINITY;
    for &(from, to) in &timeline.stalls {
        let (x, end) = (scale.x(from), scale.x(to));
        if x - drawn_to < TICK_GAP && end - drawn_to < TICK_GAP {
            continue;
        }
        drawn_to = end;
        let title = format!("the host did not run the harness for {} of model time", text::moment(to - from));
        svg.rect(Rect { x, y: bottom, width: (end - x).max(1.5), height: 4.0 }, "t-stall", Some(&title));
    }
}
