//! Crashes of one worker, each seen by its liveness pipeline alone: what can be simulated of a fleet whose
//! program is somebody else's. No jobs, no connections, no commands; what the pipeline gives as a range is
//! drawn from it evenly.

use std::num::NonZeroUsize;

use crate::dist::{Distribution, Random};
use crate::sim::seeds::over_seeds;
use crate::time::{Interval, Span};
use crate::timing::{Age, Checker, Clock, Expiry, Gate, Guard, Pipeline, Rhythm, Subject, Sweep};

/// Beats and sweeps of one crash are no more than this; a crash that would need more is not detected.
const STEPS_MAX: usize = 100_000;
/// Beats before the crash of a worker that beats from its start on: enough to forget it.
const STEADY_BEATS: u64 = 8;

/// A worker that crashes, and those who look.
#[derive(Debug, Clone)]
pub struct Crash {
    pub pipeline: Pipeline,
    /// Workers, the victim among them; at least 1. Where workers sweep, each has a timer of its own.
    pub workers: u32,
    /// The timers' phases are at most this far apart, as those of workers that were started together are;
    /// from the sweep's period on they have nothing to do with each other.
    pub apart: Span,
    /// How old the victim's claim is at the crash; of no effect where what is suspected is the fleet, whose
    /// last worker has beaten for long.
    pub claimed: Claimed,
}

/// How long before the crash the job was claimed.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// Anywhere within the job, which has so many steps.
    Within { steps: u32, step_time: Distribution },
    /// So many steps, and then this.
    Before { steps: u32, step_time: Distribution, after: Span },
}

impl Claimed {
    fn draw(&self, random: &mut Random) -> u64 {
        let (Self::Within { steps, step_time } | Self::Before { steps, step_time, .. }) = self;
        let worked = (0..*steps).fold(Span::ZERO, |sum, _| sum + step_time.sample(random));
        match self {
            Self::Within { .. } => random.below(worked.as_nanos()),
            Self::Before { after, .. } => (worked + *after).as_nanos(),
        }
    }
}

impl Crash {
    /// From the crash to the suspicion that stays, for each seed; `None` where none comes. The number of
    /// threads changes the time it takes, no more.
    #[must_use]
    pub fn simulate(&self, seeds: &[u64], threads: NonZeroUsize) -> Vec<Option<Span>> {
        over_seeds(seeds, threads, |seed| One::new(self, seed).detection().map(Span::from_nanos))
    }
}

/// One crash. Instants are nanoseconds; the victim's first beat is its claim, at `claim`.
struct One<'c> {
    pipeline: &'c Pipeline,
    workers: u32,
    apart: Span,
    random: Random,
    claim: u64,
    at: u64,
}

#[derive(Debug, Clone, Copy)]
struct LastBeat {
    sent: u64,
    arrived: u64,
}

impl<'c> One<'c> {
    fn new(crash: &'c Crash, seed: u64) -> Self {
        let pipeline = &crash.pipeline;
        let mut random = Random::stream(seed, "crash");
        // Who sweeps has settled before the job comes.
        let claim = match pipeline.checker {
            Checker::Sweep(sweep) => 4 * (sweep.period + blocked(&sweep)).as_nanos(),
            Checker::OnDemand(_) | Checker::Chance { .. } | Checker::Nobody => 0,
        };
        let age = match pipeline.subject {
            Subject::Holder => crash.claimed.draw(&mut random),
            Subject::Fleet => {
                let gap = (pipeline.interval() + pipeline.slack()).as_nanos();
                gap * STEADY_BEATS + random.below(gap.saturating_mul(STEADY_BEATS))
            }
        };
        Self { pipeline, workers: crash.workers.max(1), apart: crash.apart, random, claim, at: claim + age }
    }

    /// Up to and with `most`.
    fn within(&mut self, most: Span) -> u64 {
        self.random.below(most.as_nanos().saturating_add(1))
    }

    fn between(&mut self, range: Interval) -> u64 {
        range.min().as_nanos() + self.within(range.max() - range.min())
    }

    fn detection(mut self) -> Option<u64> {
        let beat = self.last_beat();
        let invalid = self.invalid_from(beat)?.max(self.at);
        let suspected = match self.pipeline.checker {
            Checker::Nobody => None,
            Checker::OnDemand(asked) => {
                Some(invalid + self.within(asked.every) + asked.retry_time().as_nanos())
            }
            Checker::Chance { per_call_ppm, every } => {
                let first = invalid + self.within(every);
                let calls = (0..STEPS_MAX as u64).find(|_| self.random.happens_ppm(per_call_ppm));
                calls.map(|call| first + call * every.as_nanos())
            }
            Checker::Sweep(sweep) => self.swept(&sweep, beat, invalid),
        };
        suspected.map(|suspected| suspected - self.at)
    }

