//! The three figures in words, for every format.

use crate::check::{Bound, BoundFrom, Gap, Simulated, Spread};
use crate::report::figures::{Cell, Count, Figures, Line, Time};
use crate::report::text::{self, Unit};

/// From so many runs on the rule of three is good; below, the exact bound is taken.
const RULE_OF_THREE_MIN: u64 = 30;

impl Figures<'_> {
    /// What a reader must know before the table.
    #[must_use]
    pub fn intro(&self) -> String {
        let simulated = match self.sim {
            Some(sim) if sim.pipeline_alone => {
                format!(
                    "Simulated: {} crashes in the fleet's liveness pipeline alone, from seed {}; the fleet itself is \
                     not known to the simulator.",
                    sim.runs, sim.first_seed
                )
            }
            Some(sim) => {
                let runs = counted(sim.runs, "run");
                format!("Simulated: {runs} of this scenario in virtual time, from seed {}.", sim.first_seed)
            }
            None => "Not simulated: the simulator was not asked, or cannot run this scenario.".to_owned(),
        };
        if self.live {
            let runs = counted(self.runs as u64, "run");
            return format!("{simulated} Measured: {runs} with real processes.");
        }
        let recorded = match self.runs {
            1 => "The recorded run, whose history this report shows, is".to_owned(),
            runs => format!("The {runs} recorded runs, whose histories this report shows, are"),
        };
        let among = if self.sim.is_some() { " among them" } else { " simulated too" };
        format!("{simulated} {recorded}{among}: nothing was measured on real processes.")
    }

    /// Over the last column.
    #[must_use]
    pub fn measured_head(&self) -> String {
        match (self.live, self.runs) {
            (true, 1) => "measured".to_owned(),
            (true, runs) => format!("measured, {runs} runs"),
            (false, 1) => "recorded run (simulated)".to_owned(),
            (false, runs) => format!("{runs} recorded runs (simulated)"),
        }
    }

    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let times = self.times.iter().map(|time| self.time_line(time));
        let counts = self.counts.iter().map(|count| self.count_line(count));
        times.chain(counts).collect()
    }

    /// What of the simulated runs did not pass, and where the figures must be read with care.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(self.sim.filter(|sim| sim.runs > 0 && !sim.pipeline_alone).map(verdicts));
        if self.live && self.inconclusive > 0 {
            let (of, runs) = (self.inconclusive, counted(self.runs as u64, "measured run"));
            let are = if of == 1 { "is" } else { "are" };
            notes.push(format!(
                "Of {runs} {of} {are} inconclusive: what was measured in them is shown all the same."
            ));
        }
        notes.extend(self.times.iter().filter_map(|time| self.outside(time)));
        notes
    }

    fn time_line(&self, time: &Time<'_>) -> Line {
        let simulated = match (self.sim, time.simulated) {
            (None, _) => Cell::Words("not simulated".to_owned()),
            (Some(sim), None) if sim.pipeline_alone => Cell::Words("not simulated".to_owned()),
            (Some(sim), None) => Cell::Words(format!("none in {}", counted(sim.runs, "run"))),
            (Some(_), Some(spread)) => Cell::Quantiles([spread.p1, spread.p50, spread.p99].map(text::millis)),
        };
        let measured = time.measured.as_ref().map_or("none".to_owned(), spread);
        let bounds = [(BoundFrom::Model, time.model), (BoundFrom::Scenario, time.demanded)];
        let bounds: Vec<_> = bounds.into_iter().filter_map(|(from, bound)| Some((from, bound?))).collect();
        Line { quantity: time.name, bound: bounds_in_words(&bounds, Unit::Millis), simulated, measured }
    }

    fn count_line(&self, count: &Count) -> Line {
        let simulated = match (self.sim.filter(|sim| !sim.pipeline_alone), count.simulated) {
            (Some(sim), Some(with)) => share(with, sim.runs, count.simulated_total),
            _ => "not simulated".to_owned(),
        };
        let measured = match (self.runs as u64, count.rate_per_hour_upper) {
            (1, Some(rate)) => format!("0 (at 95 %, fewer than {rate:.1} an hour)"),
            (1, None) => count.measured_total.clone(),
            (runs, _) if count.measured == 0 => share(0, runs, None),
            (runs, _) => format!("{}: {} in all", share(count.measured, runs, None), count.measured_total),
        };
        Line {
            quantity: count.name,
            bound: bounds_in_words(&count.bounds, Unit::Count),
            simulated: Cell::Words(simulated),
            measured,
        }
    }

    /// A run is judged by the faults as they fell in it; the bound that is shown is that of the
    /// recorded runs.
    fn outside(&self, time: &Time<'_>) -> Option<String> {
        let (bound, simulated, sim) = (time.model?, time.simulated?, self.sim?);
        let above = bound.max.is_some_and(|max| simulated.max > max);
        let below = bound.min.is_some_and(|min| simulated.min < min);
        let failed =
            if sim.failed == 0 { "none of them failed".to_owned() } else { format!("{} failed", sim.failed) };
        (above || below).then(|| {
            format!(
                "The simulated {} reaches from {} to {}, beyond the bound that is shown: that one is of the \
                 recorded {}, and each simulated run was judged by the bound of its own faults ({failed}).",
                time.name,
                text::millis(simulated.min),
                text::millis(simulated.max),
                if self.runs == 1 { "run" } else { "runs" },
            )
        })
    }
}

