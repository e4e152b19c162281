//! A text with an expiry: the rule that decides when a key is gone.

use super::keys::{Key, Value};
use crate::time::{Span, UnixMillis};

/// The text's buffer is kept when it is gone, so setting it again allocates nothing.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    text: String,
    /// The last millisecond at which the key is there. Redis stores the absolute time and calls a
    /// key gone once `now > when` (`keyIsExpired` in its `db.c`), so a key with PX 1 is there for
    /// between one and two milliseconds.
    until: UnixMillis,
}

/// Before every clock's reading: there is no key.
const GONE: UnixMillis = UnixMillis(i64::MIN);

impl Default for Lease {
    fn default() -> Self {
        Self { text: String::new(), until: GONE }
    }
}

impl Lease {
    pub fn is_there(&self, now: UnixMillis) -> bool {
        now <= self.until
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn until(&self) -> UnixMillis {
        self.until
    }

    pub fn shown(&self, now: UnixMillis) -> Option<Key> {
        let key = Key { value: Value::Text(self.text.clone()), until: Some(self.until) };
        self.is_there(now).then_some(key)
    }

    pub fn set(&mut self, text: &str, until: UnixMillis) {
        self.text.clear();
        self.text.push_str(text);
        self.until = until;
    }

    pub fn extend(&mut self, until: UnixMillis) {
        self.until = until;
    }

    pub fn delete(&mut self) {
        self.until = GONE;
    }

    /// For good: a clock that is set back does not bring it again.
    pub fn purge(&mut self, now: UnixMillis) {
        if !self.is_there(now) {
            self.delete();
        }
    }
}

/// Whole milliseconds, rounded up, and at least one: the live store's rule for an expiry.
pub(super) fn after(now: UnixMillis, ttl: Span) -> UnixMillis {
    UnixMillis(now.0.saturating_add(millis(ttl).max(1)))
}

/// Whole milliseconds, rounded up.
pub(super) fn millis(span: Span) -> i64 {
    // 2⁶⁴ ns are 1.8 · 10¹³ ms, far below the type's end.
    span.as_nanos().div_ceil(1_000_000) as i64
}
