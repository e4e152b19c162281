//! Troubles within Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::{COMMAND_LIMIT, LOOK_AGAIN, seen};
use crate::fault::trouble::DeadLetters;
use crate::live::clock;
use crate::live::inject::Effect;
use crate::live::observe::connection::Postgres;
use crate::live::provision::StoreInstance;
use crate::live::store::postgres::replay_statement;
use crate::time::Span;

const ROWS_MAX: usize = 100_000;
/// More connections than this are not taken from one server.
const CONNECTIONS_MAX: usize = 2_000;
/// `too_many_connections`: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const TOO_MANY: &str = "53300";
/// `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";
/// How often a connection is tried for, so that one that comes free is not the fleet's.
const GRAB_EVERY: Span = Span::from_millis(10);
const GRABS_AT_ONCE: usize = 3;
/// Connections that are asked for side by side.
const AT_ONCE: usize = 8;
const LOCK_LIMIT: Span = Span::from_secs(10);

/// The first column of each row.
async fn column(postgres: &Postgres, store: &StoreInstance, sql: &str) -> Result<Vec<String>, String> {
    let rows = postgres.query(store, sql, ROWS_MAX).await?;
    Ok(rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect())
}

/// All connections of clients but the harness's own.
const CLIENTS: &str = "backend_type = 'client backend' AND pid <> pg_backend_pid() \
    AND application_name <> 'syncope'";

/// The rows that it returns are its proof: a statement without any has changed nothing that is known.
pub(super) async fn operate(store: &StoreInstance, statement: &str) -> Result<Effect, String> {
    let from = clock::monotonic();
    let rows = column(&Postgres::new(COMMAND_LIMIT), store, statement).await?;
    let until = clock::monotonic();
    match rows.first() {
        Some(first) => {
            Ok(Effect { from, until, proof: format!("{} rows returned, the first: {first}", rows.len()) })
        }
        None => Err("the statement returned no row".to_owned()),
    }
}

/// The rows that it returns are the letters.
pub(super) async fn replay(store: &StoreInstance, letters: &DeadLetters) -> Result<Effect, String> {
    let from = clock::monotonic();
    let rows = column(&Postgres::new(COMMAND_LIMIT), store, &replay_statement(letters)).await?;
    let until = clock::monotonic();
    match rows.first() {
        Some(first) => {
            let proof = format!("{} dead letters queued again, the first: {first}", rows.len());
            Ok(Effect { from, until, proof })
        }
        None => Err("there was no such dead letter".to_owned()),
    }
}

pub(super) async fn terminate_backends(store: &StoreInstance) -> Result<Effect, String> {
    let postgres = Postgres::new(COMMAND_LIMIT);
    // A process's number may be given again: its start tells which one it was.
    let name = "pid || '@' || extract(epoch from backend_start)::text";
    let from = clock::monotonic();
    let terminate =
        format!("SELECT {name} FROM pg_stat_activity WHERE {CLIENTS} AND pg_terminate_backend(pid)");
    let ended = column(&postgres, store, &terminate).await?;
    if ended.is_empty() {
        return Err("there was no connection to end".to_owned());
    }
    let quoted: Vec<String> = ended.iter().map(|name| format!("'{name}'")).collect();
    let left = format!("SELECT pid FROM pg_stat_activity WHERE {name} IN ({})", quoted.join(", "));
    let proof = seen(|| async {
        let left = column(&postgres, store, &left).await?;
        if left.is_empty() {
            Ok(format!("pg_terminate_backend: {} connections ended", ended.len()))
        } else {
            Err(format!("{} of {} connections are still there", left.len(), ended.len()))
        }
    })
    .await?;
    Ok(Effect { from, until: clock::monotonic(), proof })
}

/// Connections that are held so that nobody else has them.
pub(super) struct Hoard {
    stop: Arc<AtomicBool>,
    held: JoinHandle<Vec<Postgres>>,
}

pub(super) async fn exhaust(store: &StoreInstance) -> Result<(Effect, Hoard), String> {
    let from = clock::monotonic();
    let mut held = Vec::new();
    let refused = loop {
        let mut refused = None;
        for taken in join_all((0..AT_ONCE).map(|_| connect(store))).await {
            match taken {
                Ok(connection) => held.push(connection),
                Err(error) => refused = Some(error),
            }
        }
        if let Some(refused) = refused {
            break refused;
        }
        if held.len() >= CONNECTIONS_MAX {
            return Err(format!("the server still takes connections after {CONNECTIONS_MAX}"));
        }
    };
    let until = clock::monotonic();
    if !refused.contains(TOO_MANY) {
        return Err(format!("{} connections are held; the next failed otherwise: {refused}", held.len()));
    }
    let proof = format!("{} connections are held; the next was refused: {refused}", held.len());
    let stop = Arc::new(AtomicBool::new(false));
    let held = tokio::spawn(grab(store.clone(), held, Arc::clone(&stop)));
    Ok((Effect { from, until, proof }, Hoard { stop, held }))
}

