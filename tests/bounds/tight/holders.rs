//! One who looks at intervals for holders that beat: both ends of the detection, and what a pause
//! must last to be seen.

use syncope::check::{self, Verdict};

use super::holder::{BACK_MIN, Blow, Holder, NEARLY, taken_after};
use super::{mutants, verdict_on_detection};
use crate::draft::System;
use crate::virtual_time::{read, simulate};

/// Milliseconds: beat, expiry, look.
const SETTINGS: [(u64, u64, u64); 3] =
    [(30_000, 120_000, 60_000), (10_000, 35_000, 50_000), (20_000, 60_000, 5_000)];

/// The lower end or the upper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Least,
    Most,
}

impl End {
    /// A kill just before a beat is due, or just after one.
    pub const fn after(self, beat: u64) -> u64 {
        match self {
            Self::Least => beat - NEARLY,
            Self::Most => NEARLY,
        }
    }

    fn of(self, (least, most): (f64, f64)) -> f64 {
        match self {
            Self::Least => least,
            Self::Most => most,
        }
    }

    /// Half a percent within the bound.
    fn inside(self, bound: (f64, f64)) -> f64 {
        match self {
            Self::Least => bound.0 * 1.005,
            Self::Most => bound.1 * 0.995,
        }
    }
}

/// Moves the looks against the beats until a kill's detection comes within 1 % of the end: what the other
/// is back later its looks are. Returns the holder as it was then, and the detection.
pub fn approach(mut holder: Holder, end: End) -> (Holder, f64) {
    let bound = holder.bound();
    let mut nearest = (holder, f64::MAX);
    for _ in 0..6 {
        let text = holder.text(Blow::Kill { after: end.after(holder.beat) });
        let scenario = read(&text).expect("a scenario");
        let (judged, history) = simulate(&text, &scenario, 1);
        assert_eq!(verdict_on_detection(&judged), Verdict::Pass, "{:?}\n{text}", judged.reasons);
        let found = taken_after(&history).expect("the job was taken");
        if (found - end.of(bound)).abs() < (nearest.1 - end.of(bound)).abs() {
            nearest = (holder, found);
        }
        if (found - end.of(bound)).abs() <= end.of(bound) / 100.0 {
            let [shorter, higher] = mutants(&scenario);
            let mutant = if end == End::Most { shorter } else { higher };
            let verdict = verdict_on_detection(&check::judge(&mutant, &history));
            assert_eq!(verdict, Verdict::Fail, "{end:?}: a bound that is a tenth off is found\n{text}");
            break;
        }
        let later = (end.inside(bound) - found).rem_euclid(holder.look as f64) as u64;
        holder = holder.with_phase(holder.other_back - BACK_MIN + later);
    }
    nearest
}

/// Of one-phase looks for a holder whose beats count again after they had expired.
fn holders() -> impl Iterator<Item = Holder> {
    let of = |system: System| SETTINGS.map(|(beat, expiry, look)| Holder::new(system, beat, expiry, look));
    [System::Swept, System::Rescued].into_iter().flat_map(of)
}

#[test]
fn a_kill_reaches_both_ends_of_the_detection_time() {
    for holder in holders() {
        let bound = holder.bound();
        for end in [End::Least, End::Most] {
            let (at, found) = approach(holder, end);
            let aim = end.of(bound);
            println!("{:?} {end:?}: {found:.0} ms of {aim:.0}", holder.system);
            assert!((found - aim).abs() <= aim / 100.0, "{end:?}: {found} ms of {aim}: {at:?}");
        }
    }
}

fn mistakes(holder: &Holder, blow: Blow) -> u64 {
    let text = holder.text(blow);
    let scenario = read(&text).expect("a scenario");
    let (judged, _) = simulate(&text, &scenario, 1);
    assert_ne!(judged.verdict, Verdict::Fail, "{:?}\n{text}", judged.reasons);
    judged.mistakes.count
}

fn percent(span: f64, percent: f64) -> u64 {
    (span * percent / 100.0) as u64
}

#[test]
fn a_pause_is_tolerated_and_seen_from_where_the_model_says() {
    for holder in holders() {
        let (least, most) = holder.bound();
        for holder in [holder.with_phase(holder.look / 2)] {
            for after in [NEARLY, holder.beat - NEARLY] {
                let below = mistakes(&holder, Blow::Pause { after, lasting: percent(least, 99.0) });
                assert_eq!(below, 0, "tolerated, {after} ms after a beat: {holder:?}");
                let above = mistakes(&holder, Blow::Pause { after, lasting: percent(most, 101.0) });
                assert!(above > 0, "certainly seen, {after} ms after a beat: {holder:?}");
            }
        }
        let (worst, _) = approach(holder, End::Least);
        let after = End::Least.after(holder.beat);
        let seen = mistakes(&worst, Blow::Pause { after, lasting: percent(least, 101.0) });
        assert!(seen > 0, "just above what is tolerated one is seen: {worst:?}");
        // A worker that looks itself, and oftener than it beats, finds its own job when it wakes.
        if holder.system == System::Rescued && holder.look < holder.beat {
            continue;
        }
        let (mildest, _) = approach(holder, End::Most);
        let unseen = mistakes(&mildest, Blow::Pause { after: NEARLY, lasting: percent(most, 99.0) });
        assert_eq!(unseen, 0, "just below what is certain one is not seen: {mildest:?}");
    }
}

/// A lock that has ended cannot be renewed: then the looks' phases do not matter.
#[test]
fn a_pause_loses_a_lock_from_where_the_model_says() {
    let cases = [
        (System::Queue, 15_000, 30_000, 30_000),
        (System::Queue, 5_000, 30_000, 10_000),
        (System::Pool, 6_000, 9_000, 20_000),
    ];
    for (system, beat, expiry, look) in cases {
        let holder = Holder::new(system, beat, expiry, look);
        let (tolerated, seen) = ((expiry - beat) as f64, expiry as f64);
        for holder in [0, look / 2].map(|phase| holder.with_phase(phase)) {
            let pause = |after, lasting| mistakes(&holder, Blow::Pause { after, lasting });
            for after in [NEARLY, beat - NEARLY] {
                assert_eq!(pause(after, percent(tolerated, 99.0)), 0, "{after} ms: {holder:?}");
                assert!(pause(after, percent(seen, 101.0)) > 0, "{after} ms: {holder:?}");
            }
            assert!(pause(beat - NEARLY, percent(tolerated, 101.0)) > 0, "just above: {holder:?}");
            assert_eq!(pause(NEARLY, percent(seen, 99.0)), 0, "just below: {holder:?}");
        }
    }
}
