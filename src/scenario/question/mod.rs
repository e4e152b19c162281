//! Questions to `syncope tune`: which settings may move, what must hold, and what has to be borne.
//! Durations are model time.

mod raw;
mod tie;

use schemars::generate::SchemaSettings;

use super::catalogue::{self, Entry, Quantity};
use super::decode::{Decode as _, Field, Placed};
use super::diagnostic::{Code, Diagnostic, Place, Report, Source};
use super::resolve::distribution::distribution;
use super::tree;
use crate::dist::Distribution;
use crate::time::{Scale, Span};

pub use tie::Tie;

/// More values than anybody needs of one parameter.
pub const VALUES_MAX: usize = 10_000;
/// More settings than can be answered in a reasonable time.
pub const SETTINGS_MAX: u64 = 1_000_000;

/// A question that has no mistake of its own.
#[derive(Debug, Clone)]
pub struct Question {
    pub name: String,
    pub about: String,
    /// The system, with the settings that are in use.
    pub system: Entry,
    /// How many workers beat.
    pub workers: u64,
    /// How many will, if more is asked.
    pub later: Option<u64>,
    /// In the file's order; at least one.
    pub axes: Vec<Axis>,
    pub ties: Vec<Tie>,
    pub hold: Hold,
    pub bear: Bear,
}

/// A parameter, and the values that it may take: sorted, each once, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    pub parameter: String,
    pub values: Vec<Quantity>,
}

/// What must hold; `None`: not asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    /// From a crash to the suspicion that stays, at most.
    pub detection: Option<Span>,
    /// From a crash to the job's next start with a worker free, at most.
    pub recovery: Option<Span>,
    /// Of one worker, at most.
    pub mistakes_per_day: Option<f64>,
    /// P_A, from 0 to 1, at least.
    pub query_accuracy: Option<f64>,
    /// Of the whole fleet, at most.
    pub beats_per_second: Option<f64>,
}

/// What goes wrong without anybody being dead.
#[derive(Debug, Clone, PartialEq)]
pub struct Bear {
    pub delay: Distribution,
    /// Of a million beats, at most 1,000,000.
    pub loss_ppm: u32,
    pub pauses: Option<Spells>,
    pub outages: Option<Spells>,
    /// By how much the checker's clock may be ahead.
    pub skew: Span,
}

/// Something that comes and goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Spells {
    /// From the end of one to the start of the next; its greatest value is above zero.
    pub gap: Distribution,
    pub lasting: Distribution,
}

/// The JSON Schema of questions as pretty-printed JSON, as committed in `schemas/question.json`.
#[must_use]
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<raw::Question>();
    format!("{:#}\n", schema.as_value())
}

/// # Errors
/// Every mistake in the file, sorted by place.
pub fn read(source: &Source) -> Result<Question, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let raw = tree::parse(&mut report).and_then(|root| raw::Question::decode(&root, &mut report));
    let question = raw.and_then(|raw| Resolver { report: &mut report }.question(&raw));
    match question {
        Some(question) if report.is_clean() => Ok(question),
        _ => Err(report.into_sorted()),
    }
}

struct Resolver<'r, 's> {
    report: &'r mut Report<'s>,
}

impl Resolver<'_, '_> {
    /// Everything is looked at, also once something is wrong.
    fn question(&mut self, raw: &raw::Question) -> Option<Question> {
        let system = self.system(raw);
        let axes = self.axes(raw, system.as_ref());
        let ties = self.ties(raw, system.as_ref());
        let hold = self.hold(raw);
        let bear = self.bear(&raw.bear);
        let (workers, later) = self.workers(raw)?;
        Some(Question {
            name: raw.name.value()?.0.clone(),
            about: raw.about.value().map_or_else(String::new, |about| about.0.trim().to_owned()),
            system: system?,
            workers,
            later,
            axes: axes?,
            ties: ties?,
            hold: hold?,
            bear: bear?,
        })
    }

