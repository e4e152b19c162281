//! Troubles within the stores, in virtual time.

use super::client::{Ask, Request};
use super::server::Health;
use super::wire::{Message, Peer};
use super::{Planned, World, unsupported};
use crate::backend::BackendError;
use crate::fault::rules::DOWN;
use crate::fault::trouble::{DeadLetters, Eviction, MemoryLimit, Trouble};
use crate::fault::{Fault, FaultKind, OutageKind};
use crate::names::Store;
use crate::protocol::{Command, StoreError};
use crate::time::{Instant, Span};

const MILLION: u32 = 1_000_000;
/// What an empty Redis 7 reports as `used_memory`, and less than any that has clients.
const USED_WITHOUT_KEYS: usize = 900_000;

/// What is wrong with the stores now.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Postgres takes no connection that is new.
    pub no_connections: bool,
    read_only: bool,
    locked: Option<String>,
    /// Statements that wait for the locked table, in the order in which they came.
    waiting: Vec<Waiting>,
    /// Counts slow commands, so that one that was called off is known.
    slow: u32,
}

#[derive(Debug)]
struct Waiting {
    conn: usize,
    message: Message,
    /// The server cancels it then, as its client told it to.
    until: Instant,
}

/// What is not modelled makes the scenario one that cannot be run here.
pub(super) fn check(faults: &[Fault]) -> Result<(), BackendError> {
    for fault in faults {
        if matches!(&fault.kind, FaultKind::Trouble { trouble: Trouble::Operate { .. }, .. }) {
            return Err(unsupported("an operator's statement, which is not modelled"));
        }
        if let FaultKind::Trouble { trouble: Trouble::MaxMemory { limit, .. }, .. } = &fault.kind
            && !matches!(limit, MemoryLimit::Share(share) if *share < MILLION)
        {
            return Err(unsupported("a limit on Redis's memory in bytes: how much it uses is not modelled"));
        }
    }
    Ok(())
}

impl World {
    pub(super) fn trouble(&mut self, trouble: &Trouble) -> Result<String, String> {
        let store = trouble.store();
        if self.health(store) != Health::Up {
            return Err(format!("{store} does not answer"));
        }
        let wall = self.redis_time();
        match trouble {
            Trouble::ExpireKeys { patterns, after } => self.expire_keys(patterns, *after),
            Trouble::Wipe => match self.stores.redis.wipe(wall) {
                0 => Err("FLUSHALL: there was no key".to_owned()),
                known => Ok(format!("FLUSHALL: {known} keys before, 0 after")),
            },
            Trouble::MaxMemory { limit, policy } => self.limit_memory(*limit, *policy),
            Trouble::Slow { each, every } => {
                self.troubles.slow += 1;
                self.occupied(self.troubles.slow, *each, *every);
                Ok(format!("virtual time: a command of {each} occupies redis"))
            }
            Trouble::TerminateBackends => {
                let ended = self.end_all_to(Peer::Store(Store::Postgres));
                if ended == 0 {
                    return Err("there was no connection to end".to_owned());
                }
                Ok(format!("virtual time: {ended} connections ended"))
            }
            Trouble::ExhaustConnections => {
                self.troubles.no_connections = true;
                Ok("virtual time: postgres takes no new connection".to_owned())
            }
            Trouble::LockTable { table } => {
                if !["jobs", "segments", "effects"].contains(&table.as_str()) {
                    return Err(format!("there is no table {table}"));
                }
                self.troubles.locked = Some(table.clone());
                Ok(format!("virtual time: {table} is locked"))
            }
            Trouble::Operate { .. } => Err("what a statement does is not modelled".to_owned()),
            Trouble::Replay { letters } => self.replay(letters),
            Trouble::ClockStep { store, by } => {
                self.stores.clocks[*store as usize].step(self.now, *by);
                Ok(format!("virtual time: the clock of {store} was moved by {by}"))
            }
            Trouble::ClockDrift { store, ppm } => {
                self.stores.clocks[*store as usize].drift(self.now, *ppm);
                Ok(format!("virtual time: the clock of {store} gains {ppm} ppm"))
            }
            Trouble::DiskFull { store: Store::Redis } => {
                self.set_disk_full(true);
                Ok("virtual time: redis cannot write its file and refuses writes".to_owned())
            }
            Trouble::DiskFull { store: Store::Postgres } => {
                self.store_down(Store::Postgres, OutageKind::Kill);
                Ok("virtual time: postgres cannot lengthen its log and has ended".to_owned())
            }
            Trouble::ReadOnly => {
                self.troubles.read_only = true;
                Ok("virtual time: postgres takes no writes".to_owned())
            }
        }
    }

    pub(super) fn trouble_over(&mut self, trouble: &Trouble) -> Result<String, String> {
        match trouble {
            Trouble::ExpireKeys { .. }
            | Trouble::Wipe
            | Trouble::TerminateBackends
            | Trouble::Operate { .. }
            | Trouble::Replay { .. } => {
                return Err(format!("{} has no undo", trouble.name()));
            }
            Trouble::MaxMemory { .. } => {
                let wall = self.redis_time();
                self.stores.redis.set_over_memory(wall, None);
            }
            Trouble::Slow { .. } => {
                // The command that runs comes to its end.
                self.troubles.slow += 1;
            }
            Trouble::ExhaustConnections => self.troubles.no_connections = false,
            Trouble::LockTable { .. } => {
                self.troubles.locked = None;
                for Waiting { conn, message, .. } in std::mem::take(&mut self.troubles.waiting) {
                    self.serve(Store::Postgres, conn, message);
                }
            }
            Trouble::ReadOnly => self.troubles.read_only = false,
            Trouble::ClockStep { store, .. } | Trouble::ClockDrift { store, .. } => {
                self.stores.clocks[*store as usize] = super::clock::WallClock::default();
            }
            Trouble::DiskFull { .. } => self.set_disk_full(false),
        }
        Ok(format!("virtual time: {} is over", trouble.name()))
    }

