//! The keys that hold one text and an expiry: heartbeats and fleet-wide locks.

use serde::Serialize;

use super::lease::Lease;
use crate::protocol::StoreError;
use crate::sim::store::hash::Index;
use crate::time::UnixMillis;

/// All of them, by name. A name once seen keeps its place, so writing it again allocates nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    index: Index<Box<str>, u32>,
    texts: Vec<Text>,
}

#[derive(Debug, Clone)]
pub(super) struct Text {
    pub name: Box<str>,
    pub value: Lease,
    /// `Some`: the key holds a beat, and the lease's text is the name of the worker that wrote it.
    stamp: Option<UnixMillis>,
}

impl Texts {
    pub fn get(&self, now: UnixMillis, name: &str) -> Option<&Text> {
        let text = &self.texts[*self.index.get(name)? as usize];
        text.value.is_there(now).then_some(text)
    }

    pub fn get_mut(&mut self, now: UnixMillis, name: &str) -> Option<&mut Text> {
        let text = &mut self.texts[*self.index.get(name)? as usize];
        text.value.is_there(now).then_some(text)
    }

    pub fn set_beat(&mut self, name: &str, worker: &str, stamp: UnixMillis, until: UnixMillis) {
        let text = self.place(name);
        text.stamp = Some(stamp);
        text.value.set(worker, until);
    }

    pub fn set_lock(&mut self, name: &str, token: &str, until: UnixMillis) {
        let text = self.place(name);
        text.stamp = None;
        text.value.set(token, until);
    }

    /// In the order in which the names were first seen.
    pub fn present(&self, now: UnixMillis) -> impl Iterator<Item = &Text> {
        self.texts.iter().filter(move |text| text.value.is_there(now))
    }

    pub fn purge(&mut self, now: UnixMillis) {
        self.texts.iter_mut().for_each(|text| text.value.purge(now));
    }

    fn place(&mut self, name: &str) -> &mut Text {
        let place = match self.index.get(name) {
            Some(place) => *place as usize,
            None => {
                let place = self.texts.len();
                self.index.insert(name.into(), place as u32);
                self.texts.push(Text { name: name.into(), value: Lease::default(), stamp: None });
                place
            }
        };
        &mut self.texts[place]
    }
}

impl Text {
    /// # Errors
    /// `Rejected` if the key holds a lock's token, which is no beat.
    pub fn stamp(&self) -> Result<UnixMillis, StoreError> {
        self.stamp
            .ok_or_else(|| StoreError::Rejected("the stored value cannot be read: not a beat".to_owned()))
    }

    pub fn is(&self, token: &str) -> bool {
        self.stamp.is_none() && self.value.text() == token
    }

    /// As the server would show it.
    pub fn shown(&self) -> String {
        match self.stamp {
            Some(timestamp) => {
                let beat = Beat { timestamp, worker: self.value.text() };
                // A struct of a number and a text has no way to fail.
                serde_json::to_string(&beat).unwrap_or_default()
            }
            None => self.value.text().to_owned(),
        }
    }
}

#[derive(Serialize)]
struct Beat<'a> {
    timestamp: UnixMillis,
    worker: &'a str,
}