    fn last_beat(&mut self) -> LastBeat {
        let beats = self.pipeline.beat;
        let expiry = self.pipeline.expiry.effective().as_nanos();
        let mut last = LastBeat { sent: self.claim, arrived: self.claim };
        // A loop that looks has been looking before the job came.
        let mut due = self.claim
            + match beats.rhythm {
                Rhythm::Renew { look, .. } => self.within(look),
                _ => self.until_next(),
            };
        for _ in 0..STEPS_MAX {
            let sent = due + self.within(beats.buffer) + self.within(beats.delay);
            if sent >= self.at || beats.rhythm == Rhythm::Never {
                break;
            }
            let writes = match beats.rhythm {
                Rhythm::Renew { below, .. } => {
                    expiry.saturating_sub(sent.saturating_sub(last.sent)) <= below.as_nanos()
                }
                Rhythm::Never | Rhythm::Every(_) | Rhythm::Wakes(_) => true,
            };
            if writes {
                let arrived = sent + self.within(beats.latency);
                last = LastBeat { sent: sent.max(last.sent), arrived: arrived.max(last.arrived) };
            }
            due += self.until_next().max(1);
        }
        last
    }

    fn until_next(&mut self) -> u64 {
        match self.pipeline.beat.rhythm {
            Rhythm::Never => 0,
            Rhythm::Every(interval) => interval.as_nanos(),
            Rhythm::Wakes(within) => self.between(within),
            Rhythm::Renew { look, .. } => look.as_nanos(),
        }
    }

    fn invalid_from(&mut self, beat: LastBeat) -> Option<u64> {
        // A stamp is the worker's from when it was sent, the store's from when it arrived.
        let aged = |age: Age| {
            let stamped = if age.stamp == Clock::Worker { beat.sent } else { beat.arrived };
            stamped + age.threshold.as_nanos()
        };
        Some(match self.pipeline.expiry {
            Expiry::Ttl(ttl) => beat.arrived + ttl.as_nanos(),
            Expiry::Age(age) => aged(age),
            Expiry::Both { ttl, age } => (beat.arrived + ttl.as_nanos()).min(aged(age)),
            Expiry::Session(end) => self.at + self.between(end),
            Expiry::Never => return None,
        })
    }

    /// The sweep that takes the job: at `invalid` or later, and where two are needed after another one that
    /// came since the last beat.
    fn swept(&mut self, sweep: &Sweep, beat: LastBeat, invalid: u64) -> Option<u64> {
        let mut timers = self.timers(sweep);
        let mut marked = !sweep.two_phase;
        for _ in 0..STEPS_MAX {
            let at = self.next_sweep(&mut timers, sweep)?;
            if marked && at >= invalid {
                return Some(at);
            }
            marked |= at >= beat.arrived;
        }
        None
    }

    /// The victim's is the first. A leader sweeps alone, by one timer.
    fn timers(&mut self, sweep: &Sweep) -> Timers {
        let period = sweep.period.as_nanos();
        let fires = |random: &mut Random| random.below(period);
        match sweep.gate {
            Gate::Leader(ttl) => {
                let victim_leads = self.workers > 1 && self.random.below(u64::from(self.workers)) == 0;
                let next = self.at + self.within(ttl) + fires(&mut self.random);
                let first = fires(&mut self.random);
                let due = if victim_leads { vec![first, next] } else { vec![first] };
                Timers { due, victim: victim_leads, free_at: 0 }
            }
            Gate::Open | Gate::Idle(_) => {
                let apart = self.apart.as_nanos().min(period);
                let first = fires(&mut self.random);
                let due = (0..self.workers).map(|_| (first + self.random.below(apart)) % period).collect();
                // One that is alone is started again.
                Timers { due, victim: self.workers > 1, free_at: 0 }
            }
        }
    }

    fn next_sweep(&mut self, timers: &mut Timers, sweep: &Sweep) -> Option<u64> {
        for _ in 0..STEPS_MAX {
            let (index, &at) = timers.due.iter().enumerate().min_by_key(|(_, at)| **at)?;
            if timers.victim && index == 0 && at >= self.at {
                timers.due[0] = u64::MAX;
                continue;
            }
            let round = match sweep.gate {
                Gate::Idle(round) => self.within(round),
                Gate::Open | Gate::Leader(_) => 0,
            };
            timers.due[index] = at + (sweep.period.as_nanos() + round).max(1);
            if at < timers.free_at {
                continue;
            }
            if let Guard::Paced(guard) = sweep.guard {
                timers.free_at = at + guard.as_nanos();
            }
            return Some(at);
        }
        None
    }
}

struct Timers {
    /// When each fires next.
    due: Vec<u64>,
    /// The first one ends with the victim.
    victim: bool,
    /// No sweep begins before this.
    free_at: u64,
}

