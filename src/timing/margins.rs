//! What a [`Pipeline`] bears without a mistake: silences, lost beats, skews, store outages. Notation as
//! in [`super::bounds`].

use serde::{Deserialize, Serialize};

use crate::time::{Interval, Span};
use crate::timing::quantity::Quantity;
use crate::timing::{Checker, Expiry, Pipeline, Rhythm, Subject};

/// All tolerances of a pipeline. `None`: there is no beat, no expiry or no checker to ask this of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Margins {
    /// A shorter silence cannot even end a beat's validity.
    pub silence_unseen: Option<Span>,
    /// A shorter silence cannot lead to a suspicion: with the retries.
    pub silence_tolerated: Option<Span>,
    /// A silence this long is certainly seen; `None` also where chance decides.
    pub silence_seen: Option<Span>,
    /// So many beats in a row must be lost for a validity to end.
    pub beats_lost_until_expired: Option<u64>,
    /// So many for a suspicion.
    pub beats_lost_until_suspected: Option<u64>,
    /// The reader's clock may be ahead by less; `None`: no skew matters.
    pub skew_tolerated: Option<Span>,
    pub outage: Option<OutageMargins>,
    pub mistakes: Mistakes,
}

/// What a store outage of D does to all workers at once: one correlated mistake, not one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageMargins {
    /// Below this no worker's beats can fail for long enough.
    pub tolerated: Span,
    /// From here on a validity may have ended before the store is back, of each worker alike.
    pub correlated_from: Span,
    /// From here on every worker's has: all are suspected together, at the first look.
    pub all_from: Span,
    /// When the first validities end, and the last, counted from the outage's onset.
    pub expire: Interval,
}

/// What the settings alone say of mistakes, with no fault at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mistakes {
    /// Each beat arrives before the last one's validity ends.
    None,
    /// A gap opens in each period, and only the checker's retries reach over it.
    BridgedByRetries,
    /// In each period.
    Certain,
}

/// The share of phases at which a silence is seen, from 0 to 1: exactly known if both are equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeenShare {
    pub least: f64,
    pub most: f64,
}

impl Pipeline {
    #[must_use]
    pub fn margins(&self) -> Margins {
        let beats = self.beats();
        let looked_at = beats && self.checker != Checker::Nobody;
        Margins {
            silence_unseen: beats.then(|| self.silence_unseen(Span::ZERO)),
            silence_tolerated: looked_at.then(|| self.silence_tolerated(Span::ZERO)),
            silence_seen: looked_at.then(|| self.silence_surely_seen()).flatten(),
            beats_lost_until_expired: beats.then(|| self.beats_lost_until_expired()),
            beats_lost_until_suspected: looked_at.then(|| self.beats_lost_until_suspected()),
            skew_tolerated: self.skew_tolerated(Span::ZERO),
            outage: beats.then(|| self.outage()),
            mistakes: self.mistakes(Span::ZERO),
        }
    }

    /// The pause (or any silence of all who beat) below which no beat's validity can end: `E − g − w`.
    ///
    /// The silence begins at most g + w after the last beat and ends with a beat, so the beat's age
    /// reaches `g + w + P`.
    #[must_use]
    pub fn silence_unseen(&self, lateness: Span) -> Span {
        self.silence::<Span>(lateness, false)
    }

    /// The silence below which no suspicion can follow: `E + r·b − g − w`, for the gap must also outlast
    /// the retries. It is the lower end of the detection, except that a lock is lost at its expiry,
    /// whatever the sweep: after it the worker cannot renew it.
    #[must_use]
    pub fn silence_tolerated(&self, lateness: Span) -> Span {
        self.silence::<Span>(lateness, true)
    }

    pub(super) fn silence<Q: Quantity>(&self, lateness: Span, with_retries: bool) -> Q {
        let retries = if with_retries { self.checker.retry_time() } else { Span::ZERO };
        Q::of("E", self.expiry.effective())
            .plus(Q::of("r·b", retries))
            .minus(self.gap::<Q>().plus(Q::of("w", lateness)))
    }

    /// The silence from which on a suspicion is certain; [`Span::MAX`] where none ever is.
    ///
    /// A beat that is written again ends the doubt, so a look must come first: the upper end of
    /// [`Self::detection`], since until it ends a silence and a crash look the same. (Where the silent one
    /// looks itself, and oftener than it beats, its own look may come before its own beat when it wakes,
    /// so a shorter silence is seen too: then this is loose by up to `h − S`.)
    ///
    /// A lock that has ended cannot be renewed: who wakes after its end has lost the job, and a sweep
    /// takes it, be it long after. The last renewal arrived at most l after the silence began, so the
    /// lock ends within `E + l` of that.
    #[must_use]
    pub fn silence_seen(&self) -> Span {
        self.silence_surely_seen().unwrap_or(Span::MAX)
    }

