//! The commands of the simulator's inner loop allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use syncope::names::{JobId, Text};
use syncope::protocol::{Backoff, Command, JobSpec, Reply};
use syncope::scenario::RedisDurability;
use syncope::sim::store::Redis;
use syncope::time::{Span, UnixMillis};

const HOUR: Span = Span::from_secs(3_600);

#[test]
fn repeated_commands_on_the_modelled_redis_store_allocate_nothing() {
    let text = |text: &str| Text::new(text);
    let (queue, token, key) = (|| text("regular"), || text("t1"), || text("app:beat"));
    let job = JobSpec {
        id: JobId::new("job-1"),
        steps: Vec::new(),
        attempts: 1,
        backoff: Backoff::Fixed(Span::ZERO),
        delay: Span::ZERO,
        timeout: None,
        failing_attempts: 0,
        hanging_attempts: 0,
        tool: None,
    };
    let id = || JobId::new("job-1");
    let before = [
        Command::Enqueue { queue: queue(), job },
        Command::Claim { queue: queue(), token: token(), lock: HOUR },
        Command::CheckStalled { queue: queue(), guard: HOUR, max_stalls: 1 },
        Command::AcquireLock { key: "app:lock".into(), token: token(), ttl: HOUR },
    ];
    let repeated = [
        Command::WriteBeat { key: key(), worker: "w1".into(), stamp: UnixMillis(1), ttl: HOUR },
        Command::ReadBeat { key: key() },
        Command::ReadBeat { key: "app:missing".into() },
        Command::RenewLock { key: "app:lock".into(), token: token(), ttl: HOUR },
        Command::AcquireLock { key: "app:lock".into(), token: "t2".into(), ttl: HOUR },
        Command::ExtendLock { queue: queue(), job: id(), token: token(), lock: HOUR },
        Command::ExtendLock { queue: queue(), job: id(), token: "t2".into(), lock: HOUR },
        Command::Claim { queue: queue(), token: token(), lock: HOUR },
        Command::CheckStalled { queue: queue(), guard: HOUR, max_stalls: 1 },
    ];
    for durability in [RedisDurability::None, RedisDurability::Rdb, RedisDurability::Aof] {
        let mut redis = Redis::new("app", HOUR, durability);
        let mut run = |command: &Command| {
            let reply = redis.execute(UnixMillis(1_000_000), command);
            assert!(reply.is_ok_and(|reply| reply != Reply::Ready(false)), "{command:?}");
        };
        before.iter().chain(&repeated).for_each(&mut run);
        for command in &repeated {
            let count = ALLOCATIONS.get();
            run(command);
            assert_eq!(ALLOCATIONS.get() - count, 0, "{command:?} with {durability:?}");
        }
    }
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; a counter without a destructor is all that
// is touched beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