    fn system(&mut self, raw: &raw::Question) -> Option<Entry> {
        let named = raw.system.given()?;
        catalogue::chosen(&named.value.0, named.place, &raw.current, self.report)
    }

    /// The parameter's present value; if there is none of that name it is reported.
    fn parameter(&mut self, system: &Entry, name: &Placed<String>) -> Option<Quantity> {
        catalogue::parameter(system, name, self.report)
    }

    fn wrong_kind(&mut self, present: Quantity, given: &Placed<Quantity>) {
        catalogue::wrong_kind(present, given, self.report);
    }

    fn axes(&mut self, raw: &raw::Question, system: Option<&Entry>) -> Option<Vec<Axis>> {
        let vary = raw.vary.given()?;
        let mut axes = Vec::new();
        for (name, values) in &vary.value.0 {
            let present = match system {
                Some(system) => self.parameter(system, name),
                None => None,
            };
            if let Some(values) = self.values(present, values) {
                axes.push(Axis { parameter: name.value.clone(), values });
            }
        }
        if vary.value.0.is_empty() {
            self.report
                .add(Code::MissingField, vary.place, "nothing may move")
                .hint("name a parameter with its values, as in `ttl: {from: 20s, to: 60s, step: 5s}`");
            return None;
        }
        let settings = axes.iter().map(|axis| axis.values.len() as u64).try_fold(1_u64, u64::checked_mul);
        if settings.is_none_or(|settings| settings > SETTINGS_MAX) {
            self.report
                .add(Code::OutOfRange, vary.place, format!("this makes more than {SETTINGS_MAX} settings"))
                .hint("take larger steps, or fewer parameters");
            return None;
        }
        (axes.len() == vary.value.0.len()).then_some(axes)
    }

    fn values(&mut self, present: Option<Quantity>, raw: &Placed<raw::Values>) -> Option<Vec<Quantity>> {
        let mut values = match &raw.value {
            raw::Values::List(list) => {
                let mut fit = true;
                for value in list {
                    fit &= self.is_of_its_kind(present, value);
                }
                let values: Vec<Quantity> = list.iter().map(|value| value.value).collect();
                fit.then_some(values)?
            }
            raw::Values::Range(range) => self.range(present, range, raw.place)?,
        };
        if values.is_empty() {
            self.report.add(Code::MissingField, raw.place, "there is no value").hint("give at least one");
            return None;
        }
        values.sort_unstable_by_key(|value| value.units());
        values.dedup();
        Some(values)
    }

    fn is_of_its_kind(&mut self, present: Option<Quantity>, value: &Placed<Quantity>) -> bool {
        match present {
            Some(present) if present.is_span() != value.value.is_span() => {
                self.wrong_kind(present, value);
                false
            }
            _ => true,
        }
    }

    fn range(&mut self, present: Option<Quantity>, raw: &raw::Range, place: Place) -> Option<Vec<Quantity>> {
        let ends = [raw.from.given()?, raw.to.given()?, raw.step.given()?];
        if !ends.map(|end| self.is_of_its_kind(present, end)).into_iter().all(|fits| fits) {
            return None;
        }
        let [from, to, step] = ends.map(|end| end.value.units());
        if step == 0 {
            self.report.add(Code::OutOfRange, ends[2].place, "a step of nothing").hint("it is above zero");
            return None;
        }
        if from > to {
            self.report
                .add(Code::EmptyRange, place, format!("{} is more than {}", ends[0].value, ends[1].value))
                .hint("`from` is the smaller one");
            return None;
        }
        if (to - from) / step >= VALUES_MAX as u64 {
            self.report
                .add(Code::OutOfRange, place, format!("this makes more than {VALUES_MAX} values"))
                .hint("take a larger step");
            return None;
        }
        Some(
            (from..=to)
                .step_by(usize::try_from(step).ok()?)
                .map(|units| ends[0].value.of_units(units))
                .collect(),
        )
    }

