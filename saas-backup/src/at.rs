use chrono::{DateTime, Utc};
use saas_backup_core::{At, Error, ErrorKind, Result};

/// Reads a point in time as people name it: an RFC 3339 time, a sequence number, a label, `latest` or `latest~3`.
///
/// ```
/// use saas_backup::{core::At, parse_at};
///
/// assert_eq!(parse_at("latest")?, At::Now);
/// assert_eq!(parse_at("latest~3")?, At::Back(3));
/// assert_eq!(parse_at("42")?, At::Sequence(42));
/// assert_eq!(parse_at("before-migration")?, At::Label("before-migration".to_owned()));
/// assert!(matches!(parse_at("2026-11-21T10:00:00+01:00")?, At::Time(_)));
/// # Ok::<_, saas_backup::core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Configuration`] if it is none of these.
pub fn parse_at(text: &str) -> Result<At> {
    let wrong = |what: &'static str| Error::new(ErrorKind::Configuration, what).with_context("at", text);
    if let Some(rest) = text.strip_prefix("latest") {
        return match rest.strip_prefix('~') {
            None if rest.is_empty() => Ok(At::Now),
            None => Ok(At::Label(text.to_owned())),
            Some(back) => back.parse().map(At::Back).map_err(|_| wrong("write latest~3 for the third point before")),
        };
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(At::Sequence).map_err(|_| wrong("the sequence number is too large"));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(At::Time(time.with_timezone(&Utc)));
    }
    let day = text.get(..10).is_some_and(|day| chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d").is_ok());
    if day {
        return Err(wrong("a time needs an hour and a zone, such as 2026-11-21T10:00:00Z"));
    }
    if text.is_empty() || text.contains('~') || text.chars().any(char::is_control) {
        return Err(wrong("a point is a time, a sequence number, a label, latest or latest~3"));
    }
    Ok(At::Label(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_point_is_refused() {
        for text in ["", "2026-11-21", "2026-11-21T10:00:00", "latest~", "latest~x", "a~1", "99999999999999999999"] {
            assert_eq!(parse_at(text).unwrap_err().kind(), ErrorKind::Configuration, "{text}");
        }
    }

    #[test]
    fn a_label_may_begin_with_latest() {
        assert_eq!(parse_at("latest-good").unwrap(), At::Label("latest-good".to_owned()));
    }
}
