//! Types that need not be written, and `$parameters` that components pass on to what stands below them.
//!
//! As in Airbyte's `ManifestComponentTransformer`: a component without a type takes the one that its place asks for, and
//! a parameter of a component is a member of each component below it that has none of that name.

use serde_json::{Map, Value};

pub(super) const PARAMETERS: &str = "$parameters";

/// The type of a component without one, by the place where it stands.
const TYPES: &[(&str, &str)] = &[
    ("AddFields.fields", "AddedFieldDefinition"),
    ("CompositeErrorHandler.error_handlers", "DefaultErrorHandler"),
    ("ConfigComponentsResolver.components_mapping", "ComponentMappingDefinition"),
    ("ConfigComponentsResolver.stream_config", "StreamConfig"),
    ("CursorPagination.decoder", "JsonDecoder"),
    ("DatetimeBasedCursor.end_datetime", "MinMaxDatetime"),
    ("DatetimeBasedCursor.end_time_option", "RequestOption"),
    ("DatetimeBasedCursor.start_datetime", "MinMaxDatetime"),
    ("DatetimeBasedCursor.start_time_option", "RequestOption"),
    ("DeclarativeSource.check", "CheckStream"),
    ("DeclarativeSource.spec", "Spec"),
    ("DeclarativeSource.streams", "DeclarativeStream"),
    ("DeclarativeStream.retriever", "SimpleRetriever"),
    ("DeclarativeStream.schema_loader", "JsonFileSchemaLoader"),
    ("DefaultErrorHandler.response_filters", "HttpResponseFilter"),
    ("DefaultPaginator.decoder", "JsonDecoder"),
    ("DefaultPaginator.page_size_option", "RequestOption"),
    ("DpathExtractor.decoder", "JsonDecoder"),
    ("DpathExtractor.record_expander", "RecordExpander"),
    ("DynamicDeclarativeStream.components_resolver", "ConfigComponentResolver"),
    ("DynamicDeclarativeStream.stream_template", "DeclarativeStream"),
    ("DynamicSchemaLoader.retriever", "SimpleRetriever"),
    ("HttpComponentsResolver.components_mapping", "ComponentMappingDefinition"),
    ("HttpComponentsResolver.retriever", "SimpleRetriever"),
    ("HttpRequester.error_handler", "DefaultErrorHandler"),
    ("ListPartitionRouter.request_option", "RequestOption"),
    ("ParentStreamConfig.request_option", "RequestOption"),
    ("ParentStreamConfig.stream", "DeclarativeStream"),
    ("RecordExpander.parent_fields", "ParentFieldPath"),
    ("RecordSelector.extractor", "DpathExtractor"),
    ("RecordSelector.record_filter", "RecordFilter"),
    ("SchemaTypeIdentifier.types_map", "TypesMap"),
    ("SimpleRetriever.paginator", "NoPagination"),
    ("SimpleRetriever.record_selector", "RecordSelector"),
    ("SimpleRetriever.requester", "HttpRequester"),
    ("SubstreamPartitionRouter.parent_stream_configs", "ParentStreamConfig"),
];

/// Propagates types and parameters from the root on.
pub(super) fn propagate(manifest: Value) -> Value {
    match manifest {
        Value::Object(mut members) => {
            members.entry("type").or_insert_with(|| "DeclarativeSource".into());
            Value::Object(component("", members, &Map::new(), false))
        }
        other => other,
    }
}

/// Propagates them anew through a stream that was made of a template. With `outer_counts` the parameter of a component
/// gives way to one of the same name further up.
pub(crate) fn propagate_stream(stream: Value, outer_counts: bool) -> Value {
    match stream {
        Value::Object(members) => {
            let mut made = component("", members, &Map::new(), outer_counts);
            made.entry("type").or_insert_with(|| "DeclarativeStream".into());
            Value::Object(made)
        }
        other => other,
    }
}

