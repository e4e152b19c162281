use std::process::ExitCode;

use clap::Parser;
use syncope::cli::{clean, doctor};
use syncope::live::provision::cleanup::watchdog_main;

/// Stands until the whole command line is there: the parts that provisioning needs.
#[derive(Debug, Parser)]
enum Command {
    Clean(clean::Args),
    Doctor(doctor::Args),
    #[command(name = "__watchdog", hide = true)]
    Watchdog {
        journal: String,
    },
}

fn main() -> ExitCode {
    ExitCode::from(match Command::parse() {
        Command::Clean(args) => clean::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Watchdog { journal } => watchdog_main(&[journal]),
    })
}
