//! `syncope model`: bounds and tolerances of a known job system or of a scenario's fleet, with their
//! derivation.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::exit;
use crate::cli::input::{self, Input};
use crate::scenario::catalogue::{self, Entry};
use crate::scenario::{Code, Diagnostic, FileKind, Overrides, Source, load, render};
use crate::time::{Interval, Scale, Span};
use crate::timing::{self, Detection, Finding, Pipeline, Requeue};

/// Bounds and tolerances with their derivation.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A system of the catalogue (`syncope catalog`), a scenario's file, or a catalogue file.
    #[arg(value_name = "NAME|FILE")]
    what: String,
    /// Another value for a parameter of the system, as in interval=15s. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// As JSON, times in milliseconds.
    #[arg(long)]
    json: bool,
}

/// What is modelled, and where it is from.
struct Subject {
    name: String,
    entry: Option<Entry>,
    pipeline: Pipeline,
    warnings: Vec<Warning>,
}

/// Of the settings, and of a scenario's faults and jobs.
struct Warning {
    code: String,
    page: String,
    message: String,
    advice: String,
    /// `line:column` in a scenario.
    place: Option<String>,
}

/// The exit code: 0, or 2 with every error.
#[must_use]
pub fn run(args: &Args) -> u8 {
    match subject(args) {
        Ok(subject) => {
            let text = if args.json { format!("{:#}\n", to_json(&subject)) } else { to_text(&subject) };
            // A reader that went away has seen enough.
            let _ = write!(anstream::stdout(), "{text}");
            exit::PASS
        }
        Err(text) => {
            let _ = write!(anstream::stderr(), "{text}");
            exit::USAGE
        }
    }
}

fn subject(args: &Args) -> Result<Subject, String> {
    let colour = super::errors_in_colour();
    if let Some(source) = catalogue::builtin(&args.what) {
        return of_entry(&source, &args.set, colour);
    }
    let path = Path::new(&args.what);
    if !path.exists() {
        return Err(format!("error: {}\n", catalogue::unknown_name(&args.what)));
    }
    let mut inputs =
        input::read_all(&[path.to_owned()]).map_err(|diagnostics| render(&diagnostics, colour))?;
    let Input { source, kind } = match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => input,
        _ => return Err(format!("error: {} holds several files: name one\n", path.display())),
    };
    match kind {
        FileKind::Entry => of_entry(&source, &args.set, colour),
        _ => of_scenario(&source, &args.set, colour),
    }
}

fn of_entry(source: &Source, set: &[String], colour: bool) -> Result<Subject, String> {
    let show = |diagnostics: Vec<_>| render(&diagnostics, colour);
    let entry = catalogue::read(source).map_err(show)?;
    let entry = entry.with(set).map_err(|errors| {
        errors.iter().map(|error| format!("error: --set: {error}\n")).collect::<String>()
    })?;
    let pipeline = entry.pipeline().map_err(|errors| match set {
        [] => show(errors),
        set => errors.iter().map(|error| unset(error, source, set)).collect(),
    })?;
    let warnings = timing::lint(&pipeline).iter().map(Warning::of_finding).collect();
    Ok(Subject { name: entry.name.clone(), entry: Some(entry), pipeline, warnings })
}

/// The file was good before: what is wrong are the values on the command line. Those are named that
/// the formula uses.
fn unset(error: &Diagnostic, source: &Source, set: &[String]) -> String {
    let formula = source.text().get(error.place.start..error.place.end).unwrap_or_default();
    let uses = |given: &&String| {
        let key = given.split('=').next().unwrap_or_default().trim();
        formula.split('$').skip(1).any(|rest| {
            let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
            name == Some(key)
        })
    };
    let mut blamed: Vec<&str> = set.iter().filter(uses).map(String::as_str).collect();
    if blamed.is_empty() {
        blamed = set.iter().map(String::as_str).collect();
    }
    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("error: --set {}: {}{hint}\n", blamed.join(" --set "), error.message)
}

impl Warning {
    fn of_finding(finding: &Finding) -> Self {
        Self {
            code: finding.code().to_owned(),
            page: Code::of(finding).page(),
            message: finding.message(),
            advice: finding.advice(),
            place: None,
        }
    }

