//! The two servers, as both backends run them: their settings, and how one learns that they are ready.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::SimpleQueryMessage;

use super::{Exit, StoreInstance};
use crate::names::Store;
use crate::scenario::{RedisDurability, Stack};

pub(super) const POSTGRES_USER: &str = "postgres";
pub(super) const POSTGRES_DATABASE: &str = "postgres";

/// A server that recovers from its log needs longer than one that starts afresh.
const READY_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(2);
/// One question; a server that hangs is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Redis's own arguments for a stack's durability.
pub(super) fn redis_settings(stack: &Stack) -> &'static [&'static str] {
    match stack.redis.as_ref().map_or(RedisDurability::None, |redis| redis.durability) {
        RedisDurability::None => &["--save", "", "--appendonly", "no"],
        RedisDurability::Rdb => &["--save", "900 1 300 10 60 10000", "--appendonly", "no"],
        RedisDurability::Aof => &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
        RedisDurability::AofAlways => &["--save", "", "--appendonly", "yes", "--appendfsync", "always"],
    }
}

/// Postgres's settings, as `name=value` each.
///
/// Faults here kill processes, never the host. What a server wrote before it was killed is in the
/// kernel's page cache, and there the next one finds it: without `fsync` an acknowledged commit
/// survives all the same, as `synchronous_commit` has its log written before the acknowledgement.
/// `full_page_writes` must stay on: the kernel writes an 8 KiB page as two of its own and looks for
/// a fatal signal between them, so a kill can tear a page, and only its image in the log mends it.
const POSTGRES_SETTINGS: &[&str] = &[
    "fsync=off",
    // In the data directory, and gone with it: in shared memory it would survive a kill -9 of the server.
    "dynamic_shared_memory_type=mmap",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=32MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "jit=off",
    "log_checkpoints=off",
];

const MAX_CONNECTIONS: u32 = 200;

/// All of them, for this stack.
pub(super) fn postgres_settings(stack: &Stack) -> impl Iterator<Item = String> {
    let most = stack.postgres.as_ref().and_then(|postgres| postgres.max_connections);
    let connections = format!("max_connections={}", most.unwrap_or(MAX_CONNECTIONS));
    POSTGRES_SETTINGS.iter().map(|setting| (*setting).to_owned()).chain([connections])
}

/// Asks until the store answers a query, and returns the version that it gives. Fails when its process
/// has ended, or after half a minute.
pub(super) async fn wait_until_ready(
    instance: &StoreInstance,
    mut exit: watch::Receiver<Option<Exit>>,
) -> Result<String, String> {
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < READY_WITHIN {
        if let Some(exit) = *exit.borrow_and_update() {
            return Err(format!(
                "{} ended before it was ready ({exit}); last answer: {last}",
                instance.store
            ));
        }
        match timeout(ANSWER_WITHIN, ask(instance)).await {
            Ok(Ok(version)) => return Ok(version),
            Ok(Err(error)) => last = error,
            Err(_) => last = format!("no answer in {ANSWER_WITHIN:?}"),
        }
        sleep(ASK_EVERY).await;
    }
    Err(format!("{} was not ready in {READY_WITHIN:?}; last answer: {last}", instance.store))
}

async fn ask(instance: &StoreInstance) -> Result<String, String> {
    match instance.store {
        Store::Redis => {
            ping(instance.address).await?;
            let info = exchange(instance.address, b"INFO server\r\n").await?;
            let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
            version.map(|version| version.trim().to_owned()).ok_or_else(|| "unknown".into())
        }
        Store::Postgres => query_postgres(instance, "SHOW server_version").await,
    }
}

/// A Redis that still loads its data answers with an error.
async fn ping(address: SocketAddr) -> Result<(), String> {
    let answer = exchange(address, b"PING\r\n").await?;
    if answer == "+PONG\r\n" { Ok(()) } else { Err(answer.trim().to_owned()) }
}

/// The beginning of the answer to an inline command.
async fn exchange(address: SocketAddr, command: &[u8]) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(command).await?;
        let mut answer = vec![0; 4_096];
        let length = stream.read(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    exchange.await.map_err(|error| error.to_string())
}

/// The first value of the first row.
async fn query_postgres(instance: &StoreInstance, query: &str) -> Result<String, String> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(instance.address.ip().to_string())
        .port(instance.address.port())
        .user(&instance.user)
        .dbname(&instance.database);
    if let Some(password) = &instance.password {
        config.password(password);
    }
    let text = |error: tokio_postgres::Error| match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    };
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(text)?;
    let asking = async {
        let answered = client.simple_query(query).await;
        // The connection ends when its client is gone.
        drop(client);
        answered
    };
    let (answered, _) = tokio::join!(asking, connection);
    let first = answered.map_err(text)?.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    first.ok_or_else(|| "no row".into())
}
