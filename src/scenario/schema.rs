//! The JSON Schema of scenario files, from the same declarations as the decoder.

use schemars::generate::SchemaSettings;

/// The schema as pretty-printed JSON, as committed in `schemas/scenario.json`.
#[must_use]
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<super::raw::Scenario>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
