//! Memory that a fleet's process takes when it is told to, so that a limit on it can be reached.

use tokio::signal::unix::{SignalKind, signal};

use super::FleetError;

/// At each signal.
const BYTES: usize = 8 << 20;

/// From now on, each SIGWINCH makes the process 8 MiB larger, for good: the harness's way to have it
/// run out of memory.
///
/// # Errors
/// If the signal cannot be caught.
pub(super) fn grow_when_told() -> Result<(), FleetError> {
    let caught = signal(SignalKind::window_change());
    let mut grow = caught.map_err(|source| FleetError::Io { what: "catch signals", source })?;
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while grow.recv().await.is_some() {
            // Written, so that it is the process's own and not a promise of the kernel's.
            kept.push(vec![1u8; BYTES]);
            std::hint::black_box(&kept);
        }
    });
    Ok(())
}
