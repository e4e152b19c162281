//! What the fleet's processes run: a machine of `protocol`, by role and settings.

use crate::names::ProcessName;
use crate::protocol::pool::settings::PoolSettings;
use crate::protocol::table::{SweepSettings, Watch};
use crate::protocol::{
    Detector, FleetRole, FleetSettings, Machine, Pool, Sweeper, TableRole, TableSettings, TableWorker, Worker,
};
use crate::scenario;
use crate::time::{Now, Span};

/// As in `live::fleet::exporter`.
const EXPORTER_GRACE: Span = Span::from_secs(1);

/// What a process was told: its role, and the settings of its fleet.
#[derive(Debug, Clone)]
pub(super) enum Duty {
    Fleet {
        role: FleetRole,
        settings: Box<FleetSettings>,
    },
    Table {
        settings: Box<TableSettings>,
    },
    Sweeper {
        settings: SweepSettings,
        patience: Span,
    },
    /// A worker is active whose beat is younger than `active`.
    Exporter {
        active: Span,
        patience: Span,
    },
}

/// A program that runs.
#[derive(Debug)]
pub(super) enum Program {
    Worker(Box<Worker>),
    Detector(Box<Detector>),
    TableWorker(Box<TableWorker>),
    Sweeper(Box<Sweeper>),
    Pool(Box<Pool>),
    /// It answers requests and has no machine: the catalogue, the site.
    Server,
}

impl Duty {
    /// `None` for somebody else's program, and for none.
    pub fn of(program: &scenario::Program) -> Option<Self> {
        match program {
            scenario::Program::Reference { role, settings } => {
                Some(Self::Fleet { role: *role, settings: settings.clone() })
            }
            scenario::Program::Table { role: TableRole::Worker, settings } => {
                Some(Self::Table { settings: settings.clone() })
            }
            scenario::Program::Table { role: TableRole::Sweeper, settings } => match &settings.watch {
                Watch::Sweeper(sweep) => {
                    Some(Self::Sweeper { settings: sweep.clone(), patience: settings.patience })
                }
                Watch::Workers(_) => None,
            },
            scenario::Program::Table { role: TableRole::Exporter, settings } => {
                Some(Self::Exporter { active: settings.watch.active_within(), patience: settings.patience })
            }
            scenario::Program::External { .. } | scenario::Program::Missing { .. } => None,
        }
    }

    /// At the process's start.
    pub fn program(&self, name: &ProcessName, pid: u32, instance: &str, now: Now) -> Program {
        match self {
            Self::Fleet { role, settings } => match (role, &settings.heartbeat) {
                (FleetRole::Worker, _) => {
                    Program::Worker(Box::new(Worker::new(settings, name, pid, instance, now)))
                }
                (FleetRole::Api, Some(heartbeat)) => {
                    Program::Detector(Box::new(Detector::new(heartbeat, &settings.prefix)))
                }
                (FleetRole::Pool, _) => {
                    let documented = PoolSettings::documented();
                    let pool = settings.pool.as_ref().unwrap_or(&documented);
                    Program::Pool(Box::new(Pool::new(settings, pool, name, pid, instance, now)))
                }
                (FleetRole::Api | FleetRole::Catalogue | FleetRole::Site | FleetRole::Exporter, _) => {
                    Program::Server
                }
            },
            Self::Table { settings } => {
                Program::TableWorker(Box::new(TableWorker::new(settings, name, pid, instance)))
            }
            Self::Sweeper { settings, .. } => Program::Sweeper(Box::new(Sweeper::new(settings, pid))),
            Self::Exporter { .. } => Program::Server,
        }
    }

    /// Such a process is ready when it listens, and drains when it is told to stop; any other does both
    /// by its machine.
    pub const fn only_serves(&self) -> bool {
        matches!(
            self,
            Self::Fleet {
                role: FleetRole::Api | FleetRole::Catalogue | FleetRole::Site | FleetRole::Exporter,
                ..
            } | Self::Exporter { .. }
        )
    }

    /// A worker that is asked over HTTP whether it is ready.
    pub fn tells_readiness(&self) -> bool {
        matches!(self, Self::Table { settings } if matches!(settings.watch, Watch::Workers(_)))
    }

    /// Of a pool.
    pub fn pool(&self) -> Option<&PoolSettings> {
        match self {
            Self::Fleet { role: FleetRole::Pool, settings } => settings.pool.as_ref(),
            _ => None,
        }
    }

    /// Of a store's client.
    pub fn patience(&self) -> Span {
        match self {
            Self::Fleet { settings, .. } => settings.patience(),
            Self::Table { settings } => settings.patience,
            Self::Sweeper { patience, .. } | Self::Exporter { patience, .. } => *patience,
        }
    }

    pub fn shutdown_grace(&self) -> Span {
        match self {
            Self::Fleet { settings, .. } => settings.queue.shutdown_grace,
            Self::Table { settings } => settings.shutdown_grace,
            Self::Sweeper { .. } => Span::ZERO,
            Self::Exporter { .. } => EXPORTER_GRACE,
        }
    }

    /// The prefix of the keys in Redis, and how long failed jobs are kept there.
    pub fn keys(&self) -> (&str, Span) {
        match self {
            Self::Fleet { settings, .. } => (&settings.prefix, settings.queue.keep_failed),
            Self::Table { .. } | Self::Sweeper { .. } | Self::Exporter { .. } => ("", Span::ZERO),
        }
    }

    /// The queue that an api's refreshes go to.
    pub fn first_queue(&self) -> &str {
        match self {
            Self::Fleet { settings, .. } => settings.queue.queues.first().map_or("", String::as_str),
            Self::Table { .. } | Self::Sweeper { .. } | Self::Exporter { .. } => "",
        }
    }

    pub fn sweeps_are_refused(&self) -> bool {
        match self {
            Self::Fleet { .. } | Self::Table { .. } | Self::Exporter { .. } => false,
            Self::Sweeper { settings, .. } => !settings.may_update,
        }
    }
}

impl Program {
    pub fn machine(&mut self) -> Option<&mut dyn Machine> {
        match self {
            Self::Worker(worker) => Some(&mut **worker),
            Self::Detector(detector) => Some(&mut **detector),
            Self::TableWorker(worker) => Some(&mut **worker),
            Self::Sweeper(sweeper) => Some(&mut **sweeper),
            Self::Pool(pool) => Some(&mut **pool),
            Self::Server => None,
        }
    }
}
