//! All keys of the server: what a command, a fault or a look at the server finds under a name.

use std::collections::{BTreeMap, VecDeque};

use super::queue::{Job, Queue, Slot};
use super::sorted::Sorted;
use super::text::Texts;
use crate::names::JobId;
use crate::time::UnixMillis;

/// A key as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub value: Value,
    /// The last millisecond at which it is there; `None`: it has no expiry.
    pub until: Option<UnixMillis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// From left to right.
    List(Vec<String>),
    /// By score, then by member.
    Sorted(Vec<(String, i64)>),
    /// Ascending.
    Set(Vec<String>),
    /// By field.
    Hash(BTreeMap<String, String>),
}

impl Value {
    /// Every text that it is made of, but scores.
    pub fn parts(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Text(text) => Box::new(std::iter::once(text.as_str())),
            Self::List(items) | Self::Set(items) => Box::new(items.iter().map(String::as_str)),
            Self::Sorted(members) => Box::new(members.iter().map(|(member, _)| member.as_str())),
            Self::Hash(fields) => {
                Box::new(fields.iter().flat_map(|(field, value)| [field.as_str(), value.as_str()]))
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Keyspace {
    pub texts: Texts,
    /// In the order in which they were first named. A fleet has one or two: no index is needed.
    queues: Vec<(Box<str>, Queue)>,
    pub stalls: BTreeMap<JobId, u32>,
    /// Changes to the keys that belong to no queue.
    pub changes: u64,
}

/// What a name stands for, where it stands for something of a queue.
#[derive(Debug, Clone, Copy)]
enum Part {
    Waiting,
    Active,
    Delayed,
    Completed,
    Failed,
    Marked,
    Guard,
    Record(Slot),
    Lock(Slot),
}

impl Keyspace {
    pub fn queue(&mut self, name: &str) -> (&mut Queue, &mut BTreeMap<JobId, u32>) {
        let place = self.queues.iter().position(|(known, _)| **known == *name).unwrap_or_else(|| {
            self.queues.push((name.into(), Queue::default()));
            self.queues.len() - 1
        });
        (&mut self.queues[place].1, &mut self.stalls)
    }

    /// How many jobs of the queue are in which state; none if nobody has named it.
    pub fn counts(&self, name: &str) -> [(&'static str, usize); 5] {
        let queue = self.queues.iter().find(|(known, _)| **known == *name).map(|(_, queue)| queue);
        let count = |count: fn(&Queue) -> usize| queue.map_or(0, count);
        [
            ("waiting", count(|queue| queue.waiting.len())),
            ("active", count(|queue| queue.active.len())),
            ("delayed", count(|queue| queue.delayed.len())),
            ("completed", count(|queue| queue.completed.len())),
            ("failed", count(|queue| queue.failed.len())),
        ]
    }

    /// Changes since the keyspace was empty, as the server counts them for its snapshots.
    pub fn changes(&self) -> u64 {
        self.changes + self.queues.iter().map(|(_, queue)| queue.changes).sum::<u64>()
    }

    /// Whether the key was there.
    pub fn delete(&mut self, now: UnixMillis, prefix: &str, name: &str) -> bool {
        if let Some(text) = self.texts.get_mut(now, name) {
            text.value.delete();
            self.changes += 1;
            return true;
        }
        let existed = self.get(now, prefix, name).is_some();
        if !existed {
            return false;
        }
        self.changes += 1;
        match self.find(prefix, name) {
            Some((queue, part)) => self.queues[queue].1.delete(part),
            None => self.stalls.clear(),
        }
        true
    }

    /// PEXPIRE, where the key holds a text.
    pub fn expire_text(&mut self, now: UnixMillis, prefix: &str, name: &str, until: UnixMillis) -> bool {
        if let Some(text) = self.texts.get_mut(now, name) {
            text.value.extend(until);
            return true;
        }
        let Some((queue, part)) = self.find(prefix, name) else { return false };
        let queue = &mut self.queues[queue].1;
        let lease = match part {
            Part::Guard => &mut queue.guard,
            Part::Lock(slot) => &mut queue.jobs[slot as usize].lock,
            _ => return false,
        };
        if lease.is_there(now) {
            lease.extend(until);
        }
        true
    }

    pub fn get(&self, now: UnixMillis, prefix: &str, name: &str) -> Option<Key> {
        if let Some(text) = self.texts.get(now, name) {
            return Some(Key { value: Value::Text(text.shown()), until: Some(text.value.until()) });
        }
        if name.strip_prefix(prefix) == Some(":stalls") {
            return self.shown_stalls();
        }
        let (queue, part) = self.find(prefix, name)?;
        self.queues[queue].1.get(now, part)
    }

    /// Every key that is there, by name.
    pub fn all(&self, now: UnixMillis, prefix: &str) -> BTreeMap<String, Key> {
        let mut keys = BTreeMap::new();
        for text in self.texts.present(now) {
            let key = Key { value: Value::Text(text.shown()), until: Some(text.value.until()) };
            keys.insert(text.name.to_string(), key);
        }
        keys.extend(self.shown_stalls().map(|key| (format!("{prefix}:stalls"), key)));
        for (name, queue) in &self.queues {
            let shown = queue.parts().filter_map(|part| {
                Some((format!("{prefix}:{name}:{}", queue.name_of(part)), queue.get(now, part)?))
            });
            keys.extend(shown);
        }
        keys
    }

    pub fn purge(&mut self, now: UnixMillis) {
        self.texts.purge(now);
        self.queues.iter_mut().for_each(|(_, queue)| queue.purge(now));
    }

    fn shown_stalls(&self) -> Option<Key> {
        let counts = self.stalls.iter().map(|(job, count)| (job.to_string(), count.to_string()));
        hash(counts.collect())
    }

    fn find(&self, prefix: &str, name: &str) -> Option<(usize, Part)> {
        let rest = name.strip_prefix(prefix)?.strip_prefix(':')?;
        self.queues.iter().enumerate().find_map(|(place, (known, queue))| {
            let part = queue.part(rest.strip_prefix(&**known)?.strip_prefix(':')?)?;
            Some((place, part))
        })
    }
}

impl Queue {
    fn part(&self, name: &str) -> Option<Part> {
        Some(match name {
            "waiting" => Part::Waiting,
            "active" => Part::Active,
            "delayed" => Part::Delayed,
            "completed" => Part::Completed,
            "failed" => Part::Failed,
            "marked" => Part::Marked,
            "stalled-check" => Part::Guard,
            _ => {
                let job = name.strip_prefix("job:")?;
                match job.strip_suffix(":lock") {
                    Some(job) => Part::Lock(self.find(job)?),
                    None => Part::Record(self.find(job)?),
                }
            }
        })
    }

    fn name_of(&self, part: Part) -> String {
        let name = match part {
            Part::Waiting => "waiting",
            Part::Active => "active",
            Part::Delayed => "delayed",
            Part::Completed => "completed",
            Part::Failed => "failed",
            Part::Marked => "marked",
            Part::Guard => "stalled-check",
            Part::Record(slot) => return format!("job:{}", self.job(slot).id),
            Part::Lock(slot) => return format!("job:{}:lock", self.job(slot).id),
        };
        name.to_owned()
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        let fixed = [
            Part::Waiting,
            Part::Active,
            Part::Delayed,
            Part::Completed,
            Part::Failed,
            Part::Marked,
            Part::Guard,
        ];
        let slots = 0..self.jobs.len() as Slot;
        fixed.into_iter().chain(slots.flat_map(|slot| [Part::Record(slot), Part::Lock(slot)]))
    }

    fn get(&self, now: UnixMillis, part: Part) -> Option<Key> {
        match part {
            Part::Waiting => self.shown_list(&self.waiting),
            Part::Active => self.shown_list(&self.active),
            Part::Delayed => shown_sorted(&self.delayed),
            Part::Completed => shown_sorted(&self.completed),
            Part::Failed => shown_sorted(&self.failed),
            Part::Marked => self.has_marked().then(|| {
                let marked = self.jobs.iter().filter(|job| job.marked);
                let mut members: Vec<String> = marked.map(|job| job.id.to_string()).collect();
                members.sort();
                Key { value: Value::Set(members), until: None }
            }),
            Part::Guard => self.guard.shown(now),
            Part::Record(slot) => hash(shown_record(self.job(slot))),
            Part::Lock(slot) => self.job(slot).lock.shown(now),
        }
    }

    fn delete(&mut self, part: Part) {
        match part {
            Part::Waiting => self.waiting.clear(),
            Part::Active => self.active.clear(),
            Part::Delayed => self.delayed.clear(),
            Part::Completed => self.completed.clear(),
            Part::Failed => self.failed.clear(),
            Part::Marked => self.unmark_all(),
            Part::Guard => self.guard.delete(),
            Part::Record(slot) => self.jobs[slot as usize].record = super::queue::Record::default(),
            Part::Lock(slot) => self.jobs[slot as usize].lock.delete(),
        }
    }

    fn job(&self, slot: Slot) -> &Job {
        &self.jobs[slot as usize]
    }

    fn shown_list(&self, list: &VecDeque<Slot>) -> Option<Key> {
        let ids: Vec<String> = list.iter().map(|slot| self.job(*slot).id.to_string()).collect();
        (!ids.is_empty()).then_some(Key { value: Value::List(ids), until: None })
    }
}

fn shown_sorted(set: &Sorted) -> Option<Key> {
    let members: Vec<_> = set.iter().map(|(job, score)| (job.to_string(), score)).collect();
    (!members.is_empty()).then_some(Key { value: Value::Sorted(members), until: None })
}

fn shown_record(job: &Job) -> BTreeMap<String, String> {
    let record = &job.record;
    let mut fields = BTreeMap::new();
    let mut field = |name: &str, value: String| {
        fields.insert(name.to_owned(), value);
    };
    if let Some(spec) = &record.spec {
        // A job's description is plain data, which has no way to fail.
        field("spec", serde_json::to_string(&**spec).unwrap_or_default());
        field("attempts", record.attempts.to_string());
    }
    if record.spec.is_some() || record.stalls > 0 {
        field("stalls", record.stalls.to_string());
    }
    if record.resumed {
        field("resumed", "1".to_owned());
    }
    if let Some(error) = &record.error {
        field("error", error.to_string());
    }
    fields
}

fn hash(fields: BTreeMap<String, String>) -> Option<Key> {
    (!fields.is_empty()).then_some(Key { value: Value::Hash(fields), until: None })
}
