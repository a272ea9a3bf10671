use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// The collections of the workload; each holds a fifth of the records.
pub const COLLECTIONS: [&str; 5] = ["contacts", "tickets", "messages", "invoices", "events"];

const SHARD: u64 = 10_000;
const SYLLABLES: [&str; 40] = [
    "ba", "be", "bi", "ca", "co", "da", "de", "di", "en", "er", "fa", "ga", "ho", "in", "is", "ka", "la", "le", "li",
    "lo", "ma", "me", "mi", "no", "on", "or", "pa", "pe", "ra", "re", "ri", "sa", "se", "si", "so", "ta", "te", "ti",
    "un", "ve",
];
const COMMON: [&str; 32] = [
    "the", "of", "and", "to", "a", "in", "for", "is", "on", "that", "by", "this", "with", "you", "it", "not", "or",
    "be", "are", "from", "at", "as", "your", "all", "have", "new", "more", "an", "was", "we", "will", "can",
];
const STATUS: [&str; 6] = ["open", "pending", "on_hold", "solved", "closed", "archived"];
const DOMAINS: [&str; 4] = ["example.com", "acme.test", "globex.test", "initech.test"];

/// A deterministic account: records of about 1 KB, attachments of 10 KB to 5 MB of which every other one compresses,
/// and rounds in which a part of the records changes.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Records of all collections together.
    pub records: u64,
    /// Attachments at the beginning.
    pub attachments: u64,
    /// Attachments that each round adds.
    pub new_attachments: u64,
    /// One record of so many changes in a round.
    pub one_in: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self { records: 1_000_000, attachments: 2000, new_attachments: 20, one_in: 100 }
    }
}

impl Workload {
    /// Records of one collection.
    pub fn per_collection(&self) -> u64 {
        self.records / COLLECTIONS.len() as u64
    }

    /// The ids of the attachments that a round adds; round 0 is the beginning.
    pub fn attachments_of(&self, round: u64) -> std::ops::Range<u64> {
        let Some(earlier) = round.checked_sub(1) else { return 0..self.attachments };
        let first = self.attachments + earlier * self.new_attachments;
        first..first + self.new_attachments
    }

    /// Whether a record changes in a round.
    pub fn changes(&self, collection: usize, index: u64, round: u64) -> bool {
        let mut random = Random::new(&[collection as u64, index, round, 0xC4A2]);
        random.below(self.one_in.max(1)) == 0
    }

    /// One record as a line of JSON without its end, as it is after a round.
    pub fn record(&self, collection: usize, index: u64, round: u64) -> String {
        let name = COLLECTIONS.get(collection).copied().unwrap_or("others");
        let mut random = Random::new(&[collection as u64, index]);
        let account = random.below(4000);
        let attachment = random.below(10) == 0;
        let mut attachments = String::new();
        if attachment && self.attachments > 0 {
            let _ = write!(attachments, "\"att_{:06}\"", random.below(self.attachments));
        }
        let (owner, subject) = (random.below(900), random.words(6));
        let length = 40 + random.below(90);
        let mut body = random.words(length);
        let mut status = random.pick(&STATUS);
        let (amount, field) = (random.below(900_000), random.below(100_000));
        let (mut revision, mut changed) = (1, 0);
        for past in (1..=round).filter(|past| self.changes(collection, index, *past)) {
            let mut random = Random::new(&[collection as u64, index, past, 1]);
            revision += 1;
            changed = past;
            status = random.pick(&STATUS);
            let more = 3 + random.below(20);
            let _ = write!(body, " {}", random.words(more));
        }
        if changed > 0 {
            // New attachments belong to records that changed.
            let new = self.attachments_of(changed);
            let slot =
                Random::new(&[collection as u64, index, changed, 2]).below(self.records / self.one_in.max(1) + 1);
            if slot < new.end - new.start {
                let comma = if attachments.is_empty() { "" } else { "," };
                let _ = write!(attachments, "{comma}\"att_{:06}\"", new.start + slot);
            }
        }
        let prefix = name.get(..3).unwrap_or(name);
        let domain = random.pick(&DOMAINS);
        let (uuid, day, second) = (random.next(), random.below(28) + 1, random.below(86_400));
        format!(
            "{{\"id\":\"{prefix}_{index:010}\",\"object\":\"{name}\",\"account_id\":\"acc_{account:06}\",\
             \"external_uuid\":\"{uuid:016x}\",\"created_at\":\"2024-03-{day:02}T{:02}:{:02}:{:02}Z\",\
             \"updated_at\":\"2026-{:02}-{:02}T00:00:00Z\",\"revision\":{revision},\"status\":\"{status}\",\
             \"owner\":{{\"id\":\"usr_{owner:05}\",\"email\":\"user{owner}@{domain}\",\"active\":true}},\
             \"subject\":\"{subject}\",\"body\":\"{body}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\
             \"custom_fields\":[{{\"id\":36000,\"value\":{field}}},{{\"id\":36001,\"value\":null}}],\
             \"attachments\":[{attachments}],\
             \"_links\":{{\"self\":\"https://api.example.com/v2/{name}/{index}\"}}}}",
            second / 3600,
            second / 60 % 60,
            second % 60,
            1 + changed % 12,
            1 + changed / 12 % 28,
            amount / 100,
            amount % 100,
        )
    }

