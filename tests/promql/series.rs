//! Random series, as the storage has them and as promtool reads them.

use std::fmt::Write as _;

use syncope::dist::Random;
use syncope::sim::prometheus::{Labels, Storage};

const SAMPLES: usize = 60;

/// Series whose samples are all taken at the same times, from 0 on.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Between two samples, in ms.
    pub interval: i64,
    /// In the order of their labels.
    series: Vec<(Labels, Vec<Taken>)>,
}

#[derive(Debug, Clone, Copy)]
enum Taken {
    Value(f64),
    Nothing,
    /// The series ends.
    Stale,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Up or down by a few.
    Gauge,
    /// Up by a few, now and then from zero again.
    Counter,
    /// As above, rarely; most samples are missing.
    Sparse,
    /// Up by about the same each time, from any height.
    Steady,
    /// 0 or 1.
    Flag,
    /// A time that is not far behind.
    Stamp,
}

impl Recording {
    pub fn random(random: &mut Random, interval: i64) -> Self {
        let mut series = Vec::new();
        let mut add = |shape, labels: &[(&str, &str)], random: &mut Random| {
            series.push((Labels::new(labels.iter().copied()), samples(shape, random, interval)));
        };
        for queue in ["large", "regular"] {
            for state in ["active", "completed", "failed", "waiting"] {
                let labels =
                    [("__name__", "queue_jobs"), ("process", "exporter"), ("queue", queue), ("state", state)];
                add(Shape::Gauge, &labels, random);
            }
        }
        let restarts = "kube_pod_container_status_restarts_total";
        for (container, pod) in [("exporter", "exporter"), ("worker", "worker-1"), ("worker", "worker-2")] {
            add(Shape::Counter, &[("__name__", restarts), ("container", container), ("pod", pod)], random);
        }
        for pod in ["a", "b", "c"] {
            add(Shape::Steady, &[("__name__", "steady_total"), ("pod", pod)], random);
        }
        add(Shape::Sparse, &[("__name__", "sparse_total")], random);
        add(Shape::Gauge, &[("__name__", "workers_active")], random);
        add(Shape::Gauge, &[("__name__", "workers:heartbeat_age:seconds")], random);
        add(
            Shape::Stamp,
            &[("__name__", "workers_last_heartbeat_timestamp_seconds"), ("job", "fleet")],
            random,
        );
        add(Shape::Flag, &[("__name__", "up"), ("job", "fleet")], random);
        series.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { interval, series }
    }

    pub fn end(&self) -> i64 {
        SAMPLES as i64 * self.interval
    }

    pub fn storage(&self) -> Storage {
        let mut storage = Storage::default();
        for (labels, samples) in &self.series {
            let series = storage.series(labels);
            for (sample, at) in samples.iter().zip((0..).step_by(self.interval as usize)) {
                match sample {
                    Taken::Value(value) => storage.append(series, at, *value),
                    Taken::Nothing => {}
                    Taken::Stale => storage.end(series, at),
                }
            }
        }
        storage
    }

    /// As `input_series` has them.
    pub fn write(&self, out: &mut String) {
        for (labels, samples) in &self.series {
            let words: Vec<String> = samples
                .iter()
                .map(|sample| match sample {
                    Taken::Value(value) => value.to_string(),
                    Taken::Nothing => "_".to_owned(),
                    Taken::Stale => "stale".to_owned(),
                })
                .collect();
            let _ = writeln!(out, "  - {{series: '{}', values: '{}'}}", written(labels), words.join(" "));
        }
    }
}

/// `name{label="value"}`
pub fn written(labels: &Labels) -> String {
    let others: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    format!("{}{{{}}}", labels.get("__name__"), others.join(","))
}

fn samples(shape: Shape, random: &mut Random, interval: i64) -> Vec<Taken> {
    let mut value = random.below(7) as f64;
    let mut taken = Vec::with_capacity(SAMPLES);
    // Its target is away for so many samples more.
    let mut away = 0;
    for index in 0..SAMPLES {
        value = next(shape, value, random, index as f64 * interval as f64 / 1e3);
        let missing = match shape {
            Shape::Sparse => 800_000,
            _ => 40_000,
        };
        taken.push(if away > 0 {
            away -= 1;
            Taken::Nothing
        } else if random.happens_ppm(30_000) {
            away = random.below(8);
            Taken::Stale
        } else if random.happens_ppm(missing) {
            Taken::Nothing
        } else {
            Taken::Value(value)
        });
    }
    taken
}

fn next(shape: Shape, value: f64, random: &mut Random, now: f64) -> f64 {
    let few = random.below(4) as f64;
    match shape {
        Shape::Gauge => (value + few - 1.0 - random.below(2) as f64).clamp(0.0, 9.0),
        Shape::Counter | Shape::Sparse if random.happens_ppm(60_000) => few,
        Shape::Counter | Shape::Sparse if random.happens_ppm(700_000) => value,
        Shape::Counter | Shape::Sparse => value + few,
        Shape::Steady => value + 10.0 + few / 4.0,
        Shape::Flag => f64::from(u8::from(random.happens_ppm(800_000))),
        Shape::Stamp => now - few * 100.0,
    }
}
