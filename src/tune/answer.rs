//! The answer to a question: every setting's figures, the front of those that hold what is asked, one of
//! them recommended, and what its neighbours would give.

use std::num::NonZero;
use std::thread;

use super::figures::{DAY_S, Figures, resets_on_arrival};
use super::front::{Cost, front};
use super::rare::{Detector, Estimate};
use super::sensitivity::{self, Breaks};
use super::space::{Setting, Space};
use crate::scenario::catalogue::{Quantity, Values};
use crate::scenario::question::{Hold, Question};
use crate::timing::Pipeline;

/// Of the samples of rare mistakes.
const WINDOWS: u64 = 100_000;

/// Something that is asked for, with its limit as the question has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    Detection,
    Recovery,
    MistakesPerDay,
    QueryAccuracy,
    BeatsPerSecond,
}

/// What is asked for: never more than `limit`, in seconds, a day's mistakes, a share, or beats per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    pub constraint: Constraint,
    /// Of the query accuracy, what it may lack to 1.
    pub limit: f64,
}

/// A setting, and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Of the parameters that move, in the question's order.
    pub values: Vec<(String, Quantity)>,
    pub figures: Figures,
    /// By how much of each limit it stays below it, in the order of what is asked: 1 − value ÷ limit, so
    /// negative where it does not hold.
    pub margins: Vec<f64>,
}

/// Mistakes by lost and late beats alone, where an arrival starts the validity anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    pub beats_per_day: f64,
    /// By importance sampling.
    pub sampled: Estimate,
    /// By plain simulation of as many windows.
    pub plain: Estimate,
}

/// How far one thing that is asked must give, if all the others are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Shortfall {
    pub constraint: Constraint,
    pub limit: f64,
    /// The least to which it must be raised. `None`: no setting holds the others.
    pub must_give_to: Option<f64>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub asked: Vec<Asked>,
    /// Combinations of values.
    pub settings: u64,
    /// Of these, as many keep the ties.
    pub tied: u64,
    /// Of these, as many make no pipeline: an interval of nothing.
    pub impossible: u64,
    /// Of the rest, as many hold all that is asked.
    pub holding: u64,
    pub current: Point,
    /// Whether no setting of the front is at least as good in everything and better in something.
    pub current_is_on_the_front: bool,
    /// Settings that hold all that is asked, none of which is worse in everything than another: by load,
    /// then by detection.
    pub front: Vec<Point>,
    /// Index in `front`.
    pub recommended: Option<usize>,
    /// At no more load than now, and no more mistakes, the fastest that is faster.
    pub better_at_equal_load: Option<Point>,
    /// Of the front, the next with less load than the recommended one.
    pub cheaper: Option<Point>,
    /// Of the front, at no more load, the fastest with fewer mistakes.
    pub safer: Option<Point>,
    /// Of the recommended setting, or of the present one if there is none.
    pub sampled: Option<Sampled>,
    /// What breaks the recommended setting, the nearest first.
    pub breaks: Vec<Breaks>,
    /// If nothing holds: what stands in the way.
    pub unmet: Vec<Shortfall>,
}

impl Constraint {
    /// What is held against the limit: the worst that the figures allow.
    #[must_use]
    pub fn of(self, figures: &Figures) -> f64 {
        match self {
            Self::Detection => figures.detection.map_or(f64::INFINITY, |(_, most)| most.as_secs_f64()),
            Self::Recovery => figures.recovery.map_or(f64::INFINITY, |most| most.as_secs_f64()),
            Self::MistakesPerDay => figures.mistakes.total().most,
            Self::QueryAccuracy => figures.inaccuracy.most,
            Self::BeatsPerSecond => figures.beats_per_second,
        }
    }
}

impl Asked {
    #[must_use]
    pub fn all(hold: &Hold) -> Vec<Self> {
        let asked = [
            (Constraint::Detection, hold.detection.map(|span| span.as_secs_f64())),
            (Constraint::Recovery, hold.recovery.map(|span| span.as_secs_f64())),
            (Constraint::MistakesPerDay, hold.mistakes_per_day),
            (Constraint::QueryAccuracy, hold.query_accuracy.map(|share| 1.0 - share)),
            (Constraint::BeatsPerSecond, hold.beats_per_second),
        ];
        let asked = asked.into_iter().filter_map(|(constraint, limit)| Some((constraint, limit?)));
        asked.map(|(constraint, limit)| Self { constraint, limit }).collect()
    }

