//! What holds for every line.

use bytes::Bytes;
use proptest::prelude::*;
use saas_backup_core::{Line, LineCodec, LineHead, LineReader, Profile, data_of};

use super::generate::{line, record};

fn codec(profile: Profile) -> LineCodec {
    match profile {
        Profile::Wire => LineCodec::wire(),
        Profile::Stored => LineCodec::stored(),
    }
}

fn written(codec: LineCodec, line: &Line) -> Bytes {
    let mut out = Vec::new();
    codec.encode(line, &mut out).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    Bytes::from(out)
}

/// A change of a valid line: a byte becomes another, a part goes or is repeated, another part comes in.
fn mutated(profile: Profile) -> impl Strategy<Value = Bytes> {
    let parts =
        vec!["\"", "\\", "{", "}", "[", ",", ":", "\\ud800", "null", "\u{0}", "é", ",\"type\":\"del\"", "1e999"];
    let change = (any::<prop::sample::Index>(), 0..12_usize, 0..4_u8, any::<u8>(), prop::sample::select(parts));
    (line(profile), prop::collection::vec(change, 1..4)).prop_map(move |(line, changes)| {
        let mut bytes = written(codec(profile), &line).to_vec();
        for (index, length, kind, byte, part) in changes {
            let from = index.index(bytes.len().max(1)).min(bytes.len());
            let to = (from + length).min(bytes.len());
            match kind {
                0 => bytes.get_mut(from..to).unwrap().fill(byte),
                1 => drop(bytes.drain(from..to)),
                2 => bytes.splice(from..from, part.bytes()).for_each(drop),
                _ => {
                    let copy = bytes[from..to].to_vec();
                    bytes.splice(to..to, copy).for_each(drop);
                }
            }
        }
        Bytes::from(bytes)
    })
}

/// What a codec accepts it can write, and that reads as the same value: nothing half understood gets through.
fn accepted_lines_are_stable(bytes: &Bytes) {
    for profile in [Profile::Wire, Profile::Stored] {
        if let Ok(line) = codec(profile).decode(bytes) {
            let again = written(codec(profile), &line);
            assert_eq!(codec(profile).decode(&again).unwrap(), line);
            assert_eq!(written(codec(profile), &line), again);
        }
    }
    let _ = LineHead::parse(bytes);
    let _ = data_of(bytes);
    let _ = LineCodec::stored().decode_own_put(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_stored_reads_as_the_same_value(line in line(Profile::Stored)) {
        let bytes = written(LineCodec::stored(), &line);
        prop_assert!(!bytes.contains(&b'\n') && !bytes.contains(&b'\r'));
        prop_assert_eq!(LineCodec::stored().decode(&bytes).unwrap(), line);
    }

    #[test]
    fn what_is_written_to_the_wire_reads_as_the_same_value_in_both_profiles(line in line(Profile::Wire)) {
        let bytes = written(LineCodec::wire(), &line);
        prop_assert_eq!(&LineCodec::wire().decode(&bytes).unwrap(), &line);
        prop_assert_eq!(&LineCodec::stored().decode(&bytes).unwrap(), &line);
        prop_assert_eq!(written(LineCodec::stored(), &line), bytes.clone());
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
    }

    #[test]
    fn head_and_data_are_those_of_the_record(record in record(Profile::Stored)) {
        let mut bytes = Vec::new();
        LineCodec::stored().encode_put(&record, &mut bytes).unwrap();
        let head = LineHead::parse(&bytes).unwrap();
        prop_assert_eq!(&*head.collection, record.key.collection.as_str());
        prop_assert_eq!(head.id.as_deref(), Some(record.key.id.as_str()));
        prop_assert_eq!(head.partition.as_deref(), record.partition.as_ref().map(AsRef::as_ref));
        prop_assert_eq!(head.sequence, record.sequence);
        prop_assert_eq!(data_of(&bytes).unwrap(), record.data.as_bytes());
        prop_assert_eq!(LineCodec::stored().decode_own_put(&Bytes::from(bytes)).unwrap(), record);
    }

    #[test]
    fn changed_lines_are_refused_or_understood(bytes in prop_oneof![mutated(Profile::Stored), mutated(Profile::Wire)]) {
        accepted_lines_are_stable(&bytes);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        accepted_lines_are_stable(&Bytes::from(bytes));
    }

    #[test]
    fn a_reader_finds_the_lines_whatever_the_chunks(
        lines in prop::collection::vec("[^\\n]{0,40}", 0..8),
        sizes in prop::collection::vec(1..20_usize, 1..6),
    ) {
        let body: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let (mut reader, mut found, mut rest) = (LineReader::new(1000), Vec::new(), body.as_bytes());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at(rest.len().min(*size));
            reader.push(Bytes::copy_from_slice(chunk));
            rest = after;
            while let Some(line) = reader.next_line().unwrap() {
                found.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        reader.finish().unwrap();
        prop_assert_eq!(found, lines);
    }
}
