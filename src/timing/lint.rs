//! Settings that are allowed and cannot work, or work less well than they look: what follows from a
//! pipeline alone.
//!
//! Notation as in [`super::bounds`]. A rule speaks only where the figures leave no doubt: where a sound
//! setting and a bad one look alike to it, it is silent. Each has a page in `docs/errors/`.

use serde::{Deserialize, Serialize};

use crate::time::{Scale, Span};
use crate::timing::{Checker, Pipeline, Requeue, Subject};

/// A warning. Durations are model time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The key is gone before its age can reach the threshold. `skew`: by how much a reader's clock
    /// must be ahead for the threshold to call a fresh beat stale, where two clocks meet.
    ThresholdNeverDecides { ttl: Span, threshold: Span, skew: Option<Span> },
    /// A beat expires no later than the next one is written; `bridged`: only retries reach over it.
    MistakesCertain { expiry: Span, interval: Span, bridged: bool },
    /// A beat expires before the next one comes, if that waits for its buffer, its turn or its write
    /// (`late` at most) or a rhythm takes its longest interval.
    LateBeatExpires { expiry: Span, interval: Span, late: Span, bridged: bool },
    /// A beat expires before the next but one comes, `second` after it at the latest.
    NoBeatMayBeLost { expiry: Span, second: Span },
    /// The lock ends no later than its renewal.
    RenewalTooLate { lock: Span, renewal: Span },
    /// A checker asks again without a wait.
    RetryWithoutWait { retries: u32 },
    /// Attempts are left, and nobody gives a crashed worker's job back.
    AttemptsWithoutRequeue { attempts: u32 },
    /// The age compares two clocks, and bears less skew than a clock drifts in a day.
    SkewAcrossClocks { threshold: Span, tolerance: Span },
}

/// What a free-running clock drifts in a day at 100 ppm: a common crystal's tolerance, well inside the
/// 500 ppm that NTP is made to correct (RFC 5905, `MAXFREQ`).
const DAYS_DRIFT: Span = Span::from_millis(8_640);

impl Finding {
    /// The stable name, as `syncope check` prints it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ThresholdNeverDecides { .. } => "lint::threshold-never-decides",
            Self::MistakesCertain { .. } => "lint::mistakes-certain",
            Self::LateBeatExpires { .. } => "lint::late-beat-expires",
            Self::NoBeatMayBeLost { .. } => "lint::no-beat-may-be-lost",
            Self::RenewalTooLate { .. } => "lint::renewal-too-late",
            Self::RetryWithoutWait { .. } | Self::AttemptsWithoutRequeue { .. } => "lint::retry-cannot-help",
            Self::SkewAcrossClocks { .. } => "lint::skew-across-clocks",
        }
    }

    #[must_use]
    pub fn message(&self) -> String {
        let but = |bridged: &bool| if *bridged { "; only the retries reach over the gap" } else { "" };
        match self {
            Self::ThresholdNeverDecides { ttl, threshold, skew } => {
                let harm = skew.map_or_else(String::new, |skew| {
                    format!("; it can only err, if the reader's clock is ahead by {skew}")
                });
                format!("the threshold of {threshold} never decides: the key is gone after {ttl}{harm}")
            }
            Self::MistakesCertain { expiry, interval, bridged } => format!(
                "mistakes are certain: a beat is valid for {expiry} and the next comes after {interval}{}",
                but(bridged)
            ),
            Self::LateBeatExpires { expiry, interval, late, bridged } => format!(
                "a beat may come too late: one is valid for {expiry}, the next comes after {interval} and up to \
                 {late} more{}",
                but(bridged)
            ),
            Self::NoBeatMayBeLost { expiry, second } => format!(
                "not one beat may be lost: a beat is valid for {expiry}, the next but one comes after {second}"
            ),
            Self::RenewalTooLate { lock, renewal } => {
                format!("the lock of {lock} ends before its renewal after {renewal}: every longer job stalls")
            }
            Self::RetryWithoutWait { retries } => format!(
                "{retries} retries cannot help: without a wait between, all are made in the same moment"
            ),
            Self::AttemptsWithoutRequeue { attempts } => format!(
                "{attempts} attempts cannot help after a crash: nobody gives the dead worker's job back"
            ),
            Self::SkewAcrossClocks { threshold, tolerance } => format!(
                "the threshold of {threshold} compares two clocks, and calls fresh beats stale if the reader's \
                 is ahead by {tolerance}"
            ),
        }
    }

    /// What to change.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::ThresholdNeverDecides { ttl, .. } => format!(
                "no threshold, one below {ttl}, or a longer `ttl`; the margin is what the smaller one leaves"
            ),
            Self::MistakesCertain { expiry, interval, .. } => format!(
                "an interval of at most a third of {expiry}, or an expiry of at least {}",
                interval.saturating_mul(3)
            ),
            Self::LateBeatExpires { interval, late, .. } => {
                format!("an expiry above {}, or a shorter interval or buffer", *interval + *late)
            }
            Self::NoBeatMayBeLost { second, .. } => {
                format!("an expiry above {second}, or a shorter interval")
            }
            Self::RenewalTooLate { lock, .. } => {
                format!("renew after half of the lock's duration, {}", Span::from_nanos(lock.as_nanos() / 2))
            }
            Self::RetryWithoutWait { .. } => {
                "a `retry_backoff`: all retries together reach over a gap of retries × backoff".into()
            }
            Self::AttemptsWithoutRequeue { .. } => {
                "take a job off the queue only once it is done, or let a sweep give it back".into()
            }
            Self::SkewAcrossClocks { .. } => format!(
                "stamp and compare by one clock, the store's; or a threshold that leaves {DAYS_DRIFT}, a day's \
                 drift at 100 ppm"
            ),
        }
    }
}

