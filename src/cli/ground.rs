//! Where scenarios run: on a live backend, or in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum;
use tokio::runtime::Handle;

use crate::backend::{Backend, BackendError};
use crate::cli::exit;
use crate::live::provision::BackendKind;
use crate::live::{Harness, clock};
use crate::run::suite::Case;
use crate::scenario::Scenario;
use crate::sim::SimBackend;
use crate::sim::world::{BEGIN, EPOCH};
use crate::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    Auto,
    Docker,
    Process,
    Sim,
}

/// Why no run came about.
pub struct Trouble {
    pub message: String,
    pub hint: Option<String>,
    pub code: u8,
}

impl From<BackendError> for Trouble {
    fn from(error: BackendError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { message: error.to_string(), hint, code: exit::ENVIRONMENT }
    }
}

impl Trouble {
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        Self { message: format!("failed to {doing}: {error}"), hint: None, code: exit::ENVIRONMENT }
    }
}

/// A backend that has been chosen and is ready for scenarios.
pub enum Ground {
    Live { harness: Box<Harness>, kind: BackendKind, why: String },
    Sim { runtime: tokio::runtime::Runtime },
}

impl Ground {
    /// # Errors
    /// If what was asked for is not there.
    pub fn choose(choice: BackendChoice, run_id: &str) -> Result<Self, Trouble> {
        if choice == BackendChoice::Sim {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            return Ok(Self::Sim {
                runtime: runtime.map_err(|error| Trouble::io("start a thread", &error))?,
            });
        }
        let harness = Harness::start(run_id).map_err(|error| Trouble::io("start the harness", &error))?;
        let (kind, why) = live_kind(choice, &harness)?;
        Ok(Self::Live { harness: Box::new(harness), kind, why })
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Live { kind: BackendKind::Docker, .. } => "docker",
            Self::Live { kind: BackendKind::Process, .. } => "process",
            Self::Sim { .. } => "sim",
        }
    }

    /// Why this one.
    pub fn why(&self) -> &str {
        match self {
            Self::Live { why, .. } => why,
            Self::Sim { .. } => "as asked; virtual time, nothing is started",
        }
    }

    /// # Errors
    /// If something is missing that scenarios need.
    pub fn prepare<'s>(
        &self,
        scenarios: impl IntoIterator<Item = &'s Scenario>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Trouble> {
        match self {
            Self::Live { harness, kind, .. } => Ok(harness.prepare(*kind, scenarios, progress)?),
            Self::Sim { .. } => Ok(()),
        }
    }

    /// # Errors
    /// If the scenario cannot be brought up here.
    pub fn open(&self, index: usize, case: &Case) -> Result<Box<dyn Backend>, BackendError> {
        Ok(match self {
            Self::Live { harness, kind, .. } => {
                Box::new(harness.open(*kind, &case.scenario, u32::try_from(index).unwrap_or(u32::MAX))?)
            }
            Self::Sim { .. } => Box::new(SimBackend::open(&case.scenario, case.header.seed)?),
        })
    }

    /// The clock of what is noted before a backend is there.
    pub const fn clock(&self) -> fn() -> Instant {
        match self {
            Self::Live { .. } => clock::monotonic,
            Self::Sim { .. } => || BEGIN,
        }
    }

    /// The wall clock of a scenario's start: virtual time always begins at the same moment, so that
    /// one seed gives one history.
    pub fn started_at(&self, started: jiff::Timestamp) -> String {
        match self {
            Self::Live { .. } => started.to_string(),
            Self::Sim { .. } => EPOCH.to_owned(),
        }
    }

    /// What a history says of the run that it belongs to.
    pub fn run_id<'a>(&self, run_id: &'a str) -> &'a str {
        match self {
            Self::Live { .. } => run_id,
            Self::Sim { .. } => "virtual",
        }
    }

    /// A live scenario mostly waits: so many on each core leave the host quiet enough for the checks.
    /// Starting a container costs the engine more than starting a process costs the kernel.
    pub fn at_once(&self) -> usize {
        let on_each_core = match self {
            Self::Live { kind: BackendKind::Docker, .. } => 2,
            Self::Live { kind: BackendKind::Process, .. } => 3,
            Self::Sim { .. } => 1,
        };
        cores() * on_each_core
    }

    /// The first SIGINT or SIGTERM ends the run in order; the watchdog takes care of everything else.
    pub fn watch_for_interrupts(&self) -> Arc<AtomicBool> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupted = Arc::new(AtomicBool::new(false));
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let interrupted = Arc::clone(&interrupted);
            let _context = self.runtime().enter();
            if let Ok(mut signals) = signal(kind) {
                self.runtime().spawn(async move {
                    while signals.recv().await.is_some() {
                        interrupted.store(true, Ordering::SeqCst);
                    }
                });
            }
        }
        interrupted
    }

    /// The run is over.
    pub fn close(&self, keep: bool) {
        if let Self::Live { harness, .. } = self {
            if keep {
                harness.guard().keep();
            } else {
                harness.guard().close();
            }
        }
    }

    fn runtime(&self) -> &Handle {
        match self {
            Self::Live { harness, .. } => harness.runtime(),
            Self::Sim { runtime } => runtime.handle(),
        }
    }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn live_kind(choice: BackendChoice, harness: &Harness) -> Result<(BackendKind, String), Trouble> {
    match choice {
        BackendChoice::Docker => {
            harness.engine().map_err(|reason| Trouble {
                message: format!("no container engine answers: {reason}"),
                hint: Some("start one (`scripts/setup.sh` does on Debian), or use --backend process".into()),
                code: exit::ENVIRONMENT,
            })?;
            Ok((BackendKind::Docker, "as asked".into()))
        }
        BackendChoice::Process => Ok((BackendKind::Process, "as asked".into())),
        BackendChoice::Auto | BackendChoice::Sim => Ok(match harness.engine() {
            Ok(engine) => (BackendKind::Docker, format!("{engine} answers")),
            Err(reason) => (BackendKind::Process, format!("no container engine answers ({reason})")),
        }),
    }
}
