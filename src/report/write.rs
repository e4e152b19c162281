//! Writes a run's reports, each whole or not at all.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::history::log::History;
use crate::report::{Summary, html, json, junit, markdown};

/// Where the reports are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    pub summary: PathBuf,
    pub junit: PathBuf,
    pub markdown: PathBuf,
    pub html: PathBuf,
}

/// Writes the four reports into the run's directory `dir` and lets `latest` beside it point at it.
///
/// # Errors
/// If a report cannot be written, or `latest` is something else than a symbolic link.
pub fn write_all(dir: &Path, summary: &Summary, histories: &[History]) -> io::Result<Paths> {
    let paths = write_reports(dir, summary, histories)?;
    point_latest(dir)?;
    Ok(paths)
}

/// Writes the four reports and leaves `latest` alone: for a run that is judged again.
///
/// # Errors
/// If a report cannot be written.
pub fn write_reports(dir: &Path, summary: &Summary, histories: &[History]) -> io::Result<Paths> {
    fs::create_dir_all(dir)?;
    Ok(Paths {
        summary: replace(dir, "summary.json", &json::render(summary))?,
        junit: replace(dir, "junit.xml", &junit::render(summary))?,
        markdown: replace(dir, "report.md", &markdown::render(summary))?,
        html: replace(dir, "report.html", &html::render(summary, histories))?,
    })
}

/// A reader sees the old file or the new one, never a half.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = dir.join(name);
    let in_work = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    fs::write(&in_work, bytes)?;
    fs::rename(&in_work, &path)?;
    Ok(path)
}

fn point_latest(dir: &Path) -> io::Result<()> {
    // The directory may itself be named through `latest`.
    let dir = fs::canonicalize(dir)?;
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Ok(());
    };
    let in_work = parent.join(format!(".latest.{}.tmp", std::process::id()));
    match fs::remove_file(&in_work) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(name, &in_work)?;
    fs::rename(&in_work, parent.join("latest")).inspect_err(|_| {
        let _ = fs::remove_file(&in_work);
    })
}
