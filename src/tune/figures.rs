//! What one setting gives: bounds that hold on every run, and how often it is wrong, in closed form.
//!
//! Mistakes have three sources here, and are added: beats that are lost or late each by itself
//! ([`crate::timing::qos`], exact there), pauses of a worker, and outages of the store (both to first
//! order: one at a time, at any phase, each with the share of phases at which it is seen). Where only
//! bounds are known, both ends are given, and what must hold is held against the worse.

use crate::dist::Distribution;
use crate::scenario::question::{Bear, Question, Spells};
use crate::time::Span;
use crate::timing::qos::{Beats, NfdS, Quality, ResetOnArrival};
use crate::timing::{Age, Pipeline, Requeue, Rhythm, Subject};

/// Of a delay without an end the part that counts as the longest write: one beat in a million takes
/// longer.
const LATER_PPM: f64 = 1.0;
/// Of a pause's length, between the longest that is tolerated and the shortest that is surely seen.
const STEPS: u32 = 64;
pub(super) const DAY_S: f64 = 86_400.0;

/// From the least to the most; equal where the figure is exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub least: f64,
    pub most: f64,
}

/// Of one worker and day, by what caused them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MistakesPerDay {
    /// Lost and late beats, each by itself.
    pub beats: Range,
    pub pauses: Range,
    /// One outage makes every worker suspect at once; counted for each.
    pub outages: Range,
}

/// What a setting gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// From a crash to the suspicion: the model's bounds. `None`: a crash may never be seen.
    pub detection: Option<(Span, Span)>,
    /// From a crash to the job's next start with a worker free, at most. `None`: without bound, or
    /// nothing brings the job back.
    pub recovery: Option<Span>,
    pub mistakes: MistakesPerDay,
    /// 1 − P_A: the part of its time in which a worker that runs is suspected.
    pub inaccuracy: Range,
    /// Of the whole fleet, at its later size.
    pub beats_per_second: f64,
    /// The longest pause that is borne for certain.
    pub pause_tolerated: Option<Span>,
}

impl Range {
    pub const NONE: Self = Self { least: 0.0, most: 0.0 };

    #[must_use]
    pub const fn exactly(value: f64) -> Self {
        Self { least: value, most: value }
    }

    fn plus(self, other: Self) -> Self {
        Self { least: self.least + other.least, most: self.most + other.most }
    }

    fn times(self, factor: f64) -> Self {
        Self { least: self.least * factor, most: self.most * factor }
    }
}

impl MistakesPerDay {
    #[must_use]
    pub fn total(&self) -> Range {
        self.beats.plus(self.pauses).plus(self.outages)
    }
}

impl Figures {
    /// Of a pipeline without the question's delay in it.
    #[must_use]
    pub fn of(pipeline: &Pipeline, question: &Question) -> Self {
        let bear = &question.bear;
        let mut late = pipeline.clone();
        late.beat.latency = pipeline.beat.latency + longest(&bear.delay);
        // A checker that is behind sees an age too late by as much.
        let behind = late.expiry.skewed_age().map_or(Span::ZERO, |_| bear.skew);
        let detection = late.detection(Span::ZERO).interval();
        let detection = detection.map(|interval| (interval.min() - behind, interval.max() + behind));
        let recovery = match pipeline.recovery.requeue {
            Requeue::Never => None,
            Requeue::After(delay) => {
                detection.map(|(_, most)| most + delay.max() + pipeline.recovery.claim_poll)
            }
        };
        // One beat of all of them: another worker's may come in time.
        let shared = pipeline.subject == Subject::Fleet && question.workers > 1;
        let alone = |share: Share| if shared { share.at_most() } else { share };
        let beats = alone(Share::of_beats(pipeline, bear));
        let pauses = alone(bear.pauses.as_ref().map_or(Share::NONE, |it| Share::of_pauses(&late, it)));
        let outages = bear.outages.as_ref().map_or(Share::NONE, |spells| Share::of_outages(&late, spells));
        let workers = question.later.unwrap_or(question.workers) as f64;
        let interval_s = pipeline.interval_min().as_secs_f64();
        Self {
            detection,
            recovery,
            mistakes: MistakesPerDay {
                beats: beats.rate_per_s.times(DAY_S),
                pauses: pauses.rate_per_s.times(DAY_S),
                outages: outages.rate_per_s.times(DAY_S),
            },
            inaccuracy: beats.inaccuracy.plus(pauses.inaccuracy).plus(outages.inaccuracy),
            beats_per_second: if pipeline.beats() && interval_s > 0.0 { workers / interval_s } else { 0.0 },
            pause_tolerated: late.margins().silence_tolerated,
        }
    }
}

