//! YAML text to a tree of nodes that know their places, within fixed bounds of size, depth and
//! alias expansion.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{
    ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, StrInput,
};

use super::diagnostic::{Code, Place, Report};

/// The largest file that is read, in bytes.
pub const SOURCE_BYTES_MAX: usize = 256 * 1024;
/// Lists and maps within each other, aliases followed.
pub const DEPTH_MAX: usize = 32;
/// Nodes in all, aliases followed.
pub const NODES_MAX: usize = 50_000;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Of a list or a map: its first line at most.
    pub place: Place,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What it is, for a message: `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
            Value::Scalar { .. } if self.is_null() => "nothing".into(),
            Value::Scalar { text, .. } => format!("`{}`", shorten(text)),
        }
    }

    /// What a map has under this key.
    pub fn at(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        let is_it = |node: &Self| matches!(&node.value, Value::Scalar { text, .. } if text == key);
        entries.iter().find(|(node, _)| is_it(node)).map(|(_, value)| value)
    }

    /// Left empty, or `~`, or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|(key, value)| key.size() + value.size()).sum(),
        }
    }

    fn depth(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
        }
    }
}

/// A text that is quoted in a message, cut to a bearable length.
pub(crate) fn shorten(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    match text.char_indices().nth(LENGTH_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]).replace('\n', " "),
        None => text.replace('\n', " "),
    }
}

/// The document's root; `None` once what is wrong is in the report.
pub(crate) fn parse(report: &mut Report<'_>) -> Option<Node> {
    let text = report.source().text();
    if text.len() > SOURCE_BYTES_MAX {
        report
            .add(Code::TooLarge, Place::default(), format!("the file has {} bytes", text.len()))
            .hint(format!("a scenario has at most {} KiB", SOURCE_BYTES_MAX / 1024));
        return None;
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    Builder::new(text, report).build(&mut parser)
}

/// A list or map that is not closed yet.
struct Open {
    anchor: usize,
    place: Place,
    value: Value,
    /// A map's key that waits for its value.
    key: Option<Node>,
}

struct Builder<'t, 'r, 's> {
    text: &'t str,
    report: &'r mut Report<'s>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

/// The report says why.
struct Refused;

impl<'t, 'r, 's> Builder<'t, 'r, 's> {
    fn new(text: &'t str, report: &'r mut Report<'s>) -> Self {
        Self { text, report, open: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None, documents: 0 }
    }

    fn build(mut self, parser: &mut Parser<'t, StrInput<'t>>) -> Option<Node> {
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok(event) => event,
                Err(error) => {
                    self.refuse_syntax(&error);
                    return None;
                }
            };
            let place = self.place(&span);
            self.take(event, place).ok()?;
        }
        if self.root.is_none() {
            self.report
                .add(Code::Empty, Place::default(), "the file has no content")
                .hint("a scenario has at least `name`, `fleet` and `workload`");
        }
        self.root
    }

    fn refuse_syntax(&mut self, error: &ScanError) {
        let start = error.marker().byte_offset().unwrap_or(0);
        let place = self.clip(start, start + 1);
        if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
            self.refuse_depth(place);
            return;
        }
        self.report
            .add(Code::Syntax, place, format!("this is not YAML: {}", error.info()))
            .label("here, or shortly before");
    }

    fn refuse_depth(&mut self, place: Place) {
        self.report
            .add(Code::TooDeep, place, format!("lists and maps are nested more than {DEPTH_MAX} deep"))
            .hint("no part of a scenario is nested deeper than about ten; aliases count as what they repeat");
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Refused> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.report
                        .add(Code::SeveralDocuments, place, "the file holds several documents")
                        .hint("one scenario in one file: put what follows the `---` into its own");
                    return Err(Refused);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: text.into_owned(), plain };
                self.count(1, place)?;
                self.insert(Node { place, value }, anchor);
                Ok(())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.enter(Value::List(Vec::new()), anchor, place)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.enter(Value::Map(Vec::new()), anchor, place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let place = self.first_line(&open, place);
                    self.insert(Node { place, value: open.value }, open.anchor);
                }
                Ok(())
            }
            Event::Alias(anchor) => self.expand(anchor, place),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, value: Value, anchor: usize, place: Place) -> Result<(), Refused> {
        self.count(1, place)?;
        if self.open.len() >= DEPTH_MAX {
            self.refuse_depth(place);
            return Err(Refused);
        }
        self.open.push(Open { anchor, place, value, key: None });
        Ok(())
    }

    fn expand(&mut self, anchor: usize, place: Place) -> Result<(), Refused> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.report
                .add(Code::AliasExpansion, place, "the alias stands within what it repeats")
                .hint("an alias can only repeat a node that ended before it");
            return Err(Refused);
        };
        let (size, depth) = (node.size(), node.depth());
        if self.open.len() + depth > DEPTH_MAX {
            self.refuse_depth(place);
            return Err(Refused);
        }
        if self.nodes + size > NODES_MAX {
            self.report
                .add(Code::AliasExpansion, place, "the aliases expand beyond all measure")
                .hint(format!("a scenario has at most {NODES_MAX} values, aliases followed"));
            return Err(Refused);
        }
        self.nodes += size;
        let node = node.clone();
        self.insert(node, 0);
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Refused> {
        self.nodes += nodes;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        self.report
            .add(Code::TooLarge, place, format!("the file has more than {NODES_MAX} values"))
            .label("this is one too many");
        Err(Refused)
    }

    fn refuse_tag(&mut self, tagged: bool, place: Place) {
        if tagged {
            self.report
                .add(Code::Tag, place, "tags (`!…`) have no meaning in a scenario")
                .hint("leave the tag out");
        }
    }

    fn insert(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut parent.value, parent.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some(key)) => entries.push((key, node)),
            (Value::Map(_), None) => parent.key = Some(node),
            (Value::Scalar { .. }, _) => unreachable!("a scalar is never open"),
        }
    }

    /// From the start of a collection to its end, or to the end of the line that it starts on.
    fn first_line(&self, open: &Open, end: Place) -> Place {
        let start = open.place.start;
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        self.clip(start, end.end.min(line_end).max(start))
    }

    fn place(&self, span: &Span) -> Place {
        span.byte_range().map_or_else(Place::default, |range| self.clip(range.start, range.end))
    }

    /// Within the text, at character boundaries.
    fn clip(&self, start: usize, end: usize) -> Place {
        let mut start = start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        Place::new(start, end)
    }
}
