//! Runs as they lie in their folders: each a history, with its scenario in the header.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::run_file;
use crate::history::log::History;
use crate::run::suite::HISTORY;
use crate::scenario::{Overrides, RulesFile, Scenario, Source, render, resolve};

/// The scenario as it was resolved for the run, and what was recorded of it.
///
/// # Errors
/// If the folder has no history, or it cannot be read, in a sentence.
pub fn read(folder: &Path) -> Result<(Scenario, History), String> {
    let path = folder.join(HISTORY);
    let failed = |error: String| format!("{}: {error}", path.display());
    let file = File::open(&path).map_err(|error| failed(error.to_string()))?;
    let history = History::read(BufReader::new(file)).map_err(|error| failed(error.to_string()))?;
    let header = &history.header;
    let time_scale = header.time_scale.as_deref().and_then(|scale| scale.parse().ok());
    let overrides = Overrides { time_scale, seed: Some(header.seed) };
    let mut source = Source::new(&header.path, header.source.as_str());
    if let Some(rules) = &header.rules {
        source = source.with_rules(RulesFile { path: path.clone(), text: Ok(rules.clone()) });
    }
    let scenario = resolve(&source, &overrides).map_err(|diagnostics| failed(render(&diagnostics, false)))?;
    Ok((scenario, history))
}

/// Those of a whole run, as in reports/latest, or the folder of one scenario itself.
///
/// # Errors
/// If it is neither, in a sentence.
pub fn folders(directory: &Path) -> Result<Vec<PathBuf>, String> {
    if directory.join(HISTORY).is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let run = run_file::read(directory)
        .map_err(|error| format!("{} is no run's folder: {error}", directory.display()))?;
    Ok(run.folders.iter().map(|folder| directory.join(folder)).collect())
}
