//! Whether the model would have done what the server did.

use std::collections::BTreeMap;

use syncope::protocol::{Command, Reply, StoreError};
use syncope::sim::store::Redis;
use syncope::sim::store::redis::{Key, Value};
use syncope::time::UnixMillis;

use crate::bench::{Answer, Observed};
use crate::sequence::{MEDIUM, Op, Sequence};

/// The modelled store, or one with a mistake in it.
pub trait Model {
    fn execute(&mut self, now: UnixMillis, command: &Command) -> Result<Reply, StoreError>;
    fn delete_keys(&mut self, now: UnixMillis, keys: &[String]) -> u64;
    fn keys(&self, now: UnixMillis) -> BTreeMap<String, Key>;
}

impl Model for Redis {
    fn execute(&mut self, now: UnixMillis, command: &Command) -> Result<Reply, StoreError> {
        Self::execute(self, now, command)
    }

    fn delete_keys(&mut self, now: UnixMillis, keys: &[String]) -> u64 {
        Self::delete_keys(self, now, keys)
    }

    fn keys(&self, now: UnixMillis) -> BTreeMap<String, Key> {
        Self::keys(self, now)
    }
}

#[derive(Debug)]
pub struct Difference {
    /// How many operations had been done.
    pub after: usize,
    pub what: String,
}

/// The first difference, if there is one: a reply, or a key in the end.
pub fn judge(model: &mut impl Model, sequence: &Sequence, observed: &Observed) -> Option<Difference> {
    for (step, (op, (now, real))) in sequence.ops.iter().zip(&observed.answers).enumerate() {
        let modelled = perform(model, op, *now, &observed.prefix);
        if !agree(real, &modelled) {
            let what = format!("{op:?}\n  the server: {real:?}\n  the model:  {modelled:?}");
            return Some(Difference { after: step + 1, what });
        }
    }
    let what = key_difference(&observed.keys, &model.keys(observed.read_at), observed.slack + 1)?;
    Some(Difference { after: sequence.ops.len(), what })
}

/// What a server would do that does exactly what the model does.
pub fn imagine(mut model: Redis, prefix: &str, sequence: &Sequence) -> Observed {
    let mut now = UnixMillis(1_000_000);
    let answers = sequence.ops.iter().map(|op| {
        now.0 += if matches!(op, Op::Pass) { MEDIUM.as_millis() as i64 } else { 5 };
        (now, perform(&mut model, op, now, prefix))
    });
    let answers = answers.collect();
    let read_at = UnixMillis(now.0 + 5);
    Observed { prefix: prefix.into(), answers, keys: model.keys(read_at), read_at, slack: 0 }
}

fn perform(model: &mut impl Model, op: &Op, now: UnixMillis, prefix: &str) -> Answer {
    if let Some(command) = op.command(prefix) {
        return Answer::Replied(model.execute(now, &command));
    }
    match op.deleted(prefix) {
        Some(keys) => Answer::Deleted(model.delete_keys(now, &keys)),
        None => Answer::Passed,
    }
}

/// The words of an error are the server's own; its kind is not.
fn agree(real: &Answer, modelled: &Answer) -> bool {
    match (real, modelled) {
        (Answer::Replied(Err(real)), Answer::Replied(Err(modelled))) => {
            std::mem::discriminant(real) == std::mem::discriminant(modelled)
        }
        _ => real == modelled,
    }
}

/// Times may differ by `slack` ms.
pub fn key_difference(
    real: &BTreeMap<String, Key>,
    modelled: &BTreeMap<String, Key>,
    slack: i64,
) -> Option<String> {
    let names: std::collections::BTreeSet<&String> = real.keys().chain(modelled.keys()).collect();
    names.into_iter().find_map(|name| {
        let (real, modelled) = (real.get(name), modelled.get(name));
        let same = match (real, modelled) {
            (Some(real), Some(modelled)) => same_key(real, modelled, slack),
            _ => false,
        };
        (!same).then(|| format!("in the end, {name}\n  the server: {real:?}\n  the model:  {modelled:?}"))
    })
}

fn same_key(real: &Key, modelled: &Key, slack: i64) -> bool {
    let near = |real: i64, modelled: i64| (real - modelled).abs() <= slack;
    let same_value = match (&real.value, &modelled.value) {
        // Members with nearly equal scores may stand in either order: their scores are what counts.
        (Value::Sorted(real), Value::Sorted(modelled)) => {
            let modelled: BTreeMap<_, _> = modelled.iter().cloned().collect();
            real.len() == modelled.len()
                && real.iter().all(|(id, score)| modelled.get(id).is_some_and(|other| near(*score, *other)))
        }
        (real, modelled) => real == modelled,
    };
    let same_expiry = match (real.until, modelled.until) {
        (Some(real), Some(modelled)) => near(real.0, modelled.0),
        (real, modelled) => real == modelled,
    };
    same_value && same_expiry
}
