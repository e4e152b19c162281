//! The shipped scenarios in virtual time: each does what its file says.

use std::path::{Path, PathBuf};

use syncope::backend::BackendError;
use syncope::check::{self, Judged, Verdict};
use syncope::cli::input::{self, Input};
use syncope::history::{Event, FORMAT, Header};
use syncope::run::ensemble;
use syncope::scenario::{FileKind, Overrides, Scenario, Source, resolve};
use syncope::sim::SimBackend;

fn scenarios(under: &str) -> Vec<(PathBuf, String, Scenario)> {
    let inputs = input::read_all(&[Path::new(env!("CARGO_MANIFEST_DIR")).join(under)]);
    inputs
        .expect("shipped scenarios are text")
        .into_iter()
        .filter(|input| matches!(input.kind, FileKind::Scenario { .. }))
        .map(|Input { source, .. }| {
            let scenario = resolve(&source, &Overrides::default()).expect("a shipped scenario is right");
            (source.path().to_owned(), source.text().to_owned(), scenario)
        })
        .collect()
}

fn simulate(text: &str, scenario: &Scenario, seed: u64) -> (Judged, Vec<Event>) {
    let header = Header {
        format: FORMAT,
        run_id: "test".into(),
        path: scenario.name.clone(),
        source: text.into(),
        rules: None,
        backend: "sim".into(),
        seed,
        time_scale: None,
        started_at: "2023-11-14T22:13:20Z".into(),
        repeat: 1,
        replay: String::new(),
    };
    let history = ensemble::history(scenario, header).unwrap();
    (check::judge(scenario, &history), history.events)
}

#[test]
fn every_scenario_but_the_live_ones_does_in_virtual_time_what_its_file_says() {
    let seeds: u64 = std::env::var("SYNCOPE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut wrong = Vec::new();
    for (path, text, scenario) in scenarios("scenarios") {
        let refusal = SimBackend::open(&scenario, 1).map(drop).err();
        let is_live = scenario.tags.iter().any(|tag| tag == "live");
        if refusal.is_some() || is_live {
            assert!(
                refusal.is_some() && is_live,
                "{}: {refusal:?}, tags {:?}",
                path.display(),
                scenario.tags
            );
            continue;
        }
        for seed in 1..=seeds {
            let (judged, _) = simulate(&text, &scenario, seed);
            if judged.verdict != Verdict::Pass {
                wrong.push(format!("{} seed {seed}: {:?}", path.display(), judged.reasons));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_not_modelled_is_named_and_not_run() {
    let stack = |rule: &str| format!("stack: {{postgres: {{}}, prometheus: {{rules: [{rule}]}}}}");
    let stores = "stack: {postgres: {}}".to_owned();
    for (lines, named) in [
        (
            format!("{stores}\nfaults: [{{operator_sql: {{statement: SELECT 1}}, when: {{at: 1s}}}}]"),
            "an operator's statement",
        ),
        (format!("{stores}\nwatch: [{{name: it, ask: {{sql: SELECT 1}}}}]"), "a watch by SQL"),
        (
            stack("{alert: Slow, expr: 'histogram_quantile(0.9, took_bucket) > 3'}"),
            "the rule Slow: the function `histogram_quantile`",
        ),
        (stack("{alert: Any, expr: 'ALERTS > 0'}"), "the rule Any: the metric `ALERTS`"),
        (
            "stack: {postgres: {}, prometheus: {scrape: [worker-1], rules: [{alert: A, expr: up}]}}"
                .to_owned(),
            "a scrape of worker-1",
        ),
        (
            format!(
                "{stores}\nfaults: [{{kill: {{target: {{any: worker}}}}, \
                 when: {{wire: {{link: worker -> postgres, command: UPDATE, side: before}}}}}}]"
            ),
            "a `wire` trigger",
        ),
    ] {
        let text = format!(
            "name: refused\nfleet: {{system: postgres-jobs, workers: 1}}\n{lines}\n\
             workload: {{jobs: 1, arrival: {{every: 1s}}, steps: 1, step_time: {{constant: 1s}}}}\n"
        );
        let source = Source::new("refused.yaml", text);
        let scenario = resolve(&source, &Overrides::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
        match SimBackend::open(&scenario, 1).map(drop) {
            Err(BackendError::Unsupported(why)) => assert!(why.contains(named), "{why}"),
            other => panic!("{named}: {other:?}"),
        }
    }
}

#[test]
fn one_seed_is_one_history() {
    for (_, text, scenario) in scenarios("scenarios").into_iter().step_by(7) {
        let line = |events: Vec<Event>| {
            events.iter().map(|event| serde_json::to_string(event).unwrap()).collect::<Vec<_>>()
        };
        let [first, again, other] = [5, 5, 6].map(|seed| line(simulate(&text, &scenario, seed).1));
        assert_eq!(first, again, "{}", scenario.name);
        assert_ne!(first, other, "{}", scenario.name);
    }
}
