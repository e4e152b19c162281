//! Lines of a foreign process's output as events: what a pattern's match says.

use regex_lite::{Captures, Regex};

use crate::names::JobId;
use crate::protocol::FleetEvent;
use crate::time::{Instant, UnixMillis};

/// What a line says, if it matches the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRule {
    pub says: Says,
    /// With the named groups that [`Says::groups`] asks for.
    pub pattern: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Ready,
    Beat,
    Claimed,
    StepDone,
    EffectDone,
    Completed,
    LockLost,
    Abandoned,
    Clock,
}

impl Says {
    /// The named groups that a pattern must have.
    #[must_use]
    pub const fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Ready | Self::Beat => &[],
            Self::StepDone => &["job", "step"],
            Self::Clock => &["ms"],
            Self::Claimed | Self::EffectDone | Self::Completed | Self::LockLost | Self::Abandoned => &["job"],
        }
    }

    /// Those that it may have beside them.
    #[must_use]
    pub const fn further_groups(self) -> &'static [&'static str] {
        match self {
            Self::Claimed => &["attempt", "stalls"],
            _ => &[],
        }
    }

    /// `None` if a group that is a number holds none. `at` is when the line was read: what it says was so
    /// by then.
    fn event(self, groups: &Captures<'_>, at: Instant) -> Option<FleetEvent> {
        let job = || groups.name("job").map(|job| JobId::new(job.as_str()));
        let number = |name| groups.name(name).map(|number| number.as_str().parse::<u32>());
        let number_or_zero = |name| number(name).transpose().ok().map(Option::unwrap_or_default);
        Some(match self {
            Self::Ready => FleetEvent::Ready { pid: 0 },
            Self::Beat => FleetEvent::Beat { sent: at },
            Self::Claimed => FleetEvent::Claimed {
                job: job()?,
                attempt: number_or_zero("attempt")?,
                stalls: number_or_zero("stalls")?,
            },
            Self::StepDone => FleetEvent::StepDone { job: job()?, step: number("step")?.ok()?, fresh: true },
            Self::EffectDone => FleetEvent::EffectDone { job: job()? },
            Self::Completed => FleetEvent::Completed { job: job()? },
            Self::LockLost => FleetEvent::LockLost { job: job()? },
            Self::Abandoned => FleetEvent::Abandoned { job: job()? },
            // When it was asked, the one who asked knows.
            Self::Clock => FleetEvent::Clock {
                wall: UnixMillis(groups.name("ms")?.as_str().parse().ok()?),
                since: Instant::ZERO,
            },
        })
    }
}

/// The rules of a process, ready for its lines.
#[derive(Debug, Clone, Default)]
pub struct LineReader {
    rules: Vec<(Says, Regex)>,
}

impl LineReader {
    /// Rules whose patterns are none are left out: `scenario::resolve` has refused them before.
    #[must_use]
    pub fn new(rules: &[LineRule]) -> Self {
        let compiled = rules.iter().filter_map(|rule| Some((rule.says, Regex::new(&rule.pattern).ok()?)));
        Self { rules: compiled.collect() }
    }

    /// What the line says, in the order of the rules; nothing, if none matches.
    pub fn read<'l>(&'l self, line: &'l str, at: Instant) -> impl Iterator<Item = FleetEvent> + 'l {
        self.rules.iter().filter_map(move |(says, regex)| says.event(&regex.captures(line)?, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &[(Says, &str)], line: &str) -> Vec<FleetEvent> {
        let rules: Vec<LineRule> = rules
            .iter()
            .map(|(says, pattern)| LineRule { says: *says, pattern: (*pattern).into() })
            .collect();
        LineReader::new(&rules).read(line, Instant::from_nanos(7)).collect()
    }

    #[test]
    fn a_line_says_what_its_groups_hold() {
        let took = (Says::Claimed, r"^took (?<job>\S+) start (?<attempt>\d+) stalled (?<stalls>\d+)$");
        let step = (Says::StepDone, r"^step (?<job>\S+) (?<step>\d+)$");
        let clock = (Says::Clock, r"^clock (?<ms>\d+)$");
        let rules = [took, step, clock, (Says::Beat, "^beat$")];
        let job = || JobId::new("job-1");
        for (line, expected) in [
            ("took job-1 start 2 stalled 1", vec![FleetEvent::Claimed { job: job(), attempt: 2, stalls: 1 }]),
            ("step job-1 3", vec![FleetEvent::StepDone { job: job(), step: 3, fresh: true }]),
            ("beat", vec![FleetEvent::Beat { sent: Instant::from_nanos(7) }]),
            (
                "clock 1700000000123",
                vec![FleetEvent::Clock { wall: UnixMillis(1_700_000_000_123), since: Instant::ZERO }],
            ),
            ("clock 99999999999999999999", Vec::new()),
            ("step job-1 99999999999", Vec::new()),
            ("took", Vec::new()),
            ("", Vec::new()),
        ] {
            assert_eq!(read(&rules, line), expected, "{line}");
        }
    }

    #[test]
    fn one_line_may_say_two_things() {
        let rules = [(Says::EffectDone, "^done (?<job>.+)"), (Says::Completed, "^done (?<job>.+)")];
        let job = JobId::new("job-1");
        let expected = [FleetEvent::EffectDone { job: job.clone() }, FleetEvent::Completed { job }];
        assert_eq!(read(&rules, "done job-1"), expected);
    }

    #[test]
    fn what_a_line_does_not_tell_is_zero() {
        let expected = FleetEvent::Claimed { job: JobId::new("j"), attempt: 0, stalls: 0 };
        assert_eq!(read(&[(Says::Claimed, "took (?<job>.)")], "took j"), [expected]);
    }
}
