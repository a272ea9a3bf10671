//! Objects that were changed behind the repository's back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use saas_backup_core::memory::{MemoryConnector, MemoryStore};
use saas_backup_core::{At, BlobId, BlobRef, Connector as _, ErrorKind, Key, Record, SnapshotOptions};
use saas_backup_repository::{Identity, Keys, Repository, RepositoryOptions, VerifyOptions};

use crate::faults::FaultyStore;
use crate::support::{back_up, clock, key, live, note, options};

/// A repository with inline lines, a segment, a pack, parts and several points, and what it holds.
async fn scenario(keys: &RepositoryOptions) -> (FaultyStore, Vec<BTreeMap<Key, Record>>, Vec<u8>) {
    let (clock, disk, records) = (clock(), FaultyStore::default(), MemoryStore::new());
    let repository = Repository::init_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let blog = repository.source("blog").unwrap();
    let mut points = Vec::new();
    let noise: Vec<u8> = (0..1_200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for round in 0..3 {
        for id in 0..20 {
            records.put(note(&format!("{id}"), &format!("text {round}")));
        }
        if round == 1 {
            for id in 0..450_u32 {
                let hash = noise_text(id);
                records.put(note(&format!("long {id}"), &hash));
            }
            records.put_blob(BlobId::parse("large").unwrap(), noise.clone());
            records.put(note("large", "").with_blob(BlobRef::new(BlobId::parse("large").unwrap(), "attachment")));
            records.put_blob(BlobId::parse("small").unwrap(), noise[..1000].to_vec());
            records.put(note("small", "").with_blob(BlobRef::new(BlobId::parse("small").unwrap(), "attachment")));
        }
        records.delete(key(&round.to_string()));
        back_up(&MemoryConnector::new(records.clone()), &blog, &clock).await.unwrap();
        points.push(live(&blog, At::Now).await.unwrap());
    }
    (disk, points, noise)
}

/// Text that compresses badly.
fn noise_text(id: u32) -> String {
    let letters = (0..1000_u32).map(|at| (id * 1000 + at).wrapping_mul(2_654_435_761) >> 26);
    letters.map(|letter| char::from(40 + letter as u8)).filter(|letter| *letter != '\\').collect()
}

/// Reads everything; whatever can be read must be right.
async fn read_all(
    disk: &FaultyStore,
    keys: &RepositoryOptions,
    points: &[BTreeMap<Key, Record>],
    noise: &[u8],
    what: &str,
) {
    let Ok(repository) = Repository::open_on(Arc::new(disk.clone()), keys.clone()).await else { return };
    let blog = repository.source("blog").unwrap();
    let Ok(found) = blog.points().await else { return };
    for (point, expected) in found.iter().zip(points) {
        if let Ok(read) = live(&blog, At::Sequence(point.sequence)).await {
            assert!(&read == expected, "{what}: point {} reads wrong", point.sequence);
        }
        if let Ok(Some(record)) = blog.record(&key("long 7"), &At::Sequence(point.sequence)).await {
            assert_eq!(record.data, expected[&key("long 7")].data, "{what}");
        }
    }
    let Ok(snapshot) = blog.snapshot(SnapshotOptions::default()).await else { return };
    for (id, expected) in [("large", noise), ("small", &noise[..1000])] {
        let attachment = BlobRef::new(BlobId::parse(id).unwrap(), "attachment");
        let Ok(stream) = snapshot.open(&key(id), &attachment, None).await else { continue };
        if let Ok(bytes) = stream.try_collect::<Vec<Bytes>>().await {
            assert!(bytes.concat() == expected, "{what}: {id} reads wrong");
        }
    }
}

pub(crate) fn mutations(disk: &FaultyStore) -> Vec<(String, FaultyStore)> {
    let mut mutations = Vec::new();
    let names = disk.names();
    for name in &names {
        let bytes = disk.object(name);
        let places = [bytes.len() / 7, bytes.len() / 2, bytes.len() - 1];
        for at in places {
            let changed = disk.restarted();
            let mut copy = bytes.to_vec();
            copy[at] ^= 0x04;
            changed.replace(name, copy);
            mutations.push((format!("{name}: bit at {at} of {}", bytes.len()), changed));
        }
        let cut = disk.restarted();
        cut.replace(name, bytes.slice(..bytes.len() * 2 / 3));
        mutations.push((format!("{name}: cut"), cut));
        let gone = disk.restarted();
        gone.remove(name);
        mutations.push((format!("{name}: gone"), gone));
    }
    for pair in names.windows(2) {
        let swapped = disk.restarted();
        swapped.replace(&pair[0], disk.object(&pair[1]));
        swapped.replace(&pair[1], disk.object(&pair[0]));
        mutations.push((format!("{} and {}: swapped", pair[0], pair[1]), swapped));
    }
    mutations
}

#[tokio::test]
async fn every_change_is_found_and_no_read_gives_a_wrong_byte() {
    let clock = clock();
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock).with_keys(keys);
        let (disk, points, noise) = scenario(&keys).await;
        let repository = Repository::open_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
        let anchor = repository.source("blog").unwrap().anchor().await.unwrap().unwrap();
        let options = VerifyOptions::read_all().with_anchor("blog", anchor);
        let good = repository.verify(&options, &mut |_| {}).await.unwrap();
        assert!(good.is_good() && good.orphans == 0 && good.sealed == 0, "{good:?}");
        read_all(&disk, &keys, &points, &noise, "untouched").await;
        let mutations = mutations(&disk);
        assert!(mutations.len() > 35, "{}", mutations.len());
        for (what, changed) in mutations {
            let noticed = match Repository::open_on(Arc::new(changed.clone()), keys.clone()).await {
                Err(_) => true,
                Ok(repository) => match repository.verify(&options, &mut |_| {}).await {
                    Err(_) => true,
                    Ok(report) => !report.is_good(),
                },
            };
            assert!(noticed, "{what}: not noticed");
            read_all(&changed, &keys, &points, &noise, &what).await;
        }
    }
}

