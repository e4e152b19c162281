//! Questions of the harness's own that wait for an answer, and when they are given up.

use crate::time::{Instant, Span};

/// Questions without an answer at the same time; what is more is reported as unknown, unasked.
pub(super) const ASKS_MAX: usize = 64;

/// Questions that are asked again and again, each given up after the same time. So the oldest ends first,
/// and one event at a time is planned for all of them.
#[derive(Debug)]
pub(super) struct Asks {
    limit: Span,
    asks: Vec<Asked>,
    waiting: usize,
    /// The oldest that may still wait.
    oldest: usize,
    /// An event is planned for the oldest.
    armed: bool,
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    over: bool,
}

impl Asks {
    pub const fn given_up_after(limit: Span) -> Self {
        Self { limit, asks: Vec::new(), waiting: 0, oldest: 0, armed: false }
    }

    pub const fn limit(&self) -> Span {
        self.limit
    }

    pub const fn is_full(&self) -> bool {
        self.waiting >= ASKS_MAX
    }

    /// The number of a question that is asked now.
    pub fn ask(&mut self, now: Instant) -> usize {
        self.asks.push(Asked { at: now, over: false });
        self.waiting += 1;
        self.asks.len() - 1
    }

    /// When it was asked, unless it is over already.
    pub fn end(&mut self, ask: usize) -> Option<Instant> {
        let it = &mut self.asks[ask];
        if std::mem::replace(&mut it.over, true) {
            return None;
        }
        self.waiting -= 1;
        Some(it.at)
    }

    /// When to look for what is to be given up, if nothing is planned for that: it is from here on.
    pub fn arm(&mut self) -> Option<Instant> {
        if self.armed {
            return None;
        }
        let ended = self.asks[self.oldest..].iter().take_while(|ask| ask.over).count();
        self.oldest += ended;
        let oldest = self.asks.get(self.oldest)?;
        self.armed = true;
        Some(oldest.at + self.limit)
    }

    /// The planned event is here: the number of the oldest, if it is to be given up.
    pub fn given_up(&mut self, now: Instant) -> Option<usize> {
        self.armed = false;
        let oldest = self.asks.get(self.oldest)?;
        (!oldest.over && oldest.at + self.limit <= now).then_some(self.oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Span::from_millis(ms)
    }

    #[test]
    fn one_event_at_a_time_serves_them_all() {
        let mut asks = Asks::given_up_after(Span::from_millis(100));
        assert_eq!(asks.arm(), None, "nothing was asked");
        let first = asks.ask(at(0));
        assert_eq!(asks.arm(), Some(at(100)));
        let second = asks.ask(at(10));
        let third = asks.ask(at(20));
        assert_eq!(asks.arm(), None, "it is planned for the first");
        assert_eq!(asks.end(first), Some(at(0)));
        assert_eq!(asks.end(first), None, "only once");
        assert_eq!(asks.given_up(at(100)), None, "it has its answer");
        assert_eq!(asks.arm(), Some(at(110)));
        assert_eq!(asks.given_up(at(110)), Some(second));
        assert_eq!(asks.end(second), Some(at(10)));
        assert_eq!(asks.arm(), Some(at(120)));
        assert_eq!(asks.end(third), Some(at(20)));
        assert_eq!(asks.given_up(at(120)), None);
        assert_eq!(asks.arm(), None);
        assert_eq!(asks.ask(at(130)), 3);
        assert_eq!(asks.arm(), Some(at(230)));
    }

    #[test]
    fn so_many_wait_at_once() {
        let mut asks = Asks::given_up_after(Span::from_secs(1));
        for _ in 0..ASKS_MAX {
            assert!(!asks.is_full());
            asks.ask(at(0));
        }
        assert!(asks.is_full());
        asks.end(5);
        assert!(!asks.is_full());
    }
}
