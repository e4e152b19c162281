//! `report.md`, fit for a CI job's summary page: verdicts first, failures on top.

use std::fmt::Write;

use crate::check::{ClaimVerdict, Judged, Verdict};
use crate::report::figures::{self, Cell, Figures};
use crate::report::{Summary, claims, text};

#[must_use]
pub fn render(summary: &Summary) -> Vec<u8> {
    let mut out = format!("# Syncope: {}\n\n", symbol_and_word(summary.verdict));
    if summary.interrupted {
        push(&mut out, format_args!("> **Interrupted.** {}\n\n", text::INTERRUPTED));
    }
    push(&mut out, format_args!("{}\n\n", escape(&text::sentence(summary))));
    for note in &summary.host_notes {
        push(&mut out, format_args!("> {}\n\n", escape(&text::line(note))));
    }
    verdict_table(&mut out, summary);
    findings(&mut out, summary);
    claims_table(&mut out, summary);
    not_run_table(&mut out, summary);
    for judged in summary.worst_first() {
        scenario(&mut out, summary, judged);
    }
    footer(&mut out, summary);
    out.into_bytes()
}

fn verdict_table(out: &mut String, summary: &Summary) {
    if summary.scenarios.is_empty() {
        return;
    }
    out.push_str(
        "| Verdict | Scenario | What was broken | Detection | Recovery | Lost | Duplicated | Wall |\n",
    );
    out.push_str("|---|---|---|---|---|---:|---:|---:|\n");
    for judged in summary.worst_first() {
        push(
            out,
            format_args!(
                "| {} | {} | {} | {} | {} | {} | {} | {:.1} s |\n",
                symbol_and_word(judged.verdict),
                escape(&text::line(&summary.title(judged))),
                escape(&text::broken(judged)),
                text::quantiles(judged.detection_ms.as_ref()),
                text::quantiles(judged.recovery_ms.as_ref()),
                judged.jobs.lost,
                judged.jobs.duplicated,
                judged.wall_s,
            ),
        );
    }
    out.push('\n');
}

fn findings(out: &mut String, summary: &Summary) {
    let mut found = summary.worst_first().into_iter().filter(|judged| !judged.gaps.is_empty()).peekable();
    if found.peek().is_none() {
        return;
    }
    out.push_str("## Findings\n\n");
    for judged in found {
        let title = escape(&text::line(&summary.title(judged)));
        for gap in &judged.gaps {
            let words = escape(&figures::gap_in_words(gap));
            push(out, format_args!("- **model-reality gap** in {title}, {words}\n"));
        }
    }
    out.push('\n');
}

fn claims_table(out: &mut String, summary: &Summary) {
    let (near, far) = summary.claims_by_bearing();
    if near.is_empty() {
        return;
    }
    push(out, format_args!("## Claims\n\n{}.\n\n", escape(&claims::sentence(&near))));
    let systems = claims::systems(&near);
    out.push_str("| Verdict | Claim | What it says | Measured |");
    for system in &systems {
        push(out, format_args!(" On {} |", escape(&text::clean(system, 64))));
    }
    push(out, format_args!(" Scenarios |\n|---|---|---|---|{}---|\n", "---|".repeat(systems.len())));
    for claim in near {
        let scenarios: Vec<String> =
            claim.scenarios.iter().map(|name| scenario_link(summary, name)).collect();
        push(
            out,
            format_args!(
                "| {} | {} | {} | {} |",
                claim_symbol(claim.verdict),
                escape(&text::clean(&claim.id, 64)),
                escape(&text::line(&claim.text)),
                escape(&text::clean(&claims::finding(claim), CLAIM_CHARS_MAX)),
            ),
        );
        for system in &systems {
            let other = claim.elsewhere.iter().find(|other| other.system == *system);
            let found = other.map_or_else(String::new, claims::finding_elsewhere);
            push(out, format_args!(" {} |", escape(&text::clean(&found, CLAIM_CHARS_MAX))));
        }
        push(out, format_args!(" {} |\n", scenarios.join(", ")));
    }
    out.push('\n');
    if !far.is_empty() {
        let ids = escape(&text::line(&far.join(", ")));
        push(out, format_args!("Untested, for nothing in this run bears on them: {ids}.\n\n"));
    }
}

