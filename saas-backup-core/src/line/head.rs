use std::borrow::Cow;
use std::ops::Range;

use super::{LineKind, rules::broken};
use crate::scan::{Scanner, plain_run};
use crate::{Error, ErrorKind, MAX_JSON_DEPTH, Result};

/// What a sorted store asks of a line: which record it is about.
///
/// Only the beginning is read, and nothing is checked beyond it: meant for lines that were checked when they were
/// written.
///
/// ```
/// use saas_backup_core::{LineHead, LineKind};
///
/// let line = br#"{"type":"put","collection":"pages","id":"7","seq":12,"data":{}}"#;
/// let head = LineHead::parse(line)?;
/// assert_eq!((head.kind, &*head.collection, head.id.as_deref()), (LineKind::Put, "pages", Some("7")));
/// assert_eq!((head.partition, head.sequence), (None, Some(12)));
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineHead<'a> {
    /// The type of the line.
    pub kind: LineKind,
    /// The collection.
    pub collection: Cow<'a, str>,
    /// The record; `None` for a gap in a whole collection.
    pub id: Option<Cow<'a, str>>,
    /// The partition.
    pub partition: Option<Cow<'a, str>>,
    /// The store's sequence number.
    pub sequence: Option<u64>,
    /// Whether no partition but this one holds the record: what others said of it before is past.
    pub sole: bool,
}

impl<'a> LineHead<'a> {
    /// Reads the head of a line that is about a collection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the line is not JSON, or names no collection.
    pub fn parse(line: &'a [u8]) -> Result<Self> {
        match Self::from_prefix(line) {
            Some(head) => Ok(head),
            None => Self::from_members(line),
        }
    }

    /// Reads the form that the codec writes, as long as it holds no escape.
    fn from_prefix(line: &'a [u8]) -> Option<Self> {
        let (kind, rest) = plain_string(line.strip_prefix(b"{\"type\":")?)?;
        let (collection, rest) = plain_string(rest.strip_prefix(b",\"collection\":")?)?;
        let (id, rest) = plain_string(rest.strip_prefix(b",\"id\":")?)?;
        let (partition, rest) = match rest.strip_prefix(b",\"partition\":") {
            Some(rest) => plain_string(rest).map(|(partition, rest)| (Some(Cow::Borrowed(partition)), rest))?,
            None => (None, rest),
        };
        let (sequence, rest) = match rest.strip_prefix(b",\"seq\":") {
            Some(rest) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (digits, after) = rest.split_at_checked(digits)?;
                (Some(std::str::from_utf8(digits).ok()?.parse().ok()?), after)
            }
            None => (None, rest),
        };
        Some(Self {
            kind: LineKind::parse(kind),
            collection: Cow::Borrowed(collection),
            id: Some(Cow::Borrowed(id)),
            partition,
            sequence,
            sole: rest.starts_with(b",\"sole\":true"),
        })
    }

    fn from_members(line: &'a [u8]) -> Result<Self> {
        let mut scanner = Scanner::new(text_of(line)?);
        let (mut kind, mut collection, mut id, mut partition, mut sequence) = (None, None, None, None, None);
        let mut sole = false;
        scanner.open(b'{')?;
        let mut first = true;
        while scanner.next_entry(b'}', &mut first)? {
            match &*scanner.name()? {
                "type" => kind = Some(LineKind::parse(&scanner.string()?)),
                "collection" => collection = Some(scanner.string()?),
                "id" => id = Some(scanner.string()?),
                "partition" => partition = Some(scanner.string()?),
                "seq" => sequence = Some(scanner.unsigned()?),
                "sole" => sole = scanner.boolean()?,
                _ => {
                    scanner.value(2 * MAX_JSON_DEPTH)?;
                }
            }
        }
        scanner.end()?;
        Ok(Self {
            kind: kind.ok_or_else(|| broken("a line needs a type"))?,
            collection: collection.ok_or_else(|| broken("the line is not about a collection"))?,
            id,
            partition,
            sequence,
            sole,
        })
    }
}

/// Cuts the text of `data` out of a line in which it stands last, as the codec writes it.
///
/// The members before it are walked over and `data` itself is not looked at: meant for lines that were checked when
/// they were written.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] if the line is not JSON up to there, or has no `data`.
pub fn data_of(line: &[u8]) -> Result<&[u8]> {
    let place = Scanner::new(text_of(line)?).find("data", 2 * MAX_JSON_DEPTH)?;
    place
        .and_then(|place| line.get(place..)?.strip_suffix(b"}"))
        .filter(|data| !data.is_empty())
        .ok_or_else(|| broken("the line has no data"))
}

/// Where the member `seq` stands in a line that the codec wrote, with the comma before it; an empty range where it would
/// stand if the line had one.
///
/// ```
/// use saas_backup_core::sequence_place;
///
/// let line = br#"{"type":"put","collection":"pages","id":"7","seq":12,"data":{}}"#;
/// assert_eq!(line[sequence_place(line)?], *br#","seq":12"#);
/// assert!(sequence_place(br#"{"type":"put","collection":"pages","id":"7","data":{}}"#)?.is_empty());
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] if the line does not begin as the codec begins the line of a record.
pub fn sequence_place(line: &[u8]) -> Result<Range<usize>> {
    place_behind_key(line).ok_or_else(|| broken("the line does not begin as the line of a record does"))
}

