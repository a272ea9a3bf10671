use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

// Messages of the specification, https://hub.meltano.com/singer/spec, and of singer-sdk (BATCH).

#[derive(Deserialize)]
pub(super) struct SchemaMessage<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) schema: &'a RawValue,
    pub(super) key_properties: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct RecordMessage<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) record: &'a RawValue,
}

#[derive(Deserialize)]
pub(super) struct StateMessage<'a> {
    #[serde(borrow)]
    pub(super) value: &'a RawValue,
}

#[derive(Deserialize)]
pub(super) struct VersionMessage<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    #[serde(deserialize_with = "whole_number")]
    pub(super) version: i64,
}

#[derive(Deserialize)]
pub(super) struct BatchMessage<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
}

/// Some write `1.0` where the specification says integer.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    #[expect(clippy::cast_possible_truncation, reason = "versions are milliseconds or counters")]
    let rounded = || number.as_f64().map(|number| number as i64);
    number.as_i64().or_else(rounded).ok_or_else(|| serde::de::Error::custom("no number"))
}
