//! What the worker must hold, told by the laboratory.

mod any_schedule;
mod global_lock;
mod heartbeats;
mod jobs;
mod planted_bugs;
mod stopping;
mod stores;
mod takeover;

use proptest::prelude::*;

use super::*;
use crate::protocol::command::JobStatus;
use crate::protocol::testing::{Lab, Step, at, job, millis, new_heartbeat, old_heartbeat, secs, settings};
use crate::protocol::{HeartbeatSettings, JobSpec, PLANNED_FAILURE, STALLED_TOO_OFTEN};

fn lab() -> Lab {
    Lab::new(settings())
}

fn lab_with(change: impl FnOnce(&mut FleetSettings)) -> Lab {
    let mut settings = settings();
    change(&mut settings);
    Lab::new(settings)
}

fn is_claimed(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::Claimed { .. })
}

fn is_stalled(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::Stalled { .. })
}

fn is_lock_lost(event: &FleetEvent) -> bool {
    matches!(event, FleetEvent::LockLost { .. })
}
