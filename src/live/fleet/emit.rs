//! A fleet process's events: one JSON line each on standard output.

use std::io::Write as _;

use crate::live::clock;
use crate::protocol::FleetEvent;
use crate::protocol::event::FleetLine;

/// The exit code of a process whose events nobody reads any more.
const NOBODY_LISTENS: i32 = 3;

/// Writes the line with one system call, stamped with the host's monotonic clock. If nobody reads
/// standard output any more, the harness is dead: the process ends.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is to be undone in a fleet process, and nobody is left to tell"
)]
pub fn emit(ev: FleetEvent) {
    let line = FleetLine { at: clock::monotonic(), ev };
    // An event holds nothing that JSON cannot say.
    let Ok(mut text) = serde_json::to_vec(&line) else { return };
    text.push(b'\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(&text).and_then(|()| out.flush()).is_err() {
        std::process::exit(NOBODY_LISTENS);
    }
}

/// This process's wall clock, as a receipt.
pub fn emit_clock() {
    let since = clock::monotonic();
    emit(FleetEvent::Clock { wall: clock::wall(), since });
}
