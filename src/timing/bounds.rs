//! Closed-form bounds of a [`Pipeline`]: what must hold on every run, from the settings alone.
//!
//! Notation: h the beat's interval, E the effective expiry, S the sweep's period, G the guard's
//! expiry, r retries with b before each, w the readiness wait, L the last beat before the crash c.
//! A crash comes at any phase, so `c − h − lateness ≤ L ≤ c`; everything follows from that.

use crate::time::{Interval, Span};
use crate::timing::Pipeline;

/// What stands between a job's requeue and its being done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// What is left of the job itself.
    pub rest: Interval,
    /// The longest job of the workload.
    pub longest_job: Span,
    /// Other jobs that may be served first.
    pub ahead: u64,
    /// Jobs that the living workers work on at a time.
    pub slots: u64,
}

/// The stages of a recovery, each with its own bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryBounds {
    pub detection: Interval,
    pub requeue: Interval,
    pub claim: Interval,
    pub rest: Interval,
}

impl RecoveryBounds {
    #[must_use]
    pub fn total(&self) -> Interval {
        self.detection + self.requeue + self.claim + self.rest
    }
}

impl Pipeline {
    /// Detection time: from a crash at any phase to the suspicion that stays.
    ///
    /// Lower end: the beat's validity ends at L + E, and L is at most `h + lateness` before the
    /// crash, so nothing is suspected before `E − h − lateness`. (A checker that retries answers r·b
    /// later still; the bound leaves that out, as an exception is retried without a wait.)
    ///
    /// Upper end: L ≤ c. At c + E the beat is invalid for certain. An on-demand checker that is asked
    /// all the time (S = 0) answers after its retries: `E + r·b`. A sweep comes at most S later.
    ///
    /// A guarded sweep is single-flight and two-phase: one check marks the job, and a later one
    /// takes it. Both must come at or after L, the second also at or after L + E. While the sweeper
    /// lives its checks are S apart, so the second comes by `L + max(E, S) + S`. If the sweeper dies
    /// with its victim (or one check meets a guard that has not quite expired, for G = S is a race)
    /// the next comes when the guard is gone and another worker's timer fires, at most G + S after
    /// the last: one of the two is late by G, hence `max(E, S) + S + G`. (Two such misses in a row
    /// are not covered.) Two checks are never closer than G, so the lower end is
    /// `max(E, G) − h − lateness`.
    #[must_use]
    pub fn detection(&self, lateness: Span) -> Interval {
        let steady = self.detection_while_sweeper_lives(lateness);
        Interval::new(steady.min(), steady.max() + self.checker.guard.unwrap_or(Span::ZERO))
    }

    /// [`Self::detection`] where the victim is known not to be the sweeper.
    #[must_use]
    pub fn detection_while_sweeper_lives(&self, lateness: Span) -> Interval {
        let expiry = self.expiry.effective();
        let (first, marked) = match self.checker.guard {
            Some(guard) => (expiry.max(guard), expiry.max(self.checker.period)),
            None => (expiry, expiry),
        };
        let least = first - self.beat.interval - lateness;
        let most = marked + self.checker.period + self.retry_time();
        Interval::new(least, most.max(least))
    }

    /// The pause (or any silence of all who beat) below which no suspicion can follow:
    /// `E − h − lateness + r·b`.
    ///
    /// The silence begins at most `h + lateness` after the last beat and ends with a beat, so the
    /// beat's age reaches `h + lateness + P`. With retries the gap must also outlast them.
    #[must_use]
    pub fn silence_tolerated(&self, lateness: Span) -> Span {
        self.expiry.effective() + self.retry_time() - self.beat.interval - lateness
    }

    /// The silence from which on a suspicion is certain: the upper end of [`Self::detection`], since
    /// until it ends a silence and a crash look the same.
    #[must_use]
    pub fn silence_seen(&self) -> Span {
        self.detection(Span::ZERO).max()
    }

    /// How many beats in a row must be lost for a suspicion: `⌈E/h⌉ − 1`.
    ///
    /// Beats fall due at h, 2h, … after the last that arrived; those at `j·h < E` come in time, and
    /// there are `⌈E/h⌉ − 1` of them. If all are lost the validity ends first; one fewer is harmless.
    #[must_use]
    pub fn beats_lost_until_suspected(&self) -> u64 {
        let interval = self.beat.interval.as_nanos().max(1);
        self.expiry.effective().as_nanos().div_ceil(interval).saturating_sub(1)
    }

    /// How far the reader's clock may be ahead of the writer's: less than `H − h − lateness`. `None`
    /// where no skew can matter: one clock writes and reads the stamp, or no age is compared.
    ///
    /// The reader computes `age + d` with a true age in `[0, h + lateness]` while beats come in time,
    /// and says "stale" if that is at least H. So at `d ≥ H − h` the last part of each period is
    /// called stale (a sawtooth), and at `d ≥ H` all of it. The key's TTL does not enter: it runs on
    /// the store's clock. A reader that is behind only makes the threshold later.
    #[must_use]
    pub fn skew_tolerated(&self, lateness: Span) -> Option<Span> {
        match self.expiry.threshold {
            Some(threshold) if self.expiry.two_clocks => Some(threshold - self.beat.interval - lateness),
            _ => None,
        }
    }

