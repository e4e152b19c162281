//! A process of the reference fleet: `syncope-fleet worker|api|catalogue|pool|site|exporter|table-worker|sweeper`;
//! or, where jobs are in Postgres, an operator's question: `syncope-fleet status|stats|job ID|dead-letters|replay ID`;
//! or a program that some jobs need, on standard input: `syncope-fleet digest|sort`.

use std::io::Write as _;
use std::process::ExitCode;

use syncope::live::fleet::operator::{self, Question};
use syncope::live::fleet::{self, Ended, Environment, tools};
use syncope::protocol::{FleetRole, TableRole, Tool};

const HELP: &str = "usage: syncope-fleet worker|api|catalogue|pool|site|exporter|table-worker|sweeper|table-exporter|\
    status|stats|job ID|dead-letters|replay ID|digest|sort";

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
        ["table-exporter"] => Role::Table(TableRole::Exporter),
        ["status"] => Role::Operator(Question::Status),
        ["stats"] => Role::Operator(Question::Statistics),
        ["digest"] => Role::Tool(Tool::Digest),
        ["sort"] => Role::Tool(Tool::Sort),
        ["job", job] => Role::Operator(Question::Job(job.into())),
        ["dead-letters"] => Role::Operator(Question::DeadLetters),
        ["replay", job] => Role::Operator(Question::Replay(job.into())),
        _ => return complain(USAGE, HELP),
    };
    if let Role::Tool(tool) = role {
        return match tools::serve(tool, std::io::stdin(), std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(FAILED, &error.to_string()),
        };
    }
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
            // It has been served.
            Role::Tool(_) => Ok(Ended { forced: false }),
            Role::Operator(question) => {
                let answer = operator::answer(&question, &environment).await?;
                // Nobody may be there to read it.
                let _ = std::io::stdout().write_all(answer.as_bytes());
                Ok(Ended { forced: false })
            }
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
    Operator(Question),
    /// An external program that some jobs need.
    Tool(Tool),
}

fn complain(code: u8, message: &str) -> ExitCode {
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "syncope-fleet: {message}");
    ExitCode::from(code)
}
