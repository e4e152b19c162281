//! Each job's story: how it was enqueued, who held it when, what was acknowledged, how it ended.

mod queue;

use std::collections::BTreeMap;

use crate::check::life::Lives;
use crate::check::measure::Moment;
use crate::history::log::History;
use crate::history::queue::Queued;
use crate::history::{EnqueueOutcome, Event, FinalState, What};
use crate::names::{JobId, ProcessName};
use crate::protocol::FleetEvent;
use crate::time::{Instant, Span};

pub(super) type Stories<'a> = BTreeMap<&'a JobId, Story<'a>>;

#[derive(Debug, Default)]
pub(super) struct Story<'a> {
    /// The harness asked for it.
    pub asked: bool,
    pub outcome: Option<&'a EnqueueOutcome>,
    /// Between being asked and answered, if the answer was an acknowledgement.
    pub acknowledged_at: Option<Moment>,
    /// The longest wait for an answer to being asked, whatever the answer was, and until when.
    pub answered: Option<(Span, Instant)>,
    /// In the order of time.
    pub claims: Vec<Claim<'a>>,
    /// Acknowledged steps, and how often each was.
    pub steps: BTreeMap<u32, u64>,
    /// When a step was first acknowledged, in order.
    pub progress: Vec<Instant>,
    /// Effects and completions, in order: the job's work was done.
    pub done: Vec<Moment>,
    pub failures: Vec<Failure<'a>>,
    /// Stalled checks that took the job from its holder: asked for, and answered.
    pub taken: Vec<Moment>,
    /// The last that the stores said of it.
    pub state: Option<&'a FinalState>,
}

#[derive(Debug, Clone)]
pub(super) struct Claim<'a> {
    pub by: &'a ProcessName,
    /// Which of the worker's lives, as an index.
    pub life: usize,
    /// It had the job by now: it said so, or the queue did.
    pub at: Instant,
    /// It may have had it since then: the queue is asked from time to time only. Else `at`.
    pub since: Instant,
    /// The worker's last word on it, or the worker's end, or by when the queue had it so no more.
    pub end: Option<(Instant, ClaimEnd)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimEnd {
    Completed,
    Failed,
    LockLost,
    /// The same worker claimed the job again.
    Claimed,
    Died,
    /// The part of its process that worked on it is gone, and the process lives.
    Abandoned,
    /// The queue had it otherwise: taken from the worker, or given back by it.
    Left,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Failure<'a> {
    pub at: Instant,
    pub by: &'a ProcessName,
    pub attempt: u32,
    pub retry_in: Option<Span>,
}

impl Claim<'_> {
    pub fn held_at(&self, at: Instant) -> bool {
        self.at <= at && self.end.is_none_or(|(end, _)| end > at)
    }
}

impl Story<'_> {
    pub fn acknowledged(&self) -> bool {
        self.outcome == Some(&EnqueueOutcome::Acknowledged)
    }

    pub fn effects(&self) -> u32 {
        self.state.map_or(0, |state| state.effects)
    }

    pub fn failed(&self) -> bool {
        self.state.is_some_and(|state| state.failed)
    }

    /// Steps that were acknowledged by `at`.
    pub fn steps_by(&self, at: Instant) -> u64 {
        self.progress.partition_point(|step| *step <= at) as u64
    }
}