    /// The store outage from which on every worker may be suspected together, as one correlated
    /// mistake: `E − h`. The beats of all stop at once, at most h after their last success.
    #[must_use]
    pub fn outage_correlated(&self) -> Span {
        self.expiry.effective() - self.beat.interval
    }

    /// `E ≤ h + latency`: each beat's validity ends before the next arrives.
    #[must_use]
    pub fn mistakes_are_certain(&self, latency: Span) -> bool {
        self.expiry.effective() <= self.beat.interval + latency
    }

    /// The longest that one question to an on-demand checker takes: `(r + 1)·w + r·b`.
    #[must_use]
    pub fn longest_query(&self) -> Span {
        self.checker.ready_wait.saturating_mul(u64::from(self.checker.retries) + 1) + self.retry_time()
    }

    /// Recovery = detection + requeue + claim + rest of the job; `None` if a job is never requeued.
    ///
    /// Claim: a free worker asks within the claim poll. If there is none, all `slots` are at work on
    /// the jobs ahead, whose work is at most `ahead · longest`, so a slot is free within
    /// `ahead · longest / slots`.
    #[must_use]
    pub fn recovery(&self, work: &Work) -> Option<RecoveryBounds> {
        let requeue = self.recovery.requeue?;
        let backlog = if work.ahead < work.slots {
            Span::ZERO
        } else {
            let nanos = work.longest_job.saturating_mul(work.ahead).as_nanos() / work.slots.max(1);
            Span::from_nanos(nanos)
        };
        Some(RecoveryBounds {
            detection: self.detection(Span::ZERO),
            requeue: Interval::exactly(requeue),
            claim: Interval::new(Span::ZERO, self.recovery.claim_poll + backlog),
            rest: work.rest,
        })
    }

