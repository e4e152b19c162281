//! What a YAML file is: five kinds stand in one folder, and are told apart by their keys.

use crate::scenario::decode::Decode as _;
use crate::scenario::diagnostic::{Report, Source};
use crate::scenario::scalar::Text;
use crate::scenario::tree;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// Also whatever is none of the others: its errors are then those of a scenario.
    Scenario {
        /// The rules file that it names, relative to its own folder.
        rules_file: Option<String>,
    },
    Claims,
    /// Alerting rules in Prometheus' own format.
    Rules,
    /// An entry of the catalogue.
    Entry,
    /// A question to `syncope tune`.
    Question,
}

impl FileKind {
    /// Never fails: whatever is wrong with the file is said when it is read as what it is.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let mut report = Report::new(source);
        let Some(root) = tree::parse(&mut report) else { return Self::Scenario { rules_file: None } };
        let has = |key| root.at(key).is_some();
        if has("pipeline") && has("parameters") {
            Self::Entry
        } else if has("vary") && has("hold") {
            Self::Question
        } else if has("claims") && !has("fleet") && !has("workload") {
            Self::Claims
        } else if has("groups") && !has("fleet") {
            Self::Rules
        } else {
            let named = root.at("stack").and_then(|stack| stack.at("prometheus")?.at("rules_file"));
            let named = named.and_then(|named| Text::decode(named, &mut report));
            Self::Scenario { rules_file: named.map(|text| text.0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{catalogue, claims};

    fn of(text: &str) -> FileKind {
        FileKind::of(&Source::new("x.yaml", text))
    }

    #[test]
    fn files_are_told_apart() {
        let scenario = FileKind::Scenario { rules_file: None };
        assert_eq!(FileKind::of(&claims::builtin()), FileKind::Claims);
        assert_eq!(of("claims: []"), FileKind::Claims);
        assert_eq!(of("name: a\nclaims: [S1]\nfleet: {}"), scenario);
        assert_eq!(of("vary: {}\nhold: {}"), FileKind::Question);
        assert_eq!(of("groups: []"), FileKind::Rules);
        assert_eq!(of("groups: []\nfleet: {}"), scenario);
        for name in catalogue::NAMES {
            let entry = catalogue::builtin(name).unwrap();
            assert_eq!(FileKind::of(&entry), FileKind::Entry, "{name}");
        }
        for wrong in ["[a]", "", "a: [", "\u{0}"] {
            assert_eq!(of(wrong), scenario, "{wrong:?}");
        }
    }

    #[test]
    fn a_scenario_names_its_rules_file() {
        let named = of("stack: {prometheus: {rules_file: alerts.yml}}");
        assert_eq!(named, FileKind::Scenario { rules_file: Some("alerts.yml".to_owned()) });
    }
}
