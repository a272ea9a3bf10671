use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saas_backup_core::{Key, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bits for each key, and hashes of it: about one false positive in a hundred.
const BITS_PER_KEY: usize = 10;
const HASHES: u64 = 7;

/// Says which keys a segment certainly does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bloom(Vec<u8>);

impl Bloom {
    pub(crate) fn of(hashes: &[(u64, u64)]) -> Self {
        let bytes = (hashes.len() * BITS_PER_KEY).div_ceil(8).max(8);
        let mut bits = vec![0_u8; bytes];
        for hash in hashes {
            for bit in places(*hash, bytes) {
                if let Some(byte) = bits.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
        Self(bits)
    }

    /// Whether the segment may hold the key; a filter that is not there excludes nothing.
    pub(crate) fn may_hold(&self, key: &Key) -> bool {
        let hash = key_hash(key);
        self.0.is_empty()
            || places(hash, self.0.len())
                .all(|bit| self.0.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0))
    }
}

/// The hash that places a key in a filter: the first 16 bytes of the BLAKE3 of collection, 0 and id.
pub(crate) fn key_hash(key: &Key) -> (u64, u64) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.collection.as_str().as_bytes()).update(&[0]).update(key.id.as_str().as_bytes());
    let digest = hasher.finalize();
    let bytes = digest.as_bytes();
    let word = |from: usize| u64::from_le_bytes(std::array::from_fn(|at| bytes[from + at]));
    (word(0), word(8))
}

fn places((first, second): (u64, u64), bytes: usize) -> impl Iterator<Item = usize> {
    let bits = bytes as u64 * 8;
    (0..HASHES).map(move |turn| (first.wrapping_add(turn.wrapping_mul(second)) % bits) as usize)
}

impl Serialize for Bloom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bloom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_given_and_little_else() {
        let keys: Vec<Key> = (0..1000).map(|id| Key::parse("pages", id.to_string()).unwrap()).collect();
        let bloom = Bloom::of(&keys.iter().map(key_hash).collect::<Vec<_>>());
        assert!(keys.iter().all(|key| bloom.may_hold(key)));
        let strangers = (1000..11_000).map(|id| Key::parse("pages", id.to_string()).unwrap());
        let mistaken = strangers.filter(|key| bloom.may_hold(key)).count();
        assert!(mistaken < 300, "{mistaken} of 10,000");
    }
}
