//! What `promtool test rules` makes of what the model says. Debian's package `prometheus` has it;
//! `scripts/setup.sh test` installs that.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use syncope::scenario::{Overrides, RulesFile, Source, resolve};
use syncope::sim::prometheus::{AlertState, Group, Point, Query, Storage};
use syncope::time::Span;

use crate::series::{Recording, written};

const WORDS_SHOWN: usize = 6_000;

/// One recording, and what is expected of it.
pub struct Case {
    recording: Recording,
    /// Of rules, between two evaluations, in ms.
    evaluation: i64,
    rules: String,
    values: String,
    alerts: String,
}

pub enum Verdict {
    Same,
    /// In promtool's words.
    Differs(String),
}

impl Case {
    pub fn new(recording: Recording) -> Self {
        let evaluation = recording.interval;
        Self { recording, evaluation, rules: String::new(), values: String::new(), alerts: String::new() }
    }

    /// The expression has this value then.
    pub fn expect(&mut self, at: i64, expression: &str, vector: Vec<Point>) {
        let expression = expression.replace('\'', "''");
        let _ = write!(self.values, "  - {{expr: '{expression}', eval_time: {at}ms, exp_samples: [");
        for point in vector {
            let value = match point.value {
                value if value.is_infinite() => if value > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
                value => value.to_string(),
            };
            let _ = write!(self.values, "{{labels: '{}', value: {value}}}, ", written(&point.labels));
        }
        self.values.push_str("]}\n");
    }

    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "- interval: {}ms\n  input_series:", self.recording.interval);
        self.recording.write(out);
        for (name, tests) in [("promql_expr_test", &self.values), ("alert_rule_test", &self.alerts)] {
            if !tests.is_empty() {
                let _ = write!(out, "  {name}:\n{tests}");
            }
        }
    }
}

/// All of one rhythm share a call, for each takes its time.
pub fn judge(cases: &[Case]) -> Verdict {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut files = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let (rules, tests) =
            (folder.path().join(format!("{index}.rules")), folder.path().join(format!("{index}.yml")));
        fs::write(&rules, if case.rules.is_empty() { "groups: []" } else { &case.rules }).expect("written");
        let mut text =
            format!("rule_files: [{index}.rules]\nevaluation_interval: {}ms\ntests:\n", case.evaluation);
        case.write(&mut text);
        fs::write(&tests, text).expect("written");
        files.push(tests);
    }
    let told = Command::new("promtool")
        .args(["test", "rules"])
        .args(&files)
        .output()
        .expect("promtool is there: `scripts/setup.sh test` installs it (Debian's `prometheus`)");
    if told.status.success() {
        return Verdict::Same;
    }
    let words = [told.stdout, told.stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat();
    let begin = words.find("FAILED").unwrap_or_default();
    Verdict::Differs(words[begin..].chars().take(WORDS_SHOWN).collect())
}

/// Lets the model evaluate the rules from 0 on, and expects what it says of them at these times; how
/// many alerts fire then.
pub fn alerts_of(case: &mut Case, rules: &str, times: Vec<i64>) -> usize {
    let interval = Span::from_millis(case.evaluation as u64);
    let mut group = Group::read(&read(rules), interval).expect("rules that are modelled");
    let mut storage = case.recording.storage();
    let end = case.recording.end();
    case.rules = rules.to_owned();
    let (mut fired, mut times) = (0, times.into_iter().peekable());
    for now in (0..=end).step_by(case.evaluation as usize) {
        group.evaluate(now, &mut storage);
        while let Some(at) = times.next_if(|at| *at < now + case.evaluation) {
            fired += expect_alerts(case, &group, at);
            expect_records(case, &storage, at);
        }
    }
    fired
}

fn expect_alerts(case: &mut Case, group: &Group, at: i64) -> usize {
    let mut fired = 0;
    for alert in rules_named(&case.rules) {
        let _ = write!(case.alerts, "  - {{eval_time: {at}ms, alertname: {alert}, exp_alerts: [");
        let firing = group.active().filter(|(_, state)| *state == AlertState::Firing);
        for (labels, _) in firing.filter(|(labels, _)| labels.get("alertname") == alert) {
            fired += 1;
            case.alerts.push_str("{exp_labels: {");
            for (name, value) in labels.iter().filter(|(name, _)| *name != "alertname") {
                let _ = write!(case.alerts, "{name}: '{value}', ");
            }
            case.alerts.push_str("}}, ");
        }
        case.alerts.push_str("]}\n");
    }
    // Those that are pending are told as a series.
    let pending = group.active().filter(|(_, state)| *state == AlertState::Pending);
    let pending: Vec<Point> = pending
        .map(|(labels, _)| {
            let more = [("__name__", "ALERTS"), ("alertstate", "pending")];
            Point { labels: labels.with(more), value: 1.0 }
        })
        .collect();
    case.expect(at, "ALERTS{alertstate=\"pending\"}", pending);
    fired
}

fn expect_records(case: &mut Case, storage: &Storage, at: i64) {
    for metric in ["jobs:waiting:sum", "jobs:few"] {
        let expression = syncope::sim::prometheus::Expression::read(metric).expect("a name");
        let vector = Query { storage, step: case.evaluation }.vector(&expression, at).expect("a value");
        case.expect(at, metric, vector);
    }
}

/// By the way that a scenario reads them.
fn read(rules: &str) -> Vec<syncope::scenario::Rule> {
    let text = "name: rules\nfleet: {system: postgres-jobs, workers: 1}\n\
        stack: {postgres: {}, prometheus: {rules_file: test.rules.yml}}\n\
        workload: {jobs: 1, arrival: {every: 1s}, steps: 1, step_time: {constant: 1s}}\n";
    let rules = RulesFile { path: "test.rules.yml".into(), text: Ok(rules.into()) };
    let source = Source::new("test.yaml", text).with_rules(rules);
    let resolved = resolve(&source, &Overrides::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
    resolved.stack.prometheus.expect("it has one").groups.swap_remove(0).rules
}

fn rules_named(rules: &str) -> Vec<String> {
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- {alert: "));
    names.filter_map(|rest| rest.split_once(',')).map(|(name, _)| name.to_owned()).collect()
}
