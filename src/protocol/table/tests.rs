//! What the machines of a Postgres fleet must hold, told by hand: each answer is chosen by the test.

use super::*;
use crate::names::{JobId, Text};
use crate::protocol::command::StalledReport;
use crate::protocol::{
    Backoff, ClaimedJob, Command, CommandId, FleetEvent, Input, JobSpec, Machine, Output, PLANNED_FAILURE,
    Reply, StoreError, Tool,
};
use crate::time::{Instant, Now, Span, UnixMillis};

struct Bench<M> {
    machine: M,
    now: Instant,
    /// Commands without an answer.
    asked: Vec<(CommandId, Command)>,
    said: Vec<FleetEvent>,
    work: Option<(u32, Span)>,
    exit: Option<bool>,
}

impl<M: Machine> Bench<M> {
    fn new(machine: M) -> Self {
        let now = Instant::ZERO + Span::from_secs(1);
        let mut bench = Self { machine, now, asked: vec![], said: vec![], work: None, exit: None };
        bench.drain();
        bench
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(Now { mono: self.now, wall: UnixMillis(0) }, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Send { id, command } => self.asked.push((id, command)),
                Output::Emit(event) => self.said.push(event),
                Output::Work { slot, lasting, .. } | Output::Run { slot, lasting, .. } => {
                    self.work = Some((slot, lasting));
                }
                Output::CancelWork { .. } => self.work = None,
                Output::Exit { forced } => self.exit = Some(forced),
                Output::Answer { .. } | Output::MeasureMemory => panic!("nobody asked"),
            }
        }
    }

    /// Answers the oldest command of which `which` is true.
    fn answer(&mut self, result: Result<Reply, StoreError>, which: impl Fn(&Command) -> bool) -> Command {
        let place = self.asked.iter().position(|(_, command)| which(command));
        let Some(place) = place else { panic!("not asked; asked was {:?}", self.asked) };
        let (id, command) = self.asked.remove(place);
        self.feed(Input::Reply { id, result });
        command
    }

    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(due) = self.machine.next_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.feed(Input::Timeout);
        }
        self.now = end;
    }

    fn work_ends(&mut self) {
        let (slot, lasting) = self.work.take().expect("work was asked for");
        self.pass(lasting);
        self.feed(Input::WorkDone { slot });
    }

    fn says(&self, event: &FleetEvent) -> bool {
        self.said.contains(event)
    }
}

fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

fn settings(fencing: bool, watch: Watch) -> TableSettings {
    TableSettings {
        concurrency: 1,
        claim_poll: secs(1),
        shutdown_grace: secs(20),
        interval: secs(30),
        patience: secs(4),
        fencing,
        watch,
    }
}

fn sweep() -> SweepSettings {
    SweepSettings { threshold: secs(120), interval: secs(60), may_update: true }
}

fn swept(fencing: bool) -> Bench<TableWorker> {
    worker(&settings(fencing, Watch::Sweeper(sweep())))
}

fn rescued() -> Bench<TableWorker> {
    let rescue = RescueSettings { threshold: secs(600), interval: secs(60) };
    worker(&settings(true, Watch::Workers(rescue)))
}

/// One that is ready to claim.
fn worker(settings: &TableSettings) -> Bench<TableWorker> {
    let mut bench = Bench::new(TableWorker::new(settings, &"worker-1".into(), 7, "0123456789ab"));
    bench.answer(Ok(Reply::Ready(true)), |command| matches!(command, Command::AwaitReady { .. }));
    assert!(!bench.says(&FleetEvent::Ready { pid: 7 }), "not before the table knows of it");
    assert!(!bench.asked.iter().any(|(_, command)| is_claim(command)));
    bench.answer(Ok(Reply::Done), is_beat);
    assert!(bench.says(&FleetEvent::Ready { pid: 7 }));
    bench
}

fn is_beat(command: &Command) -> bool {
    matches!(command, Command::Table(TableCommand::Beat { .. }))
}

fn is_claim(command: &Command) -> bool {
    matches!(command, Command::Table(TableCommand::Claim { .. }))
}

fn is_finish(command: &Command) -> bool {
    matches!(command, Command::Table(TableCommand::Finish { .. }))
}

fn is_failure(command: &Command) -> bool {
    matches!(command, Command::Table(TableCommand::Fail { .. }))
}

fn is_load(command: &Command) -> bool {
    matches!(command, Command::LoadSteps { .. })
}

fn is_save(command: &Command) -> bool {
    matches!(command, Command::SaveStep { .. })
}

fn job(attempt: u32, failing_attempts: u32) -> Result<Reply, StoreError> {
    let spec = JobSpec {
        id: "job-1".into(),
        steps: vec![secs(10)],
        attempts: 2,
        backoff: Backoff::Fixed(secs(5)),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts,
        hanging_attempts: 0,
        tool: None,
    };
    Ok(Reply::Claimed(Some(Box::new(ClaimedJob { spec, attempt, stalls: 0 }))))
}

fn id() -> JobId {
    "job-1".into()
}

