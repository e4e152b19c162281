//! Mistakes: suspicions of a subject that ran. A paused process runs, and so does one that is cut
//! off from its store.

use std::collections::BTreeSet;

use crate::check::exposure;
use crate::check::facts::Facts;
use crate::check::measure::{Moment, model_ms, overlap, round, union, union_length};
use crate::check::suspicion::{self, Taken};
use crate::check::{Bound, BoundFrom, CheckResult, Mistakes, Verdict};
use crate::fault::Injection;
use crate::scenario::{CountExpect, MistakeExpect};
use crate::time::Span;
use crate::timing::{Subject, Tolerance};

#[derive(Debug, Default)]
pub(super) struct Found {
    /// One each: from the suspicion to its correction.
    episodes: Vec<Moment>,
    /// How long subjects ran while somebody asked (of holders: held jobs).
    observed: Span,
    /// How long of that they were mistrusted.
    mistrusted: Span,
    /// Somebody asked at all, and was answered.
    pub asked: bool,
}

pub(super) fn find(facts: &Facts<'_>, taken: &[Taken<'_>]) -> Found {
    match facts.subject {
        Subject::Fleet => of_fleet(facts),
        Subject::Holder => of_holders(facts, taken),
    }
}

/// Answers "dead" that were asked for and given while the subject did its work, merged into episodes
/// up to the next answer "alive".
fn of_fleet(facts: &Facts<'_>) -> Found {
    let mut found = Found::default();
    for named in suspicion::subjects(facts) {
        let serving = union(facts.lives_of(named).map(|life| life.serving(facts.run.hi)));
        found.asked = true;
        let mut dead = Vec::new();
        for (asked, held, alive) in suspicion::held_answers(facts, named) {
            found.observed = found.observed + overlap(held, &serving);
            let ran = serving.iter().find(|life| life.contains(asked.lo) && life.contains(asked.hi));
            if let (false, Some(life)) = (alive, ran) {
                dead.extend(held.and(*life));
            }
        }
        let dead = union(dead);
        found.mistrusted = found.mistrusted + union_length(dead.iter().copied());
        found.episodes.extend(dead);
    }
    found
}

fn of_holders(facts: &Facts<'_>, taken: &[Taken<'_>]) -> Found {
    let mut found = Found { asked: facts.stall_probes().next().is_some(), ..Found::default() };
    for mistaken in taken {
        if let Some(until) = mistaken.mistake_until(facts) {
            let episode = Moment::new(mistaken.at.hi, until);
            found.mistrusted = found.mistrusted + episode.length();
            found.episodes.push(episode);
        }
    }
    let claims = facts.stories.values().flat_map(|story| &story.claims);
    for claim in claims {
        let end = claim.end.map_or(facts.run.hi, |(end, _)| end);
        found.observed = found.observed + end.min(facts.run.hi).since(claim.at.max(facts.run.lo));
    }
    found
}

pub(super) fn figures(facts: &Facts<'_>, found: &Found) -> Mistakes {
    let scale = facts.scenario.time_scale;
    let outages = outages(facts);
    let during = |episode: &Moment| outages.iter().position(|outage| outage.contains(episode.lo));
    let shared: BTreeSet<usize> = found.episodes.iter().filter_map(during).collect();
    let alone = found.episodes.iter().filter(|episode| during(episode).is_none()).count() as u64;
    let count = alone + shared.len() as u64;
    let hours = scale.to_model(found.observed).as_secs_f64() / 3_600.0;
    let trusted =
        |observed: Span| 1.0 - found.mistrusted.min(observed).as_secs_f64() / observed.as_secs_f64();
    Mistakes {
        count,
        correlated: shared.len() as u64,
        total_ms: model_ms(found.mistrusted, scale),
        query_accuracy: (found.asked && !found.observed.is_zero()).then(|| trusted(found.observed)),
        rate_per_hour_upper: (found.asked && count == 0 && hours > 0.0).then(|| 3.0 / hours),
    }
}

