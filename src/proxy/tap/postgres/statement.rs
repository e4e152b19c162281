//! What a client says of its statements: their text, under which name, and which is executed.

use std::collections::BTreeMap;

use super::super::gate::{Gates, Mask, Pattern, each};
use super::super::search::Matched;
use super::super::{Cut, Foreign};
use super::keyword::Keyword;

/// Statements or portals that are kept in mind, at most.
const NAMES_MAX: usize = 1 << 14;
/// Of a statement's text, for people.
const SHOWN_MAX: usize = 60;

/// A statement, as far as it matters here.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    /// Gates that it is for.
    pub sure: Mask,
    /// Empty if it is for none.
    pub brief: Box<str>,
}

/// The text of a statement that is being read.
#[derive(Debug)]
pub struct Text {
    keyword: Keyword,
    start: Cut,
    matched: Vec<Matched>,
    seen: Mask,
    open: Mask,
    sure: Mask,
}

impl Default for Text {
    fn default() -> Self {
        let (keyword, start) = (Keyword::default(), Cut::EMPTY);
        Self { keyword, start, matched: Vec::new(), seen: 0, open: 0, sure: 0 }
    }
}

impl Text {
    pub fn begin(&mut self, gates: Mask, count: usize) {
        self.keyword = Keyword::default();
        self.start.clear();
        self.matched.clear();
        self.matched.resize(count, Matched::default());
        (self.seen, self.open, self.sure) = (0, gates, 0);
    }

    /// Gates that it may still be for.
    pub fn open(&self) -> Mask {
        self.open
    }

    pub fn rule_out(&mut self) {
        self.open = 0;
    }

    pub fn add(&mut self, piece: &[u8], gates: &Gates) {
        self.start.add(piece);
        if self.open == 0 {
            return;
        }
        self.keyword.add(piece);
        for gate in each(self.open) {
            let needle = gates.get(gate).and_then(|gate| gate.pattern.sql.as_ref());
            if let (Some(needle), Some(matched)) = (needle, self.matched.get_mut(gate as usize))
                && needle.seen(matched, piece)
            {
                self.seen |= 1 << gate;
            }
        }
    }

    /// Settles what can be settled. Returns the gates that have just become sure.
    pub fn decide(&mut self, complete: bool, gates: &Gates) -> Mask {
        let mut new = 0;
        for gate in each(self.open) {
            let Some(pattern) = gates.get(gate).map(|gate| &gate.pattern) else { continue };
            match self.judge(pattern, 1 << gate, complete) {
                Some(true) => new |= 1 << gate,
                Some(false) => self.open &= !(1 << gate),
                None => {}
            }
        }
        self.open &= !new;
        self.sure |= new;
        new
    }

    fn judge(&self, pattern: &Pattern, bit: Mask, complete: bool) -> Option<bool> {
        let word = match (&pattern.name, self.keyword.get(complete)) {
            (None, _) => Some(true),
            (Some(wanted), Some(word)) => Some(word == &**wanted),
            (Some(_), None) => None,
        };
        let text = match &pattern.sql {
            Some(_) if self.seen & bit == 0 => complete.then_some(false),
            _ => Some(true),
        };
        match (word, text) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    pub fn statement(&self) -> Statement {
        let brief = if self.sure == 0 { String::new() } else { self.brief() };
        Statement { sure: self.sure, brief: brief.into() }
    }

    pub fn brief(&self) -> String {
        self.start.show(SHOWN_MAX)
    }
}

/// A name of a statement or a portal, as it is read: what is kept is its hash (FNV-1a, 64 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(u64);

impl Default for Name {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Name {
    pub fn add(&mut self, piece: &[u8]) {
        for byte in piece {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Statements, or portals, by name. Only those are kept that are for a gate.
#[derive(Debug, Default)]
pub struct Book(BTreeMap<Name, Statement>);

impl Book {
    /// # Errors
    /// If there are too many.
    pub fn enter(&mut self, name: Name, statement: Statement) -> Result<(), Foreign> {
        if statement.sure == 0 {
            self.0.remove(&name);
        } else if self.0.len() < NAMES_MAX || self.0.contains_key(&name) {
            self.0.insert(name, statement);
        } else {
            return Err(Foreign::TooMuch);
        }
        Ok(())
    }

    pub fn get(&self, name: Name) -> Option<&Statement> {
        self.0.get(&name)
    }

    pub fn forget(&mut self, name: Name) {
        self.0.remove(&name);
    }
}
