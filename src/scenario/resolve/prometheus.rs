//! Prometheus and its rules, in wall time.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::ProcessName;
use crate::scenario::decode::{Decode as _, Field, Named, Placed};
use crate::scenario::diagnostic::{Code, Place, Report, Source};
use crate::scenario::raw::prometheus::{AlertRule, FileRule, Prometheus, RulesFile};
use crate::scenario::resolve::Context;
use crate::scenario::scalar::Text;
use crate::scenario::{EXPORTER, Fleet, PrometheusSpec, Rule, RuleGroup, RuleKind, promql, raw, tree};
use crate::time::{Scale, Span};

/// Processes of a reference system that tell their metrics.
fn metrics_of(fleet: &Fleet) -> Vec<ProcessName> {
    fleet.processes.iter().filter(|spec| spec.role == EXPORTER).map(|spec| spec.name.clone()).collect()
}

const INTERVAL: Span = Span::from_secs(15);

/// `None` if there is none, or it is wrong and reported.
pub(super) fn resolve(
    raw: &raw::Scenario,
    fleet: Option<&Fleet>,
    context: &mut Context<'_, '_>,
) -> Option<PrometheusSpec> {
    let placed = raw.stack.value()?.prometheus.given()?;
    let Prometheus { scrape_interval, evaluation_interval, scrape, rules, rules_file } = &placed.value;
    let [scrape_interval, evaluation_interval] =
        [(scrape_interval, "scrape_interval"), (evaluation_interval, "evaluation_interval")]
            .map(|(field, name)| context.positive(field, INTERVAL, name, placed.place));
    let mut scraped: Vec<ProcessName> = fleet.map(metrics_of).unwrap_or_default();
    for name in scrape.value().into_iter().flatten() {
        let process = ProcessName::from(name.value.0.clone());
        let serves = fleet.and_then(|fleet| fleet.processes.iter().find(|spec| spec.name == process));
        match serves {
            Some(spec) if spec.serves_http => scraped.push(process),
            _ if fleet.is_none() => {}
            _ => {
                context
                    .report
                    .add(Code::UnknownProcess, name.place, format!("no process `{process}` serves HTTP"))
                    .hint("Prometheus scrapes processes with `http: true`, at /metrics");
            }
        }
    }
    scraped.sort();
    scraped.dedup();
    let groups = match (rules.is_absent(), rules_file.given()) {
        (false, Some(file)) => {
            context
                .report
                .add(Code::OneOf, file.place, "`rules_file` cannot stand beside `rules`")
                .hint("put all the rules into the file, or all here");
            Vec::new()
        }
        (false, None) => {
            let rules: Vec<_> = rules.value().into_iter().flatten().filter_map(Written::inline).collect();
            let group = resolve_group("scenario", None, &rules, context.scale, context.report);
            vec![group]
        }
        (true, Some(file)) => of_file(file.place, context),
        (true, None) => {
            context
                .report
                .add(Code::MissingField, placed.place, "`rules` is missing")
                .hint("alerts: `rules: [{alert: NoActiveWorkers, expr: 'workers_active == 0', for: 5m}]`; or `rules_file: alerts.yml`");
            Vec::new()
        }
    };
    Some(PrometheusSpec { scrape_interval, evaluation_interval, scrape: scraped, groups })
}

