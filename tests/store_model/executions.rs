//! The modelled tables of fleets whose jobs are in Postgres against real ones, and with one command
//! made wrong at a time.
//!
//! A claim looks at the whole table, so sequences do not run abreast in one: each lane has a database of
//! its own, emptied before each sequence. Delays and ages are none or an hour, so that no outcome hangs on
//! the moment.

use futures_util::future::join_all;
use syncope::dist::Random;
use syncope::fault::trouble::DeadLetters;
use syncope::live::store::postgres::{replay_statement, status_of, status_query};
use syncope::live::store::{Limits, PostgresStore};
use syncope::names::{JobId, Store, Text};
use syncope::protocol::table::{AfterFailure, StatusRule};
use syncope::protocol::{Backoff, Command, JobSpec, Reply, StoreError, TableCommand};
use syncope::sim::store::Postgres;
use syncope::sim::store::postgres::ExecutionStatus;
use syncope::time::{Instant, Span};

use crate::servers::PostgresServer;
use crate::{seed, sequences};

const LANES: usize = 4;
const LENGTH: usize = 40;
const HOUR: Span = Span::from_secs(3_600);

/// Every beat is young, and every running job's is old.
const RULE: StatusRule = StatusRule { healthy_below: HOUR, stuck_above: HOUR, stale_above: Span::ZERO };

/// Job, status, worker, error, attempts, stalls; sorted by job.
type Row = (String, String, Option<String>, Option<String>, i32, i32);
/// Job, worker, attempt; sorted.
type Effect = (String, String, i32);

#[derive(Debug, PartialEq)]
struct Outcome {
    replies: Vec<Result<Reply, std::mem::Discriminant<StoreError>>>,
    rows: Vec<Row>,
    effects: Vec<Effect>,
    /// Workers that have beaten.
    workers: Vec<String>,
    /// What an operator is told before and after all dead letters are queued again, and which that were.
    told: [serde_json::Value; 2],
    replayed: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_modelled_executions_do_what_real_ones_do() {
    let server = PostgresServer::start();
    let count = sequences() / 2;
    let lane = |lane: usize| {
        let server = &server;
        async move {
            let lane = Lane::open(server, lane).await;
            for number in (lane.number as u64..count).step_by(LANES) {
                let commands = random(number);
                let (real, modelled) = (lane.run(&commands).await, imagine(&commands, None));
                assert_eq!(real, modelled, "sequence {number}: the server, the model\n{commands:#?}");
            }
        }
    };
    join_all((0..LANES).map(lane)).await;
}

struct Lane {
    number: usize,
    store: PostgresStore,
    raw: tokio_postgres::Client,
}

impl Lane {
    async fn open(server: &PostgresServer, number: usize) -> Self {
        let patient = std::time::Duration::from_secs(30);
        let limits = Limits { connect: patient, command: patient };
        let ready = Command::AwaitReady { store: Store::Postgres, within: Span::from_secs(30) };
        let first = PostgresStore::connect(&server.url(), limits).expect("an address");
        assert_eq!(first.execute(&ready).await, Ok(Reply::Ready(true)));
        server
            .client()
            .await
            .batch_execute(&format!("CREATE DATABASE lane{number}"))
            .await
            .expect("a database");
        let url = format!("postgres://postgres@127.0.0.1:{}/lane{number}", server.port);
        let store = PostgresStore::connect(&url, limits).expect("an address");
        assert_eq!(store.execute(&ready).await, Ok(Reply::Ready(true)));
        store.create_schema().await.expect("the tables");
        let (raw, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("a connection");
        tokio::spawn(connection);
        Self { number, store, raw }
    }

    async fn run(&self, commands: &[TableCommand]) -> Outcome {
        const EMPTY: &str = "TRUNCATE executions, worker_heartbeats, effects";
        const ROWS: &str = "SELECT execution_id, status, worker_id, execution_error, attempts, stalls
            FROM executions ORDER BY execution_id";
        const EFFECTS: &str =
            r#"SELECT job, worker, attempt FROM effects ORDER BY job COLLATE "C", worker, attempt"#;
        const WORKERS: &str = r#"SELECT worker_id FROM worker_heartbeats ORDER BY worker_id COLLATE "C""#;
        self.raw.batch_execute(EMPTY).await.expect("empty tables");
        let mut replies = Vec::new();
        for command in commands {
            let reply = self.store.execute(&Command::Table(command.clone())).await;
            replies.push(reply.map_err(|error| std::mem::discriminant(&error)));
        }
        let rows = self.raw.query(ROWS, &[]).await.expect("the executions");
        let effects = self.raw.query(EFFECTS, &[]).await.expect("the effects");
        let workers = self.raw.query(WORKERS, &[]).await.expect("the workers");
        let before = self.told().await;
        let replayed = self.raw.query(&replay_statement(&DeadLetters::All), &[]).await.expect("the letters");
        let mut replayed: Vec<String> = replayed.iter().map(|row| row.get(0)).collect();
        replayed.sort();
        let told = [before, self.told().await];
        Outcome {
            replies,
            told,
            replayed,
            rows: rows
                .iter()
                .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)))
                .collect(),
            effects: effects.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
            workers: workers.iter().map(|row| row.get(0)).collect(),
        }
    }
}

