//! What Redis answers, in RESP 2 and 3. Incremental, without storing.

use std::ops::Range;

use super::super::Foreign;
use super::number::{Line, Number};

/// Aggregates within each other, at most.
const DEPTH_MAX: usize = 1_000;
/// Elements of one aggregate, at most.
const ELEMENTS_MAX: i64 = i32::MAX as i64;
const BULK_MAX: i64 = 1 << 40;

/// A part of a reply, as it passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// The next byte is the first of a reply, and this is it: its type.
    Begin(u8),
    /// The next piece of a text or number: the reply itself, or one of the first elements of it (from 0).
    Piece { element: u32, bytes: Range<usize> },
    /// The reply is complete; the next byte is not its own. Whether it was a null, of one of the three forms.
    End { null: bool },
}

/// Reads one connection's replies.
#[derive(Debug, Default)]
pub struct Replies {
    state: State,
    stack: Vec<Frame>,
    /// Of the outermost aggregate: how many elements have been read.
    element: u32,
    /// The current value is one whose text is told.
    told: bool,
    /// The reply is a null.
    null: bool,
}

/// An aggregate that is being read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// `None`: up to the end marker.
    left: Option<u64>,
    /// Attributes precede a value and are none.
    attributes: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Between,
    /// The next byte is a type.
    Type,
    /// In a line that is a value.
    Text {
        returned: bool,
    },
    /// In the length of a bulk string, an aggregate, or a part of a streamed string.
    Length {
        kind: u8,
        line: Line,
    },
    /// After the question mark of something streamed.
    Streamed {
        kind: u8,
        returned: bool,
    },
    Body {
        left: u64,
        part: bool,
    },
    BodyEnd {
        returned: bool,
        part: bool,
    },
    /// Before a part of a streamed string.
    Part,
}

