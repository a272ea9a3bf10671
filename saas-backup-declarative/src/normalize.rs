//! Settings of an older form, in the form that a manifest wants: `config_normalization_rules` of its `spec`.

use std::sync::Arc;

use saas_backup_core::{Clock, Result};
use serde_json::{Map, Value as Json};

use crate::Manifest;
use crate::manifest::Component;
use crate::template::{Scope, python_str, value_of};

/// The settings after all migrations and transformations that the manifest names, in their order.
///
/// # Errors
///
/// [`Configuration`](saas_backup_core::ErrorKind::Configuration) if a rule is wrong,
/// [`Unsupported`](saas_backup_core::ErrorKind::Unsupported) if one is not known.
pub(crate) fn normalized(
    manifest: &Manifest,
    config: Map<String, Json>,
    clock: &Arc<dyn Clock>,
) -> Result<Map<String, Json>> {
    let rules =
        manifest.root().child("spec")?.map(|spec| spec.child("config_normalization_rules")).transpose()?.flatten();
    let Some(rules) = rules else { return Ok(config) };
    let mut config = Json::Object(config);
    for migration in rules.children("config_migrations")? {
        for rule in migration.children("transformations")? {
            apply(&rule, &mut config, clock)?;
        }
    }
    for rule in rules.children("transformations")? {
        apply(&rule, &mut config, clock)?;
    }
    Ok(if let Json::Object(members) = config { members } else { Map::new() })
}

fn apply(rule: &Component<'_>, config: &mut Json, clock: &Arc<dyn Clock>) -> Result<()> {
    let scope = |config: &Json| Scope::new(Arc::clone(clock)).with("config", value_of(config));
    let condition = rule.expression("condition")?.filter(|_| rule.text("condition") != Some(""));
    let applies = |scope: &Scope| condition.as_ref().map_or(Ok(true), |condition| condition.truth(scope));
    match rule.kind() {
        "ConfigAddFields" => {
            for field in rule.children("fields")? {
                let scope = scope(config);
                let value = field.expression("value")?.ok_or_else(|| field.wrong("value is missing"))?;
                let value = match field.text("value_type") {
                    Some("string") => value.text(&scope)?.into(),
                    _ => value.value(&scope)?,
                };
                if applies(&scope.clone().with("value", value.clone()))? {
                    set(config, &texts(&field, "path", &scope)?, serde_json::to_value(&value)?);
                }
            }
        }
        "ConfigRemoveFields" => {
            for pointer in rule.get("field_pointers").and_then(Json::as_array).into_iter().flatten() {
                let path: Vec<String> = pointer.as_array().into_iter().flatten().map(plain).collect();
                let found = at(config, &path).map(value_of);
                if let Some(found) = found
                    && applies(&scope(config).with("property", found))?
                {
                    remove(config, &path);
                }
            }
        }
        "ConfigRemapField" => {
            let scope = scope(config);
            let path = texts(rule, "field_path", &scope)?;
            let map = match rule.get("map") {
                Some(Json::Object(members)) => {
                    let values = members.iter().map(|(name, value)| {
                        Ok((name.clone(), serde_json::to_value(rule.expression_of("map", value)?.value(&scope)?)?))
                    });
                    Json::Object(values.collect::<Result<_>>()?)
                }
                Some(template) => serde_json::to_value(rule.expression_of("map", template)?.value(&scope)?)?,
                None => return Err(rule.wrong("map is missing")),
            };
            let known = at(config, &path).map(|value| python_str(&value_of(value)));
            if let Some(mapped) = known.and_then(|known| map.get(known).cloned()) {
                set(config, &path, mapped);
            }
        }
        _ => return Err(rule.unknown()),
    }
    Ok(())
}

fn texts(component: &Component<'_>, name: &str, scope: &Scope) -> Result<Vec<String>> {
    let path: Vec<String> = component.path(name)?.iter().map(|part| part.text(scope)).collect::<Result<_>>()?;
    if path.is_empty() { Err(component.wrong(format!("{name} is empty"))) } else { Ok(path) }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn at<'v>(value: &'v Json, path: &[String]) -> Option<&'v Json> {
    path.iter().try_fold(value, |value, part| value.get(part))
}

fn remove(value: &mut Json, path: &[String]) {
    if let Some((last, above)) = path.split_last()
        && let Some(Json::Object(members)) = above.iter().try_fold(value, |value, part| value.get_mut(part))
    {
        members.remove(last);
    }
}

/// Puts a value at a path; what is missing above it is made.
pub(crate) fn set(value: &mut Json, path: &[String], new: Json) {
    match path {
        [] => *value = new,
        [first, rest @ ..] => {
            if !value.is_object() {
                *value = Json::Object(Map::new());
            }
            if let Some(members) = value.as_object_mut() {
                set(members.entry(first.as_str()).or_insert(Json::Null), rest, new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use saas_backup_core::SystemClock;
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_of_an_older_form_become_what_the_manifest_wants() {
        let manifest = Manifest::parse(include_str!("../tests/it/normalize.yaml")).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let normalized = |config: Json| {
            let Json::Object(config) = config else { panic!("{config}") };
            Json::Object(normalized(&manifest, config, &clock).unwrap())
        };
        let old = json!({ "token": "t", "region": "eu", "debug": 3, "size": 7 });
        let wanted = json!({
            "credentials": { "token": "t", "kind": "token" }, "region": "europe", "size": 7, "page": 14,
        });
        assert_eq!(normalized(old), wanted);
        assert_eq!(normalized(wanted.clone()), wanted, "what has the new form stays as it is");
    }
}