    /// r·b
    fn retry_time(&self) -> Span {
        self.checker.retry_backoff.saturating_mul(u64::from(self.checker.retries))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::timing::{Beat, Checker, Expiry, Recovery, Subject};

    pub(crate) fn secs(secs: u64) -> Span {
        Span::from_secs(secs)
    }

    fn s0(interval: u64, ttl: u64, threshold: u64, retries: u32) -> Pipeline {
        Pipeline {
            beat: Beat { interval: secs(interval) },
            expiry: Expiry { ttl: Some(secs(ttl)), threshold: Some(secs(threshold)), two_clocks: true },
            checker: Checker {
                period: Span::ZERO,
                retries,
                retry_backoff: Span::from_millis(500),
                ready_wait: secs(3),
                guard: None,
            },
            recovery: Recovery { requeue: None, claim_poll: secs(1), max_stalls: None },
            subject: Subject::Fleet,
        }
    }

    pub(crate) fn s0_new() -> Pipeline {
        s0(15, 30, 45, 2)
    }

    pub(crate) fn s0_old() -> Pipeline {
        s0(10, 10, 15, 0)
    }

    pub(crate) fn s3() -> Pipeline {
        Pipeline {
            beat: Beat { interval: secs(15) },
            expiry: Expiry { ttl: Some(secs(30)), threshold: None, two_clocks: false },
            checker: Checker {
                period: secs(30),
                retries: 0,
                retry_backoff: Span::ZERO,
                ready_wait: Span::ZERO,
                guard: Some(secs(30)),
            },
            recovery: Recovery { requeue: Some(Span::ZERO), claim_poll: secs(5), max_stalls: Some(1) },
            subject: Subject::Holder,
        }
    }

    #[test]
    fn detection_lies_between_its_two_ends() {
        let late = |pipeline: Pipeline, lateness| pipeline.detection(secs(lateness));
        for (name, found, min, max) in [
            ("S0, new settings", late(s0_new(), 0), 15, 31),
            ("S0, old settings: beat and expiry fall together", late(s0_old(), 0), 0, 10),
            ("S0, beats 4 s late", late(s0_new(), 4), 11, 31),
            ("S0, beats later than the margin", late(s0_new(), 60), 0, 31),
            ("S3, the sweeper may be the victim", late(s3(), 0), 15, 90),
            ("S3, the sweeper lives", s3().detection_while_sweeper_lives(Span::ZERO), 15, 60),
        ] {
            assert_eq!(found, Interval::new(secs(min), secs(max)), "{name}");
        }
    }

    #[test]
    fn a_sweep_longer_than_the_lock_needs_two_of_its_periods() {
        let mut pipeline = s3();
        pipeline.checker.period = secs(60);
        assert_eq!(pipeline.detection_while_sweeper_lives(Span::ZERO).max(), secs(120));
        pipeline.checker.guard = None;
        assert_eq!(pipeline.detection(Span::ZERO).max(), secs(90), "one phase: E + S");
    }

    #[test]
    fn silences_lost_beats_skews_and_outages_have_their_thresholds() {
        for (pipeline, tolerated, seen, beats, skew, outage, certain) in [
            (s0_new(), 16, 31, 1, Some(30), 15, false),
            (s0_old(), 0, 10, 0, Some(5), 0, true),
            (s3(), 15, 90, 1, None, 15, false),
        ] {
            assert_eq!(pipeline.silence_tolerated(Span::ZERO), secs(tolerated));
            assert_eq!(pipeline.silence_seen(), secs(seen));
            assert_eq!(pipeline.beats_lost_until_suspected(), beats);
            assert_eq!(pipeline.skew_tolerated(Span::ZERO), skew.map(secs));
            assert_eq!(pipeline.outage_correlated(), secs(outage));
            assert_eq!(pipeline.mistakes_are_certain(Span::ZERO), certain);
        }
        assert_eq!(s0_new().longest_query(), secs(10), "three waits of 3 s, two of 0.5 s");
    }

    #[test]
    fn a_recovery_is_the_sum_of_its_stages() {
        let work =
            |ahead| Work { rest: Interval::new(secs(1), secs(4)), longest_job: secs(6), ahead, slots: 2 };
        for (ahead, max) in [(0, 99), (1, 99), (2, 105), (5, 114)] {
            let bounds = s3().recovery(&work(ahead)).expect("S3 requeues");
            assert_eq!(bounds.total(), Interval::new(secs(16), secs(max)), "{ahead} jobs ahead");
        }
        assert_eq!(s0_new().recovery(&work(0)), None, "nothing is requeued");
    }

    /// Plays a crash out, second by second: the victim renews every `h` with its last renewal `age`
    /// before the crash at zero; the two sweepers' timers have phases of their own, and the first
    /// dies with the victim if `dies`. Returns when the job is taken.
    fn play(pipeline: &Pipeline, age: u64, phases: [u64; 2], dies: bool) -> u64 {
        let seconds = |span: Span| span.as_nanos() / 1_000_000_000;
        let (expiry, period) = (seconds(pipeline.expiry.effective()), seconds(pipeline.checker.period));
        let guard = pipeline.checker.guard.map_or(0, seconds);
        let two_phase = pipeline.checker.guard.is_some();
        // Time runs from long before the crash, so that the guard is in its rhythm.
        let start = 4 * period;
        let (mut guarded_until, mut marked) = (phases[0], false);
        for now in 0.. {
            let lock_until = start - age + expiry;
            if now == start - age {
                marked = false;
            }
            for (sweeper, phase) in phases.into_iter().enumerate() {
                let dead = dies && sweeper == 0 && now >= start;
                if dead || now % period != phase || now < guarded_until {
                    continue;
                }
                guarded_until = now + guard;
                if now >= start && now >= lock_until && (marked || !two_phase) {
                    return now - start;
                }
                marked = true;
            }
        }
        unreachable!("a sweep comes in the end")
    }

    #[test]
    fn no_crash_at_any_phase_leaves_the_bound_and_both_ends_are_reached() {
        for (name, mut pipeline, period, guard) in [
            ("S3", s3(), 30, Some(30)),
            ("S3, sweeps rarer than locks", s3(), 45, Some(45)),
            ("S3, sweeps more often", s3(), 10, Some(10)),
            ("one phase, no guard", s3(), 30, None),
        ] {
            pipeline.checker.period = secs(period);
            pipeline.checker.guard = guard.map(secs);
            for dies in [false, true] {
                let bound = if dies {
                    pipeline.detection(Span::ZERO)
                } else {
                    pipeline.detection_while_sweeper_lives(Span::ZERO)
                };
                let (mut least, mut most) = (u64::MAX, 0);
                for age in [0, 1, 7, 14, 15] {
                    for phases in (0..period).flat_map(|one| (0..period).map(move |other| [one, other])) {
                        let found = play(&pipeline, age, phases, dies && guard.is_some());
                        assert!(
                            bound.contains(secs(found)),
                            "{name}: {found} s outside {bound} ({phases:?})"
                        );
                        (least, most) = (least.min(found), most.max(found));
                    }
                }
                assert!(secs(least) <= bound.min() + secs(1), "{name}: at best {least} s of {bound}");
                // A sweeper's death delays only the check that spans it; the bound also covers a
                // guard that meets a living sweeper's timer, which is worse if sweeps are frequent.
                let worst = match guard {
                    Some(guard) if dies => secs(period) + secs(period + guard).max(secs(30)),
                    _ => bound.max(),
                };
                assert!(secs(most) + secs(2) >= worst, "{name}: at worst {most} s of {worst}");
            }
        }
    }
}
