//! `summary.json`.

use crate::report::Summary;

/// Pretty-printed, with a newline at its end.
#[must_use]
pub fn render(summary: &Summary) -> Vec<u8> {
    // A summary holds only strings, numbers and lists: writing it to memory cannot fail.
    let mut bytes = serde_json::to_vec_pretty(summary).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
