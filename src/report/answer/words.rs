//! An answer in words and cells.

use crate::report::text::{self, millis};
use crate::scenario::question::Question;
use crate::time::Span;
use crate::timing::qos::configure::{Configuration, Unmet};
use crate::tune::figures::Range;
use crate::tune::proof::{Compared, Finding, PAUSES};
use crate::tune::sensitivity::Assumption;
use crate::tune::{Answer, Asked, Constraint, Point, Sampled, Shortfall, Trace, Yardstick};

/// The names of what is asked and assumed, as the question's file has them.
pub(super) const fn constraint(constraint: Constraint) -> &'static str {
    match constraint {
        Constraint::Detection => "detection",
        Constraint::Recovery => "recovery",
        Constraint::MistakesPerDay => "mistakes_per_day",
        Constraint::QueryAccuracy => "query_accuracy",
        Constraint::BeatsPerSecond => "beats_per_second",
    }
}

pub(super) const fn assumption(assumption: Assumption) -> &'static str {
    match assumption {
        Assumption::Delay => "the delay",
        Assumption::Loss => "the loss of beats",
        Assumption::PauseLength => "the pauses' length",
        Assumption::PauseRate => "the pauses' rate",
        Assumption::OutageLength => "the outages' length",
        Assumption::OutageRate => "the outages' rate",
        Assumption::Skew => "the skew of the clocks",
        Assumption::Workers => "the number of workers",
    }
}

fn seconds(value: f64) -> String {
    if value.is_finite() { millis(value * 1e3) } else { "never".to_owned() }
}

/// Three digits; in powers of ten where it is small.
pub(super) fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if !value.is_finite() => "∞".to_owned(),
        _ if (0.01..10_000.0).contains(&value) => {
            let digits = (2 - libm::floor(libm::log10(value)) as i32).max(0);
            format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
        }
        _ => format!("{value:.2e}"),
    }
}

fn range(range: Range) -> String {
    let (least, most) = (number(range.least), number(range.most));
    if least == most { most } else { format!("{least}..{most}") }
}

/// As its limit is written.
fn limit(asked: Asked) -> String {
    match asked.constraint {
        Constraint::Detection | Constraint::Recovery => format!("at most {}", seconds(asked.limit)),
        Constraint::QueryAccuracy => format!("at least {}", 1.0 - asked.limit),
        Constraint::MistakesPerDay | Constraint::BeatsPerSecond => format!("at most {}", number(asked.limit)),
    }
}

fn value(constraint: Constraint, value: f64) -> String {
    match constraint {
        Constraint::Detection | Constraint::Recovery => seconds(value),
        Constraint::QueryAccuracy => format!("1 − {}", number(value)),
        Constraint::MistakesPerDay | Constraint::BeatsPerSecond => number(value),
    }
}

pub(super) fn question(question: &Question, answer: &Answer) -> String {
    let mut text = format!("{}\n", text::line(&format!("{}: {}", question.name, question.about)));
    let later = question.later.map_or_else(String::new, |later| format!(", later {later}"));
    let plural = if question.workers == 1 { "" } else { "s" };
    text.push_str(&format!("system {}, {} worker{plural}{later}\n", question.system.name, question.workers));
    let asked =
        answer.asked.iter().map(|asked| format!("{} {}", constraint(asked.constraint), limit(*asked)));
    text.push_str(&format!("asked: {}\n", asked.collect::<Vec<_>>().join(", ")));
    text.push_str(&format!(
        "{} settings; {} keep the ties, {} of them hold all that is asked, {} of those are on the front\n",
        answer.settings,
        answer.tied,
        answer.holding,
        answer.front.len()
    ));
    if answer.impossible > 0 {
        text.push_str(&format!("{} make no system at all\n", answer.impossible));
    }
    if let Some(trace) = &answer.trace {
        text.push_str(&recorded(trace));
    }
    text
}

