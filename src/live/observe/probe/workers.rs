//! Asks which workers live, one by one.

use std::collections::BTreeSet;

use redis::Value;

use super::{cmd, get, http_client, text};
use crate::live::observe::connection::{Postgres, Redis};
use crate::live::observe::effects::ROWS_MAX;
use crate::live::provision::Site;
use crate::names::{ProcessName, Store};
use crate::scenario::WorkersAsk;
use crate::time::Span;

pub(super) enum Way {
    Redis { redis: Redis, command: redis::Cmd },
    Sql { postgres: Postgres, query: String },
    Http { client: Result<reqwest::Client, String>, process: ProcessName, path: String, pointer: String },
}

impl Way {
    pub fn of(ask: &WorkersAsk, timeout: Span) -> Self {
        match ask {
            WorkersAsk::Redis { command } => {
                Self::Redis { redis: Redis::new(timeout), command: cmd(command) }
            }
            WorkersAsk::Sql { query } => Self::Sql { postgres: Postgres::new(timeout), query: query.clone() },
            WorkersAsk::Http { process, path, pointer } => Self::Http {
                client: http_client(timeout),
                process: process.clone(),
                path: path.clone(),
                pointer: pointer.clone(),
            },
        }
    }

    /// The names of those that live.
    pub async fn ask(&self, site: &dyn Site) -> Result<BTreeSet<ProcessName>, String> {
        let store = |store| site.store(store).ok_or_else(|| format!("there is no {store}"));
        match self {
            Self::Redis { redis, command } => {
                names(&redis.ask::<Value>(&store(Store::Redis)?, command).await?)
            }
            Self::Sql { postgres, query } => {
                let rows = postgres.query(&store(Store::Postgres)?, query, ROWS_MAX).await?;
                let names = rows.iter().map(|row| {
                    row.get(0).map(ProcessName::new).ok_or_else(|| "postgres: a name is null".to_owned())
                });
                names.collect()
            }
            Self::Http { client, process, path, pointer } => {
                let address =
                    site.http_address(process).ok_or_else(|| format!("{process} has no address"))?;
                let body = get(client.as_ref()?, &format!("http://{address}{path}")).await?;
                listed(&body, pointer)
            }
        }
    }
}

fn names(answer: &Value) -> Result<BTreeSet<ProcessName>, String> {
    match answer {
        Value::Nil => Ok(BTreeSet::new()),
        Value::Array(items) | Value::Set(items) => {
            items.iter().map(|item| text(item).map(ProcessName::from)).collect()
        }
        _ => Err("redis: the answer is not a list of names".to_owned()),
    }
}

fn listed(body: &serde_json::Value, pointer: &str) -> Result<BTreeSet<ProcessName>, String> {
    let list = body.pointer(pointer).and_then(|value| value.as_array());
    let list = list.ok_or_else(|| format!("the answer has no list at `{pointer}`"))?;
    let name = |item: &serde_json::Value| item.as_str().map(ProcessName::new);
    list.iter().map(|item| name(item).ok_or_else(|| format!("`{item}` is no name"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_texts_in_a_list() {
        let both = BTreeSet::from(["w-1".into(), "w-2".into()]);
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        assert_eq!(names(&Value::Array(vec![bulk("w-2"), bulk("w-1")])), Ok(both.clone()));
        assert_eq!(names(&Value::Nil), Ok(BTreeSet::new()));
        assert!(names(&Value::Okay).is_err());
        let body = serde_json::json!({"online": ["w-1", "w-2"], "count": 2, "odd": [1]});
        assert_eq!(listed(&body, "/online"), Ok(both));
        for wrong in ["/count", "/odd", "/nothing"] {
            assert!(listed(&body, wrong).is_err(), "{wrong}");
        }
    }
}