/// Every warning that follows from a pipeline in model time.
#[must_use]
pub fn lint(pipeline: &Pipeline) -> Vec<Finding> {
    lint_scaled(pipeline, Scale::ONE)
}

/// [`lint`] of a pipeline whose durations are wall time at this scale.
#[must_use]
pub fn lint_scaled(pipeline: &Pipeline, scale: Scale) -> Vec<Finding> {
    let linter = Linter { pipeline, scale };
    [linter.threshold(), linter.rhythm(), linter.clocks(), linter.asked_again(), linter.attempts()]
        .into_iter()
        .flatten()
        .collect()
}

struct Linter<'p> {
    pipeline: &'p Pipeline,
    scale: Scale,
}

impl Linter<'_> {
    fn model(&self, wall: Span) -> Span {
        self.scale.to_model(wall)
    }

    /// A key with a TTL T, read as stale from the age H on. A beat's stamp is written with the key, so
    /// at the age T the key is gone: with `T ≤ H` and one clock no reader ever sees the age H. Where the
    /// reader's clock is ahead by d it computes `age + d`, and does from `d ≥ H − g` on: then the
    /// threshold decides, wrongly.
    fn threshold(&self) -> Option<Finding> {
        let (ttl, age) = (self.pipeline.expiry.ttl()?, self.pipeline.expiry.age()?);
        (ttl <= age.threshold).then(|| Finding::ThresholdNeverDecides {
            ttl: self.model(ttl),
            threshold: self.model(age.threshold),
            skew: self.pipeline.skew_tolerated(Span::ZERO).map(|skew| self.model(skew)),
        })
    }

    /// The gravest of what the rhythm does to the expiry, since each implies the ones below it:
    ///
    /// - `E ≤ h + l` with the shortest h: each beat ends before the next has arrived, in each period.
    ///   A lock that ended cannot be renewed, so for a lock it is the renewal that is wrong.
    /// - `E ≤ g` with the longest h, and what buffer, scheduler and write may add: a beat that comes as
    ///   late as it may comes too late, with no fault at all.
    /// - `E + r·b < h + g`: if one beat is lost the next comes up to h + g after the last that arrived,
    ///   and a checker that is asked then says "dead". At `E = 2·h` without slack, which is how BullMQ
    ///   and many others renew a lock, the next comes as the validity ends: no warning.
    fn rhythm(&self) -> Option<Finding> {
        let pipeline = self.pipeline;
        if !pipeline.beats() {
            return None;
        }
        let (expiry, late) = (pipeline.expiry.effective(), pipeline.slack());
        let reach = expiry + pipeline.checker.retry_time();
        let soonest = pipeline.interval_min() + pipeline.beat.latency;
        let interval = pipeline.interval();
        let second = interval.saturating_mul(2) + late;
        if expiry <= soonest && is_lock(pipeline) {
            Some(Finding::RenewalTooLate { lock: self.model(expiry), renewal: self.model(soonest) })
        } else if expiry <= soonest {
            let bridged = reach > soonest;
            Some(Finding::MistakesCertain {
                expiry: self.model(expiry),
                interval: self.model(soonest),
                bridged,
            })
        } else if expiry <= interval + late {
            Some(Finding::LateBeatExpires {
                expiry: self.model(expiry),
                interval: self.model(interval),
                late: self.model(late),
                bridged: reach > interval + late,
            })
        } else if reach < second {
            Some(Finding::NoBeatMayBeLost { expiry: self.model(expiry), second: self.model(second) })
        } else {
            None
        }
    }

    /// An age by two clocks bears a skew below `H − g`. Clocks that are kept by NTP agree to far less
    /// than any such margin, so the rule speaks only where the margin ends before somebody can notice
    /// that a clock is kept no more: within a day. A margin of nothing is [`Self::rhythm`]'s.
    fn clocks(&self) -> Option<Finding> {
        let age = self.pipeline.expiry.skewed_age()?;
        let tolerance = self.model(self.pipeline.skew_tolerated(Span::ZERO)?);
        (!tolerance.is_zero() && tolerance < DAYS_DRIFT)
            .then(|| Finding::SkewAcrossClocks { threshold: self.model(age.threshold), tolerance })
    }

    /// Retries reach over a gap of `r·b`, and over a connection that is not ready for `(r + 1)·w`. If
    /// both b and w are zero, all tries fall in one moment and find the same.
    fn asked_again(&self) -> Option<Finding> {
        let Checker::OnDemand(asked) = self.pipeline.checker else { return None };
        let in_vain = asked.retries > 0 && asked.backoff.is_zero() && asked.ready_wait.is_zero();
        in_vain.then_some(Finding::RetryWithoutWait { retries: asked.retries })
    }

    /// An attempt after a crash needs somebody who gives the job back. Where nobody does, attempts are
    /// for errors that the worker lives to report. A fleet's heartbeat says nothing of its jobs.
    fn attempts(&self) -> Option<Finding> {
        let recovery = &self.pipeline.recovery;
        let attempts = recovery.attempts.filter(|attempts| *attempts > 1)?;
        let in_vain = recovery.requeue == Requeue::Never && self.pipeline.subject == Subject::Holder;
        in_vain.then_some(Finding::AttemptsWithoutRequeue { attempts })
    }
}

