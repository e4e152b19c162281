//! What a series of runs was made of, and how near it came to the bounds.

use std::collections::BTreeMap;
use std::fmt;

use syncope::check::{Judged, Verdict};

use crate::draft::Draft;

#[derive(Debug, Default)]
pub struct Tally {
    runs: BTreeMap<&'static str, u64>,
    verdicts: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
    mistakes: u64,
    measured: BTreeMap<&'static str, u64>,
    /// Of crashes with no other fault, by system: how far above the lower end and below the upper end
    /// the nearest detections came, in thousandths of that end.
    nearest: BTreeMap<&'static str, (f64, f64)>,
}

impl Tally {
    pub fn add(&mut self, draft: &Draft, judged: &Judged) {
        let system = draft.system.name();
        *self.runs.entry(system).or_default() += 1;
        let verdict = match judged.verdict {
            Verdict::Pass => "pass",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Fail => "fail",
        };
        *self.verdicts.entry(verdict).or_default() += 1;
        for fault in &draft.faults {
            *self.faults.entry(fault.kind.clone()).or_default() += 1;
        }
        self.mistakes += judged.mistakes.count;
        *self.measured.entry("detections").or_default() += judged.samples.detection_ms.len() as u64;
        *self.measured.entry("recoveries").or_default() += judged.samples.recovery_ms.len() as u64;
        if let [fault] = draft.faults.as_slice()
            && fault.kind == "kill"
        {
            self.approach(system, judged);
        }
    }

    fn approach(&mut self, system: &'static str, judged: &Judged) {
        let Some(bound) = judged.model.map(|model| model.detection_ms) else { return };
        let (Some(least), Some(most)) = (bound.min, bound.max) else { return };
        for sample in &judged.samples.detection_ms {
            let nearest = self.nearest.entry(system).or_insert((f64::MAX, f64::MAX));
            if least > 0.0 {
                nearest.0 = nearest.0.min((sample - least).abs() / least * 1_000.0);
            }
            nearest.1 = nearest.1.min((most - sample).abs() / most * 1_000.0);
        }
    }

    pub fn merge(&mut self, other: Self) {
        let sum = |into: &mut BTreeMap<&'static str, u64>, from: BTreeMap<&'static str, u64>| {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        };
        sum(&mut self.runs, other.runs);
        sum(&mut self.verdicts, other.verdicts);
        sum(&mut self.measured, other.measured);
        for (key, count) in other.faults {
            *self.faults.entry(key).or_default() += count;
        }
        self.mistakes += other.mistakes;
        for (key, (least, most)) in other.nearest {
            let nearest = self.nearest.entry(key).or_insert((f64::MAX, f64::MAX));
            *nearest = (nearest.0.min(least), nearest.1.min(most));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, key: &str, count: u64| writeln!(f, "{key:<24} {count:>8}");
        for (key, count) in self.runs.iter().chain(&self.verdicts).chain(&self.measured) {
            row(f, key, *count)?;
        }
        row(f, "mistakes", self.mistakes)?;
        for (key, count) in &self.faults {
            row(f, key, *count)?;
        }
        for (key, (least, most)) in &self.nearest {
            writeln!(
                f,
                "{key}: a kill's detection within {least:.1} ‰ of the lower end, {most:.1} ‰ of the upper"
            )?;
        }
        Ok(())
    }
}