/// `by_state`: who held what is what the queue said.
pub(super) fn collect<'a>(history: &'a History, lives: &Lives, by_state: bool) -> Stories<'a> {
    let mut stories = Stories::new();
    for event in &history.events {
        match &event.ev {
            What::EnqueueAsked { job } => stories.entry(job).or_default().asked = true,
            What::EnqueueAnswered { job, outcome, asked } => {
                let story = stories.entry(job).or_default();
                story.asked = true;
                story.answered = story.answered.max(Some((event.at.since(*asked), event.at)));
                if *outcome == EnqueueOutcome::Acknowledged {
                    story.acknowledged_at = Some(Moment::new(*asked, event.at));
                }
                // An answer that is certain stands against one that is not.
                if story.outcome.is_none_or(|known| matches!(known, EnqueueOutcome::Unknown(_))) {
                    story.outcome = Some(outcome);
                }
            }
            What::JobState { job, state } => stories.entry(job).or_default().state = Some(state),
            What::Fleet(said) => hear(&mut stories, lives, event, said),
            What::Queue { since, answer: Queued::Changed(changed), .. } if by_state => {
                let within = Moment::new(*since, event.at);
                for standing in changed {
                    queue::stands(stories.entry(&standing.job).or_default(), lives, standing, within);
                }
            }
            _ => {}
        }
    }
    for story in stories.values_mut() {
        end_with_lives(story, lives);
    }
    stories
}

fn hear<'a>(stories: &mut Stories<'a>, lives: &Lives, event: &'a Event, said: &'a FleetEvent) {
    let at = event.at;
    match said {
        FleetEvent::Claimed { job, .. } => {
            let story = stories.entry(job).or_default();
            end_claim(story, lives, event, ClaimEnd::Claimed);
            story.claims.push(Claim { by: &event.by, life: life_at(lives, event), at, since: at, end: None });
        }
        FleetEvent::StepDone { job, step, .. } => {
            let story = stories.entry(job).or_default();
            let times = story.steps.entry(*step).or_default();
            *times += 1;
            if *times == 1 {
                story.progress.push(at);
            }
        }
        FleetEvent::EffectDone { job } => stories.entry(job).or_default().done.push(Moment::exactly(at)),
        FleetEvent::Completed { job } => {
            let story = stories.entry(job).or_default();
            story.done.push(Moment::exactly(at));
            end_claim(story, lives, event, ClaimEnd::Completed);
        }
        FleetEvent::AttemptFailed { job, attempt, retry_in, .. } => {
            let story = stories.entry(job).or_default();
            story.failures.push(Failure { at, by: &event.by, attempt: *attempt, retry_in: *retry_in });
            end_claim(story, lives, event, ClaimEnd::Failed);
        }
        FleetEvent::LockLost { job } => {
            end_claim(stories.entry(job).or_default(), lives, event, ClaimEnd::LockLost);
        }
        FleetEvent::Abandoned { job } => {
            end_claim(stories.entry(job).or_default(), lives, event, ClaimEnd::Abandoned);
        }
        FleetEvent::Stalled { requeued, failed, sent } => {
            for job in requeued.iter().chain(failed) {
                stories.entry(job).or_default().taken.push(Moment::new(*sent, at));
            }
        }
        _ => {}
    }
}

/// Which of its process's lives the event is from.
fn life_at(lives: &Lives, event: &Event) -> usize {
    let begun =
        lives.get(&event.by).map_or(0, |lives| lives.partition_point(|life| life.started <= event.at));
    begun.saturating_sub(1)
}

/// A process speaks for the life it is in: a claim of an earlier life ended with that one.
fn end_claim(story: &mut Story<'_>, lives: &Lives, event: &Event, how: ClaimEnd) {
    let life = life_at(lives, event);
    let mut claims = story.claims.iter_mut().rev();
    let open = claims.find(|claim| *claim.by == event.by && claim.life == life && claim.end.is_none());
    if let Some(claim) = open {
        claim.end = Some((event.at, how));
    }
}

/// A claim that its worker never closed ended with that worker's life.
fn end_with_lives(story: &mut Story<'_>, lives: &Lives) {
    for claim in story.claims.iter_mut().filter(|claim| claim.end.is_none()) {
        let life = lives.get(claim.by).and_then(|lives| lives.get(claim.life));
        let end = life.and_then(|life| life.end);
        claim.end = end.map(|end| (end.at.lo.max(claim.at), ClaimEnd::Died));
    }
}
