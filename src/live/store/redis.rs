//! The protocol's commands on Redis.
//!
//! Keys are `{prefix}:{queue}:` followed by `waiting`, `active`, `delayed`, `completed`, `failed`,
//! `marked`, `stalled-check`, `job:{id}` and `job:{id}:lock`, and one `{prefix}:stalls` for all
//! queues (job → stalls). `lua/prelude.lua` says what each holds. The scripts make key names of their
//! arguments, which a Redis Cluster would not allow.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisError, ScriptInvocation, ServerErrorKind,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::link::{Dial, Dialled, Link};
use super::{AddressError, Limits};
use crate::names::{JobId, Store};
use crate::protocol::command::StalledReport;
use crate::protocol::{ClaimedJob, Command, JobSpec, Reply, StoreError};
use crate::time::{Span, UnixMillis};

mod scripts;
use scripts::Scripts;

/// The error of a job that stalled too often, in the words of `BullMQ`.
pub const STALLED_TOO_OFTEN: &str = "job stalled more than allowable limit";

/// One client of one Redis. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Link<Dialer>,
    scripts: Arc<Scripts>,
    prefix: String,
    keep_failed: Span,
}

impl RedisStore {
    /// Starts to connect to `redis://[:password@]host:port[/db]`, in the background. `prefix` is the
    /// fleet's, `{app}:{env}`; failed jobs are kept for `keep_failed`.
    ///
    /// # Errors
    /// If `url` is not such an address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(url: &str, prefix: &str, keep_failed: Span, limits: Limits) -> Result<Self, AddressError> {
        let info = url.into_connection_info().map_err(|error| wrong_address(&error.to_string()))?;
        if !matches!(info.addr(), ConnectionAddr::Tcp(..)) {
            return Err(wrong_address("only redis://host:port is supported"));
        }
        let scripts = Arc::new(Scripts::new());
        let link = Link::open(Dialer { info, scripts: Arc::clone(&scripts) }, limits);
        Ok(Self(Arc::new(Inner { link, scripts, prefix: prefix.into(), keep_failed })))
    }

    /// Whether there is a connection at this moment; it may be dead without anybody's knowledge.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.link.is_up()
    }

    /// How many jobs of the queue are in which state.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn counts(&self, queue: &str) -> Result<QueueCounts, StoreError> {
        let base = self.0.base(queue);
        self.0.link.call(|connection| count(connection, base)).await
    }

    /// # Errors
    /// See [`StoreError`]; a Postgres command is `Rejected`.
    pub async fn execute(&self, command: &Command) -> Result<Reply, StoreError> {
        if let Command::AwaitReady { within, .. } = command {
            return Ok(Reply::Ready(self.0.link.ready(within.to_std(), ping).await));
        }
        self.0.link.call(|connection| self.0.run(connection, command)).await
    }
}

impl Inner {
    async fn run(
        &self,
        mut connection: MultiplexedConnection,
        command: &Command,
    ) -> Result<Reply, StoreError> {
        let c = &mut connection;
        let scripts = &self.scripts;
        match command {
            Command::WriteBeat { key, worker, stamp, ttl } => {
                let beat = json(&Beat { timestamp: *stamp, worker: worker.as_str().into() })?;
                let set = redis::cmd("SET").arg(key.as_str()).arg(beat).arg("PX").arg(millis(*ttl)).take();
                set.exec_async(c).await.map_err(|error| classify(&error))?;
                Ok(Reply::Done)
            }
            Command::ReadBeat { key } => {
                let beat: Option<String> = redis::cmd("GET")
                    .arg(key.as_str())
                    .query_async(c)
                    .await
                    .map_err(|error| classify(&error))?;
                let stamp = beat.map(|beat| parse::<Beat>(&beat)).transpose()?.map(|beat| beat.timestamp);
                Ok(Reply::Beat(stamp))
            }
            Command::AcquireLock { key, token, ttl } => {
                held(scripts.acquire_lock.key(key.as_str()).arg(token.as_str()).arg(millis(*ttl)), c).await
            }
            Command::RenewLock { key, token, ttl } => {
                held(scripts.renew_lock.key(key.as_str()).arg(token.as_str()).arg(millis(*ttl)), c).await
            }
            Command::ReleaseLock { key, token } => {
                held(scripts.release_lock.key(key.as_str()).arg(token.as_str()), c).await
            }
            Command::Enqueue { queue, job } => {
                let mut script = scripts.enqueue.key(self.base(queue));
                let script = script.arg(job.id.as_str()).arg(json(job)?).arg(millis_or_zero(job.delay));
                Ok(Reply::Enqueued(invoke(script, c).await?))
            }
            Command::Claim { queue, token, lock } => {
                let mut script = scripts.claim.key(self.base(queue));
                let claimed: Option<(String, u32, u32)> =
                    invoke(script.arg(token.as_str()).arg(millis(*lock)), c).await?;
                Ok(Reply::Claimed(claimed.map(claimed_job).transpose()?.map(Box::new)))
            }
            Command::ExtendLock { queue, job, token, lock } => {
                let mut script = scripts.extend_lock.key(self.base(queue));
                held(script.arg(job.as_str()).arg(token.as_str()).arg(millis(*lock)), c).await
            }
            Command::Complete { queue, job, token } => {
                held(scripts.complete.key(self.base(queue)).arg(job.as_str()).arg(token.as_str()), c).await
            }
            Command::Fail { queue, job, token, error, retry_in } => {
                let retry_ms =
                    retry_in.map_or(-1, |wait| i64::try_from(millis_or_zero(wait)).unwrap_or(i64::MAX));
                let mut script = scripts.fail.key(self.base(queue));
                script.arg(job.as_str()).arg(token.as_str()).arg(error).arg(retry_ms);
                held(script.arg(millis(self.keep_failed)), c).await
            }
            Command::Release { queue, job, token } => {
                held(scripts.release.key(self.base(queue)).arg(job.as_str()).arg(token.as_str()), c).await
            }
            Command::CheckStalled { queue, guard, max_stalls } => {
                let mut script = scripts.check_stalled.key(self.base(queue));
                script.key(format!("{}:stalls", self.prefix));
                script.arg(millis(*guard)).arg(max_stalls).arg(STALLED_TOO_OFTEN);
                let (ran, requeued, failed): (bool, Vec<String>, Vec<String>) =
                    invoke(script.arg(millis(self.keep_failed)), c).await?;
                let ids = |ids: Vec<String>| ids.into_iter().map(JobId::from).collect();
                Ok(Reply::StalledCheck(StalledReport { ran, requeued: ids(requeued), failed: ids(failed) }))
            }
            Command::AwaitReady { .. }
            | Command::SetStatus { .. }
            | Command::LoadSteps { .. }
            | Command::SaveStep { .. }
            | Command::DropSteps { .. }
            | Command::RecordEffect { .. }
            | Command::Table(_) => Err(StoreError::Rejected(format!("not a Redis command: {command:?}"))),
        }
    }