fn component(
    place: &str,
    mut members: Map<String, Value>,
    inherited: &Map<String, Value>,
    outer_counts: bool,
) -> Map<String, Value> {
    if !members.contains_key("type")
        && !members.contains_key("class_name")
        && let Ok(found) = TYPES.binary_search_by_key(&place, |(known, _)| known)
        && let Some((_, kind)) = TYPES.get(found)
    {
        members.insert("type".to_owned(), (*kind).into());
    }
    let mut parameters = inherited.clone();
    if let Some(Value::Object(own)) = members.remove(PARAMETERS) {
        if outer_counts {
            for (name, value) in own {
                parameters.entry(name).or_insert(value);
            }
        } else {
            parameters.extend(own);
        }
    }
    let kind = match members.get("type") {
        // A JSON Schema, or the `properties` of one that have a member named `type`.
        Some(Value::Array(_) | Value::Object(_)) => return members,
        Some(Value::String(kind)) if kind == "object" => return members,
        Some(Value::String(kind)) => kind.clone(),
        _ => return untyped(place, members, &parameters, outer_counts),
    };
    for (name, value) in &parameters {
        if members.get(name).is_none_or(is_falsy) {
            members.insert(name.clone(), value.clone());
        }
    }
    let names: Vec<String> = members.keys().cloned().collect();
    for name in names {
        let Some(value) = members.get_mut(&name) else { continue };
        let place = format!("{kind}.{name}");
        // A parameter that is the member itself would be put into itself.
        let mut passed = parameters.clone();
        passed.remove(&name);
        match value {
            Value::Object(inner) => *inner = component(&place, std::mem::take(inner), &passed, outer_counts),
            Value::Array(items) => {
                for item in items {
                    if let Value::Object(inner) = item {
                        *inner = component(&place, std::mem::take(inner), &passed, outer_counts);
                    }
                }
            }
            _ => {}
        }
    }
    if !parameters.is_empty() {
        members.insert(PARAMETERS.to_owned(), Value::Object(parameters));
    }
    members
}

/// A mapping that is no component may hold some, such as the parameters of a request.
fn untyped(
    place: &str,
    mut members: Map<String, Value>,
    parameters: &Map<String, Value>,
    outer_counts: bool,
) -> Map<String, Value> {
    let holds = |value: &Value| value.get("type").is_some_and(|kind| !is_falsy(kind));
    if !members.values().any(|value| value.is_object() && holds(value)) {
        return members;
    }
    for value in members.values_mut() {
        match value {
            Value::Object(inner) if inner.get("type").is_some_and(|kind| !is_falsy(kind)) => {
                *inner = component(place, std::mem::take(inner), parameters, outer_counts);
            }
            Value::Array(items) => {
                for item in items {
                    if let Value::Object(inner) = item
                        && inner.get("type").is_some_and(|kind| !is_falsy(kind))
                    {
                        *inner = component(place, std::mem::take(inner), parameters, outer_counts);
                    }
                }
            }
            _ => {}
        }
    }
    members
}

/// As Python sees it.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TYPES.is_sorted_by_key(|(place, _)| place));
    }

    #[test]
    fn parameters_fill_what_is_missing_below_and_their_nearest_value_counts() {
        let propagated = propagate(json!({
            "streams": [{
                "$parameters": { "name": "notes", "path": "/notes", "x": 1 },
                "retriever": {
                    "requester": { "url_base": "https://a", "$parameters": { "x": 2 } },
                    "record_selector": { "extractor": { "field_path": [] } },
                },
                "schema_loader": { "type": "InlineSchemaLoader", "schema": { "type": "object", "properties": {} } },
            }],
        }));
        let stream = &propagated["streams"][0];
        assert_eq!((&stream["type"], &stream["name"]), (&json!("DeclarativeStream"), &json!("notes")));
        let requester = &stream["retriever"]["requester"];
        assert_eq!((&requester["type"], &requester["path"]), (&json!("HttpRequester"), &json!("/notes")));
        assert_eq!(requester[PARAMETERS]["x"], 2);
        assert_eq!(stream["schema_loader"]["schema"], json!({ "type": "object", "properties": {} }));
    }
}
