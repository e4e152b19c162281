//! Which claims a run is judged by, and where a run keeps them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::input;
use crate::scenario::claims::{self, Claims};
use crate::scenario::{Diagnostic, Source};

/// Beside the histories, so that a stored run is judged by the claims that it was run with.
const FILE: &str = "claims.yaml";

/// The file that was asked for; else the one among the scenarios; else the repository's, if the working
/// folder is one; else those that come with the program.
///
/// # Errors
/// Every mistake in the file.
pub fn choose(asked: Option<&Path>, among_scenarios: Option<Source>) -> Result<Claims, Vec<Diagnostic>> {
    let usual = PathBuf::from(claims::BUILTIN_PATH);
    let source = match (asked, among_scenarios) {
        (Some(path), _) => input::read(path)?.source,
        (None, Some(source)) => source,
        (None, None) if usual.is_file() => input::read(&usual)?.source,
        (None, None) => claims::builtin(),
    };
    claims::read(&source, None)
}

/// # Errors
/// If the file cannot be written.
pub fn store(directory: &Path, claims: &Claims) -> io::Result<()> {
    fs::write(directory.join(FILE), claims.text())
}

/// What `store` wrote; `None` for a run from before there were claims.
///
/// # Errors
/// If the file is there, and cannot be read or is wrong.
pub fn load(directory: &Path) -> Result<Option<Claims>, Vec<Diagnostic>> {
    let path = directory.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    claims::read(&input::read(&path)?.source, None).map(Some)
}