    fn silence_surely_seen(&self) -> Option<Span> {
        let detected = self.detection(Span::ZERO).most()?;
        Some(if self.is_lock() { self.expiry.effective() + self.beat.latency } else { detected })
    }

    /// The time after which a crash, or a silence that has gone on, has been seen: the upper end of
    /// [`Self::detection`], or [`Span::MAX`].
    #[must_use]
    pub fn seen_within(&self) -> Span {
        self.detection(Span::ZERO).most().unwrap_or(Span::MAX)
    }

    /// Whether what expires is a lock with a token, whose renewal is refused once it has ended. Of the
    /// systems in the catalogue those are the ones that sweep in two phases over a TTL (BullMQ's way). Of
    /// any other TTL the model does not know whether a late beat revives it, and takes it that one does:
    /// then less is certain.
    #[must_use]
    pub fn is_lock(&self) -> bool {
        let two_phase = matches!(&self.checker, Checker::Sweep(sweep) if sweep.two_phase);
        self.subject == Subject::Holder && two_phase && matches!(self.expiry, Expiry::Ttl(_))
    }

    /// How likely a silence is seen that begins at a uniformly random phase of beats and sweeps.
    ///
    /// It begins at an age a in [0, g) of the last beat and ends with a beat, so looks see it from
    /// `L + E` to `L + a + P`. Looks come S apart at any phase, so one falls in with probability
    /// `clamp((a + P − E − r·b)/S, 0, 1)`, or 0 or 1 if somebody asks all the time. With `x = P − E −
    /// r·b` the mean over a is `(1/g)∫ clamp((a + x)/S, 0, 1) da`, a quadratic in pieces. It grows with g,
    /// so a rhythm with a shortest and a longest gap gives a least and a most. Two-phase sweeps take
    /// max(E, S) for E. A lock is lost at `L + E`, whenever the sweep comes: its S is zero. Of another
    /// holder's TTL it is not known whether it can be renewed: then this is only the least.
    #[must_use]
    pub fn silence_seen_share(&self, silence: Span) -> Option<SeenShare> {
        if !self.beats() {
            return None;
        }
        let (expiry, period) = match &self.checker {
            Checker::Nobody | Checker::Chance { .. } => return None,
            Checker::OnDemand(asked) => (self.expiry.effective() + asked.retry_time(), asked.every),
            Checker::Sweep(_) if self.is_lock() => (self.expiry.effective(), Span::ZERO),
            Checker::Sweep(sweep) if sweep.two_phase => {
                (self.expiry.effective().max(sweep.period), sweep.period)
            }
            Checker::Sweep(sweep) => (self.expiry.effective(), sweep.period),
        };
        let over = silence.as_secs_f64() - expiry.as_secs_f64();
        let share = |gap: Span| mean_share(over, period.as_secs_f64(), gap.as_secs_f64());
        let (least, most) = (share(self.interval_min()), share(self.interval() + self.slack()));
        let may_be_lock = self.subject == Subject::Holder && self.expiry.ttl().is_some() && !self.is_lock();
        Some(SeenShare { least: least.min(most), most: if may_be_lock && most > 0.0 { 1.0 } else { most } })
    }

    /// How many beats in a row must be lost for a validity to end: `⌈(E − slack)/h⌉ − 1`.
    ///
    /// Beats fall due at h, 2h, … after the last that arrived; those with `j·h + slack < E` come in
    /// time, and there are `⌈(E − slack)/h⌉ − 1` of them. If all are lost the validity ends first; one
    /// fewer is harmless.
    #[must_use]
    pub fn beats_lost_until_expired(&self) -> u64 {
        self.beats_due_within(self.expiry.effective())
    }

    /// How many must be lost for a suspicion: [`Self::beats_lost_until_expired`] with `E + r·b` for E,
    /// for a beat that comes before the last retry ends the doubt.
    #[must_use]
    pub fn beats_lost_until_suspected(&self) -> u64 {
        self.beats_due_within(self.expiry.effective() + self.checker.retry_time())
    }

    fn beats_due_within(&self, reach: Span) -> u64 {
        let interval = self.interval().as_nanos().max(1);
        (reach - self.slack()).as_nanos().div_ceil(interval).saturating_sub(1)
    }

    /// How far the reader's clock may be ahead of the writer's: less than `H − g − w`. `None` where no
    /// skew can matter: one clock writes and reads the stamp, or no age is compared.
    ///
    /// The reader computes `age + d` with a true age in `[0, g + w]` while beats come in time, and says
    /// "stale" if that is at least H. So at `d ≥ H − g` the last part of each period is called stale (a
    /// sawtooth; retries reach over it while it is shorter than r·b), and at `d ≥ H` all of it. The
    /// key's TTL does not enter: it runs on the store's clock. A reader that is behind by d only makes
    /// the threshold later by d.
    #[must_use]
    pub fn skew_tolerated(&self, lateness: Span) -> Option<Span> {
        self.skew::<Span>(lateness)
    }

