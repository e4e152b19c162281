//! Series and their samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expression::Selector;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";

/// A sample older than this is not what a metric is now (`--query.lookback-delta`). Wall time; nothing
/// scales it.
const LOOKBACK_MILLIS: i64 = 300_000;

/// The value that ends a series until its next sample: Prometheus's staleness marker, a NaN of its own.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// What tells a series from others, by name; one without a value is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The last of two that have one name counts.
    #[must_use]
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs: BTreeMap<&str, &str> = pairs.into_iter().collect();
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(given.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A label that is not there is the same as an empty one.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| **known == *name).map_or("", |(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Those that are to be kept.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    #[must_use]
    pub fn without_name(&self) -> Self {
        self.only(|name| name != NAME)
    }

    /// With these in the place of those of their names.
    #[must_use]
    pub fn with<'o>(&self, others: impl IntoIterator<Item = (&'o str, &'o str)>) -> Self {
        let mut pairs: BTreeMap<Arc<str>, Arc<str>> = self.0.iter().cloned().collect();
        for (name, value) in others {
            pairs.insert(name.into(), value.into());
        }
        Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub at: i64,
    pub value: f64,
}

/// One series' value now.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub labels: Labels,
    pub value: f64,
}

/// The place of a series in its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesId(u32);

#[derive(Debug)]
pub(super) struct Series {
    pub labels: Labels,
    samples: Vec<Sample>,
}

/// Every sample there ever was.
#[derive(Debug, Default)]
pub struct Storage {
    series: Vec<Series>,
    /// By metric, in the order of their labels.
    metrics: BTreeMap<Box<str>, Vec<SeriesId>>,
}

impl Storage {
    /// The series of these labels, among them the metric's name (`__name__`).
    pub fn series(&mut self, labels: &Labels) -> SeriesId {
        let metric = labels.get(NAME);
        let known = self.metrics.get(metric).map(Vec::as_slice).unwrap_or_default();
        let place = match known.binary_search_by(|id| self.of(*id).labels.cmp(labels)) {
            Ok(place) => return known[place],
            Err(place) => place,
        };
        let id = SeriesId(self.series.len() as u32);
        self.metrics.entry(metric.into()).or_default().insert(place, id);
        self.series.push(Series { labels: labels.clone(), samples: Vec::new() });
        id
    }

    /// A sample that is no newer than the series' last one is dropped, as Prometheus drops it.
    pub fn append(&mut self, series: SeriesId, at: i64, value: f64) {
        let samples = &mut self.series[series.0 as usize].samples;
        if samples.last().is_none_or(|last| last.at < at) {
            samples.push(Sample { at, value });
        }
    }

    /// From then on the series is not there, until its next sample.
    pub fn end(&mut self, series: SeriesId, at: i64) {
        self.append(series, at, STALE);
    }

    fn of(&self, id: SeriesId) -> &Series {
        &self.series[id.0 as usize]
    }

    /// In the order of their labels.
    pub(super) fn select<'s>(&'s self, selector: &'s Selector) -> impl Iterator<Item = &'s Series> {
        let ids = self.metrics.get(&*selector.metric).map(Vec::as_slice).unwrap_or_default();
        let all = ids.iter().map(|id| self.of(*id));
        all.filter(|series| {
            selector.matchers.iter().all(|matcher| matcher.admits(series.labels.get(&matcher.label)))
        })
    }
}

impl Series {
    /// The value now, if the series is there.
    pub fn value_at(&self, at: i64) -> Option<f64> {
        let place = self.samples.partition_point(|sample| sample.at <= at).checked_sub(1)?;
        let Sample { at: taken, value } = self.samples[place];
        (taken >= at - LOOKBACK_MILLIS && !is_stale(value)).then_some(value)
    }

    /// Its samples in that time, both ends included.
    pub fn samples_in(&self, from: i64, to: i64) -> Vec<Sample> {
        let begin = self.samples.partition_point(|sample| sample.at < from);
        let within = self.samples[begin..].iter().take_while(|sample| sample.at <= to);
        within.filter(|sample| !is_stale(sample.value)).copied().collect()
    }
}

const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_there_for_five_minutes_or_until_it_is_ended() {
        let mut storage = Storage::default();
        let id = storage.series(&Labels::new([(NAME, "x"), ("pod", "a")]));
        assert_eq!(storage.series(&Labels::new([("pod", "a"), (NAME, "x")])), id);
        storage.append(id, 1_000, 3.0);
        storage.append(id, 1_000, 4.0);
        let at = |storage: &Storage, at| storage.of(id).value_at(at);
        assert_eq!(at(&storage, 999), None);
        assert_eq!(
            (at(&storage, 1_000), at(&storage, 301_000), at(&storage, 301_001)),
            (Some(3.0), Some(3.0), None)
        );
        storage.end(id, 2_000);
        assert_eq!((at(&storage, 1_999), at(&storage, 2_000)), (Some(3.0), None));
        storage.append(id, 3_000, 5.0);
        assert_eq!(storage.of(id).samples_in(1_000, 3_000).len(), 2);
    }
}
