//! Schemas of types that live in crates which know nothing of schemas.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// What each slot is called, and how.
const SLOTS: [(&str, &str); 5] =
    [("hourly", "hours"), ("daily", "days"), ("weekly", "weeks"), ("monthly", "months"), ("yearly", "years")];

/// Of [`Period`](saas_backup_core::Period).
pub(super) struct PeriodSchema;

impl JsonSchema for PeriodSchema {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^([0-9]+[wdhms])+$", "examples": ["15m", "2h", "7d", "1h30m"],
            "description": "A length of time: 90s, 15m, 2h, 7d, 1w, 1h30m.",
        })
    }
}

/// Of [`Blackout`](saas_backup_ops::Blackout).
pub(super) struct BlackoutSchema;

impl JsonSchema for BlackoutSchema {
    fn schema_name() -> Cow<'static, str> {
        "Blackout".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array", "items": { "type": "string" },
            "examples": [["Mon-Fri 08:00-18:00", "Sat,Sun 00:00-24:00", "22:00-02:00"]],
            "description": "Windows of the week, by the clocks of the schedule's time zone; without days, of every day.",
        })
    }
}

/// Of [`LockMode`](saas_backup_repository::LockMode).
pub(super) struct LockModeSchema;

impl JsonSchema for LockModeSchema {
    fn schema_name() -> Cow<'static, str> {
        "LockMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["governance", "compliance"] })
    }
}

/// Of [`Severity`](saas_backup_ops::alert::Severity).
pub(super) struct SeveritySchema;

impl JsonSchema for SeveritySchema {
    fn schema_name() -> Cow<'static, str> {
        "Severity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["info", "warning", "error", "critical"] })
    }
}

/// Of [`MailEncryption`](saas_backup_ops::alert::MailEncryption).
#[cfg(feature = "alert-mail")]
pub(super) struct MailEncryptionSchema;

#[cfg(feature = "alert-mail")]
impl JsonSchema for MailEncryptionSchema {
    fn schema_name() -> Cow<'static, str> {
        "MailEncryption".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["starttls", "tls", "none"] })
    }
}

/// Of [`RetentionPolicy`](saas_backup_repository::RetentionPolicy).
pub(super) struct RetentionSchema;

impl JsonSchema for RetentionSchema {
    fn schema_name() -> Cow<'static, str> {
        "Retention".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let period = generator.subschema_for::<PeriodSchema>().to_value();
        let count = |default: u32, text: &str| json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX, "default": default, "description": text });
        let length = |default: &str, text: &str| {
            let mut schema = period.clone();
            if let Some(members) = schema.as_object_mut() {
                members.insert("default".to_owned(), default.into());
                members.insert("description".to_owned(), text.into());
            }
            schema
        };
        let mut properties: Map<String, Value> = Map::new();
        let mut add = |name: String, schema: Value| properties.insert(name, schema);
        add("keep_last".to_owned(), count(0, "Keeps this many of the newest points, however they ended."));
        add("keep_within".to_owned(), length("0s", "Keeps all points that are less than this older than the newest."));
        for (slot, slots) in SLOTS {
            add(format!("keep_{slot}"), count(0, &format!("Keeps the points of this many {slots}.")));
            let text =
                format!("Keeps the points of the {slots} that this length, ending at the newest point, reaches into.");
            add(format!("keep_within_{slot}"), length("0s", &text));
        }
        let labels = json!({
            "type": "array", "items": { "type": "string" }, "default": [],
            "description": "Keeps points that have one of these labels.",
        });
        add("keep_labels".to_owned(), labels);
        add("keep_verified".to_owned(), count(1, "Keeps this many of the newest points that were verified."));
        add("min_age".to_owned(), length("7d", "The age below which nothing is forgotten."));
        json_schema!({
            "type": "object", "properties": properties, "additionalProperties": false,
            "description": "Which points in time `forget` keeps: a point stays if any rule keeps it.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_repository::RetentionPolicy;

    #[test]
    fn the_schema_has_the_keys_and_defaults_of_the_policy() {
        let schema = RetentionSchema::json_schema(&mut SchemaGenerator::default()).to_value();
        let properties = schema["properties"].as_object().unwrap();
        let defaults: Map<String, Value> =
            properties.iter().map(|(name, schema)| (name.clone(), schema["default"].clone())).collect();
        assert_eq!(Value::Object(defaults), serde_json::to_value(RetentionPolicy::default()).unwrap());
    }
}
