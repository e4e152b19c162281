//! `syncope tune`: which settings hold what a question asks, what each costs, and which to take.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use super::exit;
use crate::cli::input::{self, Input};
use crate::report::answer;
use crate::scenario::question::{self, Question};
use crate::scenario::{FileKind, render};
use crate::tune::{self, Answer};

/// Which settings hold what is asked, and what each of them costs.
///
/// A question names a system, the settings that may move, what must hold and what has to be borne. Every
/// combination is judged by the timing model: bounds that hold on every run, and rates of mistakes in
/// closed form.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The question's file.
    #[arg(value_name = "FILE")]
    path: PathBuf,
    /// Of the samples of rare mistakes: the same seed gives the same answer.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As JSON, with the whole front.
    #[arg(long)]
    json: bool,
    /// Write answer.html, with pictures, answer.md and answer.json into this folder too.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// The exit code: 0 with a recommendation, 1 if no setting holds what is asked, 2 with every error.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let question = match read(args) {
        Ok(question) => question,
        Err(text) => {
            let _ = write!(anstream::stderr(), "{text}");
            return exit::USAGE;
        }
    };
    let found = tune::answer(&question, args.seed);
    let text = if args.json { answer::json(&question, &found) } else { answer::text(&question, &found) };
    // A reader that went away has seen enough.
    let _ = anstream::stdout().write_all(text.as_bytes());
    if let Some(folder) = &args.out
        && let Err(error) = store(folder, &question, &found)
    {
        anstream::eprintln!("error: failed to write to {}: {error}", folder.display());
        return exit::USAGE;
    }
    if found.recommended.is_some() { exit::PASS } else { exit::FAIL }
}

fn read(args: &Args) -> Result<Question, String> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let Input { source, kind } = input::read(&args.path).map_err(|errors| render(&errors, colour))?;
    if kind != FileKind::Question {
        let path = args.path.display();
        return Err(format!("error: {path} is no question: it has neither `vary` nor `hold`\n"));
    }
    question::read(&source).map_err(|errors| render(&errors, colour))
}

fn store(folder: &Path, question: &Question, answer: &Answer) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("answer.html"), answer::html(question, answer))?;
    fs::write(folder.join("answer.md"), answer::markdown(question, answer))?;
    fs::write(folder.join("answer.json"), answer::json(question, answer))
}