/// All conditions of a claim with their figures.
const CLAIM_CHARS_MAX: usize = 1_500;

fn claim_symbol(verdict: ClaimVerdict) -> &'static str {
    match verdict {
        ClaimVerdict::Confirmed => "✅ confirmed",
        ClaimVerdict::Refuted => "❌ refuted",
        ClaimVerdict::Untested => "⚪ untested",
    }
}

/// To the scenario's section, if it ran.
fn scenario_link(summary: &Summary, name: &str) -> String {
    let ran = summary.scenarios.iter().any(|judged| judged.name == name);
    let shown = escape(&text::clean(name, 64));
    if ran && is_anchor(name) { format!("[{shown}](#{name})") } else { shown }
}

fn is_anchor(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a claim leads to this section: the first of the scenario's.
fn is_linked(summary: &Summary, judged: &Judged) -> bool {
    let first = summary.scenarios.iter().find(|other| other.name == judged.name);
    is_anchor(&judged.name)
        && first.is_some_and(|first| std::ptr::eq(first, judged))
        && summary.claims.iter().any(|claim| claim.scenarios.contains(&judged.name))
}

fn not_run_table(out: &mut String, summary: &Summary) {
    if summary.not_run.is_empty() {
        return;
    }
    out.push_str("## Not run\n\n| Scenario | Why | What to do |\n|---|---|---|\n");
    for not_run in &summary.not_run {
        let hint = not_run.hint.as_deref().unwrap_or("-");
        push(
            out,
            format_args!(
                "| {} | {} | {} |\n",
                escape(&text::line(&not_run.name)),
                escape(&text::line(&not_run.reason)),
                escape(&text::line(hint)),
            ),
        );
    }
    out.push('\n');
}

/// Open for what needs a look, folded for what passed.
fn scenario(out: &mut String, summary: &Summary, judged: &Judged) {
    let open = if judged.verdict == Verdict::Pass { "" } else { " open" };
    if is_linked(summary, judged) {
        push(out, format_args!("<a id=\"{}\"></a>\n", judged.name));
    }
    push(
        out,
        format_args!(
            "<details{open}>\n<summary>{} <b>{}</b></summary>\n\n",
            symbol_and_word(judged.verdict),
            escape_html(&text::line(&summary.title(judged))),
        ),
    );
    if !judged.about.trim().is_empty() {
        push(out, format_args!("{}\n\n", escape(&text::clean(&judged.about, 2_000))));
    }
    for reason in &judged.reasons {
        push(out, format_args!("- **{}**\n", escape(&text::line(reason))));
    }
    if !judged.reasons.is_empty() {
        out.push('\n');
    }
    checks(out, judged);
    three_figures(out, summary, judged);
    faults(out, judged);
    counts(out, judged);
    push(out, format_args!("Run it again:\n\n{}\n</details>\n\n", fenced(&text::line(&judged.replay))));
}

fn checks(out: &mut String, judged: &Judged) {
    if judged.checks.is_empty() {
        return;
    }
    out.push_str("| Check | Verdict | Measured | Bound | Bound from | Note |\n|---|---|---|---|---|---|\n");
    for check in &judged.checks {
        push(
            out,
            format_args!(
                "| {} | {} | {} | {} | {} | {} |\n",
                escape(&text::check_name(&check.name)),
                symbol_and_word(check.verdict),
                escape(&text::line(&check.measured)),
                text::check_bound(check),
                text::bound_from(check.bound_from),
                escape(&text::line(&check.note)),
            ),
        );
    }
    out.push('\n');
}

/// Once for all repeats of a scenario, at the first of them.
fn three_figures(out: &mut String, summary: &Summary, judged: &Judged) {
    let group = figures::group(&summary.scenarios, judged);
    let Some(figures) = Figures::of(&group).filter(|_| std::ptr::eq(group[0], judged)) else { return };
    push(
        out,
        format_args!(
            "{}\n\n| Quantity | Bound | Simulated (p1, p50, p99) | {} |\n|---|---|---|---|\n",
            escape(&figures.intro()),
            escape(&capitalised(&figures.measured_head())),
        ),
    );
    for line in figures.lines() {
        let simulated = match line.simulated {
            Cell::Quantiles(quantiles) => quantiles.join(", "),
            Cell::Words(words) => words,
        };
        push(
            out,
            format_args!(
                "| {} | {} | {} | {} |\n",
                line.quantity,
                escape(&line.bound),
                escape(&simulated),
                escape(&line.measured)
            ),
        );
    }
    out.push('\n');
    for note in figures.notes() {
        push(out, format_args!("{}\n\n", escape(&note)));
    }
}

fn capitalised(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn faults(out: &mut String, judged: &Judged) {
    if judged.faults.is_empty() {
        return;
    }
    out.push_str(
        "| Fault | Target | Late (wall) | Lasted (model) | Confirmed | Proof |\n|---|---|---|---|---|---|\n",
    );
    for fault in &judged.faults {
        let late = fault.lateness_ns.map_or("-".to_owned(), |ns| text::millis(ns as f64 / 1e6));
        push(
            out,
            format_args!(
                "| {} | {} | {late} | {} | {} | {} |\n",
                escape(&text::clean(&fault.kind.replace('_', " "), 40)),
                escape(&text::clean(&fault.target, 60)),
                text::lasted(fault, judged.time_scale),
                if fault.confirmed { "yes" } else { "**no**" },
                escape(&text::line(&fault.proof)),
            ),
        );
    }
    out.push('\n');
}

fn counts(out: &mut String, judged: &Judged) {
    let (jobs, steps) = (judged.jobs, judged.steps);
    push(
        out,
        format_args!(
            "Jobs: {} acknowledged, {} completed, {} failed, {} lost, {} duplicated, {} recovered, \
             {} unexpected. Steps: {} acknowledged, {} lost, {} repeated. Mistakes: {}.\n\n",
            jobs.acknowledged,
            jobs.completed,
            jobs.failed,
            jobs.lost,
            jobs.duplicated,
            jobs.recovered,
            jobs.unexpected,
            steps.acknowledged,
            steps.lost,
            steps.repeated,
            judged.mistakes.count,
        ),
    );
}

fn footer(out: &mut String, summary: &Summary) {
    let versions: Vec<String> = summary
        .versions
        .iter()
        .map(|(what, version)| format!("{} {}", text::line(what), text::line(version)))
        .collect();
    push(
        out,
        format_args!(
            "---\nRun {} of {}, {}. Scheduling delay of the host at p99: {}, at most {}.\n",
            escape(&text::line(&summary.run_id)),
            escape(&text::line(&summary.started_at)),
            if versions.is_empty() { "versions unknown".to_owned() } else { escape(&versions.join(", ")) },
            text::millis(summary.host.hiccup_p99_wall_ms),
            text::millis(summary.host.hiccup_max_wall_ms),
        ),
    );
}

fn symbol_and_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅ pass",
        Verdict::Inconclusive => "⚠️ inconclusive",
        Verdict::Fail => "❌ fail",
    }
}

/// Text as text: nothing in it is markup, a table's border, a link or HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // An entity, because some renderers cut table cells before they see the backslash.
            '|' => escaped.push_str("&#124;"),
            '`' => escaped.push_str("&#96;"),
            '\\' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '$' => escaped.extend(['\\', c]),
            other => escaped.push(other),
        }
    }
    escaped
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A code block whose fence is longer than any run of backticks in it.
fn fenced(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}\n{code}\n{fence}\n")
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(what);
}
