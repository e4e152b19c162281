//! What the simulator says beside a run: for each of its scenarios, many seeds in virtual time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::check::{Judged, Simulated};
use crate::cli::ground::cores;
use crate::report::console::Console;
use crate::run::suite::Case;
use crate::run::{crashes, ensemble};

/// Beside the history of a scenario's first repeat.
const FILE: &str = "simulated.json";
/// Seeds for each scenario of a live run: enough for the quantiles that reports show.
pub const RUNS: u64 = 200;

/// By the scenario's path. What cannot be simulated whole is by its liveness pipeline alone, if it has one
/// that is enough; else it is left out.
pub fn all(
    cases: &[Case],
    runs: u64,
    interrupted: &AtomicBool,
    console: &Console,
) -> BTreeMap<String, Simulated> {
    let firsts: Vec<&Case> = cases.iter().filter(|case| case.header.repeat == 1).collect();
    console.note(&format!("simulating {} scenarios, {runs} seeds each", firsts.len()));
    let mut found = BTreeMap::new();
    for case in firsts {
        let simulated = match ensemble::simulate(&case.scenario, &case.header, runs, cores(), interrupted) {
            Ok(simulated) => simulated,
            Err(_) => crashes::simulate(&case.scenario, case.header.seed, cores()),
        };
        if let Some(simulated) = simulated {
            found.insert(case.header.path.clone(), simulated);
        }
    }
    found
}

/// Gives each scenario's figures to its runs, and the gaps to the first of them: it speaks for all.
pub fn attach(judged: &mut [Judged], simulated: &BTreeMap<String, Simulated>) {
    for (path, figures) in simulated {
        let runs: Vec<&Judged> = judged.iter().filter(|judged| judged.path == *path).collect();
        let is_live = runs.iter().any(|judged| judged.backend != "sim");
        let mut gaps = if is_live { figures.gaps(&runs) } else { Vec::new() };
        for judged in judged.iter_mut().filter(|judged| judged.path == *path) {
            judged.sim = Some(figures.clone());
            judged.gaps = std::mem::take(&mut gaps);
        }
    }
}

/// # Errors
/// If the file cannot be written.
pub fn store(folder: &Path, simulated: &Simulated) -> io::Result<()> {
    fs::write(folder.join(FILE), serde_json::to_vec(simulated)?)
}

/// What `store` wrote, if it did.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn load(folder: &Path) -> io::Result<Option<Simulated>> {
    match fs::read(folder.join(FILE)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