    fn of_scenario(warning: &Diagnostic) -> Self {
        Self {
            code: warning.code.to_string(),
            page: warning.code.page(),
            message: warning.message.clone(),
            advice: warning.hint.clone().unwrap_or_default(),
            place: Some(format!("{}:{}", warning.line, warning.column)),
        }
    }
}

/// In model time, whatever the file's scale.
fn of_scenario(source: &Source, set: &[String], colour: bool) -> Result<Subject, String> {
    if !set.is_empty() {
        return Err(format!(
            "error: --set is for systems of the catalogue; the settings of {} stand in the file\n",
            source.path().display()
        ));
    }
    let overrides = Overrides { time_scale: Some(Scale::ONE), seed: None };
    let loaded = load(source, &overrides).map_err(|errors| render(&errors, colour))?;
    let scenario = loaded.scenario;
    let Some(pipeline) = scenario.fleet.pipeline else {
        return Err(format!(
            "error: {}: the fleet has no timing: give `timing` under `external`\n",
            source.path().display()
        ));
    };
    let warnings = loaded.warnings.iter().map(Warning::of_scenario).collect();
    Ok(Subject { name: scenario.name, entry: None, pipeline, warnings })
}

fn ms(span: Span) -> Json {
    if span == Span::MAX { Json::Null } else { json!(span.as_millis_f64()) }
}

fn bounds(interval: Interval) -> Json {
    json!({ "min": ms(interval.min()), "max": ms(interval.max()) })
}

fn detection(found: Detection) -> Json {
    match found {
        Detection::Never => Json::Null,
        Detection::Within(interval) => bounds(interval),
        Detection::Chance { least, mean, p99 } => {
            json!({ "min": ms(least), "max": null, "mean": ms(mean), "p99": ms(p99) })
        }
    }
}

fn to_json(subject: &Subject) -> Json {
    let pipeline = &subject.pipeline;
    let margins = pipeline.margins();
    let requeue = match pipeline.recovery.requeue {
        Requeue::Never => Json::Null,
        Requeue::After(delay) => bounds(delay),
    };
    let findings: Vec<Json> = subject
        .warnings
        .iter()
        .map(|warning| {
            json!({
                "code": warning.code,
                "message": warning.message,
                "advice": warning.advice,
                "page": warning.page,
                "place": warning.place,
            })
        })
        .collect();
    let beats = pipeline.beats();
    let outage = margins.outage.map(|outage| {
        json!({
            "tolerated": ms(outage.tolerated),
            "correlated_from": ms(outage.correlated_from),
            "all_from": ms(outage.all_from),
            "validities_end": bounds(outage.expire),
        })
    });
    json!({
        "name": subject.name,
        "title": subject.entry.as_ref().map(|entry| &entry.title),
        "version": subject.entry.as_ref().and_then(|entry| entry.version.as_ref()),
        "parameters": parameters(subject),
        "sweep_period_ms": ms(pipeline.checker.period()),
        "expiry_ms": ms(pipeline.expiry.effective()),
        "interval_ms": beats.then(|| ms(pipeline.interval())),
        "buffer_ratio": beats.then(|| buffer_ratio(pipeline)),
        "retries_add_ms": ms(pipeline.checker.retry_time()),
        "longest_query_ms": ms(pipeline.checker.longest_query()),
        "detection_ms": detection(pipeline.detection(Span::ZERO)),
        "detection_while_sweeper_lives_ms": detection(pipeline.detection_while_sweeper_lives(Span::ZERO)),
        "worst_case_ms": pipeline.worst_case().map(ms),
        "worst_case_table_ms": worst_case_table(subject),
        "requeue_ms": requeue,
        "claim_ms": bounds(Interval::new(Span::ZERO, pipeline.recovery.claim_poll)),
        "pause_tolerated_ms": margins.silence_unseen.map(ms),
        "pause_tolerated_with_retries_ms": margins.silence_tolerated.map(ms),
        "pause_seen_ms": margins.silence_seen.map(ms),
        "pause_between": between(pipeline),
        "beats_lost_until_expired": margins.beats_lost_until_expired,
        "beats_lost_until_suspected": margins.beats_lost_until_suspected,
        "skew_tolerated_ms": margins.skew_tolerated.map(ms),
        "store_outage_ms": outage,
        "mistakes": margins.mistakes,
        "mistakes_certain": margins.mistakes != timing::Mistakes::None,
        "lint": findings,
        "derivation": timing::derive(pipeline).steps,
    })
}