/// Outages of the store that the beats are in, each with the time after it in which its effect may
/// still show.
fn outages(facts: &Facts<'_>) -> Vec<Moment> {
    let after = facts
        .scenario
        .fleet
        .pipeline
        .as_ref()
        .map_or(Span::ZERO, |pipeline| pipeline.seen_within().max(pipeline.expiry.effective()));
    let lasting = facts.faults.values().filter_map(|part| match part.onset.injection? {
        Injection::StoreDown { store, .. } if facts.beat_store.is_none_or(|beats| beats == *store) => {
            part.lasting(facts.run.hi)
        }
        Injection::Trouble { trouble } if facts.beat_store.is_none_or(|beats| beats == trouble.store()) => {
            part.lasting(facts.run.hi)
        }
        _ => None,
    });
    lasting.map(|outage| Moment { lo: outage.lo, hi: outage.hi + after }).collect()
}

pub(super) fn check(facts: &Facts<'_>, found: &Found, mistakes: &Mistakes, quiet: bool) -> CheckResult {
    let count = mistakes.count;
    let (expect, from, why) = match facts.scenario.expect.mistakes {
        MistakeExpect::Count(expect) => (expect, BoundFrom::Scenario, String::new()),
        MistakeExpect::Model => {
            let (tolerance, why) = exposure::of_run(facts);
            let expect = match tolerance {
                Tolerance::Tolerated => CountExpect::ZERO,
                Tolerance::Undecided => CountExpect::ANY,
                Tolerance::CertainlySeen => CountExpect { min: 1, max: None },
            };
            (expect, BoundFrom::Model, why)
        }
    };
    let open = expect == CountExpect::ANY;
    let seen = seen_text(facts, mistakes);
    let (verdict, note) = if !found.asked && !open {
        (Verdict::Inconclusive, "No probe was answered: mistakes are not known.".to_owned())
    } else if !quiet && !open {
        (
            Verdict::Inconclusive,
            "The host stalled: a mistake may be its doing, or have gone unseen.".to_owned(),
        )
    } else if expect.admits(count) {
        (Verdict::Pass, format!("{seen} {why}").trim().to_owned())
    } else if count < expect.min && from == BoundFrom::Model && exposure::certain_by_settings(facts) {
        let note = format!("{why} None was seen: the gaps may be shorter than the time between two probes.");
        (Verdict::Inconclusive, note)
    } else {
        (Verdict::Fail, format!("{seen} {why}").trim().to_owned())
    };
    CheckResult {
        name: "mistakes".to_owned(),
        verdict,
        measured: if found.asked || count > 0 { count.to_string() } else { "-".to_owned() },
        bound: Bound { min: Some(expect.min as f64), max: expect.max.map(|max| max as f64) },
        bound_from: from,
        note,
        stalled: false,
    }
}

fn seen_text(facts: &Facts<'_>, mistakes: &Mistakes) -> String {
    let subject = match facts.subject {
        Subject::Fleet => "while workers ran",
        Subject::Holder => "of a holder that ran",
    };
    match mistakes.count {
        0 => mistakes.rate_per_hour_upper.map_or_else(String::new, |rate| {
            format!("No suspicion {subject}; at 95 % that means fewer than {rate:.1} an hour of model time.")
        }),
        count => {
            let total = round(Span::from_nanos((mistakes.total_ms * 1e6) as u64));
            let shared = match mistakes.correlated {
                0 => String::new(),
                shared => format!(", {shared} of them shared by all, for the store was in trouble"),
            };
            format!("{count} suspicions {subject}{shared}, {total} in all.")
        }
    }
}

/// Only where the scenario states a range.
pub(super) fn check_accuracy(facts: &Facts<'_>, mistakes: &Mistakes, quiet: bool) -> Option<CheckResult> {
    let (least, most) = facts.scenario.expect.query_accuracy_ppm?;
    let share = |ppm: u32| f64::from(ppm) / 1e6;
    let (verdict, measured, note) = match mistakes.query_accuracy {
        None => (Verdict::Inconclusive, "-".to_owned(), "No probe was answered while the subject ran."),
        Some(found) if !quiet => {
            (Verdict::Inconclusive, format!("{found:.6}"), "The host stalled: answers may be its doing.")
        }
        Some(found) => {
            let within = share(least) <= found && found <= share(most);
            let verdict = if within { Verdict::Pass } else { Verdict::Fail };
            (
                verdict,
                format!("{found:.6}"),
                "Share of the probed time in which a subject that ran was trusted.",
            )
        }
    };
    Some(CheckResult {
        name: "query_accuracy".to_owned(),
        verdict,
        measured,
        bound: Bound { min: Some(share(least)), max: Some(share(most)) },
        bound_from: BoundFrom::Scenario,
        note: note.to_owned(),
        stalled: false,
    })
}