/// What a verification says of its own work is what it did: each object is looked for once, and each byte of data counted.
#[tokio::test]
async fn a_verification_counts_what_it_looks_for_and_what_it_reads() {
    let clock = clock();
    for keys in [Keys::none(), Keys::owner(Identity::generate())] {
        let keys = options(&clock).with_keys(keys);
        let (disk, ..) = scenario(&keys).await;
        disk.replace("source/blog/pack/01M7YRRT80TMC703JS516CGGY0", vec![7; 1234]);
        disk.replace("source/blog/blob/ab/cut", vec![7; 66]);
        let repository = Repository::open_on(Arc::new(disk.clone()), keys).await.unwrap();
        let of = |folders: &[&str]| {
            let names = disk.names().into_iter().filter(|name| folders.iter().any(|one| name.contains(one)));
            let sizes: Vec<u64> = names.map(|name| disk.object(&name).len() as u64).collect();
            (sizes.len() as u64, sizes.iter().sum::<u64>())
        };
        let (commits, bytes_of_commits) = of(&["/commit/"]);
        let there = repository.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap();
        assert_eq!((there.read, there.bytes), (commits, bytes_of_commits));
        assert_eq!((there.orphans, there.orphan_bytes), (2, 1300));
        // The naming key is told by the others.
        assert_eq!(there.objects, of(&["source/"]).0 - 3);
        let all = repository.verify(&VerifyOptions::read_all(), &mut |_| {}).await.unwrap();
        let (data, bytes_of_data) = of(&["/data/", "/state/", "/blob/", "/pack/"]);
        assert_eq!((all.read, all.bytes), (commits + data - 2, bytes_of_commits + bytes_of_data - 1300));
        assert_eq!((all.objects, all.orphans, all.problems), (there.objects, 2, vec![]));
    }
}

#[tokio::test]
async fn points_before_a_broken_commit_are_read_and_later_ones_are_refused() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, points, _) = scenario(&keys).await;
    disk.remove("source/blog/commit/00000000000000000002");
    let blog = Repository::open_on(Arc::new(disk), keys).await.unwrap().source("blog").unwrap();
    assert_eq!(live(&blog, At::Sequence(1)).await.unwrap(), points[0]);
    assert_eq!(live(&blog, At::Now).await.unwrap_err().kind(), ErrorKind::Integrity);
    let refused = back_up(&MemoryConnector::new(MemoryStore::new()), &blog, &clock).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Integrity);
}

#[tokio::test]
async fn a_timeline_that_was_rolled_back_is_told_by_an_anchor() {
    let clock = clock();
    let keys = options(&clock).with_keys(Keys::owner(Identity::generate()));
    let (disk, _, _) = scenario(&keys).await;
    let open = async |disk: &FaultyStore| Repository::open_on(Arc::new(disk.clone()), keys.clone()).await.unwrap();
    let anchor = open(&disk).await.source("blog").unwrap().anchor().await.unwrap().unwrap();
    disk.remove(&format!("source/blog/commit/{:020}", anchor.sequence));
    let repository = open(&disk).await;
    assert!(repository.verify(&VerifyOptions::presence(), &mut |_| {}).await.unwrap().is_good());
    let with_anchor = VerifyOptions::presence().with_anchor("blog", anchor);
    assert!(!repository.verify(&with_anchor, &mut |_| {}).await.unwrap().is_good());
}

#[tokio::test]
async fn what_is_newer_is_unsupported_and_what_is_foreign_is_refused() {
    let clock = clock();
    let keys = options(&clock);
    let (disk, _, _) = scenario(&keys).await;
    let edit = |name: &str, from: &str, to: &str| {
        let changed = disk.restarted();
        let text = String::from_utf8_lossy(&disk.object(name)).replacen(from, to, 1).into_bytes();
        changed.replace(name, text);
        changed
    };
    for (from, to) in [(r#""format":1"#, r#""format":2"#), (r#""requires":[]"#, r#""requires":["quantum"]"#)] {
        let newer = edit("repo.json", from, to);
        let error = Repository::open_on(Arc::new(newer), keys.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedVersion);
    }
    for newer in [r#""format":2"#, r#""format":1,"requires":["quantum"]"#] {
        let newer = edit("source/blog/commit/00000000000000000003", r#""format":1"#, newer);
        let blog = Repository::open_on(Arc::new(newer), keys.clone()).await.unwrap().source("blog").unwrap();
        assert_eq!(blog.points().await.unwrap_err().kind(), ErrorKind::UnsupportedVersion);
    }
    let foreign = FaultyStore::default();
    foreign.replace("repo.json", "{\"hello\":1}");
    let error = Repository::open_on(Arc::new(foreign), keys.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    let empty = Repository::open_on(Arc::new(FaultyStore::default()), keys).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::NotFound);
}