/// What was recorded, and what it does not say.
fn recorded(trace: &Trace) -> String {
    let hours = trace.observed.as_secs_f64() / 3_600.0;
    let plural = if trace.runs == 1 { "" } else { "s" };
    let mut text =
        format!("recorded: {} run{plural}, {} hours of workers, in model time\n", trace.runs, number(hours));
    let parts = [
        ("beats late by", &trace.lateness),
        ("the store's answer", &trace.latency),
        ("delay, both together", &trace.delay),
        ("pauses", &trace.pauses),
    ];
    for (what, fit) in parts {
        let Some(fit) = fit else {
            text.push_str(&format!("  {what}: none was seen; what the question says stands\n"));
            continue;
        };
        let at = |percent: usize| millis(fit.percentile(percent).as_millis_f64());
        text.push_str(&format!(
            "  {what}: {} seen, median {}, 99 % within {}, longest {}; at 99 % at most {} of all are longer\n",
            fit.count,
            at(50),
            at(99),
            at(100),
            number(fit.longer_at_most())
        ));
        text.push_str(&format!(
            "    closest: {}, {} from it at most{}\n",
            fit.shape,
            number(fit.distance),
            if fit.is_close() { "" } else { ", which is too far to be it (99 %)" }
        ));
    }
    if let Some(apart) = trace.pauses_apart() {
        text.push_str(&format!("  a pause each {} of a worker\n", millis(apart.as_millis_f64())));
    }
    if let Some(most) = trace.pauses_per_day_at_most() {
        text.push_str(&format!("  none seen: at 99 % fewer than {} a day of a worker\n", number(most)));
    }
    if trace.scaled {
        text.push_str("  at another time scale than 1: the store looks slower there than it is\n");
    }
    text.push_str("  reckoned and simulated with what was recorded, not with the closest shape\n");
    text
}

pub(super) fn header(answer: &Answer) -> Vec<String> {
    let mut cells = vec![String::new()];
    cells.extend(answer.current.values.iter().map(|(name, _)| name.clone()));
    let figures = [
        "detection",
        "typical",
        "recovery",
        "mistakes/day",
        "simulated",
        "1 − accuracy",
        "beats/s",
        "pause borne",
        "margin",
    ];
    cells.extend(figures.map(str::to_owned));
    cells
}

pub(super) fn row(mark: &str, point: &Point) -> Vec<String> {
    let figures = &point.figures;
    let mut cells = vec![mark.to_owned()];
    cells.extend(point.values.iter().map(|(_, value)| value.to_string()));
    let never = || "never".to_owned();
    let time = |span: Option<Span>| span.map_or_else(never, |span| millis(span.as_millis_f64()));
    cells.push(figures.detection.map_or_else(never, |(least, most)| {
        format!("{}..{}", millis(least.as_millis_f64()), millis(most.as_millis_f64()))
    }));
    let simulated = point.simulated.as_ref();
    let unknown = || "–".to_owned();
    let typical = simulated.and_then(|it| it.detection).map(|(median, _)| median);
    cells.push(typical.map_or_else(unknown, |median| millis(median.as_millis_f64())));
    cells.push(time(figures.recovery));
    cells.push(range(figures.mistakes.total()));
    let more = if point.coincide() { "!" } else { "" };
    cells.push(simulated.map_or_else(unknown, |it| {
        format!("{}..{}{more}", number(it.mistakes_per_day.low), number(it.mistakes_per_day.high))
    }));
    cells.push(range(figures.inaccuracy));
    cells.push(number(figures.beats_per_second));
    cells.push(figures.pause_tolerated.map_or_else(|| "any".to_owned(), |span| millis(span.as_millis_f64())));
    cells.push(format!("{:.0} %", 100.0 * point.smallest_margin()));
    cells
}

fn setting(point: &Point) -> String {
    let values = point.values.iter().map(|(name, value)| format!("{name}: {value}"));
    format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
}

fn in_short(point: &Point) -> String {
    let figures = &point.figures;
    format!(
        "detection {}, mistakes/day {}, beats/s {}",
        seconds(Constraint::Detection.of(figures)),
        range(figures.mistakes.total()),
        number(figures.beats_per_second)
    )
}

