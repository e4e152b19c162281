//! The terminal: a live line for each scenario where somebody looks on, plain lines elsewhere, and
//! the table of verdicts at the end.
//!
//! Progress goes to the error stream, the table to the output stream.

mod progress;
mod table;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize as _;

use crate::check::Judged;
use crate::history::{Event, What};
use crate::protocol::FleetEvent;
use crate::report::{NotRun, Paths, Summary, text};

use progress::Progress;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A line for each running scenario, redrawn.
    Live,
    /// A line for each thing of note, never redrawn, no escape codes.
    Plain,
}

impl Mode {
    /// Live if the error stream is a terminal that can be redrawn.
    #[must_use]
    pub fn detect() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb { Self::Live } else { Self::Plain }
    }
}

/// Shared by all scenarios' threads. `event` is cheap for what is not shown.
pub struct Console {
    state: Mutex<State>,
}

struct State {
    screen: Screen,
    running: BTreeMap<String, Running>,
    /// The line of the whole suite, on a screen that is redrawn.
    suite: Option<ProgressBar>,
}

enum Screen {
    Live(MultiProgress),
    Plain(Box<dyn Write + Send>),
}

struct Running {
    progress: Progress,
    bar: Option<ProgressBar>,
}

impl Console {
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        match mode {
            Mode::Live => Self::on(Screen::Live(MultiProgress::new())),
            Mode::Plain => Self::plain(Box::new(io::stderr())),
        }
    }

    /// Plain lines to any writer.
    #[must_use]
    pub fn plain(to: Box<dyn Write + Send>) -> Self {
        Self::on(Screen::Plain(to))
    }

    fn on(screen: Screen) -> Self {
        Self { state: Mutex::new(State { screen, running: BTreeMap::new(), suite: None }) }
    }

    /// A line about the run as a whole: which backend was taken, and why.
    pub fn note(&self, what: &str) {
        self.lock().screen.say(&text::clean(what, 2_000));
    }

    /// A line about what is odd and stops nothing.
    pub fn warn(&self, what: &str) {
        self.lock().screen.say(&format!("{} {}", "warning:".yellow().bold(), text::clean(what, 2_000)));
    }

    /// `scenario` names the scenario in every later call; unique in the run.
    pub fn started(&self, scenario: &str) {
        let mut state = self.lock();
        let bar = state.screen.begin(scenario);
        state.running.insert(scenario.to_owned(), Running { progress: Progress::default(), bar });
        if matches!(state.screen, Screen::Plain(_)) {
            state.screen.say(&format!("{}: started", text::clean(scenario, 100)));
        }
    }

    pub fn event(&self, scenario: &str, event: &Event) {
        if !is_shown(&event.ev) {
            return;
        }
        let mut state = self.lock();
        let State { screen, running, .. } = &mut *state;
        let Some(Running { progress, bar }) = running.get_mut(scenario) else { return };
        let news = progress.take(event);
        match (bar, news) {
            (Some(bar), _) => bar.set_message(progress.line()),
            (None, Some(news)) => screen.say(&format!("{}: {news}", text::clean(scenario, 100))),
            (None, None) => {}
        }
    }

    pub fn judged(&self, scenario: &str, judged: &Judged) {
        self.end(scenario, &table::verdict_line(scenario, judged));
    }

    /// How far the whole suite is, in words.
    pub fn progress(&self, words: &str) {
        let mut state = self.lock();
        if state.suite.is_none() {
            state.suite = state.screen.begin("suite");
        }
        match &state.suite {
            Some(bar) => bar.set_message(words.to_owned()),
            None => state.screen.say(words),
        }
    }

    /// Nothing more will be told by [`Self::progress`].
    pub fn progress_over(&self) {
        if let Some(bar) = self.lock().suite.take() {
            bar.finish_and_clear();
        }
    }

    /// The scenario cannot be run here.
    pub fn not_run(&self, not_run: &NotRun) {
        let line = format!("{}: not run: {}", text::clean(&not_run.name, 100), text::line(&not_run.reason));
        self.end(&not_run.name, &line);
    }

    /// Prints the table of verdicts and where the reports are to the output stream.
    pub fn finish(&self, summary: &Summary, paths: &Paths) {
        self.progress_over();
        let mut state = self.lock();
        for (_, running) in std::mem::take(&mut state.running) {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
        drop(state);
        let mut out = anstream::stdout().lock();
        // A closed output stream ends a pipe, not the run.
        let _ = out.write_all(table::render(summary, paths).as_bytes()).and_then(|()| out.flush());
    }

    fn end(&self, scenario: &str, line: &str) {
        let mut state = self.lock();
        if let Some(bar) = state.running.remove(scenario).and_then(|running| running.bar) {
            bar.finish_and_clear();
        }
        state.screen.say(line);
    }

    /// A thread that panicked while it printed has left nothing that matters half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    fn begin(&self, scenario: &str) -> Option<ProgressBar> {
        let Self::Live(screen) = self else { return None };
        let bar = screen.add(ProgressBar::new_spinner());
        let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed:>4}  {wide_msg}");
        // The template is a constant that the tests have read.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(text::clean(scenario, 60));
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Some(bar)
    }

    fn say(&mut self, line: &str) {
        match self {
            Self::Live(screen) => {
                let line =
                    if colour() { line.to_owned() } else { anstream::adapter::strip_str(line).to_string() };
                let _ = screen.println(line);
            }
            Self::Plain(to) => {
                let _ = writeln!(to, "{}", anstream::adapter::strip_str(line)).and_then(|()| to.flush());
            }
        }
    }
}

