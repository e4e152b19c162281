//! The `syncope` command.

use std::process::ExitCode;

/// A run in virtual time asks for memory many thousand times a second and gives it back at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(syncope::cli::main())
}
