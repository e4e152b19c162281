//! Redis's protocol: commands, and which reply is whose.
//!
//! Redis answers the commands of a connection in their order, so a queue of what was asked tells whose a
//! reply is. Out of step are: pushes (RESP 3), messages to a subscriber (RESP 2), the several confirmations
//! of one subscription, and what `CLIENT REPLY` silences. A command within a transaction takes effect with
//! EXEC, so that its reply is EXEC's.

mod command;
mod number;
pub mod reply;
pub mod request;

use std::collections::VecDeque;

use super::gate::{Gates, Mask, each};
use super::{Cut, Dialogue, Foreign, Heard};
use crate::fault::rules::UP;
use command::Command;
use reply::Replies;
use request::Requests;

/// Commands that wait for their reply, at most.
const PENDING_MAX: usize = 1 << 20;
/// Commands of interest within one transaction, at most.
const QUEUED_MAX: usize = 1 << 16;

/// A connection to Redis.
#[derive(Debug, Default)]
pub struct Resp {
    requests: Requests,
    command: Command,
    /// Where the command that is being read begins; `None` between two.
    begun: Option<u64>,
    /// The beginning of the command that is being read has passed.
    was_held: bool,
    replies: Replies,
    reply: Reply,
    pending: VecDeque<Pending>,
    silence: Silence,
    /// The client has begun a transaction and not ended it.
    transaction: bool,
    /// What the transaction's commands are for, of those that were queued.
    queued: Vec<(Mask, Option<Box<str>>)>,
    subscribed: bool,
    brief: String,
}

/// A command that waits for its reply.
#[derive(Debug)]
struct Pending {
    kind: Kind,
    /// Gates that it is for.
    sure: Mask,
    brief: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Within a transaction: is only queued.
    Queued,
    Exec,
    /// Ends a transaction without effect.
    Discard,
    /// Forgets everything about the connection.
    Reset,
    /// Confirmed once for each channel; `None`: for each that there happens to be.
    Subscription {
        left: Option<u32>,
    },
}

/// What the client has asked Redis to keep quiet about.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Silence {
    #[default]
    None,
    Next,
    All,
}

/// The reply that is being read.
#[derive(Debug)]
struct Reply {
    class: Class,
    kind: u8,
    /// Its first element, or itself, if that is a text.
    first: Cut,
    /// Its third element, if that is a number: how many subscriptions there are now.
    third: Cut,
    /// Where it begins, while it is not known whether it is what a gate waits for.
    from: Option<u64>,
}

impl Default for Reply {
    fn default() -> Self {
        Self { class: Class::Reply, kind: 0, first: Cut::EMPTY, third: Cut::EMPTY, from: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Reply,
    /// A push, or a message to a subscriber, or the confirmation of a subscription: its first element says.
    Unsure,
    /// Precedes a value.
    Attributes,
}

impl Dialogue for Resp {
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
            self.command.rule_out();
            self.was_held = true;
        } else {
            self.reply.from = None;
        }
    }

    fn brief(&self) -> &str {
        &self.brief
    }
}

impl Resp {
    fn hear_client(
        &mut self,
        bytes: &[u8],
        base: u64,
        gates: &mut Gates,
        port: usize,
    ) -> Result<Heard, Foreign> {
        let of_port = gates.of_port(port);
        let (mut at, end) = (0, base + bytes.len() as u64);
        while let Some(token) = self.requests.next(bytes, &mut at)? {
            let here = base + at as u64;
            match token {
                request::Token::Begin => {
                    (self.begun, self.was_held) = (Some(here), false);
                    // Asked anew: what was caught before in this chunk waits for nothing any more.
                    self.command.begin(gates.of_port(port));
                }
                request::Token::Piece { argument, bytes: piece, last } => {
                    self.command.piece(argument, &bytes[piece], last, gates, of_port);
                    if last && self.command.open() != 0 {
                        let caught = self.decide(false, gates);
                        if caught != 0 {
                            let flow = self.beginning(base, here);
                            self.was_held = true;
                            return Ok(Heard { flow, parsed: here, caught });
                        }
                    }
                }
                request::Token::End => {
                    let caught = self.decide(true, gates);
                    let flow = self.beginning(base, here);
                    self.begun = None;
                    self.sent()?;
                    if caught != 0 {
                        return Ok(Heard { flow, parsed: here, caught });
                    }
                }
            }
        }
        let may_be = !self.was_held && self.command.open() & gates.of_port(port).before != 0;
        Ok(Heard { flow: self.begun.filter(|_| may_be).unwrap_or(end), parsed: end, caught: 0 })
    }

    /// The first byte of the command that has not flowed on.
    fn beginning(&self, base: u64, here: u64) -> u64 {
        let begun = self.begun.unwrap_or(here);
        if self.was_held { begun.max(base) } else { begun }
    }

