//! `syncope doctor`: what this machine has, what it lacks, and how quiet it is.

use std::io::{self, Write};
use std::time::Duration;

use crate::live::provision::survey::{Finding, Standing, Survey, survey};

/// Is this machine able to run this, and how quiet is it?
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to listen for scheduling delays, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    listen: u64,
}

/// Exit code: 0 if at least one backend with real processes can run, else 4.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let survey = survey(Duration::from_secs(args.listen));
    // A closed output changes nothing about the machine.
    let _ = print(&survey);
    if survey.docker_runs || survey.process_runs { 0 } else { 4 }
}

fn print(survey: &Survey) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let width = survey.findings.iter().map(|finding| finding.what.len()).max().unwrap_or_default();
    for Finding { what, standing, detail, hint } in &survey.findings {
        let mark = match standing {
            Standing::Here => "ok     ",
            Standing::Missing => "missing",
            Standing::Note => "note   ",
        };
        writeln!(out, "{mark}  {what:width$}  {detail}")?;
        if let Some(hint) = hint {
            writeln!(out, "         {:width$}  {hint}", "")?;
        }
    }
    let can = |yes: bool| if yes { "can run here" } else { "cannot run here" };
    writeln!(
        out,
        "\n--backend docker {}, --backend process {}",
        can(survey.docker_runs),
        can(survey.process_runs)
    )
}
