use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

// Messages of the protocol, https://docs.airbyte.com/platform/understanding-airbyte/airbyte-protocol; where it says
// integer, sources write numbers with a fraction, too.

#[derive(Deserialize)]
pub(super) struct RecordLine<'a> {
    #[serde(borrow)]
    pub(super) record: RecordMessage<'a>,
}

#[derive(Deserialize)]
pub(super) struct RecordMessage<'a> {
    #[serde(borrow)]
    pub(super) stream: Cow<'a, str>,
    #[serde(default)]
    pub(super) namespace: Option<String>,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
    #[serde(default)]
    pub(super) meta: Option<RecordMeta>,
    #[serde(default)]
    pub(super) file_reference: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct RecordMeta {
    #[serde(default)]
    pub(super) changes: Vec<Value>,
}

#[derive(Deserialize)]
pub(super) struct StateLine<'a> {
    /// Passed back whole.
    #[serde(borrow)]
    pub(super) state: &'a RawValue,
}

#[derive(Deserialize)]
pub(super) struct StateMessage {
    #[serde(default)]
    pub(super) stream: Option<StreamState>,
    #[serde(default, rename = "sourceStats")]
    pub(super) source_stats: Option<StateStats>,
}

#[derive(Deserialize)]
pub(super) struct StreamState {
    pub(super) stream_descriptor: Descriptor,
}

#[derive(Deserialize)]
pub(super) struct StateStats {
    #[serde(default, rename = "recordCount")]
    pub(super) record_count: Option<f64>,
}

/// What tells a stream from others.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: Option<String>,
}

impl Descriptor {
    /// Its name in a copy.
    pub(super) fn collection(&self) -> String {
        match self.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => format!("{namespace}.{}", self.name),
            None => self.name.clone(),
        }
    }

    pub(super) fn is(&self, name: &str, namespace: Option<&str>) -> bool {
        self.name == name && self.namespace.as_deref().unwrap_or_default() == namespace.unwrap_or_default()
    }
}

#[derive(Deserialize)]
pub(super) struct TraceLine {
    pub(super) trace: TraceMessage,
}

#[derive(Deserialize)]
pub(super) struct TraceMessage {
    #[serde(default)]
    pub(super) error: Option<TraceError>,
    #[serde(default)]
    pub(super) stream_status: Option<StreamStatus>,
}

#[derive(Deserialize)]
pub(super) struct TraceError {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) failure_type: Option<String>,
    #[serde(default)]
    pub(super) stream_descriptor: Option<Descriptor>,
}

#[derive(Deserialize)]
pub(super) struct StreamStatus {
    pub(super) stream_descriptor: Descriptor,
    pub(super) status: String,
}

#[derive(Deserialize)]
pub(super) struct ControlLine {
    pub(super) control: ControlMessage,
}

#[derive(Deserialize)]
pub(super) struct ControlMessage {
    #[serde(default, rename = "connectorConfig")]
    pub(super) connector_config: Option<ReplacedConfig>,
}

#[derive(Deserialize)]
pub(super) struct ReplacedConfig {
    pub(super) config: Value,
}

#[derive(Deserialize)]
pub(super) struct LogLine {
    pub(super) log: LogMessage,
}

#[derive(Deserialize)]
pub(super) struct LogMessage {
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
pub(super) struct CatalogLine {
    pub(super) catalog: CatalogMessage,
}

#[derive(Deserialize)]
pub(super) struct CatalogMessage {
    /// As they came: what is not looked at goes back to the source.
    pub(super) streams: Vec<Value>,
}

/// A stream as the source describes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DiscoveredStream {
    #[serde(flatten)]
    pub(super) descriptor: Descriptor,
    #[serde(default)]
    pub(super) json_schema: Option<Value>,
    #[serde(default)]
    pub(super) supported_sync_modes: Vec<String>,
    #[serde(default)]
    pub(super) source_defined_cursor: Option<bool>,
    #[serde(default)]
    pub(super) default_cursor_field: Option<Vec<String>>,
    #[serde(default)]
    pub(super) source_defined_primary_key: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
pub(super) struct ConnectionLine {
    #[serde(rename = "connectionStatus")]
    pub(super) connection_status: ConnectionStatus,
}

#[derive(Deserialize)]
pub(super) struct ConnectionStatus {
    pub(super) status: String,
    #[serde(default)]
    pub(super) message: Option<String>,
}
