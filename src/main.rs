//! The `syncope` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(syncope::cli::main())
}
