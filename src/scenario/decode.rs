//! From the tree to typed values, collecting every error on the way.
//!
//! `record!` and `variants!` declare the shape of the file once: the type, its decoder and its JSON
//! Schema all come from the same declaration, so that they cannot differ.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map as JsonMap, Value as Json};

use super::diagnostic::{Code, Place, Report};
use super::tree::{Node, Value, shorten};

/// A value of the file. `None` once the report says what is wrong with it.
pub(crate) trait Decode: JsonSchema + Sized {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self>;
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub value: T,
    pub place: Place,
}

/// A field of a record.
#[derive(Debug, Clone, Default)]
pub(crate) enum Field<T> {
    #[default]
    Absent,
    Given(Placed<T>),
    /// Reported already: whoever needs it gives up silently.
    Bad,
}

impl<T> Field<T> {
    pub fn given(&self) -> Option<&Placed<T>> {
        match self {
            Self::Given(placed) => Some(placed),
            Self::Absent | Self::Bad => None,
        }
    }

    pub fn value(&self) -> Option<&T> {
        self.given().map(|placed| &placed.value)
    }

    pub fn place(&self) -> Option<Place> {
        self.given().map(|placed| placed.place)
    }

    /// The field without its value.
    pub fn presence(&self) -> Field<()> {
        match self {
            Self::Absent => Field::Absent,
            Self::Given(placed) => Field::Given(Placed { value: (), place: placed.place }),
            Self::Bad => Field::Bad,
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Decode> Decode for Placed<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        T::decode(node, report).map(|value| Self { value, place: node.place })
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        T::decode(node, report).map(Self::new)
    }
}

impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// What is wrong is reported item by item; the good ones are kept.
impl<T: Decode> Decode for Vec<Placed<T>> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        match &node.value {
            Value::List(items) => {
                Some(items.iter().filter_map(|item| Placed::decode(item, report)).collect())
            }
            _ => wrong_type(node, "a list", report),
        }
    }
}

/// A map whose keys are the file's own names, in the file's order.
#[derive(Debug, Clone)]
pub(crate) struct Named<T>(pub Vec<(Placed<String>, Placed<T>)>);

impl<T: Decode> Decode for Named<T> {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let entries = entries(node, "a map", report)?;
        let decode = |(key, place, value): (String, Place, &Node)| {
            Some((Placed { value: key, place }, Placed::decode(value, report)?))
        };
        Some(Self(entries.into_iter().filter_map(decode).collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// The entries of a map with text keys, each key once; an empty node is an empty map.
fn entries<'n>(
    node: &'n Node,
    expected: &str,
    report: &mut Report<'_>,
) -> Option<Vec<(String, Place, &'n Node)>> {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        _ if node.is_null() => return Some(Vec::new()),
        _ => return wrong_type(node, expected, report),
    };
    let mut seen = std::collections::BTreeMap::new();
    let mut kept = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Value::Scalar { text, .. } = &key.value else {
            report.add(Code::WrongType, key.place, format!("a key must be a text, not {}", key.describe()));
            continue;
        };
        if let Some(first) = seen.insert(text.as_str(), key.place) {
            let line = report.line(first);
            report
                .add(Code::DuplicateKey, key.place, format!("`{}` is given twice", shorten(text)))
                .hint(format!("it was given first on line {line}"));
            continue;
        }
        kept.push((text.clone(), key.place, value));
    }
    Some(kept)
}

/// The fields of a record while it is decoded.
pub(crate) struct Fields<'n> {
    entries: Vec<(String, Place, &'n Node)>,
    place: Place,
}

impl<'n> Fields<'n> {
    /// Reports keys that are not among `known`.
    pub fn of(node: &'n Node, known: &[&str], report: &mut Report<'_>) -> Option<Self> {
        let what = format!("a map of {}", list(known));
        let mut entries = entries(node, &what, report)?;
        entries.retain(|(key, place, _)| {
            let is_known = known.contains(&key.as_str());
            if !is_known {
                unknown(Code::UnknownField, "field", key, *place, known.iter().copied(), report);
            }
            is_known
        });
        Some(Self { entries, place: node.place })
    }

    pub fn optional<T: Decode>(&self, key: &str, report: &mut Report<'_>) -> Field<T> {
        match self.entries.iter().find(|(name, ..)| name == key) {
            None => Field::Absent,
            Some((_, _, node)) => match T::decode(node, report) {
                Some(value) => Field::Given(Placed { value, place: self.value_place(key, node) }),
                None => Field::Bad,
            },
        }
    }