/// What one source of mistakes adds.
struct Share {
    /// λ_M of a worker.
    rate_per_s: Range,
    inaccuracy: Range,
}

impl Share {
    const NONE: Self = Self { rate_per_s: Range::NONE, inaccuracy: Range::NONE };

    const fn at_most(self) -> Self {
        Self {
            rate_per_s: Range { least: 0.0, ..self.rate_per_s },
            inaccuracy: Range { least: 0.0, ..self.inaccuracy },
        }
    }

    /// Beats that are lost or late, each by itself. Exact with a steady beat and a checker that asks all
    /// the time, or a lock, which is lost at its end whoever looks. A checker that asks each S sees a
    /// mistake of length L with probability min(1, L/S), so at most `min(1, E(T_M)/S)` of them, for
    /// min(1, x) is concave.
    fn of_beats(pipeline: &Pipeline, bear: &Bear) -> Self {
        if !pipeline.beats() {
            return Self::NONE;
        }
        let (interval, may_be_late) = (pipeline.interval(), pipeline.slack());
        let quality = match deciding_age(pipeline) {
            Some(age) => {
                let ahead = if age.two_clocks() { bear.skew } else { Span::ZERO };
                let reach = age.threshold + pipeline.checker.retry_time() - may_be_late - ahead;
                if reach <= interval {
                    return Self::always(interval, reach);
                }
                NfdS::new(&beats_of(pipeline, bear), reach - interval).quality()
            }
            None => {
                let reach = reach(pipeline);
                if reach <= interval && bear.delay.min() == bear.delay.max() {
                    return Self::always(interval, reach);
                }
                ResetOnArrival::new(&beats_of(pipeline, bear), reach).quality()
            }
        };
        Self::of_quality(&quality, pipeline, pipeline.interval_min() == interval && may_be_late.is_zero())
    }

    fn of_quality(quality: &Quality, pipeline: &Pipeline, is_steady: bool) -> Self {
        let period = looks_each(pipeline);
        let is_exact = is_steady && period.is_zero();
        let seen = if period.is_zero() { 1.0 } else { (quality.duration_s / period.as_secs_f64()).min(1.0) };
        let range = |most: f64| Range { least: if is_exact { most } else { 0.0 }, most };
        Self { rate_per_s: range(quality.rate_per_s * seen), inaccuracy: range(quality.query_inaccuracy) }
    }

    /// Each beat's validity ends before the next comes.
    fn always(interval: Span, reach: Span) -> Self {
        let interval_s = interval.as_secs_f64();
        Self {
            rate_per_s: Range::exactly(1.0 / interval_s),
            inaccuracy: Range::exactly(1.0 - reach.as_secs_f64() / interval_s),
        }
    }

    /// Pauses: each is seen at a share of the phases ([`Pipeline::silence_seen_share`]) that grows with
    /// its length x, so of all `∫ P(pause > x) d share(x)`. A mistake lasts until the worker beats again,
    /// so at most what the pause is longer than the longest that is tolerated.
    fn of_pauses(pipeline: &Pipeline, spells: &Spells) -> Self {
        let per_s = rate(spells);
        let margins = pipeline.margins();
        let Some(tolerated) = margins.silence_tolerated else { return Self::NONE };
        let seen_from = margins.silence_seen.filter(|seen| *seen < Span::MAX).unwrap_or(tolerated);
        let (from_ns, to_ns) = (ns(tolerated), ns(seen_from.max(tolerated)));
        let share = |at_ns: f64| pipeline.silence_seen_share(Span::from_nanos(at_ns as u64));
        let mut seen = Range::NONE;
        let mut before = Range::NONE;
        for step in 0..=STEPS {
            let at_ns = from_ns + (to_ns - from_ns) * f64::from(step) / f64::from(STEPS);
            let now = share(at_ns).map_or(Range { least: 0.0, most: 1.0 }, |share| Range {
                least: share.least,
                most: share.most,
            });
            let last_ns = from_ns + (to_ns - from_ns) * f64::from(step.saturating_sub(1)) / f64::from(STEPS);
            // What is added within a step is at most as if it were at its start, at least as at its end.
            seen.least += (now.least - before.least).max(0.0) * spells.lasting.above(at_ns);
            seen.most += (now.most - before.most).max(0.0) * spells.lasting.above(last_ns);
            before = now;
        }
        let longer = excess_ns(&spells.lasting, from_ns) / 1e9 * per_s;
        Self { rate_per_s: seen.times(per_s), inaccuracy: Range { least: 0.0, most: longer.min(1.0) } }
    }

