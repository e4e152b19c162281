//! The last lines of a run: verdicts, why, and where the reports are.

use owo_colors::OwoColorize;

use crate::check::{Judged, Verdict};
use crate::report::{Paths, Summary, text};

/// With colour codes; the stream decides whether they stay.
pub fn render(summary: &Summary, paths: &Paths) -> String {
    let mut out = String::from("\n");
    let names: Vec<String> =
        summary.worst_first().iter().map(|judged| text::clean(&summary.title(judged), 60)).collect();
    let not_run = summary.not_run.iter().map(|not_run| text::clean(&not_run.name, 60));
    let width = names.iter().cloned().chain(not_run).map(|name| name.chars().count()).max().unwrap_or(0);
    for (judged, name) in summary.worst_first().into_iter().zip(&names) {
        out.push_str(&format!(
            "{}  {name:width$}  {:>6.1} s  detection {}  recovery {}\n",
            coloured(judged.verdict, 12),
            judged.wall_s,
            text::quantiles(judged.detection_ms.as_ref()),
            text::quantiles(judged.recovery_ms.as_ref()),
        ));
        if let Some(reason) = judged.reasons.first() {
            out.push_str(&format!("{:14}{}\n", "", text::line(reason)));
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
    let interrupted = if summary.interrupted { " (interrupted)" } else { "" };
    out.push_str(&format!(
        "\n{}{interrupted}: {}\nreport: {}\n",
        coloured(summary.verdict, 0),
        text::sentence(summary),
        paths.html.display()
    ));
    out
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
        let paths = Paths {
            summary: dir.join("summary.json"),
            junit: dir.join("junit.xml"),
            markdown: dir.join("report.md"),
            html: dir.join("report.html"),
        };
        let printed = render(&merge(&run, Vec::new()), &paths);
        let plain = anstream::adapter::strip_str(&printed).to_string();
        assert_eq!(
            plain,
            "\nnot run       clock␛[2J  no libfaketime\n              apt-get install libfaketime\n\n\
             inconclusive: 0 scenarios ran on the process backend: 1 could not be run.\n\
             report: reports/1/report.html\n"
        );
    }
}
