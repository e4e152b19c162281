//! Gates between real sockets: what stands at one, what passes beside it, and what becomes of it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::tests::{Rig, assert_end, assert_passes, assert_reset, assert_silent, link, read};
use super::*;
use crate::fault::wire::{CommandPattern, Side};
use crate::history::wire::{Fate, Wiretap};

const LONG: Span = Span::from_secs(3_600);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const DONE: &[u8] = b"*2\r\n$4\r\nDONE\r\n$5\r\njob-1\r\n";

/// A link with a gate that is armed.
struct Gated {
    rig: Rig,
    heard: Receiver<Wiretap>,
}

impl Gated {
    fn new(name: &str, nth: u32, side: Side, limit: Span) -> Self {
        let rig = Rig::new();
        let (tell, heard) = channel();
        let command = CommandPattern { name: Some(name.into()), ..CommandPattern::default() };
        let wire = Wire { links: vec![link(0)], command, nth, side };
        let listener = Box::new(move |_, what| drop(tell.send(what)));
        rig.proxy.tap(vec![(FaultId(3), wire)], listener).unwrap();
        rig.proxy.arm(FaultId(3), limit).unwrap();
        Self { rig, heard }
    }

    #[track_caller]
    fn next(&self) -> Wiretap {
        self.heard.recv_timeout(Duration::from_secs(30)).expect("the tap says something")
    }

    #[track_caller]
    fn assert_caught(&self, wanted: &str) {
        let Wiretap::Caught { fault, link: on, command, .. } = self.next() else {
            panic!("nothing was caught")
        };
        assert_eq!((fault, on, command.as_str()), (FaultId(3), link(0), wanted));
    }

    #[track_caller]
    fn assert_released(&self, wanted: Fate, wanted_bytes: usize) {
        let Wiretap::Released { fate, bytes, .. } = self.next() else { panic!("nothing was released") };
        assert_eq!((fate, bytes), (wanted, wanted_bytes as u64));
    }

    fn open(&self, lost: bool) {
        self.rig.proxy.open_gate(FaultId(3), lost).unwrap();
    }
}

fn answer(client: &mut TcpStream, server: &mut TcpStream) {
    assert_passes(client, server, PING);
    assert_passes(server, client, b"+PONG\r\n");
}

#[test]
fn a_command_is_held_and_what_came_before_it_and_beside_it_passes() {
    let gated = Gated::new("DONE", 2, Side::Before, LONG);
    let (mut client, mut server) = gated.rig.connect();
    let (mut other, mut other_server) = gated.rig.connect();
    client.write_all(&[DONE, PING, DONE, PING].concat()).unwrap();
    assert_eq!(read(&mut server, DONE.len() + PING.len()), [DONE, PING].concat());
    gated.assert_caught("DONE job-1");
    assert_silent(&gated.rig, &mut server);
    assert_passes(&mut server, &mut client, b":1\r\n+PONG\r\n");
    answer(&mut other, &mut other_server);

    gated.open(false);
    assert_eq!(read(&mut server, DONE.len() + PING.len()), [DONE, PING].concat());
    gated.assert_released(Fate::Passed, DONE.len() + PING.len());
    assert_passes(&mut server, &mut client, b":1\r\n+PONG\r\n");
    answer(&mut client, &mut server);
}

#[test]
fn a_reply_is_held_and_the_next_one_with_it() {
    let gated = Gated::new("DONE", 1, Side::After, LONG);
    let (mut client, mut server) = gated.rig.connect();
    assert_passes(&mut client, &mut server, &[PING, DONE, PING].concat());
    server.write_all(b"+PONG\r\n:1\r\n+PONG\r\n").unwrap();
    assert_eq!(read(&mut client, 7), b"+PONG\r\n");
    gated.assert_caught("DONE job-1");
    assert_silent(&gated.rig, &mut client);
    assert_passes(&mut client, &mut server, PING);
    gated.open(false);
    assert_eq!(read(&mut client, 11), b":1\r\n+PONG\r\n");
}

#[test]
fn a_command_whose_process_has_ended_never_arrives() {
    let gated = Gated::new("DONE", 1, Side::Before, LONG);
    let (mut client, mut server) = gated.rig.connect();
    answer(&mut client, &mut server);
    client.write_all(DONE).unwrap();
    gated.assert_caught("DONE job-1");
    drop(client);
    gated.open(false);
    assert_end(&mut server);
    gated.assert_released(Fate::Lost, DONE.len());
}

