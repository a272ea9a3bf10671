use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Json, Record, Result};

/// Deepest nesting that is compared member by member; what lies deeper is compared as a whole.
const MAX_DEPTH: usize = 16;

/// A part of a record that is not the same in two versions of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FieldChange {
    /// A JSON pointer into the line, such as `/data/title`.
    pub path: String,
    /// What it was; `None` if it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// What it is; `None` if it is no longer there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

impl FieldChange {
    /// Compares two versions of a record, member by member. Lists are compared as wholes; of the envelope only what tells
    /// a person something.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`](crate::ErrorKind::InvalidData) if an object holds a name that is not text.
    pub fn between(before: &Record, after: &Record) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        let (old, new) = (envelope(before)?, envelope(after)?);
        for (name, old) in &old {
            let new = new.get(name).cloned();
            if Some(old) != new.as_ref() {
                found.push(Self { path: format!("/{name}"), before: Some(old.clone()), after: new });
            }
        }
        for (name, new) in new {
            if !old.contains_key(name) {
                found.push(Self { path: format!("/{name}"), before: None, after: Some(new) });
            }
        }
        compare("/data", &before.data, &after.data, 0, &mut found)?;
        Ok(found)
    }
}

/// What stands around the provider's own JSON and tells a person something.
fn envelope(record: &Record) -> Result<BTreeMap<&'static str, Json>> {
    let mut members = BTreeMap::from([("state", Json::from_value(&record.state)?)]);
    if !record.refs.is_empty() {
        members.insert("refs", Json::from_value(&record.refs)?);
    }
    if !record.access.is_empty() {
        members.insert("access", Json::from_value(&record.access)?);
    }
    if !record.blobs.is_empty() {
        members.insert("blobs", Json::from_value(&record.blobs)?);
    }
    if let Some(partition) = &record.partition {
        members.insert("partition", Json::from_value(partition)?);
    }
    Ok(members)
}

fn compare(path: &str, before: &Json, after: &Json, depth: usize, found: &mut Vec<FieldChange>) -> Result<()> {
    if before == after {
        return Ok(());
    }
    let objects = before.as_str().starts_with('{') && after.as_str().starts_with('{');
    if !objects || depth == MAX_DEPTH {
        found.push(FieldChange { path: path.to_owned(), before: Some(before.clone()), after: Some(after.clone()) });
        return Ok(());
    }
    let (old, new) = (members(before)?, members(after)?);
    for (name, old) in &old {
        let path = format!("{path}/{}", escaped(name));
        match new.get(name) {
            Some(new) => compare(&path, old, new, depth + 1, found)?,
            None => found.push(FieldChange { path, before: Some(old.clone()), after: None }),
        }
    }
    for (name, new) in new {
        if !old.contains_key(&name) {
            let path = format!("{path}/{}", escaped(&name));
            found.push(FieldChange { path, before: None, after: Some(new) });
        }
    }
    Ok(())
}

fn members(object: &Json) -> Result<BTreeMap<String, Json>> {
    let members: BTreeMap<String, Box<RawValue>> = object.decode()?;
    members.into_iter().map(|(name, value)| Ok((name, Json::parse(String::from(Box::<str>::from(value)))?))).collect()
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, RecordState};

    fn record(data: &'static str) -> Record {
        Record::new(Key::parse("posts", "1").unwrap(), Json::parse(data).unwrap())
    }

    fn compared(before: &Record, after: &Record) -> Vec<String> {
        let shown = |json: Option<Json>| json.map_or("-".to_owned(), |json| json.as_str().to_owned());
        FieldChange::between(before, after)
            .unwrap()
            .into_iter()
            .map(|change| format!("{} {} {}", change.path, shown(change.before), shown(change.after)))
            .collect()
    }

    #[test]
    fn names_the_members_that_differ() {
        let before = record(r#"{"a":1,"b":{"x":1.10,"y":[1,2]},"gone":true,"same":18446744073709551616}"#);
        let after = record(r#"{"a":1,"b":{"x":1.1,"y":[1,3]},"new/er":null,"same":18446744073709551616}"#);
        assert_eq!(
            compared(&before, &after),
            ["/data/b/x 1.10 1.1", "/data/b/y [1,2] [1,3]", "/data/gone true -", "/data/new~1er - null",]
        );
    }

    #[test]
    fn a_record_in_the_trash_is_a_change_of_its_state() {
        let before = record("{}");
        assert_eq!(
            compared(&before, &before.clone().with_state(RecordState::Trashed)),
            ["/state \"live\" \"trashed\""]
        );
        assert!(compared(&before, &before.clone()).is_empty());
    }
}
