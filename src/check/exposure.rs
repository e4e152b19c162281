//! What the model says of mistakes in this run: its settings, and each fault as it struck.

use std::collections::BTreeSet;

use crate::check::facts::Facts;
use crate::check::faults::{Part, kind_of, stands_between};
use crate::check::measure::Moment;
use crate::fault::rules::Slices;
use crate::fault::trouble::Trouble;
use crate::fault::{Direction, Fault, FaultId, FaultKind, Injection, OutageKind, Toxic};
use crate::history::EnqueueOutcome;
use crate::names::{Endpoint, ProcessName, Store};
use crate::protocol::settings::RECONNECT_MAX;
use crate::scenario::{Ask, RedisDurability, WorkersAsk};
use crate::time::{Instant, Span};
use crate::timing::{Pipeline, Side, Subject, Tolerance, tolerates_on};

/// The gravest of all, and why.
pub(super) fn of_run(facts: &Facts<'_>) -> (Tolerance, String) {
    let Some(pipeline) = &facts.scenario.fleet.pipeline else {
        return (Tolerance::Undecided, "This fleet has no timing model: nothing is expected.".to_owned());
    };
    if certain_by_settings(facts) {
        let (expiry, beat) = (pipeline.expiry.effective(), pipeline.interval());
        let scale = facts.scenario.time_scale;
        let (expiry, beat) = (scale.to_model(expiry), scale.to_model(beat));
        let why =
            format!("A beat is valid for {expiry} and the next comes after {beat}: mistakes are certain.");
        return (Tolerance::CertainlySeen, why);
    }
    let verdicts: Vec<(Tolerance, FaultId)> =
        facts.scenario.faults.iter().map(|fault| (of_fault(facts, pipeline, fault), fault.id)).collect();
    let name = |id: FaultId| format!("{} (fault {})", kind_of(facts.scenario, id), id.0);
    match verdicts.iter().max_by_key(|(tolerance, _)| *tolerance) {
        Some((Tolerance::CertainlySeen, id)) => {
            (Tolerance::CertainlySeen, format!("The model says that the {} is certainly seen.", name(*id)))
        }
        Some((Tolerance::Undecided, id)) => {
            (Tolerance::Undecided, format!("The model leaves open whether the {} is tolerated.", name(*id)))
        }
        _ if combined(facts, pipeline) => {
            let why = "Each fault alone is tolerated, but some came too close together to say so of both.";
            (Tolerance::Undecided, why.to_owned())
        }
        Some(_) => (Tolerance::Tolerated, "The model says that every fault here is tolerated.".to_owned()),
        None => (Tolerance::Tolerated, "Without a fault the model allows none.".to_owned()),
    }
}

/// Mistakes certain in every period, from the settings alone.
pub(super) fn certain_by_settings(facts: &Facts<'_>) -> bool {
    facts.scenario.fleet.pipeline.as_ref().is_some_and(|pipeline| pipeline.mistakes_are_certain(Span::ZERO))
}

fn of_fault(facts: &Facts<'_>, pipeline: &Pipeline, fault: &Fault) -> Tolerance {
    let parts: Vec<&Part<'_>> =
        facts.faults.range((fault.id, 0)..=(fault.id, u16::MAX)).map(|(_, part)| part).collect();
    let sides = sides_struck(facts, &parts);
    let kind = settled(facts, fault);
    let gravest = sides.iter().map(|side| tolerates_on(pipeline, &kind, *side)).max();
    let tolerance = gravest.unwrap_or(Tolerance::Tolerated);
    // What was not undone may have gone on: a clock cannot be set back in a process that is gone.
    let goes_on = parts.iter().any(|part| part.heal.unproved.is_some());
    if goes_on || may_wipe(facts, &kind) {
        return Tolerance::Undecided;
    }
    let open =
        || outlasts_clients(facts, &kind) || (!sides.is_empty() && outlasts_readers(pipeline, &kind, &parts));
    if tolerance == Tolerance::Tolerated && open() {
        return Tolerance::Undecided;
    }
    let certain = || exposed(facts, pipeline, &parts) && alone(facts, pipeline, fault.id, &parts);
    if tolerance == Tolerance::CertainlySeen && !certain() {
        return Tolerance::Undecided;
    }
    tolerance
}

