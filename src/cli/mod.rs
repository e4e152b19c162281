//! The command line: one file per command. Parses, calls, turns the outcome into an exit code.

mod catalog;
mod check;
mod claims;
mod clean;
mod doctor;
pub mod exit;
mod ground;
pub mod input;
mod model;
mod report;
mod run;
mod run_file;
mod schema;
mod simulate;
mod stored;
mod tune;
mod tune_ledger;
mod warnings;

use std::io::IsTerminal as _;

use clap::{Parser, Subcommand};

/// Chaos and fault-tolerance tests for fleets of background workers.
///
/// A YAML scenario brings up Redis, Postgres and a worker fleet, injects faults, heals them, and
/// judges what was measured against a timing model.
///
/// Exit codes: 0 pass, 1 fail, 2 bad usage or an invalid file, 3 inconclusive, 4 the environment
/// cannot run it, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "syncope", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios (default: scenarios/) and report.
    Run(run::Args),
    /// Parse, resolve and lint scenario files; touch nothing.
    Check(check::Args),
    /// Judge a stored run again and rebuild its reports.
    Report(report::Args),
    /// Remove what any earlier run left.
    Clean(clean::Args),
    /// Is this machine able to run this, and how quiet is it?
    Doctor(doctor::Args),
    /// Bounds and tolerances of a known job system or of a scenario, with their derivation.
    Model(model::Args),
    /// Which settings hold what is asked, what each costs, and which to take.
    Tune(tune::Args),
    /// The known job systems and their worst cases.
    Catalog(catalog::Args),
    /// Print the JSON Schema of scenarios or of summary.json.
    Schema(schema::Args),
    /// Removes a run's remains when its harness dies.

    #[command(name = crate::live::provision::cleanup::WATCHDOG_COMMAND, hide = true)]
    Watchdog(WatchdogArgs),
    #[command(hide = true)]
    Explore(NotBuilt),
    #[command(hide = true)]
    Compare(NotBuilt),
}

#[derive(Debug, clap::Args)]
struct WatchdogArgs {
    words: Vec<String>,
}

/// A command that is planned and not there yet.
#[derive(Debug, clap::Args)]
struct NotBuilt {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

/// Runs the command that the process's arguments name, and returns its exit code.
#[must_use]
pub fn main() -> u8 {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Clean(args) => clean::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Watchdog(args) => crate::live::provision::cleanup::watchdog_main(&args.words),
        Command::Model(args) => model::run(&args),
        Command::Catalog(args) => catalog::run(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Explore(_) => not_built("explore"),
        Command::Compare(_) => not_built("compare"),
    }
}

fn not_built(command: &str) -> u8 {
    anstream::eprintln!("error: `syncope {command}` is not built yet");
    exit::ENVIRONMENT
}

/// Whether what goes to stderr is coloured.
fn errors_in_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
