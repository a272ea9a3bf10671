//! Byte ranges of attachments (RFC 9110, section 14).

use std::ops::Range;

/// What a request asks for of an attachment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it; also where the header means nothing here, as for several ranges at once.
    Whole,
    /// One part, not empty.
    Part(Range<u64>),
    /// A part that lies behind its end.
    Unsatisfiable,
}

/// Reads a `Range` header for an attachment of so many bytes.
pub(super) fn asked(header: Option<&str>, size: u64) -> Asked {
    let Some(set) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Asked::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last && first < size => {
            Asked::Part(first..last.saturating_add(1).min(size))
        }
        (Some(first), None) if last.is_empty() && first < size => Asked::Part(first..size),
        (None, Some(length)) if first.is_empty() && length > 0 && size > 0 => {
            Asked::Part(size.saturating_sub(length)..size)
        }
        (Some(first), Some(last)) if first <= last => Asked::Unsatisfiable,
        (Some(_), None) if last.is_empty() => Asked::Unsatisfiable,
        (None, Some(_)) if first.is_empty() => Asked::Unsatisfiable,
        _ => Asked::Whole,
    }
}

/// A number of digits alone; one that does not fit lies behind every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (header, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-5", Asked::Part(2..6)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=8-99", Asked::Part(8..10)),
            ("bytes=-1", Asked::Part(9..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("bytes=9-99999999999999999999999", Asked::Part(9..10)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=10-12", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=99999999999999999999999-", Asked::Unsatisfiable),
            ("bytes=5-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(asked(Some(header), 10), expected, "{header}");
        }
        assert_eq!(asked(None, 10), Asked::Whole);
        assert_eq!(asked(Some("bytes=0-0"), 0), Asked::Unsatisfiable);
        assert_eq!(asked(Some("bytes=-1"), 0), Asked::Unsatisfiable);
    }
}
