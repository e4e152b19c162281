//! What is asked, of the scenarios' kind and beyond. `<5>` is a time of 5 s, at the recording's pace.

use std::fs;
use std::path::Path;

use syncope::scenario::{Overrides, RulesFile, Source, resolve};
use syncope::time::Scale;

pub const EXPRESSIONS: &[&str] = &[
    // The scenarios'.
    "rate(kube_pod_container_status_restarts_total{container=\"worker\"}[<300>]) > 0.5",
    "increase(kube_pod_container_status_restarts_total{container=\"worker\"}[<300>]) > 3",
    "sum(queue_jobs{state=\"failed\"}) > 10",
    "sum(queue_jobs{state=\"active\"}) == 0 and sum(queue_jobs{state=\"waiting\"}) > 0",
    "sum(queue_jobs{state=\"waiting\"}) > 0 and increase(sum(queue_jobs{state=\"completed\"})[<180>:<15>]) == 0",
    "workers_active == 0",
    "time() - workers_last_heartbeat_timestamp_seconds",
    "workers:heartbeat_age:seconds > 600",
    // Ranges and their extrapolation.
    "increase(kube_pod_container_status_restarts_total[<300>])",
    "rate(kube_pod_container_status_restarts_total[<300>])",
    "increase(kube_pod_container_status_restarts_total[<37>])",
    "rate(steady_total[<60>])",
    "rate(steady_total[<61>] offset <20>)",
    "increase(steady_total[<600>])",
    "delta(workers_active[<100>])",
    "increase(sparse_total[<120>])",
    "rate(sparse_total[<900>])",
    "changes(workers_active[<300>])",
    "resets(kube_pod_container_status_restarts_total[<600>])",
    "sum_over_time(queue_jobs[<90>])",
    "count_over_time(queue_jobs[<90>])",
    "max_over_time(queue_jobs[<90>])",
    "min_over_time(queue_jobs[<90>])",
    "last_over_time(queue_jobs[<45>])",
    // Subqueries.
    "max_over_time(sum(queue_jobs)[<180>:<15>])",
    "sum_over_time(sum(queue_jobs)[<180>:<45>])",
    "increase(sum(queue_jobs{state=\"completed\"})[<180>:<15>])",
    "rate(sum(steady_total)[<100>:<7>] offset <11>)",
    "count_over_time((workers_active > 1)[<200>:<10>])",
    "max_over_time(rate(steady_total[<60>])[<120>:<20>])",
    "count_over_time(workers_active[<100>:])",
    // Selectors.
    "queue_jobs",
    "queue_jobs{state=~\"wait.*|failed\",queue!=\"large\"}",
    "queue_jobs{state!~\"a.*\"} offset <30>",
    "queue_jobs{queue=\"\"}",
    "nothing{a=\"b\"}",
    "absent(nothing{a=\"b\",c!=\"d\",e=~\"f\"})",
    "absent(nothing{a=\"b\",a=\"c\",d=\"e\"})",
    "absent(workers_active)",
    "absent(sum(nothing))",
    // Aggregations.
    "sum by (queue) (queue_jobs)",
    "sum(queue_jobs) without (queue, process)",
    "max by (state, nothing) (queue_jobs)",
    "min without (state) (queue_jobs)",
    "avg by (state) (queue_jobs)",
    "count(queue_jobs > 2) by (queue)",
    "count(up == 1)",
    // promtool has the series in the order of a hash: the last bits of a mean are by chance.
    "floor(avg(rate(steady_total[<60>])) * 1e6 + 0.1237)",
    // Operators.
    "queue_jobs{state=\"waiting\"} / on (queue) queue_jobs{state=\"active\"} > 1",
    "queue_jobs{state=\"waiting\"} - ignoring (state) queue_jobs{state=\"active\"}",
    "queue_jobs{state=\"waiting\"} >= ignoring (state) queue_jobs{state=\"active\"}",
    "queue_jobs{state=\"waiting\"} == bool ignoring (state) queue_jobs{state=\"active\"}",
    "queue_jobs > queue_jobs offset <15>",
    "workers_active > bool 1",
    "2 < workers_active",
    "2 - workers_active * 3 + 1",
    "-workers_active ^ 2",
    "-(queue_jobs) % 3",
    "2 ^ 3 ^ 2 - 10 / 4 % 2",
    "1 > bool 2",
    "queue_jobs > 3 or queue_jobs{state=\"active\"}",
    "queue_jobs unless on (state) queue_jobs{queue=\"large\"} > 2",
    "queue_jobs and on (queue) queue_jobs{state=\"failed\"} > 3",
    "up == 1 and on () vector(1)",
    "workers_active == 0 or vector(7)",
    "scalar(workers_active) + vector(1)",
    "vector(time())",
    "ceil(rate(steady_total[<60>])) + floor(workers_active / 2) - abs(delta(workers_active[<100>]))",
    "sum(queue_jobs) > 3 < 40 != 20",
];

