#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use saas_backup_core::{Line, LineCodec, LineHead, data_of};

fuzz_target!(|bytes: &[u8]| {
    let codec = LineCodec::stored();
    let head = LineHead::parse(bytes);
    let _ = data_of(bytes);
    let _ = codec.decode_own_put(&Bytes::copy_from_slice(bytes));
    let Ok(line) = codec.decode(&Bytes::copy_from_slice(bytes)) else { return };

    let mut written = Vec::new();
    codec.encode(&line, &mut written).expect("what is read can be written");
    let again = codec.decode(&Bytes::from(written.clone())).expect("what is written can be read");
    assert!(line == again);

    if let Line::Put(record) = &line {
        assert_eq!(data_of(&written).expect("a put has data"), record.data.as_bytes());
        let own = codec.decode_own_put(&Bytes::from(written.clone())).expect("what is written is our own");
        assert!(own == **record);
        for head in [head.expect("a put has a head"), LineHead::parse(&written).expect("a put has a head")] {
            assert_eq!(head.collection, record.key.collection.as_str());
            assert_eq!(head.id.as_deref(), Some(record.key.id.as_str()));
        }
    }
});