pub(super) fn judgement(question: &Question, answer: &Answer) -> String {
    let mut text = String::from("\n");
    let now = &answer.current;
    let fails = answer.asked.iter().filter(|asked| !asked.holds(&now.figures));
    let fails: Vec<String> = fails
        .map(|asked| {
            let found = value(asked.constraint, asked.constraint.of(&now.figures));
            format!("{} is {found}, asked {}", constraint(asked.constraint), limit(*asked))
        })
        .collect();
    text.push_str(&match fails.as_slice() {
        [] => "The present setting holds all that is asked".to_owned(),
        fails => format!("The present setting does not hold what is asked ({})", fails.join("; ")),
    });
    text.push_str(if answer.current_is_on_the_front {
        ", and no other is better in one thing and worse in none.\n"
    } else {
        ", and another is better in one thing and worse in none.\n"
    });
    if answer.front.iter().chain([now]).any(Point::coincide) {
        text.push_str(
            "! the simulation sees more mistakes than are reckoned, which is one thing that goes wrong at a time: here \
             they coincide. Believe the simulation; no setting is recommended whose limit it breaks.\n",
        );
    }
    if let Some(sampled) = &answer.sampled {
        text.push_str(&rare(sampled, answer.recommended.is_some()));
    }
    match &answer.better_at_equal_load {
        Some(point) => text.push_str(&format!(
            "With no more load and no more mistakes, this is faster: {}: {}\n",
            setting(point),
            in_short(point)
        )),
        None => text.push_str("With no more load and no more mistakes none is faster.\n"),
    }
    match answer.recommended.and_then(|index| answer.front.get(index)) {
        Some(point) => recommendation(&mut text, question, answer, point),
        None => unmet(&mut text, answer),
    }
    if !answer.proved.is_empty() {
        text.push_str("\nOn real stores and processes:\n");
        answer.proved.iter().for_each(|it| text.push_str(&proved(it)));
    }
    if let Some(it) = &answer.yardstick {
        text.push_str(&yardstick(question, it));
    }
    text
}

/// One line.
fn proved(it: &Finding) -> String {
    let runs = format!("{} run{}", it.runs, if it.runs == 1 { "" } else { "s" });
    let between = |(least, most): (f64, f64)| format!("{}..{}", seconds(least), seconds(most));
    let figure = match &it.figure {
        Compared::Detection { bounds, simulated, measured } => {
            let bounds = between((bounds.0.unwrap_or(0.0), bounds.1.unwrap_or(f64::INFINITY)));
            let simulated = simulated.map_or_else(String::new, |it| format!(", simulated {}", between(it)));
            let least = measured.iter().copied().fold(f64::INFINITY, f64::min);
            let most = measured.iter().copied().fold(0.0, f64::max);
            format!(
                "detection after kill -9: bounds {bounds}{simulated}; measured {} in {} of {runs}",
                if measured.is_empty() { "nothing".to_owned() } else { between((least, most)) },
                measured.len()
            )
        }
        Compared::Mistakes { closed, simulated, measured, low, high } => {
            let simulated = simulated.map_or_else(String::new, |it| format!(", simulated {}", number(it)));
            let closed = range(Range { least: closed.0, most: closed.1 });
            let measured = match it.agrees {
                Some(_) => format!("{} (99 %: {}..{})", number(*measured), number(*low), number(*high)),
                None => "nothing".to_owned(),
            };
            let pauses = PAUSES * it.runs;
            format!(
                "mistakes of one pause: reckoned {closed}{simulated}; measured {measured} in {pauses} pauses, {runs}"
            )
        }
    };
    let agrees = match it.agrees {
        Some(true) => "agrees",
        Some(false) => "DOES NOT AGREE",
        None => "inconclusive",
    };
    format!("  {} setting, {figure}: {agrees}\n", it.setting)
}

