//! `syncope schema`: the JSON Schema of what it reads and writes.

use std::io::Write as _;

/// Print a JSON Schema.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of what.
    #[arg(value_enum, default_value = "scenario")]
    of: Of,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Of {
    /// Scenario files.
    Scenario,
    /// Claims files.
    Claims,
    /// Questions to `syncope tune`.
    Question,
}

/// The exit code.
#[must_use]
pub fn run(args: &Args) -> u8 {
    let text = match args.of {
        Of::Scenario => crate::scenario::schema(),
        Of::Claims => crate::scenario::claims::schema(),
        Of::Question => crate::scenario::question::schema(),
    };
    // A reader that went away has seen enough.
    let _ = anstream::stdout().write_all(text.as_bytes());
    0
}