/// Replies may come later than a client waits for them: a claim whose reply was given up leaves a job
/// locked by a worker that does not know of it, and a beat that was given up is a beat that failed.
fn outlasts_clients(facts: &Facts<'_>, kind: &FaultKind) -> bool {
    let FaultKind::Network { toxic, .. } = kind else { return false };
    let probe = facts.scenario.fleet.liveness.as_ref().map_or(Span::ZERO, |probe| probe.timeout);
    let patience = probe.min(CLIENTS_WAIT);
    let reply = match *toxic {
        Toxic::Latency { latency, jitter, direction } => {
            let ways = if direction == Direction::Both { 2 } else { 1 };
            (latency + jitter).saturating_mul(ways)
        }
        // A script and its answer are below four kilobytes.
        Toxic::Slicer { average_size, size_variation, delay, .. } => {
            Slices { average_size, size_variation, delay }.longest(4_096)
        }
        _ => return false,
    };
    reply >= patience
}

/// The reader's client makes its connection again at intervals, so what breaks it lasts for the reader
/// up to one of them longer than the fault did: a start of the store is part of that as it was measured.
fn outlasts_readers(pipeline: &Pipeline, kind: &FaultKind, parts: &[&Part<'_>]) -> bool {
    let breaks = matches!(
        kind,
        FaultKind::Outage { .. } | FaultKind::Network { toxic: Toxic::ResetPeer | Toxic::Refuse, .. }
    );
    let wait = pipeline.checker.ready_wait();
    let gone = |part: &&Part<'_>| part.lasting(Instant::FAR_FUTURE).map(Moment::length);
    pipeline.subject == Subject::Fleet
        && breaks
        && parts.iter().filter_map(gone).any(|gone| gone + RECONNECT_MAX >= wait)
}

/// What any client of a store waits for a reply at least, wall time. The model does not know more.
const CLIENTS_WAIT: Span = Span::from_secs(1);

/// What is certain of a fault is so only if no other comes near: a worker that is killed is no mistake
/// any more, and a reader that stands still says nothing.
fn alone(facts: &Facts<'_>, pipeline: &Pipeline, id: FaultId, parts: &[&Part<'_>]) -> bool {
    let until = facts.run.hi;
    let reach = pipeline.seen_within();
    let windows = || parts.iter().filter_map(|part| part.lasting(until));
    // One that struck a process which was dead by then did nothing.
    let took_effect = windows().count() == parts.len();
    took_effect
        && facts.faults.iter().filter(|((other, _), _)| *other != id).all(|(_, part)| {
            let Some(onset) = part.onset.done else { return true };
            let end = match part.onset.injection {
                Some(Injection::DeleteKeys { .. }) => onset.effective.hi,
                Some(Injection::Trouble { trouble }) if !trouble.lasts() => onset.effective.hi,
                _ => part.heal.done.map_or(until, |heal| heal.effective.hi),
            };
            let near = Moment { lo: onset.effective.lo - reach, hi: end.max(onset.effective.hi) + reach };
            !windows().any(|window| window.meets(near))
        })
}

/// A fault without an end of its own lasts to the end of the run.
fn settled(facts: &Facts<'_>, fault: &Fault) -> FaultKind {
    let mut kind = fault.kind.clone();
    if let FaultKind::ClockDrift { lasting: lasting @ None, .. }
    | FaultKind::Trouble { trouble: Trouble::ClockDrift { .. }, lasting: lasting @ None } = &mut kind
    {
        *lasting = Some(facts.run.length());
    }
    kind
}

