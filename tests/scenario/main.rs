//! Scenario files: what is read, and how mistakes are told.

mod claims;
mod foreign;
mod lints;
mod mistakes;
mod operator;
mod pages;
mod properties;
mod rules;

use syncope::fault::{FaultKind, Target, Toxic, Trigger};
use syncope::names::{Endpoint, ProcessName, Store};
use syncope::scenario::{
    Ask, Diagnostic, Enqueue, Overrides, Program, Scenario, Since, Source, TimeExpect, WatchExpect, render,
    resolve, schema,
};
use syncope::time::Span;

const DESIGN: &str = include_str!("../fixtures/scenario/design.yaml");
const SIX_MISTAKES: &str = include_str!("../fixtures/scenario/six-mistakes.yaml");
const EXTERNAL: &str = include_str!("../fixtures/scenario/external.yaml");

fn good(yaml: &str) -> Scenario {
    let source = Source::new("folder/test.yaml", yaml);
    resolve(&source, &Overrides::default()).unwrap_or_else(|errors| panic!("{}", render(&errors, false)))
}

fn bad(yaml: &str) -> Vec<Diagnostic> {
    let source = Source::new("folder/test.yaml", yaml);
    resolve(&source, &Overrides::default()).err().unwrap_or_default()
}

/// `CODE LINE:COLUMN` of each finding.
fn places(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|d| format!("{} {}:{}", d.code, d.line, d.column)).collect()
}

#[test]
fn the_design_s_example_resolves_to_wall_time() {
    let scenario = good(DESIGN);
    assert_eq!(scenario.fleet.processes.len(), 3);
    assert_eq!(scenario.workload.arrival, syncope::dist::Distribution::Constant(Span::from_millis(50)));
    let Program::Reference { settings, .. } = &scenario.fleet.processes[0].program else {
        panic!("a reference worker");
    };
    assert_eq!(settings.queue.lock_duration, Span::from_secs(3));
    assert_eq!(settings.queue.lock_renew, Span::from_millis(1500));
    assert_eq!(scenario.fleet.pipeline.as_ref().unwrap().checker.period(), Span::from_secs(3));
    assert!(matches!(&scenario.faults[0].kind, FaultKind::Kill { target: Target::HolderOf(_), .. }));
    assert_eq!(scenario.faults[1].when, Trigger::At(Span::from_secs(9)));
    assert_eq!(scenario.expect.detection_time, TimeExpect::Model);
}

#[test]
fn the_time_scale_of_the_command_line_wins() {
    let overrides = Overrides { time_scale: Some("1".parse().unwrap()), seed: Some(7) };
    let scenario = resolve(&Source::new("x.yaml", DESIGN), &overrides).unwrap();
    assert_eq!(scenario.faults[1].when, Trigger::At(Span::from_secs(90)));
    assert_eq!(scenario.seed, Some(7));
}

#[test]
fn an_external_fleet_resolves() {
    let scenario = good(EXTERNAL);
    let fleet = &scenario.fleet;
    let names: Vec<_> = fleet.processes.iter().map(|process| process.name.as_str()).collect();
    assert_eq!(names, ["worker-1", "worker-2", "api"]);
    assert_eq!(
        fleet.processes[2].links,
        [Endpoint::Store(Store::Redis), Endpoint::Process(ProcessName::new("worker-1"))]
    );
    let Program::External { working_directory, .. } = &fleet.processes[0].program else {
        panic!("an external program");
    };
    let directory = working_directory.as_ref().expect("a folder");
    assert_eq!((directory.on_host.as_str(), &directory.in_image), ("folder/fleet", &None));
    assert!(matches!(&fleet.enqueue, Enqueue::Redis { command } if command[2] == "${spec}"));
    assert!(matches!(&fleet.liveness.as_ref().unwrap().ask, Ask::Http { .. }));
    assert_eq!(scenario.expect.query_accuracy_ppm, Some((900_000, 1_000_000)));
}

#[test]
fn rates_are_scaled_so_that_as_much_passes_in_the_same_model_time() {
    let yaml = variant(
        "faults: []",
        "faults:\n  - network: {from: {role: worker}, toxic: {bandwidth: {rate: 1KiB/s}}, for: 1s}\n    \
         when: {at: 1s}",
    )
    .replace("time_scale: 1", "time_scale: 0.1");
    let scenario = good(&yaml);
    let FaultKind::Network { toxic: Toxic::Bandwidth { bytes_per_second, .. }, .. } = scenario.faults[0].kind
    else {
        panic!("a bandwidth");
    };
    assert_eq!(bytes_per_second, 10_240);
}

