//! What a pool remembers of the attempts in work, for their results.

use std::collections::BTreeMap;

use crate::names::JobId;
use crate::protocol::FleetEvent;
use crate::protocol::pool::event::{JobEnd, JobKind, JobResult, Memory};
use crate::time::Instant;

/// Attempts in work, by job. A pool never holds one job twice: a claim that follows a lost lock begins
/// a new attempt.
#[derive(Debug, Default)]
pub(super) struct Records(BTreeMap<JobId, Record>);

#[derive(Debug)]
struct Record {
    total_pages: u32,
    pages_scraped: u32,
    started: Instant,
}

impl Records {
    pub fn begin(&mut self, now: Instant, job: JobId, total_pages: u32) {
        self.0.insert(job, Record { total_pages, pages_scraped: 0, started: now });
    }

    /// Follows what a worker says; gives the result if that ended an attempt.
    pub fn hear(&mut self, now: Instant, event: &FleetEvent, memory: Memory) -> Option<JobResult> {
        let (job, status, error) = match event {
            FleetEvent::StepDone { job, fresh, .. } => {
                if let Some(record) = self.0.get_mut(job) {
                    record.pages_scraped += u32::from(*fresh);
                }
                return None;
            }
            FleetEvent::Completed { job } => (job, JobEnd::Completed, None),
            FleetEvent::AttemptFailed { job, error, retry_in, .. } => {
                (job, retry_in.map_or(JobEnd::Failed, |_| JobEnd::Retried), Some(error.clone()))
            }
            FleetEvent::LockLost { job } => (job, JobEnd::Taken, Some("the lock was lost".to_owned())),
            FleetEvent::Abandoned { job } => (job, JobEnd::Taken, Some("the worker is gone".to_owned())),
            _ => return None,
        };
        let record = self.0.remove(job)?;
        let kind = if record.total_pages > 1 { JobKind::FullCrawl } else { JobKind::SinglePage };
        Some(JobResult {
            job: job.clone(),
            kind,
            status,
            pages_scraped: record.pages_scraped,
            total_pages: record.total_pages,
            errors: error.into_iter().collect(),
            started: record.started,
            ended: now,
            duration: now.since(record.started),
            memory,
        })
    }
}