    fn base(&self, queue: &str) -> String {
        format!("{}:{queue}:", self.prefix)
    }
}

/// Jobs by state, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueCounts {
    pub waiting: u64,
    pub active: u64,
    pub delayed: u64,
    pub completed: u64,
    pub failed: u64,
}

async fn count(mut connection: MultiplexedConnection, base: String) -> Result<QueueCounts, StoreError> {
    let key = |state: &str| format!("{base}{state}");
    let (waiting, active, delayed, completed, failed) = redis::pipe()
        .atomic()
        .llen(key("waiting"))
        .llen(key("active"))
        .zcard(key("delayed"))
        .zcard(key("completed"))
        .zcard(key("failed"))
        .query_async(&mut connection)
        .await
        .map_err(|error| classify(&error))?;
    Ok(QueueCounts { waiting, active, delayed, completed, failed })
}

/// The heartbeat's value, as the source system writes it.
#[derive(Serialize, Deserialize)]
struct Beat {
    timestamp: UnixMillis,
    #[serde(default)]
    worker: String,
}

fn claimed_job((spec, attempt, stalls): (String, u32, u32)) -> Result<ClaimedJob, StoreError> {
    Ok(ClaimedJob { spec: parse::<JobSpec>(&spec)?, attempt, stalls })
}

async fn held(
    script: &ScriptInvocation<'_>,
    connection: &mut MultiplexedConnection,
) -> Result<Reply, StoreError> {
    Ok(Reply::Held(invoke(script, connection).await?))
}

/// Sends the script's hash, and the script itself if the server does not know it.
async fn invoke<T: FromRedisValue>(
    script: &ScriptInvocation<'_>,
    connection: &mut MultiplexedConnection,
) -> Result<T, StoreError> {
    script.invoke_async(connection).await.map_err(|error| classify(&error))
}

async fn ping(mut connection: MultiplexedConnection) -> Result<(), StoreError> {
    redis::cmd("PING").exec_async(&mut connection).await.map_err(|error| classify(&error))
}

fn classify(error: &RedisError) -> StoreError {
    let not_now = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain
        )
    );
    if error.is_timeout() {
        StoreError::Timeout
    } else if not_now || error.is_io_error() || error.is_unrecoverable_error() {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Rejected(error.to_string())
    }
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Rejected(error.to_string()))
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Rejected(format!("the stored value cannot be read: {error}")))
}

/// An expiry for the server: whole milliseconds, rounded up, as it refuses zero.
fn millis(span: Span) -> u64 {
    millis_or_zero(span).max(1)
}

fn millis_or_zero(span: Span) -> u64 {
    span.as_nanos().div_ceil(1_000_000)
}

fn wrong_address(reason: &str) -> AddressError {
    AddressError { store: Store::Redis, reason: reason.into() }
}

struct Dialer {
    info: ConnectionInfo,
    scripts: Arc<Scripts>,
}

impl Dial for Dialer {
    type Client = MultiplexedConnection;

    fn dial(&self) -> BoxFuture<'_, Result<Dialled<Self::Client>, String>> {
        self.connect().map(|result| result.map_err(|error| error.to_string())).boxed()
    }
}

impl Dialer {
    async fn connect(&self) -> Result<Dialled<MultiplexedConnection>, RedisError> {
        let ConnectionAddr::Tcp(host, port) = self.info.addr() else {
            return Err((ErrorKind::InvalidClientConfig, "not a TCP address").into());
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        // `Link` times each command as a whole; the crate's own limit of 500 ms would cut in before.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let settings = self.info.redis_settings().clone().set_skip_set_lib_name();
        let (connection, driver) = MultiplexedConnection::new_with_config(&settings, stream, config).await?;
        let mut driver = driver.map(|()| "the server closed the connection".to_owned()).boxed();
        tokio::select! {
            loaded = self.scripts.load(&connection) => loaded?,
            _ = &mut driver => return Err((ErrorKind::Io, "the server closed the connection").into()),
        }
        Ok((connection, driver))
    }
}
