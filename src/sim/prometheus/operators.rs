//! Operators between vectors and numbers, and aggregations.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::expression::{Grouping, Matching};
use super::storage::{Labels, NAME, Point};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Unless,
    Equal,
    Unequal,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

/// By their signs, with how strongly they bind.
const OPERATORS: [(&str, Operator, u8); 15] = [
    ("or", Operator::Or, 1),
    ("and", Operator::And, 2),
    ("unless", Operator::Unless, 2),
    ("==", Operator::Equal, 3),
    ("!=", Operator::Unequal, 3),
    (">", Operator::Greater, 3),
    ("<", Operator::Less, 3),
    (">=", Operator::GreaterOrEqual, 3),
    ("<=", Operator::LessOrEqual, 3),
    ("+", Operator::Add, 4),
    ("-", Operator::Subtract, 4),
    ("*", Operator::Multiply, 5),
    ("/", Operator::Divide, 5),
    ("%", Operator::Remainder, 5),
    ("^", Operator::Power, 6),
];

impl Operator {
    pub fn named(sign: &str) -> Option<Self> {
        OPERATORS.iter().find(|(known, ..)| *known == sign).map(|(_, operator, _)| *operator)
    }

    pub fn sign(self) -> &'static str {
        OPERATORS.iter().find(|(_, known, _)| *known == self).map_or("", |(sign, ..)| sign)
    }

    pub fn precedence(self) -> u8 {
        OPERATORS.iter().find(|(_, known, _)| *known == self).map_or(0, |(.., precedence)| *precedence)
    }

    pub const fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::Unequal
                | Self::Greater
                | Self::Less
                | Self::GreaterOrEqual
                | Self::LessOrEqual
        )
    }

    /// The value, and whether the element stays.
    fn apply(self, left: f64, right: f64) -> (f64, bool) {
        match self {
            Self::Add => (left + right, true),
            Self::Subtract => (left - right, true),
            Self::Multiply => (left * right, true),
            Self::Divide => (left / right, true),
            Self::Remainder => (left % right, true),
            // The platform's own may differ in the last bit.
            Self::Power => (libm::pow(left, right), true),
            Self::Equal => (left, left == right),
            Self::Unequal => (left, left != right),
            Self::Greater => (left, left > right),
            Self::Less => (left, left < right),
            Self::GreaterOrEqual => (left, left >= right),
            Self::LessOrEqual => (left, left <= right),
            Self::Or | Self::And | Self::Unless => (left, true),
        }
    }

    /// As above; with `tells`, 0 or 1.
    fn result(self, tells: bool, left: f64, right: f64) -> (f64, bool) {
        match self.apply(left, right) {
            (_, holds) if tells => (f64::from(u8::from(holds)), true),
            result => result,
        }
    }

    pub fn of_numbers(self, tells: bool, left: f64, right: f64) -> f64 {
        self.result(tells, left, right).0
    }

    /// A vector and a number; `number_first` says where the number stands. What a comparison leaves is the
    /// vector's own value.
    pub fn with_number(self, tells: bool, vector: Vec<Point>, number: f64, number_first: bool) -> Vec<Point> {
        let each = |point: Point| {
            let (left, right) = if number_first { (number, point.value) } else { (point.value, number) };
            let (value, stays) = self.result(tells, left, right);
            let value = if self.is_comparison() && !tells { point.value } else { value };
            let labels = self.named_as(tells, &point.labels);
            stays.then_some(Point { labels, value })
        };
        vector.into_iter().filter_map(each).collect()
    }

    fn named_as(self, tells: bool, labels: &Labels) -> Labels {
        if self.is_comparison() && !tells { labels.clone() } else { labels.without_name() }
    }

    /// One to one, by their labels.
    pub fn of_vectors(
        self,
        tells: bool,
        matching: &Matching,
        left: Vec<Point>,
        right: Vec<Point>,
    ) -> Result<Vec<Point>, String> {
        if self.is_set() {
            return Ok(self.of_sets(matching, left, right));
        }
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        let mut others = BTreeMap::new();
        for point in right {
            match others.entry(matching.key(&point.labels)) {
                Entry::Vacant(place) => drop(place.insert(point.value)),
                Entry::Occupied(_) => {
                    return Err(
                        "found duplicate series for the match group on the right hand-side".to_owned()
                    );
                }
            }
        }
        let mut matched = BTreeSet::new();
        let mut results = Vec::new();
        for point in left {
            let key = matching.key(&point.labels);
            let Some(other) = others.get(&key) else { continue };
            let (value, stays) = self.result(tells, point.value, *other);
            if !stays {
                continue;
            }
            let labels = matching.result(&self.named_as(tells, &point.labels));
            if !matched.insert(key) {
                return Err("multiple matches for labels: many-to-one matching must be explicit".to_owned());
            }
            results.push(Point { labels, value });
        }
        Ok(results)
    }

    fn of_sets(self, matching: &Matching, mut left: Vec<Point>, mut right: Vec<Point>) -> Vec<Point> {
        let keys = |vector: &[Point]| -> BTreeSet<Labels> {
            vector.iter().map(|point| matching.key(&point.labels)).collect()
        };
        if self == Self::Or {
            let known = keys(&left);
            right.retain(|point| !known.contains(&matching.key(&point.labels)));
            left.append(&mut right);
        } else {
            let others = keys(&right);
            let stays = self == Self::And;
            left.retain(|point| others.contains(&matching.key(&point.labels)) == stays);
        }
        left
    }
}

