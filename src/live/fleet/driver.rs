//! Drives a protocol machine: feeds it replies, timers, signals and queries, and does what it wishes.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::labour::{Labour, Site};
use super::tools::Tools;
use super::{Ended, FleetError, ballast, memory};
use crate::live::clock;
use crate::live::fleet::emit::{emit, emit_clock};
use crate::live::store::Execute;
use crate::protocol::{CommandId, Input, Machine, Output, Reply, StoreError};
use crate::time::{Instant, Now};

/// Questions that may wait for the machine before the askers have to.
const QUESTIONS_MAX: usize = 64;

pub(super) struct Driver<M, S> {
    machine: M,
    stores: S,
    signals: Option<Signals>,
    commands: FuturesUnordered<BoxFuture<'static, (CommandId, Result<Reply, StoreError>)>>,
    labour: Labour,
    /// Sees the machine after each turn.
    watcher: Option<Watcher<M>>,
    questions: mpsc::Receiver<oneshot::Sender<Belief>>,
    /// The askers, by the query's number.
    askers: BTreeMap<u64, oneshot::Sender<Belief>>,
    last_query: u64,
    /// The machine's wish to exit.
    ended: Option<Ended>,
}

/// Looks at a machine.
type Watcher<M> = Box<dyn Fn(&M) + Send>;

/// A detector's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Belief {
    pub online: bool,
    pub stale: bool,
}

/// Asks the machine that a driver drives.
#[derive(Clone)]
pub(super) struct Asker(mpsc::Sender<oneshot::Sender<Belief>>);

impl Asker {
    /// Offline, if the machine is gone.
    pub async fn ask(&self) -> Belief {
        let (answer, answered) = oneshot::channel();
        // If it fails, the answer's other end is gone too.
        let _ = self.0.send(answer).await;
        answered.await.unwrap_or_default()
    }
}

/// The signals that a fleet's process obeys. To be made before anything else: until then, they kill.
pub(super) struct Signals {
    terminate: Signal,
    clock: Signal,
    panic: Option<Signal>,
}

/// What a signal tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Terminate,
    Panic,
}

impl Signals {
    pub fn catch() -> Result<Self, FleetError> {
        ballast::grow_when_told()?;
        let clock = catch(SignalKind::user_defined1())?;
        Ok(Self { terminate: catch(SignalKind::terminate())?, clock, panic: None })
    }

    /// SIGUSR2 as well: a worker's task panics.
    pub fn with_panics(self) -> Result<Self, FleetError> {
        Ok(Self { panic: Some(catch(SignalKind::user_defined2())?), ..self })
    }

    /// Until SIGTERM; meanwhile SIGUSR1 is answered.
    pub async fn terminated(&mut self) {
        while self.told().await != Told::Terminate {}
    }

    async fn told(&mut self) -> Told {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Told::Terminate,
                _ = self.clock.recv() => emit_clock(),
                () = received(&mut self.panic) => return Told::Panic,
            }
        }
    }
}

impl<M: Machine, S: Execute> Driver<M, S> {
    /// Without `signals`, somebody else obeys them.
    pub fn new(machine: M, stores: S, signals: Option<Signals>) -> (Self, Asker) {
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        let driver = Self {
            machine,
            stores,
            signals,
            commands: FuturesUnordered::new(),
            labour: Labour::default(),
            watcher: None,
            questions,
            askers: BTreeMap::new(),
            last_query: 0,
            ended: None,
        };
        (driver, Asker(ask))
    }

    /// The machine's work is to fetch pages.
    pub fn fetching(mut self, site: Site) -> Self {
        self.labour = Labour::fetching(site);
        self
    }

    /// The machine's work may be to run programs.
    pub fn equipped(mut self, tools: Tools) -> Self {
        self.labour = Labour::equipped(tools);
        self
    }

    pub fn watched(mut self, watcher: impl Fn(&M) + Send + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// Runs until the machine wishes to exit.
    pub async fn run(mut self) -> Ended {
        self.drain();
        loop {
            if let Some(ended) = self.ended {
                return ended;
            }
            self.wait().await;
        }
    }

    fn feed(&mut self, now: Now, input: Input) {
        if self.ended.is_none() {
            self.machine.handle(now, input);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            self.obey(output);
        }
        if let Some(watcher) = &self.watcher {
            watcher(&self.machine);
        }
    }

    fn obey(&mut self, output: Output) {
        match output {
            Output::Send { id, command } => {
                let stores = self.stores.clone();
                self.commands.push(Box::pin(async move { (id, stores.execute(command).await) }));
            }
            Output::Work { slot, job, step, lasting } => self.labour.begin(slot, &job, step, lasting),
            Output::Run { slot, job, tool, lasting } => self.labour.run(slot, &job, tool, lasting),
            Output::CancelWork { slot } => self.labour.cancel(slot),
            Output::MeasureMemory => {
                if let Some(memory) = memory::read() {
                    let input = Input::Memory { used: memory.used, limit: memory.limit };
                    self.machine.handle(clock::now(), input);
                }
            }
            Output::Emit(event) => emit(event),
            Output::Answer { query, online, stale } => {
                if let Some(asker) = self.askers.remove(&query) {
                    // The asker may have gone away.
                    let _ = asker.send(Belief { online, stale });
                }
            }
            Output::Exit { forced } => self.ended = Some(Ended { forced }),
        }
    }

    /// Hands the next input to the machine, and with it everything that is due by then.
    async fn wait(&mut self) {
        let due = self.next_due();
        let input = tokio::select! {
            biased;
            told = told(&mut self.signals) => Some(match told {
                Told::Terminate => Input::Shutdown,
                Told::Panic => Input::Panic,
            }),
            Some((id, result)) = self.commands.next() => Some(Input::Reply { id, result }),
            Some(asker) = self.questions.recv() => {
                self.last_query += 1;
                self.askers.insert(self.last_query, asker);
                Some(Input::Query { query: self.last_query })
            }
            (slot, result) = self.labour.fetched() => Some(match result {
                Ok(()) => Input::WorkDone { slot },
                Err(error) => Input::WorkFailed { slot, error },
            }),
            () = until(due) => None,
        };
        if let Some(input) = input {
            self.feed(clock::now(), input);
        }
        self.fire_due();
    }

    fn next_due(&self) -> Option<Instant> {
        self.labour.next_due().into_iter().chain(self.machine.next_timeout()).min()
    }

    fn fire_due(&mut self) {
        let now = clock::now();
        // The machine's own timers first: a lock that ended during the work ended before the work did.
        if self.machine.next_timeout().is_some_and(|due| due <= now.mono) {
            self.feed(now, Input::Timeout);
        }
        while let Some(slot) = self.labour.pop_due(now.mono) {
            self.feed(now, Input::WorkDone { slot });
        }
    }
}

/// For ever, if nothing is due.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(tokio::time::Instant::now() + due.since(clock::monotonic()).to_std()).await,
        None => std::future::pending().await,
    }
}

async fn told(signals: &mut Option<Signals>) -> Told {
    match signals {
        Some(signals) => signals.told().await,
        None => std::future::pending().await,
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn catch(kind: SignalKind) -> Result<Signal, FleetError> {
    signal(kind).map_err(|source| FleetError::Io { what: "catch signals", source })
}
