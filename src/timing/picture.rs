//! The worst case of a pipeline as a text picture, to scale: beats, the crash just after the last one,
//! the end of its validity, the looks, the suspicion.

use std::fmt::Write as _;

use crate::time::Span;
use crate::timing::{Checker, Detection, Expiry, Gate, Guard, Pipeline, Requeue, Sweep};

/// Columns of a line, at most.
const WIDTH_MAX: usize = 100;
const LABEL: usize = 11;
const LANE: usize = WIDTH_MAX - LABEL - 1;
/// More looks than this are not drawn one by one.
const LOOKS_MAX: u64 = 200;

/// The worst case while the sweeper lives, and below it, if it is another one, that in which it dies
/// with its victim. No line is longer than 100 columns.
#[must_use]
pub fn picture(pipeline: &Pipeline) -> String {
    let before = if pipeline.beats() { pipeline.interval() } else { Span::ZERO };
    let steady = pipeline.detection_while_sweeper_lives(Span::ZERO);
    let text = match steady {
        Detection::Never => return "No suspicion ever comes: there is no worst case to draw.\n".to_owned(),
        Detection::Chance { mean, p99, .. } => {
            let mut scene = Scene::new(pipeline, before, p99);
            scene.mark("chance", &[(mean, 'm'), (p99, '9')]);
            scene.finish(&format!("mean {mean} (m), p99 {p99} (9), no upper bound"))
        }
        Detection::Within(bounds) => draw(pipeline, before, bounds.max(), false),
    };
    let worst = pipeline.detection(Span::ZERO).most();
    match (steady.most(), worst) {
        (Some(steady), Some(worst)) if worst > steady => {
            format!("{text}\nIf the sweeper dies with its victim:\n{}", draw(pipeline, before, worst, true))
        }
        _ => text,
    }
}

fn draw(pipeline: &Pipeline, before: Span, suspicion: Span, sweeper_dies: bool) -> String {
    let requeue = match pipeline.recovery.requeue {
        Requeue::After(delay) => delay.max(),
        Requeue::Never => Span::ZERO,
    };
    let mut scene = Scene::new(pipeline, before, suspicion + requeue);
    scene.looks(pipeline, suspicion, sweeper_dies);
    scene.mark("suspicion", &[(suspicion, '!')]);
    if !requeue.is_zero() {
        scene.mark("requeue", &[(suspicion + requeue, 'r')]);
    }
    scene.finish(&format!("suspicion (!) {suspicion} after the crash"))
}

/// Lanes over one axis, from the last beat but one to the end. Times count from the crash.
struct Scene {
    text: String,
    before: Span,
    total: Span,
    end: Span,
    expiry: Span,
}

impl Scene {
    fn new(pipeline: &Pipeline, before: Span, end: Span) -> Self {
        let expiry = pipeline.expiry.effective() + pipeline.beat.latency;
        let total = before + end;
        let mut scene = Self { text: String::new(), before, total, end, expiry };
        if pipeline.beats() {
            scene.lane("beats", &[(scene.column_before(before), 'b'), (scene.column(Span::ZERO), 'b')]);
        } else if !matches!(pipeline.expiry, Expiry::Session(_)) {
            scene.mark("claim", &[(Span::ZERO, 'c')]);
        }
        scene.mark("crash", &[(Span::ZERO, 'x')]);
        scene.validity();
        scene
    }

    fn column(&self, after_crash: Span) -> usize {
        self.place(self.before + after_crash)
    }

    fn column_before(&self, before_crash: Span) -> usize {
        self.place(self.before - before_crash)
    }

    fn place(&self, at: Span) -> usize {
        let total = u128::from(self.total.as_nanos().max(1));
        let column = u128::from(at.as_nanos()) * (LANE as u128 - 1) / total;
        usize::try_from(column).unwrap_or(LANE - 1).min(LANE - 1)
    }

    fn mark(&mut self, label: &str, marks: &[(Span, char)]) {
        let columns: Vec<(usize, char)> = marks.iter().map(|(at, mark)| (self.column(*at), *mark)).collect();
        self.lane(label, &columns);
    }

    fn lane(&mut self, label: &str, marks: &[(usize, char)]) {
        let mut lane = vec![' '; LANE];
        for (column, mark) in marks {
            lane[*column] = *mark;
        }
        self.line(label, &lane);
    }

    fn validity(&mut self) {
        let (from, to) = (self.column(Span::ZERO), self.column(self.expiry));
        let mut lane = vec![' '; LANE];
        lane[from..=to].fill('=');
        lane[to] = '|';
        self.line("valid", &lane);
    }

    /// The looks of the worst case, ending with the one that suspects.
    fn looks(&mut self, pipeline: &Pipeline, suspicion: Span, sweeper_dies: bool) {
        let (label, step, last_gap, mark) = match pipeline.checker {
            Checker::OnDemand(asked) => {
                let tries: Vec<(Span, char)> = (0..=u64::from(asked.retries).min(LOOKS_MAX))
                    .map(|n| (suspicion - asked.backoff.saturating_mul(n), '?'))
                    .collect();
                self.mark("asked", &tries);
                return;
            }
            Checker::Sweep(sweep) => {
                let step = step_of(&sweep);
                ("sweeps", step, if sweeper_dies { blocked(&sweep) + step } else { step }, 's')
            }
            Checker::Chance { .. } | Checker::Nobody => return,
        };
        let mut columns = vec![(self.column(suspicion), mark)];
        // Back from the suspicion: first the gap that makes it late, then the rhythm.
        let mut back = last_gap;
        let span = self.before + suspicion;
        for _ in 0..LOOKS_MAX {
            if back > span || step.is_zero() {
                break;
            }
            columns.push((self.place(span - back), mark));
            back = back + step;
        }
        self.lane(label, &columns);
    }

    fn line(&mut self, label: &str, lane: &[char]) {
        let lane: String = lane.iter().collect();
        let line = format!("{label:<LABEL$}{lane}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// The axis with the crash, the expiry and the end, and the last line.
    fn finish(mut self, last: &str) -> String {
        let mut ruler = vec!['-'; LANE];
        let mut labels = vec![' '; LANE];
        let mut free_from = 0;
        for at in [Span::ZERO, self.expiry, self.end] {
            let column = self.column(at);
            ruler[column] = '+';
            let text: Vec<char> = at.to_string().chars().collect();
            let start = column.min(LANE.saturating_sub(text.len()));
            if start >= free_from && start + text.len() <= LANE {
                labels[start..start + text.len()].copy_from_slice(&text);
                free_from = start + text.len() + 1;
            }
        }
        self.line("", &ruler);
        self.line("time", &labels);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:LABEL$}validity ends (|) {} after the crash; {last}", "", self.expiry);
        self.text
    }
}

/// From one sweep to the next while the sweeper lives.
fn step_of(sweep: &Sweep) -> Span {
    let round = match sweep.gate {
        Gate::Idle(round) => round,
        Gate::Open | Gate::Leader(_) => Span::ZERO,
    };
    let period = match sweep.guard {
        Guard::Paced(guard) => sweep.period.max(guard),
        Guard::Held(_) | Guard::Free => sweep.period,
    };
    period + round
}

/// How long nobody can sweep once the sweeper is dead.
fn blocked(sweep: &Sweep) -> Span {
    let guard = match sweep.guard {
        Guard::Paced(guard) | Guard::Held(guard) => guard,
        Guard::Free => Span::ZERO,
    };
    match sweep.gate {
        Gate::Leader(ttl) => guard.max(ttl),
        Gate::Open | Gate::Idle(_) => guard,
    }
}
