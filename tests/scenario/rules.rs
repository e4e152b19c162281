//! A rules file beside the scenario: read as Prometheus has it, at the scenario's pace, and its mistakes
//! told with its own lines.

use std::path::PathBuf;

use syncope::scenario::{Diagnostic, Overrides, RuleKind, RulesFile, Scenario, Source, load, resolve};
use syncope::time::Span;

use super::{BASE, places};

const RULES: &str = "\
groups:
  - name: workers
    interval: 30s
    rules:
      - record: beat:age:seconds
        expr: time() - beat_seconds
      - alert: StaleBeat
        expr: beat:age:seconds > ${600s}
        for: 5m
        keep_firing_for: 1m
        labels: {severity: warning}
        annotations: {summary: A beat is old}
";

fn naming(field: &str) -> String {
    let watch = "watch:\n  - {name: stale, every: 1s, ask: {alert: StaleBeat}}\n";
    let stack = format!("{{redis: {{}}, postgres: {{}}, prometheus: {{{field}}}}}");
    format!("{}{watch}", BASE.replace("{redis: {}, postgres: {}}", &stack))
}

fn source(rules: Result<&str, &str>) -> Source {
    let text = rules.map(str::to_owned).map_err(str::to_owned);
    Source::new("folder/test.yaml", naming("rules_file: alerts.yml"))
        .with_rules(RulesFile { path: PathBuf::from("folder/alerts.yml"), text })
}

fn resolved(source: &Source) -> Result<Scenario, Vec<Diagnostic>> {
    let time_scale = Some("0.1".parse().unwrap());
    resolve(source, &Overrides { time_scale, seed: None })
}

#[test]
fn a_rules_file_is_scaled_like_everything_else() {
    let source = source(Ok(RULES));
    let scenario = resolved(&source).unwrap_or_else(|errors| panic!("{errors:?}"));
    let [group] = &scenario.stack.prometheus.as_ref().unwrap().groups[..] else { panic!("one group") };
    assert_eq!((group.name.as_str(), group.interval), ("workers", Some(Span::from_secs(3))));
    let [age, stale] = &group.rules[..] else { panic!("two rules") };
    assert_eq!((age.kind, age.name.as_str()), (RuleKind::Record, "beat:age:seconds"));
    assert_eq!((stale.kind, stale.expression.as_str()), (RuleKind::Alert, "beat:age:seconds > 60"));
    assert_eq!((stale.lasting, stale.keep_firing), (Span::from_secs(30), Span::from_secs(6)));
    assert_eq!(stale.labels["severity"], "warning");
}

#[test]
fn mistakes_in_a_rules_file_are_told_with_its_lines() {
    let spoilt = RULES
        .replace("for: 5m", "for: 5 minutes")
        .replace("record: beat", "alert: Twice\n        record: beat")
        .replace("labels:", "lables:");
    let errors = resolved(&source(Ok(&spoilt))).expect_err("three mistakes");
    assert!(errors.iter().all(|error| error.path().ends_with("alerts.yml")), "{errors:?}");
    assert_eq!(
        places(&errors),
        ["scenario::one-of 5:9", "scenario::duration 10:14", "scenario::unknown-field 12:9"]
    );
}

#[test]
fn what_cannot_be_read_is_told_where_it_is_named() {
    for rules in [Err("No such file"), Ok("groups: [")] {
        let errors = resolved(&source(rules)).expect_err("nothing to read");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].path().ends_with("test.yaml"), rules.is_err());
    }
}

#[test]
fn rules_are_given_in_one_way() {
    let rule = "rules: [{alert: StaleBeat, expr: up == 0}]";
    let both = Source::new("test.yaml", naming(&format!("{rule}, rules_file: alerts.yml")));
    let neither = Source::new("test.yaml", naming("scrape_interval: 15s"));
    for (source, code) in [(both, "scenario::one-of"), (neither, "scenario::missing-field")] {
        let errors = resolved(&source).expect_err(code);
        assert_eq!(errors.iter().map(|error| error.code.to_string()).collect::<Vec<_>>(), [code]);
    }
}

/// Of an alert that cannot fire, in the file: where the file is named.
#[test]
fn a_file_s_rules_are_linted() {
    let never = RULES
        .replace("beat:age:seconds > ${600s}", "rate(kube_pod_container_status_restarts_total[5m]) > 0.5");
    let loaded =
        load(&source(Ok(&never)), &Overrides::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let line =
        naming("rules_file: alerts.yml").lines().position(|line| line.contains("rules_file")).unwrap() + 1;
    let warned = places(&loaded.warnings);
    assert!(
        warned.iter().any(|place| place.starts_with(&format!("lint::alert-cannot-fire {line}:"))),
        "{warned:?}"
    );
}
