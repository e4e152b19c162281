//! The effects as a process of the fleet tells them: JSON that is not to be trusted.

use serde::Deserialize;

use super::States;
use crate::history::FinalState;
use crate::names::{JobId, ProcessName};

/// An entry of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    job: JobId,
    effects: u32,
    #[serde(default)]
    failed: bool,
    steps: Option<Vec<u32>>,
    #[serde(default)]
    by: By,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum By {
    #[default]
    Nobody,
    One(ProcessName),
    Many(Vec<ProcessName>),
}

/// Adds what the JSON says: an object of job, count, or a list of entries. `with_steps`: each entry is
/// to have its steps.
pub(super) fn states(body: &[u8], with_steps: bool, jobs: &mut States) -> Result<(), String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let wrong = |error: serde_json::Error| format!("the effects are told in another shape: {error}");
    if first == Some(&b'{') {
        if with_steps {
            return Err("the effects are told without steps, and `steps: true` promises them".to_owned());
        }
        let counts: std::collections::BTreeMap<JobId, u32> = serde_json::from_slice(body).map_err(wrong)?;
        for (job, effects) in counts {
            add(jobs, job, FinalState { effects, ..FinalState::default() });
        }
        return Ok(());
    }
    let entries: Vec<Entry> = serde_json::from_slice(body).map_err(wrong)?;
    for Entry { job, effects, failed, steps, by } in entries {
        if with_steps && steps.is_none() {
            return Err(format!("the effects of {job} are told without steps"));
        }
        let by = match by {
            By::Nobody => Vec::new(),
            By::One(one) => vec![one],
            By::Many(many) => many,
        };
        add(jobs, job, FinalState { effects, failed, steps: steps.unwrap_or_default(), by });
    }
    Ok(())
}

/// A job may be told of twice: by two workers, say.
fn add(jobs: &mut States, job: JobId, told: FinalState) {
    let state = jobs.entry(job).or_default();
    state.effects = state.effects.saturating_add(told.effects);
    state.failed |= told.failed;
    state.steps.extend(told.steps);
    state.by.extend(told.by);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, with_steps: bool) -> Result<States, String> {
        let mut jobs = States::new();
        states(body.as_bytes(), with_steps, &mut jobs).map(|()| jobs)
    }

    #[test]
    fn effects_are_told_as_counts_or_as_a_list() {
        let counted = |effects| FinalState { effects, ..FinalState::default() };
        let counts = States::from([("a".into(), counted(2)), ("b".into(), counted(0))]);
        assert_eq!(read(r#" {"a": 2, "b": 0}"#, false), Ok(counts));
        let list = r#"[{"job": "a", "effects": 1, "steps": [2, 1], "by": "w-1"},
                       {"job": "a", "effects": 1, "failed": true, "steps": [], "by": ["w-2"]}]"#;
        let by = vec!["w-1".into(), "w-2".into()];
        let both = FinalState { effects: 2, failed: true, steps: vec![2, 1], by };
        assert_eq!(read(list, true), Ok(States::from([("a".into(), both)])));
    }

    #[test]
    fn what_is_no_such_answer_is_an_error() {
        for (body, with_steps) in [
            ("", false),
            ("7", false),
            (r#"{"a": -1}"#, false),
            (r#"{"a": "one"}"#, false),
            (r#"{"a": 1}"#, true),
            (r#"[{"job": "a"}]"#, false),
            (r#"[{"job": "a", "effects": 1, "done": true}]"#, false),
            (r#"[{"job": "a", "effects": 1}]"#, true),
        ] {
            assert!(read(body, with_steps).is_err(), "{body}");
        }
    }
}
