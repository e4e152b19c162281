//! The few socket operations that the proxy needs.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Tries at a port that was free a moment ago.
const TRIES_MAX: usize = 16;

/// A socket that is bound to a free port of `ip`, and does not listen yet: connections to it are
/// refused, and nobody else can have the port.
///
/// Linux lets a port that it chose itself go when the socket stops listening, but not one that was
/// asked for by number. Hence two binds, with a moment between them in which the port may be lost.
pub(super) fn bind(ip: IpAddr) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut tries = 0;
    loop {
        tries += 1;
        let address = free_address(ip)?;
        let socket = stream(ip)?;
        match rustix::net::bind(&socket, &address) {
            Ok(()) => {
                // Accepted connections inherit it.
                sockopt::set_tcp_nodelay(&socket, true)?;
                return Ok((socket, address));
            }
            Err(Errno::ADDRINUSE) if tries < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn free_address(ip: IpAddr) -> io::Result<SocketAddr> {
    let finder = stream(ip)?;
    rustix::net::bind(&finder, &SocketAddr::new(ip, 0))?;
    Ok(SocketAddr::try_from(rustix::net::getsockname(&finder)?)?)
}

/// Listens. The port may still have connections of an earlier time, which `SO_REUSEADDR` ignores.
pub(super) fn open_port(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_socket_reuseaddr(socket, true)?;
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// Closes the port of a listening socket: connections that wait to be accepted are reset, new ones
/// refused. The port stays this socket's, until [`open_port`].
pub(super) fn close_port(socket: &OwnedFd) -> io::Result<()> {
    rustix::net::shutdown(socket, Shutdown::Read)?;
    // Two sockets that both have it may share a port as long as neither listens.
    Ok(sockopt::set_socket_reuseaddr(socket, false)?)
}

/// The next connection, if one waits.
pub(super) fn accept(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::net::accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            // The client was gone before it was accepted.
            Err(Errno::CONNABORTED | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Begins to connect. Whether it succeeds is learned like anything else about a connection: by
/// reading and writing once `epoll` says that it can be done.
pub(super) fn dial(upstream: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(upstream.ip())?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &upstream) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Closes the connection with a RST instead of a FIN.
pub(super) fn reset(socket: OwnedFd) {
    // Fails on a socket that is no longer connected: then there is nobody to tell.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    drop(socket);
}

fn stream(ip: IpAddr) -> io::Result<OwnedFd> {
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}