    pub(super) fn skew<Q: Quantity>(&self, lateness: Span) -> Option<Q> {
        let age = self.expiry.skewed_age().filter(|_| self.beats())?;
        Some(Q::of("H", age.threshold).minus(self.gap::<Q>().plus(Q::of("w", lateness))))
    }

    /// What a store outage of D does. Beats in it fail, and the next comes at its own time after it.
    ///
    /// Beats at a fixed interval: n fail if the first and the last of them lie within D, so `(n − 1)·h − x
    /// ≤ D` with `x = slack` for what moves each of them, and n losses are harmless below
    /// [`Self::beats_lost_until_expired`]: `D < (n_lost − 1)·h − x` is tolerated.
    ///
    /// Another rhythm may fail at once and again at the last moment: the onset comes up to g after the
    /// last success, and the next success up to g after the end, so `D < E − 2·g`. (Enough, and reached
    /// only where the intervals happen to fill D.)
    ///
    /// While the store is away the validities end from `E − g` (the last beat was g old) to E (it had
    /// just come) after the onset: from `D ≥ E − g` on they may have ended before the store is back,
    /// from `D ≥ E` on all have.
    #[must_use]
    pub fn outage(&self) -> OutageMargins {
        let first = self.silence_unseen(Span::ZERO);
        let last = self.expiry.effective();
        OutageMargins {
            tolerated: self.outage_tolerated::<Span>(),
            correlated_from: first,
            all_from: last,
            expire: Interval::new(first, Ord::max(last, first)),
        }
    }

    pub(super) fn outage_tolerated<Q: Quantity>(&self) -> Q {
        if let Rhythm::Every(interval) = self.beat.rhythm {
            let bearable = interval.saturating_mul(self.beats_lost_until_expired().saturating_sub(1));
            return Q::of("(n − 1)·h", bearable).minus(Q::of("slack", self.slack()));
        }
        let gap = self.gap::<Q>();
        Q::of("E", self.expiry.effective()).minus(gap.clone()).minus(gap)
    }

    /// `E ≤ h + latency`: each beat's validity ends before the next arrives, and retries do not bridge the
    /// gap: they end within it, `E + r·b ≤ h + latency`, or each falls into the next one.
    #[must_use]
    pub fn mistakes_are_certain(&self, latency: Span) -> bool {
        self.mistakes(latency) == Mistakes::Certain
    }

    /// What the settings say of mistakes if a write takes `latency` beyond the pipeline's own. The
    /// buffer counts as a delay of each beat, the shortest interval as the rhythm.
    #[must_use]
    pub fn mistakes(&self, latency: Span) -> Mistakes {
        let arrives = self.interval_min() + self.slack() + latency;
        let expiry = self.expiry.effective();
        if !self.beats() || expiry > arrives {
            Mistakes::None
        } else if self.bridged(arrives - expiry, latency) {
            Mistakes::BridgedByRetries
        } else {
            Mistakes::Certain
        }
    }

    /// Whether some retry asks outside of the gap that comes before each beat, whenever in it the first
    /// one asked: retries that are no further apart than a beat is valid walk out of it; others may fall
    /// into one gap after the other, unless one of them is `gap` to `h − gap` away from it, modulo h.
    fn bridged(&self, gap: Span, latency: Span) -> bool {
        /// Further retries fall where earlier ones fell, or nearly.
        const LOOKED_AT: u32 = 1_000;
        let Checker::OnDemand(asked) = &self.checker else { return false };
        let valid = self.expiry.effective() - self.slack() - latency;
        let falls_outside = |retry: u32| {
            let Rhythm::Every(interval) = self.beat.rhythm else { return false };
            let away = asked.backoff.saturating_mul(u64::from(retry)).as_nanos() % interval.as_nanos().max(1);
            let away = Span::from_nanos(away);
            gap <= away && away + gap <= interval
        };
        asked.retry_time() > gap
            && (asked.backoff <= valid || (1..=asked.retries.min(LOOKED_AT)).any(falls_outside))
    }
}

/// `(1/g)·∫₀^g clamp((a + x)/S, 0, 1) da`; a step at zero where S is zero.
fn mean_share(x: f64, period: f64, gap: f64) -> f64 {
    if gap <= 0.0 {
        return if period <= 0.0 { f64::from(u8::from(x >= 0.0)) } else { (x / period).clamp(0.0, 1.0) };
    }
    let (from, to) = (x, x + gap);
    if period <= 0.0 {
        return (to.max(0.0) - from.max(0.0)) / gap;
    }
    // The rising part's integral up to t, then the full part's.
    let area = |t: f64| {
        let rising = t.clamp(0.0, period);
        rising * rising / (2.0 * period) + (t - period).max(0.0)
    };
    ((area(to) - area(from)) / gap).clamp(0.0, 1.0)
}
