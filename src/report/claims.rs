//! Claims in words: what each says, what was measured, and what that makes of it.

use serde::{Deserialize, Serialize};

use crate::check::{ClaimVerdict, JudgedClaim, JudgedCondition, JudgedElsewhere, Standing, judge_claims};
use crate::report::{Summary, text};
use crate::scenario::claims::{Claims, Unit, unit_of};

/// What the run says of one statement in the claims file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Claim {
    pub id: String,
    pub text: String,
    /// The document that says so.
    pub source: Option<String>,
    pub verdict: ClaimVerdict,
    /// Every figure that was measured, with what is claimed of it, in words.
    pub measured: Option<String>,
    /// Why it is untested.
    pub reason: Option<String>,
    pub conditions: Vec<JudgedCondition>,
    /// The same of other systems, beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Elsewhere>,
    /// Those that measure it, and those that ran and name it.
    pub scenarios: Vec<String>,
}

/// What the run says of the statement where it is another system's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Elsewhere {
    pub system: String,
    pub verdict: ClaimVerdict,
    /// It is confirmed of the one and refuted of the other.
    pub differs: bool,
    pub measured: Option<String>,
    pub reason: Option<String>,
    pub conditions: Vec<JudgedCondition>,
}

impl Summary {
    /// With every claim of the file judged by the run's scenarios. The verdict of the run is not theirs:
    /// a refuted claim is a finding, no failure.
    #[must_use]
    pub fn with_claims(mut self, claims: &Claims) -> Self {
        let not_run: Vec<(&str, &str)> =
            self.not_run.iter().map(|it| (it.name.as_str(), it.reason.as_str())).collect();
        let judged = judge_claims(claims, &self.scenarios, &not_run);
        self.claims = judged.into_iter().map(Claim::from).collect();
        self
    }

    /// The claims that some scenario of this run bears on; the others, by their ids.
    #[must_use]
    pub fn claims_by_bearing(&self) -> (Vec<&Claim>, Vec<&str>) {
        let ran = |name: &String| {
            self.scenarios.iter().any(|judged| judged.name == *name)
                || self.not_run.iter().any(|not_run| not_run.name == *name)
        };
        let (near, far): (Vec<&Claim>, Vec<&Claim>) =
            self.claims.iter().partition(|claim| claim.scenarios.iter().any(ran));
        (near, far.into_iter().map(|claim| claim.id.as_str()).collect())
    }
}

impl From<JudgedClaim> for Claim {
    fn from(judged: JudgedClaim) -> Self {
        Self {
            measured: measured(&judged.conditions),
            reason: reason(judged.verdict, &judged.conditions),
            id: judged.id,
            text: judged.text,
            source: judged.source,
            verdict: judged.verdict,
            conditions: judged.conditions,
            elsewhere: judged.elsewhere.into_iter().map(Elsewhere::from).collect(),
            scenarios: judged.scenarios,
        }
    }
}

impl From<JudgedElsewhere> for Elsewhere {
    fn from(judged: JudgedElsewhere) -> Self {
        Self {
            measured: measured(&judged.conditions),
            reason: reason(judged.verdict, &judged.conditions),
            system: judged.system,
            verdict: judged.verdict,
            differs: judged.differs,
            conditions: judged.conditions,
        }
    }
}

fn measured(conditions: &[JudgedCondition]) -> Option<String> {
    let figures: Vec<String> = conditions.iter().filter_map(figure).collect();
    (!figures.is_empty()).then(|| figures.join("; "))
}

/// Why it is untested.
fn reason(verdict: ClaimVerdict, conditions: &[JudgedCondition]) -> Option<String> {
    if verdict != ClaimVerdict::Untested {
        return None;
    }
    let deciding: Vec<&JudgedCondition> = conditions.iter().filter(|it| it.decides).collect();
    if deciding.is_empty() {
        return Some("nothing measures it yet".to_owned());
    }
    let mut reasons: Vec<&str> = deciding.iter().filter_map(|it| it.why.as_deref()).collect();
    // Several conditions of one scenario: they follow each other.
    reasons.dedup();
    Some(reasons.join("; "))
}

#[must_use]
pub const fn word(verdict: ClaimVerdict) -> &'static str {
    match verdict {
        ClaimVerdict::Confirmed => "confirmed",
        ClaimVerdict::Refuted => "refuted",
        ClaimVerdict::Untested => "untested",
    }
}

