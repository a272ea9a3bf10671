//! What programs of others make of a repository's objects.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::testkit::Random;
use saas_backup_repository::Repository;
use zeekstd::Decoder;

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, note, options};

/// The segments of a repository that is not encrypted, each with the lines that any Zstandard reader finds in it.
async fn segments() -> Vec<(Vec<u8>, Vec<u8>)> {
    let (clock, disk, records) = (clock(), FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), options(&clock)).await.unwrap();
    let mut random = Random::new(7);
    for id in 0..3000 {
        let text: String = (0..random.below(1200)).map(|_| char::from(35 + random.below(56) as u8)).collect();
        records.put(note(&format!("{id} ü"), &text));
    }
    back_up(&MemoryConnector::new(records), &repository.source("blog").unwrap(), &clock).await.unwrap();
    let names = disk.names().into_iter().filter(|name| name.contains("/data/"));
    let segments = names.map(|name| {
        let file = disk.object(&name).to_vec();
        let lines = zstd::decode_all(&*file).unwrap();
        (file, lines)
    });
    segments.collect()
}

/// A segment is a file of the seekable Zstandard format: a reader that knows nothing of repositories goes to any place
/// of its lines by the seek table alone, and each of its frames begins and ends with a line.
#[tokio::test]
async fn a_reader_of_the_seekable_format_goes_to_any_line_of_a_segment() {
    let (segments, mut random) = (segments().await, Random::new(1));
    assert!(!segments.is_empty());
    for (file, lines) in segments {
        let mut decoder = Decoder::new(std::io::Cursor::new(&file)).unwrap();
        let table = decoder.seek_table().clone();
        assert!(table.num_frames() > 3, "{} frames", table.num_frames());
        assert_eq!(
            (table.size_decomp(), table.size_comp()),
            (lines.len() as u64, {
                let seek_table = 8 + 8 * u64::from(table.num_frames()) + 9;
                file.len() as u64 - seek_table
            })
        );
        let mut whole = Vec::new();
        decoder.read_to_end(&mut whole).unwrap();
        assert!(whole == lines);
        for frame in 0..table.num_frames() {
            let start = table.frame_start_decomp(frame).unwrap() as usize;
            let end = table.frame_end_decomp(frame).unwrap() as usize;
            let text = &lines[start..end];
            assert!(text.is_empty() || (text.starts_with(br#"{"type":"put""#) && text.ends_with(b"\n")), "{frame}");
            let compressed =
                table.frame_start_comp(frame).unwrap() as usize..table.frame_end_comp(frame).unwrap() as usize;
            assert!(zstd::decode_all(&file[compressed]).unwrap() == text, "frame {frame} stands alone");
        }
        for _ in 0..50 {
            let start = random.below(lines.len());
            let mut part = vec![0; random.below(2000).min(lines.len() - start)];
            decoder.seek(SeekFrom::Start(start as u64)).unwrap();
            decoder.read_exact(&mut part).unwrap();
            assert!(part == lines[start..start + part.len()], "{} bytes at {start}", part.len());
        }
    }
}
