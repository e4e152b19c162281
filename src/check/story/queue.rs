//! A story as the queue tells it: what was found at one ask and not at the one before.

use super::{Claim, ClaimEnd, Story};
use crate::check::life::Lives;
use crate::check::measure::Moment;
use crate::history::queue::{QueueState, Standing};
use crate::names::ProcessName;

/// The job came to stand so `within` this time.
pub(super) fn stands<'a>(story: &mut Story<'a>, lives: &Lives, standing: &'a Standing, within: Moment) {
    let how = match standing.state {
        Some(QueueState::Done) => ClaimEnd::Completed,
        Some(QueueState::Failed) => ClaimEnd::Failed,
        // A queue may forget what is done. Whether it was, the effects say.
        Some(QueueState::Waiting | QueueState::Active | QueueState::Delayed) | None => ClaimEnd::Left,
    };
    end_claims(story, lives, within, how);
    if how == ClaimEnd::Completed {
        story.done.push(within);
    }
    let claimant = standing.claimant();
    if let Some((by, life)) = claimant.and_then(|by| Some((by, life_within(lives, by, within)?))) {
        story.claims.push(Claim { by, life, at: within.hi, since: within.lo, end: None });
    }
}

/// The claim of a worker that was gone by then ended with that worker.
fn end_claims(story: &mut Story<'_>, lives: &Lives, within: Moment, how: ClaimEnd) {
    for claim in story.claims.iter_mut().filter(|claim| claim.end.is_none()) {
        let life = lives.get(claim.by).and_then(|lives| lives.get(claim.life));
        let gone = life.and_then(|life| life.end).is_some_and(|end| end.at.lo <= within.hi);
        if !gone {
            claim.end = Some((within.hi, how));
        }
    }
}

/// The one life of the process that the time is in; `None` if it is in none, or in two: then nobody knows
/// which of them took the job.
fn life_within(lives: &Lives, process: &ProcessName, within: Moment) -> Option<usize> {
    let ran = |life: &crate::check::life::Life| {
        life.started <= within.hi && life.end.is_none_or(|end| end.at.hi >= within.lo)
    };
    let mut all = lives.get(process)?.iter().enumerate().filter(|(_, life)| ran(life));
    let (index, _) = all.next()?;
    all.next().is_none().then_some(index)
}
