//! Entries are read, set and refused.

use super::*;
use crate::time::Interval;
use crate::timing::Detection;

fn entry(name: &str) -> Entry {
    read(&builtin(name).expect("the name is known")).expect("the entry is good")
}

fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

#[test]
fn every_entry_is_good_and_every_file_is_an_entry() {
    for name in NAMES {
        assert_eq!(entry(name).name, *name);
        if let Some(old) = entry(name).old {
            assert!(NAMES.contains(&old.as_str()), "{name}: there is no {old}");
        }
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    for file in std::fs::read_dir(folder).expect("catalog/ is there") {
        let path = file.expect("it can be read").path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let stem = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        // The claims are in the same folder, in a format of their own.
        assert!(stem == "claims" || NAMES.contains(&stem.as_str()), "add {stem} to builtin.rs");
    }
}

#[test]
fn what_is_set_changes_the_pipeline() {
    let set = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
        entry("redis-heartbeat").with(&settings)
    };
    let pipeline = set(&["interval=10s", "ttl=20s", "retries=0"]).expect("good").pipeline().expect("good");
    assert_eq!(pipeline.detection(Span::ZERO), Detection::Within(Interval::new(secs(10), secs(20))));
    let errors = set(&["intervall=10s", "ttl=5", "retries=1.5.", "x", "ttl=9s"]).expect_err("bad");
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    assert!(texts[0].contains("did you mean `interval`?"), "{}", texts[0]);
    assert!(texts[1].contains("`5s` or `5ms`"), "{}", texts[1]);
    let zero = set(&["ttl=0s"]).expect("the kind is right").pipeline().expect_err("a TTL of nothing");
    assert!(zero[0].message.contains("zero"), "{}", zero[0]);
}

#[test]
fn mistakes_are_found_all_at_once_and_in_their_places() {
    let good = builtin("bullmq").expect("it is there").text().to_owned();
    for (from, to, expected) in [
        ("$lock / 4", "$lok / 4", "did you mean `lock`?"),
        ("$lock / 4", "$lock / 0", "divides by zero"),
        ("renew: {look: $lock / 4, below: $lock * 3 / 4}", "wakes: [$lock/2, $lock/4]", "is more than"),
        ("ttl: $lock", "ttl: $lock + 2", "cannot be added"),
        ("ttl: $lock", "ttl: 2 * 3", "must be a duration"),
        ("max_stalls: $max_stalled", "max_stalls: $lock", "whole number"),
        ("two_phase", "tow_phase", "unknown field"),
        ("claim_poll: $drain_delay", "claim_poll: 5s", "does not use `drain_delay`"),
        ("requeue: at_once", "requeue: soon", "map"),
    ] {
        let source = Source::new("bad.yaml", good.replacen(from, to, 1));
        let errors = read(&source).expect_err(to);
        let found = errors.iter().any(|error| {
            error.message.contains(expected) || error.hint.as_deref().is_some_and(|h| h.contains(expected))
        });
        assert!(found, "{to}: {errors:#?}");
    }
}