fn colour() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Beats and probes come by the thousand: they are let pass before the lock.
fn is_shown(what: &What) -> bool {
    matches!(
        what,
        What::Phase(_)
            | What::FaultDone { .. }
            | What::FaultUnproved { .. }
            | What::EnqueueAnswered { .. }
            | What::Fleet(FleetEvent::Completed { .. })
            | What::Interrupted
            | What::Aborted { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fault::{FaultId, Injection, Order, Stage};
    use crate::history::Phase;
    use crate::time::{Instant, Span};

    #[test]
    fn the_live_line_has_a_template_that_can_be_read() {
        assert!(ProgressStyle::with_template("{spinner} {prefix}  {elapsed:>4}  {wide_msg}").is_ok());
    }

    #[test]
    fn the_console_is_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Console>();
    }

    #[test]
    fn plain_lines_tell_what_is_of_note_and_nothing_else() {
        let written = Written::default();
        let console = Console::plain(Box::new(written.clone()));
        let order = Order {
            fault: FaultId(0),
            part: 0,
            stage: Stage::Onset,
            injection: Injection::Pause { process: "worker-1".into() },
        };
        let effective = (Instant::ZERO, Instant::ZERO);
        console.warn("a beat\u{1b}[31m");
        console.started("gc");
        for ev in [
            What::Phase(Phase::Provision),
            What::Phase(Phase::Inject),
            What::Fleet(FleetEvent::Beat { sent: Instant::ZERO }),
            What::FaultDone {
                order: Box::new(order),
                effective,
                lateness: Span::ZERO,
                proof: "state T\x1b[2J\n".into(),
            },
            What::Aborted { reason: "redis is gone".into() },
        ] {
            console.event("gc", &Event { at: Instant::ZERO, by: "harness".into(), ev });
        }
        let reason = "no libfaketime".to_owned();
        console.not_run(&NotRun { name: "drift".into(), path: String::new(), reason, hint: None });
        assert_eq!(
            String::from_utf8(written.0.lock().unwrap().clone()).unwrap(),
            "warning: a beat␛[31m\n\
             gc: started\n\
             gc: workload and faults\n\
             gc: fault: pause worker-1 (state T␛[2J)\n\
             gc: aborted: redis is gone\n\
             drift: not run: no libfaketime\n"
        );
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
