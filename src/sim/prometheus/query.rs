//! The value of an expression at one time.

use std::collections::BTreeMap;

use super::expression::{Binary, Expression, Match, Node, Selector, Subquery};
use super::functions::{Function, OfRange, Window};
use super::storage::{Labels, Point, Sample, Storage};

/// The samples of each series.
type Ranges = Vec<(Labels, Vec<Sample>)>;

/// What an expression is asked of.
#[derive(Debug, Clone, Copy)]
pub struct Query<'s> {
    pub storage: &'s Storage,
    /// Of a subquery that names no step, in ms: the server's `evaluation_interval`.
    pub step: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Scalar(f64),
    Vector(Vec<Point>),
    Range(Ranges),
}

impl Query<'_> {
    /// As a rule takes it: a number is a vector of one element without labels.
    ///
    /// # Errors
    /// What Prometheus says of an expression that has no value.
    pub fn vector(self, expression: &Expression, at: i64) -> Result<Vec<Point>, String> {
        match self.value(&expression.0, at)? {
            Value::Scalar(value) => Ok(vec![Point { labels: Labels::default(), value }]),
            Value::Vector(vector) => Ok(vector),
            Value::Range(_) => Err("the rule's result is a range".to_owned()),
        }
    }

    fn value(self, node: &Node, at: i64) -> Result<Value, String> {
        Ok(match node {
            Node::Number(number) => Value::Scalar(*number),
            Node::Instant(selector) => Value::Vector(self.instant(selector, at)),
            Node::Range { .. } | Node::Subquery(_) => Value::Range(self.range(node, at)?.0),
            Node::Call { function, arguments } => self.call(*function, arguments, at)?,
            Node::Aggregate { how, grouping, of } => {
                Value::Vector(how.of(grouping, &self.vector_of(of, at)?))
            }
            Node::Binary(binary) => self.binary(binary, at)?,
            Node::Negated(of) => match self.value(of, at)? {
                Value::Scalar(number) => Value::Scalar(-number),
                Value::Vector(vector) => Value::Vector(unnamed(vector, |value| -value)?),
                range @ Value::Range(_) => range,
            },
        })
    }

    /// Of a node that gives one.
    fn vector_of(self, node: &Node, at: i64) -> Result<Vec<Point>, String> {
        match self.value(node, at)? {
            Value::Vector(vector) => Ok(vector),
            Value::Scalar(_) | Value::Range(_) => Err("a vector is expected".to_owned()),
        }
    }

    fn instant(self, selector: &Selector, at: i64) -> Vec<Point> {
        let value = |series: &super::storage::Series| {
            Some(Point { value: series.value_at(at - selector.offset)?, labels: series.labels.clone() })
        };
        self.storage.select(selector).filter_map(value).collect()
    }

    /// The samples of each series, and the time they were asked for.
    fn range(self, node: &Node, at: i64) -> Result<(Ranges, Window), String> {
        match node {
            Node::Range { selector, millis } => {
                let to = at - selector.offset;
                let window = Window { from: to - millis, to, millis: *millis };
                let all = self.storage.select(selector);
                let samples = all.map(|series| (series.labels.clone(), series.samples_in(window.from, to)));
                Ok((samples.filter(|(_, samples)| !samples.is_empty()).collect(), window))
            }
            Node::Subquery(subquery) => self.subquery(subquery, at),
            _ => Err("a range is expected".to_owned()),
        }
    }

    /// Its steps are at the multiples of the step, whenever it is asked.
    fn subquery(self, subquery: &Subquery, at: i64) -> Result<(Ranges, Window), String> {
        let to = at - subquery.offset;
        let window = Window { from: to - subquery.millis, to, millis: subquery.millis };
        let step = subquery.step.unwrap_or(self.step).max(1);
        let mut series: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        let mut then = window.from.div_euclid(step) * step;
        if then < window.from {
            then += step;
        }
        while then <= to {
            for Point { labels, value } in self.vector_of(&subquery.of, then)? {
                series.entry(labels).or_default().push(Sample { at: then, value });
            }
            then += step;
        }
        Ok((series.into_iter().collect(), window))
    }

    fn call(self, function: Function, arguments: &[Node], at: i64) -> Result<Value, String> {
        let argument = || arguments.first().ok_or_else(|| "an argument is missing".to_owned());
        let each = |change: fn(f64) -> f64| {
            let vector = self.vector_of(argument()?, at)?;
            Ok::<_, String>(Value::Vector(unnamed(vector, change)?))
        };
        match function {
            Function::Time => Ok(Value::Scalar(at as f64 / 1e3)),
            Function::Abs => each(f64::abs),
            Function::Ceil => each(f64::ceil),
            Function::Floor => each(f64::floor),
            Function::Vector => match self.value(argument()?, at)? {
                Value::Scalar(value) => Ok(Value::Vector(vec![Point { labels: Labels::default(), value }])),
                other => Ok(other),
            },
            Function::Scalar => Ok(Value::Scalar(match &*self.vector_of(argument()?, at)? {
                [only] => only.value,
                _ => f64::NAN,
            })),
            Function::Absent => {
                let argument = argument()?;
                let is_absent = self.vector_of(argument, at)?.is_empty();
                let point = || Point { labels: labels_of_absence(argument), value: 1.0 };
                Ok(Value::Vector(is_absent.then(point).into_iter().collect()))
            }
            Function::OfRange(function) => self.over_range(function, argument()?, at).map(Value::Vector),
        }
    }

    fn over_range(self, function: OfRange, argument: &Node, at: i64) -> Result<Vec<Point>, String> {
        let (series, window) = self.range(argument, at)?;
        let one = |(labels, samples): (Labels, Vec<Sample>)| {
            let value = function.of(&samples, window)?;
            let labels = if function.keeps_name() { labels } else { labels.without_name() };
            Some(Point { labels, value })
        };
        unique(series.into_iter().filter_map(one).collect())
    }

    fn binary(self, binary: &Binary, at: i64) -> Result<Value, String> {
        let Binary { operator, tells, matching, left, right } = binary;
        let vector = match (self.value(left, at)?, self.value(right, at)?) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                return Ok(Value::Scalar(operator.of_numbers(*tells, left, right)));
            }
            (Value::Vector(vector), Value::Scalar(number)) => {
                operator.with_number(*tells, vector, number, false)
            }
            (Value::Scalar(number), Value::Vector(vector)) => {
                operator.with_number(*tells, vector, number, true)
            }
            (Value::Vector(left), Value::Vector(right)) => {
                operator.of_vectors(*tells, matching, left, right)?
            }
            (Value::Range(_), _) | (_, Value::Range(_)) => {
                return Err("an operator is not between ranges".to_owned());
            }
        };
        unique(vector).map(Value::Vector)
    }
}

/// What the matchers say of a series that is not there: the labels that must equal one value.
fn labels_of_absence(argument: &Node) -> Labels {
    let Node::Instant(selector) = argument else { return Labels::default() };
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in &selector.matchers {
        match &matcher.is {
            Match::Equal(text) if !seen.contains(&&*matcher.label) => {
                labels.insert(&matcher.label, text);
                seen.push(&matcher.label);
            }
            _ => drop(labels.remove(&*matcher.label)),
        }
    }
    Labels::new(labels)
}

fn unnamed(vector: Vec<Point>, change: impl Fn(f64) -> f64) -> Result<Vec<Point>, String> {
    let changed = |point: Point| Point { labels: point.labels.without_name(), value: change(point.value) };
    unique(vector.into_iter().map(changed).collect())
}

/// Without its name an element may be like another: then there is no result.
fn unique(vector: Vec<Point>) -> Result<Vec<Point>, String> {
    let mut labels: Vec<&Labels> = vector.iter().map(|point| &point.labels).collect();
    labels.sort_unstable();
    if labels.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("vector cannot contain metrics with the same labelset".to_owned());
    }
    Ok(vector)
}
