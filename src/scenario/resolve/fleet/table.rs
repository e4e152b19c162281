//! `postgres-heartbeat` and `postgres-jobs`: jobs in a table of Postgres; a sweeper that fails the jobs of
//! the dead, or workers that put them back.

use super::super::Context;
use super::{Reference, STOP_MARGIN, environment, secs};
use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::table::{RescueSettings, SWEEPER_ROLE, SweepSettings, Watch};
use crate::scenario::decode::Field;
use crate::scenario::scalar::{Flag, Whole};
use crate::scenario::{
    Ask, EXPORTER, EffectQuery, Enqueue, Fleet, Prepare, Probe, ProcessSpec, Program, TableRole,
    TableSettings,
};
use crate::time::Span;
use crate::timing::{Age, Beat, Checker, Clock, Expiry, Pipeline, Recovery, Subject};

impl Reference<'_> {
    /// Source 002: the sweeper fails what the dead have left.
    pub(super) fn swept_fleet(&self, context: &mut Context<'_, '_>) -> Fleet {
        let s = self.settings;
        let sweep = SweepSettings {
            threshold: context.positive(&s.threshold, secs(120), "threshold", self.place),
            interval: context.positive(&s.check_interval, secs(60), "check_interval", self.place),
            may_update: is_set(&s.sweeper_may_update, true),
        };
        let has_sweeper = is_set(&s.sweeper, true);
        // One that may not update finds the dead and can do nothing about them.
        let acts = has_sweeper && sweep.may_update;
        let settings = self.in_postgres(false, Watch::Sweeper(sweep.clone()), context);
        let checker = if acts { Checker::sweep(sweep.interval) } else { Checker::Nobody };
        // What is found is failed, and nobody takes it up again.
        let recovery = Recovery::never(settings.claim_poll);
        let mut fleet = self.table_fleet(&settings, sweep.threshold, checker, recovery);
        if has_sweeper {
            let name = ProcessName::new("sweeper");
            let sweeper = process(name, "sweeper", 1, TableRole::Sweeper, &settings, STOP_MARGIN);
            fleet.processes.push(sweeper);
        }
        if !sweep.may_update {
            fleet.prepare.push(Prepare::Sql(read_only()));
        }
        fleet
    }

    /// Source 001: the workers put back what has lost its worker. The source gives no interval and no
    /// age for that; the age is the one from which it calls a worker stuck.
    pub(super) fn rescued_fleet(&self, attempts: u32, context: &mut Context<'_, '_>) -> Fleet {
        let s = self.settings;
        let rescue = RescueSettings {
            threshold: context.positive(&s.threshold, secs(600), "threshold", self.place),
            interval: context.positive(&s.check_interval, secs(60), "check_interval", self.place),
        };
        let settings = self.in_postgres(true, Watch::Workers(rescue.clone()), context);
        let recovery = Recovery {
            // Each time it is put back it begins a new attempt.
            max_stalls: Some(attempts.saturating_sub(1)),
            ..Recovery::at_once(settings.claim_poll)
        };
        self.table_fleet(&settings, rescue.threshold, Checker::sweep(rescue.interval), recovery)
    }

    fn in_postgres(&self, fencing: bool, watch: Watch, context: &mut Context<'_, '_>) -> TableSettings {
        let s = self.settings;
        TableSettings {
            concurrency: s.concurrency.value().map_or(1, |Whole(n)| *n as u32),
            claim_poll: context.positive(&s.claim_poll, secs(1), "claim_poll", self.place),
            shutdown_grace: context.span(&s.shutdown_grace, secs(30)),
            interval: context.positive(&s.interval, secs(30), "interval", self.place),
            patience: context.positive(&s.patience, secs(10), "patience", self.place),
            fencing: is_set(&s.fencing, fencing),
            watch,
        }
    }

    fn table_fleet(
        &self,
        settings: &TableSettings,
        threshold: Span,
        checker: Checker,
        recovery: Recovery,
    ) -> Fleet {
        let workers = (1..=self.workers).map(|index| {
            let name = ProcessName::from(format!("worker-{index}"));
            let grace = settings.shutdown_grace + STOP_MARGIN;
            let spec = process(name, "worker", index, TableRole::Worker, settings, grace);
            match settings.watch {
                Watch::Sweeper(_) => spec,
                // Its readiness.
                Watch::Workers(_) => {
                    ProcessSpec { serves_http: true, env: environment(&spec.links, true), ..spec }
                }
            }
        });
        Fleet {
            system: self.system.as_str().into(),
            processes: workers.collect(),
            enqueue: Enqueue::Table,
            liveness: Some(Probe {
                every: super::probe_interval(settings.interval),
                timeout: secs(1),
                ask: Ask::SqlStalls {
                    query: "SELECT execution_id, stalls FROM executions WHERE stalls > 0".into(),
                },
            }),
            effects: effects(),
            state: None,
            pipeline: Some(Pipeline {
                beat: Beat::every(settings.interval),
                expiry: Expiry::Age(Age { threshold, stamp: Clock::Postgres, read: Clock::Postgres }),
                checker,
                recovery,
                subject: Subject::Holder,
            }),
            prepare: Vec::new(),
            concurrency: settings.concurrency,
        }
    }
}

fn is_set(flag: &Field<Flag>, default: bool) -> bool {
    flag.value().map_or(default, |Flag(flag)| *flag)
}

fn process(
    name: ProcessName,
    role: &str,
    index: u32,
    part: TableRole,
    settings: &TableSettings,
    grace: Span,
) -> ProcessSpec {
    let links = vec![Endpoint::Store(Store::Postgres)];
    ProcessSpec {
        env: environment(&links, false),
        links,
        grace,
        ..ProcessSpec::new(
            name,
            role,
            index,
            Program::Table { role: part, settings: Box::new(settings.clone()) },
        )
    }
}

/// Who tells the metrics of such a fleet.
pub(super) fn exporter(fleet: &Fleet) -> Option<ProcessSpec> {
    let settings = fleet.processes.iter().find_map(|spec| match &spec.program {
        Program::Table { settings, .. } => Some(settings),
        _ => None,
    })?;
    let name = ProcessName::new(EXPORTER);
    let spec = process(name, EXPORTER, 1, TableRole::Exporter, settings, STOP_MARGIN);
    Some(ProcessSpec { serves_http: true, env: environment(&spec.links, true), ..spec })
}

/// What an operator forgets: the right to update.
fn read_only() -> String {
    format!("CREATE ROLE {SWEEPER_ROLE}; GRANT SELECT ON executions, worker_heartbeats TO {SWEEPER_ROLE}")
}

/// The tables of fleets whose jobs are in Postgres: `executions`, `effects`, `segments`.
fn effects() -> EffectQuery {
    EffectQuery {
        sql: Some(
            "SELECT execution_id, (SELECT count(*) FROM effects e WHERE e.job = execution_id), \
             status IN ('failed', 'dead_letter') FROM executions"
                .into(),
        ),
        steps_sql: Some("SELECT job, step FROM segments ORDER BY 1, 2".into()),
        ..EffectQuery::default()
    }
}
