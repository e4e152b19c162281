//! A look at the modelled Redis from outside, by the commands that only read.

use super::redis::{Redis, Value};
use crate::time::UnixMillis;

/// Whether [`read`] knows the command.
#[must_use]
pub fn can_read(command: &[String]) -> bool {
    let words = command.len();
    match command.first().map(|name| name.to_ascii_uppercase()).as_deref() {
        Some("GET" | "EXISTS" | "LLEN" | "ZCARD" | "SCARD" | "HLEN") => words == 2,
        Some("HGET" | "HEXISTS") => words == 3,
        _ => false,
    }
}

/// What the server would answer, as text: `null` for nil. `None` where the key holds another kind of
/// value, or the command is not one that [`can_read`] knows.
#[must_use]
pub fn read(redis: &Redis, now: UnixMillis, command: &[String]) -> Option<String> {
    let (name, key) = (command.first()?.to_ascii_uppercase(), command.get(1)?);
    let value = redis.get(now, key).map(|key| key.value);
    let count = |count: usize| Some(count.to_string());
    match (name.as_str(), value) {
        ("EXISTS", value) => count(usize::from(value.is_some())),
        ("HEXISTS", None) => count(0),
        ("HEXISTS", Some(Value::Hash(fields))) => {
            count(usize::from(command.get(2).is_some_and(|field| fields.contains_key(field))))
        }
        ("GET" | "HGET", None) => Some("null".to_owned()),
        ("LLEN" | "ZCARD" | "SCARD" | "HLEN", None) => count(0),
        ("GET", Some(Value::Text(text))) => Some(text),
        ("LLEN", Some(Value::List(items))) => count(items.len()),
        ("ZCARD", Some(Value::Sorted(members))) => count(members.len()),
        ("SCARD", Some(Value::Set(members))) => count(members.len()),
        ("HLEN", Some(Value::Hash(fields))) => count(fields.len()),
        ("HGET", Some(Value::Hash(fields))) => {
            Some(fields.get(command.get(2)?).cloned().unwrap_or_else(|| "null".to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Backoff, Command, JobSpec};
    use crate::scenario::RedisDurability;
    use crate::time::Span;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn reading_commands_are_answered_as_the_server_would() {
        let now = UnixMillis(1_000);
        let mut redis = Redis::new("a:b", Span::from_secs(1), RedisDurability::Aof);
        let lock =
            Command::AcquireLock { key: "a:b:lock".into(), token: "me".into(), ttl: Span::from_secs(9) };
        redis.execute(now, &lock).unwrap();
        let job = JobSpec {
            id: "job-1".into(),
            steps: vec![Span::from_secs(1)],
            attempts: 1,
            backoff: Backoff::Fixed(Span::ZERO),
            delay: Span::ZERO,
            timeout: None,
            failing_attempts: 0,
            hanging_attempts: 0,
            tool: None,
        };
        redis.execute(now, &Command::Enqueue { queue: "regular".into(), job }).unwrap();
        for (command, answer) in [
            ("GET a:b:lock", Some("me")),
            ("get a:b:nothing", Some("null")),
            ("EXISTS a:b:lock", Some("1")),
            ("LLEN a:b:regular:waiting", Some("1")),
            ("ZCARD a:b:regular:failed", Some("0")),
            ("HGET a:b:regular:job:job-1 attempts", Some("0")),
            ("HGET a:b:regular:job:job-1 nothing", Some("null")),
            ("HEXISTS a:b:regular:job:job-1 attempts", Some("1")),
            ("HEXISTS a:b:regular:job:job-2 attempts", Some("0")),
            ("LLEN a:b:lock", None),
        ] {
            assert!(can_read(&words(command)), "{command}");
            assert_eq!(read(&redis, now, &words(command)).as_deref(), answer, "{command}");
        }
        assert!(!can_read(&words("SET a b")));
    }
}