    #[must_use]
    pub fn holds(&self, figures: &Figures) -> bool {
        self.constraint.of(figures) <= self.limit
    }

    /// 1 − value ÷ limit; a limit of nothing is kept by nothing alone.
    #[must_use]
    pub fn margin(&self, figures: &Figures) -> f64 {
        let value = self.constraint.of(figures);
        if self.limit > 0.0 {
            1.0 - value / self.limit
        } else if value <= 0.0 {
            0.0
        } else {
            f64::NEG_INFINITY
        }
    }
}

impl Point {
    #[must_use]
    pub fn holds(&self) -> bool {
        self.margins.iter().all(|margin| *margin >= 0.0)
    }

    /// The smallest of its margins; without a limit there is none to fall short of.
    #[must_use]
    pub fn smallest_margin(&self) -> f64 {
        self.margins.iter().copied().fold(1.0, f64::min)
    }

    #[must_use]
    pub fn cost(&self) -> Cost {
        Cost {
            detection_s: Constraint::Detection.of(&self.figures),
            mistakes_per_day: Constraint::MistakesPerDay.of(&self.figures),
            beats_per_second: self.figures.beats_per_second,
        }
    }
}

/// What is asked of which settings.
struct Search<'q> {
    question: &'q Question,
    seed: u64,
    threads: NonZero<usize>,
    space: Space<'q>,
    asked: Vec<Asked>,
    present: Values,
}

/// What became of one combination of values.
enum Tried {
    Untied,
    Impossible,
    Possible(Box<Point>),
}