/// `12 claims: 8 confirmed, 3 refuted, 1 untested`.
#[must_use]
pub fn sentence(claims: &[&Claim]) -> String {
    let count = |verdict| claims.iter().filter(|claim| claim.verdict == verdict).count();
    let parts: Vec<String> = [ClaimVerdict::Confirmed, ClaimVerdict::Refuted, ClaimVerdict::Untested]
        .into_iter()
        .filter(|verdict| count(*verdict) > 0)
        .map(|verdict| format!("{} {}", count(verdict), word(verdict)))
        .collect();
    let plural = if claims.len() == 1 { "" } else { "s" };
    format!("{} claim{plural}: {}", claims.len(), parts.join(", "))
}

/// Measured and claimed, or why it is not known: one line for a table.
#[must_use]
pub fn finding(claim: &Claim) -> String {
    joined(claim.measured.as_deref(), claim.reason.as_deref())
}

/// The same of another system, after its verdict, and whether that is another one.
#[must_use]
pub fn finding_elsewhere(other: &Elsewhere) -> String {
    let unlike = if other.differs { ", unlike the reference fleet" } else { "" };
    format!("{}{unlike}; {}", word(other.verdict), other.finding())
}

impl Elsewhere {
    /// Measured and claimed, or why it is not known.
    #[must_use]
    pub fn finding(&self) -> String {
        joined(self.measured.as_deref(), self.reason.as_deref())
    }
}

fn joined(measured: Option<&str>, reason: Option<&str>) -> String {
    match (measured, reason) {
        (Some(measured), Some(reason)) => format!("{measured}; {reason}"),
        (one, other) => one.or(other).unwrap_or("-").to_owned(),
    }
}

/// The other systems that these claims are judged of, each once.
#[must_use]
pub fn systems<'c>(claims: &[&'c Claim]) -> Vec<&'c str> {
    let mut systems: Vec<&str> = Vec::new();
    for other in claims.iter().flat_map(|claim| &claim.elsewhere) {
        if !systems.contains(&other.system.as_str()) {
            systems.push(&other.system);
        }
    }
    systems
}

/// `queue-kill-9: detection time 15.2 s to 58 s (n = 40), claimed 20 s to 40 s; it held in 12 of 40 runs`.
fn figure(condition: &JudgedCondition) -> Option<String> {
    let scenario = &condition.scenario;
    let name = text::check_name(&condition.figure);
    let simulated = if condition.simulated { ", simulated" } else { "" };
    let unit = match unit_of(&condition.figure) {
        Unit::Millis => text::Unit::Millis,
        Unit::Count => text::Unit::Count,
        Unit::Share => text::Unit::Share,
    };
    let claimed = condition.claimed;
    if condition.measured.is_none() && condition.runs > 0 {
        let standing = match condition.standing {
            Standing::Holds => "as claimed",
            Standing::Broken => "not as claimed",
            Standing::Open => "not decided",
        };
        return Some(format!("{scenario}: {name} {standing}{}{simulated}", runs(condition)));
    }
    let measured = condition.measured?;
    let values = match measured.max {
        None => format!("not within {}", text::figure(measured.min, unit)),
        Some(max) if text::figure(measured.min, unit) == text::figure(max, unit) => text::figure(max, unit),
        Some(max) => format!("{} to {}", text::figure(measured.min, unit), text::figure(max, unit)),
    };
    let number = if condition.values > 1 { format!(" (n = {})", condition.values) } else { String::new() };
    let claimed =
        if condition.decides { format!(", claimed {}", text::bound(claimed, unit)) } else { String::new() };
    Some(format!("{scenario}: {name} {values}{number}{claimed}{}{simulated}", runs(condition)))
}

/// Of several runs: in how many it held, and what that says of the next.
fn runs(condition: &JudgedCondition) -> String {
    let Some(share) = condition.share_held else { return String::new() };
    let percent = |share: f64| format!("{:.1}", share * 100.0).trim_end_matches(".0").to_owned();
    let held = condition.held as f64 / condition.runs as f64;
    format!(
        "; it held in {} of {} runs: {} %, at 95 % between {} and {} %",
        condition.held,
        condition.runs,
        percent(held),
        percent(share.min.unwrap_or(0.0)),
        percent(share.max.unwrap_or(1.0))
    )
}