impl Replies {
    /// The next token that begins at `at` or later, and moves `at` behind what it has read; `None` once the
    /// chunk has been read.
    ///
    /// # Errors
    /// If Redis sends no such thing.
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Token>, Foreign> {
        while let Some(byte) = chunk.get(*at).copied() {
            match &mut self.state {
                State::Between => {
                    self.state = State::Type;
                    (self.element, self.null) = (0, false);
                    self.stack.clear();
                    return Ok(Some(Token::Begin(byte)));
                }
                State::Type => {
                    *at += 1;
                    self.begin(byte)?;
                }
                State::Text { returned: false } => {
                    let rest = &chunk[*at..];
                    let length = rest.iter().position(|byte| *byte == b'\r').unwrap_or(rest.len());
                    if length == 0 {
                        *at += 1;
                        self.state = State::Text { returned: true };
                        continue;
                    }
                    let from = *at;
                    *at += length;
                    if self.told {
                        return Ok(Some(self.piece(from..*at)));
                    }
                }
                State::Text { returned: true } => {
                    *at += 1;
                    if byte != b'\n' {
                        return Err(Foreign::Unknown("a line that ends in the middle"));
                    }
                    if let Some(token) = self.complete() {
                        return Ok(Some(token));
                    }
                }
                State::Length { kind, line } => {
                    *at += 1;
                    let kind = *kind;
                    if byte == b'?' && matches!(kind, b'$' | b'*' | b'%' | b'~' | b'>') {
                        self.state = State::Streamed { kind, returned: false };
                        continue;
                    }
                    let Number::Whole(length) = line.take(byte).map_err(Foreign::Unknown)? else { continue };
                    if let Some(token) = self.measured(kind, length)? {
                        return Ok(Some(token));
                    }
                }
                State::Streamed { kind, returned } => {
                    *at += 1;
                    match (byte, *returned) {
                        (b'\r', false) => *returned = true,
                        (b'\n', true) if *kind == b'$' => self.state = State::Part,
                        (b'\n', true) => {
                            self.push(Frame { left: None, attributes: false })?;
                            self.state = State::Type;
                        }
                        _ => return Err(Foreign::Unknown("a length that is no number")),
                    }
                }
                State::Body { left, part } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.len() - *at);
                    *left -= here as u64;
                    let from = *at;
                    *at += here;
                    if *left == 0 {
                        self.state = State::BodyEnd { returned: false, part: *part };
                    }
                    if self.told {
                        return Ok(Some(self.piece(from..*at)));
                    }
                }
                State::BodyEnd { returned, part } => {
                    *at += 1;
                    match (byte, *returned, *part) {
                        (b'\r', false, _) => *returned = true,
                        (b'\n', true, true) => self.state = State::Part,
                        (b'\n', true, false) => {
                            if let Some(token) = self.complete() {
                                return Ok(Some(token));
                            }
                        }
                        _ => return Err(Foreign::Unknown("a string that does not end where it should")),
                    }
                }
                State::Part => {
                    *at += 1;
                    if byte != b';' {
                        return Err(Foreign::Unknown("a streamed string with something else in it"));
                    }
                    self.state = State::Length { kind: b';', line: Line::default() };
                }
            }
        }
        Ok(None)
    }

    fn piece(&self, bytes: Range<usize>) -> Token {
        Token::Piece { element: self.element, bytes }
    }

    /// A value of this type begins.
    fn begin(&mut self, kind: u8) -> Result<(), Foreign> {
        self.told = self.stack.len() <= 1 && self.element < 3;
        self.state = match kind {
            b'+' | b'-' | b':' | b',' | b'#' | b'(' | b'_' => State::Text { returned: false },
            b'$' | b'!' | b'=' | b'*' | b'%' | b'~' | b'>' | b'|' => {
                State::Length { kind, line: Line::default() }
            }
            // The end of a streamed aggregate: an empty line after the marker.
            b'.' if self.stack.last().is_some_and(|frame| frame.left.is_none()) => {
                // As the last element of an aggregate that now ends.
                if let Some(frame) = self.stack.last_mut() {
                    frame.left = Some(0);
                }
                self.told = false;
                State::Text { returned: false }
            }
            0x15 | 0x16 => return Err(Foreign::Encrypted),
            _ => return Err(Foreign::Unknown("no Redis reply")),
        };
        self.null = kind == b'_' && self.stack.is_empty();
        Ok(())
    }

    /// The length of something is known.
    fn measured(&mut self, kind: u8, length: i64) -> Result<Option<Token>, Foreign> {
        let outermost = self.stack.is_empty();
        match (kind, length) {
            (b'$' | b'*', -1) => {
                self.null = outermost;
                Ok(self.complete())
            }
            (b';', 0) => Ok(self.complete()),
            (b'$' | b'!' | b'=' | b';', 0..=BULK_MAX) => {
                let part = kind == b';';
                self.state = match length {
                    0 => State::BodyEnd { returned: false, part },
                    _ => State::Body { left: length.unsigned_abs(), part },
                };
                Ok(None)
            }
            (b'*' | b'~' | b'>' | b'%' | b'|', 0..=ELEMENTS_MAX) => {
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                let attributes = kind == b'|' && !outermost;
                self.push(Frame { left: Some(length.unsigned_abs() * each), attributes })?;
                self.state = State::Type;
                Ok(if length == 0 { self.close() } else { None })
            }
            _ => Err(Foreign::Unknown("a length that cannot be")),
        }
    }

    fn push(&mut self, frame: Frame) -> Result<(), Foreign> {
        if self.stack.len() == DEPTH_MAX {
            return Err(Foreign::Unknown("aggregates too deep within each other"));
        }
        self.stack.push(frame);
        Ok(())
    }

    /// A value has ended: and with it, perhaps, those that it is the last of.
    fn complete(&mut self) -> Option<Token> {
        if self.stack.len() == 1 {
            self.element = self.element.saturating_add(1);
        }
        match self.stack.last_mut() {
            Some(Frame { left: Some(left), .. }) => *left = left.saturating_sub(1),
            Some(_) => {}
            None => {
                self.state = State::Between;
                return Some(Token::End { null: self.null });
            }
        }
        self.state = State::Type;
        self.close()
    }

    /// Ends the innermost aggregate if it has all its elements.
    fn close(&mut self) -> Option<Token> {
        let Some(Frame { left: Some(0), attributes }) = self.stack.last().copied() else { return None };
        self.stack.pop();
        if attributes { None } else { self.complete() }
    }
}
