//! `syncope run`: resolve every file or start nothing; run; report; exit by the verdict.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::BackendError;
use crate::check::{Judged, Simulated};
use crate::cli::ground::{BackendChoice, Ground, Trouble};
use crate::cli::input::Input;
use crate::cli::{claims as claims_file, exit, input, run_file, simulate, warnings};
use crate::history::log::History;
use crate::history::{FORMAT, Header};
use crate::live::clock;
use crate::report::console::{Console, Mode};
use crate::report::{self, NotRun, Paths, RunInfo, Summary};
use crate::run::pace::SuiteProgress;
use crate::run::suite::{Case, Outcome, Suite};
use crate::scenario::claims::Claims;
use crate::scenario::{Diagnostic, FileKind, Overrides, Scenario, Source, render};
use crate::time::Scale;

/// Of a suite's scenarios whose host stalled.
const SUITE_RETRIES: u32 = 2;
/// Of a simulated scenario's seeds that did not pass, so many are run again with their histories.
const OTHERS_SHOWN: usize = 3;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenario files, or folders of them.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Where to run. `auto` takes containers if an engine answers, else local processes.
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    backend: BackendChoice,
    /// Only scenarios with this tag; may be given several times.
    #[arg(long)]
    tag: Vec<String>,
    /// Scenarios at once. Default: as many as this machine bears.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Run each scenario so often, each time with a seed of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeat: u32,
    /// The seed of every random choice; default: the scenario's own, else one that is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// In place of each file's time_scale: 0.1 runs at a tenth of the time.
    #[arg(long)]
    time_scale: Option<Scale>,
    /// Where the reports go, in a folder for each run.
    #[arg(long, default_value = "reports")]
    out: PathBuf,
    /// Statements to be judged by what is measured. Default: a claims file among the paths, else
    /// catalog/claims.yaml, else those that come with the program.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// Leave stores and processes as they are at the end; `syncope clean` removes them.
    #[arg(long)]
    keep: bool,
    /// How often a scenario is run again that a stall of the host made inconclusive, at the end and with
    /// less beside it. Nothing else is ever run again, and the report says so. Default: 2 in a suite of
    /// several scenarios, 0 for one alone.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    host_retries: Option<u32>,
    /// Start nothing more after the first scenario that does not pass.
    #[arg(long)]
    fail_fast: bool,
}

pub fn run(args: &Args) -> u8 {
    let console = Console::new(Mode::detect());
    match carry_out(args, &console) {
        Ok(Done { summary, paths, code }) => {
            console.finish(&summary, &paths);
            code
        }
        Err(code) => code,
    }
}

/// What a run came to.
pub(super) struct Done {
    pub summary: Summary,
    pub paths: Paths,
    /// By the verdict.
    pub code: u8,
}

impl Args {
    /// So many runs of each of these, with the reports in `out`.
    pub(super) fn of(
        paths: Vec<PathBuf>,
        backend: BackendChoice,
        repeat: u32,
        seed: u64,
        out: PathBuf,
    ) -> Self {
        Self {
            paths,
            backend,
            tag: Vec::new(),
            jobs: None,
            repeat,
            seed: Some(seed),
            time_scale: None,
            out,
            claims: None,
            keep: false,
            host_retries: None,
            fail_fast: false,
        }
    }
}

/// Runs and writes the reports. The exit code where nothing was run: why is told already.
pub(super) fn carry_out(args: &Args, console: &Console) -> Result<Done, u8> {
    let resolved = resolve_all(args)?;
    for line in warnings::lines(&resolved.warned) {
        console.warn(&line);
    }
    let done = execute(args, resolved.scenarios, &resolved.claims, console);
    done.map_err(|Trouble { message, hint, code }| {
        anstream::eprintln!("error: {message}");
        if let Some(hint) = hint {
            anstream::eprintln!("hint: {hint}");
        }
        code
    })
}

/// Every scenario that was asked for, the warnings of all of them, and the claims that they bear on.
struct Resolved {
    scenarios: Vec<(Source, Scenario)>,
    warned: Vec<Diagnostic>,
    claims: Claims,
}

