//! The last lines of a run: verdicts, why, and where the reports are.

use owo_colors::OwoColorize;

use crate::check::{Bound, ClaimVerdict, Judged, Quantiles, Simulated, Spread, Verdict};
use crate::report::figures::gap_in_words;
use crate::report::{Paths, Summary, claims, text};

/// Of a line, where the scenarios' names allow it.
const COLUMNS_MAX: usize = 120;
const NAME_MIN: usize = 20;
/// In a table that is longer, what stands above is said again below: a log is often cut to its end.
const ROWS_SHORT: usize = 10;
/// So many are said again.
const AGAIN_MAX: usize = 10;
const HEAD: [&str; 7] = ["wall", "detection", "sim", "bound", "recovery", "sim", "bound"];

/// With colour codes; the stream decides whether they stay.
pub fn render(summary: &Summary, paths: &Paths) -> String {
    let mut out = String::from("\n");
    let rows: Vec<(&Judged, [String; 7])> =
        summary.worst_first().into_iter().map(|judged| (judged, figures(judged))).collect();
    let widths = widths(&rows);
    let taken: usize = 12 + widths.iter().map(|width| width + 2).sum::<usize>() + 2;
    let name_max = COLUMNS_MAX.saturating_sub(taken).clamp(NAME_MIN, 60);
    let names: Vec<String> =
        rows.iter().map(|(judged, _)| cut(&text::clean(&summary.title(judged), 60), name_max)).collect();
    let not_run = summary.not_run.iter().map(|not_run| text::clean(&not_run.name, 60));
    let width = names.iter().cloned().chain(not_run).map(|name| name.chars().count()).max().unwrap_or(0);
    if !rows.is_empty() {
        let head = line(&HEAD.map(str::to_owned), &widths);
        out.push_str(&format!("{:12}  {:width$}{head}\n", "verdict", "scenario"));
    }
    for ((judged, cells), name) in rows.iter().zip(&names) {
        out.push_str(&format!("{}  {name:width$}{}\n", coloured(judged.verdict, 12), line(cells, &widths)));
        if let Some(reason) = judged.reasons.first() {
            out.push_str(&format!("{:14}{}\n", "", text::line(reason)));
        }
        for gap in &judged.gaps {
            let words = gap_in_words(gap);
            out.push_str(&format!("{:14}{}: {words}\n", "", "model-reality gap".yellow()));
        }
    }
    for not_run in &summary.not_run {
        let name = text::clean(&not_run.name, 60);
        out.push_str(&format!(
            "{}  {name:width$}  {}\n",
            "not run     ".yellow(),
            text::line(&not_run.reason)
        ));
        if let Some(hint) = &not_run.hint {
            out.push_str(&format!("{:14}{}\n", "", text::line(hint)));
        }
    }
    for note in &summary.host_notes {
        out.push_str(&format!("{}  {}\n", "host        ".yellow(), text::line(note)));
    }
    out.push_str(&claims_table(summary));
    let interrupted = if summary.interrupted { " (interrupted)" } else { "" };
    out.push_str(&format!("\n{}{interrupted}: {}\n", coloured(summary.verdict, 0), text::sentence(summary)));
    if rows.len() > ROWS_SHORT {
        out.push_str(&worst_again(summary));
    }
    out.push_str(&format!("report: {}\n", paths.html.display()));
    out
}

/// What did not pass, with its reason; empty if all did.
fn worst_again(summary: &Summary) -> String {
    let worst = summary.worst_first().into_iter().take_while(|judged| judged.verdict != Verdict::Pass);
    let mut lines: Vec<String> =
        worst.map(|judged| format!("  {}\n", verdict_line(&summary.title(judged), judged))).collect();
    let more = lines.len().saturating_sub(AGAIN_MAX);
    lines.truncate(AGAIN_MAX);
    if more > 0 {
        lines.push(format!("  and {more} more, at the head of the table\n"));
    }
    lines.concat()
}

