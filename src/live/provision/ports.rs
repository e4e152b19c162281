//! Free loopback ports.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that the kernel gives to outgoing connections, so that none of those takes a
/// port while its server is down.
const FIRST: u32 = 12_000;
const COUNT: u32 = 18_000;

/// A port that nothing listens on, and that this harness gives out once in [`COUNT`] calls.
/// Another program may still take it before it is used: a server that cannot bind is given another.
pub(super) fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Harnesses that run side by side begin in different places.
    let origin = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + origin.wrapping_add(turn) % COUNT).map_err(io::Error::other)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no loopback port is free"))
}
