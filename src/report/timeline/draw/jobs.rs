//! Bars of the jobs that a worker held: packed into a few rows, merged where they are too dense.

use crate::report::svg::{Anchor, Rect, Svg};
use crate::report::text;
use crate::report::timeline::draw::{CHAR_WIDTH, Scale};
use crate::report::timeline::lane::{Held, Lane, Outcome};

const ROWS_MAX: usize = 3;
const BAR_HEIGHT: f64 = 13.0;
const ROW_HEIGHT: f64 = 15.0;
/// Bars narrower than this many pixels may be merged; doubled until all bars fit.
const CELL_MIN: f64 = 3.0;
const CELL_MAX: f64 = 384.0;

/// One lane's bars.
#[derive(Debug, Default)]
pub struct Bars {
    rows: usize,
    bars: Vec<Bar>,
}

#[derive(Debug)]
struct Bar {
    row: usize,
    x: f64,
    end: f64,
    outcome: Outcome,
    /// Of the first job; `count` says how many there are.
    label: String,
    title: String,
    count: usize,
}

impl Bars {
    pub fn height(&self) -> f64 {
        self.rows as f64 * ROW_HEIGHT
    }
}

/// All lanes' bars, at most about `bars_max` together.
pub fn pack(lanes: &[Lane], scale: Scale, bars_max: usize) -> Vec<Bars> {
    let mut packed: Vec<Bars> = lanes.iter().map(|lane| pack_lane(lane, scale, 0.0)).collect();
    let mut cell = CELL_MIN;
    while packed.iter().map(|bars| bars.bars.len()).sum::<usize>() > bars_max && cell <= CELL_MAX {
        packed = lanes.iter().map(|lane| pack_lane(lane, scale, cell)).collect();
        cell *= 2.0;
    }
    packed
}

fn pack_lane(lane: &Lane, scale: Scale, cell: f64) -> Bars {
    let mut packed = Bars::default();
    // For each row: where its last bar ends in time, and which bar that is.
    let mut rows: Vec<(f64, usize)> = Vec::new();
    for held in &lane.jobs {
        let free = rows.iter().position(|(end, _)| *end <= held.from);
        let row = free.unwrap_or_else(|| {
            if rows.len() < ROWS_MAX {
                rows.push((f64::NEG_INFINITY, usize::MAX));
            }
            rows.len() - 1
        });
        let (x, end) = (scale.x(held.from), scale.x(held.to));
        let before = packed.bars.get_mut(rows[row].1);
        match before {
            Some(bar) if end - x < cell && x - bar.end < cell && bar.end - bar.x < 2.0 * cell => {
                bar.absorb(end, held)
            }
            _ => {
                rows[row].1 = packed.bars.len();
                packed.bars.push(Bar::new(row, (x, end), held));
            }
        }
        rows[row].0 = rows[row].0.max(held.to);
    }
    packed.rows = rows.len();
    packed
}

impl Bar {
    fn new(row: usize, (x, end): (f64, f64), held: &Held) -> Self {
        let label =
            if held.attempt > 1 { format!("{} ·{}", held.job, held.attempt) } else { held.job.clone() };
        // A foreign line need not say which it was.
        let attempt = match held.attempt {
            0 => String::new(),
            attempt => format!(", attempt {attempt}"),
        };
        let title = format!(
            "{}{attempt}: {} to {}, {}",
            held.job,
            text::moment(held.from),
            text::moment(held.to),
            words(held.outcome)
        );
        Self { row, x, end, outcome: held.outcome, label, title, count: 1 }
    }

    /// The worst outcome gives the colour.
    fn absorb(&mut self, end: f64, held: &Held) {
        self.end = self.end.max(end);
        self.outcome = self.outcome.max(held.outcome);
        self.count += 1;
    }
}

pub fn draw(svg: &mut Svg, bars: &Bars, top: f64) {
    for bar in &bars.bars {
        let width = (bar.end - bar.x - 0.5).max(1.0);
        let y = top + bar.row as f64 * ROW_HEIGHT;
        let merged = format!("{} jobs, the worst: {}", bar.count, words(bar.outcome));
        let title = if bar.count > 1 { &merged } else { &bar.title };
        svg.rect(Rect { x: bar.x, y, width, height: BAR_HEIGHT }, class(bar.outcome), Some(title));
        if bar.count == 1 && width > bar.label.chars().count() as f64 * CHAR_WIDTH + 6.0 {
            svg.text(bar.x + 4.0, y + 10.0, Anchor::Start, "j-label", &bar.label);
        }
    }
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "j-done",
        Outcome::AttemptFailed => "j-failed",
        Outcome::LockLost => "j-lost",
        Outcome::CutOff => "j-cut",
        Outcome::StillHeld => "j-held",
    }
}

fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::AttemptFailed => "the attempt failed",
        Outcome::LockLost => "lost its lock to somebody else",
        Outcome::CutOff => "cut off by the end of the process",
        Outcome::StillHeld => "still held at the end",
    }
}