/// What is to be run; or every error of every file is told, and this is the exit code.
fn resolve_all(args: &Args) -> Result<Resolved, u8> {
    let (inputs, mut broken) = match input::read_all(&args.paths) {
        Ok(inputs) => (inputs, Vec::new()),
        Err(diagnostics) => (Vec::new(), diagnostics),
    };
    let overrides = Overrides { time_scale: args.time_scale, seed: args.seed };
    let mut scenarios = Vec::new();
    let mut warned = Vec::new();
    let has_tag =
        |scenario: &Scenario| args.tag.is_empty() || scenario.tags.iter().any(|tag| args.tag.contains(tag));
    let mut claims_among = None;
    for Input { source, kind } in inputs {
        match kind {
            FileKind::Scenario { .. } => {}
            FileKind::Claims => {
                claims_among = Some(source);
                continue;
            }
            FileKind::Rules | FileKind::Entry | FileKind::Question => continue,
        }
        match input::load(&source, &overrides) {
            Ok(loaded) if has_tag(&loaded.scenario) => {
                warned.extend(loaded.warnings);
                scenarios.push((source, loaded.scenario));
            }
            Ok(_) => {}
            Err(diagnostics) => broken.extend(diagnostics),
        }
    }
    let claims = match claims_file::choose(args.claims.as_deref(), claims_among) {
        Ok(claims) => Some(claims),
        Err(diagnostics) => {
            broken.extend(diagnostics);
            None
        }
    };
    if !broken.is_empty() {
        let colour = std::io::stderr().is_terminal();
        anstream::eprint!("{}", render(&broken, colour));
        anstream::eprintln!("error: {} in the files; nothing was started", counted(broken.len(), "mistake"));
        return Err(exit::USAGE);
    }
    if scenarios.is_empty() {
        let why = match args.tag.as_slice() {
            [] => "there is no scenario in the paths".to_owned(),
            tags => format!("no scenario has the tag {}", tags.join(" or ")),
        };
        anstream::eprintln!("error: {why}");
        return Err(exit::USAGE);
    }
    let mut names: Vec<&str> = scenarios.iter().map(|(_, scenario)| scenario.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        anstream::eprintln!(
            "error: two scenarios are named `{}`: their reports would overwrite each other",
            twice[0]
        );
        return Err(exit::USAGE);
    }
    // Without claims there was a mistake, and nothing is started.
    let claims = claims.ok_or(exit::USAGE)?;
    Ok(Resolved { scenarios, warned, claims })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn execute(
    args: &Args,
    scenarios: Vec<(Source, Scenario)>,
    claims: &Claims,
    console: &Console,
) -> Result<Done, Trouble> {
    let started = jiff::Timestamp::now();
    let run_id = run_id(started);
    let ground = Ground::choose(args.backend, &run_id)?;
    let interrupted = ground.watch_for_interrupts();
    console.note(&format!("backend {}: {}", ground.name(), ground.why()));
    ground.prepare(scenarios.iter().map(|(_, scenario)| scenario), &|line| console.note(line))?;
    let seed = args.seed.unwrap_or_else(random_seed);
    if args.seed.is_none() {
        console.note(&format!("seed {seed} where a scenario has none of its own"));
    }
    let directory = args.out.join(&run_id);
    fs::create_dir_all(&directory)
        .map_err(|error| Trouble::io(&format!("create {}", directory.display()), &error))?;
    let stage = Stage { args, ground: &ground, console, interrupted: &interrupted, directory: &directory };
    let mut info = RunInfo {
        run_id: run_id.clone(),
        backend: ground.name().into(),
        started_at: started.to_string(),
        interrupted: false,
        command: command_line(),
        not_run: Vec::new(),
        host_notes: Vec::new(),
    };
    let cases = cases(args, scenarios, &ground, seed, &run_id, started);
    let mut ran = Ran::default();
    stage.run(&cases, &mut ran, &mut info)?;
    let seeds = match &ground {
        Ground::Live { .. } => simulate::RUNS,
        Ground::Sim { .. } => u64::from(args.repeat),
    };
    let simulated = simulate::all(&cases, seeds, &interrupted, console);
    if let Ground::Sim { .. } = &ground {
        stage.run(&others(&cases, &simulated), &mut ran, &mut info)?;
    }
    ground.close(args.keep);
    info.interrupted = interrupted.load(Ordering::SeqCst);
    let failed = |error| Trouble::io("write the reports", &error);
    for (folder, judged) in ran.folders.iter().zip(&ran.judged) {
        if let (1, Some(simulated)) = (judged.repeat, simulated.get(&judged.path)) {
            simulate::store(&directory.join(folder), simulated).map_err(failed)?;
        }
    }
    simulate::attach(&mut ran.judged, &simulated);
    run_file::write(&directory, &info, ran.folders).map_err(failed)?;
    claims_file::store(&directory, claims).map_err(failed)?;
    let summary = report::merge(&info, ran.judged).with_claims(claims);
    let paths = report::write_all(&directory, &summary, &ran.histories).map_err(failed)?;
    let code = exit_code(&summary, &info);
    Ok(Done { summary, paths, code })
}

/// What every part of a run needs.
struct Stage<'a> {
    args: &'a Args,
    ground: &'a Ground,
    console: &'a Console,
    interrupted: &'a AtomicBool,
    directory: &'a Path,
}

