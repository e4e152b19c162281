//! A message that a client of Postgres is sending.

use super::super::gate::Gates;
use super::frame::STARTUP;
use super::statement::{Name, Text};

/// A message of the client that is being read.
#[derive(Debug, Default)]
pub struct Message {
    pub kind: u8,
    /// Where it begins; `None` between two.
    pub begun: Option<u64>,
    /// A gate has held it: its beginning has passed.
    pub was_held: bool,
    /// How many of its texts have ended.
    field: u8,
    pub names: [Name; 2],
    /// What it describes or closes: a statement (`S`) or a portal (`P`).
    pub what: Option<u8>,
    pub text: Text,
    /// The first eight bytes of one without a type.
    pub start: [u8; 8],
    read: u8,
}

impl Message {
    pub fn begin(&mut self, kind: u8, at: u64, gates: &Gates, port: usize) {
        self.kind = kind;
        (self.begun, self.was_held) = (Some(at), false);
        (self.field, self.read, self.what) = (0, 0, None);
        self.names = Default::default();
        if matches!(kind, b'Q' | b'P') {
            self.text.begin(gates.of_port(port).all, gates.count_all());
        }
    }

    /// The first byte of it that has not flowed on.
    pub fn beginning(&self, base: u64, here: u64) -> u64 {
        let begun = self.begun.unwrap_or(here);
        if self.was_held { begun.max(base) } else { begun }
    }

    pub fn read(&mut self, mut piece: &[u8], gates: &Gates) {
        if self.kind == STARTUP {
            for byte in piece.iter().take(self.start.len() - usize::from(self.read)) {
                self.start[usize::from(self.read)] = *byte;
                self.read += 1;
            }
            return;
        }
        if self.what.is_none() && self.kind == b'C' {
            let Some((what, rest)) = piece.split_first() else { return };
            (self.what, piece) = (Some(*what), rest);
        }
        let texts = match self.kind {
            b'Q' | b'E' | b'C' => 1,
            b'P' | b'B' => 2,
            _ => 0,
        };
        while self.field < texts && !piece.is_empty() {
            let end = piece.iter().position(|byte| *byte == 0);
            let text = &piece[..end.unwrap_or(piece.len())];
            match (self.kind, self.field) {
                (b'Q', 0) | (b'P', 1) => self.text.add(text, gates),
                (_, field) => self.names[usize::from(field)].add(text),
            }
            let Some(end) = end else { return };
            piece = &piece[end + 1..];
            self.field += 1;
        }
    }
}
