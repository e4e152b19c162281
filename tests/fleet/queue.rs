//! What each script does to the queue, on a real Redis.

use redis::{Commands, Connection};
use syncope::live::store::redis::STALLED_TOO_OFTEN;
use syncope::live::store::{Limits, RedisStore};
use syncope::names::{JobId, Store, Text};
use syncope::protocol::command::StalledReport;
use syncope::protocol::{Backoff, ClaimedJob, Command, JobSpec, Reply, StoreError};
use syncope::time::{Span, UnixMillis};

use crate::servers::RedisServer;

const HOUR: Span = Span::from_secs(3_600);

#[tokio::test]
async fn jobs_are_claimed_in_the_order_of_their_enqueue() {
    let mut queue = Queue::new().await;
    for id in ["a", "b", "c"] {
        assert!(queue.enqueue(job(id)).await);
    }
    assert_eq!(queue.claim("w1").await, Some(claimed("a", 1, 0)));
    assert_eq!(queue.claim("w2").await, Some(claimed("b", 1, 0)));
    assert_eq!(queue.claim("w1").await, Some(claimed("c", 1, 0)));
    assert_eq!(queue.claim("w1").await, None);
    assert_eq!(queue.list("active"), ["c", "b", "a"]);
    assert!(queue.lock_left("a") > 3_590_000);
}

#[tokio::test]
async fn an_id_that_exists_is_not_enqueued_again() {
    let queue = Queue::new().await;
    assert!(queue.enqueue(job("a")).await);
    let other = JobSpec { attempts: 9, ..job("a") };
    assert!(!queue.enqueue(other.clone()).await);
    assert_eq!(queue.claim("w").await, Some(claimed("a", 1, 0)));
    assert!(queue.complete("a", "w").await);
    assert!(!queue.enqueue(other).await, "a completed job is remembered");
    assert_eq!(queue.claim("w").await, None);
}

#[tokio::test]
async fn a_delayed_job_is_claimed_when_it_is_due() {
    let mut queue = Queue::new().await;
    queue.enqueue(JobSpec { delay: HOUR, ..job("later") }).await;
    queue.enqueue(job("now")).await;
    assert_eq!(queue.claim("w").await, Some(claimed("now", 1, 0)));
    assert_eq!(queue.claim("w").await, None);
    queue.make_due("later");
    let claimed = queue.claim("w").await.expect("the delayed job");
    assert_eq!(claimed.spec.id.as_str(), "later");
    assert_eq!(queue.scores("delayed"), Vec::<String>::new());
}

#[tokio::test]
async fn only_the_token_of_the_lock_moves_a_job() {
    let mut queue = Queue::new().await;
    queue.enqueue(job("a")).await;
    queue.claim("mine").await;
    let other = "other";
    assert!(!queue.complete("a", other).await);
    assert!(!queue.fail("a", other, None).await);
    assert!(!queue.release("a", other).await);
    assert!(!queue.extend("a", other, HOUR).await);
    assert_eq!(queue.list("active"), ["a"]);
    assert!(queue.complete("a", "mine").await);
    assert_eq!(queue.list("active"), Vec::<String>::new());
    assert_eq!(queue.scores("completed"), ["a"]);
    assert_eq!(queue.lock_left("a"), -2, "its lock is gone");
    assert!(!queue.complete("a", "mine").await, "a second completion holds nothing");
}

