//! A foreign fleet: what its texts are told, what its lines say, and where its timing is from.

use std::collections::BTreeMap;

use syncope::fault::Signal;
use syncope::scenario::{
    Ask, EffectQuery, Enqueue, LineRule, Page, Prepare, Program, QueueAsk, QueueProbe, ReadyAsk, Says,
    WorkersAsk, catalogue,
};
use syncope::time::{Scale, Span};
use syncope::timing::{Expiry, Pipeline};

use super::{bad, good, places};

const FLEET: &str = "\
name: foreign
time_scale: 0.1
fleet:
  external:
    roles:
      worker:
        count: 2
        command: [work, '--lock=${ms(30s)}', '${name}']
        env: {LOCK: '${ms(30s)}', POLL: '${s(2500ms)}', BOTH: '${redis.host}:${s(10s)}', RAW: '$${ms(1s)}'}
        links: [redis]
    prepare:
      - redis: [SET, window, '${ms(1m)}']
    enqueue: {redis: [RPUSH, jobs, '${job}', '${ms(1s)}', '$${job}']}
    effects: {redis: [HGETALL, 'effects-$${x}']}
stack: {redis: {}}
workload: {jobs: 10, arrival: {every: 1s}, step_time: {constant: 200ms}}
";

fn variant(from: &str, to: &str) -> String {
    assert!(FLEET.contains(from), "{from}");
    FLEET.replace(from, to)
}

fn with_timing(timing: &str) -> String {
    variant("    prepare:\n", &format!("    timing: {timing}\n    prepare:\n"))
}

fn with_lines(lines: &str) -> String {
    variant("        links: [redis]\n", &format!("        links: [redis]\n        lines: {lines}\n"))
}

fn pipeline(timing: &str) -> Pipeline {
    good(&with_timing(timing)).fleet.pipeline.expect("a pipeline")
}

#[test]
fn a_program_that_hands_jobs_over_is_a_process_with_links_of_its_own() {
    let program = "enqueue: {program: {command: [hand, '${s(5s)}'], env: {TO: '${redis.url}'}, \
                   lines: {ready: '^ready$'}}}\n";
    let enqueue = "enqueue: {redis: [RPUSH, jobs, '${job}', '${ms(1s)}', '$${job}']}\n";
    let fleet = good(&variant(enqueue, program)).fleet;
    let Enqueue::Program { process } = &fleet.enqueue else { panic!("a program") };
    let Program::External { command: Some(command), .. } = &process.program else { panic!("a command") };
    assert_eq!((process.name.as_str(), command), ("producer", &vec!["hand".to_owned(), "0.5".to_owned()]));
    assert_eq!(process.env["TO"], "${redis.url}");
    assert_eq!(process.lines, [LineRule { says: Says::Ready, pattern: "^ready$".into() }]);
    let names: Vec<&str> = fleet.programs().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["worker-1", "worker-2", "producer"]);
    assert!(fleet.links().iter().any(|link| link.to_string() == "producer -> redis"));
}

#[test]
fn a_role_has_its_files_its_stop_signal_and_what_is_asked_until_it_is_ready() {
    let with =
        |extra: &str| good(&variant("        links: [redis]\n", &format!("        links: [redis]\n{extra}")));
    let fleet = with(
        "        stop_signal: INT\n        ready: {redis: [EXISTS, 'alive:${name}', '${ms(1s)}']}\n        \
         files: {conf/worker.yml: 'redis: ${redis.url} ${ms(1s)}'}\n",
    )
    .fleet;
    let worker = &fleet.processes[1];
    assert_eq!(worker.stop_signal, Signal::Int);
    let words = ["EXISTS", "alive:${name}", "100"].map(str::to_owned).to_vec();
    assert_eq!(worker.ready, Some(ReadyAsk::Redis { command: words }));
    assert!(worker.reports_ready());
    assert_eq!(worker.files["conf/worker.yml"], "redis: ${redis.url} 100");

    let fleet = with("        http: true\n        ready: {http: /ready}\n").fleet;
    let worker = &fleet.processes[0];
    assert_eq!(worker.ready, Some(ReadyAsk::Http { path: "/ready".to_owned() }));
    assert_eq!((worker.stop_signal, worker.files.len()), (Signal::Term, 0));
}

#[test]
fn durations_in_texts_are_scaled_and_names_are_left() {
    let fleet = good(FLEET).fleet;
    let worker = &fleet.processes[1];
    let Program::External { command: Some(command), .. } = &worker.program else { panic!("a command") };
    assert_eq!(command, &["work", "--lock=3000", "${name}"]);
    let env = [("BOTH", "${redis.host}:1"), ("LOCK", "3000"), ("POLL", "0.25"), ("RAW", "$${ms(1s)}")];
    assert_eq!(worker.env, BTreeMap::from(env.map(|(name, value)| (name.into(), value.into()))));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(fleet.prepare, [Prepare::Redis(words(&["SET", "window", "6000"]))]);
    assert_eq!(
        fleet.enqueue,
        Enqueue::Redis { command: words(&["RPUSH", "jobs", "${job}", "100", "$${job}"]) }
    );
    let redis = Some(words(&["HGETALL", "effects-${x}"]));
    assert_eq!(fleet.effects, EffectQuery { redis, ..EffectQuery::default() });
}