impl Stage<'_> {
    fn run(&self, cases: &[Case], ran: &mut Ran, info: &mut RunInfo) -> Result<(), Trouble> {
        let Self { args, ground, console, interrupted, directory } = *self;
        let suite = Suite {
            open: &|index, case| {
                console.started(&case.folder);
                ground.open(index, case)
            },
            clock: ground.clock(),
            on_event: &|index, event| console.event(&cases[index].folder, event),
            on_outcome: &|index, outcome| tell(console, &cases[index], outcome),
            on_progress: &|progress| {
                if progress.ended < progress.total {
                    console.progress(&suite_line(progress));
                }
            },
            interrupted,
            at_once: args.jobs.map_or_else(|| ground.at_once(), usize::from),
            host_retries: args.host_retries.unwrap_or(if cases.len() > 1 { SUITE_RETRIES } else { 0 }),
            fail_fast: args.fail_fast,
            keep: args.keep,
            directory,
        };
        let ended = suite.run(cases).map_err(|error| Trouble::io("write the histories", &error))?;
        info.host_notes.extend(ended.host_notes);
        sort_out(cases, ended.outcomes, ran, info);
        Ok(())
    }
}

fn suite_line(progress: SuiteProgress) -> String {
    let SuiteProgress { ended, running, total, left } = progress;
    let left = left.map_or_else(String::new, |left| match left.as_secs_f64().round() {
        seconds if seconds < 90.0 => format!(", about {seconds:.0} s left"),
        seconds => format!(", about {:.0} min left", seconds / 60.0),
    });
    format!("{ended} of {total} done, {running} running{left}")
}

/// Seeds of a simulated run that did not pass, a few of each scenario, to be run with their histories.
fn others(cases: &[Case], simulated: &BTreeMap<String, Simulated>) -> Vec<Case> {
    let mut others = Vec::new();
    for case in cases {
        let seeds = simulated.get(&case.header.path).map_or(&[][..], |figures| &figures.other_seeds);
        for &seed in seeds.iter().filter(|seed| **seed != case.header.seed).take(OTHERS_SHOWN) {
            let mut other = case.clone();
            let number = seed.wrapping_sub(case.header.seed).saturating_add(1);
            other.header.replay = case
                .header
                .replay
                .replace(&format!("--seed {}", case.header.seed), &format!("--seed {seed}"));
            other.header.seed = seed;
            other.header.repeat = u32::try_from(number).unwrap_or(u32::MAX);
            other.folder = format!("{}.{number}", case.scenario.name);
            others.push(other);
        }
    }
    others
}

