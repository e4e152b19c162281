//! `syncope clean`: removes what runs left whose harness no longer lives.

use std::io::{self, Write};

use crate::live::provision::cleanup::clean_all;

/// Remove containers, networks, processes and directories that an earlier run left.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Exit code: 0, or 4 if something could not be removed.
#[must_use]
pub fn run(_args: &Args) -> u8 {
    let cleaned = clean_all();
    let mut out = anstream::stdout().lock();
    let mut said = || -> io::Result<()> {
        for removed in &cleaned.removed {
            writeln!(out, "removed {removed}")?;
        }
        if cleaned.removed.is_empty() && cleaned.failed.is_empty() {
            writeln!(out, "nothing to remove")?;
        }
        for failed in &cleaned.failed {
            writeln!(anstream::stderr(), "failed to remove {failed}")?;
        }
        Ok(())
    };
    // A closed output changes nothing about what was done.
    let _ = said();
    if cleaned.failed.is_empty() { 0 } else { 4 }
}
