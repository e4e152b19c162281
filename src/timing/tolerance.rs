//! What a pipeline makes of a fault that kills nobody: certainly no suspicion, certainly one, or
//! neither is certain. A suspicion here is a mistake, for the worker runs.

use serde::{Deserialize, Serialize};

use crate::fault::rules::Slices;
use crate::fault::trouble::Trouble;
use crate::fault::{Direction, FaultKind, OutageKind, Toxic};
use crate::time::{SignedSpan, Span};
use crate::timing::{Age, Expiry, Pipeline, Subject};

/// Ordered by how much a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// No suspicion can follow.
    Tolerated,
    /// It depends on phases, or on what the pipeline's parameters do not say.
    Undecided,
    /// A suspicion must follow (while somebody asks, and for holders: while a job is held).
    CertainlySeen,
}

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// All who beat for the subject: of a fleet with one key every worker, of a holder itself.
    Writers,
    /// Who reads the beats.
    Reader,
    /// The store that the beats are in, so both of the above.
    Store,
}

/// [`tolerates_on`], whomever it may strike: the graver answer. An outage strikes the store.
#[must_use]
pub fn tolerates(pipeline: &Pipeline, fault: &FaultKind) -> Tolerance {
    match fault {
        FaultKind::Outage { .. } => tolerates_on(pipeline, fault, Side::Store),
        _ => {
            let [one, other] = [Side::Writers, Side::Reader].map(|side| tolerates_on(pipeline, fault, side));
            one.max(other)
        }
    }
}

/// What the pipeline makes of the fault on that side. Faults that end their target (a kill, a stop,
/// scaling to zero) are tolerated: a suspicion after them is true.
///
/// The store is assumed to keep its data: where an outage can wipe it, nothing is certain.
#[must_use]
pub fn tolerates_on(pipeline: &Pipeline, fault: &FaultKind, side: Side) -> Tolerance {
    if side == Side::Reader && pipeline.subject == Subject::Holder && !clock_fault(fault) {
        // Another worker sweeps; if none does, nobody suspects.
        return Tolerance::Tolerated;
    }
    match fault {
        FaultKind::Kill { .. }
        | FaultKind::Stop { .. }
        | FaultKind::Restart { .. }
        | FaultKind::CrashLoop { .. }
        | FaultKind::OutOfMemory { .. }
        | FaultKind::ScaleToZero { .. } => Tolerance::Tolerated,
        FaultKind::Pause { lasting, .. } => pause(pipeline, *lasting, *lasting, side),
        FaultKind::Pauses { lasting, gap, .. } => {
            let verdict = pause(pipeline, lasting.min(), lasting.max(), side);
            // Without time between them to beat, pauses add up.
            let adds_up = gap.min() < pipeline.interval() && verdict == Tolerance::Tolerated;
            if adds_up && gap.min().is_zero() { Tolerance::Undecided } else { verdict }
        }
        FaultKind::Outage { how, lasting, .. } => outage(pipeline, *how, *lasting),
        FaultKind::ClockStep { by, lasting, .. } => {
            let lasting = lasting.unwrap_or(Span::MAX);
            skew(pipeline, ahead(*by, side), ahead(*by, side), lasting)
        }
        // The clock is wrong for `every` at a stretch: what that may do, it may do each time.
        FaultKind::ClockStrobe { by, every, .. } => {
            skew(pipeline, ahead(*by, side), ahead(*by, side), *every)
        }
        FaultKind::ClockDrift { ppm, lasting, .. } => drift(pipeline, *ppm, *lasting, side),
        FaultKind::Network { toxic, lasting, .. } => network(pipeline, *toxic, *lasting, side),
        FaultKind::Trouble { trouble: Trouble::ClockStep { by, .. }, .. } => {
            store_jump(pipeline, by.0.unsigned_abs())
        }
        FaultKind::Trouble { trouble: Trouble::ClockDrift { ppm, .. }, lasting } => {
            store_drift(pipeline, *ppm, *lasting)
        }
        // What it does to a beat hangs on which command it is, and on what its client makes of it.
        FaultKind::DeleteKeys { .. } | FaultKind::Trouble { .. } => Tolerance::Undecided,
        // How long a beat takes then, the pipeline does not say.
        FaultKind::Throttle { .. } => Tolerance::Undecided,
        // A process that beats elsewhere runs, and is not seen to.
        FaultKind::Misconfigure { .. } => Tolerance::Undecided,
    }
}

const fn clock_fault(fault: &FaultKind) -> bool {
    matches!(
        fault,
        FaultKind::ClockStep { .. } | FaultKind::ClockDrift { .. } | FaultKind::ClockStrobe { .. }
    )
}

