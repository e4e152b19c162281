//! Questions to `syncope tune`, and their answers.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use syncope::cli::input;
use syncope::dist::{Distribution, Random};
use syncope::history::log::History;
use syncope::history::{FORMAT, Header};
use syncope::run::ensemble;
use syncope::scenario::question::{Question, read, schema};
use syncope::scenario::{FileKind, Overrides, Scenario, Source, load, render};
use syncope::time::Span;
use syncope::timing::Pipeline;
use syncope::timing::qos::configure::{Configuration, Unmet};
use syncope::tune::figures::Figures;
use syncope::tune::ledger::{Key, Ledger};
use syncope::tune::sensitivity::{Assumption, Spare};
use syncope::tune::simulated::Simulated;
use syncope::tune::{self, Answer, Constraint, Means, Point, Trace, proof};

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

/// One test: the answers are what takes the time.
#[test]
fn every_shipped_question_has_an_answer_that_holds_what_it_asks() {
    let questions = shipped();
    assert!(questions.len() >= 8);
    let mut simulated = 0;
    for question in questions {
        let found = tune::answer(&question, &Means { events: 50_000, ..MEANS });
        holds_what_it_asks(&question, &found);
        simulated += agrees_with_the_simulator(&question, &found);
        can_be_tried(&question, &found);
    }
    assert!(simulated >= 40, "{simulated} settings");
}

fn holds_what_it_asks(question: &Question, answer: &Answer) {
    let name = &question.name;
    let chosen = &answer.front[answer.recommended.unwrap_or_else(|| panic!("{name}: {:?}", answer.unmet))];
    assert!(chosen.holds(), "{name}");
    let spare = |point: &Point| {
        let pipeline = point.pipeline(question).expect("it is on the front");
        Spare { pipeline: &pipeline, question, asked: &answer.asked }.least()
    };
    let nearest = answer.breaks.first().map_or(1_000.0, |it| it.factor);
    assert_eq!(spare(chosen), nearest, "{name}");
    for other in answer.front.iter().step_by(answer.front.len().div_ceil(6)) {
        assert!(spare(other) <= nearest, "{name}: {:?} bears more", other.values);
    }
    for one in &answer.front {
        assert!(one.holds());
        assert!(!answer.front.iter().any(|other| other.cost().dominates(&one.cost())), "{name}");
    }
    assert!(answer.breaks.windows(2).all(|pair| pair[0].factor <= pair[1].factor));
    assert!(answer.breaks.iter().all(|breaks| breaks.factor >= 1.0), "{name}: {:?}", answer.breaks);
}

/// What the closed form says of a setting, with its least and most, and what the simulator sees of it. How many
/// were simulated.
fn agrees_with_the_simulator(question: &Question, found: &Answer) -> usize {
    let shown = found.shown().into_iter().map(|index| &found.front[index]).chain([&found.current]);
    let mut tried = 0;
    for point in shown {
        let Some(seen) = &point.simulated else { continue };
        tried += 1;
        let (name, values) = (&question.name, &point.values);
        let (closed, sampled) = (point.figures.mistakes.total(), seen.mistakes_per_day);
        assert!(
            sampled.low <= closed.most && closed.least <= sampled.high,
            "{name}: {values:?}: {closed:?} a day, simulated {sampled:?}"
        );
        let (_, most) = point.figures.detection.expect("a crash is seen in all of them");
        let (median, late) = seen.detection.expect("some crashes were simulated");
        assert!(median <= late && late <= most, "{name}: {values:?}: {late} beyond {most}");
    }
    tried
}

