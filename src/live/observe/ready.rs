//! Whether a foreign process is ready, where that is to be asked.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::net::TcpStream;

use super::connection::{Postgres, Redis};
use super::probe::{cmd, http_client, is_something, is_true};
use crate::history::What;
use crate::live::clock;
use crate::live::provision::{RunningProcess, Site, StoreInstance};
use crate::live::sink::Sink;
use crate::live::web::causes;
use crate::names::Store;
use crate::protocol::FleetEvent;
use crate::scenario::ReadyAsk;
use crate::time::Span;

const EVERY: Duration = Duration::from_millis(50);
/// One ask without an answer for so long is asked again, wall time.
const LIMIT: Span = Span::from_secs(1);

/// Asks until the answer is yes, and tells so; or until the process has ended.
pub async fn until_ready(ask: ReadyAsk, site: Arc<dyn Site>, of: Arc<RunningProcess>, sink: Sink) {
    let mut exit = of.exit.clone();
    tokio::select! {
        () = answered(&ask, &*site, &of) => {
            // By now: it was so before the answer came.
            sink.send(clock::monotonic(), of.name.clone(), What::Fleet(FleetEvent::Ready { pid: 0 }));
        }
        _ = exit.wait_for(Option::is_some) => {}
    }
}

async fn answered(ask: &ReadyAsk, site: &dyn Site, of: &RunningProcess) {
    let asker = Asker { redis: Redis::new(LIMIT), postgres: Postgres::new(LIMIT), http: http_client(LIMIT) };
    loop {
        if let Ok(Ok(true)) = tokio::time::timeout(LIMIT.to_std(), asker.ask(ask, site, of)).await {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

struct Asker {
    redis: Redis,
    postgres: Postgres,
    http: Result<reqwest::Client, String>,
}

impl Asker {
    async fn ask(&self, ask: &ReadyAsk, site: &dyn Site, of: &RunningProcess) -> Result<bool, String> {
        let store = |store: Store| -> Result<StoreInstance, String> {
            site.store(store).ok_or_else(|| format!("there is no {store}"))
        };
        let address = || site.http_address(&of.name).ok_or_else(|| format!("{} has no address", of.name));
        match ask {
            ReadyAsk::Tcp => Ok(TcpStream::connect(address()?).await.is_ok()),
            ReadyAsk::Http { path } => {
                let url = format!("http://{}{path}", address()?);
                let answer = self.http.as_ref()?.get(url).send().await.map_err(|error| causes(&error))?;
                Ok(answer.status().is_success())
            }
            ReadyAsk::Redis { command } => {
                let answer = self.redis.ask::<Value>(&store(Store::Redis)?, &cmd(command)).await?;
                Ok(is_something(&answer))
            }
            ReadyAsk::Sql { query } => {
                let rows = self.postgres.query(&store(Store::Postgres)?, query, 1_000).await?;
                Ok(is_true(&rows))
            }
        }
    }
}