fn blocked(sweep: &Sweep) -> Span {
    match sweep.guard {
        Guard::Paced(guard) | Guard::Held(guard) => guard,
        Guard::Free => Span::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::catalogue;
    use crate::time::Scale;

    const SEEDS: u64 = 4_000;

    fn within(job: Span) -> Claimed {
        Claimed::Within { steps: 1, step_time: Distribution::Constant(job) }
    }

    fn of(name: &str) -> Pipeline {
        catalogue::read(&catalogue::builtin(name).unwrap()).unwrap().pipeline_at(Scale::ONE).unwrap()
    }

    fn crashes(pipeline: Pipeline, workers: u32, job: Span) -> Vec<Option<Span>> {
        let crash = Crash { pipeline, workers, apart: Span::MAX, claimed: within(job) };
        let seeds: Vec<u64> = (1..=SEEDS).collect();
        crash.simulate(&seeds, NonZeroUsize::MIN)
    }

    #[test]
    fn no_crash_of_the_catalogue_is_detected_outside_its_bounds() {
        for name in catalogue::NAMES {
            let pipeline = of(name);
            let bounds = pipeline.detection(Span::ZERO);
            for workers in [1, 3] {
                for took in crashes(pipeline.clone(), workers, Span::from_secs(3_600)) {
                    let least = bounds.least();
                    assert_eq!(took.is_some(), least.is_some(), "{name}");
                    assert!(took >= least, "{name}: {took:?} is less than {least:?}");
                    let most = bounds.most();
                    assert!(most.is_none() || took <= most, "{name}: {took:?} is more than {most:?}");
                }
            }
        }
    }

    #[test]
    fn the_ends_of_a_two_phase_sweep_are_come_near_to() {
        let bullmq = of("bullmq");
        let took: Vec<Span> = crashes(bullmq.clone(), 2, Span::from_secs(40)).into_iter().flatten().collect();
        let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
        // 15 to 60 s, and to 90 s where the victim swept. A young job has the oldest beats.
        assert!(*least < Span::from_secs(19), "{least}");
        assert!(*most > Span::from_secs(80), "{most}");
        let alone: Vec<Span> = crashes(bullmq, 1, Span::from_secs(40)).into_iter().flatten().collect();
        assert!(alone.iter().all(|took| *took <= Span::from_secs(60)), "{:?}", alone.iter().max());
    }

    #[test]
    fn workers_that_were_started_together_take_over_at_once() {
        let second = Span::from_secs(1);
        let crash = Crash {
            pipeline: of("bullmq"),
            workers: 3,
            apart: second,
            claimed: within(Span::from_secs(600)),
        };
        let seeds: Vec<u64> = (1..=SEEDS).collect();
        let took = crash.simulate(&seeds, NonZeroUsize::MIN);
        let late = took.iter().flatten().filter(|took| **took > Span::from_secs(61)).count();
        // Who sweeps is the first to fire after the guard: the others are later, or miss a period.
        assert!(late < took.len() / 20, "{late}");
    }

    #[test]
    fn a_key_s_detection_is_spread_evenly_over_the_beat_s_interval() {
        let heartbeat = of("redis-heartbeat");
        let took: Vec<Span> = crashes(heartbeat, 1, Span::ZERO).into_iter().flatten().collect();
        let mean = took.iter().map(|took| took.as_nanos() as f64).sum::<f64>() / took.len() as f64 / 1e9;
        // TTL 30 s, an interval of 15 s, two retries after 500 ms each: 30 − 7.5 + 1.
        assert!((23.2..23.8).contains(&mean), "{mean}");
    }

    #[test]
    fn a_short_job_has_most_of_its_lock_left() {
        let bullmq = of("bullmq");
        let took = crashes(bullmq, 3, Span::from_secs(5));
        assert!(took.iter().flatten().all(|took| *took >= Span::from_secs(25)));
    }

    #[test]
    fn a_claim_just_before_the_crash_has_all_of_its_lock() {
        let steps = Distribution::Constant(Span::from_secs(2));
        let claimed = Claimed::Before { steps: 2, step_time: steps, after: Span::from_secs(1) };
        let crash = Crash { pipeline: of("bullmq"), workers: 3, apart: Span::MAX, claimed };
        let took = crash.simulate(&[1, 2, 3, 4, 5, 6, 7, 8], NonZeroUsize::MIN);
        assert!(took.iter().flatten().all(|took| *took >= Span::from_secs(25)), "{took:?}");
        assert_eq!(took.iter().flatten().count(), 8);
    }

    #[test]
    fn seeds_decide_and_threads_do_not() {
        let bullmq = of("bullmq");
        let crash =
            Crash { pipeline: bullmq, workers: 3, apart: Span::MAX, claimed: within(Span::from_secs(60)) };
        let seeds: Vec<u64> = (1..=50).collect();
        let one = crash.simulate(&seeds, NonZeroUsize::MIN);
        assert_eq!(one, crash.simulate(&seeds, NonZeroUsize::new(4).unwrap()));
        assert_ne!(one, crash.simulate(&[51, 52, 53], NonZeroUsize::MIN));
    }
}
