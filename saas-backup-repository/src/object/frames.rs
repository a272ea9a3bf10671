//! Zstandard frames and the seek table of the seekable format.

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use saas_backup_core::{Error, ErrorKind, Result};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

/// The level of all compression.
const LEVEL: i32 = 3;
/// The most that a small object (a part of a commit, a layout) may hold when it is decompressed.
pub(crate) const MAX_SMALL_BYTES: u64 = 256 * 1024 * 1024;

/// The beginning by which it is judged whether compressing pays, and the share of it that must go away.
const SAMPLE_BYTES: usize = 64 * 1024;
const WORTHWHILE_PERCENT: usize = 90;

const KEY_INDEX_MAGIC: u32 = 0x184D_2A50;
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// How a Zstandard frame begins (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Raw bytes of one frame where many make an object.
pub(super) const FRAME_BYTES: usize = 512 * 1024;

/// Compresses with contexts and buffers that are used again: setting them up costs as much as a small frame.
pub(crate) struct Codec {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
    frame: Vec<u8>,
    check: Vec<u8>,
}

/// Contexts that nobody uses at the moment; a few, for each holds about 2 MiB.
static IDLE: Mutex<Vec<Codec>> = Mutex::new(Vec::new());
const MOST_IDLE: usize = 4;
/// The largest buffer that a context keeps for later: a frame and the lines of some long key.
const MOST_KEPT: usize = 4 * FRAME_BYTES;

impl Codec {
    fn new() -> Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
        Ok(Self { compressor, decompressor: Decompressor::new()?, frame: Vec::new(), check: Vec::new() })
    }

    /// Gives `work` a context, one that was used before if there is any.
    pub(crate) fn with<T>(work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle().pop();
        let mut codec = found.map_or_else(Self::new, Ok)?;
        let done = work(&mut codec);
        if codec.check.capacity() > MOST_KEPT {
            codec.check = Vec::new();
        }
        let mut idle = idle();
        if idle.len() < MOST_IDLE {
            idle.push(codec);
        }
        done
    }

    /// Compresses into one frame, which carries its length and a checksum.
    pub(super) fn compress(&mut self, plain: &[u8]) -> Result<&[u8]> {
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.compressor.compress_to_buffer(plain, &mut self.frame)?;
        Ok(&self.frame)
    }

    /// Compresses into one frame and decodes it again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Integrity`] if the frame does not decode to what was compressed: it must not be stored.
    pub(super) fn compress_checked(&mut self, plain: &[u8]) -> Result<&[u8]> {
        self.compress(plain)?;
        self.check.clear();
        self.check.reserve(plain.len());
        let decoded = self.decompressor.decompress_to_buffer(&self.frame, &mut self.check);
        if decoded.is_err() || self.check != plain {
            return Err(Error::new(ErrorKind::Integrity, "a frame does not decode to what was compressed"));
        }
        Ok(&self.frame)
    }

    /// Whether bytes would get smaller by a tenth, judged by the beginning.
    pub(crate) fn pays(&mut self, plain: &[u8]) -> Result<bool> {
        let sample = plain.get(..SAMPLE_BYTES).unwrap_or(plain);
        let squeezed = self.compress(sample)?.len();
        Ok(squeezed * 100 < sample.len() * WORTHWHILE_PERCENT)
    }

    /// Compresses in frames of 512 KiB, each decoded again before it is handed to `each`.
    ///
    /// # Errors
    ///
    /// As [`compress_checked`](Self::compress_checked), and what `each` says of a frame.
    pub(crate) fn squeeze(&mut self, plain: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        plain.chunks(FRAME_BYTES).try_for_each(|piece| each(self.compress_checked(piece)?))
    }

    /// Decompresses frame by frame, without ever holding more than one; gives how many bytes there were.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] if they hold more than `limit` bytes, [`ErrorKind::Integrity`] if they are damaged,
    /// and what `each` says of a frame.
    pub(crate) fn each_frame(
        &mut self,
        frames: &[u8],
        limit: u64,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let (mut rest, mut sum) = (frames, 0_u64);
        while !rest.is_empty() {
            let (frame, length, later) = next_frame(rest)?;
            rest = later;
            let Some(length) = length else {
                let plain = decompress_unstated(frame, limit - sum)?;
                sum += plain.len() as u64;
                each(&plain)?;
                continue;
            };
            sum = sum.saturating_add(length);
            let length = usize::try_from(length).ok().filter(|_| sum <= limit).ok_or_else(|| too_long(limit))?;
            self.check.clear();
            self.check.reserve(length);
            self.decompressor.decompress_to_buffer(frame, &mut self.check).map_err(damaged)?;
            each(&self.check)?;
        }
        Ok(sum)
    }

    fn decompress(&mut self, frames: &[u8], length: usize) -> Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(length);
        self.decompressor.decompress_to_buffer(frames, &mut plain).map_err(damaged)?;
        Ok(plain)
    }
}

