//! Expressions, as they were read.

use regex_lite::Regex;

use super::Refusal;
use super::functions::Function;
use super::operators::{Aggregation, Operator};

/// An expression that can be evaluated: every part of it is modelled and gives what the part around it
/// takes.
#[derive(Debug, Clone)]
pub struct Expression(pub(super) Node);

impl Expression {
    /// # Errors
    /// See [`Refusal`].
    pub fn read(text: &str) -> Result<Self, Refusal> {
        super::parser::parse(text).map(Self)
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Scalar,
    /// One value of each series.
    Vector,
    /// Several samples of each series.
    Range,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Number(f64),
    Instant(Selector),
    Range { selector: Selector, millis: i64 },
    Subquery(Box<Subquery>),
    Call { function: Function, arguments: Vec<Node> },
    Aggregate { how: Aggregation, grouping: Grouping, of: Box<Node> },
    Binary(Box<Binary>),
    Negated(Box<Node>),
}

/// `metric{label="value"} offset 5m`
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub metric: Box<str>,
    pub matchers: Vec<Matcher>,
    pub offset: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub label: Box<str>,
    pub is: Match,
}

#[derive(Debug, Clone)]
pub(super) enum Match {
    Equal(Box<str>),
    Unequal(Box<str>),
    Like(Regex),
    Unlike(Regex),
}

/// `of[millis:step]`
#[derive(Debug, Clone)]
pub(super) struct Subquery {
    pub of: Node,
    pub millis: i64,
    /// The server's own unless given.
    pub step: Option<i64>,
    pub offset: i64,
}

/// `by (labels)` or `without (labels)`; neither is `by ()`.
#[derive(Debug, Clone, Default)]
pub(super) struct Grouping {
    pub without: bool,
    pub labels: Vec<Box<str>>,
}

#[derive(Debug, Clone)]
pub(super) struct Binary {
    pub operator: Operator,
    /// `bool`: 0 or 1 in place of a filter.
    pub tells: bool,
    pub matching: Matching,
    pub left: Node,
    pub right: Node,
}

/// `on (labels)` or `ignoring (labels)`; neither is `ignoring ()`.
#[derive(Debug, Clone, Default)]
pub(super) struct Matching {
    pub on: bool,
    pub labels: Vec<Box<str>>,
}

impl Matcher {
    pub fn admits(&self, value: &str) -> bool {
        match &self.is {
            Match::Equal(text) => **text == *value,
            Match::Unequal(text) => **text != *value,
            Match::Like(pattern) => pattern.is_match(value),
            Match::Unlike(pattern) => !pattern.is_match(value),
        }
    }
}

impl Node {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Scalar,
            Self::Instant(_) | Self::Aggregate { .. } => Kind::Vector,
            Self::Range { .. } | Self::Subquery(_) => Kind::Range,
            Self::Call { function, .. } => function.gives(),
            Self::Binary(binary) => match (binary.left.kind(), binary.right.kind()) {
                (Kind::Scalar, Kind::Scalar) => Kind::Scalar,
                _ => Kind::Vector,
            },
            Self::Negated(of) => of.kind(),
        }
    }
}