fn place_behind_key(line: &[u8]) -> Option<Range<usize>> {
    let mut rest = line;
    for name in ["{\"type\":\"", ",\"collection\":\"", ",\"id\":\""] {
        rest = behind_string(rest.strip_prefix(name.as_bytes())?)?;
    }
    if let Some(partition) = rest.strip_prefix(b",\"partition\":\"") {
        rest = behind_string(partition)?;
    }
    let start = line.len() - rest.len();
    let member = rest
        .strip_prefix(b",\"seq\":")
        .map_or(0, |digits| rest.len() - digits.len() + digits.iter().take_while(|byte| byte.is_ascii_digit()).count());
    Some(start..start + member)
}

/// What follows a string whose opening quotation mark was read.
fn behind_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (end, skipped) = match rest.get(memchr::memchr2(b'"', b'\\', rest)?..)? {
            [b'"', after @ ..] => (true, after),
            [_, _, after @ ..] => (false, after),
            _ => return None,
        };
        rest = skipped;
        if end {
            return Some(rest);
        }
    }
}

fn text_of(line: &[u8]) -> Result<&str> {
    std::str::from_utf8(line).map_err(|_| Error::new(ErrorKind::InvalidData, "the line is not UTF-8"))
}

fn plain_string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let bytes = bytes.strip_prefix(b"\"")?;
    let (text, rest) = bytes.split_at_checked(plain_run(bytes))?;
    Some((std::str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_and_the_long_way_read_the_same_head() {
        for line in [
            r#"{"type":"put","collection":"pages","id":"7","partition":"p","seq":12,"version":"1","data":{}}"#,
            r#"{"type":"put","collection":"pages","id":"7","partition":"p","seq":12,"sole":true,"data":{}}"#,
            r#"{"type":"put","collection":"pages","id":"7","partition":"p","sole":true,"version":"1","data":{}}"#,
            r#"{"type":"del","collection":"pages","id":"☃","reason":"deleted"}"#,
            r#"{"type":"item","collection":"pages","id":"7","seq":18446744073709551615}"#,
        ] {
            let short = LineHead::from_prefix(line.as_bytes()).unwrap();
            assert_eq!(short, LineHead::from_members(line.as_bytes()).unwrap());
            assert_eq!(short, LineHead::parse(line.as_bytes()).unwrap());
        }
    }

    #[test]
    fn the_place_of_the_sequence_number_is_found_behind_any_key() {
        for key in [
            r#""collection":"pages","id":"7""#,
            r#""collection":"pages","id":"a\"b\\","partition":"p\\\"q""#,
            r#""collection":"pages","id":",\"seq\":9","partition":"""#,
        ] {
            for rest in [r#","seq":12,"sole":true,"data":{}}"#, r#","sole":true,"data":{"seq":1}}"#] {
                let line = format!(r#"{{"type":"put",{key}{rest}"#);
                let place = sequence_place(line.as_bytes()).unwrap();
                let expected = if rest.starts_with(",\"seq\"") { ",\"seq\":12" } else { "" };
                assert_eq!((place.start, &line[place]), (line.len() - rest.len(), expected), "{line}");
            }
        }
        for line in ["{}", r#"{"type":"put","collection":"x","id":"1"#, r#"{"type":"put","collection":"x\"#] {
            assert_eq!(sequence_place(line.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }

    #[test]
    fn other_orders_and_escapes_take_the_long_way() {
        let line = br#"{"id":"a\"b", "data":{"seq":[1]}, "seq":3,"collection":"x","type":"put"}"#;
        let head = LineHead::parse(line).unwrap();
        assert_eq!((head.kind, &*head.collection, head.id.as_deref()), (LineKind::Put, "x", Some("a\"b")));
        assert_eq!(head.sequence, Some(3));
        let line =
            br#"{"type":"err","collection":"x","partition":"p","problem":{"type":"a","title":"b"},"retry":true}"#;
        assert_eq!(LineHead::parse(line).unwrap().id, None);
        assert!(LineHead::parse(br#"{"type":"hb"}"#).is_err());
        assert!(LineHead::parse(br#"{"type":"put","collection":"x","id":"1"#).is_err());
    }

    #[test]
    fn data_is_cut_out_whatever_stands_before_it() {
        let line = br#"{"type":"put","collection":"data","id":",\"data\":","refs":{"data":null},"x":{"data":1},"data":{"data":[1.10]}}"#;
        assert_eq!(data_of(line).unwrap(), br#"{"data":[1.10]}"#);
        assert!(data_of(br#"{"type":"del","collection":"x","id":"1"}"#).is_err());
        assert!(data_of(br#"{"data":}"#).is_err());
        assert!(data_of(b"").is_err());
    }
}
