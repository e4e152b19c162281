//! The three figures as the page shows them.

use crate::check::{Gap, Judged};
use crate::report::figures::{self, Cell, Figures, density};
use crate::report::text;
use crate::report::view::ScenarioView;

/// The section of a scenario's first repeat, or where that is.
pub enum FiguresView {
    Here(Box<Section>),
    /// Anchor and title of the repeat that speaks for all.
    There {
        anchor: String,
        title: String,
    },
    Nowhere,
}

pub struct Section {
    pub intro: String,
    pub measured_head: String,
    pub gaps: Vec<GapView>,
    pub lines: Vec<LineView>,
    pub notes: Vec<String>,
    pub pictures: Vec<Picture>,
    /// Times without a picture.
    pub without: Vec<String>,
}

pub struct LineView {
    pub quantity: &'static str,
    pub bound: String,
    /// p1, p50, p99; or one sentence for all three columns.
    pub quantiles: Option<[String; 3]>,
    pub words: String,
    pub measured: String,
}

pub struct Picture {
    pub of: &'static str,
    pub svg: String,
}

pub struct GapView {
    pub of: String,
    pub size: String,
    pub p_value: String,
    pub note: String,
}

/// A gap in the list on top, with the way to its scenario.
pub struct Finding {
    pub anchor: String,
    pub title: String,
    pub gap: GapView,
}

impl FiguresView {
    pub fn of(runs: &[&Judged]) -> Self {
        Figures::of(runs).map_or(Self::Nowhere, |figures| Self::Here(Box::new(Section::new(&figures))))
    }

    /// `place` is that of the scenario's first repeat, from 1.
    pub fn at(place: usize, title: &str) -> Self {
        Self::There { anchor: super::anchor(place), title: text::line(title) }
    }
}

impl Section {
    fn new(figures: &Figures<'_>) -> Self {
        let mut pictures = Vec::new();
        let mut without = Vec::new();
        for time in &figures.times {
            match density::render(figures, time) {
                Some(svg) => pictures.push(Picture { of: time.name, svg }),
                None => without.push(format!(
                    "No picture of the {}: {}.",
                    time.name,
                    if figures.sim.is_some() {
                        "it was neither simulated nor measured"
                    } else {
                        "it was not measured"
                    },
                )),
            }
        }
        Self {
            intro: figures.intro(),
            measured_head: figures.measured_head(),
            gaps: figures.gaps.iter().map(|gap| GapView::new(gap)).collect(),
            lines: figures.lines().into_iter().map(LineView::from).collect(),
            notes: figures.notes(),
            pictures,
            without,
        }
    }
}

impl From<figures::Line> for LineView {
    fn from(line: figures::Line) -> Self {
        let (quantiles, words) = match line.simulated {
            Cell::Quantiles(quantiles) => (Some(quantiles), String::new()),
            Cell::Words(words) => (None, words),
        };
        Self { quantity: line.quantity, bound: line.bound, quantiles, words, measured: line.measured }
    }
}

impl GapView {
    fn new(gap: &Gap) -> Self {
        Self {
            of: text::check_name(&gap.of),
            size: figures::gap_size(gap),
            p_value: figures::p_value(gap),
            note: text::line(&gap.note),
        }
    }
}

impl Finding {
    pub fn new(gap: &Gap, view: &ScenarioView) -> Self {
        Self { anchor: view.anchor.clone(), title: view.title.clone(), gap: GapView::new(gap) }
    }
}