/// Each claim that the run bears on, with what was measured below it; empty without any.
fn claims_table(summary: &Summary) -> String {
    let (near, far) = summary.claims_by_bearing();
    if near.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{}\n", text::line(&claims::sentence(&near)));
    let width = near.iter().map(|claim| claim.id.chars().count()).max().unwrap_or(0).min(20);
    for claim in near {
        let word = format!("{:12}", claims::word(claim.verdict));
        let word = match claim.verdict {
            ClaimVerdict::Confirmed => word.green().bold().to_string(),
            ClaimVerdict::Refuted => word.red().bold().to_string(),
            ClaimVerdict::Untested => word.yellow().bold().to_string(),
        };
        let id = text::clean(&claim.id, 20);
        out.push_str(&format!("{word}  {id:width$}  {}\n", text::line(&claim.text)));
        for finding in claims::finding(claim).split("; ") {
            out.push_str(&format!("{:14}{:width$}  {}\n", "", "", text::line(finding)));
        }
        for other in &claim.elsewhere {
            let system = text::clean(&other.system, 64);
            let mut findings = claims::finding_elsewhere(other);
            findings.insert_str(0, &format!("on {system}: "));
            for finding in findings.split("; ") {
                out.push_str(&format!("{:14}{:width$}  {}\n", "", "", text::line(finding)));
            }
        }
    }
    if !far.is_empty() {
        let ids = text::line(&far.join(", "));
        out.push_str(&format!("untested, for nothing in this run bears on them: {ids}\n"));
    }
    out
}

/// Wall time; then measured median (and of how many), simulated median and bound, of both times.
fn figures(judged: &Judged) -> [String; 7] {
    let median = |quantiles: Option<Quantiles>| match quantiles {
        None => "-".to_owned(),
        Some(q) if q.n == 1 => text::millis(q.p50),
        Some(q) => format!("{} ×{}", text::millis(q.p50), q.n),
    };
    let simulated = |pick: fn(&Simulated) -> &Option<Spread>| {
        let spread = judged.sim.as_ref().and_then(|sim| pick(sim).as_ref());
        spread.map_or("-".to_owned(), |spread| text::millis(spread.p50))
    };
    let detection = [median(judged.detection_ms), simulated(|sim| &sim.detection_ms)];
    let recovery = [median(judged.recovery_ms), simulated(|sim| &sim.recovery_ms)];
    // A bound beside nothing says nothing.
    let bound = |name: &str, times: &[String; 2]| {
        let check = judged.checks.iter().find(|check| check.name == name);
        let shown = check.filter(|_| times.iter().any(|time| time != "-"));
        shown.map_or("-".to_owned(), |check| short(check.bound))
    };
    let bounds = [bound("detection_time", &detection), bound("recovery_time", &recovery)];
    let ([detected, detected_sim], [recovered, recovered_sim]) = (detection, recovery);
    let [detection_bound, recovery_bound] = bounds;
    let wall = format!("{:.1} s", judged.wall_s);
    [wall, detected, detected_sim, detection_bound, recovered, recovered_sim, recovery_bound]
}

/// `15..90 s`; the unit once if both ends have it.
fn short(bound: Bound) -> String {
    let ends = [bound.min, bound.max].map(|end| end.filter(|ms| ms.is_finite()).map(text::millis));
    match ends {
        [None, None] => "-".to_owned(),
        [Some(min), None] => format!("≥ {min}"),
        [None, Some(max)] => format!("≤ {max}"),
        [Some(_), Some(max)] if bound.min <= Some(0.0) => format!("≤ {max}"),
        [Some(min), Some(max)] => match (min.split_once(' '), max.split_once(' ')) {
            (Some((number, unit)), Some((_, same))) if unit == same => format!("{number}..{max}"),
            _ => format!("{min}..{max}"),
        },
    }
}

fn widths(rows: &[(&Judged, [String; 7])]) -> [usize; 7] {
    let mut widths = HEAD.map(|head| head.chars().count());
    for (_, cells) in rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    cells.iter().zip(widths).map(|(cell, width)| format!("  {cell:>width$}")).collect()
}

