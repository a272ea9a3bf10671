use bytes::Bytes;
use saas_backup_core::Result;
use serde_json::value::RawValue;

use super::path::{children, first_byte};
use crate::manifest::Component;
use crate::request::Answer;

/// How the bytes of an answer become JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Decoder {
    #[default]
    Json,
    /// A value on each line.
    Lines,
    /// A text on each line.
    Texts,
}

impl Decoder {
    pub(crate) fn build(component: Option<Component<'_>>) -> Result<Self> {
        let Some(component) = component else { return Ok(Self::Json) };
        match component.kind() {
            "JsonDecoder" => Ok(Self::Json),
            "JsonlDecoder" => Ok(Self::Lines),
            "IterableDecoder" => Ok(Self::Texts),
            _ => Err(component.unknown()),
        }
    }

    /// The text of the answer as JSON: one value, or one on each line.
    pub(crate) fn text(self, answer: &Answer) -> Bytes {
        match self {
            Self::Json | Self::Lines => answer.body.clone(),
            Self::Texts => {
                let mut lines = String::new();
                for line in String::from_utf8_lossy(&answer.body).lines() {
                    lines.push_str(&serde_json::json!({ "record": line }).to_string());
                    lines.push('\n');
                }
                lines.into()
            }
        }
    }

    /// The values in the text. A list at the top stands for its items, as in Airbyte.
    pub(crate) fn bodies(self, text: &Bytes) -> Result<Vec<&RawValue>> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        match self {
            Self::Json => {
                let whole: &RawValue = serde_json::from_slice(text)?;
                if first_byte(whole) == b'[' { children(whole) } else { Ok(vec![whole]) }
            }
            Self::Lines | Self::Texts => text
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
                .map(|line| Ok(serde_json::from_slice(line)?))
                .collect(),
        }
    }
}
