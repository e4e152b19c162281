//! Questions to `syncope tune`, and their answers.

use std::num::NonZero;
use std::path::PathBuf;

use syncope::cli::input;
use syncope::dist::{Distribution, Random};
use syncope::scenario::question::{Question, read, schema};
use syncope::scenario::{FileKind, Overrides, Source, load, render};
use syncope::time::Span;
use syncope::timing::Pipeline;
use syncope::timing::qos::configure::{Configuration, Unmet};
use syncope::tune::figures::Figures;
use syncope::tune::sensitivity::Assumption;
use syncope::tune::{self, Answer, Constraint, Means, Point, proof};

fn shipped() -> Vec<Question> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/tune"));
    let inputs = input::read_all(&[folder]).unwrap_or_else(|errors| panic!("{}", render(&errors, false)));
    assert!(inputs.iter().all(|input| input.kind == FileKind::Question));
    inputs.iter().map(|input| question(input.source.text())).collect()
}

fn question(yaml: &str) -> Question {
    read(&Source::new("question.yaml", yaml)).unwrap_or_else(|errors| panic!("{}", render(&errors, false)))
}

const MEANS: Means = Means { seed: 1, threads: NonZero::<usize>::MIN, events: 20_000 };

fn answer(question: &Question) -> Answer {
    tune::answer(question, &MEANS)
}

fn errors(yaml: &str) -> Vec<String> {
    let found = read(&Source::new("question.yaml", yaml)).expect_err("it is wrong");
    found.iter().map(|error| format!("{} {}:{}", error.code, error.line, error.column)).collect()
}

