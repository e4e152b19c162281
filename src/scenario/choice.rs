//! Words from a fixed set: enums without fields, as serde and schemars know them.

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};
use serde_json::Value as Json;

use super::decode::{Decode, list, unknown};
use super::diagnostic::{Code, Report};
use super::raw::fleet::Subject;
use super::raw::{Kind, System};
use super::scalar::scalar;
use super::tree::Node;
use super::{PlantedBug, RedisDurability};
use crate::fault::trouble::Eviction;
use crate::fault::wire::Side;
use crate::fault::{Direction, OutageKind, Signal};
use crate::names::Store;
use crate::protocol::Tool;
use crate::timing::Clock;

macro_rules! choices {
    ($($type:ty),*) => {
        $(impl Decode for $type {
            fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
                choice(node, report)
            }
        })*
    };
}

choices!(
    Eviction,
    Signal,
    OutageKind,
    Direction,
    Side,
    Store,
    RedisDurability,
    PlantedBug,
    System,
    Kind,
    Tool,
    Subject,
    Clock
);

fn choice<T: DeserializeOwned + JsonSchema>(node: &Node, report: &mut Report<'_>) -> Option<T> {
    let words = words(&SchemaGenerator::default().into_root_schema_for::<T>().to_value());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (text, _) = scalar(node, &format!("one of {}", list(&words)), report)?;
    let parsed = T::deserialize(StrDeserializer::<Error>::new(text)).ok();
    if parsed.is_none() {
        unknown(Code::UnknownValue, "value", text, node.place, words.iter().copied(), report);
    }
    parsed
}

/// The texts of an enum's schema: `enum: […]`, or `oneOf: [{const: …}]` where they are documented.
fn words(schema: &Json) -> Vec<String> {
    let texts = |values: &Json| -> Vec<String> {
        let values = values.as_array().into_iter().flatten();
        values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let mut found = texts(&schema["enum"]);
    for option in schema["oneOf"].as_array().into_iter().flatten() {
        found.extend(texts(&option["enum"]));
        found.extend(option["const"].as_str().map(str::to_owned));
    }
    found
}