    /// Outages, at any phase of the beats. One of length D swallows at least n of them, η apart, at
    /// `(D − (n − 1)·η) / η` of the phases, so of all `1/η · ∫ P(D > x) dx` from (n − 1)·η to n·η do, n being
    /// how many must be lost for the validity to end. A rhythm that is not steady has only the margins.
    /// A mistake lasts from the validity's end to the next beat: (n + 1)·η − E, and n is at most D/η + 1.
    fn of_outages(pipeline: &Pipeline, spells: &Spells) -> Self {
        let per_s = rate(spells);
        let Some(outage) = pipeline.margins().outage else { return Self::NONE };
        let (expiry_ns, slack_ns) = (ns(pipeline.expiry.effective()), ns(pipeline.slack()));
        let interval_ns = ns(pipeline.interval());
        let most = match pipeline.beat.rhythm {
            Rhythm::Every(_) => {
                let before = pipeline.beats_lost_until_expired().saturating_sub(1) as f64;
                let from_ns = before * interval_ns - slack_ns;
                (excess_ns(&spells.lasting, from_ns) - excess_ns(&spells.lasting, from_ns + interval_ns))
                    / interval_ns
            }
            _ => spells.lasting.above(ns(outage.tolerated)),
        };
        let looks = pipeline.checker.period() + pipeline.checker.retry_time();
        let least = spells.lasting.above(ns(outage.all_from + looks));
        let lasts_s = excess_ns(&spells.lasting, expiry_ns - 2.0 * interval_ns - slack_ns) / 1e9;
        Self {
            rate_per_s: Range { least: least.min(most), most }.times(per_s),
            inaccuracy: Range { least: 0.0, most: (lasts_s * per_s).min(1.0) },
        }
    }
}

/// The age that is looked at, if it ends before the time to live does.
fn deciding_age(pipeline: &Pipeline) -> Option<Age> {
    pipeline.expiry.age().filter(|age| pipeline.expiry.ttl().is_none_or(|ttl| age.threshold < ttl))
}

/// From an arrival to the end of its validity, with what retries add and what may make a beat late.
fn reach(pipeline: &Pipeline) -> Span {
    pipeline.expiry.effective() + pipeline.checker.retry_time() - pipeline.slack()
}

fn beats_of(pipeline: &Pipeline, bear: &Bear) -> Beats {
    Beats::new(pipeline.interval(), bear.loss_ppm, bear.delay.clone())
}

/// A lock is lost at its end, whoever looks.
pub(super) fn looks_each(pipeline: &Pipeline) -> Span {
    if pipeline.is_lock() { Span::ZERO } else { pipeline.checker.period() }
}

/// What decides where an arrival starts the validity anew: beats, how long it reaches, and how often somebody
/// looks. `None` where an age does, and without beats.
#[must_use]
pub fn resets_on_arrival(pipeline: &Pipeline, bear: &Bear) -> Option<(Beats, Span, Span)> {
    if !pipeline.beats() || deciding_age(pipeline).is_some() {
        return None;
    }
    Some((beats_of(pipeline, bear), reach(pipeline), looks_each(pipeline)))
}

/// How often a spell begins, per second.
pub(super) fn rate(spells: &Spells) -> f64 {
    1e9 / (spells.gap.mean_ns() + spells.lasting.mean_ns())
}

/// The delay that counts as the longest.
fn longest(delay: &Distribution) -> Span {
    Span::from_nanos(delay.exceeded_by(LATER_PPM / 1e6, ns(delay.min())) as u64)
}

/// `E((D − x)⁺) = ∫ P(D > y) dy` from `x_ns` on, in nanoseconds: by how much D is longer than that, on
/// average. Below zero D is longer by all of it.
fn excess_ns(lasting: &Distribution, x_ns: f64) -> f64 {
    let (start_ns, end_ns) = (ns(lasting.min()), ns(lasting.max()));
    if x_ns < start_ns {
        return lasting.mean_ns() - x_ns;
    }
    if x_ns >= end_ns {
        return 0.0;
    }
    // In steps that grow by a thirtieth each, from a millionth of the whole: heavy tails are long.
    let mut sum = 0.0;
    let (mut at, mut step) = (x_ns, (end_ns - x_ns) / 1e6);
    while at < end_ns {
        let next = (at + step).min(end_ns);
        sum += (next - at) * 0.5 * (lasting.above(at) + lasting.above(next));
        (at, step) = (next, step * 1.03);
    }
    sum
}

fn ns(span: Span) -> f64 {
    span.as_nanos() as f64
}
