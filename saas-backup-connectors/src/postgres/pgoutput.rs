//! Messages of the `pgoutput` plugin, version 1
//! (<https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>).

use bytes::{Buf, Bytes};
use saas_backup_core::{Error, ErrorKind, Result};

/// One message; others (origins, types, plain messages) say nothing that is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Begin { commit: u64, transaction: u32 },
    Commit { end: u64 },
    Relation(Relation),
    Insert { relation: u32, new: Tuple },
    Update { relation: u32, old: Option<Tuple>, new: Tuple },
    Delete { relation: u32, old: Tuple },
    Truncate { relations: Vec<u32> },
    Other,
}

/// The form of a table from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) oid: u32,
    /// Name, type and modifier of each column.
    pub(super) columns: Vec<(String, u32, i32)>,
}

/// The values of a row, in the order of the relation's columns.
pub(super) type Tuple = Vec<Value>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    /// A large value that did not change and is not in the log.
    Unchanged,
    Text(Bytes),
}

impl Message {
    pub(super) fn read(mut message: Bytes) -> Result<Self> {
        let from = &mut message;
        let read = match from.try_get_u8().map_err(cut)? {
            b'B' => {
                let commit = from.try_get_u64().map_err(cut)?;
                from.try_get_u64().map_err(cut)?;
                Self::Begin { commit, transaction: from.try_get_u32().map_err(cut)? }
            }
            b'C' => {
                from.try_get_u8().map_err(cut)?;
                from.try_get_u64().map_err(cut)?;
                let end = from.try_get_u64().map_err(cut)?;
                from.try_get_u64().map_err(cut)?;
                Self::Commit { end }
            }
            b'R' => Self::Relation(relation(from)?),
            b'I' => {
                let relation = from.try_get_u32().map_err(cut)?;
                expect(from, b'N')?;
                Self::Insert { relation, new: tuple(from)? }
            }
            b'U' => {
                let relation = from.try_get_u32().map_err(cut)?;
                let (mut old, mut kind) = (None, from.try_get_u8().map_err(cut)?);
                if matches!(kind, b'K' | b'O') {
                    old = Some(tuple(from)?);
                    kind = from.try_get_u8().map_err(cut)?;
                }
                if kind != b'N' {
                    return Err(malformed());
                }
                Self::Update { relation, old, new: tuple(from)? }
            }
            b'D' => {
                let relation = from.try_get_u32().map_err(cut)?;
                if !matches!(from.try_get_u8().map_err(cut)?, b'K' | b'O') {
                    return Err(malformed());
                }
                Self::Delete { relation, old: tuple(from)? }
            }
            b'T' => {
                let count = from.try_get_u32().map_err(cut)?;
                from.try_get_u8().map_err(cut)?;
                let relations = (0..count).map(|_| from.try_get_u32().map_err(cut)).collect::<Result<_>>()?;
                Self::Truncate { relations }
            }
            b'O' | b'Y' | b'M' => return Ok(Self::Other),
            _ => return Err(malformed()),
        };
        if message.is_empty() { Ok(read) } else { Err(malformed()) }
    }
}

fn relation(from: &mut Bytes) -> Result<Relation> {
    let oid = from.try_get_u32().map_err(cut)?;
    text(from)?;
    text(from)?;
    from.try_get_u8().map_err(cut)?;
    let count = from.try_get_u16().map_err(cut)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        from.try_get_u8().map_err(cut)?;
        let name = text(from)?;
        columns.push((name, from.try_get_u32().map_err(cut)?, from.try_get_i32().map_err(cut)?));
    }
    Ok(Relation { oid, columns })
}

fn tuple(from: &mut Bytes) -> Result<Tuple> {
    let count = from.try_get_u16().map_err(cut)?;
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match from.try_get_u8().map_err(cut)? {
            b'n' => Value::Null,
            b'u' => Value::Unchanged,
            b't' => {
                let length = from.try_get_u32().map_err(cut)? as usize;
                if length > from.len() {
                    return Err(malformed());
                }
                Value::Text(from.split_to(length))
            }
            _ => return Err(malformed()),
        });
    }
    Ok(values)
}

/// Text up to a zero byte.
fn text(from: &mut Bytes) -> Result<String> {
    let end = memchr::memchr(0, from).ok_or_else(malformed)?;
    let text = from.split_to(end);
    from.advance(1);
    String::from_utf8(text.to_vec()).map_err(|_| malformed())
}

fn expect(from: &mut Bytes, byte: u8) -> Result<()> {
    if from.try_get_u8().map_err(cut)? == byte { Ok(()) } else { Err(malformed()) }
}

fn cut(_: bytes::TryGetError) -> Error {
    malformed()
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "the server's log holds a message that cannot be read")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn update() -> Vec<u8> {
        b"U\0\0\0\x07K\0\x02t\0\0\0\x011nN\0\x02t\0\0\0\x012u".to_vec()
    }

    #[test]
    fn an_update_that_changes_the_key_has_both_rows() {
        let text = |text: &'static str| Value::Text(Bytes::from_static(text.as_bytes()));
        let expected = Message::Update {
            relation: 7,
            old: Some(vec![text("1"), Value::Null]),
            new: vec![text("2"), Value::Unchanged],
        };
        assert_eq!(Message::read(update().into()).unwrap(), expected);
    }

    #[test]
    fn a_relation_names_its_columns() {
        let message = b"R\0\0\0\x07public\0notes\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff";
        let expected = Relation { oid: 7, columns: vec![("id".to_owned(), 23, -1)] };
        assert_eq!(Message::read(Bytes::from_static(message)).unwrap(), Message::Relation(expected));
    }

    proptest! {
        #[test]
        fn no_message_that_was_cut_or_changed_is_read_past_its_end(at in 0_usize..22, byte: u8, cut in 0_usize..22) {
            let mut message = update();
            message[at.min(21)] = byte;
            message.truncate(cut.max(1));
            drop(Message::read(message.into()));
        }

        #[test]
        fn a_message_that_was_cut_is_an_error(cut in 1_usize..22) {
            let mut message = update();
            prop_assume!(cut < message.len());
            message.truncate(cut);
            prop_assert!(Message::read(message.into()).is_err());
        }
    }
}