    pub fn required<T: Decode>(&self, key: &str, report: &mut Report<'_>) -> Field<T> {
        let field = self.optional(key, report);
        if field.is_absent() {
            report.add(Code::MissingField, self.place, format!("`{key}` is missing")).label("in here");
            return Field::Bad;
        }
        field
    }

    /// The keys that are there, in the file's order.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Place, &'n Node)> {
        self.entries.iter().map(|(key, place, node)| (key.as_str(), *place, *node))
    }

    /// The value's place; its key's where the value is empty.
    fn value_place(&self, key: &str, node: &Node) -> Place {
        let key_place = self.entries.iter().find(|(name, ..)| name == key).map(|(_, place, _)| *place);
        match node.place {
            place if place.end > place.start => place,
            place => key_place.unwrap_or(place),
        }
    }
}

/// `{key: value}` with exactly one of several keys. `variants!` implements it.
pub(crate) trait Variants: Sized {
    const KEYS: &'static [&'static str];

    fn decode_variant(key: &str, node: &Node, report: &mut Report<'_>) -> Option<Self>;

    /// Key, documentation and schema of each.
    fn schemas(generator: &mut SchemaGenerator) -> Vec<Property>;
}

/// Decodes a map that has exactly one of the variant's keys, besides those in `beside`.
pub(crate) fn decode_one<T: Variants>(
    node: &Node,
    beside: &[&str],
    report: &mut Report<'_>,
) -> Option<Placed<T>> {
    if let Value::Scalar { text, .. } = &node.value
        && T::KEYS.contains(&text.as_str())
    {
        report
            .add(Code::WrongType, node.place, format!("`{text}` needs its details"))
            .hint(format!("write it as a map: `{{{text}: …}}`"));
        return None;
    }
    let known: Vec<&str> = T::KEYS.iter().chain(beside).copied().collect();
    let fields = Fields::of(node, &known, report)?;
    let mut found = fields.keys().filter(|(key, ..)| T::KEYS.contains(key));
    let Some((key, place, value)) = found.next() else {
        let has_unknown = matches!(&node.value, Value::Map(entries) if entries.len() > fields.entries.len());
        if !has_unknown {
            report
                .add(Code::OneOf, node.place, "this needs exactly one kind")
                .hint(format!("one of {}", list(T::KEYS)));
        }
        return None;
    };
    for (other, place, _) in found {
        report
            .add(Code::OneOf, place, format!("`{other}` cannot stand beside `{key}`"))
            .hint(format!("exactly one of {}", list(T::KEYS)));
    }
    T::decode_variant(key, value, report).map(|value| Placed { value, place })
}

/// A value among a few: `unknown field`, with the nearest one as a hint.
pub(crate) fn unknown<'k>(
    code: Code,
    what: &str,
    given: &str,
    place: Place,
    known: impl Iterator<Item = &'k str>,
    report: &mut Report<'_>,
) {
    if report.is_full() {
        report.add(code, place, "");
        return;
    }
    let known: Vec<&str> = known.collect();
    report.add(code, place, format!("unknown {what} `{}`", shorten(given))).hint(hint(given, &known));
}

/// The nearest of the known names, and the list of them.
pub(crate) fn hint(given: &str, known: &[&str]) -> String {
    const FEW: usize = 8;
    match nearest(given, known) {
        Some(near) if known.len() <= FEW => format!("did you mean `{near}`? Known here: {}", list(known)),
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is none".into(),
        None => format!("known here: {}", list(known)),
    }
}

fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    const LENGTH_MAX: usize = 64;
    if given.len() > LENGTH_MAX {
        return None;
    }
    let distance = |name: &str| strsim::damerau_levenshtein(given, name);
    let near = known.iter().copied().min_by_key(|name| distance(name))?;
    (distance(near) <= 1 + given.chars().count().max(near.len()) / 4).then_some(near)
}

/// `a, b, c` in backticks, cut where it gets long.
pub(crate) fn list(names: &[&str]) -> String {
    const SHOWN_MAX: usize = 40;
    let mut text =
        names.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_MAX {
        text.push_str(", …");
    }
    text
}

pub(crate) fn wrong_type<T>(node: &Node, expected: &str, report: &mut Report<'_>) -> Option<T> {
    report
        .add(Code::WrongType, node.place, format!("this must be {expected}, not {}", node.describe()))
        .label(format!("expected {expected}"));
    None
}

/// A property of an object in the schema.
pub(crate) struct Property {
    pub key: &'static str,
    pub required: bool,
    pub doc: String,
    pub schema: Schema,
}