/// A lock of a job, looked at by sweeps.
fn is_lock(pipeline: &Pipeline) -> bool {
    pipeline.subject == Subject::Holder
        && pipeline.expiry.ttl().is_some()
        && matches!(pipeline.checker, Checker::Sweep(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Interval;
    use crate::timing::tests::{s0_new, s0_old, s3, secs};
    use crate::timing::{Age, Asked, Beat, Expiry, Recovery, Rhythm};

    fn codes(pipeline: &Pipeline) -> Vec<&'static str> {
        lint(pipeline).iter().map(|finding| &finding.code()["lint::".len()..]).collect()
    }

    fn changed(mut pipeline: Pipeline, change: impl FnOnce(&mut Pipeline)) -> Pipeline {
        change(&mut pipeline);
        pipeline
    }

    fn asked(retries: u32, backoff: Span, ready_wait: Span) -> Checker {
        Checker::OnDemand(Asked { every: Span::ZERO, retries, backoff, ready_wait })
    }

    #[test]
    fn each_rule_speaks_at_its_limit_and_not_before() {
        let ms = Span::from_millis;
        let beat = |beat: Beat| changed(s3(), |p| p.beat = beat);
        let buffered = |buffer| beat(Beat { buffer, ..Beat::every(secs(9)) });
        let aged = |threshold| changed(s0_new(), |p| p.expiry = Expiry::Age(Age::across(threshold)));
        let retried =
            |checker| changed(s0_new(), |p| (p.expiry, p.checker) = (Expiry::Ttl(secs(60)), checker));
        let tried =
            |attempts, recovery: Recovery| changed(s3(), |p| p.recovery = Recovery { attempts, ..recovery });
        for (what, pipeline, expected) in [
            ("S0 new", s0_new(), &["threshold-never-decides"][..]),
            ("S0 old", s0_old(), &["threshold-never-decides", "mistakes-certain", "skew-across-clocks"]),
            ("S3: renewed at half", s3(), &[]),
            ("S3: renewed after half", beat(Beat::every(ms(15_001))), &["no-beat-may-be-lost"]),
            ("S3: renewed just in time", beat(Beat::every(ms(29_999))), &["no-beat-may-be-lost"]),
            ("S3: renewed as it ends", beat(Beat::every(secs(30))), &["renewal-too-late"]),
            ("a buffer within the margin", buffered(secs(12)), &[]),
            ("a buffer that costs a beat", buffered(ms(12_001)), &["no-beat-may-be-lost"]),
            ("a buffer up to the expiry", buffered(secs(21)), &["late-beat-expires"]),
            (
                "a rhythm whose longest interval is too long",
                beat(Beat::with(Rhythm::Wakes(Interval::new(secs(7), secs(30))))),
                &["late-beat-expires"],
            ),
            ("a day's drift is borne", aged(ms(30_000)), &[]),
            ("a day's drift is not borne", aged(ms(23_639)), &["no-beat-may-be-lost", "skew-across-clocks"]),
            ("a TTL above the threshold", changed(s0_new(), |p| p.expiry = Expiry::Ttl(secs(45))), &[]),
            ("retries in one moment", retried(asked(2, Span::ZERO, Span::ZERO)), &["retry-cannot-help"]),
            ("retries with a wait", retried(asked(2, ms(1), Span::ZERO)), &[]),
            ("retries that wait for a connection", retried(asked(2, Span::ZERO, ms(1))), &[]),
            ("no retries", retried(asked(0, Span::ZERO, Span::ZERO)), &[]),
            ("popped, and lost", tried(Some(25), Recovery::never(secs(1))), &["retry-cannot-help"]),
            ("given back", tried(Some(25), Recovery::at_once(secs(1))), &[]),
            ("one attempt", tried(Some(1), Recovery::never(secs(1))), &[]),
        ] {
            assert_eq!(codes(&pipeline), expected, "{what}");
        }
    }

    #[test]
    fn retries_that_reach_over_a_lost_beat_are_no_finding() {
        let late = changed(s0_new(), |p| {
            p.beat = Beat::every(Span::from_millis(15_500));
            p.expiry = Expiry::Ttl(secs(30));
        });
        assert_eq!(codes(&late), [""; 0], "30 s + 2 × 500 ms = 2 × 15.5 s");
        assert_eq!(
            codes(&changed(late, |p| p.checker = asked(0, Span::ZERO, secs(3)))),
            ["no-beat-may-be-lost"]
        );
    }

    #[test]
    fn a_day_s_drift_is_measured_in_model_time() {
        let scale: Scale = "0.1".parse().unwrap();
        let wall = changed(s0_new(), |p| {
            p.beat = Beat::every(Span::from_millis(1_500));
            p.expiry = Expiry::Age(Age::across(secs(3)));
        });
        assert_eq!(lint_scaled(&wall, scale), [], "15 s of model time are borne");
        assert_eq!(codes(&wall), ["skew-across-clocks"], "1.5 s are not");
    }
}
