//! `syncope check`: parse, resolve, lint; touches nothing.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::input::{self, Input};
use crate::scenario::claims::{self, Claims};
use crate::scenario::{Diagnostic, FileKind, Loaded, Overrides, Scenario, catalogue, load, render};
use crate::time::Scale;

/// Parse, resolve and lint scenarios; touches nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenario files, or folders that are searched for `*.yaml`.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// In place of the files' time scale.
    #[arg(long, value_name = "F")]
    time_scale: Option<Scale>,
}

/// The exit code: 0 if every file is good (warnings do not count), else 2.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let overrides = Overrides { time_scale: args.time_scale, seed: None };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (paths, mut broken) = input::find(&args.paths);
    let mut seen = Seen::default();
    let mut is_good = true;
    for path in paths {
        is_good &= check(&path, &overrides, colour, &mut seen);
    }
    broken.extend(seen.strangers());
    error(&render(&broken, colour));
    if is_good && broken.is_empty() { 0 } else { 2 }
}

/// The good files so far: claims may speak only of scenarios that are there.
#[derive(Default)]
struct Seen {
    scenarios: Vec<String>,
    claims: Vec<Claims>,
}

impl Seen {
    /// Claims that are checked without any scenario may be of scenarios elsewhere.
    fn strangers(&self) -> Vec<Diagnostic> {
        if self.scenarios.is_empty() {
            return Vec::new();
        }
        let known: Vec<&str> = self.scenarios.iter().map(String::as_str).collect();
        self.claims.iter().flat_map(|claims| claims.unknown_scenarios(&known)).collect()
    }
}

/// A file that is good in itself.
enum Good {
    Scenario(Box<Loaded>),
    Claims(Claims),
    /// Only the scenario that names it can tell whether it is good.
    Rules,
    Entry(String),
}

fn good(path: &Path, overrides: &Overrides) -> Result<Good, Vec<Diagnostic>> {
    let Input { source, kind } = input::read(path)?;
    match kind {
        FileKind::Claims => claims::read(&source).map(Good::Claims),
        FileKind::Rules => Ok(Good::Rules),
        FileKind::Entry => catalogue::read(&source).map(|entry| Good::Entry(entry.title)),
        FileKind::Scenario { .. } => load(&source, overrides).map(|loaded| Good::Scenario(Box::new(loaded))),
    }
}

fn check(path: &Path, overrides: &Overrides, colour: bool, seen: &mut Seen) -> bool {
    match good(path, overrides) {
        Ok(Good::Scenario(loaded)) => {
            let Loaded { scenario, warnings } = *loaded;
            line(&format!("ok      {}  {}", path.display(), summary(&scenario, warnings.len())));
            error(&render(&warnings, colour));
            seen.scenarios.push(scenario.name);
            true
        }
        Ok(Good::Claims(claims)) => {
            line(&format!("ok      {}  {}", path.display(), counted(claims.claims.len(), "claim")));
            seen.claims.push(claims);
            true
        }
        Ok(Good::Entry(title)) => {
            line(&format!("ok      {}  catalogue: {title}", path.display()));
            true
        }
        Ok(Good::Rules) => {
            line(&format!(
                "skipped {}  alerting rules: checked with the scenario that names them",
                path.display()
            ));
            true
        }
        Err(diagnostics) => {
            let count = counted(diagnostics.len(), "error");
            line(&format!("invalid {}  {count}", path.display()));
            error(&render(&diagnostics, colour));
            false
        }
    }
}

/// System, size, and how long it takes.
fn summary(scenario: &Scenario, warnings: usize) -> String {
    let mut parts = vec![
        scenario.fleet.system.clone(),
        counted(scenario.fleet.processes.len(), "process"),
        counted(scenario.workload.jobs as usize, "job"),
        counted(scenario.faults.len(), "fault"),
        format!("about {:.1} s", scenario.expected_length().as_secs_f64()),
    ];
    if warnings > 0 {
        parts.push(counted(warnings, "warning"));
    }
    parts.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    let plural = if what.ends_with('s') { "es" } else { "s" };
    format!("{count} {what}{}", if count == 1 { "" } else { plural })
}

/// A reader that went away has seen enough: failures to write are no failures of the check.
fn line(text: &str) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

fn error(text: &str) {
    let _ = write!(anstream::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    const GOOD: &str = "{name: a, fleet: {system: redis-queue}, \
        workload: {jobs: 1, arrival: {every: 1s}, step_time: {constant: 1s}}}";

    fn code(paths: &[&Path]) -> u8 {
        let words = std::iter::once(Path::new("check")).chain(paths.iter().copied());
        let matches = Args::augment_args(clap::Command::new("check")).get_matches_from(words);
        run(&Args::from_arg_matches(&matches).unwrap())
    }

    #[test]
    fn one_bad_file_in_a_folder_makes_the_exit_code_two() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no scenario").unwrap();
        assert_eq!(code(&[folder.path()]), 2, "a folder without scenarios");
        std::fs::write(inner.join("good.yaml"), GOOD).unwrap();
        assert_eq!(code(&[folder.path()]), 0);
        std::fs::write(inner.join("latin.yaml"), b"name: \xe9").unwrap();
        assert_eq!(code(&[folder.path()]), 2, "not UTF-8");
        assert_eq!(code(&[&folder.path().join("missing.yaml")]), 2);
    }

    #[test]
    fn claims_are_compared_with_the_scenarios_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let claims = folder.path().join("claims.yaml");
        let of = |scenario: &str| {
            format!(
                "claims: [{{id: A, text: So it is., measured: \
                 [{{scenario: {scenario}, figure: lost, holds: 0}}]}}]"
            )
        };
        std::fs::write(&claims, of("b")).unwrap();
        assert_eq!(code(&[&claims]), 0, "the scenarios may be elsewhere");
        std::fs::write(folder.path().join("a.yaml"), GOOD).unwrap();
        assert_eq!(code(&[folder.path()]), 2, "there is no b");
        std::fs::write(&claims, of("a")).unwrap();
        assert_eq!(code(&[folder.path()]), 0);
    }
}
