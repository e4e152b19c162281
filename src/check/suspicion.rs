//! Suspicions, from what users were told, and whether each was true.

use std::collections::BTreeMap;

use crate::check::facts::{Facts, Seen};
use crate::check::life::Life;
use crate::check::measure::Moment;
use crate::check::story::{ClaimEnd, Story};
use crate::history::Sample;
use crate::names::{JobId, ProcessName};
use crate::time::{Instant, Span};

/// An answer to "is it alive".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub asked: Instant,
    pub at: Instant,
    pub alive: bool,
}

/// The subjects that probes spoke of: `None` is the fleet.
pub(super) fn subjects<'a>(facts: &Facts<'a>) -> Vec<Option<&'a ProcessName>> {
    let mut subjects: Vec<_> = facts
        .probes
        .iter()
        .filter_map(|probe| match probe.sample {
            Sample::Alive { subject, .. } => Some(subject.as_ref()),
            _ => None,
        })
        .collect();
    subjects.sort();
    subjects.dedup();
    subjects
}

pub(super) fn answers(facts: &Facts<'_>, of: Option<&ProcessName>) -> Vec<Answer> {
    let answers = facts.probes.iter().filter_map(|probe| match probe.sample {
        Sample::Alive { subject, alive } if subject.as_ref() == of => {
            Some(Answer { asked: probe.asked, at: probe.at, alive: *alive })
        }
        _ => None,
    });
    answers.collect()
}

/// Each answer as: asked and given, held until the next probe (answered or not), alive or not.
pub(super) fn held_answers<'a>(
    facts: &'a Facts<'_>,
    of: Option<&'a ProcessName>,
) -> impl Iterator<Item = (Moment, Moment, bool)> + 'a {
    let concerned = move |probe: &&Seen<'_>| match probe.sample {
        Sample::Alive { subject, .. } => subject.as_ref() == of,
        Sample::Unknown { .. } => true,
        Sample::Stalls(_) => false,
    };
    let this = facts.probes.iter().filter(concerned);
    let next = this.clone().skip(1).map(Some).chain([None]);
    this.zip(next).filter_map(|(probe, next)| {
        let Sample::Alive { alive, .. } = probe.sample else { return None };
        let held = Moment::new(probe.at, next.map_or(probe.at, |next| next.at));
        Some((Moment::new(probe.asked, probe.at), held, *alive))
    })
}

/// A time in which none of the subject's processes did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// When the last of them went.
    pub from: Moment,
    /// It went by a crash, not by a graceful stop.
    pub crash: bool,
    /// The next one's first beat (as sent), or the first sign that it works.
    pub back: Option<Instant>,
    /// The last beat before: how long before `from.hi` it was sent, and how long its write took.
    pub last_beat: Option<(Span, Span)>,
}

pub(super) fn gaps<'l>(lives: impl Iterator<Item = &'l Life>) -> Vec<Gap> {
    let mut lives: Vec<&Life> = lives.collect();
    lives.sort_by_key(|life| (beating_from(life), life.started));
    let mut gaps = Vec::new();
    // The one that goes last, of those seen so far; `None` once one of them stays.
    let mut last: Option<(Moment, bool)> = None;
    let mut stays = false;
    for (index, life) in lives.iter().enumerate() {
        if let Some((from, crash)) = last.filter(|(from, _)| !stays && from.hi < beating_from(life)) {
            gaps.push(gap(&lives[..index], from, crash, Some(beating_from(life))));
        }
        match departure(life) {
            None => stays = true,
            Some(gone) => {
                last = Some(last.map_or(gone, |known| if gone.0.hi > known.0.hi { gone } else { known }))
            }
        }
    }
    if let Some((from, crash)) = last.filter(|_| !stays) {
        gaps.push(gap(&lives, from, crash, None));
    }
    gaps
}

fn gap(before: &[&Life], from: Moment, crash: bool, back: Option<Instant>) -> Gap {
    let last_beat = before.iter().filter_map(|life| life.beat_before(from.hi)).max_by_key(|(sent, _)| *sent);
    Gap { from, crash, back, last_beat: last_beat.map(|(sent, took)| (from.hi.since(sent), took)) }
}

