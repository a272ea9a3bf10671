#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use saas_backup_core::LineCodec;

fuzz_target!(|bytes: &[u8]| {
    let codec = LineCodec::wire();
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(line) = codec.decode(&bytes) else { return };

    let mut written = Vec::new();
    codec.encode(&line, &mut written).expect("what is read can be written");
    let written = Bytes::from(written);
    assert!(codec.decode(&written).expect("what is written can be read") == line);
    assert!(LineCodec::stored().decode(&written).expect("the stored profile is a superset") == line);
    serde_json::from_slice::<serde_json::Value>(&bytes).expect("every reader of JSON reads it");
});