/// A paused writer is silent, and beats at once when it wakes. A paused reader says nothing; on
/// waking, waits that ran out during the pause may make it say "offline".
fn pause(pipeline: &Pipeline, least: Span, most: Span, side: Side) -> Tolerance {
    match side {
        Side::Writers | Side::Store => silence(pipeline, least, most),
        Side::Reader if most < pipeline.checker.ready_wait() => Tolerance::Tolerated,
        Side::Reader => Tolerance::Undecided,
    }
}

/// A silence of those who beat, at least `least` and at most `most` long, which a beat ends.
fn silence(pipeline: &Pipeline, least: Span, most: Span) -> Tolerance {
    if most < pipeline.silence_tolerated(Span::ZERO) {
        Tolerance::Tolerated
    } else if least >= pipeline.silence_seen() {
        Tolerance::CertainlySeen
    } else {
        Tolerance::Undecided
    }
}

/// A silence in which beats fail instead of being late. The next may come only an interval after
/// the last that failed, so `⌊D/h⌋ + 1` beats may be lost, and the one after them must be in time.
fn failing_beats(pipeline: &Pipeline, lasting: Span) -> Tolerance {
    let interval = pipeline.interval().as_nanos().max(1);
    let lost = lasting.as_nanos() / interval + 1;
    let next = pipeline.interval().saturating_mul(lost.saturating_add(1));
    if next < pipeline.expiry.effective() { Tolerance::Tolerated } else { Tolerance::Undecided }
}

/// The store is gone for writers and readers alike.
///
/// Holders: from `D ≥ E` on every lock has ended before a renewal could reach the store again, and
/// the sweep that follows takes the job. A beat that is only old is renewed by the next one: whether
/// that, or a sweep, comes first is open. An on-demand reader that cannot reach the store says
/// "offline" after its longest query; one query may be under way at the onset, hence twice. One that
/// hangs (a paused store) says nothing, and the beats that hung arrive first: undecided.
fn outage(pipeline: &Pipeline, how: OutageKind, lasting: Span) -> Tolerance {
    match pipeline.subject {
        Subject::Holder if lasting >= pipeline.expiry.effective() => match pipeline.expiry {
            Expiry::Age(_) => Tolerance::Undecided,
            _ => Tolerance::CertainlySeen,
        },
        Subject::Holder => failing_beats(pipeline, lasting),
        Subject::Fleet if how == OutageKind::Pause => Tolerance::Undecided,
        Subject::Fleet => failing_beats(pipeline, lasting).max(unreachable(pipeline, lasting)),
    }
}

/// An on-demand reader cannot reach the store, and knows it.
fn unreachable(pipeline: &Pipeline, lasting: Span) -> Tolerance {
    if lasting < pipeline.checker.ready_wait() {
        Tolerance::Tolerated
    } else if lasting >= pipeline.checker.longest_query().saturating_mul(2) {
        Tolerance::CertainlySeen
    } else {
        Tolerance::Undecided
    }
}

/// The store's own clock jumps by so many nanoseconds. One clock writes and reads: no skew comes of it,
/// but every beat is older by the jump at once, as after a silence of that length, and is so until its
/// writer's next one. A jump back makes beats younger; being undone, it is a jump ahead for those that
/// came meanwhile. Whether a sweep comes before the next beats is open, so nothing is certain.
fn store_jump(pipeline: &Pipeline, nanos: u64) -> Tolerance {
    if Span::from_nanos(nanos) < pipeline.silence_tolerated(Span::ZERO) {
        Tolerance::Tolerated
    } else {
        Tolerance::Undecided
    }
}

/// A beat's age grows faster by the rate, over one interval; what a slow clock has lost by its end is a
/// jump ahead when it is set right.
fn store_drift(pipeline: &Pipeline, ppm: i64, lasting: Option<Span>) -> Tolerance {
    let of = |span: Span| {
        let nanos = u128::from(span.as_nanos()) * u128::from(ppm.unsigned_abs()) / 1_000_000;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    };
    match lasting {
        _ if ppm >= 0 => store_jump(pipeline, of(pipeline.interval())),
        Some(lasting) => store_jump(pipeline, of(lasting)),
        None => Tolerance::Undecided,
    }
}

/// How far the reader is ahead of the writer if this side's clock is moved by `by`.
const fn ahead(by: SignedSpan, side: Side) -> i64 {
    match side {
        Side::Reader => by.0,
        Side::Writers | Side::Store => by.0.saturating_neg(),
    }
}

