use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use sha2::{Digest as _, Sha256};

use crate::Outcome;

const FRAME: usize = 512 * 1024;
/// What age encrypts at once.
const CHUNK: usize = 64 * 1024;

/// The bare limit: every byte of the account is read, digested, compressed with zstd at level 3, decoded back and
/// encrypted with ChaCha20-Poly1305, once, in one process, and nothing is written.
pub(crate) fn run(account: &Path, threads: usize) -> Outcome<()> {
    let mut files = Vec::new();
    collect(&account.join("records"), &mut files)?;
    collect(&account.join("attachments"), &mut files)?;
    files.sort();
    let sums = std::thread::scope(|scope| {
        let share = |first: usize| files.iter().skip(first).step_by(threads);
        let begun: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || pass(share(first)).map_err(|error| error.to_string())))
            .collect();
        begun
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?)
            .collect::<Result<Vec<_>, String>>()
    })?;
    let (read, stored) = sums.iter().fold((0, 0), |(read, stored), sum| (read + sum.0, stored + sum.1));
    println!("{read} bytes read, {stored} bytes after compression and encryption");
    Ok(())
}

/// Bytes that were read, and bytes after compression and encryption.
fn pass<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Outcome<(usize, usize)> {
    let cipher = ChaCha20Poly1305::new(&Key::from([7; 32]));
    let nonce = Nonce::from([0; 12]);
    let mut compressor = zstd::bulk::Compressor::new(3)?;
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let (mut digest, mut frame) = (Sha256::new(), Vec::with_capacity(FRAME));
    let (mut read, mut stored) = (0, 0);
    for path in files {
        let mut file = File::open(path)?;
        loop {
            frame.clear();
            file.by_ref().take(FRAME as u64).read_to_end(&mut frame)?;
            if frame.is_empty() {
                break;
            }
            digest.update(&frame);
            let compressed = compressor.compress(&frame)?;
            if decompressor.decompress(&compressed, FRAME)? != frame {
                return Err("zstd does not give back what it was given".into());
            }
            for chunk in compressed.chunks(CHUNK) {
                let sealed = cipher.encrypt(&nonce, chunk).map_err(|_| "the cipher refused a chunk")?;
                stored += sealed.len();
            }
            read += frame.len();
        }
    }
    std::hint::black_box(digest.finalize());
    Ok((read, stored))
}

/// Bytes of files compressed with zstd at level 3, each as one stream.
pub(crate) fn compressed(files: &[PathBuf]) -> Outcome<u64> {
    let mut sum = 0;
    for path in files {
        sum += zstd::bulk::compress(&fs::read(path)?, 3)?.len() as u64;
    }
    Ok(sum)
}

/// All files below a folder.
pub(crate) fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Outcome<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}
