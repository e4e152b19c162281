//! One mistake at a time: its code, and the place that is underlined.

use std::path::Path;
use std::time::{Duration, Instant};

use syncope::scenario::{Overrides, Program, Source, load, render};

use super::{BASE, EXTERNAL, bad, faults, places, variant};

/// Reads the text without its `«`, and expects the codes, each at its `«`.
fn check(marked: &str, codes: &[&str]) -> Result<(), String> {
    let mut yaml = String::new();
    let mut marks = Vec::new();
    for (number, line) in marked.split('\n').enumerate() {
        let mut column = 1;
        for character in line.chars() {
            if character == '«' {
                marks.push((number + 1, column));
            } else {
                yaml.push(character);
                column += 1;
            }
        }
        yaml.push('\n');
    }
    yaml.pop();
    let errors = bad(&yaml);
    let expected: Vec<String> = codes
        .iter()
        .zip(&marks)
        .map(|(code, (line, column))| format!("scenario::{code} {line}:{column}"))
        .collect();
    if codes.len() == marks.len() && places(&errors) == expected {
        return Ok(());
    }
    Err(format!("{marked}\nexpected {codes:?}, found {:?}\n{}", places(&errors), render(&errors, false)))
}

fn check_all(cases: &[(String, &[&str])]) {
    let failures: Vec<String> = cases.iter().filter_map(|(yaml, codes)| check(yaml, codes).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Two faults on the base's fleet.
fn two(first: &str, second: &str) -> String {
    faults(&format!("- {first}\n  - {second}"))
}

#[test]
fn what_is_no_document() {
    check_all(&[
        ("«".into(), &["empty"]),
        ("«# nothing".into(), &["empty"]),
        ("«[1, 2".into(), &["syntax"]),
        ("name: «\"".into(), &["syntax"]),
        ("«just a text".into(), &["wrong-type"]),
        ("«[a, b]".into(), &["wrong-type"]),
        (format!("{BASE}«---\nname: two\n"), &["several-documents"]),
        (variant("name: base", "name: !x «base"), &["tag"]),
        (variant("name: base", "name: «*base"), &["syntax"]),
    ]);
}

#[test]
fn fields_and_values() {
    check_all(&[
        (variant("name: base\n", "«"), &["missing-field"]),
        (variant("name: base", "name: «Base"), &["name"]),
        (variant("name: base", "name: «-base"), &["name"]),
        (variant("name: base", "name: base\n«nmae: x"), &["unknown-field"]),
        (variant("name: base", "name: base\n«name: x"), &["duplicate-key"]),
        (variant("name: base", "name: base\nabout: «7"), &["wrong-type"]),
        (variant("name: base", "name: base\ntags: «ci"), &["wrong-type"]),
        (variant("name: base", "name: base\ntags: [ci, «CI]"), &["name"]),
        (variant("name: base", "name: base\nclaims: [S3-1, «S 3]"), &["name"]),
        (variant("name: base", "name: base\nseed: «-1"), &["out-of-range"]),
        (variant("time_scale: 1", "time_scale: «0"), &["time-scale"]),
        (variant("time_scale: 1", "time_scale: «101"), &["time-scale"]),
        (variant("redis-queue", "«redis-quue"), &["unknown-value"]),
        (variant("redis-queue", "«external"), &["unknown-value"]),
        (variant("  system: redis-queue\n  w", "  «w"), &["one-of"]),
        (variant("workers: 2", "workers: «0"), &["out-of-range"]),
        (variant("workers: 2", "workers: «257"), &["out-of-range"]),
        (variant("workers: 2", "workers: «two"), &["wrong-type"]),
        (variant("workers: 2", "workers: «\"2\""), &["wrong-type"]),
        (variant("workers: 2", &format!("workers: «{}", "9".repeat(50))), &["out-of-range"]),
        (variant("{redis: {}, postgres: {}}", "«{redis: {}}"), &["missing-store"]),
        (variant("{redis: {}, p", "{redis: {durability: «aoff}, p"), &["unknown-value"]),
        (variant("jobs: 10", "jobs: «100001"), &["out-of-range"]),
        (variant("steps: 4", "steps: «10001"), &["out-of-range"]),
        (variant("jobs: 10", "jobs: 10\n  failing: {«job-11: 1}"), &["unknown-job"]),
        (variant("jobs: 10", "jobs: 10\n  failing: {«x: 1}"), &["unknown-job"]),
        (variant("{every: 500ms}", "{every: 500ms, «uniform: [1s, 2s]}"), &["one-of"]),
        (variant("{every: 500ms}", "«{}"), &["one-of"]),
        (variant("{every: 500ms}", "«every"), &["wrong-type"]),
    ]);
}

#[test]
fn durations() {
    check_all(&[
        (variant("30s", "«30"), &["duration"]),
        (variant("30s", "«30 parsec"), &["duration"]),
        (variant("30s", "«-30s"), &["negative-duration"]),
        (variant("30s", "«99999999999999h"), &["duration-too-long"]),
        (variant("30s", "«[30s]"), &["wrong-type"]),
        (variant("lock_duration: 30s", "claim_poll: «0s"), &["duration-too-short"]),
        (
            variant("time_scale: 1", "time_scale: 0.0001").replace("lock_duration: 30s", "claim_poll: «1s"),
            &["duration-too-short"],
        ),
        (variant("lock_duration: 30s", "ttl: «30s"), &["foreign-setting"]),
        (heartbeat_setting("large_over: «30s"), &["foreign-setting"]),
        // Both the jobs and the queues want it; it is wrong once.
        (variant("lock_duration: 30s", "large_over: «0s, large_timeout: 10s"), &["duration-too-short"]),
        (variant("  jobs: 10", "  «jobs: 10").replace("500ms", "20d"), &["run-too-long"]),
        (variant("{constant: 200ms}", "{uniform: «[2s, 1s]}"), &["empty-range"]),
        (variant("{constant: 200ms}", "{uniform: «[2s]}"), &["wrong-type"]),
        (variant("{constant: 200ms}", "{normal: «{mean: 2s}}"), &["missing-field"]),
        (variant("{constant: 200ms}", "{lognormal: {median: 2s, p99: «1s}}"), &["empty-range"]),
        (variant("{constant: 200ms}", "{lognormal: {median: «0s, p99: 1s}}"), &["duration-too-short"]),
        (variant("{constant: 200ms}", "{pareto: {min: «0s, shape: 1.5}}"), &["duration-too-short"]),
        (variant("{constant: 200ms}", "{pareto: {min: 1s, shape: «0}}"), &["out-of-range"]),
        (variant("{constant: 200ms}", "{pareto: {min: 1s, shape: «-1}}"), &["out-of-range"]),
        (variant("{constant: 200ms}", "{pareto: {min: 1s, shape: «steep}}"), &["wrong-type"]),
        (variant("{constant: 200ms}", "{empirical: «[]}"), &["out-of-range"]),
        (variant("{constant: 200ms}", "{empirical: [1s, «2]}"), &["duration"]),
    ]);
}

fn heartbeat_setting(setting: &str) -> String {
    variant("lock_duration: 30s", setting).replace("redis-queue", "redis-heartbeat")
}

#[test]
fn expectations() {
    check_all(&[
        (variant("{lost: 0}", "{lost: «{min: 2, max: 1}}"), &["empty-range"]),
        (variant("{lost: 0}", "{lost: «-1}"), &["out-of-range"]),
        (variant("{lost: 0}", "{lost: «nothing}"), &["unknown-value"]),
        (variant("{lost: 0}", "{detection_time: «45s}"), &["wrong-type"]),
        (variant("{lost: 0}", "{detection_time: «{min: 9s, max: 1s}}"), &["empty-range"]),
        (variant("{lost: 0}", "{query_accuracy: {min: «1.5}}"), &["out-of-range"]),
        (variant("{lost: 0}", "{query_accuracy: «{min: 0.9, max: 0.8}}"), &["empty-range"]),
    ]);
}

#[test]
fn faults_on_what_is_not_there() {
    check_all(&[
        (faults("- kill: {target: {process: «worker-3}}\n    when: {at: 1s}"), &["unknown-process"]),
        (faults("- kill: {target: {process: «worker}}\n    when: {at: 1s}"), &["unknown-process"]),
        (faults("- kill: {target: {role: «api}}\n    when: {at: 1s}"), &["unknown-role"]),
        (faults("- scale_to_zero: {role: «api}\n    when: {at: 1s}"), &["unknown-role"]),
        (faults("- kill: {target: {holder_of: «job-11}}\n    when: {at: 1s}"), &["unknown-job"]),
        (faults("- kill: {target: {holder_of: «job-0}}\n    when: {at: 1s}"), &["unknown-job"]),
        (faults("- kill: {target: {any: worker}, signal: «STOP}\n    when: {at: 1s}"), &["unknown-value"]),
        (faults("- kill: {target: «worker-1}\n    when: {at: 1s}"), &["wrong-type"]),
        (faults("- «kill: {target: {any: worker}}"), &["missing-field"]),
        (faults("- «when: {at: 1s}"), &["one-of"]),
        (faults("- «kil: {target: {any: worker}}\n    when: {at: 1s}"), &["unknown-field"]),
        (faults("- «kill"), &["wrong-type"]),
        (faults("- kill: {target: {any: worker}}\n    when: {step_done: {step: «5}}"), &["unknown-step"]),
        (faults("- kill: {target: {any: worker}}\n    when: {claimed: {job: «job-99}}"), &["unknown-job"]),
        (faults("- kill: {target: {any: worker}}\n    when: {beat: {process: «x}}"), &["unknown-process"]),
        (faults("- kill: {target: {any: worker}}\n    when: {within: «[3s, 1s]}"), &["empty-range"]),
        (
            faults(
                "- network: {from: {process: worker-1}, to: «worker-2, toxic: {timeout: {}}, for: 1s}\n    \
                 when: {at: 1s}",
            ),
            &["unknown-link"],
        ),
        (
            faults("- network: {to: «mongo, toxic: {timeout: {}}, for: 1s}\n    when: {at: 1s}"),
            &["unknown-link"],
        ),
        (
            faults("- network: {to: redis, toxic: {bandwidth: {rate: «5}}, for: 1s}\n    when: {at: 1s}"),
            &["unknown-value"],
        ),
        (
            faults("- clock_drift: {target: {any: worker}, ppm: «1000000}\n    when: {at: 1s}"),
            &["out-of-range"],
        ),
        (
            EXTERNAL
                .replace("{redis: {}, postgres: {}}", "{redis: {}}")
                .replace("links: [redis, postgres]", "links: [redis, «postgres]")
                .replace("${postgres.url}", "x")
                .replace("- sql: ", "- sql: «")
                .replace("      sql: ", "      sql: «"),
            &["missing-store", "missing-store", "missing-store"],
        ),
        (
            faults("- disk_full: {store: «redis, for: 1s}\n    when: {at: 1s}")
                .replace("redis: {}", "redis: {durability: none}"),
            &["missing-store"],
        ),
    ]);
}

#[test]
fn commands_on_the_wire() {
    let wire =
        |fields: &str| faults(&format!("- kill: {{target: {{any: worker}}}}\n    when: {{wire: {fields}}}"));
    let redis = |fields: &str| wire(&format!("{{link: worker-1 -> redis, side: before, {fields}}}"));
    let postgres = |fields: &str| wire(&format!("{{link: worker -> postgres, side: after, {fields}}}"));
    check_all(&[
        (redis("command: SCRIPT LOAD, nth: 2, script: x, key: y, argument: 7"), &[]),
        (postgres("command: update, sql: jobs"), &[]),
        (wire("{link: producer -> redis, command: EVALSHA, side: after}"), &[]),
        (wire("{link: «worker-1, command: X, side: before}"), &["unknown-link"]),
        (wire("{link: «worker-1 -> mongo, command: X, side: before}"), &["unknown-link"]),
        (wire("{link: «worker-1 -> worker-2, command: X, side: before}"), &["unknown-link"]),
        (wire("{link: «producer -> postgres, command: X, side: before}"), &["unknown-link"]),
        (wire("{link: «worker-9 -> redis, command: X, side: before}"), &["unknown-process"]),
        (wire("{link: worker-1 -> redis, command: X, side: «during}"), &["unknown-value"]),
        (wire("«{link: worker-1 -> redis, command: X}"), &["missing-field"]),
        (wire("«{link: worker-1 -> redis, side: before}"), &["missing-field"]),
        (redis("command: X, nth: «0"), &["out-of-range"]),
        (redis("command: «A B C"), &["unknown-value"]),
        (redis("command: «\"\""), &["out-of-range"]),
        (redis("sql: «UPDATE"), &["foreign-setting"]),
        (redis(&format!("argument: «{}", "x".repeat(129))), &["out-of-range"]),
        (postgres("command: «UPDATE jobs"), &["unknown-value"]),
        (postgres("sql: x, script: «y"), &["foreign-setting"]),
        (postgres("sql: x, key: «y"), &["foreign-setting"]),
        (postgres("sql: x, argument: «y"), &["foreign-setting"]),
    ]);
}

#[test]
fn faults_that_cannot_be_healed_one_by_one() {
    let overlaps = |first: &str, second: &str| two(first, &format!("«{second}"));
    check_all(&[
        (
            overlaps(
                "kill: {target: {process: worker-1}}\n    when: {at: 1s}",
                "pause: {target: {process: worker-1}, for: 1s}\n    when: {at: 100s}",
            ),
            &["overlap"],
        ),
        (
            overlaps(
                "scale_to_zero: {role: worker, for: 9s}\n    when: {at: 1s}",
                "kill: {target: {process: worker-1}, restart_after: 1s}\n    when: {at: 5s}",
            ),
            &["overlap"],
        ),
        (
            overlaps(
                "outage: {store: redis, how: kill, for: 20s}\n    when: {at: 10s}",
                "outage: {store: redis, how: pause, for: 1s}\n    when: {within: [1s, 10s]}",
            ),
            &["overlap"],
        ),
        (
            overlaps(
                "outage: {store: postgres, how: refuse, for: 9s}\n    when: {at: 1s}",
                "network: {to: postgres, toxic: {timeout: {}}, for: 1s}\n    when: {at: 5s}",
            ),
            &["overlap"],
        ),
        (
            overlaps(
                "kill: {target: {holder_of: any}}\n    when: {step_done: {step: 2}}",
                "pause: {target: {holder_of: any}, for: 1s}\n    when: {step_done: {step: 2}}",
            ),
            &["overlap"],
        ),
        (
            overlaps(
                "clock_step: {target: {process: worker-1}, by: -5s}\n    when: {at: 1s}",
                "clock_drift: {target: {role: worker}, ppm: 10}\n    when: {at: 5s}",
            ),
            &["overlap"],
        ),
    ]);
}

#[test]
fn recipes() {
    let role = |text: &str| {
        let role = EXTERNAL.replace("        working_directory: fleet\n", "");
        role.replace("        grace: 3s\n", &format!("        grace: 3s\n        {text}\n"))
    };
    let source =
        Source::new("scenarios/fleet.yaml", role("recipe: {npm: ./app, packages: [libpq5, ffmpeg]}"));
    let fleet = load(&source, &Overrides::default()).expect("it is good").scenario.fleet;
    let Program::External { recipe: Some(recipe), .. } = &fleet.processes[0].program else {
        panic!("{:?}", fleet.processes[0].program)
    };
    assert_eq!(recipe.source, Path::new("scenarios/app"));
    assert_eq!(recipe.debian_packages(), ["nodejs", "ffmpeg", "libpq5"]);
    check_all(&[
        (role("recipe: «{}"), &["missing-field"]),
        (role("recipe: {npm: ., pip: «requirements.txt}"), &["one-of"]),
        (role("recipe: {npm: .}\n        image: «\"node:18\""), &["one-of"]),
        (role("recipe: {npm: .}\n        working_directory: «app"), &["one-of"]),
        (role("recipe: {packages: [ruby, «-y, «a b]}"), &["name", "name"]),
        (role("recipe: «{«yarn: .}"), &["missing-field", "unknown-field"]),
    ]);
}

fn with_call(call: &str) -> String {
    // Where the fault is told is where the way to enqueue begins.
    with_producer("{}").replace("{program: {}}", &format!("{{call: {call}}}"))
}

fn with_producer(program: &str) -> String {
    let enqueue = "enqueue: {redis: [LPUSH, queue, \"${spec}\"]}";
    assert!(EXTERNAL.contains(enqueue));
    EXTERNAL.replace(enqueue, &format!("enqueue: {{program: {program}}}"))
}

#[test]
fn what_a_role_is_given_and_asked() {
    let role = |extra: &str| {
        let at = "        working_directory: fleet\n";
        assert!(EXTERNAL.contains(at));
        EXTERNAL.replacen(at, &format!("{at}        {extra}\n"), 1)
    };
    check_all(&[
        (role("stop_signal: «STOP"), &["unknown-value"]),
        (role("stop_signal: «KILL"), &["unknown-value"]),
        (role("files: {«../up: x, «/etc/passwd: x, «a/: x, «'': x, «b//c: x, «./d: x}"), &["name"; 6]),
        (role("files: «{a: x, a/b: y}"), &["name"]),
        (role("files: {a: «'${files}'}"), &["template"]),
        (role("ready: «{}"), &["one-of"]),
        (role("ready: {tcp: «true}"), &["missing-field"]),
        (role("ready: {redis: [GET, x], sql: «SELECT}"), &["one-of"]),
        (role("ready: {redis: [EXISTS, «'${redis.url}']}"), &["template"]),
        (role("ready: {redis: [GET, x]}\n        lines: {ready: «x}"), &["one-of"]),
        (EXTERNAL.replacen("env: {", "env: {WHERE: «'${files}', ", 1), &["template"]),
    ]);
}

#[test]
fn external_fleets() {
    check_all(&[
        (EXTERNAL.replace("\"${redis.url}\"", "«\"${redis.uri}\""), &["template"]),
        (EXTERNAL.replace("\"${redis.url}\"", "«\"${redis.url\""), &["template"]),
        (
            EXTERNAL
                .replace("enqueue: {redis: [LPUSH, queue, \"${spec}\"", "enqueue: «{redis: [LPUSH, queue, x"),
            &["template"],
        ),
        (with_call("«[]"), &["missing-field"]),
        (with_call("[hand, x]").replace("{call", "«{call"), &["template"]),
        (with_call("[hand, '${job}', «'${worker-1.host}']"), &["template"]),
        (with_producer("«{}"), &["missing-field"]),
        (with_producer("{command: [hand], env: {TO: «'${worker-1.host}'}}"), &["template"]),
        (with_producer("{command: [hand], links: [«worker-1]}"), &["unknown-link"]),
        (
            with_producer("{command: [hand], count: «2, http: «true, grace: «1s}"),
            &["foreign-setting", "foreign-setting", "foreign-setting"],
        ),
        (with_producer("{command: [hand], lines: «{claimed: 'took (?<job>.*)'}}"), &["foreign-setting"]),
        (EXTERNAL.replace("process: api", "process: «worker-1"), &["unknown-link"]),
        (EXTERNAL.replace("process: api", "process: «apo"), &["unknown-process"]),
        (EXTERNAL.replace("links: [redis, worker-1]", "links: [redis, worker-1, «x]"), &["unknown-link"]),
        (EXTERNAL.replace("timing: {beat: 1s, ttl: 3s,", "timing: «{beat: 1s,"), &["missing-field"]),
        (
            EXTERNAL
                .replace("      api:\n", "      «redis:\n")
                .replace("process: api", "process: redis")
                .replace("role: api", "role: «api"),
            &["name", "unknown-role"],
        ),
        (
            EXTERNAL
                .replace("    timing: {beat: 1s, ttl: 3s, sweep: 2s, requeue: 0s}\n", "")
                .replace("recovery_time: any", "recovery_time: «model"),
            &["unjudgeable"],
        ),
        (
            EXTERNAL
                .replace("  external:\n", "  system: redis-queue\n  external:\n")
                .replace("    roles:", "    «roles:"),
            &["one-of"],
        ),
        (
            EXTERNAL
                .replace("{every: 200ms, http", "{every: 200ms, redis: [GET, x], «http")
                .replacen("«http", "http", 1)
                .replace("http: {process", "http: «{process"),
            &["one-of"],
        ),
    ]);
}

#[test]
fn what_is_dense_is_refused_fast() {
    let laughs: String = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &('b'..='j')
            .map(|name| {
                let before = char::from(name as u8 - 1);
                format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(", "))
            })
            .collect::<String>();
    let cases = [
        (laughs, "scenario::alias-expansion"),
        ("a: &a [*a]".into(), "scenario::alias-expansion"),
        ("[".repeat(10_000), "scenario::too-deep"),
        ("a: ".to_owned() + &"{a: ".repeat(10_000), "scenario::too-deep"),
        ((0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(20)))).collect(), "scenario"),
        ("x".repeat(10 << 20), "scenario::too-large"),
        ("- a\n".repeat(60_000), "scenario::too-large"),
        ("a: b\n".repeat(50_000), "scenario"),
        ("? ".repeat(100_000), "scenario"),
        ("\"".repeat(200_000), "scenario"),
        ("&a ".repeat(80_000), "scenario"),
        ("! ".repeat(80_000), "scenario"),
        (format!("name: {}", "\\\n".repeat(100_000)), "scenario"),
        ("%TAG ! x\n".repeat(20_000), "scenario"),
    ];
    for (yaml, code) in cases {
        let start = Instant::now();
        let errors = bad(&yaml);
        let text = render(&errors, true);
        let head: String = yaml.chars().take(20).collect();
        assert!(start.elapsed() < Duration::from_secs(5), "{head}: {:?}", start.elapsed());
        assert!(
            errors.first().is_some_and(|e| e.code.as_str().starts_with(code)),
            "{head}: {:?}",
            places(&errors)
        );
        assert!(errors.len() <= 101, "{head}");
        assert!(text.len() < 1 << 20, "{head}");
    }
}

