//! The answer to a question: every setting's figures, the front of those that hold what is asked, one of
//! them recommended, and what its neighbours would give.

use std::num::NonZero;
use std::thread;

use super::choice;
use super::figures::{DAY_S, Figures, resets_on_arrival};
use super::front::{Cost, front};
use super::ledger::{Key, Ledger, NoLedger};
use super::point::{Asked, Constraint, Point};
use super::proof::Finding;
use super::rare::{Detector, Estimate};
use super::sensitivity::{Breaks, Spare};
use super::simulated::{self, Simulated};
use super::space::Space;
use super::trace::Trace;
use super::yardstick::Yardstick;
use crate::scenario::catalogue::Values;
use crate::scenario::question::Question;
use crate::sim::seeds::over_seeds;
use crate::time::Span;
use crate::timing::Pipeline;

/// Of the samples of rare mistakes, at most.
const WINDOWS: u64 = 100_000;
/// Of a picture's horizontal axis.
const PAUSE_LENGTHS: u32 = 80;
/// Of a front that is longer, as many are simulated and shown, spread evenly.
const SHOWN_MAX: usize = 24;
/// So many settings that the simulation refutes, and there is nothing to recommend.
const REFUTED_MAX: usize = 8;
/// Where a simulation cannot say whether what is asked holds, another of so many times the events is made.
const AGAIN: u64 = 8;

/// What an answer may cost. The seed is that of the samples and of the simulations.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    pub seed: u64,
    /// They change the time that it takes, no more.
    pub threads: NonZero<usize>,
    /// Of the simulation of each setting that is shown, about; none is simulated with zero.
    pub events: u64,
}

impl Means {
    /// With all processors, and four million events for each setting.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self { seed, threads, events: 4_000_000 }
    }
}

/// Mistakes by lost and late beats alone, where an arrival starts the validity anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled {
    pub beats_per_day: f64,
    /// By importance sampling.
    pub sampled: Estimate,
    /// By plain simulation of as many windows, if the first has seen any.
    pub plain: Option<Estimate>,
}

/// How far one thing that is asked must give, if all the others are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Shortfall {
    pub constraint: Constraint,
    pub limit: f64,
    /// The least to which it must be raised. `None`: no setting holds the others.
    pub must_give_to: Option<f64>,
}

/// For pauses of some lengths, in seconds, the most of them that are taken for a death, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct PausesSeen {
    pub present: Vec<(f64, f64)>,
    /// Empty without a recommendation.
    pub recommended: Vec<(f64, f64)>,
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
    /// `None` unless both a detection and a number of mistakes are asked for.
    pub yardstick: Option<Yardstick>,
    /// What breaks the recommended setting, the nearest first.
    pub breaks: Vec<Breaks>,
    /// If nothing holds: what stands in the way.
    pub unmet: Vec<Shortfall>,
    /// How a pause's length decides whether it is taken for a death.
    pub pauses_seen: PausesSeen,
    /// What was measured on real stores and processes, if that was asked for.
    pub proved: Vec<Finding>,
    /// What the question's assumptions were replaced by, if recorded runs were given.
    pub trace: Option<Trace>,
}

/// What is asked of which settings.
struct Search<'q> {
    ledger: &'q dyn Ledger,
    question: &'q Question,
    means: Means,
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

/// Every setting is looked at, spread over the processors; what is shown is simulated.
#[must_use]
pub fn answer(question: &Question, means: &Means) -> Answer {
    answer_with(question, means, &NoLedger)
}

/// As [`answer`]; what the ledger recalls is not simulated again.
#[must_use]
pub fn answer_with(question: &Question, means: &Means, ledger: &dyn Ledger) -> Answer {
    let search = Search {
        ledger,
        question,
        means: *means,
        space: Space::of(question),
        asked: Asked::all(&question.hold),
        present: question.system.values(),
    };
    search.answer()
}

impl Answer {
    /// Indices in `front`: all of it, or as many as are shown.
    #[must_use]
    pub fn shown(&self) -> Vec<usize> {
        shown(self.front.len(), self.recommended)
    }
}

