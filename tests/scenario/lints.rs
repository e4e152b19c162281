//! Warnings: each speaks where it should and is silent where it should be, and the reference systems'
//! defaults are those of the catalogue.

use syncope::protocol::Backoff;
use syncope::scenario::{Overrides, Source, catalogue, load, render};
use syncope::time::Span;
use syncope::timing::Pipeline;

use super::{BASE, EXTERNAL, faults, good, heartbeat, places, variant};

/// `CODE LINE:COLUMN` of each warning, without `lint::`.
fn warnings(yaml: &str) -> Vec<String> {
    let loaded = load(&Source::new("x.yaml", yaml), &Overrides::default());
    let loaded = loaded.unwrap_or_else(|errors| panic!("{}", render(&errors, false)));
    places(&loaded.warnings).iter().map(|place| place.replacen("lint::", "", 1)).collect()
}

fn queue(settings: &str) -> String {
    variant("lock_duration: 30s", settings)
}

/// A `redis-heartbeat` without faults.
fn beats(settings: &str) -> String {
    queue(settings).replace("redis-queue", "redis-heartbeat")
}

/// Expectations in place of the base's.
fn expecting(yaml: &str, expect: &str) -> String {
    yaml.replace("{lost: 0}", expect)
}

fn check_all(cases: &[(String, &[&str])]) {
    for (yaml, expected) in cases {
        assert_eq!(warnings(yaml), *expected, "{yaml}");
    }
}

#[test]
fn the_fleet_s_timing() {
    check_all(&[
        (BASE.to_owned(), &[]),
        (
            beats("interval: 10s, ttl: 10s, threshold: 15s, retries: 0"),
            &["mistakes-certain 6:24", "threshold-never-decides 6:50", "skew-across-clocks 6:50"],
        ),
        (beats("ttl: 60s"), &[]),
        (beats("ttl: 60s, threshold: 20s"), &["no-beat-may-be-lost 6:19", "skew-across-clocks 6:35"]),
        (queue("lock_duration: 30s, lock_renew: 30s"), &["renewal-too-late 6:46"]),
        (queue("lock_duration: 30s, lock_renew: 16s"), &["no-beat-may-be-lost 6:46"]),
        (beats("ttl: 60s, lock_renew: 30s"), &["renewal-too-late 6:36"]),
        (beats("ttl: 60s, lock_ttl: 20s"), &["renewal-too-late 6:34"]),
        (beats("ttl: 60s, lock_interval: 60s"), &["renewal-too-late 6:39"]),
        (beats("ttl: 60s, lock_interval: 59s"), &[]),
        (EXTERNAL.to_owned(), &[]),
        (EXTERNAL.replace("beat: 1s", "retries: 2, beat: 1s"), &["retry-cannot-help 26:23"]),
        (EXTERNAL.replace("beat: 1s", "retries: 2, retry_backoff: 100ms, beat: 1s"), &[]),
        (EXTERNAL.replace("beat: 1s", "beat: 3s"), &["mistakes-certain 26:20"]),
    ]);
}

#[test]
fn what_is_scaled_is_warned_of_as_if_it_were_not() {
    let yaml = beats("ttl: 60s").replace("time_scale: 1", "time_scale: 0.01");
    assert_eq!(warnings(&yaml), [""; 0]);
}

#[test]
fn outages_and_the_attempts_of_jobs() {
    let outage = |how, seconds| {
        faults(&format!("- outage: {{store: postgres, how: {how}, for: {seconds}s}}\n    when: {{at: 1s}}"))
    };
    let cut = |from, toxic| {
        faults(&format!(
            "- network: {{{from} to: postgres, toxic: {{{toxic}: {{}}}}, for: 7s}}\n    when: {{at: 1s}}"
        ))
    };
    check_all(&[
        (outage("kill", 2), &[]),
        (outage("kill", 3), &["outage-outlasts-backoff 14:5"]),
        (expecting(&outage("kill", 3), "{failed: {min: 1}}"), &[]),
        // The first attempt hangs for 5 s, a sixth of the lock.
        (outage("pause", 8), &[]),
        (outage("pause", 9), &["outage-outlasts-backoff 14:5"]),
        (cut("from: {role: worker},", "refuse"), &["outage-outlasts-backoff 14:5"]),
        (cut("", "reset_peer"), &["outage-outlasts-backoff 14:5"]),
        (cut("from: {role: worker},", "timeout"), &[]),
        // The other worker takes over.
        (cut("from: {process: worker-1},", "refuse"), &[]),
        // What a foreign fleet does with attempts is not known.
        (
            EXTERNAL.replace(
                "faults:\n",
                "faults:\n  - outage: {store: postgres, how: kill, for: 9s}\n    when: {at: 100s}\n",
            ),
            &[],
        ),
    ]);
}

