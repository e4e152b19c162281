//! The claims as the page shows them.

use crate::check::Judged;
use crate::report::claims::{Claim, finding, sentence, systems, word};
use crate::report::view::anchor;
use crate::report::{Summary, text};

pub struct ClaimsView {
    pub sentence: String,
    /// Other systems that the claims are judged of: a column each.
    pub systems: Vec<String>,
    pub claims: Vec<ClaimView>,
    /// Ids of those that nothing in the run bears on.
    pub far: Option<String>,
}

pub struct ClaimView {
    pub id: String,
    pub verdict: &'static str,
    pub text: String,
    pub source: Option<String>,
    pub findings: Vec<String>,
    /// In the order of the systems; `None` where nothing is said of one.
    pub elsewhere: Vec<Option<ElsewhereView>>,
    pub scenarios: Vec<ScenarioLink>,
}

pub struct ElsewhereView {
    pub verdict: &'static str,
    pub differs: bool,
    pub findings: Vec<String>,
}

pub struct ScenarioLink {
    pub name: String,
    /// None: it did not run.
    pub anchor: Option<String>,
}

impl ClaimsView {
    /// `in_order`: the scenarios as the page has them. `None` if the run bears on no claim.
    pub fn of(summary: &Summary, in_order: &[&Judged]) -> Option<Self> {
        let (near, far) = summary.claims_by_bearing();
        if near.is_empty() {
            return None;
        }
        let link = |name: &String| {
            let place = in_order.iter().position(|judged| judged.name == *name);
            ScenarioLink { name: text::clean(name, 64), anchor: place.map(|place| anchor(place + 1)) }
        };
        let systems = systems(&near);
        let lines = |findings: String| findings.split("; ").map(text::line).collect::<Vec<String>>();
        let elsewhere = |claim: &Claim, system: &str| {
            let other = claim.elsewhere.iter().find(|other| other.system == system);
            other.map(|other| ElsewhereView {
                verdict: word(other.verdict),
                differs: other.differs,
                findings: lines(other.finding()),
            })
        };
        let claims = near.iter().map(|claim| ClaimView {
            id: text::clean(&claim.id, 64),
            verdict: word(claim.verdict),
            text: text::line(&claim.text),
            source: claim.source.as_deref().map(text::line),
            findings: lines(finding(claim)),
            elsewhere: systems.iter().map(|system| elsewhere(claim, system)).collect(),
            scenarios: claim.scenarios.iter().map(link).collect(),
        });
        Some(Self {
            sentence: sentence(&near),
            claims: claims.collect(),
            systems: systems.iter().map(|system| text::clean(system, 64)).collect(),
            far: (!far.is_empty()).then(|| text::line(&far.join(", "))),
        })
    }
}