#[test]
fn a_template_that_does_not_resolve_is_told_with_its_place() {
    for (from, to, place) in [
        ("'--lock=${ms(30s)}'", "'--lock=${min(30s)}'", "scenario::template 8:25"),
        ("LOCK: '${ms(30s)}'", "LOCK: '${ms(30)}'", "scenario::duration 9:21"),
        ("LOCK: '${ms(30s)}'", "LOCK: '${ms(5ms)}'", "scenario::duration-too-short 9:21"),
        ("window, '${ms(1m)}'", "window, '${job}'", "scenario::template 12:30"),
        ("window, '${ms(1m)}'", "window, '${ms(1m'", "scenario::template 12:30"),
        ("'effects-$${x}'", "'effects-${x}'", "scenario::template 14:32"),
        // What is scaled says nothing of the job.
        ("'${job}', '${ms(1s)}', '$${job}'", "'${ms(1s)}'", "scenario::template 13:14"),
    ] {
        assert_eq!(places(&bad(&variant(from, to))), [place], "{to}");
    }
}

#[test]
fn the_catalogue_s_timing_is_taken_with_the_fleet_s_settings_at_the_scenario_s_pace() {
    let entry = catalogue::read(&catalogue::builtin("bullmq").unwrap()).unwrap();
    let scale: Scale = "0.1".parse().unwrap();
    assert_eq!(pipeline("{catalog: bullmq}"), entry.pipeline_at(scale).unwrap());
    let set = pipeline("{catalog: bullmq, set: {lock_duration: 10s, max_stalled: 2}}");
    assert_eq!(set.expiry, Expiry::Ttl(Span::from_secs(1)));
    assert_eq!(set.recovery.max_stalls, Some(2));
    assert_eq!(set.checker, entry.pipeline_at(scale).unwrap().checker);
}

#[test]
fn a_pipeline_may_be_written_out() {
    let written = "{pipeline: {beat: {renew: {look: 7500ms, below: 22500ms}}, expiry: {ttl: 30s}, \
                   checker: {sweep: {period: 30s, two_phase: true, guard: {paced: 30s}}}, \
                   recovery: {requeue: at_once, max_stalls: 1, claim_poll: 5s}}}";
    assert_eq!(pipeline(written), pipeline("{catalog: bullmq}"));
}

#[test]
fn a_timing_is_given_in_one_way() {
    for (timing, codes) in [
        ("{catalog: bulmq}", &["unknown-value"][..]),
        ("{catalog: bullmq, set: {lock_time: 1s}}", &["unknown-field"]),
        ("{catalog: bullmq, set: {lock_duration: 3}}", &["wrong-type"]),
        ("{catalog: bullmq, set: {lock: 1s, lock_duration: 2s}}", &["duplicate-key"]),
        ("{catalog: bullmq, beat: 1s, ttl: 3s}", &["one-of", "one-of"]),
        ("{beat: 1s, ttl: 3s, set: {lock: 1s}}", &["foreign-setting"]),
        ("{ttl: 3s}", &["missing-field"]),
    ] {
        let found: Vec<String> =
            bad(&with_timing(timing)).iter().map(|error| error.code.to_string()).collect();
        let expected: Vec<String> = codes.iter().map(|code| format!("scenario::{code}")).collect();
        assert_eq!(found, expected, "{timing}");
    }
}

#[test]
fn lines_say_what_their_patterns_say() {
    let fleet = good(&with_lines(r"{claimed: '^took (?<job>\S+)$', ready: '^ready$'}")).fleet;
    let rule = |says, pattern: &str| LineRule { says, pattern: pattern.to_owned() };
    let expected = [rule(Says::Ready, "^ready$"), rule(Says::Claimed, r"^took (?<job>\S+)$")];
    assert_eq!(fleet.processes[1].lines, expected);
    assert!(fleet.processes[1].reports_ready());
    assert!(!good(FLEET).fleet.processes[1].reports_ready());
}

#[test]
fn a_pattern_has_the_groups_that_its_event_needs() {
    for (lines, errors) in [
        ("{claimed: '^took'}", 1),
        ("{step: '^step (?<job>.+)$'}", 1),
        ("{step: '^step'}", 2),
        ("{ready: '^(?<job>ready)$'}", 1),
        ("{completed: '^done (?<job>'}", 1),
        ("{claimed: '^took (?<job>.+) (?<attempt>.) (?<stalls>.)'}", 0),
    ] {
        let found = bad(&with_lines(lines));
        assert!(
            found.iter().all(|error| error.code.to_string() == "scenario::pattern"),
            "{lines}: {found:?}"
        );
        assert_eq!(found.len(), errors, "{lines}: {found:?}");
    }
}

fn with_effects(effects: &str) -> String {
    variant("    effects: {redis: [HGETALL, 'effects-$${x}']}\n", &format!("    effects: {effects}\n"))
        .replace("        links: [redis]\n", "        links: [redis]\n        http: true\n")
}