/// A group of rules as a file for the server has it.
pub const ALERTS: &str = r#"
groups:
- name: all
  rules:
  - {record: "jobs:waiting:sum", expr: 'sum(queue_jobs{state="waiting"})', labels: {pace: "fast", queue: ""}}
  - {record: "jobs:few", expr: 'queue_jobs < 3'}
  - {alert: AtOnce, expr: 'workers_active == 0'}
  - {alert: NoActiveWorkers, expr: 'workers_active <= 1', for: <30>, labels: {severity: critical}}
  - {alert: Kept, expr: 'queue_jobs{state="waiting"} > 4', for: <15>, keep_firing_for: <40>}
  - {alert: KeptFromTheFirst, expr: 'queue_jobs{state="failed"} > 3', keep_firing_for: <30>}
  - {alert: ByRecord, expr: 'jobs:waiting:sum > 5', for: <45>}
  - {alert: FewForLong, expr: 'jobs:few', for: <60>, labels: {few: jobs}}
  - {alert: CrashLoop, expr: 'increase(kube_pod_container_status_restarts_total[<120>]) > 1'}
  - {alert: Away, expr: 'up == 0 or absent(up)', for: <20>}
"#;

/// With times of so many ms for a second.
pub fn scaled(text: &str, unit: i64) -> String {
    let mut out = String::new();
    for (index, part) in text.split('<').enumerate() {
        let time = part.split_once('>').filter(|(digits, _)| index > 0 && digits.parse::<i64>().is_ok());
        match time {
            Some((digits, rest)) => {
                let millis = digits.parse::<i64>().unwrap_or_default() * unit;
                out.push_str(&format!("{millis}ms{rest}"));
            }
            None if index > 0 => out.push_str(&format!("<{part}")),
            None => out.push_str(part),
        }
    }
    out
}

/// The expressions of every scenario in the repository that has a Prometheus, at the pace of real time,
/// each with the scenario's name.
pub fn of_scenarios() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let overrides = Overrides { time_scale: Some(Scale::ONE), seed: None };
    let mut found = Vec::new();
    for system in fs::read_dir(folder).expect("scenarios can be read").flatten() {
        for file in fs::read_dir(system.path()).expect("a folder of scenarios").flatten() {
            let path = file.path();
            let text = fs::read_to_string(&path).expect("a scenario is text");
            if !text.contains("prometheus:") {
                continue;
            }
            let rules = path.with_extension("rules.yml");
            let rules = RulesFile {
                text: fs::read_to_string(&rules).map_err(|error| error.to_string()),
                path: rules,
            };
            let source = Source::new(path, text).with_rules(rules);
            let scenario = resolve(&source, &overrides).expect("the scenarios are right");
            let groups = scenario.stack.prometheus.expect("it has one").groups;
            let rules = groups.into_iter().flat_map(|group| group.rules);
            found.extend(rules.map(|rule| (scenario.name.clone(), rule.expression)));
        }
    }
    found
}
