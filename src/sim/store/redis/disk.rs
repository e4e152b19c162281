//! What is on the server's disk, and so what it has after a crash.

use super::keys::Keyspace;
use crate::scenario::RedisDurability;
use crate::time::UnixMillis;

/// A snapshot is due once more than `seconds` have passed since the last one and there were at least
/// `changes` changes since (`serverCron` in Redis's `server.c`; both ends in whole seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u32,
    pub changes: u64,
}

/// `save 900 1 300 10 60 10000`, as the live servers are told for `rdb`.
pub const SAVE_POINTS: [SavePoint; 3] = [
    SavePoint { seconds: 900, changes: 1 },
    SavePoint { seconds: 300, changes: 10 },
    SavePoint { seconds: 60, changes: 10_000 },
];

/// The file or files, with what decides when they are written.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    durability: RedisDurability,
    save_points: Vec<SavePoint>,
    /// What a crash leaves where that is less than everything: the last snapshot, or, where a loss
    /// of power is expected, the append-only file up to its last fsync.
    image: Keyspace,
    /// When the last snapshot was made, or the server started.
    saved: Option<UnixMillis>,
    /// The keyspace's own count of changes at that time.
    changes_saved: u64,
    /// When the next snapshot is due, if nothing else happens.
    due: Option<UnixMillis>,
    /// The clock's second of the last write, if fsyncs are followed.
    fsyncs: Option<i64>,
}

impl Disk {
    pub fn new(durability: RedisDurability) -> Self {
        Self {
            durability,
            save_points: SAVE_POINTS.to_vec(),
            image: Keyspace::default(),
            saved: None,
            changes_saved: 0,
            due: None,
            fsyncs: None,
        }
    }

    pub fn set_save_points(&mut self, points: &[SavePoint]) {
        self.save_points = points.to_vec();
    }

    pub fn follow_fsyncs(&mut self) {
        self.fsyncs = Some(i64::MIN);
    }

    pub fn unsaved_changes(&self, keys: &Keyspace) -> u64 {
        keys.changes().saturating_sub(self.changes_saved)
    }

    /// Before anything else happens at `now`: what was due until then is written.
    pub fn catch_up(&mut self, now: UnixMillis, keys: &Keyspace) {
        match self.durability {
            RedisDurability::Rdb => {
                self.saved.get_or_insert(now);
                if let Some(due) = self.due.filter(|due| *due <= now) {
                    self.save(due, keys);
                }
            }
            RedisDurability::Aof => {
                let second = now.0.div_euclid(1_000);
                if self.fsyncs.is_some_and(|last| last != second) {
                    self.fsyncs = Some(second);
                    self.image.clone_from(keys);
                }
            }
            RedisDurability::None | RedisDurability::AofAlways => {}
        }
    }

    /// After a command at `now`.
    pub fn written(&mut self, now: UnixMillis, keys: &Keyspace) {
        let (RedisDurability::Rdb, Some(saved)) = (self.durability, self.saved) else { return };
        let changes = self.unsaved_changes(keys);
        let second = saved.0.div_euclid(1_000);
        for point in self.save_points.iter().filter(|point| changes >= point.changes) {
            let passed = UnixMillis((second + i64::from(point.seconds) + 1) * 1_000);
            let due = passed.max(now);
            self.due = Some(self.due.map_or(due, |known| known.min(due)));
        }
    }

    /// The process was killed: what the kernel had been given is there.
    pub fn after_kill(&self, keys: Keyspace) -> Keyspace {
        match self.durability {
            RedisDurability::None => Keyspace::default(),
            RedisDurability::Rdb => self.image.clone(),
            RedisDurability::Aof | RedisDurability::AofAlways => keys,
        }
    }

    /// The host lost its power: what had been synced is there.
    ///
    /// # Panics
    /// For `aof` whose fsyncs were not followed.
    pub fn after_power_loss(&self, keys: Keyspace) -> Keyspace {
        if self.durability == RedisDurability::Aof {
            assert!(self.fsyncs.is_some(), "a loss of power has to be expected: its price is paid before");
            return self.image.clone();
        }
        self.after_kill(keys)
    }

    /// An orderly stop writes a snapshot if the server makes any.
    pub fn after_stop(&mut self, now: UnixMillis, keys: Keyspace) -> Keyspace {
        if self.durability == RedisDurability::Rdb {
            self.save(now, &keys);
        }
        self.after_kill(keys)
    }

    pub fn started(&mut self, now: UnixMillis, keys: &Keyspace) {
        self.saved = Some(now);
        self.changes_saved = keys.changes();
        self.due = None;
        self.fsyncs = self.fsyncs.map(|_| i64::MIN);
    }

    fn save(&mut self, at: UnixMillis, keys: &Keyspace) {
        self.image.clone_from(keys);
        self.started(at, keys);
    }
}
