//! Messages of the PostgreSQL protocol (version 3), either way. Incremental, without storing.

use std::ops::Range;

use super::super::Foreign;

/// The longest first message of a client, as in the server.
const STARTUP_MAX: u32 = 10_000;
/// The longest message: a gigabyte is the longest that the server takes or makes.
const MESSAGE_MAX: u32 = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// The next byte is a message's first, and this its type; [`STARTUP`] for one without.
    Begin(u8),
    /// The next piece of its body.
    Piece(Range<usize>),
    End,
}

/// The type of a message that has none: a client's first.
pub const STARTUP: u8 = 0;

/// Reads one direction.
#[derive(Debug, Default)]
pub struct Frames {
    untyped: bool,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Between,
    Type,
    /// In the length: so many of its bytes are read.
    Length {
        startup: bool,
        read: u8,
        value: u32,
    },
    Body {
        left: u32,
    },
    Ended,
}

impl Frames {
    /// A client's, whose first message has no type.
    #[must_use]
    pub fn of_client() -> Self {
        Self { untyped: true, state: State::Between }
    }

    /// From the next message on, each has a type.
    pub fn are_typed(&mut self) {
        self.untyped = false;
    }

    /// The next token that begins at `at` or later, and moves `at` behind what it has read; `None` once the
    /// chunk has been read.
    ///
    /// # Errors
    /// If this is no message.
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Token>, Foreign> {
        loop {
            if matches!(self.state, State::Ended) {
                self.state = State::Between;
                return Ok(Some(Token::End));
            }
            let Some(byte) = chunk.get(*at).copied() else { return Ok(None) };
            match &mut self.state {
                State::Between if self.untyped => {
                    self.state = State::Length { startup: true, read: 0, value: 0 };
                    return Ok(Some(Token::Begin(STARTUP)));
                }
                State::Between if byte == 0x16 => return Err(Foreign::Encrypted),
                State::Between if !byte.is_ascii_alphanumeric() => {
                    return Err(Foreign::Unknown("no message of PostgreSQL"));
                }
                State::Between => {
                    self.state = State::Type;
                    return Ok(Some(Token::Begin(byte)));
                }
                State::Type => {
                    *at += 1;
                    self.state = State::Length { startup: false, read: 0, value: 0 };
                }
                State::Length { startup, read, value } => {
                    *at += 1;
                    if *startup && *read == 0 && byte == 0x16 {
                        return Err(Foreign::Encrypted);
                    }
                    (*value, *read) = ((*value << 8) | u32::from(byte), *read + 1);
                    if *read == 4 {
                        let (least, most) = if *startup { (8, STARTUP_MAX) } else { (4, MESSAGE_MAX) };
                        if !(least..=most).contains(value) {
                            return Err(Foreign::Unknown("a message of an impossible length"));
                        }
                        self.state = match *value - 4 {
                            0 => State::Ended,
                            left => State::Body { left },
                        };
                    }
                }
                State::Body { left } => {
                    let here = (*left as usize).min(chunk.len() - *at);
                    *left -= here as u32;
                    let from = *at;
                    *at += here;
                    if *left == 0 {
                        self.state = State::Ended;
                    }
                    return Ok(Some(Token::Piece(from..*at)));
                }
                State::Ended => {}
            }
        }
    }
}
