//! The proxy between real sockets. Nothing here sleeps, and no test says that anything was fast.
//!
//! That something does *not* arrive is checked after a turn of the proxy's loop that began when the
//! bytes were there to be moved: [`Proxy::stats`] is such a turn, since a turn sees all events
//! before it does jobs, and loopback delivers what is written before the write returns.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::fault::Direction;
use crate::names::{Endpoint, Store};
use crate::time::Span;

const HOUR: Span = Span::from_secs(3_600);
const BOTH: Toxic = Toxic::Partition { direction: Direction::Both };
const SLOW: Toxic = Toxic::Latency { latency: HOUR, jitter: Span::ZERO, direction: Direction::Both };

/// A proxy, one link through it, and the server at its end.
pub(super) struct Rig {
    pub proxy: Proxy,
    server: TcpListener,
    pub address: SocketAddr,
    pub links: Vec<Link>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let proxy = Proxy::start(clock).unwrap();
        let server = local_listener();
        let address =
            proxy.listen(link(0), Ipv4Addr::LOCALHOST.into(), Some(server.local_addr().unwrap())).unwrap();
        Self { proxy, server, address, links: vec![link(0)] }
    }

    /// Both ends of a new connection, which carries bytes.
    pub(super) fn connect(&self) -> (TcpStream, TcpStream) {
        let client = self.dial();
        (client, self.accept())
    }

    fn dial(&self) -> TcpStream {
        patient(TcpStream::connect(self.address).unwrap())
    }

    fn accept(&self) -> TcpStream {
        patient(self.server.accept().unwrap().0)
    }

    pub(super) fn apply(&self, toxic: Toxic) -> Applied {
        self.proxy.apply(&self.links, toxic).unwrap()
    }

    pub(super) fn clear(&self) -> Applied {
        self.proxy.clear(&self.links).unwrap()
    }

    fn stats(&self) -> LinkStats {
        self.proxy.stats(&self.links[0]).unwrap()
    }

    fn wait_until(&self, what: impl Fn(LinkStats) -> bool) {
        while !what(self.stats()) {
            std::thread::yield_now();
        }
    }
}

pub(super) fn link(number: usize) -> Link {
    Link { from: format!("worker-{number}").into(), to: Endpoint::Store(Store::Redis) }
}

pub(super) fn local_listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// A test that waits for what never comes fails instead of hanging.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

pub(super) fn clock() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    Instant::from_nanos(u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap())
}

pub(super) fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[track_caller]
pub(super) fn assert_passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    assert_eq!(read(to, bytes.len()), bytes);
}

#[track_caller]
pub(super) fn assert_silent(rig: &Rig, stream: &mut TcpStream) {
    rig.stats();
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
}

#[track_caller]
pub(super) fn assert_reset(stream: &mut TcpStream) {
    let read = stream.read(&mut [0; 64]);
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[track_caller]
pub(super) fn assert_end(stream: &mut TcpStream) {
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
}

pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    assert_passes(&mut client, &mut server, b"PING");
    assert_passes(&mut server, &mut client, b"PONG!");
    let stats = rig.stats();
    assert_eq!((stats.upstream_bytes, stats.downstream_bytes), (4, 5));
    assert_eq!((stats.accepted, stats.open), (1, 1));
}

#[test]
fn a_half_closed_connection_still_carries_the_answer() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    rig.wait_until(|stats| stats.open == 0);
}

#[test]
fn bulk_that_the_reader_is_slow_to_take_arrives_whole() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let sent = pattern(16 << 20);
    let copy = sent.clone();
    let writer = std::thread::spawn(move || client.write_all(&copy).unwrap());
    assert!(read(&mut server, sent.len()) == sent, "16 MiB arrive as they were sent");
    writer.join().unwrap();
}

#[test]
fn a_reset_of_one_side_resets_the_other() {
    let rig = Rig::new();
    let (client, mut server) = rig.connect();
    socket::reset(client.into());
    assert_reset(&mut server);

    let (mut client, server) = rig.connect();
    socket::reset(server.into());
    assert_reset(&mut client);
    rig.wait_until(|stats| stats.open == 0);
}

#[test]
fn a_server_that_dies_with_unread_bytes_resets_the_client() {
    let rig = Rig::new();
    let (mut client, server) = rig.connect();
    client.write_all(b"never read").unwrap();
    rig.wait_until(|stats| stats.upstream_bytes == 10);
    drop(server);
    assert_reset(&mut client);
}

#[test]
fn an_upstream_that_refuses_resets_its_connections() {
    let Rig { proxy, server, address, links } = Rig::new();
    drop(server);
    assert_reset(&mut patient(TcpStream::connect(address).unwrap()));
    assert_eq!(proxy.stats(&links[0]).unwrap().upstream_refused, 1);
}