pub(crate) fn object_schema(doc: String, properties: Vec<Property>) -> Schema {
    let required: Vec<&str> = properties.iter().filter(|p| p.required).map(|p| p.key).collect();
    let mut object = JsonMap::new();
    if !doc.is_empty() {
        object.insert("description".into(), doc.into());
    }
    object.insert("type".into(), "object".into());
    object.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    let described = properties.into_iter().map(|property| (property.key.to_owned(), property.described()));
    object.insert("properties".into(), Json::Object(described.collect()));
    Schema::from(object)
}

/// Each variant is an object with its key, and with what stands `beside`.
pub(crate) fn variants_schema<T: Variants>(
    doc: String,
    generator: &mut SchemaGenerator,
    beside: impl Fn(&mut SchemaGenerator) -> Vec<Property>,
) -> Schema {
    let variants: Vec<Json> = T::schemas(generator)
        .into_iter()
        .map(|variant| {
            let doc = variant.doc.clone();
            let mut properties = vec![variant];
            properties.extend(beside(generator));
            object_schema(doc, properties).to_value()
        })
        .collect();
    json_schema!({ "description": doc, "oneOf": variants })
}

impl Property {
    fn described(self) -> Json {
        let mut schema = self.schema;
        if !self.doc.is_empty() {
            schema.insert("description".into(), self.doc.into());
        }
        schema.to_value()
    }
}

/// The doc comment's lines as one text.
pub(crate) fn doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

/// A map with fixed keys: `required name: Type,` or `optional name ("key"): Type,`.
macro_rules! record {
    (
        $(#[doc = $about:literal])*
        $name:ident {
            $($(#[doc = $doc:literal])* $need:ident $field:ident $(($key:literal))?: $type:ty,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $name {
            $($(#[doc = $doc])* pub $field: $crate::scenario::decode::Field<$type>,)*
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            // Records of two modules may have one name.
            fn schema_id() -> std::borrow::Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($name)).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::scenario::decode::{Property, doc, key, object_schema};
                object_schema(doc(&[$($about),*]), vec![$(Property {
                    key: key!($field $($key)?),
                    required: stringify!($need) == "required",
                    doc: doc(&[$($doc),*]),
                    schema: generator.subschema_for::<$type>(),
                },)*])
            }
        }

        impl $crate::scenario::decode::Decode for $name {
            fn decode(
                node: &$crate::scenario::tree::Node,
                report: &mut $crate::scenario::diagnostic::Report<'_>,
            ) -> Option<Self> {
                use $crate::scenario::decode::{Fields, key};
                let fields = Fields::of(node, &[$(key!($field $($key)?)),*], report)?;
                Some(Self { $($field: fields.$need(key!($field $($key)?), report),)* })
            }
        }
    };
}

/// A map with exactly one of several keys: `Variant "key": Type,`.
macro_rules! variants {
    (
        $(#[doc = $about:literal])*
        $name:ident {
            $($(#[doc = $doc:literal])* $variant:ident $key:literal: $type:ty,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "what has no details is known by its key alone")]
        pub(crate) enum $name {
            $($(#[doc = $doc])* $variant($crate::scenario::decode::Placed<$type>),)*
        }

        impl $crate::scenario::decode::Variants for $name {
            const KEYS: &'static [&'static str] = &[$($key),*];

            fn decode_variant(
                key: &str,
                node: &$crate::scenario::tree::Node,
                report: &mut $crate::scenario::diagnostic::Report<'_>,
            ) -> Option<Self> {
                use $crate::scenario::decode::Decode as _;
                match key {
                    $($key => $crate::scenario::decode::Placed::decode(node, report).map(Self::$variant),)*
                    _ => None,
                }
            }

            fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<$crate::scenario::decode::Property> {
                use $crate::scenario::decode::{Property, doc};
                vec![$(Property {
                    key: $key,
                    required: true,
                    doc: doc(&[$($doc),*]),
                    schema: generator.subschema_for::<$type>(),
                },)*]
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            // Records of two modules may have one name.
            fn schema_id() -> std::borrow::Cow<'static, str> {
                concat!(module_path!(), "::", stringify!($name)).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::scenario::decode::{doc, variants_schema};
                variants_schema::<Self>(doc(&[$($about),*]), generator, |_| Vec::new())
            }
        }

        impl $crate::scenario::decode::Decode for $name {
            fn decode(
                node: &$crate::scenario::tree::Node,
                report: &mut $crate::scenario::diagnostic::Report<'_>,
            ) -> Option<Self> {
                $crate::scenario::decode::decode_one(node, &[], report).map(|placed| placed.value)
            }
        }
    };
}

pub(crate) use {key, record, variants};
