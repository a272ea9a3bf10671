use saas_backup_core::{Error, ErrorKind, Result};
use url::Url;

use super::option::texts;
use crate::template::Value;

/// Joins a path to a base: a path that is an address of its own counts alone.
pub(super) fn join(base: &str, path: &str) -> Result<Url> {
    let wrong = |text: &str| {
        let error = Error::new(ErrorKind::Configuration, "the manifest gives no address");
        // A template that gave nothing is the usual reason, and it holds no secret.
        if text.contains("{{") { error.with_context("template", text) } else { error }
    };
    if path.is_empty() {
        return base.trim().parse().map_err(|_| wrong(base));
    }
    if base.is_empty() {
        return path.trim().parse().map_err(|_| wrong(path));
    }
    let slash = if base.ends_with('/') { "" } else { "/" };
    let base: Url = format!("{base}{slash}").trim().parse().map_err(|_| wrong(base))?;
    let mut joined = base.join(path).map_err(|_| wrong(path))?;
    let relative = !path.starts_with('/') && path.parse::<Url>().is_err();
    if relative && joined.path().contains("//") {
        // As Python joins: no empty segments between others.
        let segments: Vec<&str> = joined.path().split('/').collect();
        let last = segments.len().saturating_sub(1);
        let kept: Vec<&str> = segments
            .iter()
            .enumerate()
            .filter(|(index, segment)| *index == 0 || *index == last || !segment.is_empty())
            .map(|(_, segment)| *segment)
            .collect();
        let path = kept.join("/");
        joined.set_path(&path);
    }
    Ok(joined)
}

/// Adds parameters that the address does not have already with the same value.
pub(super) fn add_parameters(url: &mut Url, parameters: &[(String, Value)]) {
    let known: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        let values = texts(value);
        let first = known.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let same = matches!(values.as_slice(), [single] if first == Some(single));
        if !same {
            pairs.extend(values.into_iter().map(|value| (name, value)));
        }
    }
    if !pairs.is_empty() {
        let mut query = url.query_pairs_mut();
        for (name, value) in pairs {
            query.append_pair(name, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_below_its_base_and_an_address_stands_alone() {
        for (base, path, expected) in [
            ("https://a.example/api", "notes", "https://a.example/api/notes"),
            ("https://a.example/api/", "", "https://a.example/api/"),
            ("https://a.example/api", "https://b.example/x?page=2", "https://b.example/x?page=2"),
            ("https://a.example/api", "/other", "https://a.example/other"),
        ] {
            assert_eq!(join(base, path).unwrap().as_str(), expected);
        }
        assert_eq!(join("{{ config['url'] }}", "x").unwrap_err().kind(), ErrorKind::Configuration);
    }

    #[test]
    fn a_link_to_the_next_page_keeps_its_parameters_once() {
        let mut url: Url = "https://a.example/x?limit=50&page=2".parse().unwrap();
        let parameters =
            [("limit", Value::from("50")), ("tags", Value::from(vec!["a", "b"])), ("page", Value::from(3))];
        add_parameters(&mut url, &parameters.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(url.query(), Some("limit=50&page=2&tags=a&tags=b&page=3"));
    }
}
