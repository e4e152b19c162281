//! The only place with sockets, containers and processes.

pub mod clock;
pub mod environment;
pub mod fleet;
pub mod inject;
pub mod observe;
pub mod provision;
pub mod sink;
pub mod store;
