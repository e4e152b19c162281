//! `postgres-heartbeat`: jobs in a table of Postgres, a beat of each worker, and a sweeper.

use super::super::Context;
use super::{Reference, STOP_MARGIN, environment, secs};
use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::table::{SWEEPER_ROLE, SweepSettings};
use crate::scenario::scalar::{Flag, Whole};
use crate::scenario::{
    Ask, EffectQuery, Enqueue, Fleet, Prepare, Probe, ProcessSpec, Program, TableRole, TableSettings,
};
use crate::time::Span;
use crate::timing::{Age, Beat, Checker, Clock, Expiry, Pipeline, Recovery, Subject};

impl Reference<'_> {
    pub(super) fn swept_fleet(&self, context: &mut Context<'_, '_>) -> Fleet {
        let s = self.settings;
        let is_set = |flag: &crate::scenario::decode::Field<Flag>, default| {
            flag.value().map_or(default, |Flag(flag)| *flag)
        };
        let settings = TableSettings {
            concurrency: s.concurrency.value().map_or(1, |Whole(n)| *n as u32),
            claim_poll: context.positive(&s.claim_poll, secs(1), "claim_poll", self.place),
            shutdown_grace: context.span(&s.shutdown_grace, secs(30)),
            interval: context.positive(&s.interval, secs(30), "interval", self.place),
            patience: context.positive(&s.patience, secs(10), "patience", self.place),
            fencing: is_set(&s.fencing, false),
            sweep: SweepSettings {
                threshold: context.positive(&s.threshold, secs(120), "threshold", self.place),
                interval: context.positive(&s.check_interval, secs(60), "check_interval", self.place),
                may_update: is_set(&s.sweeper_may_update, true),
            },
        };
        let has_sweeper = is_set(&s.sweeper, true);
        let mut processes: Vec<ProcessSpec> = (1..=self.workers)
            .map(|index| {
                let name = ProcessName::from(format!("worker-{index}"));
                let grace = settings.shutdown_grace + STOP_MARGIN;
                process(name, "worker", index, TableRole::Worker, &settings, grace)
            })
            .collect();
        if has_sweeper {
            let name = ProcessName::new("sweeper");
            processes.push(process(name, "sweeper", 1, TableRole::Sweeper, &settings, STOP_MARGIN));
        }
        // One that may not update finds the dead and can do nothing about them.
        let acts = has_sweeper && settings.sweep.may_update;
        let prepare = if settings.sweep.may_update { Vec::new() } else { vec![Prepare::Sql(read_only())] };
        Fleet {
            system: self.system.as_str().into(),
            processes,
            enqueue: Enqueue::Table,
            liveness: Some(Probe {
                every: super::probe_interval(settings.interval),
                timeout: secs(1),
                ask: Ask::SqlStalls {
                    query: "SELECT execution_id, stalls FROM executions WHERE stalls > 0".into(),
                },
            }),
            effects: effects(),
            pipeline: Some(Pipeline {
                beat: Beat::every(settings.interval),
                expiry: Expiry::Age(Age {
                    threshold: settings.sweep.threshold,
                    stamp: Clock::Postgres,
                    read: Clock::Postgres,
                }),
                checker: if acts { Checker::sweep(settings.sweep.interval) } else { Checker::Nobody },
                // What is found is failed, and nobody takes it up again.
                recovery: Recovery::never(settings.claim_poll),
                subject: Subject::Holder,
            }),
            prepare,
            concurrency: settings.concurrency,
        }
    }
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
        name,
        role: role.into(),
        index,
        program: Program::Table { role: part, settings: Box::new(settings.clone()) },
        env: environment(&links, false),
        links,
        serves_http: false,
        grace,
        fake_clock: false,
    }
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
             status = 'failed' FROM executions"
                .into(),
        ),
        redis: None,
        steps_sql: Some("SELECT job, step FROM segments ORDER BY 1, 2".into()),
    }
}