/// Whom the fault struck, of those who matter: all who beat (or one holder), the reader, the store.
fn sides_struck(facts: &Facts<'_>, parts: &[&Part<'_>]) -> Vec<Side> {
    let mut struck: BTreeSet<&ProcessName> = BTreeSet::new();
    let mut sides = BTreeSet::new();
    for injection in parts.iter().filter_map(|part| part.onset.injection) {
        match injection {
            Injection::StoreDown { store, .. } if matters(facts, *store) => {
                sides.insert(Side::Store);
            }
            Injection::Toxic { links, .. } => {
                let harmful = links.iter().filter(|link| match &link.to {
                    Endpoint::Store(store) => matters(facts, *store),
                    Endpoint::Process(_) => false,
                });
                struck.extend(harmful.map(|link| &link.from));
            }
            Injection::Pause { process }
            | Injection::Throttle { process, .. }
            | Injection::Misconfigure { process, .. }
            | Injection::ClockStep { process, .. }
            | Injection::ClockDrift { process, .. } => {
                struck.insert(process);
            }
            Injection::DeleteKeys { .. } => {
                sides.insert(Side::Store);
            }
            Injection::Trouble { trouble } if matters(facts, trouble.store()) => {
                sides.insert(Side::Store);
            }
            _ => {}
        }
    }
    let workers = struck.iter().any(|process| facts.workers.contains(*process));
    // A fleet with one key is silent only while no other worker beats; a wrong clock, even a single
    // one, is in the key whenever its worker's beat is the last.
    // So is a beat that the network held back: it arrives with its old stamp, over a fresh one.
    let ages = facts.scenario.fleet.pipeline.as_ref().is_some_and(|p| p.expiry.age().is_some());
    let misleads = |injection| moves_a_clock(injection) || (ages && holds_back(injection));
    let covered = facts.subject == Subject::Fleet
        && !facts.one_by_one
        && !parts.iter().any(|part| part.onset.injection.is_some_and(misleads))
        && others(facts, &facts.workers, parts)
            .any(|(serving, window)| serving.contains(window.lo) && serving.contains(window.hi));
    if workers && !covered {
        sides.insert(Side::Writers);
    }
    if struck.iter().any(|process| reader(facts) == Some(process)) {
        sides.insert(Side::Reader);
    }
    sides.into_iter().collect()
}

/// The process that users ask.
fn reader<'a>(facts: &Facts<'a>) -> Option<&'a ProcessName> {
    match facts.scenario.fleet.liveness.as_ref().map(|probe| &probe.ask) {
        Some(Ask::Http { process, .. } | Ask::Workers(WorkersAsk::Http { process, .. })) => Some(process),
        _ => None,
    }
}

const fn moves_a_clock(injection: &Injection) -> bool {
    matches!(injection, Injection::ClockStep { .. } | Injection::ClockDrift { .. })
}

const fn holds_back(injection: &Injection) -> bool {
    matches!(
        injection,
        Injection::Toxic {
            toxic: Toxic::Latency { .. }
                | Toxic::Partition { .. }
                | Toxic::Bandwidth { .. }
                | Toxic::Slicer { .. },
            ..
        }
    )
}

/// When those `of` them that the fault did not strike served, each with the time that the fault lasted.
fn others<'p>(
    facts: &'p Facts<'_>,
    of: &'p BTreeSet<ProcessName>,
    parts: &'p [&Part<'_>],
) -> impl Iterator<Item = (Moment, Moment)> + 'p {
    let until = facts.run.hi;
    let windows = parts.iter().filter_map(move |part| part.lasting(until));
    let window = windows.reduce(|one, other| Moment { lo: one.lo.min(other.lo), hi: one.hi.max(other.hi) });
    let is_struck = |worker: &ProcessName| {
        parts.iter().filter_map(|part| part.onset.injection).any(|injection| match injection {
            Injection::Toxic { links, .. } => links.iter().any(|link| link.from == *worker),
            other => other.process() == Some(worker),
        })
    };
    let unstruck = of.iter().filter(move |worker| !is_struck(worker));
    let lives = unstruck.filter_map(|worker| facts.lives.get(worker)).flatten();
    lives.filter_map(move |life| Some((life.serving(until), window?)))
}

fn matters(facts: &Facts<'_>, store: Store) -> bool {
    facts.beat_store.is_none_or(|beats| beats == store)
}

