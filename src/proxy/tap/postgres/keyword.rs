//! The first word of a statement, behind blanks, comments and parentheses.

/// Longer words are no statement's first.
const WORD_MAX: usize = 24;

#[derive(Debug, Clone, Copy)]
pub struct Keyword {
    state: State,
    word: [u8; WORD_MAX],
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Gap,
    Dash,
    Line,
    Slash,
    Block { depth: u32, last: u8 },
    Word,
    Done,
}

impl Default for Keyword {
    fn default() -> Self {
        Self { state: State::Gap, word: [0; WORD_MAX], length: 0 }
    }
}

impl Keyword {
    pub fn add(&mut self, piece: &[u8]) {
        for byte in piece {
            if self.state == State::Done {
                return;
            }
            self.step(*byte);
        }
    }

    /// The word in capitals, once it is complete, or the statement is.
    pub fn get(&self, complete: bool) -> Option<&[u8]> {
        (complete || self.state == State::Done).then(|| &self.word[..self.length])
    }

    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Gap, b'-') => State::Dash,
            (State::Gap, b'/') => State::Slash,
            (State::Dash, b'-') => State::Line,
            (State::Slash, b'*') => State::Block { depth: 1, last: 0 },
            (State::Line, b'\n') => State::Gap,
            (State::Line, _) => State::Line,
            (State::Block { depth: 1, last: b'*' }, b'/') => State::Gap,
            (State::Block { depth, last: b'*' }, b'/') => State::Block { depth: depth - 1, last: 0 },
            (State::Block { depth, last: b'/' }, b'*') => {
                State::Block { depth: depth.saturating_add(1), last: 0 }
            }
            (State::Block { depth, .. }, _) => State::Block { depth, last: byte },
            (State::Gap | State::Word, b'a'..=b'z' | b'A'..=b'Z' | b'_') if self.length < WORD_MAX => {
                self.word[self.length] = byte.to_ascii_uppercase();
                self.length += 1;
                State::Word
            }
            (State::Gap, b' ' | b'\t' | b'\n' | b'\r' | b'(' | b';' | 0x0c) => State::Gap,
            _ => State::Done,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statement: &str, word: &str) {
        let mut keyword = Keyword::default();
        statement.as_bytes().chunks(1).for_each(|piece| keyword.add(piece));
        assert_eq!(keyword.get(true), Some(word.as_bytes()), "{statement}");
    }

    #[test]
    fn the_first_word_is_found_behind_what_is_no_word() {
        check("UPDATE jobs SET done = true", "UPDATE");
        check("commit", "COMMIT");
        check("  \n(select 1)", "SELECT");
        check("-- a comment\nselect 1", "SELECT");
        check("/* a /* nested */ comment */ insert into t", "INSERT");
        check("/*** x ***/DELETE FROM t", "DELETE");
        check("", "");
        check("42", "");
    }

    #[test]
    fn it_is_known_once_something_follows() {
        let mut keyword = Keyword::default();
        keyword.add(b"UPD");
        assert_eq!(keyword.get(false), None);
        keyword.add(b"ATE ");
        assert_eq!(keyword.get(false), Some(&b"UPDATE"[..]));
    }
}
