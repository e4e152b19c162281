//! What lines of a foreign process's output say.

use regex_lite::Regex;

use super::super::Context;
use crate::scenario::decode::{Placed, list};
use crate::scenario::diagnostic::Code;
use crate::scenario::raw::fleet as raw;
use crate::scenario::scalar::Text;
use crate::scenario::{LineRule, Says};

/// The good ones; the others are reported.
pub(super) fn lines(role: &raw::Role, context: &mut Context<'_, '_>) -> Vec<LineRule> {
    let Some(lines) = role.lines.value() else { return Vec::new() };
    let given = [
        (Says::Ready, &lines.ready),
        (Says::Beat, &lines.beat),
        (Says::Claimed, &lines.claimed),
        (Says::StepDone, &lines.step),
        (Says::EffectDone, &lines.effect),
        (Says::Completed, &lines.completed),
        (Says::LockLost, &lines.lock_lost),
        (Says::Abandoned, &lines.abandoned),
        (Says::Clock, &lines.clock),
    ];
    let patterns = given.into_iter().filter_map(|(says, field)| Some((says, field.given()?)));
    patterns.filter_map(|(says, pattern)| rule(says, pattern, context)).collect()
}

fn rule(says: Says, given: &Placed<Text>, context: &mut Context<'_, '_>) -> Option<LineRule> {
    let pattern = pattern(given, says.groups(), says.further_groups(), context)?;
    Some(LineRule { says, pattern })
}

/// A regular expression with these groups, and perhaps the further ones.
pub(super) fn pattern(
    pattern: &Placed<Text>,
    groups: &[&str],
    further: &[&str],
    context: &mut Context<'_, '_>,
) -> Option<String> {
    let regex = match Regex::new(pattern.text()) {
        Ok(regex) => regex,
        Err(error) => {
            context
                .report
                .add(Code::Pattern, pattern.place, format!("this is not a regular expression: {error}"))
                .hint("as in `^took (?<job>\\S+)$`; what is to be taken literally has a `\\` before it");
            return None;
        }
    };
    let named: Vec<&str> = regex.capture_names().flatten().collect();
    for wanted in groups.iter().filter(|wanted| !named.contains(wanted)) {
        context
            .report
            .add(Code::Pattern, pattern.place, format!("the pattern has no group `{wanted}`"))
            .hint(format!("say where in the line it stands: `(?<{wanted}>\\S+)`"));
    }
    let known: Vec<&str> = groups.iter().chain(further).copied().collect();
    for other in named.iter().filter(|name| !known.contains(name)) {
        let known = if known.is_empty() { "none".to_owned() } else { list(&known) };
        context
            .report
            .add(Code::Pattern, pattern.place, format!("the group `{other}` means nothing here"))
            .hint(format!("groups that do: {known}; one without a name is `(…)`"));
    }
    Some(pattern.text().to_owned())
}
