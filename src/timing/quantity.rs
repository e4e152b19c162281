//! Arithmetic that a formula is written in once, and run twice: over plain spans for the bound, and
//! over [`Traced`] for its derivation. So the two cannot disagree.

use crate::time::Span;

pub(super) trait Quantity: Clone {
    /// A parameter by its symbol.
    fn of(symbol: &str, span: Span) -> Self;
    /// Saturates at [`Span::MAX`].
    fn plus(self, other: Self) -> Self;
    /// Saturates at zero.
    fn minus(self, other: Self) -> Self;
    fn or_later(self, other: Self) -> Self;
    fn or_sooner(self, other: Self) -> Self;
    fn span(&self) -> Span;

    fn zero() -> Self {
        Self::of("0", Span::ZERO)
    }
}

impl Quantity for Span {
    fn of(_: &str, span: Span) -> Self {
        span
    }

    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn minus(self, other: Self) -> Self {
        self - other
    }

    fn or_later(self, other: Self) -> Self {
        Ord::max(self, other)
    }

    fn or_sooner(self, other: Self) -> Self {
        Ord::min(self, other)
    }

    fn span(&self) -> Span {
        *self
    }
}

/// A span with the way to it, in symbols and in numbers. What is zero is left out of both.
#[derive(Debug, Clone)]
pub(super) struct Traced {
    pub formula: String,
    pub numbers: String,
    span: Span,
    is_sum: bool,
    /// A difference below zero was cut.
    is_cut: bool,
}

impl Traced {
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether it is one parameter, not a calculation.
    pub fn is_symbol(&self) -> bool {
        !self.formula.contains([' ', '('])
    }

    fn joined(self, sign: char, other: Self, span: Span) -> Self {
        let bracket = |text: &str| {
            if other.is_sum && sign == '−' { format!("({text})") } else { text.to_owned() }
        };
        Self {
            formula: format!("{} {sign} {}", self.formula, bracket(&other.formula)),
            numbers: format!("{} {sign} {}", self.numbers, bracket(&other.numbers)),
            span,
            is_sum: true,
            is_cut: self.is_cut || (sign == '−' && self.span < other.span),
        }
    }

    fn called(function: &str, one: Self, other: Self, span: Span) -> Self {
        if one.formula == other.formula {
            return one;
        }
        Self {
            formula: format!("{function}({}, {})", one.formula, other.formula),
            numbers: format!("{function}({}, {})", one.numbers, other.numbers),
            span,
            is_sum: false,
            is_cut: one.is_cut || other.is_cut,
        }
    }
}

impl Quantity for Traced {
    fn of(symbol: &str, span: Span) -> Self {
        Self { formula: symbol.to_owned(), numbers: span.to_string(), span, is_sum: false, is_cut: false }
    }

    fn plus(self, other: Self) -> Self {
        match (self.span.is_zero(), other.span.is_zero()) {
            (_, true) => self,
            (true, false) => other,
            (false, false) => {
                let span = self.span + other.span;
                self.joined('+', other, span)
            }
        }
    }

    fn minus(self, other: Self) -> Self {
        if other.span.is_zero() {
            return self;
        }
        let span = self.span - other.span;
        self.joined('−', other, span)
    }

    fn or_later(self, other: Self) -> Self {
        match (self.span.is_zero(), other.span.is_zero()) {
            (_, true) => self,
            (true, false) => other,
            (false, false) => {
                let span = Ord::max(self.span, other.span);
                Self::called("max", self, other, span)
            }
        }
    }

    fn or_sooner(self, other: Self) -> Self {
        let span = Ord::min(self.span, other.span);
        Self::called("min", self, other, span)
    }

    fn span(&self) -> Span {
        self.span
    }
}
