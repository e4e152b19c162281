//! `syncope check`: parse, resolve, lint; touches nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::input::{self, Input};
use crate::scenario::claims;
use crate::scenario::{Diagnostic, FileKind, Loaded, Overrides, Scenario, catalogue, question, render};
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
    let colour = super::errors_in_colour();
    let (paths, broken) = input::find(&args.paths);
    error(&render(&broken, colour));
    let mut inputs: Vec<_> = paths.iter().map(|path| (path, input::read(path))).collect();
    let is_claims = |input: &Input| input.kind == FileKind::Claims;
    inputs.sort_by_key(|(_, input)| input.as_ref().is_ok_and(is_claims));
    let mut beside = Some(Vec::new());
    let mut is_good = broken.is_empty();
    for (path, input) in inputs {
        match input.and_then(|input| good(&input, &overrides, beside.as_deref())) {
            Ok(good) => {
                tell(path, &good, colour);
                if let (Good::Scenario(loaded), Some(names)) = (good, &mut beside) {
                    names.push(loaded.scenario.name);
                }
            }
            Err(diagnostics) => {
                line(&format!("invalid {}  {}", path.display(), counted(diagnostics.len(), "error")));
                error(&render(&diagnostics, colour));
                is_good = false;
                beside = None;
            }
        }
    }
    if is_good { 0 } else { 2 }
}

/// A file that is good in itself.
enum Good {
    Scenario(Box<Loaded>),
    Claims(usize),
    /// Only the scenario that names it can tell whether it is good.
    Rules,
    Entry(String),
    Question(usize),
}

/// `beside` are the scenarios that are checked with it; `None` if one of them is broken: claims may be of
/// that. Without any they may be of scenarios elsewhere.
fn good(input: &Input, overrides: &Overrides, beside: Option<&[String]>) -> Result<Good, Vec<Diagnostic>> {
    let source = &input.source;
    match input.kind {
        FileKind::Claims => {
            let names: Vec<&str> = beside.unwrap_or_default().iter().map(String::as_str).collect();
            let known = (!names.is_empty()).then_some(names.as_slice());
            claims::read(source, known).map(|claims| Good::Claims(claims.claims.len()))
        }
        FileKind::Rules => Ok(Good::Rules),
        FileKind::Entry => catalogue::read(source).map(|entry| Good::Entry(entry.title)),
        FileKind::Question => question::read(source).map(|question| Good::Question(question.axes.len())),
        FileKind::Scenario { .. } => {
            input::load(source, overrides).map(|loaded| Good::Scenario(Box::new(loaded)))
        }
    }
}

fn tell(path: &Path, good: &Good, colour: bool) {
    let path = path.display();
    match good {
        Good::Scenario(loaded) => {
            line(&format!("ok      {path}  {}", summary(&loaded.scenario, loaded.warnings.len())));
            error(&render(&loaded.warnings, colour));
        }
        Good::Claims(count) => line(&format!("ok      {path}  {}", counted(*count, "claim"))),
        Good::Entry(title) => line(&format!("ok      {path}  catalogue: {title}")),
        Good::Question(axes) => {
            line(&format!("ok      {path}  question: {} may move", counted(*axes, "parameter")));
        }
        Good::Rules => {
            line(&format!("skipped {path}  alerting rules: checked with the scenario that names them"));
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
