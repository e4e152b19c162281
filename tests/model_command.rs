//! `syncope model` and `syncope catalog` through the program: figures, findings, exit codes.

use std::process::Command;

use serde_json::{Value, json};

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn syncope(words: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_syncope"))
        .args(words)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn model(words: &[&str]) -> Value {
    let ran = syncope(&[&["model", "--json"], words].concat());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
    serde_json::from_str(&ran.out).expect("JSON")
}

fn heartbeat(interval: &str, ttl: &str, threshold: &str, more: &[&str]) -> Value {
    let settings = [
        "--set",
        &format!("interval={interval}"),
        "--set",
        &format!("ttl={ttl}"),
        "--set",
        &format!("threshold={threshold}"),
    ];
    model(&[&["redis-heartbeat"], &settings[..], more].concat())
}

fn codes(model: &Value) -> Vec<&str> {
    model["lint"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|lint| lint["code"].as_str().expect("text"))
        .collect()
}

#[test]
fn the_new_settings_of_the_search_api() {
    let model = heartbeat("15s", "30s", "45s", &[]);
    assert_eq!(
        model["detection_ms"],
        json!({ "min": 16_000.0, "max": 31_000.0 }),
        "15 to 30 s, and the retries"
    );
    assert_eq!(model["retries_add_ms"], 1_000.0);
    assert_eq!(model["pause_tolerated_ms"], 15_000.0);
    assert_eq!(model["pause_tolerated_with_retries_ms"], 16_000.0);
    assert_eq!(model["pause_seen_ms"], 31_000.0);
    assert_eq!(model["buffer_ratio"], 2.0);
    assert_eq!(model["skew_tolerated_ms"], 30_000.0);
    assert_eq!(model["mistakes_certain"], false);
    assert_eq!(codes(&model), ["lint::threshold-never-decides"]);
    assert_eq!(model["lint"][0]["page"], "docs/errors/lint-threshold-never-decides.md");
    assert!(model["lint"][0]["message"].as_str().expect("text").contains("45s never decides"));
    let patient = heartbeat("15s", "30s", "45s", &["--set", "retries=0"]);
    assert_eq!(patient["detection_ms"], json!({ "min": 15_000.0, "max": 30_000.0 }));
}

#[test]
fn the_old_settings_make_mistakes_certain() {
    let old = heartbeat("10s", "10s", "15s", &["--set", "retries=0"]);
    assert_eq!(old["mistakes"], "certain");
    assert_eq!(old["mistakes_certain"], true);
    assert!(codes(&old).contains(&"lint::mistakes-certain"));
    let retried = heartbeat("10s", "10s", "15s", &[]);
    assert_eq!(retried["mistakes"], "bridged_by_retries");
    assert_eq!(retried["mistakes_certain"], true, "the gap opens all the same");
    assert!(codes(&retried).contains(&"lint::mistakes-certain"));
}

#[test]
fn a_scenario_s_model_warns_of_its_faults_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("skew.yaml");
    let yaml = "name: skew\ntime_scale: 0.1\nfleet: {system: redis-heartbeat}\n\
        workload: {jobs: 1, arrival: {every: 1s}, step_time: {constant: 1s}}\n\
        faults:\n  - clock_step: {target: {process: api}, by: +40s}\n    when: {at: 1s}\n";
    std::fs::write(&file, yaml).expect("a file");
    let file = file.to_str().expect("text");
    let model = model(&[file]);
    assert_eq!(codes(&model), ["lint::threshold-never-decides", "lint::skew-over-tolerance"]);
    assert_eq!(model["lint"][1]["place"], "6:5");
    assert_eq!(model["detection_ms"]["max"], 31_000.0, "in model time");
    let text = syncope(&["model", file]).out;
    assert!(text.contains("lint::skew-over-tolerance (at 6:5): a skew of 40s"), "{text}");
    assert!(text.contains("more: docs/errors/lint-skew-over-tolerance.md"), "{text}");
}

