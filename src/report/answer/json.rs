//! `answer.json`: durations in milliseconds, `null` where there is no bound.

use serde_json::{Value as Json, json};

use super::words;
use crate::scenario::question::Question;
use crate::time::Span;
use crate::timing::qos::configure::{Configuration, Unmet};
use crate::tune::figures::Range;
use crate::tune::proof::{Compared, Finding};
use crate::tune::rare::Estimate;
use crate::tune::simulated::Simulated;
use crate::tune::trace::Fit;
use crate::tune::{Answer, Point, Trace};

pub fn render(question: &Question, answer: &Answer) -> String {
    let asked: Vec<Json> = answer
        .asked
        .iter()
        .map(|asked| json!({ "constraint": words::constraint(asked.constraint), "limit": asked.limit }))
        .collect();
    let breaks: Vec<Json> = answer
        .breaks
        .iter()
        .map(|it| {
            json!({
                "assumption": words::assumption(it.assumption),
                "factor": it.factor,
                "constraint": words::constraint(it.first),
            })
        })
        .collect();
    let unmet: Vec<Json> = answer
        .unmet
        .iter()
        .map(|it| {
            json!({
                "constraint": words::constraint(it.constraint),
                "limit": it.limit,
                "must_give_to": it.must_give_to,
            })
        })
        .collect();
    let optional = |found: Option<&Point>| found.map(point);
    let text = json!({
        "name": question.name,
        "about": question.about,
        "system": question.system.name,
        "workers": question.workers,
        "workers_later": question.later,
        "settings": answer.settings,
        "tied": answer.tied,
        "impossible": answer.impossible,
        "holding": answer.holding,
        "asked": asked,
        "current": point(&answer.current),
        "current_is_on_the_front": answer.current_is_on_the_front,
        "front": answer.front.iter().map(point).collect::<Vec<_>>(),
        "recommended": optional(answer.recommended.and_then(|index| answer.front.get(index))),
        "better_at_equal_load": optional(answer.better_at_equal_load.as_ref()),
        "cheaper": optional(answer.cheaper.as_ref()),
        "safer": optional(answer.safer.as_ref()),
        "sampled": answer.sampled.map(|it| json!({
            "beats_per_day": it.beats_per_day,
            "importance": estimate(it.sampled),
            "plain": it.plain.map(estimate),
        })),
        "freshness_points": answer.yardstick.as_ref().map(|it| json!({
            "known_distribution": configuration(&it.known),
            "moments_only": configuration(&it.moments),
        })),
        "breaks": breaks,
        "unmet": unmet,
        "recorded": answer.trace.as_ref().map(recorded),
        "proved": answer.proved.iter().map(finding).collect::<Vec<_>>(),
    });
    format!("{text:#}\n")
}

/// Of each thing that was recorded, `null` if it was not seen.
fn recorded(trace: &Trace) -> Json {
    let fit = |fit: &Option<Fit>| {
        fit.as_ref().map(|it| {
            json!({
                "count": it.count,
                "median_ms": ms(it.percentile(50)),
                "p99_ms": ms(it.percentile(99)),
                "max_ms": ms(it.percentile(100)),
                "longer_at_most": it.longer_at_most(),
                "closest": it.shape.to_string(),
                "distance": it.distance,
                "is_close": it.is_close(),
            })
        })
    };
    json!({
        "runs": trace.runs,
        "scaled": trace.scaled,
        "worker_hours": trace.observed.as_secs_f64() / 3_600.0,
        "lateness": fit(&trace.lateness),
        "latency": fit(&trace.latency),
        "delay": fit(&trace.delay),
        "pauses": fit(&trace.pauses),
        "pauses_apart_ms": trace.pauses_apart().map(ms),
        "pauses_per_day_at_most": trace.pauses_per_day_at_most(),
    })
}

fn ms(span: Span) -> f64 {
    span.as_millis_f64()
}

fn range(range: Range) -> Json {
    json!({ "least": range.least, "most": range.most })
}

/// Mistakes per beat that is sent, with the 95 % interval.
fn estimate(it: Estimate) -> Json {
    json!({ "per_beat": it.per_beat, "low": it.low, "high": it.high, "beats": it.samples, "hits": it.hits })
}

/// Detections in seconds; mistakes of one pause, `low` and `high` at 99 %.
fn finding(it: &Finding) -> Json {
    let figure = match &it.figure {
        Compared::Detection { bounds, simulated, measured } => {
            json!({ "detection_s": { "bounds": bounds, "simulated": simulated, "measured": measured } })
        }
        Compared::Mistakes { closed, simulated, measured, low, high } => json!({
            "mistakes_per_pause": {
                "closed_form": closed,
                "simulated": simulated,
                "measured": measured,
                "low": low,
                "high": high,
            },
        }),
    };
    json!({ "setting": it.setting, "runs": it.runs, "figure": figure, "agrees": it.agrees })
}

/// Beats each `interval`, each of them good for `interval` and `shift` from when it was due.
fn configuration(found: &Result<Configuration, Unmet>) -> Json {
    match found {
        Ok(it) => json!({ "interval_ms": ms(it.interval), "shift_ms": ms(it.shift) }),
        Err(unmet) => json!({ "unmet": unmet.to_string() }),
    }
}

/// The interval holds the true figure in 99 of 100 simulations.
fn simulated(it: &Simulated) -> Json {
    let per_day = it.mistakes_per_day;
    json!({
        "worker_days": it.worker_days,
        "mistakes": it.mistakes,
        "mistakes_per_day": { "value": per_day.value, "low": per_day.low, "high": per_day.high },
        "crashes": it.crashes,
        "detection_ms": it.detection.map(|(median, p99)| json!({ "median": ms(median), "p99": ms(p99) })),
    })
}

fn point(point: &Point) -> Json {
    let figures = &point.figures;
    let settings: serde_json::Map<String, Json> =
        point.values.iter().map(|(name, value)| (name.clone(), json!(value.to_string()))).collect();
    json!({
        "settings": settings,
        "detection_ms": figures.detection.map(|(least, most)| json!({ "min": ms(least), "max": ms(most) })),
        "recovery_max_ms": figures.recovery.map(ms),
        "mistakes_per_day": {
            "total": range(figures.mistakes.total()),
            "beats": range(figures.mistakes.beats),
            "pauses": range(figures.mistakes.pauses),
            "outages": range(figures.mistakes.outages),
        },
        "query_inaccuracy": range(figures.inaccuracy),
        "beats_per_second": figures.beats_per_second,
        "pause_tolerated_ms": figures.pause_tolerated.map(ms),
        "simulated": point.simulated.as_ref().map(simulated),
        "margins": point.margins,
        "holds": point.holds(),
    })
}