impl Lane {
    async fn told(&self) -> serde_json::Value {
        let rows = self.raw.simple_query(&status_query(RULE.stale_above)).await.expect("the status");
        let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some(std::array::from_fn(|column| row.get(column).map(str::to_owned)))
            }
            _ => None,
        };
        let rows: Vec<[Option<String>; 4]> = rows.iter().filter_map(row).collect();
        status_of(rows.iter().map(|row| row.each_ref().map(Option::as_deref))).to_json(&RULE)
    }
}

#[derive(Debug, Clone, Copy)]
enum Mistake {
    ClaimsWhatItHolds,
    AlwaysFences,
    NeverFences,
    TakesTheLiving,
    RescuesTheLiving,
    ForgetsDelays,
    BuriesWhatCanBeRetried,
    ReplaysNothing,
}

#[test]
fn every_mistake_in_the_modelled_executions_is_found() {
    use Mistake::*;
    let mistakes = [
        ClaimsWhatItHolds,
        AlwaysFences,
        NeverFences,
        TakesTheLiving,
        RescuesTheLiving,
        ForgetsDelays,
        BuriesWhatCanBeRetried,
        ReplaysNothing,
    ];
    for mistake in mistakes {
        let differs = |number: &u64| {
            let commands = random(*number);
            imagine(&commands, None) != imagine(&commands, Some(mistake))
        };
        let found = (0..256).find(differs);
        println!(
            "{mistake:?}: found by sequence {}",
            found.unwrap_or_else(|| panic!("{mistake:?} is not found"))
        );
    }
}

/// What the model does; with a mistake, what it would do that was given another command.
fn imagine(commands: &[TableCommand], mistake: Option<Mistake>) -> Outcome {
    let mut model = Postgres::new();
    let mut now = Instant::ZERO + HOUR + HOUR;
    let replies = commands.iter().map(|command| {
        now = now + Span::from_millis(1);
        let command = mistake.map_or_else(|| command.clone(), |mistake| wrong(command, mistake));
        model.execute(now, &Command::Table(command)).map_err(|error| std::mem::discriminant(&error))
    });
    let replies = replies.collect();
    let status = |status| match status {
        ExecutionStatus::Queued => "queued",
        ExecutionStatus::Running => "running",
        ExecutionStatus::Completed => "completed",
        ExecutionStatus::Failed => "failed",
        ExecutionStatus::DeadLetter => "dead_letter",
    };
    let (mut rows, mut effects): (Vec<Row>, Vec<Effect>) = (Vec::new(), Vec::new());
    for job in model.jobs() {
        let done =
            job.effects.iter().map(|row| (job.id.to_string(), row.worker.to_string(), row.attempt as i32));
        effects.extend(done);
        if let Some(row) = &job.execution {
            let (worker, error) = (row.worker.as_ref().map(|w| w.as_str().to_owned()), row.error.as_deref());
            let error = error.map(str::to_owned);
            let (attempts, stalls) = (row.attempts as i32, row.stalls as i32);
            rows.push((job.id.to_string(), status(row.status).to_owned(), worker, error, attempts, stalls));
        }
    }
    rows.sort();
    effects.sort();
    let workers = model.beats().keys().map(|worker| worker.as_str().to_owned()).collect();
    let later = now + Span::from_millis(1);
    let before = model.status(later, &RULE).to_json(&RULE);
    let mut replayed: Vec<String> =
        model.replay(later, &DeadLetters::All).iter().map(ToString::to_string).collect();
    replayed.sort();
    let told = [before, model.status(later, &RULE).to_json(&RULE)];
    Outcome { replies, rows, effects, workers, told, replayed }
}

