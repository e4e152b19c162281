//! What the harness sees: the host's hiccups, what a user of the system would be told, the final
//! state of every job; and the producer, whose asks and answers are observations too.

pub(crate) mod connection;
pub mod effects;
pub mod hiccup;
pub mod probe;
pub mod producer;
mod queue;
mod ready;
pub mod restarts;
mod waiting;
mod watcher;

pub use effects::{LineCount, PAGE_BYTES_MAX, Sources, collect};
pub use hiccup::{HiccupMeter, Subscription};
pub use probe::Prober;
pub use producer::{Links, Producer, Programs, QueueClient};
pub use queue::QueueSampler;
pub use ready::until_ready;
pub use restarts::Restarts;
pub use waiting::WaitMeter;
pub use watcher::Watcher;
