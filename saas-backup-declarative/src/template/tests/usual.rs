use std::sync::Arc;

use saas_backup_core::ManualClock;
use serde_json::json;

use crate::template::*;

fn scope() -> Scope {
    let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
    Scope::new(Arc::new(clock))
        .with("config", value_of(&json!({ "count": 3, "name": "a'b", "on": true, "none": null, "list": ["x", "y"], "start": "2026-01-01" })))
        .with("response", value_of(&json!({ "next": "https://a.example/2", "items": [1, 2], "more": false })))
        .with("stream_slice", value_of(&json!({ "id": 7 })))
}

#[test]
fn what_is_not_there_is_an_error_and_may_be_nothing() {
    let evaluate = |source: &str, fallback| Template::parse(source).unwrap().evaluate(&scope(), Types::Any, fallback);
    assert!(evaluate("{{ nobody }}", Fallback::Nothing).is_err());
    assert!(evaluate("{{ stream_state['x'] }}", Fallback::Nothing).is_err());
    assert!(evaluate("{{ config['missing']['deeper'] }}", Fallback::Itself).is_err());
    assert!(evaluate("{{ config['missing']['deeper'] }}", Fallback::Nothing).unwrap().is_none());
    assert!(evaluate("{{ config['missing'] }}", Fallback::Nothing).unwrap().is_none());
}

#[test]
fn truth_is_what_airbyte_takes_for_it() {
    for (source, expected) in [
        ("{{ response.next }}", true),
        ("{{ not response.next }}", false),
        ("{{ response.missing }}", false),
        ("{{ response.more }}", false),
        ("{{ [] }}", false),
        ("{{ 'False' }}", false),
        ("{{ '0.0' }}", false),
        ("{{ response['items'] | length > 1 }}", true),
        ("{{ response.next is none }}", false),
    ] {
        assert_eq!(Template::parse(source).unwrap().truth(&scope()).unwrap(), expected, "{source}");
    }
}

#[test]
fn parameters_keep_numbers_as_they_are_written() {
    let parameter = |source: &str| {
        Template::parse(source).unwrap().evaluate(&scope(), Types::TextOrList, Fallback::Nothing).unwrap()
    };
    assert_eq!(parameter("1.10").as_str(), Some("1.10"));
    assert_eq!(parameter("{{ config['count'] }}").as_str(), Some("3"));
    assert_eq!(parameter("{{ config['list'] }}").kind(), minijinja::value::ValueKind::Seq);
}

#[test]
fn a_template_that_does_not_end_is_stopped() {
    let endless = "{% for a in 'aaaaaaaaaa' %}{% for b in 'aaaaaaaaaa' %}{% for c in 'aaaaaaaaaa' %}{% for d in 'aaaaaaaaaa' %}\
                   {% for e in 'aaaaaaaaaa' %}{% for f in 'aaaaaaaaaa' %}{% for g in 'aaaaaaaaaa' %}x{% endfor %}{% endfor %}{% endfor %}\
                   {% endfor %}{% endfor %}{% endfor %}{% endfor %}";
    let error = Template::parse(endless).unwrap().evaluate(&scope(), Types::Any, Fallback::Itself).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}
