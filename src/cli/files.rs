//! Files that commands share: the scenarios that paths mean, and what a run's folder says of the run.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::report::{NotRun, RunInfo};
use crate::scenario::{RulesFile, SOURCE_BYTES_MAX, Source, rules_file};

const RUN_FILE: &str = "run.json";
/// More than any sane folder of scenarios holds.
const FILES_MAX: usize = 10_000;
const DEPTH_MAX: usize = 16;

/// The scenario files that the paths mean, folders with all that is below them, in order of path.
///
/// # Errors
/// If a path does not exist or cannot be read, or a folder holds no scenario.
pub fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut files = Vec::new();
    for path in paths {
        let before = files.len();
        collect(path, 0, &mut files)
            .map_err(|error| format!("failed to read {}: {error}", path.display()))?;
        if files.len() == before {
            return Err(format!("{} holds no .yaml file", path.display()));
        }
    }
    files.sort();
    files.dedup();
    files
        .into_iter()
        .map(|path| {
            let text =
                fs::read(&path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
            let text = String::from_utf8(text).map_err(|_| format!("{} is not UTF-8", path.display()))?;
            Ok(with_rules(Source::new(path, text)))
        })
        .collect()
}

/// The source, with the rules file that it names, if it does.
pub fn with_rules(source: Source) -> Source {
    let Some(named) = rules_file(&source) else { return source };
    let path = source.path().parent().unwrap_or(Path::new("")).join(named);
    // One byte too many is enough to see that it is too large.
    let limit = SOURCE_BYTES_MAX as u64 + 1;
    let mut text = String::new();
    let read = fs::File::open(&path).and_then(|file| file.take(limit).read_to_string(&mut text));
    let text = read.map(|_| text).map_err(|error| error.to_string());
    source.with_rules(RulesFile { path, text })
}

fn collect(path: &Path, depth: usize, into: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        into.push(path.to_owned());
        return Ok(());
    }
    if depth > DEPTH_MAX || into.len() > FILES_MAX {
        return Err(io::Error::other("too many files or folders"));
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if path.is_dir() || is_yaml {
            collect(&path, depth + 1, into)?;
        }
    }
    Ok(())
}

/// What a run's folder keeps beside the histories, so that it can be judged again.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredRun {
    run_id: String,
    backend: String,
    started_at: String,
    interrupted: bool,
    command: String,
    not_run: Vec<NotRun>,
    #[serde(default)]
    host_notes: Vec<String>,
    /// Of the histories, in the order of the report.
    pub folders: Vec<String>,
}

impl From<StoredRun> for RunInfo {
    fn from(stored: StoredRun) -> Self {
        Self {
            run_id: stored.run_id,
            backend: stored.backend,
            started_at: stored.started_at,
            interrupted: stored.interrupted,
            command: stored.command,
            not_run: stored.not_run,
            host_notes: stored.host_notes,
        }
    }
}

/// # Errors
/// If the file cannot be written.
pub fn write_run_info(directory: &Path, info: &RunInfo, folders: Vec<String>) -> io::Result<()> {
    let stored = StoredRun {
        run_id: info.run_id.clone(),
        backend: info.backend.clone(),
        started_at: info.started_at.clone(),
        interrupted: info.interrupted,
        command: info.command.clone(),
        not_run: info.not_run.clone(),
        host_notes: info.host_notes.clone(),
        folders,
    };
    fs::write(directory.join(RUN_FILE), serde_json::to_vec_pretty(&stored)?)
}

/// # Errors
/// If there is no such file, or it is not one that this program wrote.
pub fn read_run_info(directory: &Path) -> io::Result<StoredRun> {
    Ok(serde_json::from_slice(&fs::read(directory.join(RUN_FILE))?)?)
}