fn wrong(command: &TableCommand, mistake: Mistake) -> TableCommand {
    let mut command = command.clone();
    match (mistake, &mut command) {
        (Mistake::ClaimsWhatItHolds, TableCommand::Claim { holding, .. }) => holding.clear(),
        (Mistake::AlwaysFences, TableCommand::Finish { fenced, .. }) => *fenced = true,
        (Mistake::NeverFences, TableCommand::Finish { fenced, .. }) => *fenced = false,
        (Mistake::TakesTheLiving, TableCommand::FailJobsOfTheDead { stale })
        | (Mistake::RescuesTheLiving, TableCommand::Rescue { stale }) => *stale = Span::ZERO,
        (Mistake::ForgetsDelays, TableCommand::Enqueue { job }) => job.delay = Span::ZERO,
        (Mistake::BuriesWhatCanBeRetried, TableCommand::Fail { then: then @ AfterFailure::Retry(_), .. }) => {
            *then = AfterFailure::DeadLetter;
        }
        (Mistake::ReplaysNothing, TableCommand::Replay { job }) => *job = "nothing".into(),
        _ => {}
    }
    command
}

fn random(number: u64) -> Vec<TableCommand> {
    let mut draw = Draw(Random::stream(seed(), &format!("executions-{number}")));
    (0..LENGTH).map(|_| draw.command()).collect()
}

struct Draw(Random);

impl Draw {
    fn of<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.0.below(among.len() as u64) as usize].clone()
    }

    fn job(&mut self) -> JobId {
        self.of(&["a", "job-1", "job-2", "ö' \"%_"]).into()
    }

    fn worker(&mut self) -> Text {
        self.of(&["w1", "w2", "wörker 'x'"]).into()
    }

    /// Now and then one beyond the column's range.
    fn attempt(&mut self) -> u32 {
        self.of(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 0, u32::MAX])
    }

    fn wait(&mut self) -> Span {
        self.of(&[Span::ZERO, Span::ZERO, HOUR])
    }

    fn command(&mut self) -> TableCommand {
        let (job, worker, attempt) = (self.job(), self.worker(), self.attempt());
        match self.0.below(100) {
            0..18 => TableCommand::Enqueue { job: self.spec(job) },
            18..28 => TableCommand::Beat { worker },
            28..56 => {
                let holding = self.of(&[0, 0, 1, 2]);
                TableCommand::Claim { worker, holding: (0..holding).map(|_| self.job()).collect() }
            }
            56..68 => TableCommand::Finish { job, worker, attempt, fenced: self.of(&[true, false]) },
            68..72 => TableCommand::BeatJob { job, worker, attempt },
            72..80 => {
                let wait = self.wait();
                let then = [AfterFailure::Retry(wait), AfterFailure::Failed, AfterFailure::DeadLetter];
                let (error, then) = (self.of(&["", "it's"]).to_owned(), self.of(&then));
                TableCommand::Fail { job, worker, attempt, error, then }
            }
            80..84 => TableCommand::Release { job, worker, attempt },
            84..89 => TableCommand::FailJobsOfTheDead { stale: self.wait() },
            89..95 => TableCommand::Rescue { stale: self.wait() },
            _ => TableCommand::Replay { job },
        }
    }

    fn spec(&mut self, id: JobId) -> JobSpec {
        JobSpec {
            id,
            steps: vec![Span::from_millis(5); self.0.below(3) as usize],
            attempts: self.of(&[1, 2, 3]),
            backoff: Backoff::Fixed(Span::ZERO),
            delay: self.wait(),
            timeout: self.of(&[None, Some(HOUR)]),
            failing_attempts: 0,
            hanging_attempts: 0,
            tool: None,
        }
    }
}