#[test]
fn effects_are_told_by_a_page_or_by_lines() {
    let effects =
        good(&with_effects("{http: {process: worker-1, path: /effects}, steps: true}")).fleet.effects;
    let http = Some(Page { process: "worker-1".into(), path: "/effects".into() });
    assert_eq!(effects, EffectQuery { http, steps: true, ..EffectQuery::default() });
    assert!(effects.tells_steps());
    let effects = good(&with_effects(r"{lines: '^effect (?<job>\S+)$'}")).fleet.effects;
    let lines = Some(r"^effect (?<job>\S+)$".to_owned());
    assert_eq!(effects, EffectQuery { lines, ..EffectQuery::default() });
    assert!(effects.is_asked() && !effects.tells_steps());
}

#[test]
fn what_tells_no_effects_is_told_with_its_place() {
    for (effects, expected) in [
        ("{}", &["scenario::one-of 15:14"][..]),
        ("{lines: '^done (?<job>.+)', redis: [HGETALL, x]}", &["scenario::one-of 15:22"]),
        ("{lines: '^done'}", &["scenario::pattern 15:22"]),
        ("{lines: '^done (?<job>.+) (?<by>.+)'}", &["scenario::pattern 15:22"]),
        ("{lines: '^done (?<job>'}", &["scenario::pattern 15:22"]),
        ("{http: {process: worker, path: /x}}", &["scenario::unknown-process 15:31"]),
        ("{http: {process: worker-1, path: x}}", &["scenario::unknown-value 15:47"]),
        ("{http: {process: worker-1}}", &["scenario::missing-field 15:21"]),
        ("{redis: [HGETALL, x], steps: true}", &["scenario::foreign-setting 15:43"]),
        (
            "{http: {process: worker-1, path: /x}, steps: true, steps_sql: SELECT 1}",
            &["scenario::one-of 15:59", "scenario::missing-store 15:76"],
        ),
    ] {
        let yaml = with_effects(effects);
        assert_eq!(places(&bad(&yaml)), expected, "{effects}");
    }
}

fn with_state(state: &str) -> String {
    variant("    prepare:\n", &format!("    state: {state}\n    prepare:\n"))
}

#[test]
fn a_queue_is_asked_how_its_jobs_stand() {
    let fleet = good(&with_state("{redis: [EVAL, script, 0, '${ms(1s)}']}")).fleet;
    let command = ["EVAL", "script", "0", "100"].map(str::to_owned).to_vec();
    let (every, timeout) = (Span::from_millis(10), Span::from_millis(100));
    assert_eq!(fleet.state, Some(QueueProbe { every, timeout, ask: QueueAsk::Redis { command } }));
    assert!(fleet.claims_by_state());
    assert!(!good(FLEET).fleet.claims_by_state());
    let says_itself = with_state("{redis: [EVAL, script, 0]}").replace(
        "        links: [redis]\n",
        "        links: [redis]\n        lines: {claimed: 'took (?<job>.+)'}\n",
    );
    assert!(!good(&says_itself).fleet.claims_by_state());
}

#[test]
fn a_state_that_cannot_be_asked_for_is_told_with_its_place() {
    for (state, expected) in [
        ("{}", "scenario::one-of 11:12"),
        ("{sql: SELECT 1, redis: [X]}", "scenario::one-of 11:18"),
        ("{sql: SELECT 1}", "scenario::missing-store 11:18"),
        ("{redis: []}", "scenario::missing-field 11:20"),
        ("{redis: [X], every: 1ms}", "scenario::duration-too-short 11:32"),
        ("{http: {process: worker-1, path: /jobs}}", "scenario::unknown-link 11:29"),
        ("{redis: [X], holder: pb}", "scenario::unknown-field 11:25"),
    ] {
        assert_eq!(places(&bad(&with_state(state))), [expected], "{state}");
    }
}

#[test]
fn each_worker_s_life_may_be_asked_for() {
    let with = |workers: &str| {
        variant("    prepare:\n", &format!("    liveness: {{workers: {workers}}}\n    prepare:\n"))
    };
    let liveness = good(&with("{redis: [SMEMBERS, 'alive-${ms(1s)}']}")).fleet.liveness.expect("liveness");
    let command = ["SMEMBERS", "alive-100"].map(str::to_owned).to_vec();
    assert_eq!(liveness.ask, Ask::Workers(WorkersAsk::Redis { command }));
    for (workers, expected) in [
        ("{}", "scenario::one-of 11:25"),
        ("{sql: SELECT 1}", "scenario::missing-store 11:31"),
        ("{http: {process: worker-1, path: /x, pointer: /y}}", "scenario::unknown-link 11:42"),
        ("{stalls: [X], redis: [X]}", "scenario::unknown-field 11:26"),
    ] {
        assert_eq!(places(&bad(&with(workers))), [expected], "{workers}");
    }
    let both = variant("    prepare:\n", "    liveness: {redis: [X], workers: {redis: [X]}}\n    prepare:\n");
    assert_eq!(places(&bad(&both)), ["scenario::one-of 11:37"]);
}
