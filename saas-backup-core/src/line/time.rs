use chrono::{DateTime, Datelike as _, FixedOffset, NaiveDate, Timelike as _, Utc};

use crate::{Error, ErrorKind, Result};

/// Reads an RFC 3339 time with its offset, at most nine digits after the point.
pub(super) fn parse(text: &str) -> Result<DateTime<Utc>> {
    fields(text).ok_or_else(|| Error::new(ErrorKind::InvalidData, "a time of the line is not in the form of RFC 3339"))
}

fn fields(text: &str) -> Option<DateTime<Utc>> {
    let bytes = text.as_bytes();
    let (head, mut rest) = bytes.split_at_checked(19)?;
    let &[y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2] = head else {
        return None;
    };
    let mut nanos = 0;
    if let Some((b'.', fraction)) = rest.split_first() {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, after) = fraction.split_at_checked(digits)?;
        if !(1..=9).contains(&digits) {
            return None;
        }
        nanos = (0..9).fold(0, |sum, place| sum * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0')));
        rest = after;
    }
    let offset = match *rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let date =
        NaiveDate::from_ymd_opt(i32::try_from(two(y1, y2)? * 100 + two(y3, y4)?).ok()?, two(mo1, mo2)?, two(d1, d2)?)?;
    let (second, nanos) = match two(s1, s2)? {
        // chrono keeps a leap second as the fraction of the second before.
        60 => (59, nanos + 1_000_000_000),
        second => (second, nanos),
    };
    let time = date.and_hms_nano_opt(two(h1, h2)?, two(m1, m2)?, second, nanos)?;
    let time = time.and_local_timezone(FixedOffset::east_opt(offset)?).single()?.to_utc();
    (0..=9999).contains(&time.year()).then_some(time)
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// Writes a time in UTC with quotes; the fraction has 0, 3, 6 or 9 digits, as few as keep it.
pub(super) fn write(time: DateTime<Utc>, out: &mut Vec<u8>) -> Result<()> {
    let (date, clock) = (time.date_naive(), time.time());
    let Some(year) = u32::try_from(date.year()).ok().filter(|year| *year <= 9999) else {
        return Err(Error::new(ErrorKind::InvalidData, "a time lies outside the years 0000 to 9999"));
    };
    let (leap, nanos) = (clock.nanosecond() / 1_000_000_000, clock.nanosecond() % 1_000_000_000);
    let pairs = [
        (b'"', year / 100),
        (b'-', date.month()),
        (b'-', date.day()),
        (b'T', clock.hour()),
        (b':', clock.minute()),
        (b':', clock.second() + leap),
    ];
    for (index, (before, number)) in pairs.into_iter().enumerate() {
        out.push(before);
        push_two(number, out);
        if index == 0 {
            push_two(year % 100, out);
        }
    }
    let (digits, mut fraction) = match nanos {
        0 => (0, 0),
        _ if nanos % 1_000_000 == 0 => (3, nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => (6, nanos / 1_000),
        _ => (9, nanos),
    };
    if digits > 0 {
        out.push(b'.');
        let start = out.len();
        for _ in 0..digits {
            out.push(b'0' + (fraction % 10) as u8);
            fraction /= 10;
        }
        out.get_mut(start..).unwrap_or_default().reverse();
    }
    out.extend_from_slice(b"Z\"");
    Ok(())
}

fn push_two(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(parse(text).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap().trim_matches('"').to_owned()
    }

    #[test]
    fn times_keep_their_instant_and_as_few_digits_as_that_needs() {
        for text in [
            "2026-11-21T10:00:00Z",
            "2026-11-20T16:03:11.120Z",
            "2026-11-20T16:03:11.000120Z",
            "0000-02-29T23:59:59.000000001Z",
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.500Z",
        ] {
            assert_eq!(written(text), text);
            assert_eq!(parse(text).unwrap(), DateTime::parse_from_rfc3339(text).unwrap());
        }
        assert_eq!(written("2026-01-01T00:30:00.1+01:00"), "2025-12-31T23:30:00.100Z");
        assert_eq!(written("2026-01-01T00:30:00-00:00"), "2026-01-01T00:30:00Z");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00ZZ",
            "0000-01-01T00:00:00+01:00",
            "é026-01-01T00:00:00Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_has_no_form_is_refused() {
        assert!(write(DateTime::<Utc>::MAX_UTC, &mut Vec::new()).is_err());
        assert!(write(DateTime::<Utc>::MIN_UTC, &mut Vec::new()).is_err());
    }
}
