use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{Digest, Error, ErrorKind, Key, Result};

/// What the records of a collection come to: a service and its copy that hold the same have the same sum.
///
/// The sum is that of the Open Export Protocol: the number of records, and the XOR over them of the SHA-256 of
/// collection, id and version with a zero byte between each. It does not depend on an order, so that both sides can
/// keep it up to date record by record. It finds differences that nobody intended; it is no proof against a forger.
///
/// ```
/// use saas_backup_core::{DriftSum, Key};
///
/// let (note, other) = (Key::parse("notes", "n_1")?, Key::parse("notes", "n_2")?);
/// let mut sum = DriftSum::default();
/// sum.add(&note, "1");
/// sum.add(&other, "7");
/// sum.remove(&note, "1");
/// sum.add(&note, "2");
///
/// let mut again = DriftSum::default();
/// again.add(&note, "2");
/// again.add(&other, "7");
/// assert_eq!(sum, again);
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DriftSum {
    count: u64,
    #[serde(rename = "xor_sha256", serialize_with = "write_hex", deserialize_with = "read_hex")]
    xor: [u8; 32],
}

impl DriftSum {
    /// How many records it is made of.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a record of this version.
    pub fn add(&mut self, key: &Key, version: &str) {
        self.count = self.count.saturating_add(1);
        self.toggle(key, version);
    }

    /// Takes a record out that was added with this version.
    pub fn remove(&mut self, key: &Key, version: &str) {
        self.count = self.count.saturating_sub(1);
        self.toggle(key, version);
    }

    /// The XOR in hexadecimal.
    pub fn to_hex(&self) -> String {
        Digest::from_bytes(self.xor).to_string()
    }

    fn toggle(&mut self, key: &Key, version: &str) {
        let mut hash = Sha256::new();
        hash.update(key.collection.as_str());
        hash.update([0]);
        hash.update(key.id.as_str());
        hash.update([0]);
        hash.update(version);
        let digest: [u8; 32] = hash.finalize().into();
        self.xor.iter_mut().zip(digest).for_each(|(sum, byte)| *sum ^= byte);
    }
}

impl fmt::Debug for DriftSum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DriftSum({}, {})", self.count, self.to_hex())
    }
}

fn write_hex<S: Serializer>(xor: &[u8; 32], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&DriftSum { count: 0, xor: *xor }.to_hex())
}

fn read_hex<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    bytes_of(&text).map_err(serde::de::Error::custom)
}

fn bytes_of(text: &str) -> Result<[u8; 32]> {
    let wrong = || Error::new(ErrorKind::InvalidData, "a sum is 64 hexadecimal digits");
    if text.len() != 64 {
        return Err(wrong());
    }
    let mut xor = [0; 32];
    for (byte, digits) in xor.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| digits.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let value = digit(0).zip(digit(1)).map(|(high, low)| high * 16 + low);
        *byte = value.and_then(|value| u8::try_from(value).ok()).ok_or_else(wrong)?;
    }
    Ok(xor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_one_is_the_digest_of_its_parts() {
        let mut sum = DriftSum::default();
        sum.add(&Key::parse("notes", "n_1").unwrap(), "v1");
        assert_eq!(sum.to_hex(), Digest::of(b"notes\0n_1\0v1").to_string());
        assert_eq!(sum.count(), 1);
    }

    #[test]
    fn a_sum_reads_back_and_nonsense_is_refused() {
        let mut sum = DriftSum::default();
        sum.add(&Key::parse("notes", "n_1").unwrap(), "v1");
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<DriftSum>(&text).unwrap(), sum);
        for hex in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            let text = serde_json::json!({ "count": 1, "xor_sha256": hex }).to_string();
            assert!(serde_json::from_str::<DriftSum>(&text).is_err(), "{hex}");
        }
    }
}