#[tokio::test]
async fn extending_a_lock_moves_its_expiry_and_unmarks_the_job() {
    let mut queue = Queue::new().await;
    queue.enqueue(job("a")).await;
    queue.claim("w").await;
    queue.check_stalled(1).await;
    assert_eq!(queue.marked(), ["a"]);
    assert!(queue.extend("a", "w", Span::from_secs(7_200)).await);
    assert!(queue.lock_left("a") > 7_190_000);
    assert_eq!(queue.marked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_failed_attempt_is_retried_after_its_backoff_and_counts() {
    let mut queue = Queue::new().await;
    queue.enqueue(job("a")).await;
    queue.claim("w").await;
    assert!(queue.fail("a", "w", Some(HOUR)).await);
    assert_eq!(queue.claim("w").await, None);
    queue.make_due("a");
    assert_eq!(queue.claim("w").await, Some(claimed("a", 2, 0)));
    assert!(queue.fail("a", "w", Some(Span::ZERO)).await);
    assert_eq!(queue.claim("w").await, Some(claimed("a", 3, 0)));
}

#[tokio::test]
async fn a_job_that_failed_for_good_keeps_its_error_for_a_while() {
    let mut queue = Queue::new().await;
    for id in ["old", "new"] {
        queue.enqueue(job(id)).await;
        queue.claim("w").await;
        if id == "new" {
            queue.age_failed("old");
        }
        assert!(queue.fail(id, "w", None).await);
    }
    assert_eq!(queue.scores("failed"), ["new"], "the old one was trimmed");
    assert_eq!(queue.field("new", "error").as_deref(), Some("no luck"));
    assert_eq!(queue.field("old", "error"), None);
    assert_eq!(queue.claim("w").await, None);
}

#[tokio::test]
async fn a_released_job_is_next_and_costs_no_attempt() {
    let queue = Queue::new().await;
    queue.enqueue(job("a")).await;
    queue.enqueue(job("b")).await;
    queue.claim("w").await;
    assert!(queue.release("a", "w").await);
    assert_eq!(queue.claim("v").await, Some(claimed("a", 1, 0)));
    assert!(queue.fail("a", "v", Some(Span::ZERO)).await);
    queue.claim("v").await;
    assert_eq!(queue.claim("v").await, Some(claimed("a", 2, 0)), "a later retry counts again");
}

#[tokio::test]
async fn a_job_without_a_lock_is_found_by_the_second_check() {
    let mut queue = Queue::new().await;
    for id in ["a", "b", "c", "waiting"] {
        queue.enqueue(job(id)).await;
    }
    for _ in 0..3 {
        queue.claim("w").await;
    }
    queue.lose_lock("a");
    queue.lose_lock("b");
    assert_eq!(queue.check_stalled(1).await, found(&[], &[]), "the first check only marks");
    assert_eq!(queue.check_stalled(1).await, found(&["a", "b"], &[]));
    assert_eq!(queue.list("active"), ["c"]);
    assert_eq!(queue.claim("v").await, Some(claimed("a", 1, 1)), "the oldest is next, at its old attempt");
    assert_eq!(queue.claim("v").await, Some(claimed("b", 1, 1)));
    assert_eq!(queue.claim("v").await, Some(claimed("waiting", 1, 0)));
    assert_eq!(queue.stalls(), [("a".into(), 1), ("b".into(), 1)]);
}

#[tokio::test]
async fn a_job_that_stalls_too_often_fails() {
    let mut queue = Queue::new().await;
    queue.enqueue(job("a")).await;
    for expected in [found(&["a"], &[]), found(&[], &["a"])] {
        queue.claim("w").await;
        queue.lose_lock("a");
        queue.check_stalled(1).await;
        assert_eq!(queue.check_stalled(1).await, expected);
    }
    assert_eq!(queue.claim("w").await, None);
    assert_eq!(queue.scores("failed"), ["a"]);
    assert_eq!(queue.field("a", "error").as_deref(), Some(STALLED_TOO_OFTEN));
    assert_eq!(queue.stalls(), [("a".into(), 2)]);
}

#[tokio::test]
async fn one_stalled_check_at_a_time() {
    let mut queue = Queue::new().await;
    let check = |guard| Command::CheckStalled { queue: "regular".into(), guard, max_stalls: 1 };
    let ran = Reply::StalledCheck(StalledReport { ran: true, ..StalledReport::default() });
    let idle = Reply::StalledCheck(StalledReport::default());
    assert_eq!(queue.run(check(HOUR)).await, ran);
    assert_eq!(queue.run(check(HOUR)).await, idle);
    queue.drop_guard();
    assert_eq!(queue.run(check(HOUR)).await, ran);
}

#[tokio::test]
async fn a_job_that_the_server_evicted_is_passed_over() {
    let mut queue = Queue::new().await;
    queue.enqueue(job("gone")).await;
    queue.enqueue(job("here")).await;
    let _: () = queue.raw.del("app:test:regular:job:gone").expect("DEL");
    assert_eq!(queue.claim("w").await, Some(claimed("here", 1, 0)));
    assert_eq!(queue.list("active"), ["here"]);
}

#[tokio::test]
async fn a_beat_is_read_as_it_was_written_until_it_expires() {
    let mut queue = Queue::new().await;
    let key = "app:test:workers:heartbeat".to_owned();
    assert_eq!(queue.run(Command::ReadBeat { key: key.as_str().into() }).await, Reply::Beat(None));
    let stamp = UnixMillis(1_234_567_890_123);
    let beat = Command::WriteBeat { key: key.as_str().into(), worker: "worker-1".into(), stamp, ttl: HOUR };
    assert_eq!(queue.run(beat).await, Reply::Done);
    assert_eq!(queue.run(Command::ReadBeat { key: key.as_str().into() }).await, Reply::Beat(Some(stamp)));
    let left: i64 = queue.raw.pttl(&key).expect("PTTL");
    assert!((3_590_000..=3_600_000).contains(&left), "{left}");
    let _: () = queue.raw.set(&key, "rubbish").expect("SET");
    let unreadable = queue.store.execute(&Command::ReadBeat { key: key.as_str().into() }).await;
    assert!(matches!(unreadable, Err(StoreError::Rejected(_))), "{unreadable:?}");
}

#[tokio::test]
async fn a_lock_is_its_tokens_until_it_is_released() {
    let mut queue = Queue::new().await;
    let key = "app:test:workers:global";
    let acquire = |token: &str| Command::AcquireLock { key: key.into(), token: token.into(), ttl: HOUR };
    let renew = |token: &str, ttl: Span| Command::RenewLock { key: key.into(), token: token.into(), ttl };
    let release = |token: &str| Command::ReleaseLock { key: key.into(), token: token.into() };
    assert_eq!(queue.run(renew("a", HOUR)).await, Reply::Held(false), "nothing to renew");
    assert_eq!(queue.run(acquire("a")).await, Reply::Held(true));
    assert_eq!(queue.run(acquire("b")).await, Reply::Held(false));
    assert_eq!(queue.run(acquire("a")).await, Reply::Held(true), "asking again keeps it");
    assert_eq!(queue.run(renew("b", HOUR)).await, Reply::Held(false));
    assert_eq!(queue.run(renew("a", Span::from_secs(7_200))).await, Reply::Held(true));
    let left: i64 = queue.raw.pttl(key).expect("PTTL");
    assert!(left > 7_190_000, "{left}");
    assert_eq!(queue.run(release("b")).await, Reply::Held(false));
    assert_eq!(queue.run(acquire("b")).await, Reply::Held(false), "another's release does nothing");
    assert_eq!(queue.run(release("a")).await, Reply::Held(false));
    assert_eq!(queue.run(acquire("b")).await, Reply::Held(true));
}

/// A queue on a server of its own.
struct Queue {
    store: RedisStore,
    raw: Connection,
    _server: RedisServer,
}

impl Queue {
    async fn new() -> Self {
        let server = RedisServer::start();
        let store =
            RedisStore::connect(&server.url(), "app:test", HOUR, Limits::default()).expect("an address");
        let raw = server.client();
        let queue = Self { store, raw, _server: server };
        let ready = Command::AwaitReady { store: Store::Redis, within: Span::from_secs(10) };
        assert_eq!(queue.run(ready).await, Reply::Ready(true));
        queue
    }

    async fn run(&self, command: Command) -> Reply {
        self.store.execute(&command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    async fn held(&self, command: Command) -> bool {
        matches!(self.run(command).await, Reply::Held(true))
    }

    async fn enqueue(&self, job: JobSpec) -> bool {
        matches!(self.run(Command::Enqueue { queue: regular(), job }).await, Reply::Enqueued(true))
    }

    async fn claim(&self, token: &str) -> Option<ClaimedJob> {
        match self.run(Command::Claim { queue: regular(), token: token.into(), lock: HOUR }).await {
            Reply::Claimed(job) => job.map(|job| *job),
            other => panic!("{other:?}"),
        }
    }

    async fn complete(&self, job: &str, token: &str) -> bool {
        self.held(Command::Complete { queue: regular(), job: job.into(), token: token.into() }).await
    }

    async fn fail(&self, job: &str, token: &str, retry_in: Option<Span>) -> bool {
        let (job, token, error) = (job.into(), token.into(), "no luck".into());
        self.held(Command::Fail { queue: regular(), job, token, error, retry_in }).await
    }

    async fn release(&self, job: &str, token: &str) -> bool {
        self.held(Command::Release { queue: regular(), job: job.into(), token: token.into() }).await
    }

    async fn extend(&self, job: &str, token: &str, lock: Span) -> bool {
        let (job, token) = (job.into(), token.into());
        self.held(Command::ExtendLock { queue: regular(), job, token, lock }).await
    }

    /// As if the guard of the check before had expired.
    async fn check_stalled(&mut self, max_stalls: u32) -> StalledReport {
        self.drop_guard();
        match self.run(Command::CheckStalled { queue: regular(), guard: HOUR, max_stalls }).await {
            Reply::StalledCheck(report) => report,
            other => panic!("{other:?}"),
        }
    }

    fn drop_guard(&mut self) {
        let () = self.raw.del("app:test:regular:stalled-check").expect("DEL");
    }

    /// As if it had expired.
    fn lose_lock(&mut self, job: &str) {
        let () = self.raw.del(format!("app:test:regular:job:{job}:lock")).expect("DEL");
    }

    fn lock_left(&mut self, job: &str) -> i64 {
        self.raw.pttl(format!("app:test:regular:job:{job}:lock")).expect("PTTL")
    }

    /// As if its delay had passed.
    fn make_due(&mut self, job: &str) {
        let rescored: i64 = redis::cmd("ZADD")
            .arg(("app:test:regular:delayed", "XX", "CH", 1, job))
            .query(&mut self.raw)
            .expect("ZADD");
        assert_eq!(rescored, 1, "{job} is not delayed");
    }

    /// As if it had failed long ago.
    fn age_failed(&mut self, job: &str) {
        let () = self.raw.zadd("app:test:regular:failed", job, 1).expect("ZADD");
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        self.raw.lrange(format!("app:test:regular:{key}"), 0, -1).expect("LRANGE")
    }

    fn scores(&mut self, key: &str) -> Vec<String> {
        self.raw.zrange(format!("app:test:regular:{key}"), 0, -1).expect("ZRANGE")
    }

    fn marked(&mut self) -> Vec<String> {
        self.raw.smembers("app:test:regular:marked").expect("SMEMBERS")
    }

    fn field(&mut self, job: &str, field: &str) -> Option<String> {
        self.raw.hget(format!("app:test:regular:job:{job}"), field).expect("HGET")
    }

    fn stalls(&mut self) -> Vec<(String, u32)> {
        let mut stalls: Vec<_> = self.raw.hgetall("app:test:stalls").expect("HGETALL");
        stalls.sort();
        stalls
    }
}

fn regular() -> Text {
    "regular".into()
}

fn job(id: &str) -> JobSpec {
    JobSpec {
        id: JobId::new(id),
        steps: vec![Span::from_millis(1); 3],
        attempts: 3,
        backoff: Backoff::Exponential(Span::from_secs(1)),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts: 0,
        hanging_attempts: 0,
        tool: None,
    }
}

fn claimed(id: &str, attempt: u32, stalls: u32) -> ClaimedJob {
    ClaimedJob { spec: job(id), attempt, stalls }
}

fn found(requeued: &[&str], failed: &[&str]) -> StalledReport {
    let ids = |ids: &[&str]| ids.iter().map(|id| JobId::new(id)).collect();
    StalledReport { ran: true, requeued: ids(requeued), failed: ids(failed) }
}
