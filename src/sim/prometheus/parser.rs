//! From words to an expression: precedence climbing over PromQL's operators.

use regex_lite::Regex;

use super::Refusal;
use super::expression::{Binary, Grouping, Kind, Match, Matcher, Matching, Node, Selector, Subquery};
use super::functions::Function;
use super::operators::{Aggregation, Operator};
use super::storage::NAME;
use super::tokens::{Token, tokens};

/// An expression within so many others is refused, so that no text can exhaust the stack.
const DEPTH_MAX: u32 = 100;

/// Metrics that Prometheus makes itself, and the model does not.
const OWN_METRICS: [&str; 6] = [
    "ALERTS",
    "ALERTS_FOR_STATE",
    "scrape_duration_seconds",
    "scrape_samples_post_metric_relabeling",
    "scrape_samples_scraped",
    "scrape_series_added",
];

pub(super) fn parse(text: &str) -> Result<Node, Refusal> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.expression(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(node),
        Some(token) => Err(wrong(format!("{} is not expected there", shown(token)))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

impl Parser {
    /// Whose operators bind at least as strongly.
    fn expression(&mut self, weakest: u8) -> Result<Node, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(wrong(format!("more than {DEPTH_MAX} expressions within one another")));
        }
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|operator| operator.precedence() >= weakest) {
            self.at += 1;
            let tells = self.takes_word("bool");
            let matching = self.matching()?;
            let stronger = operator.precedence() + u8::from(operator != Operator::Power);
            let right = self.expression(stronger)?;
            left = binary(Binary { operator, tells, matching, left, right })?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// A sign binds as strongly as a product, and less than a power.
    fn unary(&mut self) -> Result<Node, Refusal> {
        if self.takes_sign("-") {
            let of = self.expression(Operator::Power.precedence())?;
            return match of {
                Node::Number(number) => Ok(Node::Number(-number)),
                of if of.kind() == Kind::Range => Err(wrong("a range has no sign".to_owned())),
                of => Ok(Node::Negated(Box::new(of))),
            };
        }
        if self.takes_sign("+") {
            return self.expression(Operator::Power.precedence());
        }
        let mut node = self.primary()?;
        loop {
            if self.takes_sign("[") {
                node = self.range(node)?;
            } else if self.takes_word("offset") {
                self.offset(&mut node)?;
            } else if self.takes_sign("@") {
                return Err(not_modelled("the modifier `@`"));
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Refusal> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        match token {
            Some(Token::Number(number)) => Ok(Node::Number(number)),
            Some(Token::Text(_)) => Err(not_modelled("a text as a value")),
            Some(Token::Sign("(")) => {
                let node = self.expression(0)?;
                self.expect(")")?;
                Ok(node)
            }
            Some(Token::Sign("{")) => Err(not_modelled("a selector without a metric's name")),
            Some(Token::Word(word)) => self.after_word(word),
            Some(token) => Err(wrong(format!("{} is not expected there", shown(&token)))),
            None => Err(wrong("the expression has no end".to_owned())),
        }
    }

    fn after_word(&mut self, word: String) -> Result<Node, Refusal> {
        let lower = word.to_ascii_lowercase();
        if let "inf" | "nan" = lower.as_str() {
            return Ok(Node::Number(if lower == "inf" { f64::INFINITY } else { f64::NAN }));
        }
        let calls = matches!(self.tokens.get(self.at), Some(Token::Sign("(")));
        let groups = matches!(self.tokens.get(self.at), Some(Token::Word(word)) if is_grouping(word));
        if calls || groups {
            if let Some(how) = Aggregation::named(&lower) {
                return self.aggregate(how);
            }
            if !calls {
                return Err(wrong(format!("`{word}` takes no `by` and no `without`")));
            }
            let Some(function) = Function::named(&word) else {
                return Err(not_modelled(&format!("the function `{word}`")));
            };
            return self.call(function);
        }
        self.selector(word).map(Node::Instant)
    }

    fn call(&mut self, function: Function) -> Result<Node, Refusal> {
        let arguments = self.arguments()?;
        let kinds: Vec<Kind> = arguments.iter().map(Node::kind).collect();
        if kinds != function.takes() {
            return Err(wrong(format!("`{}` takes {:?}", function.name(), function.takes())));
        }
        Ok(Node::Call { function, arguments })
    }

    fn aggregate(&mut self, how: Aggregation) -> Result<Node, Refusal> {
        let before = self.grouping()?;
        let mut arguments = self.arguments()?;
        let grouping = match before {
            Some(before) => before,
            None => self.grouping()?.unwrap_or_default(),
        };
        match arguments.pop() {
            Some(of) if arguments.is_empty() && of.kind() == Kind::Vector => {
                Ok(Node::Aggregate { how, grouping, of: Box::new(of) })
            }
            _ => Err(wrong(format!("`{}` takes one vector", how.name()))),
        }
    }

    fn arguments(&mut self) -> Result<Vec<Node>, Refusal> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.takes_sign(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.expression(0)?);
        }
        Ok(arguments)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Refusal> {
        let without = self.takes_word("without");
        if !without && !self.takes_word("by") {
            return Ok(None);
        }
        Ok(Some(Grouping { without, labels: self.labels()? }))
    }

    fn matching(&mut self) -> Result<Matching, Refusal> {
        let on = self.takes_word("on");
        if !on && !self.takes_word("ignoring") {
            return Ok(Matching::default());
        }
        let labels = self.labels()?;
        for word in ["group_left", "group_right"] {
            if self.takes_word(word) {
                return Err(not_modelled(&format!("`{word}`")));
            }
        }
        Ok(Matching { on, labels })
    }

    fn labels(&mut self) -> Result<Vec<Box<str>>, Refusal> {
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.takes_sign(")") {
            if !labels.is_empty() {
                self.expect(",")?;
            }
            labels.push(self.word("a label's name")?.into());
        }
        Ok(labels)
    }

    fn selector(&mut self, metric: String) -> Result<Selector, Refusal> {
        if OWN_METRICS.contains(&metric.as_str()) {
            return Err(not_modelled(&format!("the metric `{metric}`")));
        }
        let mut matchers = Vec::new();
        if self.takes_sign("{") {
            while !self.takes_sign("}") {
                if !matchers.is_empty() {
                    self.expect(",")?;
                    // One may stand at the end.
                    if self.takes_sign("}") {
                        break;
                    }
                }
                matchers.push(self.matcher()?);
            }
        }
        Ok(Selector { metric: metric.into(), matchers, offset: 0 })
    }

    fn matcher(&mut self) -> Result<Matcher, Refusal> {
        let label = self.word("a label's name")?;
        if label == NAME {
            return Err(not_modelled(&format!("a selector by `{NAME}`")));
        }
        let sign = self.tokens.get(self.at).cloned();
        let text = self.tokens.get(self.at + 1).cloned();
        self.at += 2;
        let (Some(Token::Sign(sign)), Some(Token::Text(text))) = (sign, text) else {
            return Err(wrong(format!("after `{label}` comes `=`, `!=`, `=~` or `!~`, and a text")));
        };
        let pattern = |text: &str| {
            Regex::new(&format!("^(?:{text})$")).map_err(|error| wrong(format!("`{text}`: {error}")))
        };
        let is = match sign {
            "=" => Match::Equal(text.into()),
            "!=" => Match::Unequal(text.into()),
            "=~" => Match::Like(pattern(&text)?),
            "!~" => Match::Unlike(pattern(&text)?),
            _ => return Err(wrong(format!("`{sign}` compares no label"))),
        };
        Ok(Matcher { label: label.into(), is })
    }

    /// After `[`.
    fn range(&mut self, of: Node) -> Result<Node, Refusal> {
        let millis = self.duration()?;
        if !self.takes_sign(":") {
            self.expect("]")?;
            return match of {
                Node::Instant(selector) if selector.offset == 0 => Ok(Node::Range { selector, millis }),
                _ => Err(wrong(
                    "a range is of a metric; of anything else it has a step, `[5m:15s]`".to_owned(),
                )),
            };
        }
        let step = if self.takes_sign("]") {
            None
        } else {
            let step = self.duration()?;
            self.expect("]")?;
            Some(step)
        };
        if of.kind() != Kind::Vector {
            return Err(wrong("a subquery is of a vector".to_owned()));
        }
        Ok(Node::Subquery(Box::new(Subquery { of, millis, step, offset: 0 })))
    }

    /// After `offset`.
    fn offset(&mut self, node: &mut Node) -> Result<(), Refusal> {
        let sign = if self.takes_sign("-") { -1 } else { 1 };
        let millis = sign * self.duration()?;
        let place = match node {
            Node::Instant(selector) | Node::Range { selector, .. } => &mut selector.offset,
            Node::Subquery(subquery) => &mut subquery.offset,
            _ => return Err(wrong("only a metric, a range and a subquery have an offset".to_owned())),
        };
        *place = millis;
        Ok(())
    }

    fn duration(&mut self) -> Result<i64, Refusal> {
        self.at += 1;
        match self.tokens.get(self.at - 1) {
            Some(Token::Duration(millis)) if *millis > 0 => Ok(*millis),
            _ => Err(wrong("a duration like `5m` is expected".to_owned())),
        }
    }

    fn operator(&self) -> Option<Operator> {
        match self.tokens.get(self.at)? {
            Token::Sign(sign) => Operator::named(sign),
            Token::Word(word) => Operator::named(&word.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn word(&mut self, what: &str) -> Result<String, Refusal> {
        self.at += 1;
        match self.tokens.get(self.at - 1) {
            Some(Token::Word(word)) => Ok(word.clone()),
            _ => Err(wrong(format!("{what} is expected"))),
        }
    }

    fn takes_word(&mut self, expected: &str) -> bool {
        let is_there = matches!(self.tokens.get(self.at), Some(Token::Word(word)) if word.eq_ignore_ascii_case(expected));
        self.at += usize::from(is_there);
        is_there
    }

    fn takes_sign(&mut self, expected: &str) -> bool {
        let is_there = matches!(self.tokens.get(self.at), Some(Token::Sign(sign)) if *sign == expected);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, sign: &str) -> Result<(), Refusal> {
        if self.takes_sign(sign) { Ok(()) } else { Err(wrong(format!("`{sign}` is missing"))) }
    }
}

fn is_grouping(word: &str) -> bool {
    ["by", "without"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn binary(binary: Binary) -> Result<Node, Refusal> {
    let Binary { operator, tells, matching, left, right } = &binary;
    let kinds = [left.kind(), right.kind()];
    let scalars = kinds.iter().filter(|kind| **kind == Kind::Scalar).count();
    let sign = operator.sign();
    if kinds.contains(&Kind::Range) {
        return Err(wrong(format!("`{sign}` is not between ranges")));
    }
    if operator.is_set() && scalars > 0 {
        return Err(wrong(format!("`{sign}` is between vectors")));
    }
    if *tells && !operator.is_comparison() {
        return Err(wrong(format!("`{sign} bool`: only a comparison has it")));
    }
    if operator.is_comparison() && scalars == 2 && !tells {
        return Err(wrong(format!("two numbers are compared with `{sign} bool`")));
    }
    if (matching.on || !matching.labels.is_empty()) && scalars > 0 {
        return Err(wrong("only vectors are matched by labels".to_owned()));
    }
    Ok(Node::Binary(Box::new(binary)))
}

const fn wrong(what: String) -> Refusal {
    Refusal::Wrong(what)
}

fn not_modelled(what: &str) -> Refusal {
    Refusal::NotModelled(what.to_owned())
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Number(number) => format!("`{number}`"),
        Token::Duration(millis) => format!("a duration of {millis} ms"),
        Token::Text(text) => format!("\"{text}\""),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

#[cfg(test)]
mod tests {
    use crate::sim::prometheus::{Expression, Kind, Refusal};

    #[test]
    fn what_rules_are_made_of_is_read() {
        for (text, kind) in [
            ("workers_active == 0", Kind::Vector),
            ("rate(x_total{container=\"worker\"}[30000ms]) > 5", Kind::Vector),
            ("time() - workers:beat:seconds", Kind::Vector),
            ("sum by (queue) (queue_jobs{state=~'a|b'}) / 2 ^ -1", Kind::Vector),
            ("increase(sum(x{a!=\"b\",})[3m:15s]) == 0 and x offset -5m unless y", Kind::Vector),
            ("1 + 2 * 0x10 > bool -Inf", Kind::Scalar),
            ("max_over_time(x[1h30m:1m] offset 5m)", Kind::Vector),
            ("x[5m]", Kind::Range),
        ] {
            let read = Expression::read(text);
            assert_eq!(read.as_ref().map(Expression::kind), Ok(kind), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_and_what_is_not_modelled_are_told_apart() {
        for (text, part) in [
            ("rate(x)", "takes"),
            ("rate(x[5m)", "`]`"),
            ("x ==", "no end"),
            ("1 > 2", "bool"),
            ("x and 1", "between vectors"),
            ("x[5]", "a duration"),
            ("sum(x[5m])", "takes one vector"),
            ("x{a=b}", "a text"),
            ("x $ y", "no part of PromQL"),
            ("x y", "not expected"),
        ] {
            let read = Expression::read(text);
            assert!(matches!(&read, Err(Refusal::Wrong(what)) if what.contains(part)), "{text}: {read:?}");
        }
        for (text, part) in [
            ("histogram_quantile(0.9, x)", "`histogram_quantile`"),
            ("topk(3, x)", "`topk`"),
            ("x * on (a) group_left y", "`group_left`"),
            ("x @ 3", "`@`"),
            ("{a=\"b\"}", "without a metric"),
            ("ALERTS{alertname=\"Down\"}", "`ALERTS`"),
        ] {
            let read = Expression::read(text);
            let refused = matches!(&read, Err(Refusal::NotModelled(what)) if what.contains(part));
            assert!(refused, "{text}: {read:?}");
        }
        assert!(Expression::read(&"(".repeat(5_000)).is_err());
    }
}