#[test]
fn bad_input_ends_with_two_and_says_what_is_wrong() {
    for (words, said) in [
        (&["redis-hartbeat"][..], "did you mean `redis-heartbeat`?"),
        (&["redis-heartbeat", "--set", "intervall=1s"], "--set: unknown parameter `intervall`"),
        (&["redis-heartbeat", "--set", "ttl=5"], "`5s` or `5ms`"),
        (&["redis-heartbeat", "--set", "ttl"], "is not KEY=VALUE"),
        // Only the pipeline refuses these: it is the command line that is wrong, not the file.
        (
            &["redis-heartbeat", "--set", "retries=1", "--set", "ttl=0s"],
            "error: --set ttl=0s: the TTL is zero",
        ),
        (&["bullmq", "--set", "lock=0s"], "error: --set lock=0s: "),
        (
            &["scenarios/redis-queue/queue-kill-9.yaml", "--set", "ttl=1s"],
            "--set is for systems of the catalogue",
        ),
        (&["scenarios"], "holds several files: name one"),
    ] {
        let ran = syncope(&[&["model"], words].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{words:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{words:?}: {}", ran.err);
        assert!(!ran.err.contains("catalog/"), "{words:?}: {}", ran.err);
    }
    assert_eq!(syncope(&["catalog", "--jsno"]).code, Some(2));
}

#[test]
fn the_catalogue_is_a_table_and_json_of_the_same_systems() {
    let table = syncope(&["catalog"]);
    assert_eq!((table.code, table.err.as_str()), (Some(0), ""));
    let json = syncope(&["catalog", "--json"]);
    let rows: Value = serde_json::from_str(&json.out).expect("JSON");
    let rows = rows.as_array().expect("a list");
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows {
        let name = row["name"].as_str().expect("text");
        assert!(table.out.lines().any(|line| line.split(' ').next() == Some(name)), "{name}");
        // A difference from the specification's figure is explained in the row.
        assert!(row["differs"] != true || row["note"].is_string(), "{name}");
    }
    let bullmq = rows.iter().find(|row| row["name"] == "bullmq").expect("a row");
    assert_eq!(
        bullmq["worst_case"],
        json!({ "kind": "bounded", "ms": 60_000.0, "sweeper_dead_ms": 90_000.0 })
    );
}

#[test]
fn a_run_tells_its_warnings_once_before_it_starts() {
    let out = tempfile::tempdir().expect("a folder");
    let ran = syncope(&[
        "run",
        "scenarios/redis-heartbeat/heartbeat-baseline.yaml",
        "--backend",
        "sim",
        "--repeat",
        "3",
        "--seed",
        "1",
        "--out",
        out.path().to_str().expect("text"),
    ]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let warned: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("warning:")).collect();
    assert_eq!(warned.len(), 1, "{}", ran.err);
    assert!(warned[0].contains("docs/errors/lint-threshold-never-decides.md"), "{}", warned[0]);
    assert!(warned[0].contains("heartbeat-baseline.yaml:11:50"), "{}", warned[0]);
    assert!(ran.err.starts_with("warning:"), "{}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn a_warning_of_a_failure_comes_true_and_silence_too() {
    let outage = |how: &str, ms: u32| {
        format!("faults:\n  - outage: {{store: postgres, how: {how}, for: {ms}ms}}\n    when: {{at: 2s}}\n")
    };
    // Three attempts, 1 and 2 s apart; a client waits for an answer for up to 5 s.
    let cases = [
        ("refused", "", outage("refuse", 2_900), true),
        ("refused-too-long", "", outage("refuse", 3_000), false),
        ("paused", "", outage("pause", 8_000), true),
        ("paused-too-long", "", outage("pause", 8_200), false),
        ("failing", "failing: {job-3: 2}", String::new(), true),
        ("failing-too-often", "failing: {job-3: 3}", String::new(), false),
        ("timed-out", "timeout: 250ms", String::new(), true),
        ("timed-out-too-early", "timeout: 199ms", String::new(), false),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for (name, workload, faults, _) in &cases {
        let comma = if workload.is_empty() { "" } else { ", " };
        let yaml = format!(
            "name: {name}\nfleet: {{system: redis-queue, workers: 2}}\n\
             workload: {{jobs: 30, arrival: {{every: 200ms}}, steps: 4, step_time: {{constant: 100ms}}\
             {comma}{workload}}}\n{faults}"
        );
        std::fs::write(folder.path().join(format!("{name}.yaml")), yaml).expect("a file");
    }
    let (files, out) = (folder.path().to_str().expect("text"), folder.path().join("reports"));
    let out = out.to_str().expect("text");
    let ran = syncope(&["run", files, "--backend", "sim", "--seed", "3", "--out", out]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let summary = std::fs::read_to_string(format!("{out}/latest/summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let scenarios = summary["scenarios"].as_array().expect("a list");
    for (name, _, _, passes) in &cases {
        let verdict =
            &scenarios.iter().find(|scenario| scenario["name"] == *name).expect("it ran")["verdict"];
        let is_warned = ran
            .err
            .lines()
            .any(|line| line.starts_with("warning:") && line.contains(&format!("/{name}.yaml:")));
        assert_eq!((verdict == "pass", is_warned), (*passes, !passes), "{name}: {verdict}\n{}", ran.err);
    }
}