#[test]
fn every_distribution_is_read_and_scaled() {
    use syncope::dist::{Distribution, Recorded, Shape};
    let ms = Span::from_millis;
    let read = |step_time: &str| {
        let yaml = variant("{constant: 200ms}", step_time).replace("time_scale: 1", "time_scale: 0.1");
        good(&yaml).workload.step_time
    };
    assert_eq!(
        read("{normal: {mean: 200ms, deviation: 50ms}}"),
        Distribution::Normal { mean: ms(20), deviation: ms(5) }
    );
    assert_eq!(
        read("{lognormal: {median: 200ms, p99: 2s}}"),
        Distribution::Lognormal { median: ms(20), p99: ms(200) }
    );
    assert_eq!(
        read("{pareto: {min: 50ms, shape: 1.5}}"),
        Distribution::Pareto { min: ms(5), shape: Shape::from_thousandths(1_500).unwrap() }
    );
    assert_eq!(
        read("{empirical: [300ms, 100ms, 100ms]}"),
        Distribution::Empirical(Recorded::new(vec![ms(10), ms(10), ms(30)]).unwrap())
    );
}

#[test]
fn a_faked_clock_is_ordered_where_a_fault_needs_it() {
    let yaml = heartbeat("- clock_step: {target: {process: api}, by: +5s, for: 3s}\n    when: {at: 1s}");
    let faked: Vec<_> = good(&yaml).fleet.processes.into_iter().filter(|p| p.fake_clock).collect();
    assert_eq!(faked.len(), 1);
    assert_eq!(faked[0].name.as_str(), "api");
}

#[test]
fn watches_resolve_to_wall_time_with_their_answers_as_text() {
    let yaml = faults("- outage: {store: redis, how: kill, for: 1s}\n    when: {at: 1s}")
        .replace("time_scale: 1", "time_scale: 0.1")
        .replace(
            "expect: {lost: 0}",
            "watch:\n  - {name: up, every: 1s, ask: {sql: select true}}\nexpect:\n  watched:\n    \
             - {name: up, becomes: false, after: {fault: 1}, within: {max: 5s}}\n    - {name: up, never: null}\n",
        );
    let scenario = good(&yaml);
    assert_eq!(scenario.watches[0].every, Span::from_millis(100));
    assert_eq!(scenario.watches[0].timeout, Span::from_millis(100));
    let expected: Vec<_> = scenario.expect.watched.iter().map(|watched| &watched.expect).collect();
    let within = syncope::time::Interval::new(Span::ZERO, Span::from_millis(500));
    let since = Since::Fault(syncope::fault::FaultId(0));
    assert_eq!(*expected[0], WatchExpect::Becomes { answer: "false".into(), since, within });
    assert_eq!(*expected[1], WatchExpect::Never { answer: "null".into() });
}

#[test]
fn six_mistakes_are_six_diagnostics() {
    let errors = bad(SIX_MISTAKES);
    assert_eq!(errors.len(), 6, "{}", render(&errors, false));
    insta::assert_snapshot!("six_mistakes", render(&errors, false));
}

/// A small good scenario, to be spoilt.
const BASE: &str = "\
name: base
time_scale: 1
fleet:
  system: redis-queue
  workers: 2
  settings: {lock_duration: 30s}
stack: {redis: {}, postgres: {}}
workload:
  jobs: 10
  arrival: {every: 500ms}
  steps: 4
  step_time: {constant: 200ms}
faults: []
expect: {lost: 0}
";

fn variant(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replace(from, to)
}

fn faults(faults: &str) -> String {
    variant("faults: []", &format!("faults:\n  {faults}"))
}

fn heartbeat(fault: &str) -> String {
    faults(fault).replace("redis-queue", "redis-heartbeat")
}

#[test]
fn the_base_is_good_and_so_is_what_looks_odd() {
    for yaml in [
        BASE.to_owned(),
        variant("stack: {redis: {}, postgres: {}}\n", ""),
        variant("stack: {redis: {}, postgres: {}}", "stack:\n  redis:\n  postgres:"),
        variant("name: base", "name: 7"),
        variant("{lock_duration: 30s}", "&all {lock_duration: 30s}"),
        faults(
            "- kill: {target: {any: worker}}\n    when: {at: 1s}\n  - kill: {target: {any: worker}}\n    when: {at: 1s}",
        ),
        faults(
            "- network: {from: {process: producer}, to: redis, toxic: {timeout: {}}, for: 1s}\n    when: {at: 1s}",
        ),
        faults("- network: {to: redis, toxic: {refuse: }, for: 1s}\n    when: {at: 1s}"),
        variant("{lost: 0}", "{mistakes: none, lost: any, failed: {min: 1}, recovery_time: {max: 45s}}"),
        format!("\u{feff}{BASE}"),
        BASE.replace('\n', "\r\n"),
    ] {
        good(&yaml);
    }
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/scenario.json");
    if std::env::var_os("SYNCOPE_BLESS").is_some() {
        std::fs::write(path, schema()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == schema(), "schemas/scenario.json is stale: run this test with SYNCOPE_BLESS=1");
}
