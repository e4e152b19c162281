//! `syncope tune`: which settings hold what a question asks, what each costs, and which to take.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::exit;
use crate::cli::ground::BackendChoice;
use crate::cli::input::{self, Input};
use crate::cli::stored;
use crate::cli::tune_ledger::Journal;
use crate::report::answer;
use crate::report::console::{Console, Mode};
use crate::scenario::question::{self, Question};
use crate::scenario::{FileKind, render};
use crate::tune::proof::{self, Finding};
use crate::tune::{self, Answer, Means, Trace};

/// Which settings hold what is asked, and what each of them costs.
///
/// A question names a system, the settings that may move, what must hold and what has to be borne. Every
/// combination is judged by the timing model: bounds that hold on every run, and rates of mistakes in
/// closed form. What is shown is simulated too.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The question's file.
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Of the samples and the simulations: the same seed gives the same answer.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of the simulation of each setting that is shown, about; 0: none is simulated.
    #[arg(long, value_name = "N", default_value_t = 4_000_000)]
    events: u64,
    /// As JSON, with the whole front.
    #[arg(long)]
    json: bool,
    /// Write answer.html, with pictures, answer.md and answer.json into this folder too. What was simulated is
    /// kept there as it is found: a search that was cut short is taken up again.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take beat delays and pauses from recorded runs, in place of the question's: a run's folder, as in
    /// reports/latest, or one scenario's in it; may be given several times.
    #[arg(long, value_name = "DIR")]
    trace: Vec<PathBuf>,
    /// Try the recommended and the present setting on real stores and processes, with the question's pauses
    /// and a kill -9, and tell what was measured beside what was predicted.
    #[arg(long)]
    verify: bool,
    /// Of `--verify`: where.
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto, requires = "verify")]
    backend: BackendChoice,
    /// Of `--verify`: runs of each scenario.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000), requires = "verify")]
    repeat: u32,
}

/// The exit code: 0 with a recommendation, 1 if no setting holds what is asked or a prediction is not what was
/// measured, 2 with every error; with `--verify` also 3 and 4, as of `run`.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let (question, trace) = match read(args).and_then(|question| traced(args, question)) {
        Ok(read) => read,
        Err(text) => {
            let _ = write!(anstream::stderr(), "{text}");
            return exit::USAGE;
        }
    };
    let means = Means { events: args.events, ..Means::of_seed(args.seed) };
    let console = Console::new(Mode::detect());
    let mut found = match search(args, &question, &means, &console) {
        Ok(found) => found,
        Err(error) => return unwritten(args.out.as_deref().unwrap_or(Path::new(REPORTS)), &error),
    };
    found.trace = trace;
    let mut proved = exit::PASS;
    if args.verify {
        match verify(args, &question, &found, &console) {
            Ok((findings, code)) => (found.proved, proved) = (findings, code),
            Err(code) => return code,
        }
    }
    let text = if args.json { answer::json(&question, &found) } else { answer::text(&question, &found) };
    // A reader that went away has seen enough.
    let _ = anstream::stdout().write_all(text.as_bytes());
    if let Some(folder) = &args.out
        && let Err(error) = store(folder, &question, &found)
    {
        return unwritten(folder, &error);
    }
    if found.recommended.is_some() { proved } else { exit::FAIL }
}

/// The answer; with `--out`, what was simulated is kept there as it is found.
fn search(args: &Args, question: &Question, means: &Means, console: &Console) -> io::Result<Answer> {
    let journal = Journal::open(args.out.as_deref(), console)?;
    let found = tune::answer_with(question, means, &journal);
    journal.close()?;
    Ok(found)
}

fn unwritten(folder: &Path, error: &io::Error) -> u8 {
    anstream::eprintln!("error: failed to write to {}: {error}", folder.display());
    exit::USAGE
}

/// Where reports go, unless `--out` says otherwise.
const REPORTS: &str = "reports";

/// What the trials found, and the exit code that this makes. The scenarios stay beside their reports.
fn verify(
    args: &Args,
    question: &Question,
    answer: &Answer,
    console: &Console,
) -> Result<(Vec<Finding>, u8), u8> {
    let trials = proof::trials(question, answer).map_err(|untried| {
        anstream::eprintln!("error: {untried}");
        exit::ENVIRONMENT
    })?;
    let folder = args.out.clone().unwrap_or_else(|| REPORTS.into()).join("verify");
    let failed = |error: io::Error| unwritten(&folder, &error);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut paths = Vec::new();
    for trial in &trials {
        let path = folder.join(format!("{}.yaml", trial.name));
        fs::write(&path, &trial.yaml).map_err(failed)?;
        paths.push(path);
    }
    let wanted = super::run::Args::of(paths, args.backend, args.repeat, args.seed, folder.clone());
    let done = super::run::carry_out(&wanted, console)?;
    console.note(&format!("tried: {}", done.paths.html.display()));
    let findings = proof::findings(question, answer, &trials, &done.summary.scenarios);
    let code = if findings.iter().any(|it| it.agrees == Some(false)) {
        exit::FAIL
    } else if findings.iter().any(|it| it.agrees.is_none()) {
        // Interrupted, not to be run here, or inconclusive.
        if done.code == exit::PASS { exit::INCONCLUSIVE } else { done.code }
    } else {
        exit::PASS
    };
    Ok((findings, code))
}

fn read(args: &Args) -> Result<Question, String> {
    let colour = super::errors_in_colour();
    let Input { source, kind } = input::read(&args.path).map_err(|errors| render(&errors, colour))?;
    if kind != FileKind::Question {
        let path = args.path.display();
        return Err(format!("error: {path} is no question: it has neither `vary` nor `hold`\n"));
    }
    question::read(&source).map_err(|errors| render(&errors, colour))
}

/// The question with what was recorded in place of what it assumes.
fn traced(args: &Args, mut question: Question) -> Result<(Question, Option<Trace>), String> {
    if args.trace.is_empty() {
        return Ok((question, None));
    }
    let mut runs = Vec::new();
    for directory in &args.trace {
        for folder in stored::folders(directory).map_err(as_error)? {
            runs.push(stored::read(&folder).map_err(as_error)?);
        }
    }
    let trace = Trace::of(runs.iter().map(|(scenario, history)| (scenario, history)));
    if trace.delay.is_none() && trace.pauses.is_none() {
        let runs = trace.runs;
        return Err(as_error(format!("nothing can be learnt from {runs} runs: no beats in a row, no pause")));
    }
    trace.replace(&mut question.bear);
    Ok((question, Some(trace)))
}

fn as_error(text: String) -> String {
    format!("error: {text}\n")
}

fn store(folder: &Path, question: &Question, answer: &Answer) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("answer.html"), answer::html(question, answer))?;
    fs::write(folder.join("answer.md"), answer::markdown(question, answer))?;
    fs::write(folder.join("answer.json"), answer::json(question, answer))
}