/// The id of the bench's worker.
fn me() -> Text {
    "worker-1-01234567".into()
}

fn unavailable<T>() -> Result<T, StoreError> {
    Err(StoreError::Timeout)
}

/// Up to the moment at which the job is to be finished.
fn at_the_end_of_its_work(bench: &mut Bench<TableWorker>) {
    bench.answer(job(1, 0), is_claim);
    bench.answer(Ok(Reply::Steps(vec![])), is_load);
    bench.work_ends();
    bench.answer(Ok(Reply::Saved(true)), is_save);
}

#[test]
fn a_job_is_finished_with_its_effect_in_one_command() {
    let mut bench = swept(false);
    at_the_end_of_its_work(&mut bench);
    let finish = bench.answer(Ok(Reply::Held(true)), is_finish);
    let expected = TableCommand::Finish { job: id(), worker: me(), attempt: 1, fenced: false };
    assert_eq!(finish, Command::Table(expected));
    assert!(
        bench.says(&FleetEvent::EffectDone { job: id() }) && bench.says(&FleetEvent::Completed { job: id() })
    );
    assert!(bench.asked.iter().any(|(_, command)| is_claim(command)), "a free slot does not wait");
}

#[test]
fn a_fenced_completion_that_comes_too_late_has_no_effect() {
    let mut bench = swept(true);
    at_the_end_of_its_work(&mut bench);
    bench.answer(Ok(Reply::Held(false)), is_finish);
    assert!(bench.says(&FleetEvent::LockLost { job: id() }));
    assert!(!bench.says(&FleetEvent::EffectDone { job: id() }));
}

#[test]
fn what_the_database_does_not_answer_is_sent_again() {
    let mut bench = swept(false);
    bench.answer(job(1, 0), is_claim);
    for _ in 0..3 {
        bench.answer(unavailable(), is_load);
        bench.pass(secs(1));
    }
    bench.answer(Ok(Reply::Steps(vec![])), is_load);
    bench.work_ends();
    bench.answer(unavailable(), is_save);
    bench.pass(secs(1));
    bench.answer(Ok(Reply::Saved(false)), is_save);
    bench.answer(unavailable(), is_finish);
    bench.pass(secs(1));
    bench.answer(Ok(Reply::Held(true)), is_finish);
    assert!(bench.says(&FleetEvent::Completed { job: id() }));
    assert!(!bench.asked.iter().any(|(_, command)| is_failure(command)), "no attempt was lost");
}

#[test]
fn a_claim_names_what_is_held_so_that_a_lost_reply_is_made_good() {
    let mut settings = settings(false, Watch::Sweeper(sweep()));
    settings.concurrency = 2;
    let mut bench = worker(&settings);
    bench.answer(job(1, 0), is_claim);
    let claim = bench.answer(Ok(Reply::Claimed(None)), is_claim);
    assert_eq!(claim, Command::Table(TableCommand::Claim { worker: me(), holding: vec![id()] }));
}

#[test]
fn the_last_attempt_ends_as_failed_or_as_a_dead_letter() {
    for (mut bench, last) in [(swept(false), AfterFailure::Failed), (rescued(), AfterFailure::DeadLetter)] {
        for (attempt, expected) in [(1, AfterFailure::Retry(secs(5))), (2, last)] {
            bench.answer(job(attempt, 9), is_claim);
            bench.answer(Ok(Reply::Steps(vec![])), is_load);
            bench.work_ends();
            let error = PLANNED_FAILURE.to_owned();
            let fail = TableCommand::Fail { job: id(), worker: me(), attempt, error, then: expected };
            assert_eq!(bench.answer(Ok(Reply::Held(true)), is_failure), Command::Table(fail));
        }
    }
}

#[test]
fn beats_keep_their_interval_and_one_that_failed_is_not_repeated() {
    let mut bench = swept(false);
    bench.pass(secs(29));
    assert!(!bench.asked.iter().any(|(_, command)| is_beat(command)));
    bench.pass(secs(1));
    bench.answer(unavailable(), is_beat);
    bench.pass(secs(29));
    assert!(!bench.asked.iter().any(|(_, command)| is_beat(command)));
    bench.pass(secs(1));
    bench.answer(Ok(Reply::Done), is_beat);
}

#[test]
fn a_job_whose_own_beat_finds_it_taken_is_dropped_at_once() {
    let mut bench = rescued();
    bench.answer(job(1, 0), is_claim);
    bench.answer(Ok(Reply::Steps(vec![])), is_load);
    bench.now = bench.now + secs(31);
    bench.feed(Input::Timeout);
    let is_own = |command: &Command| matches!(command, Command::Table(TableCommand::BeatJob { .. }));
    bench.answer(Ok(Reply::Held(false)), is_own);
    assert!(bench.says(&FleetEvent::LockLost { job: id() }));
    assert_eq!(bench.work, None, "the work is cancelled");
}