    /// Which gates have caught the command, by what is known of it now.
    fn decide(&mut self, complete: bool, gates: &mut Gates) -> Mask {
        let mut caught = 0;
        for gate in each(self.command.decide(complete, gates)) {
            let before = gates.get(gate).is_some_and(|gate| gate.side == crate::fault::wire::Side::Before);
            if before && gates.count(gate, 1) {
                caught |= 1 << gate;
            }
        }
        if caught != 0 {
            self.brief = self.command.brief();
        }
        caught
    }

    /// The command is complete: a reply to it will come, or none.
    fn sent(&mut self) -> Result<(), Foreign> {
        let command = &self.command;
        if command.count == 0 {
            return Ok(());
        }
        let quiet = self.silence != Silence::None;
        if self.silence == Silence::Next {
            self.silence = Silence::None;
        }
        let named = |name| command.is(name);
        if named("CLIENT") && command.word(1).is_some_and(|word| word.is_word(b"REPLY")) {
            match command.word(2) {
                Some(word) if word.is_word(b"ON") => {
                    self.silence = Silence::None;
                    return self.expect(Kind::Plain);
                }
                Some(word) if word.is_word(b"OFF") => {
                    self.silence = Silence::All;
                    return Ok(());
                }
                Some(word) if word.is_word(b"SKIP") => {
                    if self.silence == Silence::None {
                        self.silence = Silence::Next;
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        let others = command.count - 1;
        let kind = if named("EXEC") && self.transaction {
            self.transaction = false;
            Kind::Exec
        } else if named("DISCARD") && self.transaction {
            self.transaction = false;
            Kind::Discard
        } else if named("RESET") {
            (self.transaction, self.silence) = (false, Silence::None);
            Kind::Reset
        } else if self.transaction {
            Kind::Queued
        } else if named("MULTI") {
            self.transaction = true;
            Kind::Plain
        } else if ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"].into_iter().any(named) {
            Kind::Subscription { left: Some(others.max(1)) }
        } else if ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"].into_iter().any(named) {
            Kind::Subscription { left: (others > 0).then_some(others) }
        } else if named("MONITOR") {
            return Err(Foreign::Stream("MONITOR"));
        } else if named("SYNC") || named("PSYNC") {
            return Err(Foreign::Stream("replication"));
        } else {
            Kind::Plain
        };
        if quiet && kind != Kind::Reset { Ok(()) } else { self.expect(kind) }
    }

    fn expect(&mut self, kind: Kind) -> Result<(), Foreign> {
        if self.pending.len() >= PENDING_MAX {
            return Err(Foreign::TooMuch);
        }
        let sure = self.command.sure;
        let brief = (sure != 0).then(|| self.command.brief().into_boxed_str());
        self.pending.push_back(Pending { kind, sure, brief });
        Ok(())
    }

    fn hear_server(&mut self, bytes: &[u8], base: u64, gates: &mut Gates) -> Result<Heard, Foreign> {
        let (mut at, end) = (0, base + bytes.len() as u64);
        while let Some(token) = self.replies.next(bytes, &mut at)? {
            let here = base + at as u64;
            match token {
                reply::Token::Begin(kind) => {
                    self.begin_reply(kind);
                    let effective = self.reply.class == Class::Reply && !self.reply.is_error();
                    let at_once =
                        |front: &Pending| matches!(front.kind, Kind::Plain | Kind::Discard | Kind::Reset);
                    if effective && self.pending.front().is_some_and(at_once) {
                        let caught = self.tell(gates);
                        if caught != 0 {
                            return Ok(Heard { flow: here, parsed: here, caught });
                        }
                    }
                    // Only what follows says whether the transaction was carried out.
                    self.reply.from = self.awaits_exec(gates).then_some(here);
                }
                reply::Token::Piece { element, bytes: piece } => {
                    match element {
                        0 => self.reply.first.add(&bytes[piece]),
                        2 => self.reply.third.add(&bytes[piece]),
                        _ => {}
                    }
                    if let Some(from) = self.reply.from.take() {
                        let caught = self.tell(gates);
                        if caught != 0 {
                            return Ok(Heard { flow: from, parsed: here, caught });
                        }
                    }
                }
                reply::Token::End { null } => {
                    let from = self.reply.from.take();
                    let caught = if from.is_some() && !null { self.tell(gates) } else { 0 };
                    self.end_reply(gates)?;
                    if let (Some(flow), true) = (from, caught != 0) {
                        return Ok(Heard { flow, parsed: here, caught });
                    }
                }
            }
        }
        Ok(Heard { flow: self.reply.from.unwrap_or(end), parsed: end, caught: 0 })
    }

    fn begin_reply(&mut self, kind: u8) {
        let reply = &mut self.reply;
        reply.kind = kind;
        reply.first.clear();
        reply.third.clear();
        let subscribing =
            self.pending.front().is_some_and(|front| matches!(front.kind, Kind::Subscription { .. }));
        reply.class = match kind {
            b'|' => Class::Attributes,
            b'>' => Class::Unsure,
            b'*' if self.subscribed || subscribing => Class::Unsure,
            _ => Class::Reply,
        };
        if self.reply.class == Class::Reply {
            self.pass_over_confirmed();
        }
    }

    /// Whether the reply that begins is that of a transaction with a command that a gate waits for.
    fn awaits_exec(&self, gates: &Gates) -> bool {
        let exec = self.pending.front().is_some_and(|front| front.kind == Kind::Exec);
        let mut sums = self.queued.iter().fold(0, |all, (mask, _)| all | mask);
        sums |= self.pending.front().map_or(0, |front| front.sure);
        self.reply.class == Class::Reply
            && !self.reply.is_error()
            && exec
            && each(sums).any(|gate| gates.would_reach(gate, self.in_transaction(gate)))
    }

    /// How many of the transaction's commands, and EXEC itself, the gate is for.
    fn in_transaction(&self, gate: u32) -> u32 {
        let front = self.pending.front().into_iter().map(|front| front.sure);
        let masks = self.queued.iter().map(|(mask, _)| *mask).chain(front);
        masks.filter(|mask| mask & (1 << gate) != 0).count() as u32
    }

    /// Counts the commands that took effect, and says which gates have caught their reply.
    fn tell(&mut self, gates: &mut Gates) -> Mask {
        let Some(front) = self.pending.front() else { return 0 };
        let exec = front.kind == Kind::Exec;
        let mut all = front.sure;
        if exec {
            all |= self.queued.iter().fold(0, |all, (mask, _)| all | mask);
        }
        let mut caught = 0;
        for gate in each(all) {
            if gates.get(gate).is_none_or(|gate| gate.side == crate::fault::wire::Side::Before) {
                continue;
            }
            let more = if exec { self.in_transaction(gate) } else { 1 };
            if gates.count(gate, more) {
                caught |= 1 << gate;
            }
        }
        if caught != 0 {
            let of_queue = self.queued.iter().filter(|(mask, _)| exec && mask & caught != 0);
            let brief = of_queue.filter_map(|(_, brief)| brief.as_deref()).next_back();
            self.brief = brief.or(front.brief.as_deref()).unwrap_or_default().to_owned();
        }
        caught
    }

    fn end_reply(&mut self, gates: &mut Gates) -> Result<(), Foreign> {
        match self.reply.class {
            Class::Attributes => return Ok(()),
            Class::Unsure => {
                let first = self.reply.first.kept();
                let confirms = [&b"subscribe"[..], b"psubscribe", b"ssubscribe"].contains(&first)
                    || [&b"unsubscribe"[..], b"punsubscribe", b"sunsubscribe"].contains(&first);
                if confirms {
                    self.confirmed();
                    return Ok(());
                }
                let message = [&b"message"[..], b"pmessage", b"smessage"].contains(&first);
                if self.reply.kind == b'>' || message {
                    return Ok(());
                }
            }
            Class::Reply => {}
        }
        self.pass_over_confirmed();
        let Some(asked) = self.pending.pop_front() else {
            // A server that turns a client away says why, unasked.
            return if self.reply.is_error() {
                Ok(())
            } else {
                Err(Foreign::Unknown("a reply that nobody asked for"))
            };
        };
        let error = self.reply.is_error();
        if error && self.reply.first.kept().starts_with(b"NOSCRIPT") {
            for gate in each(asked.sure) {
                if gates.get(gate).is_some_and(|gate| gate.side == crate::fault::wire::Side::Before) {
                    gates.uncount(gate);
                }
            }
        }
        match asked.kind {
            Kind::Queued if !error && asked.sure != 0 => {
                if self.queued.len() >= QUEUED_MAX {
                    return Err(Foreign::TooMuch);
                }
                self.queued.push((asked.sure, asked.brief));
            }
            Kind::Exec | Kind::Discard => self.queued.clear(),
            Kind::Reset => {
                self.queued.clear();
                self.subscribed = false;
            }
            _ => {}
        }
        Ok(())
    }

    /// What is confirmed as often as there are channels is over once something else comes.
    fn pass_over_confirmed(&mut self) {
        while let Some(Pending { kind: Kind::Subscription { left: None }, .. }) = self.pending.front() {
            self.pending.pop_front();
        }
    }

    fn confirmed(&mut self) {
        self.subscribed = !self.reply.third.is(b"0");
        if !self.subscribed {
            self.pass_over_confirmed();
        }
        if let Some(Pending { kind: Kind::Subscription { left: Some(left) }, .. }) = self.pending.front_mut()
        {
            *left -= 1;
            if *left == 0 {
                self.pending.pop_front();
            }
        }
    }
}

impl Reply {
    fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }
}
