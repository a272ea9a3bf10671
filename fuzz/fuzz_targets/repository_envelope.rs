#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| saas_backup_repository::fuzzing::envelope(input));