/// A skew that grows from `least` to `most` (reader ahead, in nanoseconds); see
/// [`Pipeline::skew_tolerated`]. Certain only if it lasts for a beat and two whole questions.
fn skew(pipeline: &Pipeline, least: i64, most: i64, lasting: Span) -> Tolerance {
    let (Some(tolerated), Some(Age { threshold, .. })) =
        (pipeline.skew_tolerated(Span::ZERO), pipeline.expiry.age())
    else {
        return Tolerance::Tolerated;
    };
    let reached = |skew: i64, limit: Span| u64::try_from(skew).is_ok_and(|skew| skew >= limit.as_nanos());
    let settled = pipeline.interval() + pipeline.checker.longest_query().saturating_mul(2);
    if most <= 0 || !reached(most, tolerated) {
        Tolerance::Tolerated
    } else if reached(least, threshold) && lasting >= settled {
        Tolerance::CertainlySeen
    } else {
        Tolerance::Undecided
    }
}

/// A drift is a skew that grows: it is taken at its end for what it may do, and for what it must do
/// at the last moment that leaves time to be asked.
fn drift(pipeline: &Pipeline, ppm: i64, lasting: Option<Span>, side: Side) -> Tolerance {
    let ppm = ahead(SignedSpan(ppm), side);
    let Some(lasting) = lasting else {
        let harmless = ppm <= 0 || pipeline.skew_tolerated(Span::ZERO).is_none();
        return if harmless { Tolerance::Tolerated } else { Tolerance::Undecided };
    };
    let after = |elapsed: Span| {
        let nanos = i128::from(elapsed.as_nanos()) * i128::from(ppm) / 1_000_000;
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    };
    let settled = pipeline.interval() + pipeline.checker.longest_query().saturating_mul(2);
    skew(pipeline, after(lasting - settled), after(lasting), settled)
}

fn network(pipeline: &Pipeline, toxic: Toxic, lasting: Span, side: Side) -> Tolerance {
    match toxic {
        Toxic::Latency { latency, jitter, direction } => {
            let ways = if direction == Direction::Both { 2 } else { 1 };
            let most = (latency + jitter).saturating_mul(ways);
            let least = if direction == Direction::Downstream { Span::ZERO } else { latency - jitter };
            delayed(pipeline, least.min(lasting), most, side)
        }
        // How often it is asked the pipeline does not say: if oftener than the link passes a reply on, they
        // queue up.
        Toxic::Bandwidth { .. } | Toxic::Slicer { .. } if side == Side::Reader => Tolerance::Undecided,
        Toxic::Bandwidth { bytes_per_second, .. } => {
            // A beat and its reply are well below a kilobyte.
            let most = Span::from_secs(1_024 / bytes_per_second.max(1))
                + Span::from_millis(1_024_000 / bytes_per_second.max(1) % 1_000);
            delayed(pipeline, Span::ZERO, most, side)
        }
        Toxic::Slicer { average_size, size_variation, delay, direction } => {
            // A beat and its reply are well below a kilobyte.
            let ways = if direction == Direction::Both { 2 } else { 1 };
            let most = Slices { average_size, size_variation, delay }.longest(1_024).saturating_mul(ways);
            delayed(pipeline, Span::ZERO, most, side)
        }
        // It hangs on which connections end meanwhile, and on how much they carry.
        Toxic::SlowClose { .. } | Toxic::LimitData { .. } => Tolerance::Undecided,
        Toxic::Partition { direction: Direction::Downstream } => Tolerance::Undecided,
        Toxic::Timeout | Toxic::Partition { .. } => match side {
            Side::Writers => cut(pipeline, lasting),
            Side::Reader | Side::Store => hanging_reader(pipeline, lasting),
        },
        Toxic::ResetPeer | Toxic::Refuse => match side {
            Side::Writers => cut(pipeline, lasting),
            Side::Reader => unreachable(pipeline, lasting),
            Side::Store => outage(pipeline, OutageKind::Refuse, lasting),
        },
    }
}

/// Each message comes between `least` and `most` late. Beats stay in order and an interval apart:
/// only at the onset does the gap grow, as by a silence of that length.
fn delayed(pipeline: &Pipeline, least: Span, most: Span, side: Side) -> Tolerance {
    match side {
        Side::Writers => silence(pipeline, least, most),
        Side::Reader | Side::Store if most >= pipeline.checker.ready_wait() => Tolerance::Undecided,
        Side::Reader => Tolerance::Tolerated,
        Side::Store => silence(pipeline, Span::ZERO, most),
    }
}