#[test]
fn jobs_that_cannot_be_done() {
    let failing = |times| variant("jobs: 10", &format!("jobs: 10\n  failing: {{job-3: {times}}}"));
    let limited = |timeout| variant("jobs: 10", &format!("jobs: 10\n  timeout: {timeout}"));
    check_all(&[
        (failing(2), &[]),
        (failing(3), &["attempts-run-out 10:12"]),
        (expecting(&failing(3), "{failed: 1}"), &[]),
        // Four steps of 200 ms in three attempts.
        (limited("400ms"), &[]),
        (limited("399ms"), &["attempts-run-out 10:12"]),
        (expecting(&limited("399ms"), "{failed: any}"), &[]),
        (queue("timeout: 199ms"), &["attempts-run-out 6:23"]),
        (limited("199ms").replace("{constant: 200ms}", "{exponential: 200ms}"), &[]),
    ]);
}

#[test]
fn clocks_that_are_moved() {
    let step = |by| {
        heartbeat(&format!("- clock_step: {{target: {{process: api}}, by: {by}}}\n    when: {{at: 1s}}"))
            .replace("lock_duration: 30s", "ttl: 60s")
    };
    check_all(&[
        (step("+29s"), &[]),
        (step("+30s"), &["skew-over-tolerance 14:5"]),
        (step("-30s"), &[]),
        (expecting(&step("+30s"), "{mistakes: {min: 1}}"), &[]),
    ]);
}

/// The pipeline of a reference fleet with its default settings, and that of the catalogue's entry.
fn both(system: &str) -> (Pipeline, Pipeline) {
    let yaml = BASE.replace("redis-queue", system).replace("  settings: {lock_duration: 30s}\n", "");
    let entry = catalogue::builtin(system).map(|source| catalogue::read(&source).expect("a good entry"));
    let entry = entry.expect("an entry of this name").pipeline().expect("a good pipeline");
    (good(&yaml).fleet.pipeline.expect("a reference fleet has one"), entry)
}

#[test]
fn the_reference_heartbeat_s_defaults_are_the_catalogue_s() {
    let (mut fleet, mut entry) = both("redis-heartbeat");
    // The reference fleet has S3's queue behind its heartbeat: its stalls and its claims. The heartbeat,
    // which the entry is about, requeues nothing.
    assert_eq!(fleet.recovery.max_stalls.take(), Some(1));
    assert_eq!(std::mem::take(&mut fleet.recovery.claim_poll), Span::from_secs(1));
    assert_eq!(std::mem::take(&mut entry.recovery.claim_poll), Span::ZERO);
    assert_eq!(fleet, entry);
}

#[test]
fn the_reference_queue_s_defaults_are_the_catalogue_s() {
    let (mut fleet, entry) = both("redis-queue");
    // Attempts and backoff are the job's, not the fleet's: a workload may say otherwise.
    let yaml = BASE.replace("  settings: {lock_duration: 30s}\n", "");
    let workload = good(&yaml).workload;
    assert_eq!((fleet.recovery.attempts, fleet.recovery.backoff), (None, None));
    fleet.recovery.attempts = Some(workload.attempts);
    fleet.recovery.backoff = Some(workload.backoff);
    assert_eq!(workload.backoff, Backoff::Exponential(Span::from_secs(1)));
    assert_eq!(fleet, entry);
}
