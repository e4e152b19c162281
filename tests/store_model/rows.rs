//! Random sequences of the commands on the tables.

use std::fmt;

use syncope::dist::Random;
use syncope::names::JobId;
use syncope::protocol::Command;
use syncope::protocol::command::JobStatus;

const STEPS_MAX: usize = 40;

/// One sequence names its own jobs only: the ids begin with its space.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub space: String,
    pub ops: Vec<Op>,
}

#[derive(Debug, Clone)]
pub enum Op {
    Command(Command),
    /// The finished jobs whose id contains the text, at most so many.
    Finished(String, u32),
}

impl Sequence {
    /// The `number`-th sequence of a seed.
    pub fn random(seed: u64, number: u64, space: String) -> Self {
        let mut draw = Draw { random: Random::stream(seed, &format!("postgres-{number}")), space: &space };
        let length = STEPS_MAX - draw.below(STEPS_MAX as u64 / 2) as usize;
        let ops = (0..length).map(|_| draw.op()).collect();
        Self { space, ops }
    }

    /// The same on jobs of another space.
    pub fn moved(&self, space: String) -> Self {
        let text = |text: &str| format!("{space}{}", text.strip_prefix(self.space.as_str()).unwrap_or(text));
        let ops = self.ops.iter().map(|op| match op {
            Op::Finished(part, limit) => Op::Finished(text(part), *limit),
            Op::Command(command) => {
                let mut command = command.clone();
                if let Command::SetStatus { job, .. }
                | Command::LoadSteps { job }
                | Command::SaveStep { job, .. }
                | Command::DropSteps { job }
                | Command::RecordEffect { job, .. } = &mut command
                {
                    *job = JobId::from(text(job.as_str()));
                }
                Op::Command(command)
            }
        });
        let ops = ops.collect();
        Self { space, ops }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ops.iter().enumerate().try_for_each(|(step, op)| writeln!(f, "{:3}. {op:?}", step + 1))
    }
}

struct Draw<'a> {
    random: Random,
    space: &'a str,
}

impl Draw<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn of<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize]
    }

    fn op(&mut self) -> Op {
        let (job, worker) = (self.job(), self.of(&["w1", "w2", "wörker 'x'"]).to_owned());
        Op::Command(match self.below(100) {
            0..35 => Command::SetStatus { job, status: self.status() },
            35..50 => Command::LoadSteps { job },
            50..72 => Command::SaveStep { job, step: self.number(), worker: worker.into() },
            72..76 => Command::DropSteps { job },
            76..90 => Command::RecordEffect { job, worker: worker.into(), attempt: self.number() },
            _ => {
                let part = self.of(&["", "a", "job", "nothing"]);
                return Op::Finished(format!("{}{part}", self.space), self.of(&[0, 1, 2, 100]));
            }
        })
    }

    fn job(&mut self) -> JobId {
        let name = self.of(&["a", "a", "ab", "job-1", "ö' \"%_"]);
        JobId::from(format!("{}{name}", self.space))
    }

    fn status(&mut self) -> JobStatus {
        match self.below(10) {
            0..2 => JobStatus::Pending,
            2..5 => JobStatus::Processing,
            5 => JobStatus::Completed,
            _ => {
                JobStatus::Failed { error: self.of(&["", "no luck", "it's"]).into(), attempts: self.number() }
            }
        }
    }

    /// Now and then one beyond the column's range, or at its end.
    fn number(&mut self) -> u32 {
        match self.below(20) {
            0 => self.of(&[i32::MAX as u32, i32::MAX as u32 + 1, u32::MAX]),
            _ => self.below(6) as u32,
        }
    }
}