/// Spread evenly, with the recommended one always.
fn shown(front: usize, recommended: Option<usize>) -> Vec<usize> {
    let last = front.saturating_sub(1).max(1);
    let slot = |index: usize| index * (SHOWN_MAX - 1) / last;
    let is_shown = |index: &usize| {
        front <= SHOWN_MAX || *index == 0 || slot(*index) != slot(index - 1) || Some(*index) == recommended
    };
    (0..front).filter(is_shown).collect()
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
        let mut on_front: Vec<Point> =
            front(&costs).into_iter().map(|index| holding[index].clone()).collect();
        let mut current = self.current();
        let now = current.cost();
        let recommended = self.recommended(&mut on_front);
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
        let mut better_at_equal_load = better_at_equal_load.map(|point| (*point).clone());
        let cheaper = recommended.and_then(|index| choice::next_cheaper(&on_front, index));
        let safer = recommended.and_then(|index| choice::next_safer(&on_front, index));
        let mut to_try: Vec<&mut Point> = vec![&mut current];
        to_try.extend(&mut better_at_equal_load);
        let mut wanted = shown(on_front.len(), recommended);
        wanted.extend([cheaper, safer].into_iter().flatten());
        to_try
            .extend(on_front.iter_mut().enumerate().filter(|(it, _)| wanted.contains(it)).map(|(_, it)| it));
        self.simulate(&mut to_try);
        let chosen = recommended.map(|index| &on_front[index]);
        let of_the_front = |index: Option<usize>| index.map(|index| on_front[index].clone());
        Answer {
            settings,
            tied: settings - untied,
            impossible,
            holding: holding.len() as u64,
            current_is_on_the_front: !points.iter().any(|point| point.cost().dominates(&now)),
            recommended,
            better_at_equal_load,
            cheaper: of_the_front(cheaper),
            safer: of_the_front(safer),
            yardstick: Yardstick::of(self.question),
            breaks: chosen.map(|point| self.breaks(point)).unwrap_or_default(),
            sampled: self.sampled(chosen.unwrap_or(&current)),
            unmet: if holding.is_empty() { self.unmet(&points) } else { Vec::new() },
            pauses_seen: PausesSeen {
                present: self.pauses_seen(&current),
                recommended: chosen.map(|point| self.pauses_seen(point)).unwrap_or_default(),
            },
            proved: Vec::new(),
            trace: None,
            front: on_front,
            current,
            asked: self.asked,
        }
    }

    fn try_all(&self) -> Vec<Tried> {
        let size = self.space.size();
        let threads = self.means.threads.get() as u64;
        let part = size.div_ceil(threads).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = (0..threads)
                .map(|number| {
                    let range = (number * part).min(size)..((number + 1) * part).min(size);
                    scope.spawn(move || range.map(|number| self.attempt(number)).collect::<Vec<Tried>>())
                })
                .collect();
            let join = |part: thread::ScopedJoinHandle<'_, Vec<Tried>>| match part.join() {
                Ok(tried) => tried,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            parts.into_iter().flat_map(join).collect()
        })
    }

    fn attempt(&self, number: u64) -> Tried {
        let mut values = self.present.clone();
        self.space.apply(number, &mut values);
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
            simulated: None,
        }
    }

    /// Not one that the simulation refutes: what goes wrong is reckoned one thing at a time, and where much does,
    /// it coincides.
    fn recommended(&self, front: &mut [Point]) -> Option<usize> {
        let mut refuted = Vec::new();
        while refuted.len() < REFUTED_MAX {
            let index = choice::recommended(front, &refuted, self.question, &self.asked)?;
            self.simulate(&mut [&mut front[index]]);
            let limit = self.question.hold.mistakes_per_day;
            if !limit.is_some_and(|limit| front[index].is_refuted(limit)) {
                return Some(index);
            }
            refuted.push(index);
        }
        None
    }

    /// All with the same seed.
    fn simulate(&self, points: &mut [&mut Point]) {
        if self.means.events == 0 {
            return;
        }
        let mut points: Vec<&mut &mut Point> =
            points.iter_mut().filter(|point| point.simulated.is_none()).collect();
        let limit = self.question.hold.mistakes_per_day;
        self.ledger.expect(points.len());
        let numbers: Vec<u64> = (0..points.len() as u64).collect();
        let tried = over_seeds(&numbers, self.means.threads, |number| {
            let pipeline = points[number as usize].pipeline(self.question)?;
            let first = self.simulated(&pipeline, self.means.events)?;
            let last = match limit.filter(|limit| first.mistakes_per_day.holds(*limit)) {
                Some(_) => self.simulated(&pipeline, self.means.events.saturating_mul(AGAIN)),
                None => Some(first),
            };
            self.ledger.settled();
            last
        });
        for (point, tried) in points.iter_mut().zip(tried) {
            point.simulated = tried;
        }
    }

    fn simulated(&self, pipeline: &Pipeline, events: u64) -> Option<Simulated> {
        let (bear, seed) = (&self.question.bear, self.means.seed);
        let key = Key::of(pipeline, bear, events, seed);
        self.ledger.recall(key).or_else(|| {
            let found = simulated::simulate(pipeline, bear, events, seed)?;
            self.ledger.keep(key, &found);
            Some(found)
        })
    }

    fn breaks(&self, point: &Point) -> Vec<Breaks> {
        let pipeline = point.pipeline(self.question);
        pipeline.map_or_else(Vec::new, |pipeline| {
            Spare { pipeline: &pipeline, question: self.question, asked: &self.asked }.breaks()
        })
    }

    fn sampled(&self, point: &Point) -> Option<Sampled> {
        let pipeline = point.pipeline(self.question)?;
        let (beats, reach, period) = resets_on_arrival(&pipeline, &self.question.bear)?;
        let detector = Detector { beats: &beats, reach, period };
        let windows = WINDOWS.min(self.means.events);
        if windows == 0 {
            return None;
        }
        let sampled = detector.estimate(windows, self.means.seed);
        let plain = (sampled.hits > 0).then(|| detector.simulate(windows, self.means.seed));
        Some(Sampled { beats_per_day: DAY_S / pipeline.interval().as_secs_f64(), sampled, plain })
    }

    /// Up to somewhat more than what is surely seen.
    fn pauses_seen(&self, point: &Point) -> Vec<(f64, f64)> {
        let Some(pipeline) = point.pipeline(self.question) else { return Vec::new() };
        let Some(seen) = pipeline.margins().silence_seen.filter(|seen| *seen < Span::MAX) else {
            return Vec::new();
        };
        let lengths = (0..=PAUSE_LENGTHS)
            .map(|step| seen.as_secs_f64() * 1.25 * f64::from(step) / f64::from(PAUSE_LENGTHS));
        let share = |length_s: f64| {
            let share = pipeline.silence_seen_share(Span::from_nanos((length_s * 1e9) as u64))?;
            Some((length_s, share.most))
        };
        lengths.filter_map(share).collect()
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