/// The writers alone are cut off; the reader is not, and sees the beat's validity end.
fn cut(pipeline: &Pipeline, lasting: Span) -> Tolerance {
    if lasting >= pipeline.silence_seen() {
        Tolerance::CertainlySeen
    } else {
        failing_beats(pipeline, lasting)
    }
}

/// Whether a reader whose questions hang says anything depends on its client's own timeouts.
fn hanging_reader(pipeline: &Pipeline, lasting: Span) -> Tolerance {
    if lasting < pipeline.checker.ready_wait() { Tolerance::Tolerated } else { Tolerance::Undecided }
}

#[cfg(test)]
mod tests {
    use super::Tolerance::{CertainlySeen, Tolerated, Undecided};
    use super::*;
    use crate::dist::Distribution;
    use crate::fault::{LinkSelector, Signal, Target};
    use crate::names::Store;
    use crate::timing::Beat;
    use crate::timing::tests::{s0_new, s0_old, s3, secs};

    fn worker() -> Target {
        Target::Role("worker".to_owned())
    }

    fn pause_of(length: u64) -> FaultKind {
        FaultKind::Pause { target: worker(), lasting: secs(length) }
    }

    fn outage_of(how: OutageKind, length: u64) -> FaultKind {
        FaultKind::Outage { store: Store::Redis, how, lasting: secs(length) }
    }

    fn step_of(seconds: i64) -> FaultKind {
        FaultKind::ClockStep { target: worker(), by: SignedSpan(seconds * 1_000_000_000), lasting: None }
    }

    fn on_links(toxic: Toxic, length: u64) -> FaultKind {
        FaultKind::Network { links: LinkSelector { from: None, to: None }, toxic, lasting: secs(length) }
    }

    fn store_clock(trouble: Trouble, length: Option<u64>) -> FaultKind {
        FaultKind::Trouble { trouble, lasting: length.map(secs) }
    }

    #[test]
    fn a_stores_own_clock_ages_every_beat_by_its_jump() {
        let step = |seconds: i64| {
            let by = SignedSpan(seconds * 1_000_000_000);
            store_clock(Trouble::ClockStep { store: Store::Redis, by }, Some(60))
        };
        let drift = |ppm, length| store_clock(Trouble::ClockDrift { store: Store::Redis, ppm }, length);
        for (what, pipeline, fault, expected) in [
            ("S0, below E − h + r·b", s0_new(), step(15), Tolerated),
            ("S0, above", s0_new(), step(20), Undecided),
            ("S0, a jump back is undone by one ahead", s0_new(), step(-20), Undecided),
            ("S3, below E − h", s3(), step(14), Tolerated),
            ("S3, at E − h", s3(), step(15), Undecided),
            ("a fast clock ages a beat for one interval", s0_new(), drift(500_000, None), Tolerated),
            ("a very fast one", s0_new(), drift(2_000_000, None), Undecided),
            ("a slow clock is behind at its end", s0_new(), drift(-200_000, Some(60)), Tolerated),
            ("for longer", s0_new(), drift(-200_000, Some(100)), Undecided),
            ("for ever", s0_new(), drift(-1_000, None), Undecided),
        ] {
            assert_eq!(tolerates_on(&pipeline, &fault, Side::Store), expected, "{what}");
        }
    }

