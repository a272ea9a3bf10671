use serde_json::Value;

use super::property::{member_of, text_of};

/// Somebody as calendars and mails name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: Option<String>,
    pub(crate) address: Option<String>,
}

impl Person {
    /// Reads `mail`, `Name <mail>`, or an object with the members that providers commonly use.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let Value::Object(_) = value else { return text_of(value).map(|text| Self::parse(&text)) };
        let address = ["email", "address", "mail", "emailAddress.address", "email_address", "cal_address"];
        let name = ["name", "displayName", "display_name", "emailAddress.name", "fullName", "full_name"];
        let person = Self { name: member_of(value, &name), address: member_of(value, &address).map(plain_address) };
        (person != Self::default()).then_some(person)
    }

    fn parse(text: &str) -> Self {
        if let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            let name = name.trim().trim_matches('"').replace("\\\"", "\"");
            let address = plain_address(address.to_owned());
            return Self { name: Some(name).filter(|name| !name.is_empty()), address: Some(address) };
        }
        if text.contains('@') && !text.contains(char::is_whitespace) {
            return Self { name: None, address: Some(plain_address(text.to_owned())) };
        }
        Self { name: Some(text.to_owned()), address: None }
    }
}

fn plain_address(address: String) -> String {
    match address.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => address.get(7..).unwrap_or_default().to_owned(),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_read_in_the_forms_that_providers_give() {
        let cases = [
            (serde_json::json!("a@b.example"), (None, Some("a@b.example"))),
            (serde_json::json!("mailto:a@b.example"), (None, Some("a@b.example"))),
            (serde_json::json!("\"Doe, Jane\" <a@b.example>"), (Some("Doe, Jane"), Some("a@b.example"))),
            (serde_json::json!("Jane"), (Some("Jane"), None)),
            (serde_json::json!({"email": "a@b.example", "displayName": "Jane"}), (Some("Jane"), Some("a@b.example"))),
            (serde_json::json!({"emailAddress": {"name": "J", "address": "a@b"}}), (Some("J"), Some("a@b"))),
        ];
        for (value, (name, address)) in cases {
            let found = Person::read(&value).unwrap();
            assert_eq!((found.name.as_deref(), found.address.as_deref()), (name, address), "{value}");
        }
        assert_eq!(Person::read(&serde_json::json!({})), None);
        assert_eq!(Person::read(&serde_json::json!(" ")), None);
    }
}
