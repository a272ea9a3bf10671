#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use saas_backup_core::LineReader;

const LIMIT: usize = 64;

fuzz_target!(|input: &[u8]| {
    let Some((&[size, more], body)) = input.split_first_chunk::<2>() else { return };
    let sizes = [usize::from(size) + 1, usize::from(more) + 1];

    let (mut reader, mut lines, mut rest, mut failed) = (LineReader::new(LIMIT), Vec::new(), body, false);
    for size in sizes.into_iter().cycle() {
        if rest.is_empty() || failed {
            break;
        }
        let (chunk, after) = rest.split_at(rest.len().min(size));
        reader.push(Bytes::copy_from_slice(chunk));
        rest = after;
        loop {
            match reader.next_line() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
    }

    let mut expected: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let last = expected.pop().unwrap_or_default();
    let too_long = expected.iter().position(|line| line.len() > LIMIT);
    assert_eq!(failed, too_long.is_some() || last.len() > LIMIT);
    assert_eq!(lines, &expected[..too_long.unwrap_or(expected.len())]);
    assert!(failed || reader.finish().is_ok() == last.is_empty());
});
