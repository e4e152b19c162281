//! The only place with sockets, containers and processes.

pub mod clock;
pub mod inject;
pub mod observe;
pub mod provision;
pub mod sink;
