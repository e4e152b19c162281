//! A scenario's text, run in virtual time and judged.

use std::path::PathBuf;

use syncope::backend::Backend as _;
use syncope::check::{self, Judged, Verdict};
use syncope::history::log::History;
use syncope::history::{Event, FORMAT, Header, What};
use syncope::names::HARNESS;
use syncope::run;
use syncope::scenario::{Overrides, Scenario, Source, resolve};
use syncope::sim::SimBackend;
use syncope::sim::world::BEGIN;

/// `Err` with every reason, if the text is no scenario.
pub fn read(text: &str) -> Result<Scenario, String> {
    resolve(&Source::new(PathBuf::from("generated.yaml"), text.to_owned()), &Overrides::default()).map_err(
        |errors| {
            errors
                .iter()
                .map(|error| format!("{}: {}", error.line, error.message))
                .collect::<Vec<_>>()
                .join("; ")
        },
    )
}

pub fn history_of(text: &str, scenario: &Scenario, seed: u64) -> History {
    let mut backend = SimBackend::open(scenario, seed).expect("a reference system can be simulated");
    let header = Header {
        format: FORMAT,
        run_id: "bounds".into(),
        path: scenario.name.clone(),
        source: text.into(),
        backend: "sim".into(),
        seed,
        time_scale: None,
        started_at: "2023-11-14T22:13:20Z".into(),
        repeat: 1,
        replay: String::new(),
    };
    let note = |at, ev| Event { at, by: HARNESS.into(), ev };
    let mut events = vec![note(BEGIN, What::Header(Box::new(header)))];
    run::drive(&mut backend, scenario, seed, &|| false, &mut |event| events.push(event));
    events.push(note(backend.now(), What::End));
    History::from_events(events, false).expect("a history begins with its header")
}

pub fn simulate(text: &str, scenario: &Scenario, seed: u64) -> (Judged, History) {
    let history = history_of(text, scenario, seed);
    (check::judge(scenario, &history), history)
}

/// Name and note of each check that failed.
pub fn failed(judged: &Judged) -> Vec<(String, String)> {
    let failed = judged.checks.iter().filter(|check| check.verdict == Verdict::Fail);
    failed.map(|check| (check.name.clone(), check.note.clone())).collect()
}