fn beating_from(life: &Life) -> Instant {
    life.beats.first().map_or(life.working, |(sent, _)| *sent)
}

/// When the process ceased to do its work, and whether by a crash. One that leaves may beat to its
/// last moment, for itself and for a fleet that shares its beat.
fn departure(life: &Life) -> Option<(Moment, bool)> {
    match (life.leaving, life.end) {
        (Some(leaving), _) => {
            let last = life.beats.last().map_or(leaving, |(sent, _)| leaving.max(*sent));
            Some((Moment::exactly(last), false))
        }
        (None, Some(end)) => Some((end.at, end.crash)),
        (None, None) => None,
    }
}

/// A job was taken from its holder.
#[derive(Debug, Clone)]
pub(super) struct Taken<'a> {
    pub job: &'a JobId,
    pub at: Moment,
    /// The claim that it was taken from, as an index into the job's claims.
    pub claim: Option<usize>,
}

/// Every time that a job was taken: a stalled check that said so, or a count that rose between two
/// probes; where both saw it, the part of time that both agree on.
pub(super) fn taken<'a>(facts: &Facts<'a>) -> Vec<Taken<'a>> {
    let mut all = Vec::new();
    let mut risen = risen(facts);
    for (&job, story) in &facts.stories {
        let mut times = risen.remove(job).unwrap_or_default();
        for said in story.taken.iter().filter(|said| facts.run.contains(said.hi)) {
            match times.iter_mut().find_map(|time| time.and(*said).map(|both| (time, both))) {
                Some((time, both)) => *time = both,
                None => times.push(*said),
            }
        }
        times.sort_by_key(|time| (time.hi, time.lo));
        all.extend(times.into_iter().map(|at| Taken { job, at, claim: holder(story, at) }));
    }
    all
}

/// Of each job: between which probes its count rose. A count that fell (a store that lost its data)
/// is a new beginning.
fn risen<'a>(facts: &Facts<'a>) -> BTreeMap<&'a JobId, Vec<Moment>> {
    let mut known: BTreeMap<&JobId, u32> = BTreeMap::new();
    let mut since = facts.run.lo;
    let mut times: BTreeMap<&JobId, Vec<Moment>> = BTreeMap::new();
    for (probe, counts) in facts.stall_probes() {
        for (job, count) in counts {
            let before = known.get(job).copied().unwrap_or(0);
            // Bounded, should a foreign queue count something else.
            for _ in before..(*count).min(before.saturating_add(RISES_MAX)) {
                times.entry(job).or_default().push(Moment::new(since, probe.at));
            }
        }
        known = counts.iter().map(|(job, count)| (job, *count)).collect();
        since = probe.asked;
    }
    times
}

/// How often a job can be taken between two probes, at most.
const RISES_MAX: u32 = 16;

/// The last claim before the job was taken; else the first within the time in which it was.
fn holder(story: &Story<'_>, at: Moment) -> Option<usize> {
    let before = story.claims.partition_point(|claim| claim.at <= at.lo);
    before.checked_sub(1).or_else(|| (story.claims.first()?.at <= at.hi).then_some(0))
}

impl Taken<'_> {
    /// If the holder ran all the while, and believed to hold the job: until when it did so. Then the
    /// suspicion was a mistake. A holder that is paused or cut off runs.
    pub fn mistake_until(&self, facts: &Facts<'_>) -> Option<Instant> {
        let claim = facts.stories.get(self.job)?.claims.get(self.claim?)?;
        let life = facts.lives.get(claim.by)?.get(claim.life)?;
        if life.end.is_some_and(|end| end.at.lo <= self.at.hi) {
            return None;
        }
        match claim.end {
            None => Some(facts.run.hi.max(self.at.hi)),
            Some((end, ClaimEnd::LockLost)) => Some(end.max(self.at.hi)),
            Some((end, _)) => (end >= self.at.lo).then_some(end.max(self.at.hi)),
        }
    }
}
