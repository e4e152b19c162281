//! `report.html`: one file, no network, no script; light and dark by the reader's preference.

use askama::Template;

use crate::check::Judged;
use crate::history::log::History;
use crate::report::figures;
use crate::report::view::{ClaimsView, FiguresView, Finding, NotRunView, Row, ScenarioView, Term, glossary};
use crate::report::{Summary, text};

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    verdict: &'static str,
    sentence: String,
    interrupted: Option<&'static str>,
    run_id: String,
    started_at: String,
    backend: String,
    command: String,
    versions: Vec<(String, String)>,
    hiccup_p99: String,
    hiccup_max: String,
    rows: Vec<Row>,
    findings: Vec<Finding>,
    claims: Option<ClaimsView>,
    not_run: Vec<NotRunView>,
    host_notes: Vec<String>,
    scenarios: Vec<ScenarioView>,
    glossary: Vec<Term>,
}

/// All timelines of a report together draw about so many bars; each at least [`BARS_MIN`].
const BARS_MAX: usize = 6_000;
const BARS_MIN: usize = 100;
const BARS_PER_TIMELINE_MAX: usize = 1_500;

/// A scenario whose history is not among `histories` is shown without a timeline.
#[must_use]
pub fn render(summary: &Summary, histories: &[History]) -> Vec<u8> {
    let bars_max = (BARS_MAX / summary.scenarios.len().max(1)).clamp(BARS_MIN, BARS_PER_TIMELINE_MAX);
    let in_order = summary.worst_first();
    let scenarios: Vec<ScenarioView> = in_order
        .iter()
        .enumerate()
        .map(|(place, judged)| {
            let history = history_of(judged, histories);
            let figures = figures_of(summary, &in_order, judged);
            ScenarioView::new(place + 1, summary.title(judged), judged, history, bars_max, figures)
        })
        .collect();
    let findings = in_order
        .iter()
        .zip(&scenarios)
        .flat_map(|(judged, view)| judged.gaps.iter().map(|gap| Finding::new(gap, view)))
        .collect();
    let page = Page {
        verdict: text::verdict(summary.verdict),
        sentence: text::sentence(summary),
        interrupted: summary.interrupted.then_some(text::INTERRUPTED),
        run_id: text::line(&summary.run_id),
        started_at: text::line(&summary.started_at),
        backend: text::line(&summary.backend),
        command: text::line(&summary.command),
        versions: summary
            .versions
            .iter()
            .map(|(what, version)| (text::line(what), text::line(version)))
            .collect(),
        hiccup_p99: text::millis(summary.host.hiccup_p99_wall_ms),
        hiccup_max: text::millis(summary.host.hiccup_max_wall_ms),
        rows: in_order.iter().zip(&scenarios).map(|(judged, view)| Row::new(judged, view)).collect(),
        findings,
        claims: ClaimsView::of(summary, &in_order),
        not_run: summary.not_run.iter().map(NotRunView::new).collect(),
        host_notes: summary.host_notes.iter().map(|note| text::line(note)).collect(),
        scenarios,
        glossary: glossary(),
    };
    // Rendering to memory fails only if a template asks for it, and none does.
    page.render().unwrap_or_default().into_bytes()
}

/// The first of a scenario's repeats shows the figures of all; the others point at it.
fn figures_of(summary: &Summary, in_order: &[&Judged], judged: &Judged) -> FiguresView {
    let group = figures::group(&summary.scenarios, judged);
    let leader = group.first().copied().unwrap_or(judged);
    if !std::ptr::eq(leader, judged) {
        let place = in_order.iter().position(|other| std::ptr::eq(*other, leader)).unwrap_or(0);
        return FiguresView::at(place + 1, &summary.title(leader));
    }
    FiguresView::of(&group)
}

fn history_of<'h>(judged: &Judged, histories: &'h [History]) -> Option<&'h History> {
    histories.iter().find(|history| {
        let header = &history.header;
        header.path == judged.path && header.repeat == judged.repeat && header.backend == judged.backend
    })
}
