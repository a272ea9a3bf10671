use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::LINK;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use saas_backup_core::Permit;

use crate::extract::view;
use crate::template::{Value, value_of};

/// What a provider answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The share of the byte budget: kept as long as slices of the body are kept.
    pub(crate) permit: Option<Permit>,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..400).contains(&self.status)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as a value for templates; an empty mapping where it is no JSON.
    pub(crate) fn value(&self) -> Value {
        let body = serde_json::from_slice(&self.body).ok();
        body.and_then(|body| view(body).ok()).unwrap_or_else(empty)
    }
}

pub(crate) fn empty() -> Value {
    value_of(&serde_json::json!({}))
}

/// Headers for templates: found in whatever case they are written. In templates of paginators `link` is the parsed one.
pub(crate) fn headers_value(headers: &HeaderMap, parsed_links: bool) -> Value {
    Value::from_object(Headers { headers: headers.clone(), parsed_links })
}

#[derive(Debug)]
struct Headers {
    headers: HeaderMap,
    parsed_links: bool,
}

impl Object for Headers {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if self.parsed_links && name == "link" {
            return Some(links(&self.headers));
        }
        self.headers.get(name)?.to_str().ok().map(Value::from)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.headers.keys().map(|name| Value::from(name.as_str())).collect())
    }
}

/// The links of a `Link` header (RFC 8288), by their relation, as Python's requests gives them.
fn links(headers: &HeaderMap) -> Value {
    let mut found = serde_json::Map::new();
    for header in headers.get_all(LINK) {
        let Ok(text) = header.to_str() else { continue };
        for part in text.split(", <").flat_map(|part| part.split(",<")) {
            let Some((url, rest)) = part.trim_start_matches([' ', '<']).split_once('>') else { continue };
            let mut link = serde_json::Map::new();
            link.insert("url".to_owned(), url.into());
            for parameter in rest.split(';') {
                if let Some((name, value)) = parameter.split_once('=') {
                    let value = value.trim_matches([' ', '\'', '"', ',']);
                    link.insert(name.trim_matches([' ', '\'', '"']).to_owned(), value.into());
                }
            }
            let name = link.get("rel").and_then(serde_json::Value::as_str).unwrap_or(url).to_owned();
            found.insert(name, link.into());
        }
    }
    value_of(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_header_is_read_by_relations() {
        let mut headers = HeaderMap::new();
        let text = "<https://a.example/x?page=2>; rel=\"next\", <https://a.example/x?page=9>; rel=\"last\"";
        headers.insert(LINK, text.parse().unwrap());
        headers.insert("x-next-page", "7".parse().unwrap());
        let value = headers_value(&headers, true);
        let next = value.get_attr("link").unwrap().get_attr("next").unwrap().get_attr("url").unwrap();
        assert_eq!(next.as_str(), Some("https://a.example/x?page=2"));
        assert_eq!(value.get_item(&Value::from("X-Next-Page")).unwrap().as_str(), Some("7"));
    }
}