fn verdicts(sim: &Simulated) -> String {
    if sim.passed == sim.runs {
        return format!("All {} passed.", counted(sim.runs, "simulated run"));
    }
    let mut verdicts = format!("Of {} {} passed", counted(sim.runs, "simulated run"), sim.passed);
    if sim.failed > 0 {
        verdicts.push_str(&format!(", {} failed", sim.failed));
    }
    if sim.inconclusive > 0 {
        verdicts.push_str(&format!(", {} inconclusive", sim.inconclusive));
    }
    let seeds: Vec<String> = sim.other_seeds.iter().map(u64::to_string).collect();
    let more = sim.failed + sim.inconclusive > seeds.len() as u64;
    let and_more = if more { ", …" } else { "" };
    format!("{verdicts}: seeds {}{and_more}.", seeds.join(", "))
}

/// `48 ms beyond all simulated values`.
#[must_use]
pub fn gap_size(gap: &Gap) -> String {
    if gap.beyond_ms > 0.0 {
        format!("{} beyond all simulated values", text::millis(gap.beyond_ms))
    } else if gap.p_value.is_some() {
        "within the simulated range, distributed otherwise".to_owned()
    } else {
        "never happened in the simulation".to_owned()
    }
}

#[must_use]
pub fn p_value(gap: &Gap) -> String {
    match gap.p_value {
        None => "not tested: too few values".to_owned(),
        Some(p) if p < 0.0001 => "p < 0.0001".to_owned(),
        Some(p) => format!("p = {p:.4}"),
    }
}

/// Name, size and p value of a gap, and what it means; cleaned, not escaped.
#[must_use]
pub fn gap_in_words(gap: &Gap) -> String {
    let of = text::check_name(&gap.of);
    format!("{of}: {} ({}). {}", gap_size(gap), p_value(gap), text::line(&gap.note))
}

/// The upper end of the 95 % confidence interval of a rate of which none was seen in `runs`: the rule
/// of three, 3 / n (Hanley and Lippman-Hand, JAMA 1983); of few runs 1 - 0.05^(1/n), which it
/// approximates.
#[must_use]
pub fn rate_upper(runs: u64) -> f64 {
    match runs {
        0 => 1.0,
        n if n < RULE_OF_THREE_MIN => 1.0 - libm::pow(0.05, 1.0 / n as f64),
        n => 3.0 / n as f64,
    }
}

fn share(with: u64, runs: u64, total: Option<u64>) -> String {
    let runs_in_words = counted(runs, "run");
    match (with, total) {
        (0, _) if runs == 0 => "-".to_owned(),
        (0, _) => {
            format!("in none of {runs_in_words} (at 95 %, in fewer than {})", percent(rate_upper(runs)))
        }
        (with, Some(total)) if total > with => format!("in {with} of {runs_in_words}: {total} in all"),
        (with, _) => format!("in {with} of {runs_in_words}"),
    }
}

/// Two significant digits.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals =
        if percent >= 10.0 { 0 } else { (1.0 - libm::log10(percent).floor()).clamp(1.0, 6.0) as usize };
    let text = format!("{percent:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

fn spread(spread: &Spread) -> String {
    match spread.n {
        1 => text::millis(spread.p50),
        n => format!(
            "{} ({} to {}, n = {n})",
            text::millis(spread.p50),
            text::millis(spread.min),
            text::millis(spread.max)
        ),
    }
}

fn bounds_in_words(bounds: &[(BoundFrom, Bound)], unit: Unit) -> String {
    let words = bounds.iter().map(|(from, bound)| match from {
        BoundFrom::Model => format!("{} by the model", text::bound(*bound, unit)),
        BoundFrom::Scenario | BoundFrom::Harness => format!("{} by the scenario", text::bound(*bound, unit)),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".to_owned() } else { words.join("; ") }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_zero_comes_with_its_upper_bound() {
        assert_eq!(share(0, 300, Some(0)), "in none of 300 runs (at 95 %, in fewer than 1 %)");
        assert_eq!(share(0, 200, None), "in none of 200 runs (at 95 %, in fewer than 1.5 %)");
        assert_eq!(share(0, 3, None), "in none of 3 runs (at 95 %, in fewer than 63 %)");
        assert_eq!(share(0, 1_000_000, None), "in none of 1000000 runs (at 95 %, in fewer than 0.0003 %)");
        assert_eq!(share(12, 300, Some(15)), "in 12 of 300 runs: 15 in all");
        assert_eq!(share(1, 1, Some(1)), "in 1 of 1 run");
        assert_eq!(share(0, 0, None), "-");
    }

    #[test]
    fn the_rule_of_three_is_near_the_exact_bound_where_it_is_taken() {
        for runs in [30_u64, 100, 1_000, 1_000_000] {
            let exact = 1.0 - libm::pow(0.05, 1.0 / runs as f64);
            assert!((rate_upper(runs) / exact - 1.0).abs() < 0.06, "{runs}");
        }
        assert!((rate_upper(1) - 0.95).abs() < 1e-12);
    }

    #[test]
    fn a_gap_says_how_large_and_how_sure() {
        let gap = |beyond_ms, p_value| Gap {
            of: "detection_time".into(),
            beyond_ms,
            p_value,
            note: "Measured\nelsewhere.".into(),
        };
        for (gap, words) in [
            (
                gap(48.0, Some(0.000_001)),
                "detection time: 48 ms beyond all simulated values (p < 0.0001). Measured elsewhere.",
            ),
            (
                gap(0.0, Some(0.0042)),
                "detection time: within the simulated range, distributed otherwise (p = 0.0042). Measured elsewhere.",
            ),
            (
                gap(0.0, None),
                "detection time: never happened in the simulation (not tested: too few values). Measured elsewhere.",
            ),
        ] {
            assert_eq!(gap_in_words(&gap), words);
        }
    }
}