/// The outage may take the beats and jobs with it.
pub(super) fn may_wipe(facts: &Facts<'_>, kind: &FaultKind) -> bool {
    let FaultKind::Outage { store: Store::Redis, how: OutageKind::Kill | OutageKind::Stop, .. } = kind else {
        return false;
    };
    let durability = facts.scenario.stack.redis.as_ref().map(|redis| redis.durability);
    matters(facts, Store::Redis)
        && matches!(durability, None | Some(RedisDurability::None | RedisDurability::Rdb))
}

/// Whether there was somebody to be suspected, and somebody to say so: for holders, a struck worker
/// held a job at the onset, and the run went on until the sweeps after the fault had to find it (a run
/// ends once all work is done, and a holder that is cut off goes on with it), and, where a beat that
/// comes late revives what had expired, one who looks was there all the while and was not struck too; for
/// a fleet, its probes wait longer than the longest query.
fn exposed(facts: &Facts<'_>, pipeline: &Pipeline, parts: &[&Part<'_>]) -> bool {
    match facts.subject {
        Subject::Fleet => {
            let patience = facts.scenario.fleet.liveness.as_ref().map_or(Span::ZERO, |probe| probe.timeout);
            // What strikes some of the workers is hidden whenever another one's beat is the last.
            let of_workers = parts.iter().any(|part| {
                let process = part.onset.injection.and_then(Injection::process);
                process.is_some_and(|it| facts.workers.contains(it)) || strikes_a_worker(facts, part)
            });
            let hidden = of_workers
                && !facts.one_by_one
                && others(facts, &facts.workers, parts).any(|(serving, window)| serving.meets(window));
            patience > pipeline.checker.longest_query() && !facts.probes.is_empty() && !hidden
        }
        Subject::Holder => parts.iter().any(|part| {
            let Some(onset) = part.onset.done.map(|done| done.effective) else { return false };
            let watched = part.lasting(facts.run.hi).map(|lasting| lasting.hi + pipeline.seen_within());
            if watched.is_none_or(|until| until > facts.run.hi) {
                return false;
            }
            let watches = |(serving, window): (Moment, Moment)| {
                serving.contains(window.lo) && serving.contains(window.hi)
            };
            if !pipeline.is_lock() && !others(facts, &facts.lookers, parts).any(watches) {
                return false;
            }
            let claims = facts
                .stories
                .values()
                .filter(|story| !matches!(story.outcome, Some(EnqueueOutcome::Declined(_))));
            let mut held = claims.flat_map(|story| &story.claims).filter(|claim| claim.held_at(onset.hi));
            held.any(|claim| {
                let injection = part.onset.injection;
                injection.is_some_and(|injection| stands_between(injection, claim.by, facts.beat_store))
            })
        }),
    }
}

/// Two lasting faults on the beats' way so close that their silences may add up.
fn combined(facts: &Facts<'_>, pipeline: &Pipeline) -> bool {
    let reach = pipeline.expiry.effective();
    let mut lasting: Vec<(FaultId, Moment)> = facts
        .faults
        .iter()
        .filter(|((id, _), part)| {
            let parts: &[&Part<'_>] = &[part];
            let one_of_many = facts.subject == Subject::Fleet && strikes_a_worker(facts, part);
            (one_of_many || !sides_struck(facts, parts).is_empty())
                && facts.scenario.faults.get(usize::from(id.0)).is_some()
        })
        .filter_map(|((id, _), part)| Some((*id, part.lasting(facts.run.hi)?)))
        .collect();
    lasting.sort_by_key(|(_, moment)| (moment.lo, moment.hi));
    lasting.windows(2).any(|pair| pair[0].0 != pair[1].0 && pair[1].1.lo <= pair[0].1.hi + reach)
}

fn strikes_a_worker(facts: &Facts<'_>, part: &Part<'_>) -> bool {
    part.onset.injection.is_some_and(|injection| {
        facts.workers.iter().any(|worker| stands_between(injection, worker, facts.beat_store))
    })
}