    /// All databases of the server are in one file.
    fn set_disk_full(&mut self, full: bool) {
        self.stores.redis.set_disk_full(full);
        self.stores.elsewhere.set_disk_full(full);
    }

    /// Less than what the server uses: it has to give up so much that all keys which it may give up are
    /// not enough. Where they would be, only some of them go, and which ones is not modelled.
    fn limit_memory(&mut self, limit: MemoryLimit, policy: Eviction) -> Result<String, String> {
        let wall = self.redis_time();
        let too_much = match limit {
            MemoryLimit::Share(share) => {
                USED_WITHOUT_KEYS * MILLION.saturating_sub(share) as usize / MILLION as usize
            }
            MemoryLimit::Bytes(_) => 0,
        };
        if too_much < self.stores.redis.size_of_keys(wall, policy) {
            return Err("some keys would stay, and which ones is not modelled".to_owned());
        }
        let evicted = self.stores.redis.set_over_memory(wall, Some(policy));
        let how = match policy {
            Eviction::Noeviction => String::new(),
            _ => format!("; {evicted} keys are gone ({})", policy.as_str()),
        };
        Ok(format!("virtual time: redis is over its limit and refuses what needs memory{how}"))
    }

    fn replay(&mut self, letters: &DeadLetters) -> Result<String, String> {
        if self.troubles.read_only {
            return Err("postgres takes no writes".to_owned());
        }
        let now = self.postgres_time();
        let replayed = self.stores.postgres.replay(now, letters);
        let first = replayed.first().ok_or("there was no such dead letter")?;
        Ok(format!("virtual time: {} dead letters queued again, the first: {first}", replayed.len()))
    }

    fn expire_keys(&mut self, patterns: &[String], after: Span) -> Result<String, String> {
        let wall = self.redis_time();
        let names = self.stores.redis.matching(wall, patterns);
        if names.is_empty() {
            return Err("no key matches".to_owned());
        }
        let proof = format!("PEXPIRE: {} keys ({})", names.len(), names.join(", "));
        let mut others = Vec::new();
        for name in names {
            if after.is_zero() || !self.stores.redis.expire_text(wall, &name, after) {
                others.push(name);
            }
        }
        if after.is_zero() {
            self.expired(&others);
        } else {
            self.plan_after(after, Planned::Expired { keys: others.into() });
        }
        Ok(proof)
    }

    pub(super) fn expired(&mut self, keys: &[String]) {
        let wall = self.redis_time();
        self.stores.redis.delete_keys(wall, keys);
    }

    /// The server is busy with a command, and will be again, until that is over.
    pub(super) fn occupied(&mut self, number: u32, each: Span, every: Span) {
        if self.troubles.slow != number {
            return;
        }
        if self.health(Store::Redis) == Health::Up {
            self.server(Store::Redis).health = Health::Hanging;
            self.plan_after(each, Planned::Unoccupied);
        }
        self.plan_after(every, Planned::Occupied { number, each, every });
    }

    pub(super) fn unoccupied(&mut self) {
        if self.health(Store::Redis) == Health::Hanging {
            self.answer_backlog(Store::Redis);
        }
    }

    /// Statements on the locked table wait, and everything behind them on their connection.
    pub(super) fn unless_locked(&mut self, store: Store, conn: usize, message: Message) -> Option<Message> {
        let Some(table) = self.troubles.locked.as_deref().filter(|_| store == Store::Postgres) else {
            return Some(message);
        };
        let behind = self.troubles.waiting.iter().any(|waiting| waiting.conn == conn);
        let needs = matches!(&message, Message::Request(request) if table_of(request) == Some(table));
        if !needs && !behind {
            return Some(message);
        }
        let patience = self.patience_on(conn);
        let until = self.now + Span::from_nanos(patience.as_nanos() / 5 * 4);
        self.troubles.waiting.push(Waiting { conn, message, until });
        self.plan(until, Planned::StatementLimit);
        None
    }

    /// Statements that have waited for as long as their client allows are cancelled.
    pub(super) fn statement_limit(&mut self) {
        let now = self.now;
        let (over, waiting) =
            std::mem::take(&mut self.troubles.waiting).into_iter().partition(|waiting| waiting.until <= now);
        self.troubles.waiting = waiting;
        for Waiting { conn, message, .. } in over {
            if let Message::Request(mut request) = message {
                request.result = Some(Err(StoreError::Timeout));
                self.send(conn, DOWN, Message::Reply(request), Span::ZERO);
            }
        }
    }

    /// Why Postgres refuses the command, if it does.
    pub(super) fn refusal(&self, command: &Command) -> Option<StoreError> {
        let writes = matches!(
            command,
            Command::SetStatus { .. }
                | Command::SaveStep { .. }
                | Command::DropSteps { .. }
                | Command::RecordEffect { .. }
        );
        (self.troubles.read_only && writes).then(|| {
            StoreError::Rejected("cannot execute INSERT in a read-only transaction (25006)".to_owned())
        })
    }
}

fn table_of(request: &Request) -> Option<&'static str> {
    Some(match &request.ask {
        Ask::FinishedJobs | Ask::Command(Command::RecordEffect { .. }) => "effects",
        Ask::Metrics(_) => return None,
        Ask::Command(Command::SetStatus { .. }) => "jobs",
        Ask::Command(Command::LoadSteps { .. } | Command::SaveStep { .. } | Command::DropSteps { .. }) => {
            "segments"
        }
        Ask::Command(_) => return None,
    })
}
