//! The gates of a proxy: which commands they wait for, and how many of them have come.

use std::collections::BTreeSet;

use super::search::Needle;
use crate::fault::FaultId;
use crate::fault::wire::{CommandPattern, Side, Wire};
use crate::time::Span;

/// Shares of the gates, one bit each.
pub type Mask = u64;

/// All gates of a proxy. Ports (links) and gates are numbered from 0.
#[derive(Debug, Default)]
pub struct Gates {
    gates: Vec<Gate>,
    ports: Vec<OfPort>,
}

/// What concerns one port.
#[derive(Debug, Default, Clone, Copy)]
pub struct OfPort {
    /// All gates that are on it.
    pub all: Mask,
    /// Those of them that wait for a command.
    pub before: Mask,
    /// Those of them that wait for a reply.
    pub after: Mask,
    /// Gates, on it or on another port to the same store, that know a script by its text.
    pub learns: Mask,
}

#[derive(Debug)]
pub struct Gate {
    pub fault: FaultId,
    pub side: Side,
    pub pattern: Pattern,
    pub nth: u32,
    /// How long it holds what it has caught, at most.
    pub limit: Span,
    ports: Vec<usize>,
    learns_from: Vec<usize>,
    seen: u32,
    waits: bool,
}

/// A command's pattern, made ready.
#[derive(Debug)]
pub struct Pattern {
    pub name: Option<Box<[u8]>>,
    /// The second word of `name`.
    pub subcommand: Option<Box<[u8]>>,
    pub script: Option<Needle>,
    pub sql: Option<Needle>,
    pub key: Option<Needle>,
    pub argument: Option<Box<[u8]>>,
    /// The scripts that have the text, by their SHA-1 in hexadecimal.
    shas: BTreeSet<[u8; 40]>,
}

impl Gates {
    /// A gate that waits for nothing until it is armed. `learns_from`: ports to the same store.
    pub fn add(&mut self, fault: FaultId, wire: &Wire, ports: Vec<usize>, learns_from: Vec<usize>) {
        let (nth, side) = (wire.nth, wire.side);
        let pattern = Pattern::new(&wire.command);
        let limit = Span::ZERO;
        self.gates.push(Gate { fault, side, pattern, nth, limit, ports, learns_from, seen: 0, waits: false });
        self.tell_ports();
    }

    /// How many there are.
    pub fn count_all(&self) -> usize {
        self.gates.len()
    }

    pub fn of_port(&self, port: usize) -> OfPort {
        self.ports.get(port).copied().unwrap_or_default()
    }

    pub fn get(&self, gate: u32) -> Option<&Gate> {
        self.gates.get(gate as usize)
    }

    /// The gate of the fault.
    pub fn find(&self, fault: FaultId) -> Option<u32> {
        self.gates.iter().position(|gate| gate.fault == fault).map(|at| at as u32)
    }

    /// Begins to count, and holds what it catches for so long at most; `None`: waits for nothing any more.
    pub fn arm(&mut self, gate: u32, limit: Option<Span>) {
        if let Some(gate) = self.gates.get_mut(gate as usize) {
            (gate.waits, gate.seen) = (limit.is_some(), 0);
            gate.limit = limit.unwrap_or(gate.limit);
        }
        self.tell_ports();
    }

    /// So many more have come. Returns whether the awaited one is among them; then the gate waits for no other.
    pub fn count(&mut self, gate: u32, more: u32) -> bool {
        let Some(counted) = self.gates.get_mut(gate as usize).filter(|gate| gate.waits) else { return false };
        counted.seen = counted.seen.saturating_add(more);
        let reached = counted.seen >= counted.nth;
        if reached {
            counted.waits = false;
            self.tell_ports();
        }
        reached
    }

    /// One that was counted did nothing.
    pub fn uncount(&mut self, gate: u32) {
        if let Some(gate) = self.gates.get_mut(gate as usize).filter(|gate| gate.waits) {
            gate.seen = gate.seen.saturating_sub(1);
        }
    }

    /// Whether so many more would make the awaited one.
    pub fn would_reach(&self, gate: u32, more: u32) -> bool {
        self.get(gate).is_some_and(|gate| gate.waits && gate.seen.saturating_add(more) >= gate.nth)
    }

    /// A script that has the text that the gate knows it by.
    pub fn learn(&mut self, gate: u32, sha: [u8; 40]) {
        if let Some(gate) = self.gates.get_mut(gate as usize) {
            gate.pattern.shas.insert(sha);
        }
    }

    fn tell_ports(&mut self) {
        let count = self.gates.iter().flat_map(|gate| gate.ports.iter().chain(&gate.learns_from));
        self.ports = vec![OfPort::default(); count.max().map_or(0, |port| port + 1)];
        for (number, gate) in self.gates.iter().enumerate() {
            let bit = 1 << number;
            for port in &gate.ports {
                let port = &mut self.ports[*port];
                port.all |= bit;
                match gate.side {
                    _ if !gate.waits => {}
                    Side::Before => port.before |= bit,
                    Side::After => port.after |= bit,
                }
            }
            if gate.pattern.script.is_some() {
                gate.learns_from.iter().for_each(|port| self.ports[*port].learns |= bit);
            }
        }
    }
}

impl Pattern {
    fn new(pattern: &CommandPattern) -> Self {
        let mut words = pattern.name.iter().flat_map(|name| name.split_whitespace());
        let mut word = || words.next().map(|word| word.to_ascii_uppercase().into_bytes().into_boxed_slice());
        let needle = |text: &Option<String>| text.as_deref().map(Needle::new);
        let mut shas = BTreeSet::new();
        if let Some(script) = &pattern.script
            && let Ok(sha) = <[u8; 40]>::try_from(script.as_bytes())
            && sha.iter().all(u8::is_ascii_hexdigit)
        {
            shas.insert(sha.map(|digit| digit.to_ascii_lowercase()));
        }
        Self {
            name: word(),
            subcommand: word(),
            script: needle(&pattern.script),
            sql: needle(&pattern.sql),
            key: needle(&pattern.key),
            argument: pattern.argument.as_ref().map(|text| text.as_bytes().into()),
            shas,
        }
    }

    /// Whether the script of this SHA-1, in hexadecimal, has the text.
    pub fn knows(&self, sha: &[u8]) -> bool {
        let Ok(sha) = <[u8; 40]>::try_from(sha) else { return false };
        self.shas.contains(&sha.map(|digit| digit.to_ascii_lowercase()))
    }
}

/// The numbers of the gates in the mask, ascending.
pub fn each(mut mask: Mask) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let gate = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (gate < Mask::BITS).then_some(gate)
    })
}