/// Compresses a small object into one frame.
pub(crate) fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    Codec::with(|codec| codec.compress(plain).map(<[u8]>::to_vec))
}

/// Decompresses frames that hold at most `limit` bytes.
///
/// # Errors
///
/// [`ErrorKind::LimitExceeded`] if they hold more, [`ErrorKind::Integrity`] if they are damaged.
pub(crate) fn decompress(compressed: &[u8], limit: u64) -> Result<Vec<u8>> {
    let length = stated_length(compressed)?;
    if length.is_some_and(|length| length > limit) {
        return Err(too_long(limit));
    }
    if let Some(length) = length {
        let length = usize::try_from(length).map_err(|_| too_long(limit))?;
        return Codec::with(|codec| codec.decompress(compressed, length));
    }
    decompress_unstated(compressed, limit)
}

/// Decompresses frames of others, who need not say how long they are.
fn decompress_unstated(compressed: &[u8], limit: u64) -> Result<Vec<u8>> {
    let decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(damaged)?;
    let mut plain = Vec::new();
    decoder.take(limit.saturating_add(1)).read_to_end(&mut plain).map_err(damaged)?;
    if plain.len() as u64 > limit { Err(too_long(limit)) } else { Ok(plain) }
}

/// What frames say of their length when they are decompressed, if all of them say it.
fn stated_length(frames: &[u8]) -> Result<Option<u64>> {
    let (mut rest, mut sum) = (frames, 0_u64);
    while !rest.is_empty() {
        let (_, length, later) = next_frame(rest)?;
        match length {
            Some(length) => sum = sum.saturating_add(length),
            None => return Ok(None),
        }
        rest = later;
    }
    Ok(Some(sum))
}

/// The first frame, what it says of its length when it is decompressed, and the frames after it.
fn next_frame(frames: &[u8]) -> Result<(&[u8], Option<u64>, &[u8])> {
    let size = zstd::zstd_safe::find_frame_compressed_size(frames).map_err(damaged)?;
    let (frame, later) = frames.split_at_checked(size).ok_or_else(|| damaged(()))?;
    let length = zstd::zstd_safe::get_frame_content_size(frame).map_err(damaged)?;
    Ok((frame, length, later))
}

/// Every frame that is found anywhere in some bytes, decompressed; what only looks like one is passed over.
pub(crate) fn each_frame_within(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let mut at = 0;
    while let Some(place) = bytes.get(at..).and_then(|rest| memchr::memmem::find(rest, &MAGIC)) {
        let rest = bytes.get(at + place..).unwrap_or_default();
        let found = next_frame(rest).and_then(|(frame, ..)| Ok((frame.len(), decompress(frame, MAX_SMALL_BYTES)?)));
        at += place + found.as_ref().map_or(MAGIC.len(), |(length, _)| *length);
        if let Ok((_, plain)) = found {
            each(&plain);
        }
    }
}

