//! `summary.json`.

use crate::check::{Judged, Simulated, Spread};
use crate::report::Summary;

/// Pretty-printed, with a newline at its end. Without the simulated values one by one: a run of many
/// repeats would hold them once for each.
#[must_use]
pub fn render(summary: &Summary) -> Vec<u8> {
    let summary = Summary { scenarios: summary.scenarios.iter().map(slim).collect(), ..summary.clone() };
    // A summary holds only strings, numbers and lists: writing it to memory cannot fail.
    let mut bytes = serde_json::to_vec_pretty(&summary).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn slim(judged: &Judged) -> Judged {
    let slim = |spread: &Spread| Spread { values: Vec::new(), ..spread.clone() };
    let sim = judged.sim.as_ref().map(|sim| Simulated {
        detection_ms: sim.detection_ms.as_ref().map(slim),
        recovery_ms: sim.recovery_ms.as_ref().map(slim),
        ..sim.clone()
    });
    Judged { sim, ..judged.clone() }
}
