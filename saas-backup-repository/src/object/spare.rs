use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// From this size on a buffer is worth keeping: giving it back to the system and taking it again costs more than
/// filling it.
pub(crate) const LARGE_BYTES: usize = 1024 * 1024;
/// The least capacity of larger buffers: a part of an attachment, and what sealing adds to it.
const BUFFER_BYTES: usize = 8 * 1024 * 1024 + 64 * 1024;
/// How much is kept at most: as much as a session with the usual bounds needs at one time.
const KEPT_BYTES: usize = 128 * 1024 * 1024;

/// Large buffers of a session that are used again.
///
/// Allocators keep what many threads freed, each its own share, or return it at the price of fresh pages: both cost
/// more than the buffers that are needed at one time. The allocator of glibc also keeps the more the larger what was
/// freed before.
#[derive(Debug, Default)]
pub(crate) struct Spare(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    /// An empty buffer of some capacity.
    pub(crate) fn take(&self, capacity: usize) -> Vec<u8> {
        if capacity < LARGE_BYTES {
            return Vec::with_capacity(capacity);
        }
        let capacity = if capacity > LARGE_BYTES { capacity.max(BUFFER_BYTES) } else { capacity };
        let mut kept = self.lock();
        let fits = |buffer: &Vec<u8>| (capacity..2 * capacity).contains(&buffer.capacity());
        let fitting = kept.buffers.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        match fitting.min_by_key(|(_, buffer)| buffer.capacity()) {
            Some((at, buffer)) => {
                kept.bytes -= buffer.capacity();
                kept.buffers.swap_remove(at)
            }
            None => Vec::with_capacity(capacity),
        }
    }

    /// Moves a buffer that has no room for so many more bytes, and would become large, into one of the capacity `room`.
    pub(crate) fn make_room(&self, buffer: &mut Vec<u8>, more: usize, room: usize) {
        let needed = buffer.len() + more;
        if needed > buffer.capacity() && needed > LARGE_BYTES / 4 {
            let mut larger = self.take(room);
            larger.extend_from_slice(buffer);
            self.give(std::mem::replace(buffer, larger));
        }
    }

    /// Keeps a buffer for later, if it is one of those and there is room.
    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < LARGE_BYTES {
            return;
        }
        buffer.clear();
        let mut kept = self.lock();
        if kept.bytes + buffer.capacity() <= KEPT_BYTES {
            kept.bytes += buffer.capacity();
            kept.buffers.push(buffer);
        }
    }

    /// Keeps the buffer of bytes that nobody else holds.
    pub(crate) fn give_bytes(&self, bytes: Bytes) {
        if bytes.is_unique() {
            self.give(Vec::from(bytes));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_used_again_and_few_are_kept() {
        let spare = Spare::default();
        let kept = || spare.0.lock().unwrap().buffers.len();
        let most = KEPT_BYTES / BUFFER_BYTES;
        let mut taken: Vec<Vec<u8>> = (0..=most).map(|_| spare.take(2 * LARGE_BYTES)).collect();
        for mut buffer in taken.drain(..) {
            buffer.push(1);
            spare.give(buffer);
        }
        assert_eq!(kept(), most);
        let again = spare.take(3 * LARGE_BYTES);
        assert_eq!((again.capacity(), again.len(), kept()), (BUFFER_BYTES, 0, most - 1));
        assert_eq!(spare.take(100).capacity(), 100);
        spare.give(Vec::with_capacity(100));
        assert_eq!(kept(), most - 1);
    }

    #[test]
    fn a_much_larger_buffer_is_not_spent_on_a_chunk() {
        let spare = Spare::default();
        spare.give(Vec::with_capacity(BUFFER_BYTES));
        assert_eq!(spare.take(LARGE_BYTES).capacity(), LARGE_BYTES);
        assert_eq!(spare.take(BUFFER_BYTES + 1).capacity(), BUFFER_BYTES + 1);
        assert_eq!(spare.0.lock().unwrap().bytes, BUFFER_BYTES);
    }

    #[test]
    fn bytes_that_somebody_holds_are_not_taken_from_them() {
        let spare = Spare::default();
        let bytes = Bytes::from({
            let mut buffer = spare.take(BUFFER_BYTES);
            buffer.resize(BUFFER_BYTES, 7);
            buffer
        });
        spare.give_bytes(bytes.clone());
        assert!(spare.0.lock().unwrap().buffers.is_empty());
        spare.give_bytes(bytes);
        assert_eq!(spare.0.lock().unwrap().buffers.len(), 1);
    }
}