async fn connect(store: &StoreInstance) -> Result<Postgres, String> {
    let postgres = Postgres::new(COMMAND_LIMIT);
    postgres.query(store, "SELECT 1", 1).await?;
    Ok(postgres)
}

async fn grab(store: StoreInstance, mut held: Vec<Postgres>, stop: Arc<AtomicBool>) -> Vec<Postgres> {
    while !stop.load(Ordering::Relaxed) && held.len() < CONNECTIONS_MAX {
        let taken = join_all((0..GRABS_AT_ONCE).map(|_| connect(&store))).await;
        held.extend(taken.into_iter().flatten());
        tokio::time::sleep(GRAB_EVERY.to_std()).await;
    }
    held
}

impl Hoard {
    pub(super) async fn release(self, store: &StoreInstance) -> Result<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        let held = self.held.await.map_err(|error| format!("the held connections: {error}"))?;
        let count = held.len();
        drop(held);
        seen(|| async {
            connect(store).await.map(|_| format!("{count} connections were closed; a new one is taken"))
        })
        .await
    }
}

/// A connection whose transaction holds the lock.
pub(super) struct TableLock {
    holder: Postgres,
    name: String,
}

pub(super) async fn lock_table(store: &StoreInstance, table: &str) -> Result<(Effect, TableLock), String> {
    let name: Vec<String> =
        table.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    let name = name.join(".");
    // A statement that runs is waited for, as by an operator's own LOCK TABLE.
    let holder = Postgres::new(LOCK_LIMIT + COMMAND_LIMIT);
    let from = clock::monotonic();
    for statement in [
        "BEGIN".to_owned(),
        format!("SET LOCAL lock_timeout = {}", LOCK_LIMIT.as_nanos() / 1_000_000),
        format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"),
    ] {
        holder.query(store, &statement, 1).await?;
    }
    let until = clock::monotonic();
    let lock = TableLock { holder, name };
    match lock.holders(store).await?.first() {
        Some(pid) => {
            let proof = format!("pg_locks: pid {pid} holds {} in AccessExclusiveLock", lock.name);
            Ok((Effect { from, until, proof }, lock))
        }
        None => Err(format!("pg_locks shows no lock on {}", lock.name)),
    }
}

impl TableLock {
    async fn holders(&self, store: &StoreInstance) -> Result<Vec<String>, String> {
        let sql = format!(
            "SELECT pid FROM pg_locks WHERE relation = '{}'::regclass AND granted \
             AND mode = 'AccessExclusiveLock'",
            self.name.replace('\'', "''")
        );
        column(&Postgres::new(COMMAND_LIMIT), store, &sql).await
    }

    pub(super) async fn release(self, store: &StoreInstance) -> Result<String, String> {
        // A broken connection has given up its lock.
        let _ = self.holder.query(store, "ROLLBACK", 1).await;
        seen(|| async {
            match self.holders(store).await?.first() {
                None => Ok(format!("pg_locks: nobody holds {} in AccessExclusiveLock", self.name)),
                Some(pid) => Err(format!("pg_locks: pid {pid} still holds {}", self.name)),
            }
        })
        .await
    }
}

/// In the server's configuration, so that every session has it from its next statement on.
pub(super) async fn read_only(store: &StoreInstance) -> Result<Effect, String> {
    let from = clock::monotonic();
    configure(store, "ALTER SYSTEM SET default_transaction_read_only = on").await?;
    let refused = seen(|| async {
        match write(store).await {
            Err(refused) if refused.contains(READ_ONLY) => Ok(refused),
            Err(other) => Err(format!("a write failed otherwise: {other}")),
            Ok(()) => Err("a write was taken".to_owned()),
        }
    });
    match refused.await {
        Ok(refused) => {
            Ok(Effect { from, until: clock::monotonic(), proof: format!("a write was refused: {refused}") })
        }
        Err(reason) => {
            // What is not proved must not go on.
            configure(store, "ALTER SYSTEM RESET default_transaction_read_only").await?;
            Err(reason)
        }
    }
}

pub(super) async fn writable(store: &StoreInstance) -> Result<String, String> {
    configure(store, "ALTER SYSTEM RESET default_transaction_read_only").await?;
    seen(|| async {
        write(store).await.map(|()| "default_transaction_read_only is reset; a write was taken".to_owned())
    })
    .await
}

async fn configure(store: &StoreInstance, statement: &str) -> Result<(), String> {
    let postgres = Postgres::new(COMMAND_LIMIT);
    // Each by itself: ALTER SYSTEM takes no place in a transaction.
    for statement in [statement, "SELECT pg_reload_conf()"] {
        postgres.query(store, statement, 1).await?;
    }
    tokio::time::sleep(LOOK_AGAIN.to_std()).await;
    Ok(())
}

/// A table that is made and dropped again; on a new connection, as settings of its own come with it.
pub(super) async fn write(store: &StoreInstance) -> Result<(), String> {
    let postgres = Postgres::new(COMMAND_LIMIT);
    postgres.query(store, "CREATE TABLE syncope_probe_write (x int)", 1).await?;
    postgres.query(store, "DROP TABLE syncope_probe_write", 1).await.map(drop)
}
