//! Recovery time: from a fault's effect on a job to that job being done again, with its parts.
//!
//! A job is affected if its worker crashed while it held the job, if it was taken from a holder that
//! a fault had silenced, or if an attempt failed while a fault was in force. Jobs that failed for
//! good, or that nobody took up again, have no recovery: the counts judge those.

use crate::check::detection::bound_from;
use crate::check::facts::Facts;
use crate::check::faults::stands_between;
use crate::check::measure::{Limits, Measurement, Moment, bound_ms, model_ms, stalled, summary};
use crate::check::story::{Claim, ClaimEnd, Failure, Story};
use crate::check::suspicion::Taken;
use crate::check::{Bound, CheckResult, RecoveryPart, Verdict};
use crate::fault::FaultId;
use crate::names::JobId;
use crate::scenario::TimeExpect;
use crate::time::{Instant, Interval, Span};
use crate::timing::{Subject, Work};

#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub measured: Vec<Measurement>,
    pub parts: Vec<RecoveryPart>,
    /// Affected, and not done again by the end.
    unrecovered: Vec<String>,
}

/// What struck a job, and when.
#[derive(Debug, Clone, Copy)]
struct Blow<'s> {
    effect: Moment,
    fault: Option<FaultId>,
    /// When the job was taken from its silent holder.
    suspicion: Option<Moment>,
    /// Of the claim that was struck.
    claim: usize,
    /// The attempt failed by itself and is retried without a suspicion.
    failure: Option<Failure<'s>>,
}

pub(super) fn measure(facts: &Facts<'_>, taken: &[Taken<'_>]) -> Recovery {
    let mut recovery = Recovery::default();
    let longest = longest_job(facts);
    for (&job, story) in &facts.stories {
        let mut done_until = Instant::ZERO;
        let blows = blows(facts, job, story, taken);
        for (index, blow) in blows.iter().enumerate() {
            // Of several blows before the job was done the first one counts.
            if blow.effect.hi < done_until {
                continue;
            }
            let Some(done) = done_after(story, blow) else {
                let lost = story.effects() == 0 && !story.failed() && story.acknowledged();
                if lost {
                    recovery.unrecovered.push(job.to_string());
                }
                continue;
            };
            done_until = done.hi;
            let again = blows[index + 1..].iter().filter(|again| again.effect.lo <= done.hi);
            let again: Vec<&Blow<'_>> = again.filter(|again| again.claim != blow.claim).collect();
            let lost = lost_claims(taken, (job, story), blow, &again, done.hi);
            recovery.measured.push(measurement(facts, job, story, (blow, &again, lost), done, longest));
            recovery.parts.push(parts(facts, job, story, blow, done.hi));
        }
    }
    recovery
}

pub(super) fn check(facts: &Facts<'_>, recovery: &Recovery) -> CheckResult {
    let expect = facts.scenario.expect.recovery_time;
    let scale = facts.scenario.time_scale;
    let (verdict, note) = match expect {
        TimeExpect::Any => (Verdict::Pass, "Measured and reported, not judged.".to_owned()),
        TimeExpect::Never => match recovery.measured.first() {
            None => (Verdict::Pass, "No job was done again, as expected.".to_owned()),
            Some(first) => {
                (Verdict::Fail, format!("{} was done again, and was expected not to be.", first.what))
            }
        },
        TimeExpect::Model | TimeExpect::Within(_) => judge(facts, recovery),
    };
    let bound = widest(facts, recovery);
    CheckResult {
        name: "recovery_time".to_owned(),
        verdict,
        measured: summary(&recovery.measured, scale),
        bound,
        bound_from: bound_from(expect, bound),
        note,
        stalled: stalled(verdict, &recovery.measured),
    }
}

fn judge(facts: &Facts<'_>, recovery: &Recovery) -> (Verdict, String) {
    let scale = facts.scenario.time_scale;
    if let Some(job) = recovery.unrecovered.first() {
        let count = recovery.unrecovered.len();
        return (Verdict::Fail, format!("{count} affected jobs were never done again ({job} is one)."));
    }
    let verdicts = recovery.measured.iter().map(|measured| measured.verdict(scale));
    let worst =
        verdicts.fold((Verdict::Pass, None), |worst, next| if next.0 > worst.0 { next } else { worst });
    match worst {
        (verdict, Some(why)) => (verdict, format!("{why}.")),
        _ if recovery.measured.is_empty() => match facts.scenario.expect.recovery_time {
            TimeExpect::Within(_) => {
                (Verdict::Inconclusive, "Not measured: no job was affected by a fault.".to_owned())
            }
            _ => (Verdict::Pass, "No job was affected by a fault: there was nothing to recover.".to_owned()),
        },
        _ if recovery.measured.iter().all(|measured| measured.limits.is_none()) => {
            (Verdict::Pass, "Measured only: the timing model says nothing of a single job here.".to_owned())
        }
        _ => (
            Verdict::Pass,
            "From the fault's effect to the job being done again: within the bound.".to_owned(),
        ),
    }
}

