use std::sync::Arc;

use proptest::prelude::*;
use saas_backup_core::ManualClock;
use serde_json::json;

use super::*;

fn scope() -> Scope {
    let clock = ManualClock::new("2026-03-01T12:00:00Z".parse().unwrap());
    Scope::new(Arc::new(clock))
        .with("config", value_of(&json!({ "count": 3, "name": "a'b", "on": true, "none": null, "list": ["x", "y"], "start": "2026-01-01" })))
        .with("response", value_of(&json!({ "next": "https://a.example/2", "items": [1, 2], "more": false })))
        .with("stream_slice", value_of(&json!({ "id": 7 })))
}

fn shown(source: &str) -> String {
    let value = Template::parse(source).unwrap().evaluate(&scope(), Types::Any, Fallback::Itself).unwrap();
    python::python_repr(&value)
}

/// What Airbyte's CDK 7.39.1 gives for each.
#[test]
fn templates_give_what_python_gives() {
    for (source, expected) in [
        ("{{ config['count'] }}", "3"),
        ("{{ config.count + 1 }}", "4"),
        ("{{ config['name'] }}", "\"a'b\""),
        ("{{ config['on'] }}", "True"),
        ("{{ config['none'] }}", "None"),
        ("{{ config['list'] }}", "['x', 'y']"),
        ("{{ config['missing'] }}", "''"),
        ("{{ config.get('missing', 'usual') }}", "'usual'"),
        ("{{ config['list'] | join(',') }}", "'x,y'"),
        ("id-{{ stream_partition['id'] }}", "'id-7'"),
        ("{{ stream_interval.id }}", "7"),
        ("007", "'007'"),
        ("1.10", "1.1"),
        ("{{ '1.10' }}", "1.1"),
        ("{{ now_utc() }}", "'2026-03-01 12:00:00+00:00'"),
        ("{{ now_utc().strftime('%Y-%m-%dT%H:%M:%SZ') }}", "'2026-03-01T12:00:00Z'"),
        ("{{ (now_utc() - duration('P1D')).strftime('%Y-%m-%d') }}", "'2026-02-28'"),
        ("{{ today_utc() }}", "'2026-03-01'"),
        ("{{ day_delta(-1, format='%Y-%m-%d') }}", "'2026-02-28'"),
        ("{{ day_delta(num_days=-1, format='%Y-%m-%d') }}", "'2026-02-28'"),
        ("{{ format_datetime(config['start'], '%s') }}", "1767225600"),
        ("{{ timestamp('2026-01-01') }}", "1767225600"),
        ("{{ max(1, 5, 3) }}", "5"),
        ("{{ 'yes' if response.more else 'no' }}", "'no'"),
        ("{{ response['items'] | length }}", "2"),
        ("{{ 'a-b'.split('-')[1] }}", "'b'"),
        ("{% if config.on %}a{% else %}b{% endif %}", "'a'"),
        ("{{ config['name'] ~ '!' }}", "\"a'b!\""),
        ("{{ 'abc' | hash }}", "'900150983cd24fb0d6963f7d28e17f72'"),
        ("{{ 'abc' | base64encode }}", "'YWJj'"),
        ("{{ 'page=12' | regex_search('page=(\\\\d+)') }}", "12"),
        ("{{ 'x' | int }}", "0"),
        ("{{ camel_case_to_snake_case('camelCase') }}", "'camel_case'"),
        ("{{ 'a' + 1 }}", "\"{{ 'a' + 1 }}\""),
        ("{{ {'a': [1, 2.0, None]} }}", "{'a': [1, 2.0, None]}"),
        ("[1, 2]", "[1, 2]"),
        ("{{ '{0}-{1}'.format(1, 2) }}", "'1-2'"),
    ] {
        assert_eq!(shown(source), expected, "{source}");
    }
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

fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn what_python_prints_python_reads(value in values()) {
        let value = value_of(&value);
        let read = literal::evaluate(&python::python_repr(&value));
        prop_assert_eq!(read.as_ref().map(python::python_repr), Some(python::python_repr(&value)));
    }
}
