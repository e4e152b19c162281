//! The PostgreSQL protocol, version 3: statements, and which answer is whose.
//!
//! A command is a Query, or an Execute, which is known by the text that its portal's statement was parsed
//! from. The server answers in order, up to its ReadyForQuery; after an error in the extended protocol it
//! skips everything up to the next Sync. A command that is not within a transaction of its own has taken
//! effect with the ReadyForQuery that ends its round, so that is what the side `after` waits for; its
//! withheld answer begins with the word that it was completed.

pub mod frame;
mod keyword;
mod message;
mod statement;

use std::collections::VecDeque;

use super::gate::{Gates, Mask, each};
use super::{Dialogue, Foreign, Heard};
use crate::fault::rules::UP;
use crate::fault::wire::Side;
use frame::{Frames, STARTUP, Token};
use message::Message;
use statement::{Book, Name, Statement};

/// Messages that wait for their answer, at most.
const PENDING_MAX: usize = 1 << 20;
/// Commands of interest within one round, at most.
const ROUND_MAX: usize = 1 << 16;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
const MAJOR: u32 = 3;

/// A connection to Postgres.
#[derive(Debug)]
pub struct Postgres {
    client: Frames,
    server: Frames,
    /// The client has asked whether the server encrypts: a single byte is the answer.
    asked_to_encrypt: bool,
    /// The message that the client is sending.
    message: Message,
    statements: Book,
    portals: Book,
    pending: VecDeque<Pending>,
    /// An error was answered: everything is skipped up to a Sync that has not been sent yet.
    skipping: bool,
    /// The server takes in what is copied to it, and no Sync.
    copying_in: bool,
    answer: Answer,
    /// Commands that were completed in this round, whose effect is not certain before its end.
    round: Vec<Statement>,
    brief: String,
}

/// A message of the server that is being read.
#[derive(Debug, Default)]
struct Answer {
    kind: u8,
    /// Where the answer begins that may be what a gate waits for.
    from: Option<u64>,
}

/// A message of the client that is answered.
#[derive(Debug)]
struct Pending {
    kind: Kind,
    statement: Statement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A Query or a function call, up to its ReadyForQuery.
    Round,
    Sync,
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    /// The end of a copy, of which nobody speaks.
    CopyEnd,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            client: Frames::of_client(),
            server: Frames::default(),
            asked_to_encrypt: false,
            message: Message::default(),
            statements: Book::default(),
            portals: Book::default(),
            // The answer to the startup ends as that to a Query does.
            pending: VecDeque::from([Pending { kind: Kind::Round, statement: Statement::default() }]),
            skipping: false,
            copying_in: false,
            answer: Answer::default(),
            round: Vec::new(),
            brief: String::new(),
        }
    }
}

impl Dialogue for Postgres {
    fn hear(
        &mut self,
        direction: usize,
        bytes: &[u8],
        base: u64,
        gates: &mut Gates,
        port: usize,
    ) -> Result<Heard, Foreign> {
        if direction == UP {
            self.hear_client(bytes, base, gates, port)
        } else {
            self.hear_server(bytes, base, gates)
        }
    }

    fn give_up(&mut self, direction: usize) {
        if direction == UP {
            self.message.text.rule_out();
        } else {
            self.answer.from = None;
            self.round.clear();
        }
    }

    fn brief(&self) -> &str {
        &self.brief
    }
}

impl Postgres {
    fn hear_client(
        &mut self,
        bytes: &[u8],
        base: u64,
        gates: &mut Gates,
        port: usize,
    ) -> Result<Heard, Foreign> {
        let (mut at, end) = (0, base + bytes.len() as u64);
        while let Some(token) = self.client.next(bytes, &mut at)? {
            let here = base + at as u64;
            let caught = match token {
                Token::Begin(kind) => {
                    self.message.begin(kind, here, gates, port);
                    0
                }
                Token::Piece(piece) => {
                    self.message.read(&bytes[piece], gates);
                    // A statement takes effect only when executed; a Query is executed at once.
                    let sure =
                        if self.message.kind == b'Q' { self.message.text.decide(false, gates) } else { 0 };
                    self.catch(sure, gates)
                }
                Token::End => {
                    let (flow, caught) = (self.message.beginning(base, here), self.sent(gates)?);
                    self.message.begun = None;
                    if caught != 0 {
                        return Ok(Heard { flow, parsed: here, caught });
                    }
                    0
                }
            };
            if caught != 0 {
                let flow = self.message.beginning(base, here);
                self.message.was_held = true;
                return Ok(Heard { flow, parsed: here, caught });
            }
        }
        let message = &self.message;
        let waits = gates.of_port(port).before;
        let may_be = match message.kind {
            _ if message.was_held => false,
            b'Q' => message.text.open() & waits != 0,
            b'E' => waits != 0,
            _ => false,
        };
        Ok(Heard { flow: message.begun.filter(|_| may_be).unwrap_or(end), parsed: end, caught: 0 })
    }