#[test]
fn a_handler_that_never_returns_beats_on_until_its_timeout() {
    let mut bench = rescued();
    let Ok(Reply::Claimed(Some(mut hung))) = job(1, 0) else { panic!("a job") };
    hung.spec.hanging_attempts = 1;
    hung.spec.timeout = Some(secs(100));
    bench.answer(Ok(Reply::Claimed(Some(hung))), is_claim);
    bench.answer(Ok(Reply::Steps(vec![])), is_load);
    assert_eq!(bench.work, None);
    for _ in 0..3 {
        bench.pass(secs(30));
        bench.answer(Ok(Reply::Held(true)), |command| {
            matches!(command, Command::Table(TableCommand::BeatJob { .. }))
        });
    }
    bench.pass(secs(10));
    let Command::Table(TableCommand::Fail { error, .. }) = bench.answer(Ok(Reply::Held(true)), is_failure)
    else {
        panic!("a failure")
    };
    assert_eq!(error, "timed out after 100s");
}

#[test]
fn an_attempt_whose_program_is_missing_fails_at_once_and_the_last_one_is_a_dead_letter() {
    let mut bench = rescued();
    let Ok(Reply::Claimed(Some(mut needy))) = job(2, 0) else { panic!("a job") };
    needy.spec.tool = Some(Tool::Digest);
    bench.answer(Ok(Reply::Claimed(Some(needy))), is_claim);
    bench.answer(Ok(Reply::Steps(vec![])), is_load);
    let (slot, _) = bench.work.take().expect("the program is run");
    bench.feed(Input::WorkFailed { slot, error: Tool::Digest.missing("not found") });
    let Command::Table(TableCommand::Fail { error, then, .. }) =
        bench.answer(Ok(Reply::Held(true)), is_failure)
    else {
        panic!("a failure")
    };
    assert_eq!(
        (error.as_str(), then),
        ("failed to run the program digest: not found", AfterFailure::DeadLetter)
    );
}

#[test]
fn a_worker_looks_for_jobs_to_rescue_at_its_start_and_at_intervals() {
    let mut bench = rescued();
    let is_rescue = |command: &Command| matches!(command, Command::Table(TableCommand::Rescue { .. }));
    let found = StalledReport { ran: true, requeued: vec![id()], failed: vec![] };
    bench.answer(Ok(Reply::StalledCheck(found)), is_rescue);
    let sent = bench.now;
    assert!(bench.says(&FleetEvent::Stalled { requeued: vec![id()], failed: vec![], sent }));
    bench.pass(secs(59));
    assert!(!bench.asked.iter().any(|(_, command)| is_rescue(command)));
    bench.pass(secs(1));
    bench.answer(unavailable(), is_rescue);
    bench.pass(secs(60));
    bench.answer(Ok(Reply::StalledCheck(StalledReport::default())), is_rescue);
}

#[test]
fn past_its_grace_a_worker_gives_its_job_back() {
    let mut bench = swept(false);
    bench.answer(job(1, 0), is_claim);
    bench.answer(Ok(Reply::Steps(vec![])), is_load);
    bench.feed(Input::Shutdown);
    assert!(bench.says(&FleetEvent::ShuttingDown { active: 1 }));
    bench.work = None;
    bench.now = bench.now + secs(20);
    bench.feed(Input::Timeout);
    let release = bench.answer(Ok(Reply::Held(true)), |command| {
        matches!(command, Command::Table(TableCommand::Release { .. }))
    });
    assert_eq!(release, Command::Table(TableCommand::Release { job: id(), worker: me(), attempt: 1 }));
    assert_eq!(bench.exit, Some(true));
}

#[test]
fn an_idle_worker_leaves_at_once() {
    let mut bench = swept(false);
    bench.answer(Ok(Reply::Claimed(None)), is_claim);
    bench.feed(Input::Shutdown);
    assert_eq!(bench.exit, Some(false));
}

#[test]
fn the_sweeper_looks_at_its_start_and_an_interval_after_each_look_has_ended() {
    let mut bench = Bench::new(Sweeper::new(&sweep(), 9));
    bench.answer(Ok(Reply::Ready(false)), |_| true);
    bench.pass(secs(1));
    bench.answer(Ok(Reply::Ready(true)), |_| true);
    assert!(bench.says(&FleetEvent::Ready { pid: 9 }));
    let look = Command::Table(TableCommand::FailJobsOfTheDead { stale: secs(120) });
    let sent = bench.now;
    bench.pass(secs(3));
    let found = StalledReport { ran: true, requeued: vec![], failed: vec![id()] };
    assert_eq!(bench.answer(Ok(Reply::StalledCheck(found)), |_| true), look);
    assert!(bench.says(&FleetEvent::Stalled { requeued: vec![], failed: vec![id()], sent }));
    bench.pass(secs(59));
    assert!(bench.asked.is_empty());
    bench.pass(secs(1));
    let refused = StoreError::Rejected("permission denied".into());
    assert_eq!(bench.answer(Err(refused), |_| true), look);
    bench.pass(secs(60));
    assert_eq!(bench.asked.len(), 1, "it goes on after an error");
    bench.feed(Input::Shutdown);
    assert_eq!(bench.exit, Some(false));
}
