//! A process of the reference fleet: `syncope-fleet worker|api|catalogue|pool|site|exporter|table-worker|sweeper`.

use std::io::Write as _;
use std::process::ExitCode;

use syncope::live::fleet::{self, Ended, Environment};
use syncope::protocol::{FleetRole, TableRole};

/// Ended with work undone, or could not go on.
const FAILED: u8 = 1;
/// Bad usage, or something missing in the environment.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker"] => Role::Fleet(FleetRole::Worker),
        ["api"] => Role::Fleet(FleetRole::Api),
        ["catalogue"] => Role::Fleet(FleetRole::Catalogue),
        ["pool"] => Role::Fleet(FleetRole::Pool),
        ["site"] => Role::Fleet(FleetRole::Site),
        ["exporter"] => Role::Fleet(FleetRole::Exporter),
        ["table-worker"] => Role::Table(TableRole::Worker),
        ["sweeper"] => Role::Table(TableRole::Sweeper),
        _ => {
            return complain(
                USAGE,
                "usage: syncope-fleet worker|api|catalogue|pool|site|exporter|table-worker|sweeper",
            );
        }
    };
    // One thread, as the fleet's processes are many and small.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(FAILED, &format!("failed to start: {error}")),
    };
    let environment = Environment::of_process();
    let ended = runtime.block_on(async {
        match role {
            Role::Fleet(role) => fleet::run(role, &environment).await,
            Role::Table(role) => fleet::run_table(role, &environment).await,
        }
    });
    match ended {
        Ok(Ended { forced: false }) => ExitCode::SUCCESS,
        Ok(Ended { forced: true }) => ExitCode::from(FAILED),
        Err(error @ fleet::FleetError::Environment(_)) => complain(USAGE, &error.to_string()),
        Err(error) => complain(FAILED, &error.to_string()),
    }
}

enum Role {
    Fleet(FleetRole),
    /// Of a fleet whose jobs are in Postgres.
    Table(TableRole),
}

fn complain(code: u8, message: &str) -> ExitCode {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "syncope-fleet: {message}");
    ExitCode::from(code)
}