    #[test]
    fn a_fault_is_tolerated_undecided_or_certainly_seen() {
        let slow = |ms| Toxic::Latency {
            latency: Span::from_millis(ms),
            jitter: Span::ZERO,
            direction: Direction::Both,
        };
        let narrow = Toxic::Bandwidth { bytes_per_second: 4_096, direction: Direction::Both };
        let kill = FaultKind::Kill { target: worker(), signal: Signal::Kill, restart_after: None };
        for (what, pipeline, fault, side, expected) in [
            ("a kill is no mistake", s3(), kill, Side::Writers, Tolerated),
            ("S0, pause below E − h + r·b", s0_new(), pause_of(15), Side::Writers, Tolerated),
            ("S0, pause between", s0_new(), pause_of(20), Side::Writers, Undecided),
            ("S0, pause above E + r·b", s0_new(), pause_of(31), Side::Writers, CertainlySeen),
            ("S0 old, any pause may be seen", s0_old(), pause_of(1), Side::Writers, Undecided),
            ("S0, a short pause of the api", s0_new(), pause_of(2), Side::Reader, Tolerated),
            ("S0, a long pause of the api", s0_new(), pause_of(60), Side::Reader, Undecided),
            ("S3, pause below E − h", s3(), pause_of(14), Side::Writers, Tolerated),
            ("S3, pause at E − h", s3(), pause_of(15), Side::Writers, Undecided),
            ("S3, pause just below E", s3(), pause_of(29), Side::Writers, Undecided),
            ("S3, pause in which the lock ends", s3(), pause_of(30), Side::Writers, CertainlySeen),
            (
                "S0, an outage within the wait",
                s0_new(),
                outage_of(OutageKind::Refuse, 2),
                Side::Store,
                Undecided,
            ),
            (
                "S0, two longest queries",
                s0_new(),
                outage_of(OutageKind::Kill, 20),
                Side::Store,
                CertainlySeen,
            ),
            ("S0, a hanging store", s0_new(), outage_of(OutageKind::Pause, 60), Side::Store, Undecided),
            (
                "S3, one renewal may fail, the next is late",
                s3(),
                outage_of(OutageKind::Kill, 5),
                Side::Store,
                Undecided,
            ),
            ("S3, every lock ends", s3(), outage_of(OutageKind::Kill, 30), Side::Store, CertainlySeen),
            ("S0, api ahead by less than H − h", s0_new(), step_of(29), Side::Reader, Tolerated),
            ("S0, api ahead: sawtooth", s0_new(), step_of(30), Side::Reader, Undecided),
            ("S0, api ahead by H", s0_new(), step_of(45), Side::Reader, CertainlySeen),
            ("S0, api behind", s0_new(), step_of(-600), Side::Reader, Tolerated),
            ("S0, worker behind by H", s0_new(), step_of(-45), Side::Writers, CertainlySeen),
            ("S0, worker ahead", s0_new(), step_of(600), Side::Writers, Tolerated),
            ("S3 has one clock", s3(), step_of(-600), Side::Writers, Tolerated),
            ("a slow link within the margin", s3(), on_links(slow(2_000), 60), Side::Writers, Tolerated),
            ("a slow link at the margin", s3(), on_links(slow(7_500), 60), Side::Writers, Undecided),
            ("S0, a slow link of the api", s0_new(), on_links(slow(1_000), 60), Side::Reader, Tolerated),
            ("S0, a narrow link of the api", s0_new(), on_links(narrow, 60), Side::Reader, Undecided),
            ("a narrow link of a worker", s3(), on_links(narrow, 60), Side::Writers, Tolerated),
            ("a cut link", s3(), on_links(Toxic::Timeout, 90), Side::Writers, CertainlySeen),
            ("a link cut for a moment", s3(), on_links(Toxic::Refuse, 5), Side::Writers, Undecided),
            ("S3, the sweeper's link", s3(), on_links(Toxic::Refuse, 500), Side::Reader, Tolerated),
        ] {
            assert_eq!(tolerates_on(&pipeline, &fault, side), expected, "{what}");
        }
    }

    #[test]
    fn a_writer_with_room_for_a_lost_beat_bears_a_short_outage() {
        let mut pipeline = s3();
        pipeline.beat = Beat::every(secs(9));
        assert_eq!(
            tolerates(&pipeline, &outage_of(OutageKind::Kill, 8)),
            Tolerated,
            "the beat at 18 s counts"
        );
        assert_eq!(
            tolerates(&pipeline, &outage_of(OutageKind::Kill, 17)),
            Tolerated,
            "the beat at 27 s counts"
        );
        assert_eq!(tolerates(&pipeline, &outage_of(OutageKind::Kill, 18)), Undecided, "36 s is too late");
    }

    #[test]
    fn a_drift_is_judged_by_what_it_adds_up_to() {
        let drift = |ppm, lasting| FaultKind::ClockDrift { target: worker(), ppm, lasting };
        for (ppm, lasting, expected) in [
            (100_000, Some(secs(290)), Tolerated),
            (100_000, Some(secs(310)), Undecided),
            (1_000_000, Some(secs(80)), CertainlySeen),
            (1_000_000, None, Undecided),
            (-1_000_000, None, Tolerated),
        ] {
            assert_eq!(tolerates_on(&s0_new(), &drift(ppm, lasting), Side::Reader), expected, "{ppm}");
        }
    }

    #[test]
    fn a_series_of_pauses_is_as_grave_as_its_longest() {
        let series = |min, max, gap| FaultKind::Pauses {
            target: worker(),
            lasting: Distribution::Uniform { min: secs(min), max: secs(max) },
            gap: Distribution::Constant(secs(gap)),
            count: 3,
        };
        for (fault, expected) in [
            (series(1, 10, 5), Tolerated),
            (series(1, 10, 0), Undecided),
            (series(1, 40, 5), Undecided),
            (series(31, 40, 5), CertainlySeen),
        ] {
            assert_eq!(tolerates_on(&s0_new(), &fault, Side::Writers), expected);
        }
    }
}
