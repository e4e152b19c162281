//! The bounds of known pipelines, by number.

use super::{s0_new, s0_old, s3, secs};
use crate::time::{Interval, Span};
use crate::timing::{
    Asked, Checker, Detection, Expiry, Finding, Mistakes, Pipeline, Rhythm, Work, derive, lint, picture,
};

#[test]
fn detection_lies_between_its_two_ends() {
    let late = |pipeline: Pipeline, lateness| pipeline.detection(secs(lateness));
    for (name, found, min, max) in [
        ("S0, new settings: the retries come on top of both", late(s0_new(), 0), 16, 31),
        ("S0, old settings: beat and expiry fall together", late(s0_old(), 0), 0, 10),
        ("S0, beats 4 s late", late(s0_new(), 4), 12, 31),
        ("S0, beats later than the margin", late(s0_new(), 60), 0, 31),
        ("S3, the sweeper may be the victim", late(s3(), 0), 15, 90),
        ("S3, the sweeper lives", s3().detection_while_sweeper_lives(Span::ZERO), 15, 60),
    ] {
        assert_eq!(found, Detection::Within(Interval::new(secs(min), secs(max))), "{name}");
    }
}

#[test]
fn silences_lost_beats_skews_and_outages_have_their_thresholds() {
    for (pipeline, tolerated, seen, beats, skew, outage, certain) in [
        (s0_new(), 16, 31, [1, 2], Some(30), 15, false),
        (s0_old(), 0, 10, [0, 0], Some(5), 0, true),
        (s3(), 15, 30, [1, 1], None, 15, false),
    ] {
        assert_eq!(pipeline.silence_tolerated(Span::ZERO), secs(tolerated));
        assert_eq!(pipeline.silence_seen(), secs(seen));
        let lost = [pipeline.beats_lost_until_expired(), pipeline.beats_lost_until_suspected()];
        assert_eq!(lost, beats);
        assert_eq!(pipeline.skew_tolerated(Span::ZERO), skew.map(secs));
        assert_eq!(pipeline.outage().correlated_from, secs(outage));
        assert_eq!(pipeline.mistakes_are_certain(Span::ZERO), certain);
    }
    assert_eq!(s0_new().checker.longest_query(), secs(10), "three waits of 3 s, two of 0.5 s");
}

#[test]
fn a_recovery_is_the_sum_of_its_stages() {
    let work = |ahead| Work { rest: Interval::new(secs(1), secs(4)), longest_job: secs(6), ahead, slots: 2 };
    for (ahead, max) in [(0, 99), (1, 99), (2, 105), (5, 114)] {
        let bounds = s3().recovery(&work(ahead)).expect("S3 requeues");
        assert_eq!(bounds.total(), Interval::new(secs(16), secs(max)), "{ahead} jobs ahead");
    }
    assert_eq!(s0_new().recovery(&work(0)), None, "nothing is requeued");
}

#[test]
fn the_derivation_ends_at_the_bound_itself() {
    let step = |pipeline: &Pipeline, name: &str| {
        let found = derive(pipeline).steps.into_iter().find(|step| step.name == name).expect(name);
        format!("{} = {} = {}", found.formula, found.numbers, found.result)
    };
    let s3_died = "detection, at most, if the sweeper dies with its victim";
    for (pipeline, name, text) in [
        (s0_new(), "detection, at least", "E + r·b − h = 30s + 1s − 15s = 16s"),
        (s0_new(), "detection, at most", "E + r·b = 30s + 1s = 31s"),
        (s3(), "detection, at most", "max(E, S) + S = max(30s, 30s) + 30s = 1m"),
        (s3(), s3_died, "max(E, S) + G + S = max(30s, 30s) + 30s + 30s = 90s"),
    ] {
        assert_eq!(step(&pipeline, name), text);
    }
}

#[test]
fn a_picture_is_no_wider_than_a_terminal() {
    for pipeline in [s0_new(), s0_old(), s3()] {
        let drawn = picture(&pipeline);
        assert!(drawn.lines().all(|line| line.chars().count() <= 100), "{drawn}");
        assert!(drawn.contains('!'), "{drawn}");
    }
}

#[test]
fn retries_may_hide_mistakes_that_the_settings_make_certain() {
    let mut old = s0_old();
    assert_eq!(old.mistakes(Span::ZERO), Mistakes::Certain);
    old.checker = s0_new().checker;
    assert_eq!(old.mistakes(Span::ZERO), Mistakes::BridgedByRetries);
    let bridged = lint(&old)
        .into_iter()
        .any(|finding| matches!(finding, Finding::MistakesCertain { bridged: true, .. }));
    assert!(bridged, "the gap is a finding all the same");
}

/// Beats each 890 ms are valid for 788 ms: the gap is of 102 ms.
#[test]
fn retries_nearly_a_beat_apart_fall_into_one_gap_after_the_other() {
    for (retries, backoff_ms, expected) in [
        (2, 851, Mistakes::Certain),
        (2, 890, Mistakes::Certain),
        (3, 851, Mistakes::BridgedByRetries),
        (2, 800, Mistakes::BridgedByRetries),
        (1, 500, Mistakes::BridgedByRetries),
        (2, 51, Mistakes::Certain),
        (3, 51, Mistakes::BridgedByRetries),
        (0, 500, Mistakes::Certain),
    ] {
        let mut pipeline = s0_old();
        pipeline.beat.rhythm = Rhythm::Every(Span::from_millis(890));
        pipeline.expiry = Expiry::Ttl(Span::from_millis(788));
        let asked = Asked {
            every: Span::ZERO,
            retries,
            backoff: Span::from_millis(backoff_ms),
            ready_wait: Span::ZERO,
        };
        pipeline.checker = Checker::OnDemand(asked);
        assert_eq!(pipeline.mistakes(Span::ZERO), expected, "{retries} retries, {backoff_ms} ms apart");
    }
}
