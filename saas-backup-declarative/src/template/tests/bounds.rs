//! What hostile templates come to, and what holds for all values.
use std::sync::Arc;

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use saas_backup_core::{ErrorKind, SystemClock};

use crate::template::python::python_repr;
use crate::template::{Fallback, Scope, Template, Types, Value, literal_eval};
use crate::time::{DateFormat, Moment};

fn fails(text: &str) -> ErrorKind {
    let scope = Scope::new(Arc::new(SystemClock)).with("config", Value::from(()));
    match Template::parse(text) {
        Ok(template) => template.evaluate(&scope, Types::Any, Fallback::Itself).unwrap_err().kind(),
        Err(error) => error.kind(),
    }
}

#[test]
fn a_template_that_loops_or_grows_is_refused() {
    let many = format!("[{}]", "1,".repeat(300));
    let nested = format!(
        "{{% for a in {many} %}}{{% for b in {many} %}}{{% for c in {many} %}}{{% endfor %}}{{% endfor %}}{{% endfor %}}"
    );
    assert_eq!(fails(&nested), ErrorKind::LimitExceeded);
    assert_eq!(fails("{{ 'abcdefgh' * 1000000 }}"), ErrorKind::LimitExceeded);
    assert_eq!(fails("{{ [1] * 100000000 }}"), ErrorKind::LimitExceeded);
    assert_eq!(fails("{{ ('abcdefgh' * 10000).replace('', 'abcdefgh' * 10000) }}"), ErrorKind::LimitExceeded);
    assert_eq!(fails("{{ 10 ** 1000 }}"), ErrorKind::Configuration);
    assert_eq!(fails(&format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000))), ErrorKind::Configuration);
    assert_eq!(fails(&format!("{{{{ {}1 }}}}", "-".repeat(5000))), ErrorKind::Configuration);
    assert_eq!(fails(&format!("{{{{ 1{} }}}}", " + 1".repeat(50_000))), ErrorKind::Configuration);
    assert_eq!(fails(&"{% if true %}".repeat(5000)), ErrorKind::Configuration);
    assert_eq!(fails(&"a".repeat(1 << 20)), ErrorKind::LimitExceeded);
    assert_eq!(fails("{{ ('a' * 4000) | regex_search('(?:a(?=a)|a)*c') }}"), ErrorKind::LimitExceeded);
    assert_eq!(fails("{{ 'a' | regex_search('((((a{1000}){1000}){1000}){1000})') }}"), ErrorKind::Configuration);
    assert!(literal_eval(&"[".repeat(100_000)).is_none());
    assert!(literal_eval(&"-".repeat(100_000)).is_none());
}

#[test]
fn what_a_template_shows_of_itself_holds_no_values() {
    let scope = Scope::new(Arc::new(SystemClock)).with("config", Value::from_pairs([("key", "sesameopenssecretly")]));
    let template = Template::parse("{{ config.key.nothing.here }}").unwrap();
    let error = template.evaluate(&scope, Types::Any, Fallback::Itself).unwrap_err();
    assert!(!format!("{error:?} {error} {scope:?} {template:?}").contains("sesameopenssecretly"));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        proptest::strategy::Just(Value::from(())),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Value::from_pairs),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(value in values()) {
        let text = python_repr(&value);
        let read = literal_eval(&text);
        prop_assert!(read.as_ref().is_some_and(|read| crate::template::python::equal(read, &value)), "{text:?} became {read:?}");
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), braces in "[ {}%|a-c'\"()\\[\\],.:1-3=+~-]{0,40}") {
        let _ = literal_eval(&text);
        let _ = literal_eval(&braces);
        let scope = Scope::new(Arc::new(SystemClock)).with("a", Value::from(1));
        for text in [&text, &format!("{{{{{braces}}}}}"), &format!("{{%{braces}%}}")] {
            let _ = Template::parse(text).map(|template| template.evaluate(&scope, Types::Any, Fallback::Itself));
        }
        let _ = (DateFormat::parse(&text).read(&braces), Moment::parse_any(&text), Moment::parse_any(&braces));
    }

    #[test]
    fn a_written_time_reads_as_the_same(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
        let moment = Moment::from_micros(micros).unwrap();
        for format in ["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S.%f%z", "%A %d %B %Y %I:%M:%S.%f %p"] {
            let format = DateFormat::parse(format);
            let written = format.write(moment);
            // The years that Linux writes without their zeros are not read again.
            if moment.micros() >= -30_610_224_000_000_000 {
                prop_assert_eq!(format.read(&written).map(Moment::micros), Some(micros));
            }
        }
    }
}
