//! Zstandard frames and the seek table of the seekable format.

use std::io::Read as _;

use saas_backup_core::{Error, ErrorKind, Result};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// The level of all compression.
const LEVEL: i32 = 3;
/// The most that a small object (a part of a commit, a layout) may hold when it is decompressed.
pub(crate) const MAX_SMALL_BYTES: u64 = 256 * 1024 * 1024;

const KEY_INDEX_MAGIC: u32 = 0x184D_2A50;
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// A compressor whose frames carry their length and a checksum.
pub(crate) fn compressor() -> Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    Ok(compressor)
}

/// Compresses a small object into one frame.
pub(crate) fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    Ok(compressor()?.compress(plain)?)
}

/// Decompresses frames that hold at most `limit` bytes.
///
/// # Errors
///
/// [`ErrorKind::LimitExceeded`] if they hold more, [`ErrorKind::Integrity`] if they are damaged.
pub(crate) fn decompress(compressed: &[u8], limit: u64) -> Result<Vec<u8>> {
    let damaged = |_| Error::new(ErrorKind::Integrity, "the compressed bytes are damaged");
    let decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(damaged)?;
    let mut plain = Vec::new();
    decoder.take(limit.saturating_add(1)).read_to_end(&mut plain).map_err(damaged)?;
    if plain.len() as u64 > limit {
        return Err(
            Error::new(ErrorKind::LimitExceeded, "the object holds more than it says").with_context("limit", limit)
        );
    }
    Ok(plain)
}

/// The digest by which a frame is known: the first 16 bytes of the BLAKE3 of its compressed bytes.
pub(crate) fn frame_digest(frame: &[u8]) -> String {
    let digest = blake3::hash(frame);
    crate::crypto::hex(digest.as_bytes().get(..16).unwrap_or_default())
}

/// Appends the key index and the seek table, each in a skippable frame; `frames` are compressed and plain lengths.
pub(crate) fn finish(file: &mut Vec<u8>, frames: &[(u32, u32)], key_index: &[u8]) {
    let start = file.len();
    skippable(file, KEY_INDEX_MAGIC, key_index);
    let index_frame = (file.len() - start) as u32;
    // The skippable frame of the index is listed, too: offsets are the sums of what stands before.
    let mut table = Vec::with_capacity(8 * frames.len() + 17);
    for (compressed, plain) in frames.iter().copied().chain([(index_frame, 0)]) {
        table.extend_from_slice(&compressed.to_le_bytes());
        table.extend_from_slice(&plain.to_le_bytes());
    }
    table.extend_from_slice(&(frames.len() as u32 + 1).to_le_bytes());
    table.push(0);
    table.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    skippable(file, SEEK_TABLE_MAGIC, &table);
}

fn skippable(file: &mut Vec<u8>, magic: u32, content: &[u8]) {
    file.extend_from_slice(&magic.to_le_bytes());
    file.extend_from_slice(&(content.len() as u32).to_le_bytes());
    file.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = compress(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(decompress(&bomb, 1000).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let text = b"some text that is long enough to be compressed, compressed, compressed";
        let frame = compress(text).unwrap();
        for at in 0..frame.len() {
            let mut changed = frame.clone();
            changed[at] ^= 0x10;
            // One bit of the descriptor means nothing to anybody.
            assert!(decompress(&changed, 1000).map_or(true, |read| read == text), "byte {at}");
        }
    }
}