#[test]
fn connections_wait_for_an_upstream_that_is_not_named_yet() {
    let Rig { proxy, server, .. } = Rig::new();
    let wait_for_open = |count| while proxy.stats(&link(1)).unwrap().open != count {};
    let address = proxy.listen(link(1), Ipv4Addr::LOCALHOST.into(), None).unwrap();
    let gave_up = TcpStream::connect(address).unwrap();
    let mut client = patient(TcpStream::connect(address).unwrap());
    client.write_all(b"early").unwrap();
    wait_for_open(2);
    drop(gave_up);
    wait_for_open(1);
    // A toxic holds it longer still.
    proxy.apply(&[link(1)], BOTH).unwrap();
    proxy.set_upstream(&link(1), server.local_addr().unwrap()).unwrap();
    proxy.heal(&[link(1)], BOTH).unwrap();
    let mut server_side = patient(server.accept().unwrap().0);
    let mut said = [0; 5];
    server_side.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"early");

    let address = proxy.listen(link(2), Ipv4Addr::LOCALHOST.into(), None).unwrap();
    let mut client = patient(TcpStream::connect(address).unwrap());
    proxy.set_upstream(&link(2), server.local_addr().unwrap()).unwrap();
    server.accept().unwrap().0.write_all(b"hello").unwrap();
    client.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello");
}

#[test]
fn a_new_upstream_is_for_new_connections() {
    let rig = Rig::new();
    let (mut old_client, mut old_server) = rig.connect();
    let other = local_listener();
    rig.proxy.set_upstream(&link(0), other.local_addr().unwrap()).unwrap();
    let mut client = rig.dial();
    let mut server = patient(other.accept().unwrap().0);
    assert_passes(&mut client, &mut server, b"new");
    assert_passes(&mut old_client, &mut old_server, b"old");
}

#[test]
fn latency_delays_each_direction_by_itself_and_keeps_the_order() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let (latency, jitter) = (Span::from_millis(20), Span::from_millis(15));
    rig.apply(Toxic::Latency { latency, jitter, direction: Direction::Upstream });
    let started = clock();
    for byte in 0..100 {
        client.write_all(&[byte]).unwrap();
        // A turn of the loop between them: so that each byte is a chunk of its own.
        rig.stats();
    }
    assert_eq!(read(&mut server, 100), (0..100).collect::<Vec<u8>>());
    assert!(clock().since(started) >= latency - jitter);
    assert_passes(&mut server, &mut client, b"not delayed");
}

#[test]
fn a_cleared_latency_releases_what_is_under_way() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.apply(SLOW);
    client.write_all(b"soon").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_silent(&rig, &mut server);
    rig.clear();
    assert_eq!(read(&mut server, 4), b"soon");
    assert_end(&mut server);
}

#[test]
fn a_narrow_link_takes_its_time() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.apply(Toxic::Bandwidth { bytes_per_second: 200_000, direction: Direction::Both });
    let started = clock();
    assert_passes(&mut client, &mut server, &pattern(20_000));
    // 100 ms, less a slice and the credit.
    assert!(clock().since(started) >= Span::from_millis(80));
}

#[test]
fn a_black_hole_keeps_connections_open_and_loses_what_is_sent() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let (mut idle_client, mut idle_server) = rig.connect();
    let applied = rig.apply(Toxic::Timeout);
    assert_eq!((applied.connections, applied.cut), (2, 0));
    client.write_all(b"lost").unwrap();
    server.write_all(b"lost too").unwrap();
    rig.wait_until(|stats| stats.lost_bytes == 12);
    assert_silent(&rig, &mut client);
    assert_silent(&rig, &mut server);

    let healed = rig.clear();
    assert_eq!((healed.connections, healed.cut), (2, 1), "no stream has a gap");
    assert_reset(&mut client);
    assert_reset(&mut server);
    assert_passes(&mut idle_client, &mut idle_server, b"alive");
}

#[test]
fn a_black_hole_swallows_what_is_under_way() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.apply(SLOW);
    client.write_all(b"lost").unwrap();
    assert_silent(&rig, &mut server);
    rig.apply(Toxic::Timeout);
    rig.wait_until(|stats| stats.lost_bytes == 4);
}

#[test]
fn reset_peer_resets_open_and_new_connections() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    assert_eq!(rig.apply(Toxic::ResetPeer).cut, 1);
    assert_reset(&mut client);
    assert_reset(&mut server);
    assert_reset(&mut rig.dial());
    assert_eq!(rig.stats().cut, 2);
    rig.clear();
    let (mut client, mut server) = rig.connect();
    assert_passes(&mut client, &mut server, b"again");
}

