//! One connection to a store that is made again, in the background, whenever it breaks.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Limits;
use crate::protocol::StoreError;
use crate::protocol::settings::{RECONNECT_MAX, RECONNECT_MIN};

/// What a [`Link`] connects with.
pub(super) trait Dial: Send + Sync + 'static {
    type Client: Clone + Send + Sync + 'static;

    /// Connects, and proves that the server answers.
    fn dial(&self) -> BoxFuture<'_, Result<Dialled<Self::Client>, String>>;
}

/// The driver moves the connection's bytes until it ends with the reason; dropping it closes the
/// connection, and everything in flight fails.
pub(super) type Dialled<C> = (C, BoxFuture<'static, String>);

pub(super) struct Link<D: Dial> {
    state: watch::Receiver<State<D::Client>>,
    limits: Limits,
    keeper: AbortHandle,
}

#[derive(Clone)]
enum State<C> {
    Down(Arc<str>),
    Up { client: C, broken: Arc<Notify> },
}

impl<D: Dial> Link<D> {
    /// Starts to connect; must be called within a runtime.
    pub fn open(dial: D, limits: Limits) -> Self {
        let (publish, state) = watch::channel(State::Down("not connected yet".into()));
        let keeper = tokio::spawn(keep(dial, limits, publish)).abort_handle();
        Self { state, limits, keeper }
    }

    /// Runs one command. Without a connection it fails at once; without an answer in time, or with
    /// a broken one, the connection is dropped and made again.
    pub async fn call<T, F>(&self, command: impl FnOnce(D::Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let until = Instant::now() + self.limits.command;
        self.call_until(until, true, command).await
    }

    /// Waits until `ping` succeeds, at most `within`.
    pub async fn ready<F>(&self, within: Duration, ping: impl Fn(D::Client) -> F) -> bool
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let deadline = Instant::now() + within;
        let mut state = self.state.clone();
        let mut had_all_the_time = true;
        loop {
            if matches!(*state.borrow_and_update(), State::Up { .. }) {
                let until = deadline.min(Instant::now() + self.limits.command);
                // A ping that the deadline cut short says nothing against a connection just made.
                let conclusive = had_all_the_time || until < deadline;
                if self.call_until(until, conclusive, &ping).await.is_ok() {
                    return true;
                }
            }
            had_all_the_time = false;
            if !matches!(timeout_at(deadline, state.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    async fn call_until<T, F>(
        &self,
        until: Instant,
        conclusive: bool,
        command: impl FnOnce(D::Client) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let state = self.state.borrow().clone();
        let (client, broken) = match state {
            State::Up { client, broken } => (client, broken),
            State::Down(reason) => return Err(StoreError::Unavailable(reason.to_string())),
        };
        let answer = in_time(until, command(client)).await;
        // A server that says itself that it took too long (`Ok(Err(Timeout))`) is still there.
        let is_broken = match &answer {
            None => conclusive,
            Some(result) => matches!(result, Err(StoreError::Unavailable(_))),
        };
        if is_broken {
            broken.notify_one();
        }
        answer.unwrap_or(Err(StoreError::Timeout))
    }

    pub fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up { .. })
    }
}

impl<D: Dial> Drop for Link<D> {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What the command came to, if it did until then. A process that stood still meanwhile finds its answer and
/// its timer at the same moment: it reads first.
async fn in_time<T>(until: Instant, command: impl Future<Output = T>) -> Option<T> {
    let mut command = pin!(command);
    match timeout_at(until, &mut command).await {
        Ok(answer) => Some(answer),
        Err(_) => {
            // Its connection reads.
            yield_now().await;
            command.now_or_never()
        }
    }
}

/// Keeps one connection for as long as the link lives.
async fn keep<D: Dial>(dial: D, limits: Limits, publish: watch::Sender<State<D::Client>>) {
    let mut backoff = RECONNECT_MIN.to_std();
    loop {
        let reason = match timeout(limits.connect, dial.dial()).await {
            Ok(Ok((client, driver))) => {
                backoff = RECONNECT_MIN.to_std();
                let broken = Arc::new(Notify::new());
                publish.send_replace(State::Up { client, broken: Arc::clone(&broken) });
                tokio::select! {
                    reason = driver => reason,
                    () = broken.notified() => "the connection broke".into(),
                }
            }
            Ok(Err(reason)) => reason,
            Err(_) => "no answer to the connection attempt".into(),
        };
        publish.send_replace(State::Down(reason.into()));
        sleep(backoff).await;
        backoff = (backoff * 2).min(RECONNECT_MAX.to_std());
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream as Blocking;
    use std::thread;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Each ask is a byte there and back.
    struct Echo;

    type Asks = mpsc::UnboundedSender<oneshot::Sender<u8>>;

    impl Dial for Echo {
        type Client = Asks;

        fn dial(&self) -> BoxFuture<'_, Result<Dialled<Asks>, String>> {
            let (near, mut far) = Blocking::pair().expect("a pair of sockets");
            near.set_nonblocking(true).expect("it can be");
            thread::spawn(move || {
                let mut byte = [0];
                while far.read_exact(&mut byte).is_ok() {
                    thread::sleep(Duration::from_millis(20));
                    let _ = far.write_all(&byte);
                }
            });
            let mut near = UnixStream::from_std(near).expect("within a runtime");
            let (client, mut asks) = mpsc::unbounded_channel::<oneshot::Sender<u8>>();
            let driver = async move {
                while let Some(ask) = asks.recv().await {
                    let mut byte = [7];
                    if near.write_all(&byte).await.is_err() || near.read_exact(&mut byte).await.is_err() {
                        break;
                    }
                    let _ = ask.send(byte[0]);
                }
                "it ended".to_owned()
            };
            Box::pin(async move { Ok((client, driver.boxed())) })
        }
    }

    async fn ask(asks: Asks) -> Result<u8, StoreError> {
        let (tell, told) = oneshot::channel();
        let lost = || StoreError::Unavailable("it ended".to_owned());
        asks.send(tell).map_err(|_| lost())?;
        told.await.map_err(|_| lost())
    }

    /// A paused worker whose effect had been acknowledged meanwhile called it a timeout, and did it twice.
    #[tokio::test]
    async fn what_came_while_the_process_stood_still_is_read_before_it_is_missed() {
        let limits = Limits { connect: Duration::from_secs(5), command: Duration::from_millis(100) };
        let link = Link::open(Echo, limits);
        let up = link.ready(limits.connect, |_| async { Ok(()) }).await;
        assert!(up, "it connects");
        let stand_still = async {
            sleep(Duration::from_millis(5)).await;
            thread::sleep(Duration::from_millis(300));
        };
        let (answer, ()) = tokio::join!(link.call(ask), stand_still);
        assert_eq!(answer, Ok(7));
    }
}
