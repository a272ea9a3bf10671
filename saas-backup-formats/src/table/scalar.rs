use chrono::NaiveDate;
use memchr::memchr2_iter;

use super::shape::Seen;

/// What stands for NULL in a cell of CSV.
pub(crate) const NULL: &str = "\\N";

/// What a number is, and how many digits stand before and behind its point.
pub(crate) fn number(token: &str) -> (Seen, (usize, usize)) {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.contains(['e', 'E']) {
        return (Seen::ODD.and(Seen::INEXACT), (0, 0));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let counts = (whole.len(), fraction.len());
    if zero && digits.len() < token.len() {
        return (Seen::ODD.and(Seen::INEXACT), counts);
    }
    if counts.1 == 0 {
        let fits = counts.0 < 19 || token.parse::<i64>().is_ok();
        return (if fits { Seen::INTEGER } else { Seen::BIG.and(Seen::INEXACT) }, counts);
    }
    // Fifteen digits come back from a double as they were.
    let exact = !fraction.ends_with('0') && counts.0 + counts.1 <= 15;
    (if exact { Seen::DECIMAL } else { Seen::DECIMAL.and(Seen::INEXACT) }, counts)
}

/// What a text is.
pub(crate) fn text(content: &str) -> Seen {
    if is_awkward(content) {
        return Seen::AWKWARD;
    }
    plain_text(content)
}

/// What a text is that a cell of CSV holds.
pub(crate) fn plain_text(content: &str) -> Seen {
    date_or_time(content.as_bytes()).unwrap_or(Seen::TEXT)
}

/// Whether a cell of CSV does not hold the text.
pub(crate) fn is_awkward(content: &str) -> bool {
    let bytes = content.as_bytes();
    let odd = |at: usize| bytes.get(at) == Some(&0) || bytes.get(at + 1) != Some(&b'\n');
    content == NULL || memchr2_iter(0, b'\r', bytes).any(odd)
}

/// The nearest text that a cell of CSV holds.
pub(crate) fn tamed(content: &str) -> String {
    if content == NULL {
        return "\\\\N".to_owned();
    }
    content.replace(['\0', '\r'], "\u{fffd}")
}

fn date_or_time(bytes: &[u8]) -> Option<Seen> {
    let (date, rest) = bytes.split_at_checked(10)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    let year = i32::try_from(two(y1, y2)? * 100 + two(y3, y4)?).ok()?;
    NaiveDate::from_ymd_opt(year, two(m1, m2)?, two(d1, d2)?).filter(|_| year > 0)?;
    if rest.is_empty() {
        return Some(Seen::DATE);
    }
    let (clock, rest) = rest.split_at_checked(9)?;
    let &[b'T', h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    if two(h1, h2)? > 23 || two(m1, m2)? > 59 || two(s1, s2)? > 59 {
        return None;
    }
    let (fraction, zone) = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (Some(digits), rest.get(digits..)?)
        }
        _ => (None, rest),
    };
    if fraction.is_some_and(|digits| !(1..=9).contains(&digits)) {
        return None;
    }
    let fine = if fraction.is_some_and(|digits| digits > 6) { Seen::FINE } else { Seen::default() };
    match *zone {
        [] => Some(Seen::LOCAL.and(fine)),
        [b'Z'] => Some(Seen::INSTANT.and(fine)),
        [b'+' | b'-', h1, h2, b':', m1, m2] if two(h1, h2)? < 15 && two(m1, m2)? < 60 => {
            Some(Seen::INSTANT.and(Seen::FINE))
        }
        _ => None,
    }
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart_by_what_keeps_them() {
        let seen = |token| number(token).0;
        assert_eq!(seen("9223372036854775807"), Seen::INTEGER);
        assert_eq!(seen("-9223372036854775808"), Seen::INTEGER);
        assert_eq!(seen("9223372036854775808"), Seen::BIG.and(Seen::INEXACT));
        assert_eq!(seen("0.25"), Seen::DECIMAL);
        assert_eq!(seen("1.10"), Seen::DECIMAL.and(Seen::INEXACT));
        assert_eq!(seen("1234567890.1234567"), Seen::DECIMAL.and(Seen::INEXACT));
        for token in ["-0", "-0.0", "1e400", "1E-3"] {
            assert_eq!(seen(token), Seen::ODD.and(Seen::INEXACT), "{token}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_number_that_is_not_called_inexact_comes_back_from_a_double(token in "-?(0|[1-9][0-9]{0,12})\\.[0-9]{1,8}") {
            if !number(&token).0.any(Seen::INEXACT) {
                proptest::prop_assert_eq!(token.parse::<f64>().unwrap().to_string(), token);
            }
        }
    }

    #[test]
    fn texts_are_dates_and_times_only_in_their_standard_forms() {
        let cases = [
            ("2024-02-29", Seen::DATE),
            ("2023-02-29", Seen::TEXT),
            ("0000-01-01", Seen::TEXT),
            ("2024-02-29T23:59:59Z", Seen::INSTANT),
            ("2024-02-29T23:59:60Z", Seen::TEXT),
            ("2024-02-29T23:59:59.123456Z", Seen::INSTANT),
            ("2024-02-29T23:59:59.1234567Z", Seen::INSTANT.and(Seen::FINE)),
            ("2024-02-29T23:59:59-05:30", Seen::INSTANT.and(Seen::FINE)),
            ("2024-02-29T23:59:59", Seen::LOCAL),
            ("2024-02-29 23:59:59", Seen::TEXT),
            ("2024-02-29T25:61:61Z", Seen::TEXT),
            ("", Seen::TEXT),
            ("a\0", Seen::AWKWARD),
            ("a\r\nb", Seen::TEXT),
            ("a\rb", Seen::AWKWARD),
            ("\\N", Seen::AWKWARD),
        ];
        for (content, seen) in cases {
            assert_eq!(text(content), seen, "{content:?}");
        }
    }
}