fn damaged<E>(_: E) -> Error {
    Error::new(ErrorKind::Integrity, "the compressed bytes are damaged")
}

fn too_long(limit: u64) -> Error {
    Error::new(ErrorKind::LimitExceeded, "the object holds more than it says").with_context("limit", limit)
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

    fn squeezed(plain: &[u8]) -> Vec<u8> {
        let mut squeezed = Vec::new();
        let keep = |frame: &[u8]| {
            squeezed.extend_from_slice(frame);
            Ok(())
        };
        Codec::with(|codec| codec.squeeze(plain, keep)).unwrap();
        squeezed
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = compress(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(decompress(&bomb, 1000).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn text_is_squeezed_and_noise_is_not() {
        let text = b"all work and no play ".repeat(100_000);
        let squeezed = squeezed(&text);
        assert!(Codec::with(|codec| codec.pays(&text)).unwrap());
        assert!(squeezed.len() < text.len() / 10);
        assert_eq!(decompress(&squeezed, text.len() as u64).unwrap(), text);
        assert_eq!(decompress(&squeezed, text.len() as u64 - 1).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let noise: Vec<u8> =
            (0..10_000_u32).flat_map(|at| blake3::hash(&at.to_le_bytes()).as_bytes()[..4].to_vec()).collect();
        assert!(!Codec::with(|codec| codec.pays(&noise)).unwrap());
        assert!(!Codec::with(|codec| codec.pays(&[])).unwrap());
    }

    #[test]
    fn frames_that_do_not_state_their_length_are_read() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        std::io::Write::write_all(&mut encoder, b"as others write it").unwrap();
        let frame = encoder.finish().unwrap();
        assert_eq!(stated_length(&frame).unwrap(), None);
        assert_eq!(decompress(&frame, 18).unwrap(), b"as others write it");
        assert_eq!(decompress(&frame, 17).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn frames_are_decompressed_one_by_one_and_no_more_than_allowed() {
        let text = b"all work and no play ".repeat(100_000);
        let mut squeezed = squeezed(&text);
        finish(&mut squeezed, &[], b"what is passed over");
        let read = |limit: u64| {
            let (mut plain, mut frames) = (Vec::new(), 0);
            let length = Codec::with(|codec| {
                codec.each_frame(&squeezed, limit, |frame| {
                    plain.extend_from_slice(frame);
                    frames += usize::from(!frame.is_empty());
                    Ok(())
                })
            });
            length.map(|length| (length, frames, plain))
        };
        assert_eq!(read(text.len() as u64).unwrap(), (text.len() as u64, 5, text.clone()));
        assert_eq!(read(text.len() as u64 - 1).unwrap_err().kind(), ErrorKind::LimitExceeded);
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

    /// Seekable files of others are read whole: their seek tables and frame sizes are no business of the reader.
    #[test]
    fn a_seekable_file_of_another_program_is_read() {
        use zeekstd::{EncodeOptions, FrameSizePolicy};

        let text = (0..20_000_u32).map(|number| number.to_string()).collect::<Vec<_>>().join("\n");
        for (size, checksum) in [(700, true), (16 * 1024, false), (1024 * 1024, true)] {
            let options = EncodeOptions::new().checksum_flag(checksum);
            let mut file = Vec::new();
            let policy = FrameSizePolicy::Uncompressed(size);
            let mut encoder = options.frame_size_policy(policy).into_encoder(&mut file).unwrap();
            std::io::copy(&mut text.as_bytes(), &mut encoder).unwrap();
            encoder.finish().unwrap();
            let length = text.len() as u64;
            assert!(decompress(&file, length).unwrap() == text.as_bytes(), "frames of {size} bytes");
            assert_eq!(decompress(&file, length - 1).unwrap_err().kind(), ErrorKind::LimitExceeded);
            assert_eq!(decompress(&file[..file.len() / 2], length).unwrap_err().kind(), ErrorKind::Integrity);
        }
    }
}
