//! What the comparison with a real server does not reach: long times, and a host without power.

use super::*;
use crate::names::JobId;
use crate::protocol::{Backoff, JobSpec};

const HOUR: Span = Span::from_secs(3_600);

fn redis(durability: RedisDurability) -> Redis {
    Redis::new("app:test", HOUR, durability)
}

fn at(millis: i64) -> UnixMillis {
    UnixMillis(1_000_000_000 + millis)
}

fn enqueue(id: &str) -> Command {
    let job = JobSpec {
        id: JobId::new(id),
        steps: Vec::new(),
        attempts: 1,
        backoff: Backoff::Fixed(Span::ZERO),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts: 0,
        hanging_attempts: 0,
        tool: None,
    };
    Command::Enqueue { queue: "regular".into(), job }
}

fn beat(ttl: Span) -> Command {
    Command::WriteBeat { key: "app:test:beat".into(), worker: "w".into(), stamp: UnixMillis(7), ttl }
}

fn has(redis: &Redis, now: UnixMillis, id: &str) -> bool {
    redis.exists(now, &format!("app:test:regular:job:{id}"))
}

#[test]
fn a_key_is_there_for_its_last_millisecond_and_gone_after_it() {
    let mut redis = redis(RedisDurability::None);
    assert_eq!(redis.execute(at(0), &beat(Span::from_millis(10))), Ok(Reply::Done));
    let read = Command::ReadBeat { key: "app:test:beat".into() };
    assert_eq!(redis.execute(at(10), &read), Ok(Reply::Beat(Some(UnixMillis(7)))));
    assert_eq!(redis.execute(at(11), &read), Ok(Reply::Beat(None)));
}

#[test]
fn a_key_that_expired_stays_away_when_the_clock_is_set_back() {
    let mut redis = redis(RedisDurability::None);
    let read = Command::ReadBeat { key: "app:test:beat".into() };
    for command in [beat(Span::from_millis(10)), read.clone()] {
        assert!(redis.execute(at(0), &command).is_ok());
    }
    assert_eq!(redis.execute(at(5_000), &enqueue("a")), Ok(Reply::Enqueued(true)));
    assert_eq!(redis.execute(at(0), &read), Ok(Reply::Beat(None)));
}

#[test]
fn snapshots_are_made_at_the_save_points_and_a_crash_falls_back_to_the_last() {
    for (changes, seconds) in [(1, 901), (10, 301), (10_000, 61)] {
        let mut redis = redis(RedisDurability::Rdb);
        redis.start(at(0));
        assert_eq!(redis.execute(at(500), &enqueue("a")), Ok(Reply::Enqueued(true)));
        while redis.unsaved_changes() < changes {
            assert_eq!(redis.execute(at(500), &beat(HOUR)), Ok(Reply::Done));
        }
        for (crash, kept) in [(seconds * 1_000 - 1, false), (seconds * 1_000, true)] {
            let mut redis = redis.clone();
            redis.crash(at(crash));
            redis.start(at(crash));
            assert_eq!(has(&redis, at(crash), "a"), kept, "{changes} changes, a crash after {crash} ms");
        }
    }
}

#[test]
fn a_server_that_is_down_answers_nothing_and_keeps_what_it_saved_in_its_stop() {
    let mut redis = redis(RedisDurability::Rdb);
    assert_eq!(redis.execute(at(0), &enqueue("a")), Ok(Reply::Enqueued(true)));
    assert_eq!(redis.execute(at(0), &beat(Span::from_secs(2))), Ok(Reply::Done));
    redis.stop(at(1_000));
    assert!(matches!(redis.execute(at(1_000), &enqueue("b")), Err(StoreError::Unavailable(_))));
    assert_eq!(redis.delete_keys(at(1_000), &["app:test:beat".into()]), 0);
    redis.start(at(5_000));
    assert!(has(&redis, at(5_000), "a"));
    assert!(!redis.exists(at(5_000), "app:test:beat"), "its time passed while the server was down");
}

#[test]
fn a_loss_of_power_costs_what_came_since_the_last_turn_of_the_second() {
    let crash = |durability, at_ms| {
        let mut redis = redis(durability).expecting_power_loss();
        for (millis, id) in [(100, "a"), (900, "b"), (1_100, "c")] {
            assert_eq!(redis.execute(at(millis), &enqueue(id)), Ok(Reply::Enqueued(true)));
        }
        redis.crash_of_host(at(at_ms));
        redis.start(at(60_000));
        ["a", "b", "c"].map(|id| has(&redis, at(60_000), id))
    };
    assert_eq!(crash(RedisDurability::None, 1_200), [false; 3]);
    assert_eq!(crash(RedisDurability::Rdb, 1_200), [false; 3]);
    assert_eq!(crash(RedisDurability::Aof, 1_200), [true, true, false]);
    assert_eq!(crash(RedisDurability::Aof, 2_000), [true; 3]);
    assert_eq!(crash(RedisDurability::AofAlways, 1_200), [true; 3]);
}

#[test]
fn a_command_of_postgres_is_refused() {
    let load = Command::LoadSteps { job: "a".into() };
    assert!(matches!(redis(RedisDurability::None).execute(at(0), &load), Err(StoreError::Rejected(_))));
}