    /// Which of the gates that a command is for wait for its being sent, and have caught it.
    fn catch(&mut self, sure: Mask, gates: &mut Gates) -> Mask {
        let mut caught = 0;
        for gate in each(sure) {
            if gates.get(gate).is_some_and(|gate| gate.side == Side::Before) && gates.count(gate, 1) {
                caught |= 1 << gate;
            }
        }
        if caught != 0 && self.message.kind == b'Q' {
            self.brief = self.message.text.brief();
        }
        caught
    }

    /// The client's message is complete. Returns the gates that have caught it.
    fn sent(&mut self, gates: &mut Gates) -> Result<Mask, Foreign> {
        let [first, second] = self.message.names;
        match self.message.kind {
            STARTUP => return self.started().map(|()| 0),
            b'Q' => {
                let sure = self.message.text.decide(true, gates);
                let caught = self.catch(sure, gates);
                // A Query destroys the unnamed statement and portal.
                self.statements.forget(Name::default());
                self.portals.forget(Name::default());
                self.expect(Kind::Round, self.message.text.statement())?;
                return Ok(caught);
            }
            b'P' => {
                self.message.text.decide(true, gates);
                self.statements.enter(first, self.message.text.statement())?;
                self.expect(Kind::Parse, Statement::default())?;
            }
            b'B' => {
                let statement = self.statements.get(second).cloned().unwrap_or_default();
                self.portals.enter(first, statement)?;
                self.expect(Kind::Bind, Statement::default())?;
            }
            b'E' => {
                let statement = self.portals.get(first).cloned().unwrap_or_default();
                let caught = self.catch(statement.sure, gates);
                if caught != 0 {
                    self.brief = statement.brief.to_string();
                }
                self.expect(Kind::Execute, statement)?;
                return Ok(caught);
            }
            b'C' => {
                let book =
                    if self.message.what == Some(b'S') { &mut self.statements } else { &mut self.portals };
                book.forget(first);
                self.expect(Kind::Close, Statement::default())?;
            }
            b'D' => self.expect(Kind::Describe, Statement::default())?,
            b'F' => self.expect(Kind::Round, Statement::default())?,
            b'S' if self.copying_in => {}
            b'S' => {
                self.skipping = false;
                self.expect(Kind::Sync, Statement::default())?;
            }
            b'c' | b'f' if self.copying_in => self.copying_in = false,
            b'c' | b'f' => self.expect(Kind::CopyEnd, Statement::default())?,
            b'H' | b'd' | b'p' | b'X' => {}
            _ => return Err(Foreign::Unknown("a message that no client of PostgreSQL sends")),
        }
        Ok(0)
    }

    /// The client has said what it wants of the connection.
    fn started(&mut self) -> Result<(), Foreign> {
        let code = u32::from_be_bytes(self.message.start[..4].try_into().unwrap_or_default());
        match code {
            SSL_REQUEST | GSS_REQUEST => self.asked_to_encrypt = true,
            CANCEL_REQUEST => {}
            _ if code >> 16 == MAJOR => self.client.are_typed(),
            _ => return Err(Foreign::Unknown("another version of PostgreSQL's protocol")),
        }
        Ok(())
    }

    fn expect(&mut self, kind: Kind, statement: Statement) -> Result<(), Foreign> {
        if self.skipping {
            return Ok(());
        }
        if self.pending.len() >= PENDING_MAX {
            return Err(Foreign::TooMuch);
        }
        self.pending.push_back(Pending { kind, statement });
        Ok(())
    }

    fn hear_server(&mut self, bytes: &[u8], base: u64, gates: &mut Gates) -> Result<Heard, Foreign> {
        let (mut at, end) = (0, base + bytes.len() as u64);
        if self.asked_to_encrypt
            && let Some(answer) = bytes.first()
        {
            self.asked_to_encrypt = false;
            match answer {
                b'S' | b'G' => return Err(Foreign::Encrypted),
                b'N' => at = 1,
                // A server that knows no such request answers with an error, in full.
                _ => {}
            }
        }
        while let Some(token) = self.server.next(bytes, &mut at)? {
            let here = base + at as u64;
            match token {
                Token::Begin(kind) => {
                    self.answer.kind = kind;
                    if let Some(flow) = self.completed(here, gates) {
                        let caught = self.tell(gates);
                        if caught != 0 {
                            return Ok(Heard { flow, parsed: here, caught });
                        }
                    }
                }
                Token::Piece(_) => {}
                Token::End => {
                    let from = self.answer.from;
                    let caught = self.answered(gates)?;
                    if let (Some(flow), true) = (from, caught != 0) {
                        return Ok(Heard { flow, parsed: here, caught });
                    }
                }
            }
        }
        Ok(Heard { flow: self.answer.from.unwrap_or(end), parsed: end, caught: 0 })
    }

