//! The canonical form of a JSON document (RFC 8785), over which the schema's id is computed.

use std::fmt::Write as _;

use saas_backup_core::{Error, ErrorKind, Result};
use serde_json::{Number, Value};

/// Writes a document in its canonical form.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] for a number that a double cannot hold.
pub(crate) fn canonical(value: &Value) -> Result<String> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<()> {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
        Value::Number(number) => out.push_str(&canonical_number(number)?),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            // The order is that of UTF-16 code units, in which an emoji sorts before U+E000.
            members.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(&Value::String(name.clone()), out)?;
                out.push(':');
                write(member, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// The shortest text that reads back as the same double, laid out as ECMAScript does.
fn canonical_number(number: &Number) -> Result<String> {
    let double = number.as_f64().filter(|double| double.is_finite());
    let double = double.ok_or_else(|| Error::new(ErrorKind::InvalidData, "a number of the schema is out of range"))?;
    if double == 0.0 {
        return Ok("0".to_owned());
    }
    let scientific = format!("{double:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mut out = String::from(sign);
    match (usize::try_from(exponent + 1), usize::try_from(-exponent - 1)) {
        (Ok(point @ 1..=21), _) if digits.len() <= point => {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', point - digits.len()));
        }
        (Ok(point @ 1..=21), _) => {
            let (whole, fraction) = digits.split_at(point);
            let _ = write!(out, "{whole}.{fraction}");
        }
        (_, Ok(zeros @ 0..=5)) => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', zeros));
            out.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let _ = write!(out, "{first}{dot}{rest}e{exponent:+}");
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn the_examples_of_the_standard_come_out_as_printed_there() {
        let numbers = [333_333_333.333_333_3, 1e30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001];
        let numbers = canonical(&serde_json::json!(numbers)).unwrap();
        assert_eq!(numbers, "[333333333.3333333,1e+30,4.5,0.002,1e-27]");
        let sorted = of(r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#);
        assert_eq!(sorted, "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}");
        assert_eq!(of(r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#), r#""€$\u000f\nA'B\"\\\\\"/""#);
    }

    #[test]
    fn numbers_are_laid_out_as_ecmascript_does() {
        let cases = [
            ("0", "0"),
            ("-0.0", "0"),
            ("1.0", "1"),
            ("-12.50", "-12.5"),
            ("9007199254740991", "9007199254740991"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e21", "1.5e+21"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