fn cut(name: &str, chars_max: usize) -> String {
    if name.chars().count() <= chars_max {
        return name.to_owned();
    }
    name.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// What is said when a scenario ends.
pub fn verdict_line(scenario: &str, judged: &Judged) -> String {
    let scenario = text::clean(scenario, 100);
    let verdict = coloured(judged.verdict, 0);
    match judged.reasons.first() {
        Some(reason) => format!("{scenario}: {verdict} after {:.1} s: {}", judged.wall_s, text::line(reason)),
        None => format!("{scenario}: {verdict} after {:.1} s", judged.wall_s),
    }
}

fn coloured(verdict: Verdict, width: usize) -> String {
    let word = format!("{:width$}", text::verdict(verdict));
    match verdict {
        Verdict::Pass => word.green().bold().to_string(),
        Verdict::Inconclusive => word.yellow().bold().to_string(),
        Verdict::Fail => word.red().bold().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{NotRun, RunInfo, merge};

    fn paths(dir: &std::path::Path) -> Paths {
        Paths {
            summary: dir.join("summary.json"),
            junit: dir.join("junit.xml"),
            markdown: dir.join("report.md"),
            html: dir.join("report.html"),
        }
    }

    #[test]
    fn the_table_names_what_was_not_run_and_the_report() {
        let run = RunInfo {
            backend: "process".into(),
            not_run: vec![NotRun {
                name: "clock\x1b[2J".into(),
                path: "scenarios/clock.yaml".into(),
                reason: "no libfaketime".into(),
                hint: Some("apt-get install libfaketime".into()),
            }],
            ..RunInfo::default()
        };
        let dir = std::path::Path::new("reports/1");
        let printed = render(&merge(&run, Vec::new()), &paths(dir));
        let plain = anstream::adapter::strip_str(&printed).to_string();
        assert_eq!(
            plain,
            "\nnot run       clock␛[2J  no libfaketime\n              apt-get install libfaketime\n\n\
             inconclusive: 0 scenarios ran on the process backend: 1 could not be run.\n\
             report: reports/1/report.html\n"
        );
    }

    #[test]
    fn what_did_not_pass_is_said_again_below_a_long_table() {
        let example = include_str!("../../../reports/example/summary.json");
        let mut summary: Summary = serde_json::from_str(example).expect("the example is a summary");
        let failed = summary.worst_first()[0].clone();
        assert_eq!(failed.verdict, Verdict::Fail, "the example has one that failed");
        let tail = |summary: &Summary| {
            let printed = render(summary, &paths(std::path::Path::new("reports/1")));
            let plain = anstream::adapter::strip_str(&printed).to_string();
            let last = plain.rsplit_once("\nfail: ").expect("the verdict in a sentence").1;
            last.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(tail(&summary), ["report: reports/1/report.html"]);
        let passed = summary.scenarios.iter().find(|judged| judged.verdict == Verdict::Pass).cloned();
        summary.scenarios.extend(std::iter::repeat_n(passed.expect("one that passed"), 10));
        let name = &failed.name;
        let said = format!("  {name}: fail after {:.1} s: {}", failed.wall_s, failed.reasons[0]);
        assert_eq!(tail(&summary), [said.clone(), "report: reports/1/report.html".to_owned()]);
        summary.scenarios.extend((2..14).map(|repeat| Judged { repeat, ..failed.clone() }));
        let many = tail(&summary);
        assert_eq!(many.len(), AGAIN_MAX + 2);
        assert_eq!(many[AGAIN_MAX], "  and 3 more, at the head of the table");
    }

    #[test]
    fn bounds_are_short_and_names_are_cut_to_what_is_left() {
        for (min, max, text) in [
            (Some(15_000.0), Some(90_000.0), "15..90 s"),
            (Some(900.0), Some(2_000.0), "900 ms..2 s"),
            (Some(0.0), Some(75_000.0), "≤ 75 s"),
            (None, Some(75_000.0), "≤ 75 s"),
            (Some(15_000.0), None, "≥ 15 s"),
            (None, None, "-"),
        ] {
            assert_eq!(short(Bound { min, max }), text);
        }
        let cells = ["19.9 s", "37.2 s ×20", "45.5 s", "15..60.4 s", "43.2 s ×20", "48.1 s", "15.5..116 s"];
        let cells = cells.map(str::to_owned);
        let widths = HEAD.map(|head| head.chars().count());
        let wide: [usize; 7] = std::array::from_fn(|n| widths[n].max(cells[n].chars().count()));
        assert!(14 + 30 + line(&cells, &wide).chars().count() <= COLUMNS_MAX);
        assert_eq!(cut("queue-kill-9-any-phase", 10), "queue-kil…");
        assert_eq!(cut("short", 10), "short");
    }
}