fn parameters(subject: &Subject) -> Json {
    let parameters = subject.entry.iter().flat_map(|entry| &entry.parameters);
    let named = parameters.map(|parameter| {
        (parameter.name.clone(), json!({ "value": parameter.value(), "origin": parameter.origin }))
    });
    Json::Object(named.collect())
}

fn worst_case_table(subject: &Subject) -> Option<Json> {
    subject.entry.as_ref()?.worst_case.as_ref()?.table.map(ms)
}

/// E/h
fn buffer_ratio(pipeline: &Pipeline) -> f64 {
    pipeline.expiry.effective().as_nanos() as f64 / pipeline.interval().as_nanos().max(1) as f64
}

/// Five pauses between the longest that is tolerated and the shortest that is certainly seen.
fn between(pipeline: &Pipeline) -> Vec<Json> {
    let margins = pipeline.margins();
    let (Some(from), Some(to)) = (margins.silence_tolerated, margins.silence_seen) else {
        return Vec::new();
    };
    let part = |sixths: u64| {
        let nanos = u128::from((to - from).as_nanos()) * u128::from(sixths) / 6;
        from + Span::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    (1..6)
        .filter_map(|sixths| {
            let pause = part(sixths);
            let share = pipeline.silence_seen_share(pause)?;
            Some(json!({ "pause_ms": ms(pause), "seen_min": share.least, "seen_max": share.most }))
        })
        .collect()
}

fn to_text(subject: &Subject) -> String {
    let pipeline = &subject.pipeline;
    let mut lines = Vec::new();
    match &subject.entry {
        Some(entry) => {
            lines.push(format!("{}: {}", entry.name, entry.title));
            lines.push(entry.about.clone());
            lines.push(String::new());
            lines.push("Settings".to_owned());
            for parameter in &entry.parameters {
                lines.push(format!(
                    "  {:<18} {:<10} {}",
                    parameter.name,
                    parameter.value(),
                    parameter.origin
                ));
            }
        }
        None => lines.push(format!("{} (a scenario; in model time)", subject.name)),
    }
    lines.push(String::new());
    lines.push("Bounds and tolerances".to_owned());
    for step in timing::derive(pipeline).steps {
        lines.push(format!("  {}", step.name));
        let numbers = if step.numbers.is_empty() { String::new() } else { format!(" = {}", step.numbers) };
        lines.push(format!("      {}{numbers} = {}", step.formula, step.result));
    }
    lines.extend(between_lines(pipeline));
    if let Some(worst) = subject.entry.as_ref().and_then(|entry| entry.worst_case.as_ref()) {
        let table = worst.table.map_or_else(|| "no number".to_owned(), |table| table.to_string());
        let note = worst.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
        lines.push(format!("  table of known systems: {table}{note}"));
    }
    lines.push(String::new());
    lines.push("Findings".to_owned());
    if subject.warnings.is_empty() {
        lines.push("  none".to_owned());
    }
    for warning in &subject.warnings {
        let place = warning.place.as_ref().map_or_else(String::new, |place| format!(" (at {place})"));
        lines.push(format!("  {}{place}: {}", warning.code, warning.message));
        lines.push(format!("      instead: {}", warning.advice));
        lines.push(format!("      more: {}", warning.page));
    }
    lines.push(String::new());
    lines.push("Worst case".to_owned());
    lines.push(timing::picture(pipeline));
    lines.join("\n")
}

fn between_lines(pipeline: &Pipeline) -> Vec<String> {
    let shares = between(pipeline);
    if shares.is_empty() {
        return Vec::new();
    }
    let one = |share: &Json| {
        let number = |key: &str| share[key].as_f64().unwrap_or(0.0);
        let (pause, least, most) = (number("pause_ms") / 1e3, number("seen_min"), number("seen_max"));
        let percent = if most - least < 1e-9 {
            format!("{:.0} %", 100.0 * least)
        } else {
            format!("{:.0} to {:.0} %", 100.0 * least, 100.0 * most)
        };
        format!("{pause:.1}s {percent}")
    };
    let texts: Vec<String> = shares.iter().map(one).collect();
    vec![
        "  pauses between, and the share of phases at which they are seen".to_owned(),
        format!("      {}", texts.join(", ")),
    ]
}
