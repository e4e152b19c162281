//! Carries injections out on real processes, stores and links, each with a proof.
//!
//! An order is fired by the [`Firer`] at its due instant. What must be precise (signals) happens on
//! the firer's thread; what proves it follows on the runtime. Every order ends in exactly one
//! `FaultDone` or `FaultUnproved`, after a bounded time.

mod clock_file;
mod clocks;
pub mod firer;
mod limits;
mod misfit;
mod network;
mod pause;
mod process;
mod reading;
mod store;
mod tree;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

pub use firer::{Fired, Firer};
pub use network::{AppliedAt, Network};

use crate::backend::BackendError;
use crate::fault::misfit::Misfit;
use crate::fault::{Injection, Order, OutageKind};
use crate::history::{Event, What};
use crate::live::clock;
use crate::live::provision::{RunningProcess, Site};
use crate::live::sink::Sink;
use crate::names::ProcessName;
use crate::time::Instant;
use clocks::Clocks;
use limits::Limits;
use trouble::Troubles;

/// Starts a process of the fleet again, with the environment it had.
pub trait Launcher: Send + Sync {
    fn start(&self, process: &ProcessName) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>>;

    /// The same, with something wrong. One that starts no process wrongly says so.
    fn start_with(
        &self,
        process: &ProcessName,
        misfit: &Misfit,
    ) -> BoxFuture<'_, Result<Arc<RunningProcess>, BackendError>> {
        let reason = format!("{process} cannot be started with `{}`", misfit.name());
        Box::pin(async move { Err(BackendError::Unsupported(reason)) })
    }
}

/// What the injector works on: one scenario's.
#[derive(Clone)]
pub struct Parts {
    pub site: Arc<dyn Site>,
    pub network: Arc<dyn Network>,
    pub launcher: Arc<dyn Launcher>,
    pub sink: Sink,
    pub runtime: Handle,
}

/// One per scenario. Cloning shares it; orders that are not due yet when the last clone is dropped
/// are dropped with it.
#[derive(Clone)]
pub struct Injector {
    inner: Arc<Inner>,
    firer: Arc<Firer>,
}

struct Inner {
    parts: Parts,
    clocks: Arc<Clocks>,
    troubles: Arc<Troubles>,
    limits: Arc<Limits>,
    /// How often everything that was not due yet was called off.
    called_off: AtomicU64,
}

/// The interval in which something took effect, at worst, and how that is known.
#[derive(Debug)]
struct Effect {
    from: Instant,
    until: Instant,
    proof: String,
}

/// `Err`: why there is no proof.
type Outcome = Result<Effect, String>;

impl Injector {
    #[must_use]
    pub fn new(parts: Parts, firer: Arc<Firer>) -> Self {
        let inner = Inner {
            parts,
            clocks: Arc::default(),
            troubles: Arc::default(),
            limits: Arc::default(),
            called_off: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner), firer }
    }

    /// Carries the order out at `at`, or now if that has passed. Returns at once.
    pub fn inject(&self, order: Order, at: Instant) {
        // Weak: an order in the far future keeps no scenario's site alive.
        let inner = Arc::downgrade(&self.inner);
        let called_off = self.inner.called_off.load(Ordering::Relaxed);
        self.firer.schedule(
            at,
            Box::new(move |fired| {
                let Some(inner) = inner.upgrade() else { return };
                if inner.called_off.load(Ordering::Relaxed) == called_off {
                    inner.fire(order, fired);
                } else {
                    let reason = "called off before it was due".to_owned();
                    inner.parts.sink.note(What::FaultUnproved { order: Box::new(order), reason });
                }
            }),
        );
    }

    /// Orders that were given before this and are not due yet will not be carried out. For an
    /// interrupted run, before its heals.
    pub fn call_off(&self) {
        self.inner.called_off.fetch_add(1, Ordering::Relaxed);
    }

    /// To be called with every event before it is delivered: the injector looks for the clock
    /// readings that it has asked for. Cheap, never blocks.
    pub fn observe(&self, event: &Event) {
        self.inner.clocks.observe(event);
    }
}

impl Inner {
    /// On the firer's thread.
    fn fire(&self, order: Order, fired: Fired) {
        let parts = &self.parts;
        let proof: BoxFuture<'static, Outcome> = match &order.injection {
            Injection::Signal { process, signal } => process::signal(parts, process, *signal),
            Injection::Stop { process, grace } => process::stop(parts, process, *grace),
            Injection::Start { process } => {
                process::start(parts.clone(), Arc::clone(&self.clocks), process.clone())
            }
            Injection::Pause { process } => pause::pause(parts, process),
            Injection::Resume { process } => pause::resume(parts, process),
            Injection::StoreDown { store, how: OutageKind::Refuse } => store::refuse(parts.clone(), *store),
            Injection::StoreUp { store, how: OutageKind::Refuse } => store::accept(parts.clone(), *store),
            Injection::StoreDown { store, how } => store::down(parts, *store, *how),
            Injection::StoreUp { store, how } => store::up(parts.clone(), *store, *how),
            Injection::ClockStep { process, by } => {
                self.clocks.change(parts, process, clocks::Change::Step(*by))
            }
            Injection::ClockDrift { process, ppm } => {
                self.clocks.change(parts, process, clocks::Change::Drift { ppm: *ppm })
            }
            Injection::ClockReset { process } => self.clocks.change(parts, process, clocks::Change::Reset),
            Injection::Misconfigure { process, misfit, grace } => {
                misfit::begin(parts, process, misfit.clone(), *grace)
            }
            Injection::Reconfigure { process, grace } => {
                misfit::end(parts, Arc::clone(&self.clocks), process, *grace)
            }
            Injection::Throttle { process, share } => self.limits.throttle(parts, process, *share),
            Injection::Unthrottle { process } => self.limits.unthrottle(process),
            Injection::OutOfMemory { process, limit, every } => {
                limits::out_of_memory(parts, process, *limit, *every)
            }
            Injection::Toxic { links, toxic } => store::toxic(parts.clone(), links.clone(), *toxic),
            Injection::ClearToxic { links, toxic } => {
                store::clear_toxic(parts.clone(), links.clone(), *toxic)
            }
            Injection::DeleteKeys { keys } => store::delete_keys(parts.clone(), keys.clone()),
            Injection::Trouble { trouble } => self.troubles.begin(parts, trouble.clone()),
            Injection::TroubleOver { trouble } => self.troubles.end(parts, trouble.clone()),
        };
        let sink = parts.sink.clone();
        parts.runtime.spawn(async move {
            sink.note(match proof.await {
                Ok(Effect { from, until, proof }) => What::FaultDone {
                    order: Box::new(order),
                    effective: (from, until),
                    lateness: fired.lateness,
                    proof,
                },
                Err(reason) => What::FaultUnproved { order: Box::new(order), reason },
            });
        });
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(format!("the injector's own work failed: {error}")),
    }
}

/// Brackets an action between two readings of the clock.
fn timed<T>(action: impl FnOnce() -> T) -> (Instant, T, Instant) {
    let from = clock::monotonic();
    let value = action();
    (from, value, clock::monotonic())
}