/// The bound in the table: the scenario's, or the hull of what the model allowed each job.
fn widest(facts: &Facts<'_>, recovery: &Recovery) -> Bound {
    let scale = facts.scenario.time_scale;
    if let TimeExpect::Within(interval) = facts.scenario.expect.recovery_time {
        return bound_ms(Some(interval.into()), scale);
    }
    let limits = || recovery.measured.iter().filter_map(|measured| measured.limits);
    Bound {
        min: limits().map(|l| l.min).min().map(|min| model_ms(min, scale)),
        max: limits().filter_map(|l| l.max).max().map(|max| model_ms(max, scale)),
    }
}

/// Everything that struck the job, in the order of time.
fn blows<'s>(facts: &Facts<'_>, job: &JobId, story: &'s Story<'_>, taken: &[Taken<'_>]) -> Vec<Blow<'s>> {
    let suspicion = |claim: usize| {
        let of_claim = |taken: &&Taken<'_>| taken.job == job && taken.claim == Some(claim);
        taken.iter().find(of_claim).map(|taken| taken.at)
    };
    let crashes = story.claims.iter().enumerate().filter_map(|(index, claim)| {
        let crash = crash_of(facts, claim)?;
        let fault = striking(facts, |injection| injection.process() == Some(claim.by), crash.hi);
        Some(Blow { effect: crash, fault, suspicion: suspicion(index), claim: index, failure: None })
    });
    let silences = taken.iter().filter(|taken| taken.job == job).filter_map(|taken| {
        taken.mistake_until(facts)?;
        let index = taken.claim?;
        let claim = story.claims.get(index)?;
        let (fault, onset) = silencing(facts, claim, taken.at.hi)?;
        let effect = Moment { lo: onset.lo.max(claim.since), hi: onset.hi.max(claim.at) };
        Some(Blow { effect, fault: Some(fault), suspicion: Some(taken.at), claim: index, failure: None })
    });
    let failures = story.failures.iter().filter_map(|failure| {
        if planned(facts, job, failure) || failure.retry_in.is_none() {
            return None;
        }
        let index = story.claims.partition_point(|claim| claim.at <= failure.at).checked_sub(1)?;
        let (fault, onset) = failing(facts, failure)?;
        let from = story.claims[index].at;
        let effect = Moment { lo: onset.lo.max(from), hi: onset.hi.max(from) };
        Some(Blow { effect, fault: Some(fault), suspicion: None, claim: index, failure: Some(*failure) })
    });
    let mut blows: Vec<Blow<'s>> =
        crashes.chain(silences).chain(failures).filter(|blow| facts.run.contains(blow.effect.hi)).collect();
    blows.sort_by_key(|blow| (blow.effect.hi, blow.claim));
    blows
}

fn crash_of(facts: &Facts<'_>, claim: &Claim<'_>) -> Option<Moment> {
    match claim.end? {
        (at, ClaimEnd::Abandoned) => Some(Moment::exactly(at)),
        (_, ClaimEnd::Died) => {
            let end = facts.lives.get(claim.by)?.get(claim.life)?.end?;
            end.crash.then_some(end.at)
        }
        _ => None,
    }
}

/// The fault of which an onset like that took effect last, at or before `at`.
fn striking(
    facts: &Facts<'_>,
    like: impl Fn(&crate::fault::Injection) -> bool,
    at: Instant,
) -> Option<FaultId> {
    let struck = facts.faults.iter().filter_map(|((id, _), part)| {
        let onset = part.onset.done?.effective;
        (like(part.onset.injection?) && onset.lo <= at).then_some((onset.lo, *id))
    });
    struck.max().map(|(_, id)| id)
}

/// The last fault that stood between the holder and the store before the job was taken.
fn silencing(facts: &Facts<'_>, claim: &Claim<'_>, at: Instant) -> Option<(FaultId, Moment)> {
    let standing = facts.faults.iter().filter_map(|((id, _), part)| {
        let onset = part.onset.done?.effective;
        let lasting = part.lasting(facts.run.hi)?;
        let stands = stands_between(part.onset.injection?, claim.by, facts.beat_store);
        (stands && onset.lo <= at && lasting.hi >= claim.at).then_some((*id, onset))
    });
    standing.max_by_key(|(id, onset)| (onset.lo, *id))
}

/// The last fault, on whatever store, that was in force when the attempt failed; its clients may
/// take as long as a probe does to notice that it is over.
fn failing(facts: &Facts<'_>, failure: &Failure<'_>) -> Option<(FaultId, Moment)> {
    let patience = facts.scenario.fleet.liveness.as_ref().map_or(Span::ZERO, |probe| probe.timeout);
    let standing = facts.faults.iter().filter_map(|((id, _), part)| {
        let lasting = part.lasting(facts.run.hi)?;
        let stands = stands_between(part.onset.injection?, failure.by, None);
        let within = lasting.lo <= failure.at && failure.at <= lasting.hi + patience;
        (stands && within).then_some((*id, part.onset.done?.effective))
    });
    standing.max_by_key(|(id, onset)| (onset.lo, *id))
}

/// The workload itself makes the first attempts of some jobs fail, or hang until they time out.
fn planned(facts: &Facts<'_>, job: &JobId, failure: &Failure<'_>) -> bool {
    let number = job.as_str().rsplit('-').next().and_then(|number| number.parse().ok());
    let workload = &facts.scenario.workload;
    number.is_some_and(|number: u32| {
        let planned = [&workload.failing, &workload.hanging].map(|attempts| attempts.get(&number));
        planned.into_iter().flatten().any(|attempts| failure.attempt <= *attempts)
    })
}

/// When the job was first done after it was taken up again. Done by the struck holder itself (a
/// zombie, or a worker that went on locally) counts too.
fn done_after(story: &Story<'_>, blow: &Blow<'_>) -> Option<Moment> {
    story.done.iter().copied().find(|done| done.hi > blow.effect.hi)
}

/// How often the job was taken, while it waited to be done again, from nobody that is known of: a claim
/// whose reply came to nobody, for its worker was gone by then, holds the job as a dead holder would.
fn lost_claims(
    taken: &[Taken<'_>],
    (job, story): (&JobId, &Story<'_>),
    blow: &Blow<'_>,
    again: &[&Blow<'_>],
    done: Instant,
) -> u64 {
    let known = |at: Moment| [blow].iter().chain(again).any(|blow| blow.suspicion == Some(at));
    let held = |taken: &Taken<'_>| {
        let holder = taken.claim.and_then(|claim| story.claims.get(claim));
        holder.is_some_and(|holder| holder.end.is_none_or(|(end, _)| end > taken.at.lo))
    };
    let between = |taken: &Taken<'_>| taken.at.lo > blow.effect.hi && taken.at.hi <= done;
    let lost = taken.iter().filter(|taken| taken.job == job && between(taken));
    lost.filter(|taken| !known(taken.at) && !held(taken)).count() as u64
}

/// The next claim, if the job was done under it.
fn reclaim<'s>(story: &'s Story<'_>, blow: &Blow<'_>, done: Instant) -> Option<&'s Claim<'s>> {
    story.claims.get(blow.claim + 1..)?.iter().find(|claim| claim.at >= blow.effect.lo && claim.at <= done)
}

fn parts(facts: &Facts<'_>, job: &JobId, story: &Story<'_>, blow: &Blow<'_>, done: Instant) -> RecoveryPart {
    let scale = facts.scenario.time_scale;
    let mut parts = Vec::new();
    let mut from = blow.effect.hi;
    let mut add = |name: &str, to: Instant| {
        parts.push((name.to_owned(), model_ms(to.since(from), scale)));
        from = from.max(to);
    };
    let claim = reclaim(story, blow, done).map(|claim| claim.at);
    if let Some(failure) = blow.failure {
        add("to_failure", failure.at.min(done));
    }
    // Seen at the latest at `hi`, and before it was claimed again.
    if let Some(suspicion) = blow.suspicion.filter(|suspicion| suspicion.lo <= done) {
        add("to_sweep", suspicion.hi.min(claim.unwrap_or(done)));
    }
    if let Some(claim) = claim {
        add("to_claim", claim);
    }
    add("to_done", done);
    RecoveryPart {
        job: job.to_string(),
        fault: blow.fault.map_or(u16::MAX, |fault| fault.0),
        parts,
        total_ms: model_ms(done.since(blow.effect.hi), scale),
    }
}

fn measurement(
    facts: &Facts<'_>,
    job: &JobId,
    story: &Story<'_>,
    (blow, again, lost): (&Blow<'_>, &[&Blow<'_>], u64),
    done: Moment,
    longest: Span,
) -> Measurement {
    let window = Moment { lo: blow.effect.lo, hi: done.hi };
    let (stalls, longest_stall) = facts.host.stalls_in(window);
    let limits = match facts.scenario.expect.recovery_time {
        TimeExpect::Within(interval) => Some(interval.into()),
        // Whoever took the job up was struck in his turn: it was to be found and taken up once more.
        _ => again.iter().fold(model_limits(facts, story, (blow, lost), window, longest), |limits, again| {
            let (limits, once_more) = (limits?, model_limits(facts, story, (again, 0), window, longest)?);
            let max = limits.max.and_then(|max| Some(max + once_more.max?));
            Some(Limits { max, ..limits })
        }),
    };
    Measurement {
        what: job.to_string(),
        measured: done.since(blow.effect),
        limits,
        latency: facts.probe_latency(window),
        stalls,
        longest_stall,
    }
}

/// Detection (or, after a failed attempt, the retry's delay) + requeue + claim + rest of the job; a
/// fault that lasts holds it up for as long, and each lost claim for a detection and a claim more. `None`
/// where the pipeline is not about single jobs.
fn model_limits(
    facts: &Facts<'_>,
    story: &Story<'_>,
    (blow, lost): (&Blow<'_>, u64),
    window: Moment,
    longest_job: Span,
) -> Option<Limits> {
    let pipeline = facts.scenario.fleet.pipeline.as_ref()?;
    if facts.subject == Subject::Fleet {
        return None;
    }
    let workload = &facts.scenario.workload;
    // Per step what the workload or this run's longest job says; one more for taking up and ending.
    let steps = u64::from(workload.steps);
    // A step that is not saved is done again.
    let saves_steps = facts.scenario.fleet.effects.tells_steps();
    let saved = if saves_steps { story.steps_by(blow.effect.lo) } else { 0 };
    let left = steps.saturating_sub(saved);
    let per_step = Span::from_nanos(longest_job.as_nanos().div_ceil(steps.max(1)));
    let most = per_step.saturating_mul(left + 1);
    // A step may have been saved and never acknowledged; and a holder that lives may go on by itself.
    let crashed = crash_of(facts, &story.claims[blow.claim]).is_some();
    let undone = if crashed { left.saturating_sub(1) } else { 0 };
    let least = workload.step_time.min().saturating_mul(undone);
    let work = Work {
        rest: Interval::new(least.min(most), most),
        longest_job,
        ahead: unfinished(facts, blow.effect.lo, window.hi),
        slots: u64::from(facts.scenario.fleet.concurrency).max(1) * running(facts, window).max(1),
    };
    let bounds = pipeline.recovery(&work)?;
    let total = match blow.failure {
        None => bounds.total(),
        Some(_) => {
            let delays = story.failures.iter().filter(|failure| window.contains(failure.at));
            let delays = delays.filter_map(|failure| failure.retry_in).fold(Span::ZERO, |sum, d| sum + d);
            let rest = bounds.claim + bounds.rest + Interval::exactly(delays);
            Interval::new(Span::ZERO, rest.max() + longest_job)
        }
    };
    let once_more = (bounds.detection + bounds.requeue + bounds.claim).max().saturating_mul(lost);
    let limits = Limits::from(Interval::new(total.min(), total.max() + once_more));
    Some(match facts.disturbance(window, pipeline.expiry.effective(), facts.unserved(window)) {
        Some(extra) => Limits { min: Span::ZERO, ..limits.disturbed(extra) },
        None if blow.suspicion.is_none() => Limits { min: Span::ZERO, ..limits },
        None => limits,
    })
}

/// Other jobs that were asked for by `to` and not done at `from`.
fn unfinished(facts: &Facts<'_>, from: Instant, to: Instant) -> u64 {
    let open = facts.stories.values().filter(|story| {
        let over = story.done.first().is_some_and(|done| done.hi < from);
        let begun = story.claims.first().is_none_or(|claim| claim.since <= to);
        begun && !over
    });
    (open.count() as u64).saturating_sub(1)
}

/// The least that ran of the workers at the window's ends.
fn running(facts: &Facts<'_>, window: Moment) -> u64 {
    let at = |at: Instant| {
        facts.lives_of(None).filter(|life| life.surely(facts.run.hi).contains(at)).count() as u64
    };
    at(window.hi).min(at(window.lo + Span::from_nanos(window.length().as_nanos() / 2)))
}

/// The longest that a job may take from its claim to its end: by the workload, or as measured in this
/// run on jobs that were done at the first claim and that no fault touched, whichever is longer (a
/// save costs its round trip). Jobs that were recovered must not lengthen their own bound.
fn longest_job(facts: &Facts<'_>) -> Span {
    let workload = &facts.scenario.workload;
    let nominal = workload.step_time.max().saturating_mul(u64::from(workload.steps));
    let in_one_go = facts.stories.values().filter_map(|story| match story.claims.as_slice() {
        [Claim { since, end: Some((end, ClaimEnd::Completed)), .. }] => Some(Moment { lo: *since, hi: *end }),
        _ => None,
    });
    let undisturbed = in_one_go
        .filter(|attempt| facts.disturbance(*attempt, Span::ZERO, facts.unserved(*attempt)).is_none());
    undisturbed.map(Moment::length).fold(nominal, Span::max)
}