/// A rule of either kind of file.
struct Written<'a> {
    place: Place,
    kind: RuleKind,
    name: &'a str,
    expr: &'a Placed<Text>,
    lasting: Option<Span>,
    keep_firing: Option<Span>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl<'a> Written<'a> {
    /// `None` where the decoder has said what is wrong.
    fn inline(rule: &'a Placed<AlertRule>) -> Option<Self> {
        Some(Self {
            place: rule.place,
            kind: RuleKind::Alert,
            name: &rule.value.alert.value()?.0,
            expr: rule.value.expr.given()?,
            lasting: rule.value.lasting.value().map(|lasting| lasting.0),
            keep_firing: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        })
    }

    fn of_file(rule: &'a Placed<FileRule>, report: &mut Report<'_>) -> Option<Self> {
        let (kind, name) = match (rule.value.alert.value(), rule.value.record.value()) {
            (Some(alert), None) => (RuleKind::Alert, &alert.0),
            (None, Some(record)) => (RuleKind::Record, &record.0),
            (None, None) if !rule.value.alert.is_absent() || !rule.value.record.is_absent() => return None,
            _ => {
                report
                    .add(Code::OneOf, rule.place, "a rule either alerts or records")
                    .hint("exactly one of `alert` and `record`");
                return None;
            }
        };
        Some(Self {
            place: rule.place,
            kind,
            name,
            expr: rule.value.expr.given()?,
            lasting: rule.value.lasting.value().map(|lasting| lasting.0),
            keep_firing: rule.value.keep_firing_for.value().map(|keep| keep.0),
            labels: texts(&rule.value.labels),
            annotations: texts(&rule.value.annotations),
        })
    }
}

fn texts(field: &Field<Named<Text>>) -> BTreeMap<String, String> {
    let entries = field.value().into_iter().flat_map(|named| &named.0);
    entries.map(|(name, text)| (name.value.clone(), text.value.0.clone())).collect()
}

/// The groups of the file that the scenario names; its mistakes are shown with its own lines.
fn of_file(named: Place, context: &mut Context<'_, '_>) -> Vec<RuleGroup> {
    let Some(file) = context.report.source().rules().cloned() else {
        context.report.add(Code::Unreadable, named, "this rules file was not looked for");
        return Vec::new();
    };
    let text = match file.text {
        Ok(text) => text,
        Err(why) => {
            let what = format!("failed to read {}: {why}", file.path.display());
            context.report.add(Code::Unreadable, named, what).hint("a path is relative to this file");
            return Vec::new();
        }
    };
    let source = Source::new(file.path, text);
    let mut report = Report::new(&source);
    let root = tree::parse(&mut report);
    let decoded = root.and_then(|root| RulesFile::decode(&root, &mut report)).unwrap_or_default();
    let mut groups = Vec::new();
    for group in decoded.groups.value().into_iter().flatten() {
        let rules = group.value.rules.value().into_iter().flatten();
        let rules: Vec<_> = rules.filter_map(|rule| Written::of_file(rule, &mut report)).collect();
        let Some(Text(name)) = group.value.name.value() else { continue };
        let interval = group.value.interval.value().map(|interval| context.wall(*interval));
        groups.push(resolve_group(name, interval, &rules, context.scale, &mut report));
    }
    context.report.adopt(report.into_sorted());
    groups
}

fn resolve_group(
    name: &str,
    interval: Option<Span>,
    rules: &[Written<'_>],
    scale: Scale,
    report: &mut Report<'_>,
) -> RuleGroup {
    let mut alerts = BTreeSet::new();
    let mut resolved = Vec::new();
    for rule in rules {
        if rule.kind == RuleKind::Alert && !alerts.insert(rule.name) {
            report
                .add(Code::DuplicateKey, rule.place, format!("two alerts are named `{}`", rule.name))
                .hint("an expectation names the alert that it means");
        }
        match promql::scaled(&rule.expr.value.0, scale) {
            Ok(expression) => resolved.push(Rule {
                kind: rule.kind,
                name: rule.name.to_owned(),
                written: rule.expr.value.0.clone(),
                expression,
                lasting: scale.to_wall(rule.lasting.unwrap_or_default()),
                keep_firing: scale.to_wall(rule.keep_firing.unwrap_or_default()),
                labels: rule.labels.clone(),
                annotations: rule.annotations.clone(),
            }),
            Err(what) => {
                report
                    .add(Code::Template, rule.expr.place, format!("the expression cannot be scaled: {what}"))
                    .hint("ranges like `[5m]`; a threshold in seconds as `${600s}`, a rate as `${0.5/s}`");
            }
        }
    }
    RuleGroup { name: name.to_owned(), interval, rules: resolved }
}
