//! What must hold between settings: `$ttl >= 2 * $interval`.

use std::cmp::Ordering;

use super::super::catalogue::{Expression, Quantity, Values};
use super::super::decode::Placed;
use super::super::diagnostic::{Code, Report};
use super::super::scalar::Text;
use super::super::tree::shorten;

/// Two formulas over the system's parameters, and how they must compare.
#[derive(Debug, Clone)]
pub struct Tie {
    /// As it was written.
    pub text: String,
    left: Expression,
    relation: Relation,
    right: Expression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

/// Longer ones first: `>=` begins with `>`.
const RELATIONS: [(&str, Relation); 5] = [
    (">=", Relation::AtLeast),
    ("<=", Relation::AtMost),
    ("==", Relation::Equal),
    (">", Relation::Above),
    ("<", Relation::Below),
];

impl Relation {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::AtLeast => order.is_ge(),
            Self::AtMost => order.is_le(),
            Self::Above => order.is_gt(),
            Self::Below => order.is_lt(),
            Self::Equal => order.is_eq(),
        }
    }
}

impl Tie {
    /// Tried with the present `values`, where they are known.
    pub(super) fn read(
        text: &Placed<Text>,
        values: Option<&Values>,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        let tie = parse(&text.value.0).and_then(|tie| match values {
            Some(values) => tie.check(values).map(|()| tie),
            None => Ok(tie),
        });
        match tie {
            Ok(tie) => Some(tie),
            Err(reason) => {
                report
                    .add(Code::Formula, text.place, format!("`{}`: {reason}", shorten(&text.value.0)))
                    .hint("two formulas over `$parameters` with >=, <=, ==, > or <: `$ttl >= 2 * $interval`");
                None
            }
        }
    }

    /// Whether these settings keep it; not, if they make one of its formulas meaningless (a negative
    /// duration).
    #[must_use]
    pub fn holds(&self, values: &Values) -> bool {
        let (Ok(left), Ok(right)) = (self.left.evaluate(values), self.right.evaluate(values)) else {
            return false;
        };
        left.compare(right).is_some_and(|order| self.relation.holds(order))
    }

    /// Whether its formulas are meant: names that exist, and two of a kind.
    fn check(&self, values: &Values) -> Result<(), String> {
        let kind = |formula: &Expression| -> Result<Option<Quantity>, String> {
            for name in formula.parameters() {
                if !values.contains_key(name) {
                    let known: Vec<&str> = values.keys().map(String::as_str).collect();
                    return Err(format!(
                        "there is no parameter `{name}`: {}",
                        super::super::decode::hint(name, &known)
                    ));
                }
            }
            // With other values it may make sense: only the names are certain.
            Ok(formula.evaluate(values).ok())
        };
        match (kind(&self.left)?, kind(&self.right)?) {
            (Some(left), Some(right)) if left.compare(right).is_none() => {
                Err("a duration and a number cannot be compared".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn parse(text: &str) -> Result<Tie, String> {
    let found = RELATIONS.iter().find_map(|(sign, relation)| {
        let (left, right) = text.split_once(sign)?;
        Some((left, *relation, right))
    });
    let Some((left, relation, right)) = found else { return Err("a comparison is missing".to_owned()) };
    Ok(Tie {
        text: text.trim().to_owned(),
        left: left.trim().parse()?,
        relation,
        right: right.trim().parse()?,
    })
}
