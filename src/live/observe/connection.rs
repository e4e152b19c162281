//! One connection to a store, opened when first asked and again after it has broken. Nothing is sent twice.

use std::net::SocketAddr;
use std::pin::Pin;

use futures_util::{Stream, TryStreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::live::provision::StoreInstance;
use crate::time::Span;

/// To Redis. Asks may overlap: they share the connection.
#[derive(Debug)]
pub(crate) struct Redis {
    timeout: Span,
    open: Mutex<Open<MultiplexedConnection>>,
}

/// To Postgres. Asks may overlap: they share the connection, and the server answers in order.
#[derive(Debug)]
pub(crate) struct Postgres {
    timeout: Span,
    open: Mutex<Open<std::sync::Arc<Session>>>,
}

#[derive(Debug)]
struct Session {
    client: Client,
    driver: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The connection as it is now, where it leads to, and which one it is.
#[derive(Debug)]
struct Open<C> {
    connection: Option<(SocketAddr, C)>,
    number: u64,
}

impl<C: Clone> Open<C> {
    const fn none() -> Self {
        Self { connection: None, number: 0 }
    }

    fn to(&self, address: SocketAddr) -> Option<(u64, C)> {
        match &self.connection {
            Some((at, connection)) if *at == address => Some((self.number, connection.clone())),
            _ => None,
        }
    }

    fn put(&mut self, address: SocketAddr, connection: C) -> (u64, C) {
        self.number += 1;
        self.connection = Some((address, connection.clone()));
        (self.number, connection)
    }

    /// Unless somebody has put a new one in its place already.
    fn discard(&mut self, number: u64) {
        if self.number == number {
            self.connection = None;
        }
    }
}

/// What both `Cmd` and `Pipeline` can be asked.
pub(crate) trait RedisAsk {
    fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = redis::RedisResult<T>> + Send;
}

impl RedisAsk for redis::Cmd {
    async fn ask<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<T> {
        self.query_async(connection).await
    }
}

impl RedisAsk for redis::Pipeline {
    async fn ask<T: FromRedisValue>(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<T> {
        self.query_async(connection).await
    }
}

impl Redis {
    pub(crate) fn new(timeout: Span) -> Self {
        Self { timeout, open: Mutex::new(Open::none()) }
    }

    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        instance: &StoreInstance,
        ask: &impl RedisAsk,
    ) -> Result<T, String> {
        within(self.timeout, async {
            let (number, mut connection) = self.connect(instance).await?;
            let answer = ask.ask(&mut connection).await;
            if answer.as_ref().is_err_and(|error| error.code().is_none()) {
                // No answer of the server's: the connection may be broken.
                self.open.lock().await.discard(number);
            }
            answer.map_err(|error| format!("redis: {error}"))
        })
        .await
    }

    /// What INFO's section has under this name.
    pub(crate) async fn info(
        &self,
        instance: &StoreInstance,
        section: &str,
        name: &str,
    ) -> Result<String, String> {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        let text: String = self.ask(instance, &info).await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned()).ok_or_else(|| format!("redis does not say its {name}"))
    }

    async fn connect(&self, instance: &StoreInstance) -> Result<(u64, MultiplexedConnection), String> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.to(instance.address) {
            return Ok(connection);
        }
        let connection = async {
            let client = redis::Client::open(connection_info(instance)?)?;
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.timeout.to_std()))
                .set_response_timeout(Some(self.timeout.to_std()));
            client.get_multiplexed_async_connection_with_config(&config).await
        };
        let connection = connection.await.map_err(|error: redis::RedisError| format!("redis: {error}"))?;
        Ok(open.put(instance.address, connection))
    }
}

impl Postgres {
    pub(crate) fn new(timeout: Span) -> Self {
        Self { timeout, open: Mutex::new(Open::none()) }
    }

    /// The rows of the last statement that has any; at most `rows_max`, else an error.
    pub(crate) async fn query(
        &self,
        instance: &StoreInstance,
        sql: &str,
        rows_max: usize,
    ) -> Result<Vec<SimpleQueryRow>, String> {
        within(self.timeout, async {
            let (number, session) = self.connect(instance).await?;
            let answer = read_rows(&session.client, sql, rows_max).await;
            if session.client.is_closed() {
                self.open.lock().await.discard(number);
            }
            answer
        })
        .await
    }

    async fn connect(&self, instance: &StoreInstance) -> Result<(u64, std::sync::Arc<Session>), String> {
        let mut open = self.open.lock().await;
        if let Some((number, session)) = open.to(instance.address)
            && !session.client.is_closed()
        {
            return Ok((number, session));
        }
        let mut config = tokio_postgres::Config::new();
        config
            .host(instance.address.ip().to_string())
            .port(instance.address.port())
            .user(&instance.user)
            .dbname(&instance.database)
            .application_name("syncope")
            .connect_timeout(self.timeout.to_std());
        if let Some(password) = &instance.password {
            config.password(password);
        }
        let (client, connection) =
            config.connect(NoTls).await.map_err(|error| format!("postgres: {}", cause(&error)))?;
        // The driver ends with the connection; its error comes back from the client.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(open.put(instance.address, std::sync::Arc::new(Session { client, driver })))
    }
}

async fn read_rows(client: &Client, sql: &str, rows_max: usize) -> Result<Vec<SimpleQueryRow>, String> {
    let failed = |error: tokio_postgres::Error| format!("postgres: {}", cause(&error));
    let stream = client.simple_query_raw(sql).await.map_err(failed)?;
    let mut stream: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(stream);
    let mut rows = Vec::new();
    while let Some(message) = stream.try_next().await.map_err(failed)? {
        if let SimpleQueryMessage::Row(row) = message {
            if rows.len() == rows_max {
                return Err(format!("postgres: more than {rows_max} rows"));
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

fn connection_info(instance: &StoreInstance) -> redis::RedisResult<redis::ConnectionInfo> {
    let address = ConnectionAddr::Tcp(instance.address.ip().to_string(), instance.address.port());
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = &instance.password {
        settings = settings.set_password(password);
        if !instance.user.is_empty() {
            settings = settings.set_username(&instance.user);
        }
    }
    Ok(address.into_connection_info()?.set_redis_settings(settings))
}

/// tokio-postgres says only `db error`; what the server said is the source.
fn cause(error: &tokio_postgres::Error) -> String {
    let code = error.code().map_or_else(String::new, |code| format!(" (SQLSTATE {})", code.code()));
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}{code}"),
        None => format!("{error}{code}"),
    }
}

async fn within<T>(limit: Span, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(limit.to_std(), work).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {limit}")),
    }
}