/// Every setting is looked at, spread over the processors. The seed is that of the samples.
#[must_use]
pub fn answer(question: &Question, seed: u64) -> Answer {
    answer_on(question, seed, thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
}

/// The same answer, from so many threads.
#[must_use]
pub fn answer_on(question: &Question, seed: u64, threads: NonZero<usize>) -> Answer {
    let search = Search {
        question,
        seed,
        threads,
        space: Space::of(question),
        asked: Asked::all(&question.hold),
        present: question.system.values(),
    };
    search.answer()
}

impl Search<'_> {
    fn answer(self) -> Answer {
        let tried = self.try_all();
        let settings = self.space.size();
        let untied = tried.iter().filter(|tried| matches!(tried, Tried::Untied)).count() as u64;
        let impossible = tried.iter().filter(|tried| matches!(tried, Tried::Impossible)).count() as u64;
        let points: Vec<&Point> = tried
            .iter()
            .filter_map(|tried| match tried {
                Tried::Possible(point) => Some(&**point),
                Tried::Untied | Tried::Impossible => None,
            })
            .collect();
        let holding: Vec<&Point> = points.iter().copied().filter(|point| point.holds()).collect();
        let costs: Vec<Cost> = holding.iter().map(|point| point.cost()).collect();
        let on_front: Vec<Point> = front(&costs).into_iter().map(|index| holding[index].clone()).collect();
        let current = self.current();
        let now = current.cost();
        let recommended = recommended(&on_front);
        let chosen = recommended.map(|index| &on_front[index]);
        let faster = points.iter().filter(|point| {
            let cost = point.cost();
            cost.beats_per_second <= now.beats_per_second
                && cost.mistakes_per_day <= now.mistakes_per_day
                && cost.detection_s < now.detection_s
        });
        let better_at_equal_load = faster.min_by(|a, b| {
            let [a, b] = [a.cost(), b.cost()];
            a.detection_s.total_cmp(&b.detection_s).then(a.mistakes_per_day.total_cmp(&b.mistakes_per_day))
        });
        Answer {
            settings,
            tied: settings - untied,
            impossible,
            holding: holding.len() as u64,
            current_is_on_the_front: !points.iter().any(|point| point.cost().dominates(&now)),
            recommended,
            better_at_equal_load: better_at_equal_load.map(|point| (*point).clone()),
            cheaper: chosen.and_then(|it| next_cheaper(&on_front, it)).cloned(),
            safer: chosen.and_then(|it| next_safer(&on_front, it)).cloned(),
            breaks: chosen.map(|point| self.breaks(point)).unwrap_or_default(),
            sampled: self.sampled(chosen.unwrap_or(&current)),
            unmet: if holding.is_empty() { self.unmet(&points) } else { Vec::new() },
            front: on_front,
            current,
            asked: self.asked,
        }
    }

    fn try_all(&self) -> Vec<Tried> {
        let size = self.space.size();
        let threads = self.threads.get() as u64;
        let part = size.div_ceil(threads).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|number| {
                    let range = (number * part).min(size)..((number + 1) * part).min(size);
                    scope.spawn(move || {
                        range.map(|number| self.attempt(&self.space.setting(number))).collect::<Vec<Tried>>()
                    })
                })
                .collect();
            let join = |part: thread::ScopedJoinHandle<'_, Vec<Tried>>| match part.join() {
                Ok(tried) => tried,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            parts.into_iter().flat_map(join).collect()
        })
    }

    fn attempt(&self, setting: &Setting) -> Tried {
        let mut values = self.present.clone();
        self.space.apply(setting, &mut values);
        if !self.question.ties.iter().all(|tie| tie.holds(&values)) {
            return Tried::Untied;
        }
        match self.question.system.pipeline_of(&values) {
            Ok(pipeline) => Tried::Possible(Box::new(self.point(&pipeline, &values))),
            Err(_) => Tried::Impossible,
        }
    }

    fn point(&self, pipeline: &Pipeline, values: &Values) -> Point {
        let figures = Figures::of(pipeline, self.question);
        let moving = self.question.axes.iter().map(|axis| axis.parameter.clone());
        Point {
            values: moving.filter_map(|name| values.get(&name).copied().map(|value| (name, value))).collect(),
            margins: self.asked.iter().map(|asked| asked.margin(&figures)).collect(),
            figures,
        }
    }

    fn pipeline(&self, point: &Point) -> Option<Pipeline> {
        let mut values = self.present.clone();
        values.extend(point.values.iter().cloned());
        self.question.system.pipeline_of(&values).ok()
    }

    fn breaks(&self, point: &Point) -> Vec<Breaks> {
        let pipeline = self.pipeline(point);
        pipeline.map_or_else(Vec::new, |it| sensitivity::breaks(&it, self.question, &self.asked))
    }

    fn sampled(&self, point: &Point) -> Option<Sampled> {
        let pipeline = self.pipeline(point)?;
        let (beats, reach, period) = resets_on_arrival(&pipeline, &self.question.bear)?;
        let detector = Detector { beats: &beats, reach, period };
        Some(Sampled {
            beats_per_day: DAY_S / pipeline.interval().as_secs_f64(),
            sampled: detector.estimate(WINDOWS, self.seed),
            plain: detector.simulate(WINDOWS, self.seed),
        })
    }

    fn current(&self) -> Point {
        // The question was read: its present settings make a pipeline.
        let pipeline = self.question.system.pipeline();
        pipeline.map_or_else(
            |_| unreachable!("a question's present settings"),
            |pipeline| self.point(&pipeline, &self.present),
        )
    }

    /// For each constraint the least value of the settings that hold all the others.
    fn unmet(&self, points: &[&Point]) -> Vec<Shortfall> {
        let asked = self.asked.iter().enumerate();
        let shortfall = |(index, asked): (usize, &Asked)| {
            let holds_the_others = |point: &&&Point| {
                point.margins.iter().enumerate().all(|(other, margin)| other == index || *margin >= 0.0)
            };
            let values =
                points.iter().filter(holds_the_others).map(|point| asked.constraint.of(&point.figures));
            Shortfall {
                constraint: asked.constraint,
                limit: asked.limit,
                must_give_to: values.filter(|value| value.is_finite()).min_by(f64::total_cmp),
            }
        };
        asked.map(shortfall).collect()
    }
}

/// The one whose smallest margin is the largest; of equal ones the first.
fn recommended(front: &[Point]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, point) in front.iter().enumerate() {
        let margin = point.smallest_margin();
        if best.is_none_or(|(_, best)| margin > best) {
            best = Some((index, margin));
        }
    }
    best.map(|(index, _)| index)
}

/// Of those with the next lower load the one with the most to spare.
fn next_cheaper<'p>(front: &'p [Point], than: &Point) -> Option<&'p Point> {
    let load = |point: &Point| point.figures.beats_per_second;
    let cheaper = front.iter().filter(|point| load(point) < load(than));
    cheaper
        .max_by(|a, b| load(a).total_cmp(&load(b)).then(a.smallest_margin().total_cmp(&b.smallest_margin())))
}

fn next_safer<'p>(front: &'p [Point], than: &Point) -> Option<&'p Point> {
    let than = than.cost();
    let safer = front.iter().filter(|point| {
        let cost = point.cost();
        cost.beats_per_second <= than.beats_per_second && cost.mistakes_per_day < than.mistakes_per_day
    });
    safer.min_by(|a, b| a.cost().detection_s.total_cmp(&b.cost().detection_s))
}