    /// Length of an attachment in bytes.
    pub fn attachment_size(&self, id: u64) -> usize {
        let share = Random::new(&[id, 0xA77]).below(1000);
        // Most are small, a few are large: the mean is about 1 MB.
        10_000 + usize::try_from(4_990 * share / 1000 * share / 1000 * share / 1000 * share).unwrap_or(0)
    }

    /// The bytes of an attachment: random ones for odd ids, text for even ones.
    pub fn attachment(&self, id: u64) -> Vec<u8> {
        let size = self.attachment_size(id);
        let mut random = Random::new(&[id, 0xB10B]);
        let mut bytes = Vec::with_capacity(size + 128);
        while bytes.len() < size {
            if id % 2 == 1 {
                bytes.extend_from_slice(&random.next().to_le_bytes());
            } else {
                let (number, words) = (random.below(1_000_000), random.words(12));
                let _ = writeln!(bytes, "{number},{},{words}", random.pick(&STATUS));
            }
        }
        bytes.truncate(size);
        bytes
    }

    /// Writes the account as it is at the beginning: `records/<collection>-<shard>.jsonl` and `attachments/`.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
    pub fn write_base(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder.join("records"))?;
        for (collection, name) in COLLECTIONS.iter().enumerate() {
            for first in (0..self.per_collection()).step_by(SHARD as usize) {
                let path = folder.join(format!("records/{name}-{:05}.jsonl", first / SHARD));
                let mut file = BufWriter::new(File::create(path)?);
                for index in first..(first + SHARD).min(self.per_collection()) {
                    writeln!(file, "{}", self.record(collection, index, 0))?;
                }
                file.flush()?;
            }
        }
        self.write_attachments(folder, 0)
    }

    /// Writes a round: the changed records alone into `changes/<round>/`, what a cursor would fetch, and, with
    /// `shards`, every shard that holds one of them anew, what a backup of files sees.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
    pub fn write_round(&self, folder: &Path, round: u64, shards: bool) -> std::io::Result<()> {
        let into = folder.join(format!("changes/{round:05}"));
        fs::create_dir_all(&into)?;
        for (collection, name) in COLLECTIONS.iter().enumerate() {
            let mut file = BufWriter::new(File::create(into.join(format!("{name}.jsonl")))?);
            for first in (0..self.per_collection()).step_by(SHARD as usize) {
                let range = first..(first + SHARD).min(self.per_collection());
                let changed: Vec<u64> = range.clone().filter(|index| self.changes(collection, *index, round)).collect();
                for index in &changed {
                    writeln!(file, "{}", self.record(collection, *index, round))?;
                }
                if shards && !changed.is_empty() {
                    let path = folder.join(format!("records/{name}-{:05}.jsonl", first / SHARD));
                    let mut shard = BufWriter::new(File::create(path)?);
                    for index in range {
                        writeln!(shard, "{}", self.record(collection, index, round))?;
                    }
                    shard.flush()?;
                }
            }
            file.flush()?;
        }
        self.write_attachments(folder, round)
    }

    fn write_attachments(&self, folder: &Path, round: u64) -> std::io::Result<()> {
        for id in self.attachments_of(round) {
            let path = folder.join(attachment_path(&format!("att_{id:06}")));
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, self.attachment(id))?;
        }
        Ok(())
    }
}

/// Where an attachment lies in the account's folder.
pub(crate) fn attachment_path(id: &str) -> String {
    let last = id.get(id.len().saturating_sub(2)..).unwrap_or("00");
    format!("attachments/{last}/{id}")
}

/// `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: &[u64]) -> Self {
        let mut random = Self(0x9E37_79B9_7F4A_7C15);
        for part in seed {
            random.0 ^= part.wrapping_mul(0xBF58_476D_1CE4_E5B9);
            random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len() as u64) as usize).copied().unwrap_or_default()
    }

    /// Words with a long tail: half of them are common, the rest are made of syllables.
    pub(crate) fn words(&mut self, count: u64) -> String {
        let mut text = String::new();
        for index in 0..count {
            if index > 0 {
                text.push(' ');
            }
            if self.below(2) == 0 {
                text.push_str(self.pick(&COMMON));
            } else {
                // Squaring makes some words far more frequent than others.
                let mut word = self.below(150) * self.below(150);
                for _ in 0..2 + word % 3 {
                    text.push_str(SYLLABLES.get((word % 40) as usize).copied().unwrap_or_default());
                    word /= 7;
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_record_is_made_twice_and_changes_only_in_its_rounds() {
        let workload = Workload { records: 5000, attachments: 20, new_attachments: 2, one_in: 10 };
        let changed = (0..1000).filter(|index| workload.changes(1, *index, 1)).count();
        assert!((50..200).contains(&changed), "{changed}");
        for index in 0..1000 {
            let (before, after) = (workload.record(1, index, 0), workload.record(1, index, 1));
            assert_eq!(before, workload.record(1, index, 0));
            assert_eq!(before == after, !workload.changes(1, index, 1), "record {index}");
            serde_json::from_str::<serde_json::Value>(&after).unwrap();
        }
    }

    #[test]
    fn records_have_about_a_kilobyte() {
        let workload = Workload::default();
        let bytes: usize = (0..1000).map(|index| workload.record(2, index, 0).len()).sum();
        assert!((800_000..1_200_000).contains(&bytes), "{bytes}");
    }
}
