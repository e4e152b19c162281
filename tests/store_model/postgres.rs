//! The modelled Postgres against a real one, and with one transition made wrong at a time.

use std::collections::BTreeMap;
use std::time::Instant as Clock;

use syncope::history::FinalState;
use syncope::live::observe::{Sources, collect};
use syncope::live::provision::StoreInstance;
use syncope::names::{JobId, Store};
use syncope::protocol::command::JobStatus;
use syncope::protocol::{Command, Reply, StoreError};
use syncope::scenario::{Overrides, Source, resolve};
use syncope::sim::store::Postgres;
use syncope::sim::store::postgres::{Job, StatusName};
use syncope::time::{Instant, Span};

use crate::rows::Sequence;
use crate::servers::PostgresServer;
use crate::shrink::shrink;
use crate::tables::{Model, Observed, Tables, imagine, judge, perform};
use crate::{seed, sequences};

const ABREAST: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_modelled_postgres_store_does_what_a_real_one_does() {
    let server = PostgresServer::start();
    let mut tables = Tables::open(&server).await;
    let begun = Clock::now();
    let (mut commands, mut doubted) = (0, 0);
    let mut effects = Vec::new();
    for first in (0..sequences()).step_by(ABREAST) {
        let last = sequences().min(first + ABREAST as u64);
        let batch: Vec<_> = (first..last).map(random).collect();
        let (placed, observed) = tables.run(&batch).await;
        for (sequence, observed) in placed.iter().zip(&observed) {
            let mut model = Postgres::new();
            if judge(&mut model, sequence, observed).is_some() {
                doubted += 1;
                confirm(&mut tables, sequence).await;
            }
            effects.extend(states(&model));
            commands += sequence.ops.len();
        }
    }
    let (count, took) = (sequences(), begun.elapsed());
    println!("{count} sequences, {commands} commands, no difference, {took:.1?}; {doubted} were run again");
    if doubted == 0 {
        effects.sort_by(|(one, _), (other, _)| one.cmp(other));
        let read = collect(&reference_effects(), None, &sources(&server)).await.expect("the effects");
        assert!(read.into_iter().eq(effects), "the final states as a run reads them are those of the model");
    }
}

fn states(model: &Postgres) -> BTreeMap<JobId, FinalState> {
    model.jobs().iter().filter_map(|job| Some((job.id.clone(), job.final_state()?))).collect()
}

/// Who reads after each command what has changed knows at the end what there is.
#[test]
fn what_changed_adds_up_to_what_there_is() {
    for sequence in (0..300).map(random) {
        let mut model = Postgres::new();
        let (mut known, mut changed) = (BTreeMap::new(), Vec::new());
        let mut now = Instant::ZERO;
        for op in &sequence.ops {
            now = now + Span::from_millis(1);
            perform(&mut model, op, now);
            model.take_changed(&mut changed);
            let ids: Vec<_> = changed.iter().map(|place| &model.jobs()[*place as usize].id).collect();
            assert!(ids.is_sorted(), "{ids:?}");
            for place in &changed {
                let job = &model.jobs()[*place as usize];
                match job.final_state() {
                    Some(state) => known.insert(job.id.clone(), state),
                    None => known.remove(&job.id),
                };
            }
        }
        assert_eq!(known, states(&model), "{sequence}");
    }
}

/// A difference that the sequence shows again, without others beside it, is one.
async fn confirm(tables: &mut Tables, sequence: &Sequence) {
    let differs =
        |(sequence, observed): (&Sequence, &Observed)| judge(&mut Postgres::new(), sequence, observed);
    let (placed, observed) = tables.run(std::slice::from_ref(sequence)).await;
    let Some((after, mut what)) = differs((&placed[0], &observed[0])) else { return };
    let left = shrink(sequence.ops[..after].to_vec(), async |candidates| {
        let space = &sequence.space;
        let candidates = candidates.iter().map(|ops| Sequence { space: space.clone(), ops: ops.clone() });
        let (placed, observed) = tables.run(&candidates.collect::<Vec<_>>()).await;
        let mut found = placed.iter().zip(&observed).map(differs);
        let place = found.position(|difference| difference.map(|(_, now)| what = now).is_some());
        drop(found);
        place
    });
    let ops = left.await;
    let sequence = Sequence { space: sequence.space.clone(), ops };
    panic!("the modelled store differs from the server after\n{sequence}{what}");
}

#[derive(Debug, Clone, Copy)]
enum Mistake {
    LateEnqueueRevives,
    SavesAStepAgain,
    AnAttemptHasOneEffect,
    FailureKeepsOldAttempts,
    DropStepsDoesNothing,
    NumbersHaveNoEnd,
}

const MISTAKES: [Mistake; 6] = [
    Mistake::LateEnqueueRevives,
    Mistake::SavesAStepAgain,
    Mistake::AnAttemptHasOneEffect,
    Mistake::FailureKeepsOldAttempts,
    Mistake::DropStepsDoesNothing,
    Mistake::NumbersHaveNoEnd,
];

