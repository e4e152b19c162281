//! Asks the watches' questions, all the time, and keeps their answers as text.

use std::net::SocketAddr;
use std::sync::Arc;

use redis::Value;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::connection::{Postgres, Redis};
use super::probe::{Asks, ask_on, cmd, get, http_client};
use crate::history::{Heard, What};
use crate::live::clock;
use crate::live::provision::Site;
use crate::live::sink::Sink;
use crate::live::store::postgres::{status_of, status_query};
use crate::names::{HARNESS, ProcessName, Store};
use crate::protocol::table::StatusRule;
use crate::scenario::{Question, Watch};
use crate::time::Instant;

/// Rows of a query's answer; only the first is read.
const ROWS_MAX: usize = 1_000;
/// An answer longer than this is cut: what is compared is a word or a number.
const ANSWER_CHARS_MAX: usize = 1_000;

/// Asks until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    asking: JoinHandle<()>,
}

impl Watcher {
    /// Asks every `watch.every`, at fixed times, whether or not earlier asks were answered.
    #[must_use]
    /// `prometheus` is where the stack's listens, if it has one.
    pub fn start(
        watch: &Watch,
        site: Arc<dyn Site>,
        prometheus: Option<SocketAddr>,
        sink: Sink,
        runtime: &Handle,
    ) -> Self {
        let asker = Asker { name: watch.name.clone(), way: Way::of(watch), site, prometheus, sink };
        Self { asking: runtime.spawn(ask_on(Arc::new(asker), watch.every, watch.timeout)) }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

struct Asker {
    name: String,
    way: Way,
    site: Arc<dyn Site>,
    prometheus: Option<SocketAddr>,
    sink: Sink,
}

enum Way {
    Http { client: Result<reqwest::Client, String>, process: ProcessName, path: String, pointer: String },
    Redis { redis: Redis, command: redis::Cmd },
    Sql { postgres: Postgres, query: String },
    Status { postgres: Postgres, query: String, pointer: String, rule: StatusRule },
    Alert { client: Result<reqwest::Client, String>, name: String },
}

impl Way {
    fn of(watch: &Watch) -> Self {
        match &watch.ask {
            Question::Http { process, path, pointer } => Self::Http {
                client: http_client(watch.timeout),
                process: process.clone(),
                path: path.clone(),
                pointer: pointer.clone(),
            },
            Question::Redis { command } => {
                Self::Redis { redis: Redis::new(watch.timeout), command: cmd(command) }
            }
            Question::Sql { query } => {
                Self::Sql { postgres: Postgres::new(watch.timeout), query: query.clone() }
            }
            Question::Status { pointer, rule } => Self::Status {
                postgres: Postgres::new(watch.timeout),
                query: status_query(rule.stale_above),
                pointer: pointer.clone(),
                rule: *rule,
            },
            Question::Alert { name } => {
                Self::Alert { client: http_client(watch.timeout), name: name.clone() }
            }
        }
    }
}

impl Asks for Asker {
    type Answer = String;

    async fn ask(&self) -> Result<String, String> {
        let store = |store: Store| self.site.store(store).ok_or_else(|| format!("there is no {store}"));
        match &self.way {
            Way::Http { client, process, path, pointer } => {
                let address =
                    self.site.http_address(process).ok_or_else(|| format!("{process} has no address"))?;
                let body = get(client.as_ref()?, &format!("http://{address}{path}")).await?;
                // An error page says nothing.
                let value = body.pointer(pointer);
                value.map(text_of).ok_or_else(|| format!("the answer has nothing at `{pointer}`"))
            }
            Way::Redis { redis, command } => {
                redis.ask::<Value>(&store(Store::Redis)?, command).await.map(|answer| text_of_redis(&answer))
            }
            Way::Sql { postgres, query } => {
                let rows = postgres.query(&store(Store::Postgres)?, query, ROWS_MAX).await?;
                Ok(rows.first().and_then(|row| row.get(0)).unwrap_or("null").to_owned())
            }
            Way::Status { postgres, query, pointer, rule } => {
                let rows = postgres.query(&store(Store::Postgres)?, query, ROWS_MAX).await?;
                let status = status_of(rows.iter().map(|row| std::array::from_fn(|column| row.get(column))));
                let told = status.to_json(rule);
                Ok(told.pointer(pointer).map_or_else(|| "null".to_owned(), text_of))
            }
            Way::Alert { client, name } => {
                let address = self.prometheus.ok_or("there is no Prometheus")?;
                let rules =
                    get(client.as_ref()?, &format!("http://{address}/api/v1/rules?type=alert")).await?;
                alert_state(&rules, name)
            }
        }
    }

    fn report(&self, asked: Instant, answer: Result<String, String>) {
        let answer = match answer {
            Ok(said) => Heard::Said(said.chars().take(ANSWER_CHARS_MAX).collect()),
            Err(error) => Heard::Unknown { error },
        };
        let watched = What::Watched { watch: self.name.clone(), asked, answer };
        self.sink.send(clock::monotonic(), HARNESS.into(), watched);
    }
}

/// What Prometheus says of the alert. A rule that cannot be evaluated says nothing.
fn alert_state(rules: &serde_json::Value, name: &str) -> Result<String, String> {
    let groups = rules.pointer("/data/groups").and_then(|groups| groups.as_array());
    let mut all = groups.into_iter().flatten().filter_map(|group| group["rules"].as_array()).flatten();
    let rule = all.find(|rule| rule["name"] == name).ok_or_else(|| format!("there is no alert {name}"))?;
    match (rule["health"].as_str(), rule["state"].as_str()) {
        (Some("err"), _) => Err(text_of(&rule["lastError"])),
        (_, Some(state)) => Ok(state.to_owned()),
        _ => Err(format!("Prometheus does not say how {name} is")),
    }
}

fn text_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn text_of_redis(value: &Value) -> String {
    match value {
        Value::Nil => "null".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::Array(items) | Value::Set(items) => {
            items.iter().map(text_of_redis).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_s_state_is_read_and_a_broken_rule_says_nothing() {
        let rules = serde_json::json!({"data": {"groups": [{"rules": [
            {"name": "Down", "state": "firing", "health": "ok"},
            {"name": "Broken", "state": "inactive", "health": "err", "lastError": "no such function"},
        ]}]}});
        assert_eq!(alert_state(&rules, "Down"), Ok("firing".to_owned()));
        assert_eq!(alert_state(&rules, "Broken"), Err("no such function".to_owned()));
        assert!(alert_state(&rules, "Other").is_err());
    }

    #[test]
    fn answers_are_texts_without_quotes() {
        for (json, text) in [
            (serde_json::json!(false), "false"),
            (serde_json::json!("degraded"), "degraded"),
            (serde_json::json!(2.5), "2.5"),
            (serde_json::json!(null), "null"),
            (serde_json::json!({"a": 1}), "{\"a\":1}"),
        ] {
            assert_eq!(text_of(&json), text);
        }
        for (value, text) in [
            (Value::Nil, "null"),
            (Value::Int(3), "3"),
            (Value::BulkString(b"x y".to_vec()), "x y"),
            (Value::Array(vec![Value::Int(1), Value::Nil]), "1 null"),
        ] {
            assert_eq!(text_of_redis(&value), text);
        }
    }
}
