//! What a run's folder says of the run, beside its histories.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::report::{NotRun, RunInfo};

const RUN_FILE: &str = "run.json";

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
pub fn write(directory: &Path, info: &RunInfo, folders: Vec<String>) -> io::Result<()> {
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
pub fn read(directory: &Path) -> io::Result<StoredRun> {
    Ok(serde_json::from_slice(&fs::read(directory.join(RUN_FILE))?)?)
}
