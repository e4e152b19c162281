
        Command::Catalog(_) => not_built("catalog"),
        Command::Check(args) => check::run(&args),
        Command::Clean(args) => clean::run(&args),
        Command::Compare(_) => not_built("compare"),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explore(_) => not_built("explore"),
        Command::Model(_) => not_built("model"),
        Command::Report(args) => report::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Tune(_) => not_built("tune"),
        Command::Watchdog(args) => clean::watchdog(&args),
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    #[command(hide = true)]
    #[command(name = crate::live::provision::WATCHDOG, hide = true)]
    #[command(subcommand)]
    /// Is this machine able to run this, and how quiet is it?
    /// Judge a stored run again and rebuild its reports.
    /// Parse, resolve and lint scenario files; touch nothing.
    /// Print the JSON Schema of scenarios or of summary.json.
    /// Remove what any earlier run left.
    /// Removes a run's remains when its harness dies.
    /// Run scenarios (default: scenarios/) and report.
    Catalog(NotBuilt),
    Check(check::Args),
    Clean(clean::Args),
    Compare(NotBuilt),
    Doctor(doctor::Args),
    Explore(NotBuilt),
    Model(NotBuilt),
    Report(report::Args),
    Run(run::Args),
    Schema(schema::Args),
    Tune(NotBuilt),
    Watchdog(clean::WatchdogArgs),
    _rest: Vec<String>,
    anstream::eprintln!("error: `syncope {command}` is not built yet");
    command: Command,
    exit::ENVIRONMENT
    match Cli::parse().command {
    }
#[command(name = "syncope", version, max_term_width = 100)]
#[derive(Debug, Parser)]
#[derive(Debug, Subcommand)]
#[derive(Debug, clap::Args)]
#[must_use]
//! The command line: one file per command. Parses, calls, turns the outcome into an exit code.
//! The commands, one file each. Nothing else but the console reporter writes to the terminal.
///
/// A YAML scenario brings up Redis, Postgres and a worker fleet, injects faults, heals them, and
/// A command that is planned and not there yet.
/// Chaos and fault-tolerance tests for fleets of background workers.
/// Exit codes: 0 pass, 1 fail, 2 bad usage or an invalid file, 3 inconclusive, 4 the environment
/// Runs the command that the process's arguments name, and returns its exit code.
/// cannot run it, 130 interrupted.
/// judges what was measured against a timing model.
enum Command {
fn not_built(command: &str) -> u8 {
mod check;
mod clean;
mod doctor;
mod files;
mod report;
mod run;
mod schema;
pub fn main() -> u8 {
pub mod check;
pub mod exit;
pub mod schema;
struct Cli {
struct NotBuilt {
use clap::{Parser, Subcommand};
}