/// The base with a watch, and what is expected of it.
fn watching(watch: &str, expected: &str) -> String {
    BASE.replace(
        "faults: []",
        &format!(
            "faults:\n  - outage: {{store: redis, how: kill, for: 1s}}\n    when: {{at: 1s}}\n  - kill: {{target: {{any: worker}}}}\n    when: {{at: 2s}}\nwatch:\n  - {watch}"
        ),
    )
    .replace("expect: {lost: 0}", &format!("expect: {{watched: [{expected}]}}"))
}

#[test]
fn watches_and_what_is_expected_of_them() {
    let good = "{name: up, ask: {redis: [GET, key]}}";
    check_all(&[
        (watching(good, "{name: «upp, never: 1}"), &["unknown-watch"]),
        (watching(good, "«{name: up}"), &["one-of"]),
        (watching(good, "{name: up, becomes: 1, never: «2}"), &["one-of"]),
        (watching(good, "{name: up, never: 2, within: «{max: 1s}}"), &["one-of"]),
        (watching(good, "{name: up, becomes: 1, after: {fault: «3}}"), &["out-of-range"]),
        (watching(good, "{name: up, becomes: 1, after: {fault: «0}}"), &["out-of-range"]),
        (watching(good, "{name: up, becomes: 1, after: {heal: «2}}"), &["unjudgeable"]),
        (watching(good, "{name: up, becomes: 1, within: «{min: 2s, max: 1s}}"), &["empty-range"]),
        (watching(good, "{name: up, becomes: «[1]}"), &["wrong-type"]),
        (watching("{name: up, ask: «{}}", "{name: up, never: 1}"), &["one-of"]),
        (
            watching("{name: up, every: «0s, ask: {sql: select 1}}", "{name: up, never: 1}"),
            &["duration-too-short"],
        ),
        (watching("{name: up, ask: {redis: «[]}}", "{name: up, never: 1}"), &["missing-field"]),
        (
            watching(
                "{name: up, ask: {http: {process: «worker-1, path: /a, pointer: /b}}}",
                "{name: up, never: 1}",
            ),
            &["unknown-link"],
        ),
    ]);
}
