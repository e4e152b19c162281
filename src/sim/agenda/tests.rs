use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Agenda;
use crate::dist::Random;
use crate::time::{Instant, Span};

/// What an agenda must do, in the plainest way.
#[derive(Default)]
struct Plain {
    now: Instant,
    pushed: u64,
    events: BTreeMap<(Instant, u64), u64>,
}

impl Plain {
    fn push(&mut self, at: Instant, event: u64) {
        self.events.insert((at.max(self.now), self.pushed), event);
        self.pushed += 1;
    }

    fn pop_until(&mut self, limit: Instant) -> Option<(Instant, u64)> {
        let first = self.events.first_entry().filter(|entry| entry.key().0 <= limit)?;
        self.now = first.key().0;
        Some((self.now, first.remove()))
    }
}

/// Both at once; each answer is compared.
#[derive(Default)]
struct Pair {
    agenda: Agenda<u64>,
    plain: Plain,
}

impl Pair {
    fn push(&mut self, at: Instant) {
        let event = self.plain.pushed;
        self.agenda.push(at, event);
        self.plain.push(at, event);
    }

    fn pop_until(&mut self, limit: Instant) -> bool {
        let next = self.plain.events.first_key_value().map(|((at, _), _)| *at);
        assert_eq!(self.agenda.next_at(), next);
        let popped = self.agenda.pop_until(limit);
        assert_eq!(popped, self.plain.pop_until(limit));
        assert_eq!(self.agenda.len(), self.plain.events.len());
        assert_eq!(self.agenda.now(), self.plain.now);
        popped.is_some()
    }

    fn pop(&mut self) -> bool {
        self.pop_until(Instant::FAR_FUTURE)
    }

    fn now(&self) -> Instant {
        self.plain.now
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// So many events, each so far from now, or a little further than the one before.
    Push {
        count: u64,
        ahead: u64,
        apart: u64,
    },
    /// At an instant that may have passed.
    PushAt(u64),
    Pop(usize),
    /// Pop all that is due within so many nanoseconds.
    PopFor(u64),
}

/// Spread evenly over the powers of two.
fn length() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        12 => (0_u32..64, any::<u64>()).prop_map(|(bits, random)| random >> bits),
        1 => Just(u64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let short = prop_oneof![Just(0), Just(1), 0_u64..1_000_000_000];
    let push = (1_u64..60, length(), short);
    prop_oneof![
        4 => push.prop_map(|(count, ahead, apart)| Step::Push { count, ahead, apart }),
        1 => length().prop_map(Step::PushAt),
        4 => (1_usize..120).prop_map(Step::Pop),
        2 => length().prop_map(Step::PopFor),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pushes_and_pops_give_what_a_sorted_map_gives(steps in prop::collection::vec(step(), 1..80)) {
        let mut pair = Pair::default();
        for step in steps {
            match step {
                Step::Push { count, ahead, apart } => {
                    let first = pair.now() + Span::from_nanos(ahead);
                    for index in 0..count {
                        pair.push(first + Span::from_nanos(index.saturating_mul(apart)));
                    }
                }
                Step::PushAt(at) => pair.push(Instant::from_nanos(at)),
                Step::Pop(count) => {
                    (0..count).for_each(|_| { pair.pop(); });
                }
                Step::PopFor(span) => {
                    let limit = pair.now() + Span::from_nanos(span);
                    while pair.pop_until(limit) {}
                }
            }
        }
        while pair.pop() {}
        prop_assert!(pair.agenda.is_empty());
    }

    /// Long enough for the days to change their length, several times and in both directions.
    #[test]
    fn a_load_that_changes_keeps_the_order(
        seed in any::<u64>(),
        phases in prop::collection::vec((1_u64..400, 0_u32..44, 0_u64..6), 1..4),
    ) {
        let mut random = Random::stream(seed, "agenda");
        let mut pair = Pair::default();
        for (events, bits, rounded) in phases {
            // A delay of one of few lengths makes many events of one instant.
            let mut delay = || {
                let delay = random.below(2 << bits);
                Span::from_nanos(if rounded == 0 { delay } else { ((delay * rounded) >> bits) << bits })
            };
            (0..events).for_each(|_| pair.push(pair.now() + delay()));
            for _ in 0..1_500 {
                pair.pop();
                pair.push(pair.now() + delay());
            }
            while pair.agenda.len() as u64 > events / 2 {
                pair.pop();
            }
        }
        while pair.pop() {}
    }
}

#[test]
fn events_of_one_instant_come_out_in_the_order_of_pushing() {
    let mut pair = Pair::default();
    let far = Instant::from_nanos(3_600_000_000_000);
    for _ in 0..500 {
        pair.push(far);
        pair.push(Instant::from_nanos(1_000));
    }
    for _ in 0..700 {
        pair.pop();
        pair.push(pair.now());
        pair.push(far);
    }
    while pair.pop() {}
}

#[test]
fn the_end_of_time_is_an_instant_like_any_other() {
    let mut pair = Pair::default();
    for back in [0, 1, 0, 5, u64::MAX, u64::MAX / 2, 0] {
        pair.push(Instant::from_nanos(u64::MAX - back));
    }
    while pair.pop() {}
    pair.push(Instant::ZERO);
    pair.push(Instant::FAR_FUTURE);
    while pair.pop() {}
    assert_eq!(pair.now(), Instant::FAR_FUTURE);
}

#[test]
fn a_limit_leaves_later_events_where_they_are() {
    let mut agenda = Agenda::new();
    agenda.push(Instant::from_nanos(10), 'b');
    agenda.push(Instant::from_nanos(5), 'a');
    assert_eq!(agenda.pop_until(Instant::from_nanos(5)), Some((Instant::from_nanos(5), 'a')));
    assert_eq!(agenda.pop_until(Instant::from_nanos(9)), None);
    agenda.push(Instant::from_nanos(7), 'c');
    assert_eq!(agenda.pop(), Some((Instant::from_nanos(7), 'c')));
    assert_eq!(agenda.pop(), Some((Instant::from_nanos(10), 'b')));
    assert_eq!(agenda.pop(), None);
}

#[test]
fn time_may_begin_anywhere() {
    let begin = Instant::from_nanos(1_000_000_000_000);
    let mut agenda = Agenda::beginning_at(begin);
    let after = |millis| begin + Span::from_millis(millis);
    for round in 0..300 {
        agenda.push(after(round * 7), round);
        agenda.push(after(round * 7), round + 1_000);
    }
    agenda.push(Instant::ZERO, 9_999);
    assert_eq!(agenda.pop(), Some((begin, 0)));
    assert_eq!(agenda.pop(), Some((begin, 1_000)));
    assert_eq!(agenda.pop(), Some((begin, 9_999)), "what is past happens now");
    for round in 1..300 {
        assert_eq!(agenda.pop(), Some((after(round * 7), round)));
        assert_eq!(agenda.pop(), Some((after(round * 7), round + 1_000)));
    }
    assert!(agenda.is_empty());
}