#[test]
fn refusal_closes_the_port_and_healing_opens_the_same_one() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let taken = rig.proxy.probe_refused(&link(0)).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::ConnectionAborted);
    drop(rig.accept());

    let applied = rig.apply(Toxic::Refuse);
    assert!(applied.cut >= 1);
    assert_end(&mut client);
    assert_end(&mut server);
    assert!(rig.proxy.probe_refused(&link(0)).unwrap() >= applied.from);
    assert_eq!(TcpStream::connect(rig.address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let stranger = TcpListener::bind(rig.address).unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::AddrInUse, "nobody else can have the port meanwhile");

    rig.clear();
    let (mut client, mut server) = rig.connect();
    assert_passes(&mut client, &mut server, b"again");
}

#[test]
fn a_healed_partition_delivers_every_byte() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.apply(Toxic::Partition { direction: Direction::Upstream });
    assert_passes(&mut server, &mut client, b"the other way is open");
    let sent = pattern(4 << 20);
    let copy = sent.clone();
    let writer = std::thread::spawn(move || client.write_all(&copy).unwrap());
    assert_silent(&rig, &mut server);
    rig.clear();
    assert!(read(&mut server, sent.len()) == sent, "4 MiB arrive as they were sent");
    assert_end(&mut server);
    writer.join().unwrap();
}

#[test]
fn a_connection_made_during_a_partition_hangs_until_it_is_healed() {
    let rig = Rig::new();
    rig.apply(BOTH);
    let mut client = rig.dial();
    client.write_all(b"hello").unwrap();
    assert_silent(&rig, &mut client);
    rig.clear();
    let mut server = rig.accept();
    assert_eq!(read(&mut server, 5), b"hello");
}

#[test]
fn a_connection_given_up_during_a_partition_never_reaches_the_server() {
    let rig = Rig::new();
    rig.apply(BOTH);
    let mut client = rig.dial();
    client.write_all(b"a ghost").unwrap();
    drop(client);
    rig.wait_until(|stats| stats.accepted == 1 && stats.open == 0);
    rig.clear();
    let (mut client, mut server) = rig.connect();
    assert_passes(&mut client, &mut server, b"the first that the server sees");
}

#[test]
fn overlapping_toxics_are_healed_one_by_one() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    rig.apply(BOTH);
    rig.apply(BOTH);
    rig.apply(SLOW);
    client.write_all(b"held").unwrap();
    for toxic in [BOTH, SLOW] {
        rig.proxy.heal(&rig.links, toxic).unwrap();
        assert_silent(&rig, &mut server);
    }
    rig.proxy.heal(&rig.links, BOTH).unwrap();
    assert_eq!(read(&mut server, 4), b"held");
}

#[test]
fn links_change_together_and_nothing_moves_afterwards() {
    let mut rig = Rig::new();
    let (mut addresses, upstream) = (vec![rig.address], rig.server.local_addr().unwrap());
    for number in 1..4 {
        addresses.push(rig.proxy.listen(link(number), Ipv4Addr::LOCALHOST.into(), Some(upstream)).unwrap());
        rig.links.push(link(number));
    }
    let mut floods = Vec::new();
    for address in addresses {
        let (mut from, mut to) = (patient(TcpStream::connect(address).unwrap()), rig.accept());
        floods.push(std::thread::spawn(move || while from.write_all(&[0; 4_096]).is_ok() {}));
        floods.push(std::thread::spawn(move || while to.read(&mut [0; 65_536]).is_ok_and(|n| n > 0) {}));
    }
    let moved = || -> Vec<u64> {
        rig.links.iter().map(|link| rig.proxy.stats(link).unwrap().upstream_bytes).collect()
    };
    while moved().contains(&0) {}
    let before = clock();
    let applied = rig.apply(BOTH);
    let after = clock();
    assert!(before <= applied.from && applied.from <= applied.until && applied.until <= after);
    assert_eq!((applied.links, applied.connections), (4, 4));
    let held = moved();
    for _ in 0..100 {
        assert_eq!(moved(), held);
    }
    rig.apply(Toxic::Refuse);
    for flood in floods {
        flood.join().unwrap();
    }
}

#[test]
fn an_unknown_link_is_an_error_and_changes_nothing() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let error = rig.proxy.apply(&[link(0), link(9)], Toxic::ResetPeer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "the link worker-9 -> redis has no listener");
    assert_passes(&mut client, &mut server, b"as before");
    let again = rig.proxy.listen(link(0), Ipv4Addr::LOCALHOST.into(), None).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn dropping_the_proxy_closes_everything() {
    let rig = Rig::new();
    let (mut client, mut server) = rig.connect();
    let Rig { proxy, address, .. } = rig;
    drop(proxy);
    assert_end(&mut client);
    assert_end(&mut server);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