/// What a proof would run are scenarios without a mistake.
fn can_be_tried(question: &Question, found: &Answer) {
    let trials = proof::trials(question, found);
    if !["redis-heartbeat", "redis-queue"].contains(&question.system.name.as_str()) {
        assert!(trials.is_err_and(|why| why.to_string().contains(&question.system.name)));
        return;
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

/// Remembers all that it is told.
#[derive(Default)]
struct Memory {
    known: Mutex<HashMap<Key, Simulated>>,
    recalled: AtomicUsize,
}

impl Ledger for Memory {
    fn expect(&self, _settings: usize) {}

    fn recall(&self, key: Key) -> Option<Simulated> {
        let found = self.known.lock().unwrap().get(&key).copied();
        self.recalled.fetch_add(usize::from(found.is_some()), Ordering::Relaxed);
        found
    }

    fn keep(&self, key: Key, simulated: &Simulated) {
        assert!(self.known.lock().unwrap().insert(key, *simulated).is_none(), "it was known");
    }

    fn settled(&self) {}
}

#[test]
fn what_a_ledger_recalls_is_not_simulated_again_and_gives_the_same_answer() {
    let question = heartbeat("{detection: {max: 40s}, mistakes_per_day: {max: 0.5}}", "{loss: 0.02}");
    let memory = Memory::default();
    let told = || {
        let found = tune::answer_with(&question, &MEANS, &memory);
        syncope::report::answer::json(&question, &found)
    };
    let (first, kept) = (told(), memory.known.lock().unwrap().len());
    assert!(kept > 3 && memory.recalled.load(Ordering::Relaxed) == 0, "{kept}");
    assert!(told() == first && memory.recalled.load(Ordering::Relaxed) == kept);
    // With another seed nothing is known.
    let _ = tune::answer_with(&question, &Means { seed: 2, ..MEANS }, &memory);
    assert_eq!(memory.recalled.load(Ordering::Relaxed), kept);
}

/// A pause of 10 s each 45 s, and each fiftieth beat lost: a beat each 21 s, good for 42 s, is lost with the next
/// one late far oftener than what is reckoned, which is one of them at a time.
#[test]
fn where_losses_and_pauses_coincide_the_simulation_is_believed() {
    let question = |limit: &str| {
        question(&format!(
            "name: a\nsystem: redis-heartbeat\nworkers: {{now: 1}}\ncurrent: {{interval: 21s, ttl: 42s, retries: 0}}\n\
             vary: {{ttl: [42s]}}\nhold: {{detection: {{max: 45s}}, mistakes_per_day: {{max: {limit}}}}}\n\
             bear: {{loss: 0.02, pauses: {{gap: {{exponential: 45s}}, lasting: {{constant: 10s}}}}}}\n"
        ))
    };
    let found = answer(&question("1000"));
    let (now, seen) = (&found.current, found.current.simulated.expect("it can be"));
    let reckoned = now.figures.mistakes.total().most;
    assert!(now.coincide() && seen.mistakes_per_day.low > reckoned, "{reckoned}, {seen:?}");
    assert!(found.recommended.is_some());
    let limit = f64::midpoint(reckoned, seen.mistakes_per_day.low);
    let found = answer(&question(&limit.to_string()));
    assert_eq!((found.front.len(), found.recommended), (1, None), "the simulation refutes it");
    let text = syncope::report::answer::text(&question(&limit.to_string()), &found);
    assert!(text.contains("the simulation refutes the best") && text.contains('!'), "{text}");
}

#[test]
fn with_no_events_nothing_is_simulated() {
    let question = &shipped()[0];
    let found = tune::answer(question, &Means { events: 0, ..MEANS });
    assert!(found.front.iter().chain([&found.current]).all(|point| point.simulated.is_none()));
}

const RECORDED: &str = "name: recorded
about: Pauses of a worker, and beats over a slow link.
fleet:
  system: redis-heartbeat
  workers: 2
  settings: {interval: 5s, ttl: 60s, threshold: 60s}
stack: {redis: {durability: aof}, postgres: {}}
workload: {jobs: 100, arrival: {every: 10s}, steps: 2, step_time: {uniform: [200ms, 600ms]}}
faults:
  - pauses: {target: {process: worker-1}, count: 40, lasting: {uniform: [1s, 4s]}, gap: {exponential: 15s}}
    when: {at: 10s}
";

fn recorded(yaml: &str, seed: u64) -> (Scenario, History) {
    let source = Source::new("recorded.yaml", yaml);
    let loaded = load(&source, &Overrides::default());
    let scenario = loaded.unwrap_or_else(|errors| panic!("{}", render(&errors, false))).scenario;
    let header = Header {
        format: FORMAT,
        run_id: "run".to_owned(),
        path: "recorded.yaml".to_owned(),
        source: yaml.to_owned(),
        rules: None,
        backend: "sim".to_owned(),
        seed,
        time_scale: None,
        started_at: "2026-11-23T00:00:00Z".to_owned(),
        repeat: 1,
        replay: String::new(),
    };
    let history = ensemble::history(&scenario, header).expect("it can be simulated");
    (scenario, history)
}

#[test]
fn what_was_recorded_takes_the_place_of_what_is_assumed() {
    let runs: Vec<_> = (1..=3).map(|seed| recorded(RECORDED, seed)).collect();
    let trace = Trace::of(runs.iter().map(|(scenario, history)| (scenario, history)));
    let pauses = trace.pauses.as_ref().expect("there were some");
    assert_eq!((trace.runs, trace.scaled, pauses.count), (3, false, 120));
    // As the scenario draws them.
    assert!(
        pauses.recorded.min() >= Span::from_millis(990) && pauses.recorded.max() <= Span::from_millis(4_010)
    );
    assert!(matches!(pauses.shape, Distribution::Uniform { .. }) && pauses.is_close(), "{pauses:?}");
    // Two workers, of whom one is paused: 15 s and 2.5 s apart, while the other runs as long.
    let ran = trace.observed.as_secs_f64();
    let apart = trace.pauses_apart().expect("there were some").as_secs_f64();
    assert!((apart - (ran / 120.0 - 2.5)).abs() < 0.2 && (1_900.0..9_000.0).contains(&ran), "{apart}, {ran}");
    // What a pause touched is no lateness of beats.
    let late = trace.lateness.as_ref().expect("there were beats");
    assert!(late.count > 300 && late.recorded.max() < Span::from_millis(100), "{late:?}");
    let mut question = question(
        "name: a\nsystem: redis-heartbeat\nworkers: {now: 4}\nvary: {ttl: [30s, 45s]}\n\
         hold: {detection: {max: 60s}}\nbear: {loss: 0.25, delay: {constant: 9s}}\n",
    );
    trace.replace(&mut question.bear);
    assert!(question.bear.delay.max() < Span::from_millis(200), "{:?}", question.bear.delay);
    let lasting = &question.bear.pauses.as_ref().expect("they were recorded").lasting;
    assert!((lasting.mean().as_secs_f64() - 2.5).abs() < 0.3);
    assert_eq!(question.bear.loss_ppm, 250_000, "nothing was learnt of it");
    let mut found = answer(&question);
    found.trace = Some(trace);
    let (text, html) =
        (syncope::report::answer::text(&question, &found), syncope::report::answer::html(&question, &found));
    assert!(text.contains("pauses: 120 seen") && text.contains("closest: {uniform: ["), "{text}");
    assert_eq!(html.matches("<svg").count(), 6);
    let json: serde_json::Value =
        serde_json::from_str(&syncope::report::answer::json(&question, &found)).unwrap();
    assert_eq!(json["recorded"]["pauses"]["count"], 120);
}

#[test]
fn where_nothing_paused_the_question_s_own_pauses_stand_and_the_zero_has_its_bound() {
    let faults = RECORDED.find("faults:").expect("it has some");
    let (scenario, history) = recorded(&RECORDED[..faults], 1);
    let trace = Trace::of([(&scenario, &history)]);
    assert!(trace.pauses.is_none() && trace.pauses_apart().is_none());
    let days = trace.observed.as_secs_f64() / 86_400.0;
    let most = trace.pauses_per_day_at_most().expect("a zero");
    assert!((most * days - 100_f64.ln()).abs() < 0.01, "{most}");
    let mut question =
        heartbeat("{detection: {max: 60s}}", "{pauses: {gap: {exponential: 1h}, lasting: {constant: 2s}}}");
    let before = question.bear.pauses.clone();
    trace.replace(&mut question.bear);
    assert_eq!(question.bear.pauses, before);
}