/// Of the search API's heartbeat, with what must hold and what has to be borne.
fn heartbeat(hold: &str, bear: &str) -> Question {
    question(&format!(
        "name: a\nsystem: redis-heartbeat\nworkers: {{now: 4}}\n\
         vary:\n  interval: {{from: 1s, to: 30s, step: 1s}}\n  ttl: {{from: 5s, to: 90s, step: 5s}}\n\
         ties: [$ttl >= 2 * $interval]\nhold: {hold}\nbear: {bear}\n"
    ))
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/question.json");
    if std::env::var_os("SYNCOPE_BLESS").is_some() {
        std::fs::write(path, schema()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == schema(), "schemas/question.json is stale: run this test with SYNCOPE_BLESS=1");
}

#[test]
fn mistakes_are_told_all_at_once_each_in_its_place() {
    let yaml = "name: a\nsystem: redis-heartbeat\nworkers: {now: 4, later: 2}\n\
        current: {interval: 3, ttk: 30s}\n\
        vary:\n  interval: {from: 9s, to: 1s, step: 1s}\n  ttl: {from: 5s, to: 90s, step: 0s}\n  retries: [1, 2s]\n\
        ties: [$ttl >= 2 * $intervall, $ttl, $ttl >= $retries]\n\
        hold: {detection: {max: 45s}, mistakes_per_day: {max: 0}}\n\
        bear: {pauses: {gap: {constant: 0s}, lasting: {constant: 1s}}, loss: 2}\n";
    assert_eq!(
        errors(yaml),
        [
            "scenario::empty-range 3:26",
            "scenario::wrong-type 4:21",
            "scenario::unknown-field 4:24",
            "scenario::empty-range 6:13",
            "scenario::out-of-range 7:34",
            "scenario::wrong-type 8:16",
            "catalog::formula 9:8",
            "catalog::formula 9:32",
            "catalog::formula 9:38",
            "scenario::out-of-range 10:55",
            "scenario::out-of-range 11:16",
            "scenario::out-of-range 11:70",
        ]
    );
    for (yaml, expected) in [
        ("vary: {}\nhold: {}", "scenario::missing-field 1:1"),
        (
            "name: a\nsystem: redis-hartbeat\nworkers: {now: 1}\nvary: {x: [1]}\nhold: {detection: {max: 1s}}",
            "scenario::unknown-value 2:9",
        ),
        (
            "name: a\nsystem: bullmq\nworkers: {now: 1}\nvary: {lock: [30s]}\nhold: {mistakes_per_day: {max: 1}}",
            "scenario::missing-field 5:7",
        ),
        (
            "name: a\nsystem: bullmq\nworkers: {now: 1}\nvary: {lock: {from: 1s, to: 100s, step: 1ms}}\nhold: {detection: {max: 1s}}",
            "scenario::out-of-range 4:14",
        ),
    ] {
        assert!(errors(yaml).iter().any(|error| error == expected), "{yaml}: {:?}", errors(yaml));
    }
}

#[test]
fn every_shipped_question_has_an_answer_that_holds_what_it_asks() {
    let questions = shipped();
    assert!(questions.len() >= 8);
    for question in questions {
        let answer = answer(&question);
        let chosen = &answer.front
            [answer.recommended.unwrap_or_else(|| panic!("{}: {:?}", question.name, answer.unmet))];
        assert!(chosen.holds(), "{}", question.name);
        let most = answer.front.iter().map(Point::smallest_margin).fold(0.0, f64::max);
        assert!(chosen.smallest_margin() >= most, "{}", question.name);
        for one in &answer.front {
            assert!(one.holds());
            assert!(
                !answer.front.iter().any(|other| other.cost().dominates(&one.cost())),
                "{}",
                question.name
            );
        }
        assert!(answer.breaks.windows(2).all(|pair| pair[0].factor <= pair[1].factor));
        for breaks in &answer.breaks {
            assert!(breaks.factor >= 1.0, "{}: {breaks:?}", question.name);
        }
    }
}

/// timing.md: the new settings of S0 detect within 16 to 31 s, and bear a pause of 16 s with their retries.
#[test]
fn the_present_setting_has_the_model_s_figures() {
    let answer = answer(&heartbeat("{detection: {max: 60s}}", "{}"));
    let now = &answer.current.figures;
    let (least, most) = now.detection.expect("it is seen");
    assert_eq!((least, most), (Span::from_secs(16), Span::from_secs(31)));
    assert_eq!(now.pause_tolerated, Some(Span::from_secs(16)));
    assert_eq!(now.recovery, None, "nothing puts a job of S0 back");
    assert_eq!(now.mistakes.total().most, 0.0, "nothing goes wrong");
    assert!((now.beats_per_second - 4.0 / 15.0).abs() < 1e-12);
}

#[test]
fn what_stands_in_the_way_is_named_and_giving_way_by_as_much_is_enough() {
    let bear = "{loss: 0.01, pauses: {gap: {exponential: 1h}, lasting: {lognormal: {median: 2s, p99: 12s}}}}";
    let strict = heartbeat(
        "{detection: {max: 12s}, mistakes_per_day: {max: 0.001}, beats_per_second: {max: 1}}",
        bear,
    );
    let found = answer(&strict);
    assert_eq!((found.recommended, found.holding), (None, 0));
    let named: Vec<Constraint> = found.unmet.iter().map(|it| it.constraint).collect();
    assert_eq!(named, [Constraint::Detection, Constraint::MistakesPerDay, Constraint::BeatsPerSecond]);
    let mut gave_way = 0;
    for shortfall in &found.unmet {
        let Some(to) = shortfall.must_give_to else { continue };
        assert!(to > shortfall.limit);
        let with = |limit: f64| {
            let mut question = strict.clone();
            match shortfall.constraint {
                Constraint::Detection => {
                    question.hold.detection = Some(Span::from_nanos((limit * 1e9) as u64))
                }
                Constraint::MistakesPerDay => question.hold.mistakes_per_day = Some(limit),
                other => panic!("{other:?} was not asked to give"),
            }
            answer(&question).recommended.is_some()
        };
        assert!(with(to * (1.0 + 1e-9)) && !with(to * 0.999), "{shortfall:?}");
        gave_way += 1;
    }
    assert_eq!(gave_way, 2, "{:?}", found.unmet);
}

#[test]
fn the_answer_does_not_depend_on_how_many_reckon_it() {
    let question = &shipped()[0];
    let told = |threads: usize| {
        let found =
            tune::answer(question, &Means { threads: NonZero::new(threads).expect("a thread"), ..MEANS });
        syncope::report::answer::json(question, &found)
    };
    assert!(told(1) == told(7));
}

#[test]
fn what_breaks_a_setting_first_does() {
    let bear = "{loss: 0.01, delay: {exponential: 20ms}}";
    let question =
        heartbeat("{detection: {max: 40s}, mistakes_per_day: {max: 0.1}, beats_per_second: {max: 2}}", bear);
    let found = answer(&question);
    let chosen = &found.front[found.recommended.expect("one holds")];
    let loss = found.breaks.iter().find(|it| it.assumption == Assumption::Loss);
    let loss = loss.expect("with many losses any setting is wrong too often");
    let holds = |factor: f64| {
        let mut worse = question.clone();
        worse.bear.loss_ppm = (f64::from(question.bear.loss_ppm) * factor) as u32;
        // As the present setting it is judged whether it holds or not.
        for (name, value) in &chosen.values {
            worse.system.put(name, *value);
        }
        answer(&worse).current.holds()
    };
    assert!(holds(loss.factor * 0.99) && !holds(loss.factor * 1.01), "{loss:?}");
}

/// Pauses of a worker and outages of the store, by drawing them: a beat each 5 s, valid for 12 s, and an
/// observer who asks all the time.
#[test]
fn the_closed_forms_of_pauses_and_outages_are_what_drawing_them_gives() {
    const DRAWN: u32 = 200_000;
    let (interval, ttl) = (5.0, 12.0);
    let lasting = Distribution::Uniform { min: Span::from_secs(1), max: Span::from_secs(20) };
    let of = |what: &str| {
        let question = question(&format!(
            "name: a\nsystem: redis-heartbeat\nworkers: {{now: 1}}\n\
             current: {{interval: 5s, ttl: 12s, retries: 0}}\nvary: {{ttl: [12s]}}\nhold: {{detection: {{max: 1h}}}}\n\
             bear: {{{what}: {{gap: {{constant: 1000s}}, lasting: {{uniform: [1s, 20s]}}}}}}\n"
        ));
        let pipeline: Pipeline = question.system.pipeline().expect("the question was read");
        Figures::of(&pipeline, &question).mistakes.total()
    };
    let per_day = 86_400.0 / (1_000.0 + 10.5);
    let mut random = Random::stream(7, "drawn");
    let mut drawn = |silence: &dyn Fn(f64, f64) -> f64| {
        let seen = (0..DRAWN).filter(|_| {
            let length = lasting.sample(&mut random).as_secs_f64();
            silence(random.unit_open() * interval, length) > ttl
        });
        per_day * seen.count() as f64 / f64::from(DRAWN)
    };
    // It begins `phase` after a beat; one that is due meanwhile comes at the end, or is lost.
    let paused = drawn(&|phase, length| f64::max(phase + length, interval));
    let away = drawn(&|phase, length| ((phase + length) / interval).ceil() * interval);
    for (what, drawn) in [("pauses", paused), ("outages", away)] {
        let closed = of(what);
        let tolerance = 0.02 * drawn;
        assert!(
            closed.least - tolerance <= drawn && drawn <= closed.most + tolerance,
            "{what}: {drawn} a day drawn, {closed:?} in closed form"
        );
        assert!(closed.most < 1.1 * drawn, "{what}: {drawn} a day drawn, {closed:?} in closed form");
    }
}

#[test]
fn what_a_question_says_of_itself_is_text_in_every_report() {
    let question = question(
        "name: a\nabout: \"<script>x</script> ``` # y \\e[2J\"\nsystem: bullmq\nworkers: {now: 1}\n\
         vary: {lock: [20s, 30s, 40s]}\nhold: {recovery: {max: 5m}}\n",
    );
    let found = answer(&question);
    let html = syncope::report::answer::html(&question, &found);
    assert!(html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;"), "{html}");
    assert!(!html.contains("<script") && html.matches("<svg").count() == 4);
    let markdown = syncope::report::answer::markdown(&question, &found);
    assert_eq!(markdown.matches("```").count(), 4, "{markdown}");
    for text in [&html, &markdown, &syncope::report::answer::text(&question, &found)] {
        assert!(!text.contains('\u{1b}'));
    }
    let json: serde_json::Value =
        serde_json::from_str(&syncope::report::answer::json(&question, &found)).unwrap();
    assert_eq!(json["recommended"]["holds"], true);
}

/// timing.md section 2: Chen's examples of both procedures, 30 s, 30 days, 60 s: so P_A = 1 − 60 s ÷ 30 days.
/// Of the delay the first knows that it is exponential; the second E = 0.02 s and V = 0.02 s², which a
/// lognormal one has here.
#[test]
fn chen_s_configurations_come_out_of_an_answer() {
    let of = |delay: &str| {
        let asked = "{detection: {max: 30s}, mistakes_per_day: {max: 0.03333333333}, query_accuracy: {min: 0.99997685185}}";
        let found = answer(&question(&format!(
            "name: a\nsystem: redis-heartbeat\nworkers: {{now: 1}}\nvary: {{ttl: [30s]}}\nhold: {asked}\n\
             bear: {{loss: 0.01, delay: {delay}}}\n"
        )));
        found.yardstick.expect("both are asked for")
    };
    let seconds = |found: &Result<_, _>| {
        let found: &Configuration = found.as_ref().unwrap_or_else(|unmet: &Unmet| panic!("{unmet}"));
        [found.interval, found.shift].map(|span| format!("{:.3}", span.as_secs_f64()))
    };
    assert_eq!(seconds(&of("{exponential: 20ms}").known), ["9.976", "20.024"]);
    let heavy = of("{lognormal: {median: 2800560ns, p99: 282223us}}");
    assert_eq!(seconds(&heavy.moments), ["9.710", "20.290"]);
    let unasked = answer(&heartbeat("{detection: {max: 30s}}", "{}"));
    assert!(unasked.yardstick.is_none());
}

/// What the closed form says of a setting, with its least and most, and what the simulator sees of it.
#[test]
fn the_simulator_agrees_with_every_figure_that_it_is_shown_beside() {
    let mut tried = 0;
    for question in shipped() {
        let found = tune::answer(&question, &Means { events: 50_000, ..MEANS });
        let shown = found.shown().into_iter().map(|index| &found.front[index]).chain([&found.current]);
        for point in shown {
            let Some(seen) = &point.simulated else { continue };
            tried += 1;
            let (closed, sampled) = (point.figures.mistakes.total(), seen.mistakes_per_day);
            assert!(
                sampled.low <= closed.most && closed.least <= sampled.high,
                "{}: {:?}: {closed:?} a day, simulated {sampled:?}",
                question.name,
                point.values
            );
            let (_, most) = point.figures.detection.expect("a crash is seen in all of them");
            let (median, late) = seen.detection.expect("some crashes were simulated");
            assert!(
                median <= late && late <= most,
                "{}: {:?}: {late} beyond {most}",
                question.name,
                point.values
            );
        }
    }
    assert!(tried >= 40, "{tried} settings");
}

#[test]
fn with_no_events_nothing_is_simulated() {
    let question = &shipped()[0];
    let found = tune::answer(question, &Means { events: 0, ..MEANS });
    assert!(found.front.iter().chain([&found.current]).all(|point| point.simulated.is_none()));
}

#[test]
fn what_a_proof_would_run_are_scenarios_without_a_mistake() {
    for question in shipped() {
        let found = answer(&question);
        let trials = proof::trials(&question, &found);
        if !["redis-heartbeat", "redis-queue"].contains(&question.system.name.as_str()) {
            assert!(trials.is_err_and(|why| why.to_string().contains(&question.system.name)));
            continue;
        }
        let trials = trials.expect("there is such a fleet");
        assert_eq!(trials.len(), 4, "{trials:?}");
        for trial in trials {
            let source = Source::new("trial.yaml", &*trial.yaml);
            let loaded = load(&source, &Overrides::default());
            let loaded = loaded.unwrap_or_else(|errors| panic!("{}", render(&errors, false)));
            assert_eq!(loaded.scenario.name, trial.name);
        }
    }
}