/// As for Redis: shrunk against the model, then run on the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_in_the_modelled_postgres_store_is_found() {
    let server = PostgresServer::start();
    let mut tables = Tables::open(&server).await;
    let batch: Vec<_> = (0..ABREAST as u64).map(random).collect();
    let (placed, observed) = tables.run(&batch).await;
    let mut found = Vec::new();
    for mistake in MISTAKES {
        let mut judged = placed.iter().zip(&observed).enumerate();
        let first = judged.find_map(|(index, (sequence, observed))| {
            Some((index + 1, sequence, differs(mistake, sequence, observed)?))
        });
        let Some((number, sequence, (after, _))) = first else {
            panic!("{mistake:?} is not found in {ABREAST} sequences");
        };
        let space = &sequence.space;
        let ops = shrink(sequence.ops[..after].to_vec(), async |candidates| {
            candidates.iter().position(|ops| {
                let sequence = Sequence { space: space.clone(), ops: ops.clone() };
                differs(mistake, &sequence, &imagine(&sequence)).is_some()
            })
        });
        found.push((mistake, number, Sequence { space: space.clone(), ops: ops.await }));
    }
    let shrunk: Vec<Sequence> = found.iter().map(|(_, _, sequence)| sequence.clone()).collect();
    let (placed, observed) = tables.run(&shrunk).await;
    for ((mistake, number, _), (sequence, observed)) in found.iter().zip(placed.iter().zip(&observed)) {
        let right = judge(&mut Postgres::new(), sequence, observed);
        assert!(right.is_none(), "without {mistake:?} there is no difference: {right:?}");
        let wrong = differs(*mistake, sequence, observed);
        let (_, what) = wrong.unwrap_or_else(|| panic!("{mistake:?} is not found by\n{sequence}"));
        println!("{mistake:?}: found by sequence {number}, shrunk to\n{sequence}{what}\n");
        assert!(sequence.ops.len() <= 4, "{mistake:?} needs no more than a few commands to be seen");
    }
}

fn differs(mistake: Mistake, sequence: &Sequence, observed: &Observed) -> Option<(usize, String)> {
    judge(&mut Mutant { store: Postgres::new(), mistake }, sequence, observed)
}

/// Of one that is being worked on only the time would be changed, by less than is always seen.
fn is_not_worked_on(job: &Job) -> bool {
    job.status.as_ref().is_some_and(|row| row.name != StatusName::Processing)
}

struct Mutant {
    store: Postgres,
    mistake: Mistake,
}

impl Model for Mutant {
    fn execute(&mut self, now: Instant, command: &Command) -> Result<Reply, StoreError> {
        let known = |id| self.store.jobs().iter().find(|job: &&Job| job.id == id);
        let mut changed = command.clone();
        match (self.mistake, &mut changed) {
            (
                Mistake::LateEnqueueRevives,
                Command::SetStatus { job, status: status @ JobStatus::Pending },
            ) if known(job.clone()).is_some_and(is_not_worked_on) => {
                *status = JobStatus::Processing;
            }
            (Mistake::SavesAStepAgain, Command::SaveStep { .. }) => {
                return self.store.execute(now, command).map(|_| Reply::Saved(true));
            }
            (Mistake::AnAttemptHasOneEffect, Command::RecordEffect { job, attempt, .. })
                if known(job.clone())
                    .is_some_and(|job| job.effects.iter().any(|e| e.attempt == *attempt)) =>
            {
                return Ok(Reply::Done);
            }
            (
                Mistake::FailureKeepsOldAttempts,
                Command::SetStatus { job, status: JobStatus::Failed { attempts, .. } },
            ) => {
                if let Some(row) = known(job.clone()).and_then(|job| job.status.as_ref()) {
                    *attempts = row.attempts;
                }
            }
            (Mistake::DropStepsDoesNothing, Command::DropSteps { .. }) => return Ok(Reply::Done),
            (Mistake::NumbersHaveNoEnd, Command::RecordEffect { attempt, .. }) => {
                *attempt = (*attempt).min(i32::MAX as u32);
            }
            _ => {}
        }
        self.store.execute(now, &changed)
    }

    fn store(&self) -> &Postgres {
        &self.store
    }
}

fn random(number: u64) -> Sequence {
    Sequence::random(seed(), number, "x-".to_owned())
}

/// What a run of a reference system asks in the end.
fn reference_effects() -> syncope::scenario::EffectQuery {
    let yaml = include_str!("../fixtures/scenario/design.yaml");
    let scenario = resolve(&Source::new("design.yaml", yaml), &Overrides::default());
    scenario.unwrap_or_else(|_| panic!("the design's example resolves")).fleet.effects
}

fn sources(server: &PostgresServer) -> Sources {
    let (user, database) = ("postgres".to_owned(), "postgres".to_owned());
    let address = ([127, 0, 0, 1], server.port).into();
    let instance = StoreInstance { store: Store::Postgres, address, pid: 0, user, password: None, database };
    Sources { stores: BTreeMap::from([(Store::Postgres, instance)]), ..Sources::default() }
}
