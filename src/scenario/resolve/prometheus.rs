//! Prometheus and its rules, in wall time.

use std::collections::BTreeSet;

use crate::names::ProcessName;
use crate::scenario::decode::Field;
use crate::scenario::diagnostic::Code;
use crate::scenario::raw::prometheus::Prometheus;
use crate::scenario::resolve::Context;
use crate::scenario::{AlertRule, EXPORTER, Fleet, PrometheusSpec, promql, raw};
use crate::time::Span;

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
    let Prometheus { scrape_interval, evaluation_interval, scrape, rules } = &placed.value;
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
    let mut names = BTreeSet::new();
    let mut resolved = Vec::new();
    for rule in rules.value().into_iter().flatten() {
        let raw = &rule.value;
        let (Some(alert), Some(expr)) = (raw.alert.value(), raw.expr.given()) else { continue };
        if !names.insert(alert.0.clone()) {
            context
                .report
                .add(Code::DuplicateKey, rule.place, format!("two alerts are named `{}`", alert.0))
                .hint("an expectation names the alert that it means");
        }
        match promql::scaled(&expr.value.0, context.scale) {
            Ok(expression) => resolved.push(AlertRule {
                name: alert.0.clone(),
                written: expr.value.0.clone(),
                expression,
                lasting: match &raw.lasting {
                    Field::Absent => Span::ZERO,
                    lasting => context.span(lasting, Span::ZERO),
                },
            }),
            Err(what) => {
                context
                    .report
                    .add(Code::Template, expr.place, format!("the expression cannot be scaled: {what}"))
                    .hint("ranges like `[5m]`; a threshold in seconds as `${600s}`, a rate as `${0.5/s}`");
            }
        }
    }
    Some(PrometheusSpec { scrape_interval, evaluation_interval, scrape: scraped, rules: resolved })
}
