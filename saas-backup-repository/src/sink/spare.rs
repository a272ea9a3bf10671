use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// From this size on a buffer is worth keeping: giving it back to the system and taking it again costs more than
/// filling it.
pub(super) const LARGE_BYTES: usize = 1024 * 1024;
/// The least capacity of buffers that are kept: a part of an attachment, and what sealing adds to it.
const BUFFER_BYTES: usize = 8 * 1024 * 1024 + 64 * 1024;
/// How many are kept at most: as many as a session with the usual bounds needs at one time.
const KEPT: usize = 16;

/// Large buffers of a session that are used again.
///
/// Allocators keep what many threads freed, each its own share, or return it at the price of fresh pages: both cost
/// more than the buffers that are needed at one time. The allocator of glibc also keeps the more the larger what was
/// freed before.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    /// An empty buffer of some capacity.
    pub(super) fn take(&self, capacity: usize) -> Vec<u8> {
        if capacity < LARGE_BYTES {
            return Vec::with_capacity(capacity);
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = kept.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= capacity);
        match fitting.min_by_key(|(_, buffer)| buffer.capacity()) {
            Some((at, _)) => kept.swap_remove(at),
            None => Vec::with_capacity(capacity.max(BUFFER_BYTES)),
        }
    }

    /// Moves a buffer that becomes large, or has no room for so many more bytes, into one of the capacity `room`.
    pub(super) fn make_room(&self, buffer: &mut Vec<u8>, more: usize, room: usize) {
        if buffer.len() + more > buffer.capacity().max(LARGE_BYTES) {
            let mut larger = self.take(room);
            larger.extend_from_slice(buffer);
            *buffer = larger;
        }
    }

    /// Keeps a buffer for later, if it is one of those and there is room.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < BUFFER_BYTES {
            return;
        }
        buffer.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }

    /// Keeps the buffer of bytes that nobody else holds.
    pub(super) fn give_bytes(&self, bytes: Bytes) {
        if bytes.is_unique() {
            self.give(Vec::from(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_used_again_and_few_are_kept() {
        let spare = Spare::default();
        let mut taken: Vec<Vec<u8>> = (0..=KEPT).map(|_| spare.take(LARGE_BYTES)).collect();
        for mut buffer in taken.drain(..) {
            buffer.push(1);
            spare.give(buffer);
        }
        assert_eq!(spare.0.lock().unwrap().len(), KEPT);
        let again = spare.take(2 * LARGE_BYTES);
        assert_eq!((again.capacity(), again.len(), spare.0.lock().unwrap().len()), (BUFFER_BYTES, 0, KEPT - 1));
        assert_eq!(spare.take(100).capacity(), 100);
        spare.give(Vec::with_capacity(3 * LARGE_BYTES));
        assert_eq!(spare.0.lock().unwrap().len(), KEPT - 1);
        spare.give(Vec::with_capacity(2 * BUFFER_BYTES));
        assert_eq!(spare.take(LARGE_BYTES).capacity(), BUFFER_BYTES);
        assert_eq!(spare.take(BUFFER_BYTES + 1).capacity(), 2 * BUFFER_BYTES);
    }

    #[test]
    fn bytes_that_somebody_holds_are_not_taken_from_them() {
        let spare = Spare::default();
        let bytes = Bytes::from({
            let mut buffer = spare.take(LARGE_BYTES);
            buffer.resize(BUFFER_BYTES, 7);
            buffer
        });
        spare.give_bytes(bytes.clone());
        assert!(spare.0.lock().unwrap().is_empty());
        spare.give_bytes(bytes);
        assert_eq!(spare.0.lock().unwrap().len(), 1);
    }
}