    /// A message that begins may say that a command of interest is complete. `Some`, with where its answer
    /// begins, if no Sync will come for it that has been sent: then more is not known, and not waited for.
    fn completed(&mut self, here: u64, gates: &Gates) -> Option<u64> {
        let front = self.pending.front()?;
        let ends =
            matches!(self.answer.kind, b'C' | b'I') && matches!(front.kind, Kind::Execute | Kind::Round);
        if !ends || front.statement.sure == 0 || self.round.len() >= ROUND_MAX {
            return None;
        }
        let last_said = front.kind == Kind::Execute && !self.pending.iter().any(|it| it.kind == Kind::Sync);
        // Of several statements in one Query, the first tells of them all.
        if front.kind == Kind::Execute || self.round.is_empty() {
            self.round.push(front.statement.clone());
        }
        let all = self.round.iter().fold(0, |all, statement| all | statement.sure);
        if each(all).any(|gate| self.awaits(gate, gates)) {
            self.answer.from.get_or_insert(here);
        }
        if last_said { Some(self.answer.from.unwrap_or(here)) } else { None }
    }

    fn awaits(&self, gate: u32, gates: &Gates) -> bool {
        let after = gates.get(gate).is_some_and(|gate| gate.side == Side::After);
        after && gates.would_reach(gate, self.in_round(gate))
    }

    /// How many of the round's commands the gate is for.
    fn in_round(&self, gate: u32) -> u32 {
        self.round.iter().filter(|statement| statement.sure & (1 << gate) != 0).count() as u32
    }

    /// Counts the round's commands, and says which gates have caught their answer.
    fn tell(&mut self, gates: &mut Gates) -> Mask {
        let all = self.round.iter().fold(0, |all, statement| all | statement.sure);
        let mut caught = 0;
        for gate in each(all) {
            let after = gates.get(gate).is_some_and(|gate| gate.side == Side::After);
            if after && gates.count(gate, self.in_round(gate)) {
                caught |= 1 << gate;
            }
        }
        if let Some(statement) = self.round.iter().rfind(|statement| statement.sure & caught != 0) {
            self.brief = statement.brief.to_string();
        }
        self.round.clear();
        self.answer.from = None;
        caught
    }

    /// The server's message is complete. Returns the gates that have caught what it ends.
    fn answered(&mut self, gates: &mut Gates) -> Result<Mask, Foreign> {
        match self.answer.kind {
            b'1' => self.expected(Kind::Parse)?,
            b'2' => self.expected(Kind::Bind)?,
            b'3' => self.expected(Kind::Close)?,
            b'T' | b'n' => {
                if self.front() == Some(Kind::Describe) {
                    self.pending.pop_front();
                }
            }
            b'C' | b'I' | b's' => {
                if self.front() == Some(Kind::Execute) {
                    self.pending.pop_front();
                }
            }
            b'E' => self.failed(),
            b'Z' => {
                let caught = self.tell(gates);
                match self.front() {
                    Some(Kind::Round | Kind::Sync) => self.pending.pop_front(),
                    _ => return Err(Foreign::Unknown("an end of a round that nobody began")),
                };
                return Ok(caught);
            }
            b'G' => self.begin_copy_in(),
            b'W' => return Err(Foreign::Stream("replication")),
            // What comes unasked, what belongs to a login, rows, and what is copied out.
            b'N' | b'S' | b'A' | b'R' | b'K' | b'v' | b't' | b'D' | b'H' | b'd' | b'c' | b'V' => {}
            _ => return Err(Foreign::Unknown("a message that no server of PostgreSQL sends")),
        }
        Ok(0)
    }

    /// Of what is answered next. The end of a copy that was none is passed over in silence.
    fn front(&mut self) -> Option<Kind> {
        while self.pending.front().is_some_and(|front| front.kind == Kind::CopyEnd) {
            self.pending.pop_front();
        }
        self.pending.front().map(|front| front.kind)
    }

    fn expected(&mut self, kind: Kind) -> Result<(), Foreign> {
        if self.front() == Some(kind) {
            self.pending.pop_front();
            return Ok(());
        }
        Err(Foreign::Unknown("an answer that nobody asked for"))
    }

    /// Nothing of the round has taken effect; in the extended protocol, the rest of it is skipped.
    fn failed(&mut self) {
        self.round.clear();
        self.answer.from = None;
        self.copying_in = false;
        if matches!(self.front(), None | Some(Kind::Round | Kind::Sync)) {
            return;
        }
        match self.pending.iter().position(|asked| asked.kind == Kind::Sync) {
            Some(sync) => drop(self.pending.drain(..sync)),
            None => {
                self.pending.clear();
                self.skipping = true;
            }
        }
    }

    /// The server takes no notice of a Sync that comes before the copy's end.
    fn begin_copy_in(&mut self) {
        let end = self.pending.iter().position(|asked| asked.kind == Kind::CopyEnd);
        self.copying_in = end.is_none();
        let mut at = 0;
        let within = end.unwrap_or(self.pending.len());
        self.pending.retain(|asked| {
            let before_the_end = at < within;
            at += 1;
            asked.kind != Kind::CopyEnd && !(before_the_end && asked.kind == Kind::Sync)
        });
    }
}
