//! What passes while a gate waits for something else allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use syncope::fault::FaultId;
use syncope::fault::rules::{DOWN, UP};
use syncope::fault::wire::{CommandPattern, Side};
use syncope::names::Store;
use syncope::proxy::tap::gate::Gates;
use syncope::proxy::tap::{Bytes, Tap};
use syncope::time::Span;

use crate::listener::wire;
use crate::{postgres, redis};

#[track_caller]
fn check(store: Store, pattern: CommandPattern, before: &[(usize, Vec<u8>)], repeated: &[(usize, Vec<u8>)]) {
    let mut gates = Gates::default();
    for (number, side) in [Side::Before, Side::After].into_iter().enumerate() {
        gates.add(FaultId(number as u16), &wire(store, pattern.clone(), 1, side), vec![0], vec![0]);
        gates.arm(number as u32, Some(Span::from_secs(1)));
    }
    let mut tap = Tap::new(store);
    let mut pass = |direction: usize, bytes: &[u8]| {
        let flow = tap.take(direction, bytes, &mut gates, 0);
        assert_eq!((flow.bytes, flow.caught, flow.aside), (Bytes::Chunk(bytes.len()), 0, None));
    };
    // The first of each kind makes room for those that follow.
    before.iter().chain(repeated).for_each(|(direction, bytes)| pass(*direction, bytes));
    for (direction, bytes) in repeated {
        let count = ALLOCATIONS.get();
        pass(*direction, bytes);
        assert_eq!(ALLOCATIONS.get() - count, 0, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn commands_that_no_gate_waits_for_allocate_nothing() {
    let ask = |words: &[&str]| (UP, redis::command(words));
    let pattern = CommandPattern { name: Some("EVALSHA".into()), ..CommandPattern::default() };
    let nested = b"*2\r\n*2\r\n:1\r\n+a\r\n%1\r\n+b\r\n_\r\n".to_vec();
    let repeated = [
        ask(&["SET", "key", &"x".repeat(10_000)]),
        (DOWN, b"+OK\r\n".to_vec()),
        ask(&["EVAL", "return 1", "1", "key"]),
        (DOWN, b":1\r\n".to_vec()),
        ask(&["XRANGE", "key", "-", "+"]),
        (DOWN, nested),
    ];
    check(Store::Redis, pattern, &[], &repeated);
}

#[test]
fn statements_that_no_gate_waits_for_allocate_nothing() {
    let talk = postgres::corpus();
    let as_pairs = |number: usize| -> Vec<(usize, Vec<u8>)> {
        talk[number].iter().map(|said| (said.direction, said.bytes.clone())).collect()
    };
    let (login, repeated) = (as_pairs(1)[..2].to_vec(), as_pairs(1)[2..].to_vec());
    let pattern = CommandPattern { name: Some("DELETE".into()), ..CommandPattern::default() };
    check(Store::Postgres, pattern, &login, &repeated);
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
