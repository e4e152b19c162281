//! Claiming: which queue a worker asks, and when.

use crate::names::Text;
use crate::protocol::worker::{Owner, Timer, WorkerDesk};
use crate::protocol::{ClaimedJob, Command, CommandId, QueueSettings, Reply, StoreError};
use crate::time::{Now, Span};

/// Asks the queues in turn for a job while the worker has a free slot, one claim at a time (as
/// BullMQ's main loop fetches). A round looks at each queue once, beginning after the one that gave a
/// job last, so no queue starves another; a round that finds nothing is followed by the poll's wait.
///
/// A claim without a reply may have moved a job to active under a token that nobody uses. It is not
/// asked for again: the stalled check returns that job, as it would one of a crashed worker.
#[derive(Debug)]
pub(super) struct Claims {
    queues: Vec<Text>,
    poll: Span,
    lock: Span,
    /// `{name}:{pid}:{instance}`: with the serial number, unique across workers and their restarts.
    holder: String,
    serial: u64,
    next_queue: usize,
    asked_in_round: usize,
    in_flight: Option<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    id: CommandId,
    queue: usize,
    token: Text,
}

#[derive(Debug)]
pub(super) struct Claimed {
    pub queue: Text,
    pub token: Text,
    pub job: Box<ClaimedJob>,
}

impl Claims {
    pub fn new(settings: &QueueSettings, holder: String) -> Self {
        Self {
            queues: settings.queues.iter().map(|queue| queue.as_str().into()).collect(),
            poll: settings.claim_poll,
            lock: settings.lock_duration,
            holder,
            serial: 0,
            next_queue: 0,
            asked_in_round: 0,
            in_flight: None,
        }
    }

    pub const fn in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Asks the next queue, unless an answer or the poll's wait is pending.
    pub fn ask(&mut self, desk: &mut WorkerDesk) {
        if self.in_flight.is_some() || desk.is_set(Timer::Claim) || self.queues.is_empty() {
            return;
        }
        self.serial += 1;
        let token: Text = format!("{}:{}", self.holder, self.serial).into();
        let queue = self.next_queue;
        let claim =
            Command::Claim { queue: self.queues[queue].clone(), token: token.clone(), lock: self.lock };
        self.in_flight = Some(InFlight { id: desk.send(Owner::Claim, claim), queue, token });
        self.next_queue = (queue + 1) % self.queues.len();
        self.asked_in_round += 1;
    }

    /// A slot has become free: no need to wait for the poll.
    pub fn wake(&mut self, desk: &mut WorkerDesk) {
        desk.stop(Timer::Claim);
        self.asked_in_round = 0;
    }

    /// No more claims; the one in flight still brings its job.
    pub fn stop(&mut self, desk: &mut WorkerDesk) {
        desk.stop(Timer::Claim);
    }

    /// The job, if there was one.
    pub fn replied(
        &mut self,
        now: Now,
        result: Result<Reply, StoreError>,
        desk: &mut WorkerDesk,
    ) -> Option<Claimed> {
        let Some(InFlight { queue, token, .. }) = self.in_flight.take() else {
            debug_assert!(false, "a claim is in flight until its reply");
            return None;
        };
        match result {
            Ok(Reply::Claimed(Some(job))) => {
                self.asked_in_round = 0;
                return Some(Claimed { queue: self.queues[queue].clone(), token, job });
            }
            Ok(_) if self.asked_in_round < self.queues.len() => {}
            Ok(_) | Err(_) => {
                self.asked_in_round = 0;
                desk.set_after(now, Timer::Claim, self.poll);
            }
        }
        None
    }

    /// The answer to the claim in flight, if one comes, is to go nowhere.
    pub fn abandon(&mut self, desk: &mut WorkerDesk) {
        if let Some(claim) = self.in_flight.take() {
            desk.forget(claim.id);
        }
    }
}
