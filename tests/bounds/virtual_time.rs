//! A scenario's text, run in virtual time and judged.

use std::path::PathBuf;

use syncope::check::{self, Judged, Verdict};
use syncope::history::log::History;
use syncope::history::{FORMAT, Header};
use syncope::run::ensemble;
use syncope::scenario::{Overrides, Scenario, Source, resolve};

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
    let header = Header {
        format: FORMAT,
        run_id: "bounds".into(),
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
    ensemble::history(scenario, header).expect("a reference system can be simulated")
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