/// The least load that any detector of single beats is known to need.
fn yardstick(question: &Question, it: &Yardstick) -> String {
    let workers = question.later.unwrap_or(question.workers) as f64;
    let said = |found: &Result<Configuration, Unmet>| match found {
        Ok(it) => {
            let (interval_s, shift_s) = (it.interval.as_secs_f64(), it.shift.as_secs_f64());
            format!(
                "a beat each {interval_s:.3} s, waited for {shift_s:.3} s more ({} beats/s)",
                number(workers / interval_s)
            )
        }
        Err(unmet) => format!("nothing, for {unmet}"),
    };
    format!(
        "\nFor comparison: freshness points (NFD-S) need for such a detection, and so few mistakes by lost and late \
         beats, {}; if no more is known of the delay than mean and variance, {}.\n",
        said(&it.known),
        said(&it.moments)
    )
}

fn recommendation(text: &mut String, question: &Question, answer: &Answer, point: &Point) {
    text.push_str(&format!("\nTake {}\n", setting(point)));
    for (asked, margin) in answer.asked.iter().zip(&point.margins) {
        let found = value(asked.constraint, asked.constraint.of(&point.figures));
        text.push_str(&format!(
            "  {}: {found}, asked {}: {:.0} % to spare\n",
            constraint(asked.constraint),
            limit(*asked),
            100.0 * margin
        ));
    }
    match answer.breaks.first() {
        Some(_) => {
            for breaks in answer.breaks.iter().take(3) {
                text.push_str(&format!(
                    "  breaks first: {} at {} times what is assumed ({})\n",
                    assumption(breaks.assumption),
                    number(breaks.factor),
                    constraint(breaks.first)
                ));
            }
        }
        None => text.push_str("  nothing that is assumed breaks it, at a thousand times its value\n"),
    }
    for (what, neighbour) in [("cheaper", &answer.cheaper), ("safer", &answer.safer)] {
        let none = || "there is none".to_owned();
        let said = neighbour.as_ref().map_or_else(none, |it| format!("{}: {}", setting(it), in_short(it)));
        text.push_str(&format!("  next {what}: {said}\n"));
    }
    text.push_str(&format!("\nsystem: {}\nsettings: {}\n", question.system.name, setting(point)));
}

/// Mistakes by lost and late beats, sampled twice: a zero comes with what it excludes.
fn rare(sampled: &Sampled, is_recommended: bool) -> String {
    let Sampled { beats_per_day, sampled, plain } = sampled;
    let a_day = |per_beat: f64| number(per_beat * beats_per_day);
    let which = if is_recommended { "recommended" } else { "present" };
    if sampled.hits == 0 {
        return format!(
            "By lost and late beats alone the {which} setting was wrong in none of {} sampled beats: at 95 % fewer \
             than {} times a day.\n",
            sampled.samples,
            a_day(sampled.high)
        );
    }
    let mut text = format!(
        "By lost and late beats alone the {which} setting is wrong {} times a day (95 %: {} to {}), by importance \
         sampling of {} beats.\n",
        a_day(sampled.per_beat),
        a_day(sampled.low),
        a_day(sampled.high),
        sampled.samples
    );
    if let Some(plain) = plain.filter(|plain| plain.hits == 0) {
        text.push_str(&format!(
            "Plain simulation of as many sees none, which at 95 % says no more than fewer than {} a day.\n",
            a_day(plain.high)
        ));
    }
    text
}

fn unmet(text: &mut String, answer: &Answer) {
    if !answer.front.is_empty() {
        text.push_str(
            "\nBy what is reckoned some settings hold all that is asked; the simulation refutes the best.\n",
        );
        return;
    }
    text.push_str("\nNo setting holds all that is asked. One of these must give, the others kept:\n");
    for Shortfall { constraint: which, limit: asked, must_give_to } in &answer.unmet {
        let asked = limit(Asked { constraint: *which, limit: *asked });
        let to = must_give_to.map_or_else(
            || "no value of it is enough".to_owned(),
            |to| format!("it must give to {}", value(*which, to)),
        );
        text.push_str(&format!("  {} {asked}: {to}\n", constraint(*which)));
    }
}