impl Matching {
    fn is_named(&self, label: &str) -> bool {
        self.labels.iter().any(|known| **known == *label)
    }

    /// What two elements must have in common.
    fn key(&self, labels: &Labels) -> Labels {
        labels
            .only(|label| if self.on { self.is_named(label) } else { label != NAME && !self.is_named(label) })
    }

    fn result(&self, labels: &Labels) -> Labels {
        labels.only(|label| self.is_named(label) == self.on)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregation {
    Avg,
    Count,
    Max,
    Min,
    Sum,
}

const AGGREGATIONS: [(&str, Aggregation); 5] = [
    ("avg", Aggregation::Avg),
    ("count", Aggregation::Count),
    ("max", Aggregation::Max),
    ("min", Aggregation::Min),
    ("sum", Aggregation::Sum),
];

impl Aggregation {
    pub fn named(name: &str) -> Option<Self> {
        AGGREGATIONS.iter().find(|(known, _)| *known == name).map(|(_, how)| *how)
    }

    pub fn name(self) -> &'static str {
        AGGREGATIONS.iter().find(|(_, how)| *how == self).map_or("", |(name, _)| name)
    }

    /// One element of each group, in the order of its labels.
    pub fn of(self, grouping: &Grouping, vector: &[Point]) -> Vec<Point> {
        let is_named = |label: &str| grouping.labels.iter().any(|known| **known == *label);
        let keep = |label: &str| {
            if grouping.without { label != NAME && !is_named(label) } else { is_named(label) }
        };
        let mut groups: BTreeMap<Labels, (f64, f64)> = BTreeMap::new();
        for point in vector {
            let group = groups.entry(point.labels.only(keep));
            match group {
                Entry::Vacant(place) => drop(place.insert((1.0, point.value))),
                Entry::Occupied(mut group) => {
                    let (count, value) = group.get_mut();
                    *count += 1.0;
                    *value = self.next(*value, *count, point.value);
                }
            }
        }
        let counts = self == Self::Count;
        let result = |(labels, (count, value))| Point { labels, value: if counts { count } else { value } };
        groups.into_iter().map(result).collect()
    }

    fn next(self, so_far: f64, count: f64, value: f64) -> f64 {
        match self {
            Self::Sum => so_far + value,
            Self::Max if so_far < value || so_far.is_nan() => value,
            Self::Min if so_far > value || so_far.is_nan() => value,
            Self::Max | Self::Min | Self::Count => so_far,
            // As Prometheus has it: it cannot overflow.
            Self::Avg if so_far.is_infinite() && (value.is_finite() || so_far == value) => so_far,
            Self::Avg => so_far + (value / count - so_far / count),
        }
    }
}
