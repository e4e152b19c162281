//! A tap by itself, without sockets: a conversation goes in, and what was caught comes out.

use syncope::fault::FaultId;
use syncope::fault::rules::{DOWN, UP};
use syncope::fault::wire::{CommandPattern, Side, Wire};
use syncope::names::{Endpoint, Link, Store};
use syncope::proxy::tap::gate::{Gates, each};
use syncope::proxy::tap::{Bytes, Flow, Tap};
use syncope::time::Span;

/// What one end says, and when: one after the other.
#[derive(Debug, Clone)]
pub struct Said {
    pub direction: usize,
    pub bytes: Vec<u8>,
}

pub fn client(bytes: impl AsRef<[u8]>) -> Said {
    Said { direction: UP, bytes: bytes.as_ref().to_vec() }
}

pub fn server(bytes: impl AsRef<[u8]>) -> Said {
    Said { direction: DOWN, bytes: bytes.as_ref().to_vec() }
}

/// A command, or its reply, that was caught: after how many bytes of its direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    pub side: Side,
    pub at: usize,
    pub command: String,
}

/// What was heard in a whole conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub caught: Vec<Caught>,
    pub aside: Option<String>,
}

impl Heard {
    /// The commands of one side.
    pub fn commands(&self, side: Side) -> Vec<&str> {
        self.caught
            .iter()
            .filter(|caught| caught.side == side)
            .map(|caught| caught.command.as_str())
            .collect()
    }

    pub fn places(&self, side: Side) -> Vec<usize> {
        self.caught.iter().filter(|caught| caught.side == side).map(|caught| caught.at).collect()
    }
}

pub fn wire(store: Store, command: CommandPattern, nth: u32, side: Side) -> Wire {
    let links = vec![Link { from: "worker-1".into(), to: Endpoint::Store(store) }];
    Wire { links, command, nth, side }
}

/// Gates that catch every command that is like the pattern, on both sides.
pub fn listen(
    store: Store,
    pattern: &CommandPattern,
    talk: &[Said],
    cut: impl FnMut(usize) -> usize,
) -> Heard {
    let wires = [Side::Before, Side::After].map(|side| wire(store, pattern.clone(), 1, side));
    run(store, &wires, talk, cut)
}

/// Every gate is opened as soon as it has closed, and armed again. `cut`: how many bytes of so many arrive next.
///
/// # Panics
/// If a byte did not come through, or in its place.
pub fn run(store: Store, wires: &[Wire], talk: &[Said], mut cut: impl FnMut(usize) -> usize) -> Heard {
    let mut gates = Gates::default();
    for (number, wire) in wires.iter().enumerate() {
        gates.add(FaultId(number as u16), wire, vec![0], vec![0]);
        gates.arm(number as u32, Some(Span::from_secs(1)));
    }
    let (mut tap, mut heard, mut passed) = (Tap::new(store), Heard::default(), [Vec::new(), Vec::new()]);
    let mut sent = [Vec::new(), Vec::new()];
    for said in talk {
        let mut rest = &said.bytes[..];
        while !rest.is_empty() {
            let (chunk, later) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
            rest = later;
            sent[said.direction].extend_from_slice(chunk);
            let mut flow = tap.take(said.direction, chunk, &mut gates, 0);
            loop {
                let Flow { bytes, caught, aside } = flow;
                match &bytes {
                    Bytes::Chunk(flows) => passed[said.direction].extend_from_slice(&chunk[..*flows]),
                    Bytes::Held(bytes) => passed[said.direction].extend_from_slice(bytes),
                }
                if let Some(aside) = aside {
                    assert_eq!(heard.aside, None, "it is said once");
                    heard.aside = Some(aside.to_string());
                }
                if caught == 0 {
                    break;
                }
                for gate in each(caught) {
                    let side = gates.get(gate).unwrap().side;
                    let at = passed[said.direction].len();
                    heard.caught.push(Caught { side, at, command: tap.brief().to_owned() });
                    gates.arm(gate, Some(Span::from_secs(1)));
                }
                let mut after = None;
                for gate in each(caught) {
                    after = Some(tap.open(said.direction, 1 << gate, &mut gates, 0));
                }
                flow = after.unwrap();
            }
        }
    }
    for direction in [UP, DOWN] {
        assert!(!tap.is_held(direction));
        passed[direction].extend_from_slice(&tap.end(direction));
        assert!(passed[direction] == sent[direction], "all that was sent arrives, as it was sent");
    }
    heard
}
