//! A small simulation to hold the bounds against. It knows beats, stores, sweepers and clocks as they
//! act, tick by tick, and nothing of the formulas. A tick is a millisecond.
//!
//! Every choice that the world has is drawn with a bias to its two ends, for that is where bounds are
//! reached; the search is a few thousand such worlds for each pipeline.

/// A generator of choices (xorshift64*).
#[derive(Debug, Clone)]
pub(super) struct Choices(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beats {
    Every(u64),
    Wakes(u64, u64),
    Renew { look: u64, below: u64 },
}

/// What the store or the reader goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Valid {
    Ttl(u64),
    /// An age by the worker's stamp.
    Age(u64),
    /// An age by the store's stamp.
    StoreAge(u64),
    Both {
        ttl: u64,
        age: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Asked { every: u64, retries: u64, backoff: u64 },
    Sweeps(Sweeps),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sweeps {
    pub period: u64,
    pub two_phase: bool,
    pub paced: Option<u64>,
    pub held: Option<u64>,
    pub leader: Option<u64>,
    pub round: u64,
}

/// A pipeline as the simulation plays it.
#[derive(Debug, Clone, Copy)]
pub(super) struct World {
    pub beats: Beats,
    pub valid: Valid,
    pub looks: Looks,
    /// Added to each beat before it is sent, at most.
    pub late: u64,
    pub latency: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub sent: u64,
    pub arrived: u64,
}

impl Choices {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn within(&mut self, min: u64, max: u64) -> u64 {
        min + self.next() % (max - min + 1)
    }

    /// Within 0 and `max`, mostly one of the two.
    pub fn biased(&mut self, max: u64) -> u64 {
        match self.next() % 9 {
            0..=3 => 0,
            4..=7 => max,
            _ => self.within(0, max),
        }
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.next() % one_in == 0
    }
}

impl World {
    pub fn expiry(&self) -> u64 {
        match self.valid {
            Valid::Ttl(span) | Valid::Age(span) | Valid::StoreAge(span) => span,
            Valid::Both { ttl, age } => ttl.min(age),
        }
    }

    /// Beats in order from tick `from`, until one is sent after `until`. `bend` may move a sending.
    pub fn play(&self, from: u64, until: u64, choices: &mut Choices, bend: impl Fn(u64) -> u64) -> Vec<Sent> {
        let mut beats: Vec<Sent> = Vec::new();
        let mut due = from;
        let mut counted_from = 0;
        while beats.last().is_none_or(|beat| beat.sent <= until) {
            // A beat is sent after the one before it, and arrives after it.
            let earliest = beats.last().map_or(0, |beat| beat.sent);
            let sent = bend((due + choices.biased(self.late)).max(earliest));
            let writes = match self.beats {
                Beats::Renew { below, .. } => {
                    beats.is_empty() || self.expiry().saturating_sub(sent - counted_from) < below
                }
                Beats::Every(_) | Beats::Wakes(..) => true,
            };
            if writes {
                counted_from = sent;
                let arrived = sent + choices.biased(self.latency);
                let arrived = arrived.max(beats.last().map_or(0, |beat| beat.arrived));
                beats.push(Sent { sent, arrived });
            }
            due += match self.beats {
                Beats::Every(interval) => interval,
                Beats::Wakes(min, max) => min + choices.biased(max - min),
                Beats::Renew { look, .. } => look,
            };
        }
        beats
    }

    /// When the validity of a beat ends, for a reader whose clock is `ahead`.
    pub fn ends(&self, beat: Sent, ahead: u64) -> u64 {
        let aged = |from: u64, age: u64| (from + age).saturating_sub(ahead);
        match self.valid {
            Valid::Ttl(ttl) => beat.arrived + ttl,
            Valid::Age(age) => aged(beat.sent, age),
            Valid::StoreAge(age) => aged(beat.arrived, age),
            Valid::Both { ttl, age } => (beat.arrived + ttl).min(aged(beat.sent, age)),
        }
    }

    /// The first suspicion that a silence from the arrival of `last` to `back` leads to; `crash`: when
    /// the sweeper dies, if it does.
    pub fn suspected(&self, last: Sent, back: u64, crash: Option<u64>, choices: &mut Choices) -> Option<u64> {
        let ends = self.ends(last, 0);
        match self.looks {
            Looks::Asked { every, retries, backoff } => {
                let asked = ends.max(last.arrived) + choices.biased(every);
                let answered = asked + retries * backoff;
                (answered < back).then_some(answered)
            }
            Looks::Sweeps(sweeps) => {
                let times = sweeps.times(last.arrived, ends, crash, choices);
                sweeps.first(&times, last.arrived, ends, choices).filter(|at| *at < back)
            }
        }
    }
}

impl Sweeps {
    /// Sweeps from well before the last beat to well after anything can happen.
    fn times(&self, last: u64, ends: u64, crash: Option<u64>, choices: &mut Choices) -> Vec<u64> {
        let horizon = ends + 4 * (self.period + self.round + self.longest_block()) + 10;
        if self.paced.is_some() {
            return self.paced_times(last, ends, horizon, crash, choices);
        }
        let mut times = self.around(last, ends, crash, horizon, choices);
        // Others sweep by timers of their own; a leader sweeps alone.
        if self.leader.is_none() && choices.chance(2) {
            times.extend(self.around(last, ends, crash, horizon, choices));
            times.sort_unstable();
        }
        match crash.filter(|_| self.longest_block() > 0) {
            None => times,
            Some(crash) => {
                times.retain(|at| *at < crash);
                times.extend(self.taken_over(ends, crash, horizon, choices));
                times
            }
        }
    }

    /// One sweeper's sweeps: one of them on, just before or just after an instant that matters, or
    /// anywhere.
    fn around(
        &self,
        last: u64,
        ends: u64,
        crash: Option<u64>,
        horizon: u64,
        choices: &mut Choices,
    ) -> Vec<u64> {
        let matters = [last, ends, crash.unwrap_or(last)][(choices.next() % 3) as usize];
        let anchor = match choices.next() % 4 {
            0 => matters + choices.within(0, self.period),
            near => matters + near - 2,
        };
        let gap = |choices: &mut Choices| self.period + choices.biased(self.round);
        let mut times = vec![anchor];
        while times[0] > last.saturating_sub(2 * self.period) {
            times.insert(0, times[0] - gap(choices));
        }
        let mut at = anchor;
        while at <= horizon {
            at += gap(choices);
            times.push(at);
        }
        times
    }

    /// The sweeps of the next sweeper, which comes once the dead one's claim is gone.
    fn taken_over(&self, ends: u64, crash: u64, horizon: u64, choices: &mut Choices) -> Vec<u64> {
        let free = crash + choices.biased(self.longest_block());
        let latest = crash + self.longest_block() + self.period + self.round;
        let near = ends + choices.within(0, 2) - 1;
        let mut at = if choices.chance(2) && (crash..=latest).contains(&near) {
            near
        } else {
            free + choices.biased(self.period + self.round)
        };
        let mut times = Vec::new();
        while at <= horizon {
            times.push(at);
            at += self.period + choices.biased(self.round);
        }
        times
    }

    fn longest_block(&self) -> u64 {
        self.paced.or(self.held).unwrap_or(0).max(self.leader.unwrap_or(0))
    }

    /// Three workers with timers of their own take turns; the first dies at `crash`. At most once a
    /// timer that fires just as the guard ends meets it still.
    fn paced_times(
        &self,
        last: u64,
        ends: u64,
        horizon: u64,
        crash: Option<u64>,
        choices: &mut Choices,
    ) -> Vec<u64> {
        let guard = self.paced.unwrap_or(0);
        let anchor = [last, ends, crash.unwrap_or(last)][(choices.next() % 3) as usize];
        let anchor = anchor + choices.within(0, 2) - 1;
        let first = anchor % self.period;
        let second = match choices.next() % 4 {
            0 => first,
            1 => (first + self.period - 1) % self.period,
            2 => (first + guard) % self.period,
            _ => (first + guard + self.period - 1) % self.period,
        };
        let phases = [first, second, choices.within(0, self.period - 1)];
        let workers = 1 + (choices.next() % 3) as usize;
        // One mishap at a time: the sweeper dies, or a timer misses.
        let mut miss = crash.is_some() && choices.chance(2);
        let crash = crash.filter(|_| !miss);
        let workers = if crash.is_some() { workers.max(2) } else { workers };
        let mut times = Vec::new();
        let miss_from = if choices.chance(2) { last + 1 } else { ends };
        // A single sweeper's rhythm that hits the instant, or any.
        let apart = guard.div_ceil(self.period).max(1) * self.period;
        let begin = if choices.chance(2) {
            anchor.saturating_sub(6 * apart)
        } else {
            last.saturating_sub(4 * (self.period + guard))
        };
        let mut free_at = begin + if choices.chance(2) { 0 } else { choices.within(0, guard) };
        let mut now = begin;
        while now <= horizon {
            let firing = (0..workers)
                .filter(|worker| *worker > 0 || crash.is_none_or(|crash| now < crash))
                .any(|worker| now % self.period == phases[worker]);
            if firing && now >= free_at {
                if now == free_at && miss && now >= miss_from && choices.chance(2) {
                    miss = false;
                } else {
                    times.push(now);
                    free_at = now + guard;
                }
            }
            let next = |phase: u64| (phase + self.period - (now + 1) % self.period) % self.period;
            now += 1 + phases.iter().map(|phase| next(*phase)).min().unwrap_or(0);
        }
        times
    }

    /// The sweep that takes it. A sweep in the very tick of a beat may come before or after it.
    fn first(&self, times: &[u64], last: u64, ends: u64, choices: &mut Choices) -> Option<u64> {
        let same_tick = choices.chance(2);
        let mut after = times.iter().copied().filter(|at| *at > last || (*at == last && same_tick));
        if self.two_phase {
            after.next()?;
        }
        after.find(|at| *at >= ends)
    }
}
