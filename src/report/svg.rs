//! SVG as text: a builder that escapes, and the small bars of the tables. Colours are the page's
//! CSS classes, so that light and dark are decided in one place.

use std::fmt::Write;

use crate::check::Bound;

/// An SVG document under construction, for embedding into HTML.
#[derive(Debug)]
pub struct Svg {
    out: String,
}

/// A rectangle in the drawing's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// Scales to the width of its container; `label` is what a screen reader says.
    #[must_use]
    pub fn new(width: f64, height: f64, class: &str, label: &str) -> Self {
        let mut svg = Self { out: String::with_capacity(4_096) };
        svg.push(format_args!(
            "<svg class=\"{class}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            number(width),
            number(height),
            escape(label)
        ));
        svg
    }

    pub fn rect(&mut self, rect: Rect, class: &str, title: Option<&str>) {
        self.push(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{class}\"",
            number(rect.x),
            number(rect.y),
            number(rect.width.max(0.0)),
            number(rect.height.max(0.0)),
        ));
        self.close("rect", title);
    }

    /// `data` is path data made by the caller from numbers.
    pub fn path(&mut self, data: &str, class: &str, title: Option<&str>) {
        self.push(format_args!("<path d=\"{data}\" class=\"{class}\""));
        self.close("path", title);
    }

    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.push(format_args!(
            "<text x=\"{}\" y=\"{}\"{anchor} class=\"{class}\">{}</text>",
            number(x),
            number(y),
            escape(text)
        ));
    }

    #[must_use]
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }

    fn close(&mut self, element: &str, title: Option<&str>) {
        match title {
            Some(title) => self.push(format_args!("><title>{}</title></{element}>", escape(title))),
            None => self.out.push_str("/>"),
        }
    }

    fn push(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.out.write_fmt(what);
    }
}

#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// One decimal, and none where it is zero; what is no number is drawn at 0.
#[must_use]
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// A check's measurement on a line with its bound: the bound as a band, the range of the
/// measurements as a bar, the median as a dot. `None` if there is nothing to see (no bound, or
/// zero against zero).
#[must_use]
pub fn bound_bar(bound: Bound, (low, middle, high): (f64, f64, f64), class: &str) -> Option<String> {
    const WIDTH: f64 = 180.0;
    const HEIGHT: f64 = 20.0;
    let far = bound.max.or(bound.min)?.max(high);
    if far <= 0.0 || !far.is_finite() {
        return None;
    }
    let x = |value: f64| 4.0 + value.max(0.0) / (far * 1.12) * (WIDTH - 8.0);
    let mut svg = Svg::new(WIDTH, HEIGHT, "bar", "measured against bound");
    svg.rect(Rect { x: 0.0, y: 9.0, width: WIDTH, height: 2.0 }, "b-axis", None);
    let from = x(bound.min.unwrap_or(0.0));
    let to = bound.max.map_or(WIDTH, x);
    let band = Rect { x: from - 1.0, y: 3.0, width: (to - from).max(1.0) + 2.0, height: 14.0 };
    svg.rect(band, "b-bound", Some("what the bound allows"));
    let range = Rect { x: x(low), y: 8.0, width: x(high) - x(low), height: 4.0 };
    svg.rect(range, class, Some("from the smallest to the largest measurement"));
    let dot = Rect { x: x(middle) - 2.5, y: 5.0, width: 5.0, height: 10.0 };
    svg.rect(dot, class, Some("median"));
    Some(svg.finish())
}

/// One bar of `parts` (class, length, title), all bars of a chart on the same `far` end.
#[must_use]
pub fn stacked_bar(parts: &[(String, f64, String)], far: f64) -> String {
    const WIDTH: f64 = 600.0;
    let mut svg = Svg::new(WIDTH, 14.0, "stack", "parts of the recovery time");
    let mut x = 0.0;
    for (class, length, title) in parts {
        let width = if far > 0.0 { length.max(0.0) / far * WIDTH } else { 0.0 };
        svg.rect(Rect { x, y: 0.0, width, height: 14.0 }, class, Some(title));
        x += width;
    }
    svg.finish()
}
