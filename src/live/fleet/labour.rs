//! What a machine's slots do while they work: time passes, a page is fetched, or a program runs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Aborted, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;

use super::tools::Tools;
use crate::live::{clock, web};
use crate::names::JobId;
use crate::protocol::Tool;
use crate::time::{Instant, Span};

type Fetch = BoxFuture<'static, Result<(u32, Result<(), String>), Aborted>>;

/// The works of all slots; each has one at a time at most.
#[derive(Default)]
pub(super) struct Labour {
    /// Where pages come from; none: work is time.
    site: Option<Site>,
    tools: Tools,
    /// When the work on each slot is over.
    ends: BTreeMap<u32, Instant>,
    fetches: FuturesUnordered<Fetch>,
    fetching: BTreeMap<u32, AbortHandle>,
}

impl Labour {
    pub fn fetching(site: Site) -> Self {
        Self { site: Some(site), ..Self::default() }
    }

    pub fn begin(&mut self, slot: u32, job: &JobId, step: u32, lasting: Span) {
        let Some(site) = &self.site else {
            self.ends.insert(slot, clock::monotonic() + lasting);
            return;
        };
        let page = site.fetch(job, step, lasting);
        let (fetch, handle) = abortable(async move { (slot, page.await) });
        self.fetches.push(Box::pin(fetch));
        self.fetching.insert(slot, handle);
    }

    pub fn equipped(tools: Tools) -> Self {
        Self { tools, ..Self::default() }
    }

    /// The program reads the job's name, and is given at least so long.
    pub fn run(&mut self, slot: u32, job: &JobId, tool: Tool, lasting: Span) {
        let run = self.tools.run(tool, job.to_string());
        let end = tokio::time::Instant::now() + lasting.to_std();
        let (work, handle) = abortable(async move {
            let result = run.await;
            if result.is_ok() {
                tokio::time::sleep_until(end).await;
            }
            (slot, result)
        });
        self.fetches.push(Box::pin(work));
        self.fetching.insert(slot, handle);
    }

    pub fn cancel(&mut self, slot: u32) {
        self.ends.remove(&slot);
        if let Some(fetch) = self.fetching.remove(&slot) {
            fetch.abort();
        }
    }

    /// When time that is worked is over for some slot.
    pub fn next_due(&self) -> Option<Instant> {
        self.ends.values().copied().min()
    }

    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let slot = self.ends.iter().find(|&(_, &end)| end <= now).map(|(&slot, _)| slot)?;
        self.ends.remove(&slot);
        Some(slot)
    }

    /// The next page that has come, or has not; waits for ever if there is none to come.
    pub async fn fetched(&mut self) -> (u32, Result<(), String>) {
        loop {
            match self.fetches.next().await {
                Some(Ok((slot, result))) => {
                    self.fetching.remove(&slot);
                    return (slot, result);
                }
                Some(Err(Aborted)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// A web site, behind its link.
#[derive(Clone)]
pub(super) struct Site {
    base: String,
    client: reqwest::Client,
}

impl Site {
    /// A page that has not come within `patience` is an error. Every page has a connection of its own,
    /// as those of many sites would.
    pub fn new(base: &str, patience: Duration) -> Result<Self, reqwest::Error> {
        let client = web::direct(patience).pool_max_idle_per_host(0).build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), client })
    }

    fn fetch(
        &self,
        job: &JobId,
        page: u32,
        lasting: Span,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let micros = lasting.as_nanos().div_ceil(1_000).to_string();
        let url = format!("{}/{job}/{page}", self.base);
        let request = self.client.get(url).query(&[("takes_us", micros)]);
        async move {
            let page = request.send().await.and_then(reqwest::Response::error_for_status);
            let body = match page {
                Ok(page) => page.bytes().await,
                Err(error) => Err(error),
            };
            body.map(drop).map_err(|error| web::causes(&error))
        }
    }
}
