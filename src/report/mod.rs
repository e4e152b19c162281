//! Reports: pure functions from what was judged, and the histories, to bytes; and the console.
//!
//! **Invariants**: reporters compute no facts (they print what `check` measured; the timeline draws
//! the history's events). The same input gives the same bytes: no clock, no absolute path. Every
//! text that comes from a run (ids, proofs, output of processes) is untrusted: it passes
//! [`text::clean`] and then the escaping of its format.

pub mod answer;
pub mod axis;
pub mod claims;
pub mod console;
pub mod figures;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod summary;
pub mod svg;
pub mod text;
pub mod timeline;
mod view;
pub mod write;

pub use console::{Console, Mode};
pub use summary::{NotRun, RunInfo, Summary, merge, schema};
pub use write::{Paths, write_all, write_reports};