    fn ties(&mut self, raw: &raw::Question, system: Option<&Entry>) -> Option<Vec<Tie>> {
        let Some(given) = raw.ties.value() else { return (!raw_is_bad(&raw.ties)).then(Vec::new) };
        let values = system.map(Entry::values);
        let ties = given.iter().map(|text| Tie::read(text, values.as_ref(), self.report));
        ties.collect::<Vec<_>>().into_iter().collect()
    }

    fn workers(&mut self, raw: &raw::Question) -> Option<(u64, Option<u64>)> {
        let workers = raw.workers.value()?;
        let (now, later) = (workers.now.value()?.0, workers.later.given());
        if let Some(later) = later
            && later.value.0 < now
        {
            self.report
                .add(Code::EmptyRange, later.place, "`later` is less than `now`")
                .hint("the fleet's size in the future; leave it out if it stays as it is");
        }
        Some((now, later.map(|later| later.value.0)))
    }

    fn hold(&mut self, raw: &raw::Question) -> Option<Hold> {
        let given = raw.hold.given()?;
        let asked = &given.value;
        let most =
            |field: &Field<raw::Most>| field.value().and_then(|most| most.max.value()).map(|max| max.0);
        let ceiling =
            |field: &Field<raw::Ceiling>| field.value().and_then(|it| it.max.value()).map(|max| max.0);
        let hold = Hold {
            detection: most(&asked.detection),
            recovery: most(&asked.recovery),
            mistakes_per_day: ceiling(&asked.mistakes_per_day),
            query_accuracy: asked
                .query_accuracy
                .value()
                .and_then(|floor| floor.min.value())
                .map(|share| f64::from(share.0) / 1e6),
            beats_per_second: ceiling(&asked.beats_per_second),
        };
        let bounds_speed = hold.detection.is_some() || hold.recovery.is_some();
        if !bounds_speed && self.report.is_clean() {
            self.report
                .add(Code::MissingField, given.place, "neither `detection` nor `recovery` is bounded")
                .hint("without either the slowest setting is the best: say how late is too late");
            return None;
        }
        Some(hold)
    }

    fn bear(&mut self, raw: &Field<raw::Bear>) -> Option<Bear> {
        let nothing = raw::Bear::default();
        let raw = match raw {
            Field::Absent => &nothing,
            Field::Given(given) => &given.value,
            Field::Bad => return None,
        };
        let delay = match &raw.delay {
            Field::Absent => Some(Distribution::Constant(Span::ZERO)),
            Field::Given(delay) => distribution(delay, Scale::ONE, self.report),
            Field::Bad => None,
        };
        let (pauses, outages) = (self.spells(&raw.pauses), self.spells(&raw.outages));
        Some(Bear {
            delay: delay?,
            loss_ppm: raw.loss.value().map_or(0, |share| share.0),
            pauses: pauses?,
            outages: outages?,
            skew: raw.skew.value().map_or(Span::ZERO, |skew| skew.0),
        })
    }

    fn spells(&mut self, raw: &Field<raw::Spells>) -> Option<Option<Spells>> {
        let given = match raw {
            Field::Absent => return Some(None),
            Field::Given(given) => given,
            Field::Bad => return None,
        };
        let gap = distribution(given.value.gap.given()?, Scale::ONE, self.report);
        let lasting = distribution(given.value.lasting.given()?, Scale::ONE, self.report);
        let (gap, lasting) = (gap?, lasting?);
        if gap.max().is_zero() {
            self.report
                .add(Code::OutOfRange, given.place, "there is no time between two of them")
                .hint("give a `gap` above zero");
            return None;
        }
        Some(Some(Spells { gap, lasting }))
    }
}

fn raw_is_bad<T>(field: &Field<T>) -> bool {
    matches!(field, Field::Bad)
}
