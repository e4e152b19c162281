//! Distributions of durations, as a file writes them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::dist::Shape;
use crate::scenario::decode::{Decode, Placed, record, variants, wrong_type};
use crate::scenario::diagnostic::{Code, Report};
use crate::scenario::scalar::{Duration, SpanPair, scalar};
use crate::scenario::tree::{Node, shorten};

variants! {
    /// A distribution of durations.
    Distribution {
        /// Always the same.
        Constant "constant": Duration,
        /// Anything from the first to the second.
        Uniform "uniform": SpanPair,
        /// Exponential with this mean, cut at fifty times the mean.
        Exponential "exponential": Duration,
        /// Normal, and drawn again where it is negative.
        Normal "normal": Normal,
        /// The logarithm is normal: many short ones, and a few much longer.
        Lognormal "lognormal": Lognormal,
        /// A heavy tail: P(D > x) = (min / x)^shape.
        Pareto "pareto": Pareto,
        /// Recorded durations in any order, at least one; a value between two neighbours comes up too.
        Empirical "empirical": Vec<Placed<Duration>>,
    }
}

record! {
    /// A normal distribution, drawn again where it is negative, and cut at eight deviations.
    Normal {
        /// Before the cut at zero, which raises it.
        required mean: Duration,
        /// The standard deviation, before the cut at zero.
        required deviation: Duration,
    }
}

record! {
    /// A lognormal distribution by two of its quantiles.
    Lognormal {
        /// Half are below it. Above zero.
        required median: Duration,
        /// 99 in 100 are below it. At least the median.
        required p99: Duration,
    }
}

record! {
    /// A Pareto distribution, cut at a million times its minimum.
    Pareto {
        /// The shortest. Above zero.
        required min: Duration,
        /// From 0.001 to 100, with at most three decimals: the smaller, the heavier the tail. Network
        /// and disk delays lie between 1 and 3.
        required shape: Shape,
    }
}

impl JsonSchema for Shape {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Shape".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0.001, "maximum": 100 })
    }
}

impl Decode for Shape {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        const EXPECTED: &str = "a number from 0.001 to 100";
        let (text, plain) = scalar(node, EXPECTED, report)?;
        let Some(number) = text.parse::<f64>().ok().filter(|number| plain && number.is_finite()) else {
            return wrong_type(node, EXPECTED, report);
        };
        // The conversion saturates, so that a negative or a huge number is out of range too.
        let shape = Self::from_thousandths((number * 1e3).round() as u32);
        if shape.is_none() {
            report
                .add(Code::OutOfRange, node.place, format!("{} is out of range", shorten(text)))
                .hint("a shape: from 0.001 to 100, as in 1.5");
        }
        shape
    }
}
