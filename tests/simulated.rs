//! The shipped scenarios in virtual time: each does what its file says.

use std::path::{Path, PathBuf};

use syncope::backend::BackendError;
use syncope::check::{self, Judged, Verdict};
use syncope::cli::input::{self, Input};
use syncope::history::{Event, FORMAT, Header};
use syncope::run::ensemble;
use syncope::scenario::{FileKind, Overrides, Scenario, resolve};
use syncope::sim::SimBackend;

/// What is tagged so needs a real machine, or a real Prometheus: the simulator says so in place of
/// running it.
fn is_modelled(scenario: &Scenario) -> bool {
    !scenario.tags.iter().any(|tag| tag == "live")
}

fn modelled() -> impl Iterator<Item = (PathBuf, String, Scenario)> {
    scenarios("scenarios").into_iter().filter(|(.., scenario)| is_modelled(scenario))
}

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
fn every_scenario_does_in_virtual_time_what_its_file_says() {
    let seeds: u64 = std::env::var("SYNCOPE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut wrong = Vec::new();
    for (path, text, scenario) in modelled() {
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
fn a_scenario_that_is_not_modelled_is_not_run_and_says_why() {
    let all = scenarios("scenarios");
    for (.., scenario) in all.iter().filter(|(.., scenario)| !is_modelled(scenario)) {
        match SimBackend::open(scenario, 1).map(drop) {
            Err(BackendError::Unsupported(why)) => {
                assert!(["not modelled", "virtual time"].iter().any(|what| why.contains(what)), "{why}");
            }
            other => panic!("{}: {other:?}", scenario.name),
        }
    }
}

#[test]
fn one_seed_is_one_history() {
    for (_, text, scenario) in modelled().step_by(7) {
        let line = |events: Vec<Event>| {
            events.iter().map(|event| serde_json::to_string(event).unwrap()).collect::<Vec<_>>()
        };
        let [first, again, other] = [5, 5, 6].map(|seed| line(simulate(&text, &scenario, seed).1));
        assert_eq!(first, again, "{}", scenario.name);
        assert_ne!(first, other, "{}", scenario.name);
    }
}
