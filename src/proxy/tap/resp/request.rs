//! What a Redis client sends: arrays of bulk strings, and inline commands. Incremental, without storing.

use std::ops::Range;

use super::super::Foreign;
use super::number::{Line, Number};

/// Arguments of one command, at most: Redis's own limit is lower.
const ARGUMENTS_MAX: i64 = i32::MAX as i64;
/// Bytes of one argument, at most. Redis's `proto-max-bulk-len` is 512 MiB unless set.
const ARGUMENT_MAX: i64 = 1 << 40;

/// A part of a command, as it passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A command's first byte is the next one to be read.
    Begin,
    /// The next piece of an argument (0 is the command's name), by its place in the chunk; `last` completes it.
    Piece { argument: u32, bytes: Range<usize>, last: bool },
    /// The command is complete; the next byte is not its own.
    End,
}

/// Reads one connection's requests.
#[derive(Debug, Default)]
pub struct Requests {
    state: State,
    arguments: u32,
    argument: u32,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Between,
    First,
    /// In the number of arguments.
    Count(Line),
    /// Before an argument's `$`.
    Dollar,
    Length(Line),
    Body(u64),
    BodyReturn,
    BodyFeed,
    Ended,
    Inline(Inline),
    /// An inline line's bytes are all read.
    Feed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inline {
    /// Between two words.
    Gap,
    Word,
    Quoted(u8),
    Escaped(u8),
}

impl Requests {
    /// The next token that begins at `at` or later, and moves `at` behind what it has read; `None` once the
    /// chunk has been read.
    ///
    /// # Errors
    /// If no Redis client sends this.
    pub fn next(&mut self, chunk: &[u8], at: &mut usize) -> Result<Option<Token>, Foreign> {
        while let Some(byte) = chunk.get(*at).copied() {
            match &mut self.state {
                State::Between => {
                    // Redis takes no notice of empty lines.
                    if matches!(byte, b'\r' | b'\n') {
                        *at += 1;
                        continue;
                    }
                    (self.arguments, self.argument) = (0, 0);
                    self.state = State::First;
                    return Ok(Some(Token::Begin));
                }
                State::First if byte == b'*' => {
                    *at += 1;
                    self.state = State::Count(Line::default());
                }
                State::First if byte.is_ascii_graphic() => self.state = State::Inline(Inline::Gap),
                State::First => {
                    return Err(if byte == 0x16 {
                        Foreign::Encrypted
                    } else {
                        Foreign::Unknown("no Redis command")
                    });
                }
                State::Count(line) => {
                    *at += 1;
                    match line.take(byte).map_err(Foreign::Unknown)? {
                        Number::Partial => {}
                        Number::Whole(count) if count > ARGUMENTS_MAX => {
                            return Err(Foreign::Unknown("a command of too many arguments"));
                        }
                        // No command, and no reply.
                        Number::Whole(count) if count <= 0 => self.state = State::Between,
                        Number::Whole(count) => {
                            self.arguments = u32::try_from(count).unwrap_or(u32::MAX);
                            self.state = State::Dollar;
                        }
                    }
                }
                State::Dollar => {
                    *at += 1;
                    if byte != b'$' {
                        return Err(Foreign::Unknown("an argument that is no bulk string"));
                    }
                    self.state = State::Length(Line::default());
                }
                State::Length(line) => {
                    *at += 1;
                    match line.take(byte).map_err(Foreign::Unknown)? {
                        Number::Partial => {}
                        Number::Whole(length) if !(0..=ARGUMENT_MAX).contains(&length) => {
                            return Err(Foreign::Unknown("an argument of an impossible length"));
                        }
                        Number::Whole(0) => {
                            self.state = State::BodyReturn;
                            return Ok(Some(self.piece(*at..*at, true)));
                        }
                        Number::Whole(length) => self.state = State::Body(length.unsigned_abs()),
                    }
                }
                State::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(chunk.len() - *at);
                    *left -= here as u64;
                    let (from, last) = (*at, *left == 0);
                    *at += here;
                    if last {
                        self.state = State::BodyReturn;
                    }
                    return Ok(Some(self.piece(from..*at, last)));
                }
                State::BodyReturn | State::BodyFeed => {
                    *at += 1;
                    let first = matches!(self.state, State::BodyReturn);
                    if byte != if first { b'\r' } else { b'\n' } {
                        return Err(Foreign::Unknown("an argument that does not end where it should"));
                    }
                    self.state = if first {
                        State::BodyFeed
                    } else {
                        self.argument += 1;
                        if self.argument == self.arguments {
                            self.state = State::Between;
                            return Ok(Some(Token::End));
                        }
                        State::Dollar
                    };
                }
                State::Inline(_) => {
                    if let Some(token) = self.inline(chunk, at) {
                        return Ok(Some(token));
                    }
                }
                State::Feed => {
                    *at += 1;
                    self.state = State::Ended;
                }
                State::Ended => break,
            }
            if matches!(self.state, State::Ended) {
                self.state = State::Between;
                return Ok(Some(Token::End));
            }
        }
        Ok(None)
    }

    fn piece(&self, bytes: Range<usize>, last: bool) -> Token {
        Token::Piece { argument: self.argument, bytes, last }
    }

    /// Words between blanks, as a person types them. Escapes are kept as they are written.
    fn inline(&mut self, chunk: &[u8], at: &mut usize) -> Option<Token> {
        let State::Inline(mut inline) = self.state else { return None };
        let from = *at;
        while let Some(byte) = chunk.get(*at).copied() {
            let next = match (inline, byte) {
                (Inline::Gap, b'\n') => {
                    self.state = State::Feed;
                    return None;
                }
                (Inline::Gap, b' ' | b'\t' | b'\r' | 0) => {
                    *at += 1;
                    continue;
                }
                (Inline::Gap, _) => {
                    self.state = State::Inline(Inline::Word);
                    return None;
                }
                (Inline::Word, b' ' | b'\t' | b'\r' | b'\n' | 0)
                | (Inline::Quoted(_) | Inline::Escaped(_), b'\n') => {
                    self.state = State::Inline(Inline::Gap);
                    let piece = self.piece(from..*at, true);
                    self.argument = self.argument.saturating_add(1);
                    return Some(piece);
                }
                (Inline::Word, b'"' | b'\'') => Inline::Quoted(byte),
                (Inline::Word, _) => Inline::Word,
                (Inline::Quoted(quote), b'\\') => Inline::Escaped(quote),
                (Inline::Quoted(quote), _) if byte == quote => Inline::Word,
                (Inline::Quoted(quote) | Inline::Escaped(quote), _) => Inline::Quoted(quote),
            };
            *at += 1;
            inline = next;
        }
        self.state = State::Inline(inline);
        let inside = inline != Inline::Gap && *at > from;
        inside.then(|| self.piece(from..*at, false))
    }
}
