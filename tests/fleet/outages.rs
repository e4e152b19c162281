//! How a store's client comes through an outage of its server.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use syncope::live::store::{Limits, PostgresStore, RedisStore};
use syncope::names::Store;
use syncope::protocol::{Command, Reply, StoreError};
use syncope::time::{Span, UnixMillis};

use crate::servers::{PostgresServer, RedisServer, free_port};

const LIMITS: Limits = Limits { connect: Duration::from_millis(500), command: Duration::from_millis(500) };

#[tokio::test]
async fn redis_comes_back_after_a_kill_with_its_data_and_without_its_scripts() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(&server.url(), "app", Span::from_secs(60), LIMITS).expect("an address");
    assert_eq!(store.execute(&await_ready(Store::Redis)).await, Ok(Reply::Ready(true)));
    assert_eq!(store.execute(&acquire("a")).await, Ok(Reply::Held(true)));

    server.kill();
    let down = store.execute(&acquire("b")).await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");
    let brief = Command::AwaitReady { store: Store::Redis, within: Span::from_millis(50) };
    assert_eq!(store.execute(&brief).await, Ok(Reply::Ready(false)));

    server.resume();
    assert_eq!(store.execute(&await_ready(Store::Redis)).await, Ok(Reply::Ready(true)));
    assert_eq!(store.execute(&acquire("b")).await, Ok(Reply::Held(false)), "a still holds it");
    let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut server.client()).expect("SCRIPT FLUSH");
    assert_eq!(store.execute(&acquire("a")).await, Ok(Reply::Held(true)), "the script is sent again");
}

#[tokio::test]
async fn an_idle_client_notices_that_its_server_is_gone() {
    let mut server = RedisServer::start();
    let store = RedisStore::connect(&server.url(), "app", Span::from_secs(60), LIMITS).expect("an address");
    assert_eq!(store.execute(&await_ready(Store::Redis)).await, Ok(Reply::Ready(true)));
    server.kill();
    while store.is_connected() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_paused_redis_costs_a_timeout_and_a_new_connection() {
    let server = RedisServer::start();
    let store = RedisStore::connect(&server.url(), "app", Span::from_secs(60), LIMITS).expect("an address");
    assert_eq!(store.execute(&await_ready(Store::Redis)).await, Ok(Reply::Ready(true)));
    let pid = Pid::from_raw(server.pid().cast_signed()).expect("a pid");
    kill_process(pid, Signal::STOP).expect("SIGSTOP");
    let beat = Command::WriteBeat { key: "k".into(), worker: "w".into(), stamp: UnixMillis(1), ttl: MINUTE };
    assert_eq!(store.execute(&beat).await, Err(StoreError::Timeout));
    kill_process(pid, Signal::CONT).expect("SIGCONT");
    assert_eq!(store.execute(&await_ready(Store::Redis)).await, Ok(Reply::Ready(true)));
    assert_eq!(store.execute(&beat).await, Ok(Reply::Done));
}

/// The api asks for no more than this: a connection that never answers must not be kept for ever.
#[tokio::test]
async fn a_wait_that_ends_without_an_answer_gives_the_connection_up() {
    let server = RedisServer::start();
    let store = RedisStore::connect(&server.url(), "app", Span::from_secs(60), LIMITS).expect("an address");
    assert_eq!(store.execute(&await_ready(Store::Redis)).await, Ok(Reply::Ready(true)));
    let pid = Pid::from_raw(server.pid().cast_signed()).expect("a pid");
    kill_process(pid, Signal::STOP).expect("SIGSTOP");
    let brief = Command::AwaitReady { store: Store::Redis, within: Span::from_millis(50) };
    assert_eq!(store.execute(&brief).await, Ok(Reply::Ready(false)));
    while store.is_connected() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn postgres_comes_back_after_a_kill() {
    let mut server = PostgresServer::start();
    let store = PostgresStore::connect(&server.url(), LIMITS).expect("an address");
    assert_eq!(store.execute(&await_ready(Store::Postgres)).await, Ok(Reply::Ready(true)));
    assert_eq!(store.create_schema().await, Ok(()));
    let save = Command::SaveStep { job: "a".into(), step: 1, worker: "w".into() };
    assert_eq!(store.execute(&save).await, Ok(Reply::Saved(true)));

    server.kill();
    while store.is_connected() {
        tokio::task::yield_now().await;
    }
    let down = store.execute(&save).await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");

    server.resume();
    assert_eq!(store.execute(&await_ready(Store::Postgres)).await, Ok(Reply::Ready(true)));
    assert_eq!(store.execute(&save).await, Ok(Reply::Saved(false)), "the step was durable");
}

#[tokio::test]
async fn without_a_server_every_command_fails_at_once() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let store = RedisStore::connect(&url, "app", Span::from_secs(60), LIMITS).expect("an address");
    let down = store.execute(&acquire("a")).await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");
}

#[tokio::test]
async fn a_wrong_address_is_told_apart() {
    let redis = RedisStore::connect("http://there", "app", Span::from_secs(60), LIMITS).err();
    assert_eq!(redis.map(|error| error.store), Some(Store::Redis));
    let postgres = PostgresStore::connect("postgres://u@h:port/db", LIMITS).err();
    assert_eq!(postgres.map(|error| error.store), Some(Store::Postgres));
}

const MINUTE: Span = Span::from_secs(60);

fn acquire(token: &str) -> Command {
    Command::AcquireLock { key: "lock".into(), token: token.into(), ttl: MINUTE }
}

fn await_ready(store: Store) -> Command {
    Command::AwaitReady { store, within: Span::from_secs(20) }
}