#[test]
fn what_is_to_be_lost_is_lost_with_its_connection() {
    let gated = Gated::new("DONE", 1, Side::After, LONG);
    let (mut client, mut server) = gated.rig.connect();
    assert_passes(&mut client, &mut server, DONE);
    server.write_all(b":1\r\n").unwrap();
    gated.assert_caught("DONE job-1");
    gated.open(true);
    assert_end(&mut client);
    gated.assert_released(Fate::Lost, 4);
}

#[test]
fn what_is_held_is_lost_with_a_link_that_is_cut() {
    let gated = Gated::new("DONE", 1, Side::Before, LONG);
    let (mut client, mut server) = gated.rig.connect();
    client.write_all(DONE).unwrap();
    gated.assert_caught("DONE job-1");
    gated.rig.apply(Toxic::ResetPeer);
    assert_reset(&mut client);
    assert_reset(&mut server);
    gated.assert_released(Fate::Lost, DONE.len());
    gated.open(false);
}

#[test]
fn nothing_is_held_for_longer_than_the_limit() {
    let gated = Gated::new("DONE", 1, Side::Before, Span::from_millis(20));
    let (mut client, mut server) = gated.rig.connect();
    assert_passes(&mut client, &mut server, DONE);
    gated.assert_caught("DONE job-1");
    gated.assert_released(Fate::Expired, DONE.len());
    gated.open(false);
    answer(&mut client, &mut server);
}

#[test]
fn a_gate_that_is_not_armed_or_open_again_lets_everything_pass() {
    let gated = Gated::new("DONE", 1, Side::Before, LONG);
    gated.open(false);
    let (mut client, mut server) = gated.rig.connect();
    assert_passes(&mut client, &mut server, DONE);
    assert!(gated.heard.try_recv().is_err());
}

#[test]
fn a_held_command_arrives_under_the_toxics_of_its_link() {
    let gated = Gated::new("DONE", 1, Side::Before, LONG);
    let (mut client, mut server) = gated.rig.connect();
    client.write_all(DONE).unwrap();
    gated.assert_caught("DONE job-1");
    let cut = Toxic::Partition { direction: crate::fault::Direction::Both };
    gated.rig.apply(cut);
    gated.open(false);
    assert_silent(&gated.rig, &mut server);
    gated.rig.clear();
    assert_eq!(read(&mut server, DONE.len()), DONE);
}

#[test]
fn a_tap_that_steps_aside_says_so_once_and_everything_passes() {
    let gated = Gated::new("DONE", 1, Side::Before, LONG);
    for _ in 0..2 {
        let (mut client, mut server) = gated.rig.connect();
        assert_passes(&mut client, &mut server, b"\x16\x03\x01\x00");
        assert_passes(&mut client, &mut server, DONE);
    }
    let aside = Wiretap::Aside { link: link(0), reason: "the traffic is encrypted".into() };
    assert_eq!(gated.next(), aside);
    assert!(gated.heard.try_recv().is_err());
}

#[test]
fn half_a_command_at_the_end_of_its_connection_passes() {
    let gated = Gated::new("DONE", 1, Side::Before, LONG);
    let (mut client, mut server) = gated.rig.connect();
    client.write_all(&DONE[..9]).unwrap();
    assert_silent(&gated.rig, &mut server);
    drop(client);
    assert_eq!(read(&mut server, 9), &DONE[..9]);
    assert_end(&mut server);
}

#[test]
fn an_unknown_link_or_fault_is_an_error() {
    let rig = Rig::new();
    let command = CommandPattern { name: Some("DONE".into()), ..CommandPattern::default() };
    let wire = Wire { links: vec![link(9)], command, nth: 1, side: Side::Before };
    let error = rig.proxy.tap(vec![(FaultId(0), wire)], Box::new(|_, _| {})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(rig.proxy.arm(FaultId(0), LONG).unwrap_err().to_string(), "fault 0 has no gate");
    let (mut client, mut server) = rig.connect();
    assert_passes(&mut client, &mut server, DONE);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
}
