use std::process::ExitCode;

/// Stands until the command line is there: the parts that provisioning needs.
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let code = match arguments.next().as_deref() {
        Some(syncope::live::provision::cleanup::WATCHDOG_COMMAND) => {
            syncope::live::provision::cleanup::watchdog_main(&arguments.collect::<Vec<_>>())
        }
        _ => 2,
    };
    ExitCode::from(code)
}
