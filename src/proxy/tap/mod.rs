//! Wire taps: what passes over a connection, understood on the way.
//!
//! A tap reads along and changes nothing. While no gate waits for a command, bytes flow on the moment that
//! they are read. A [gate](gate) that waits for a command keeps back just the bytes of a command that may be
//! the one, from its first byte on and only until that is known; and those of the command that is the one
//! until the gate is opened. Of a command the tap keeps the first few words, each cut, whatever its size.
//!
//! What a tap does not understand it leaves alone: it says so once and steps aside.

pub mod gate;
mod hold;
pub mod postgres;
pub mod resp;
pub mod search;

pub use hold::{Bytes, Flow, Tap};

use gate::{Gates, Mask};

/// What a protocol's dialogue makes of a chunk. Offsets count from the stream's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Up to here, bytes may flow.
    pub flow: u64,
    /// Up to here, they were looked at: less than all only where a command or reply was caught.
    pub parsed: u64,
    /// The gates whose command or reply begins at `flow`.
    pub caught: Mask,
}

/// Why a tap steps aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    #[error("the traffic is encrypted")]
    Encrypted,
    #[error("the connection now carries a stream ({0})")]
    Stream(&'static str),
    #[error("the traffic is not understood: {0}")]
    Unknown(&'static str),
    #[error("more is under way than is kept track of")]
    TooMuch,
}

/// The two ends of one connection, talking. [`UP`](crate::fault::rules::UP) is the client's direction.
pub trait Dialogue {
    /// The next bytes of one direction, the first of which is at the offset `base` of its stream.
    ///
    /// # Errors
    /// Why nothing more can be understood.
    fn hear(
        &mut self,
        direction: usize,
        bytes: &[u8],
        base: u64,
        gates: &mut Gates,
        port: usize,
    ) -> Result<Heard, Foreign>;

    /// What was held without being known yet is too much: it is not the one.
    fn give_up(&mut self, direction: usize);

    /// The command that was caught last, as in `EVALSHA 1f2e… bull:queue:wait`.
    fn brief(&self) -> &str;
}

/// The beginning of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    bytes: [u8; crate::fault::wire::ARGUMENT_MAX],
    length: u64,
}

impl Cut {
    pub(super) const EMPTY: Self = Self { bytes: [0; crate::fault::wire::ARGUMENT_MAX], length: 0 };

    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        if let Ok(at) = usize::try_from(self.length)
            && at < self.bytes.len()
        {
            let fits = piece.len().min(self.bytes.len() - at);
            self.bytes[at..at + fits].copy_from_slice(&piece[..fits]);
        }
        self.length = self.length.saturating_add(piece.len() as u64);
    }

    /// What of it was kept.
    pub(super) fn kept(&self) -> &[u8] {
        &self.bytes[..usize::try_from(self.length).unwrap_or(usize::MAX).min(self.bytes.len())]
    }

    pub(super) fn is(&self, text: &[u8]) -> bool {
        self.length == text.len() as u64 && self.kept() == text
    }

    pub(super) fn is_word(&self, word: &[u8]) -> bool {
        self.length == word.len() as u64 && self.kept().eq_ignore_ascii_case(word)
    }

    /// For people: without control characters, at most `most` characters.
    pub(super) fn show(&self, most: usize) -> String {
        let text = String::from_utf8_lossy(self.kept());
        let mut shown: String =
            text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if self.length > self.kept().len() as u64 || text.chars().count() > most {
            shown.push('…');
        }
        shown
    }
}
