//! What the reference fleet itself does, and no bound forbids.

use std::collections::BTreeSet;

use syncope::check::Judged;
use syncope::history::What;
use syncope::history::log::History;
use syncope::protocol::FleetEvent;

use crate::draft::Draft;

/// A final failure is settled in Redis first, and then told to Postgres by the worker that was answered
/// so. A worker that dies between the two, or to which the answer did not come, leaves a job that the
/// database believes to be in work for ever. As many jobs as had their last attempt, or their last
/// stall, may look lost.
pub fn untold_failures(draft: &Draft, judged: &Judged, history: &History) -> bool {
    let setting = |name: &str, otherwise| {
        let found = draft.settings.iter().find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(otherwise)
    };
    let (attempts, stalls_max) = (setting("attempts", 3), setting("max_stalled_count", 1));
    let mut ended = BTreeSet::new();
    for event in &history.events {
        match &event.ev {
            What::Fleet(FleetEvent::AttemptFailed { job, retry_in: None, .. }) => {
                ended.insert(job);
            }
            What::Fleet(FleetEvent::Claimed { job, attempt, stalls })
                if *attempt >= attempts || *stalls >= stalls_max =>
            {
                ended.insert(job);
            }
            What::Fleet(FleetEvent::Stalled { failed, .. }) => ended.extend(failed),
            _ => {}
        }
    }
    let told = judged.jobs.failed;
    judged.jobs.lost > 0 && judged.jobs.lost + told <= ended.len() as u64
}