fn exit_code(summary: &Summary, info: &RunInfo) -> u8 {
    if info.interrupted {
        exit::INTERRUPTED
    } else if summary.scenarios.is_empty() && !info.not_run.is_empty() {
        exit::ENVIRONMENT
    } else {
        exit::of(summary.verdict)
    }
}

fn tell(console: &Console, case: &Case, outcome: &Outcome) {
    match outcome {
        Outcome::Judged { judged, .. } => console.judged(&case.folder, judged),
        Outcome::NotRun { error } => console.not_run(&not_run(case, error)),
        Outcome::Skipped => {}
    }
}

fn not_run(case: &Case, error: &BackendError) -> NotRun {
    let hint = error.hint().map(str::to_owned);
    NotRun { name: case.folder.clone(), path: case.header.path.clone(), reason: error.to_string(), hint }
}

/// The cases that ran, in the order in which they were given.
#[derive(Default)]
struct Ran {
    folders: Vec<String>,
    judged: Vec<Judged>,
    histories: Vec<History>,
}

fn sort_out(cases: &[Case], outcomes: Vec<Outcome>, ran: &mut Ran, info: &mut RunInfo) {
    for (case, outcome) in cases.iter().zip(outcomes) {
        match outcome {
            Outcome::Judged { judged, history } => {
                ran.folders.push(case.folder.clone());
                ran.judged.push(*judged);
                ran.histories.push(history);
            }
            Outcome::NotRun { error } => info.not_run.push(not_run(case, &error)),
            Outcome::Skipped => info.not_run.push(NotRun {
                name: case.folder.clone(),
                path: case.header.path.clone(),
                reason: "the run ended before its turn".into(),
                hint: None,
            }),
        }
    }
}

fn cases(
    args: &Args,
    scenarios: Vec<(Source, Scenario)>,
    ground: &Ground,
    seed: u64,
    run_id: &str,
    started: jiff::Timestamp,
) -> Vec<Case> {
    let repeats = match ground {
        Ground::Live { .. } => args.repeat,
        Ground::Sim { .. } => 1,
    };
    let mut cases = Vec::new();
    for (source, scenario) in scenarios {
        let first_seed = args.seed.or(scenario.seed).unwrap_or(seed);
        for repeat in 1..=repeats {
            let seed = first_seed.wrapping_add(u64::from(repeat - 1));
            let path = source.path().display().to_string();
            let scale = args.time_scale.map(|scale| scale.to_string());
            let header = Header {
                format: FORMAT,
                run_id: ground.run_id(run_id).to_owned(),
                source: source.text().to_owned(),
                rules: source.rules().and_then(|rules| rules.text.clone().ok()),
                backend: ground.name().to_owned(),
                seed,
                replay: replay(&path, ground.name(), seed, scale.as_deref()),
                path,
                time_scale: scale,
                started_at: ground.started_at(started),
                repeat,
            };
            let folder =
                if repeat == 1 { scenario.name.clone() } else { format!("{}.{repeat}", scenario.name) };
            cases.push(Case { scenario: scenario.clone(), header, folder });
        }
    }
    cases
}

fn replay(path: &str, backend: &str, seed: u64, scale: Option<&str>) -> String {
    let scale = scale.map_or_else(String::new, |scale| format!(" --time-scale {scale}"));
    format!("syncope run {} --backend {backend} --seed {seed}{scale}", quoted(path))
}

/// For a shell to read back as one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// As it was typed, the program by its name.
fn command_line() -> String {
    let mut words = std::env::args();
    words.next();
    std::iter::once("syncope".to_owned()).chain(words.map(|word| quoted(&word))).collect::<Vec<_>>().join(" ")
}

/// Sortable, and distinct for runs that start in the same second.
fn run_id(started: jiff::Timestamp) -> String {
    format!("{}-{:04x}", started.strftime("%Y%m%d-%H%M%S"), random_seed() & 0xffff)
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    // The kernel's generator does not fail once the system is up.
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled.is_err() {
        return clock::monotonic().as_nanos();
    }
    // Few enough digits to be typed again.
    u64::from_le_bytes(bytes) % 1_000_000_000
}
