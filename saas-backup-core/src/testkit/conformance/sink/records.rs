use super::super::connector::{MODES, claims};
use super::super::report::{Finding, applies, ensure};
use super::target::{Target, cursor, feed, key, others, part, put, record, things};
use crate::testkit::compare::summary;
use crate::testkit::{Contents, sample_records};
use crate::{
    Deletion, DeletionReason, Error, ErrorKind, Event, Feed, Gap, IdMap, Outcome, PartitionId, Reference, Seen,
    SinkOptions, SnapshotOptions, WriteMode,
};

pub(super) async fn outcomes(target: &Target) -> Finding {
    let session = target.open().await?;
    let unknown = Event::Delete(Deletion::new(key("x"), DeletionReason::Deleted));
    let events = vec![put("a", "1")?, unknown, put("b", "1")?, Event::Seen(Seen::new(key("a")))];
    let outcomes = session.write(&feed(), events, None).await?;
    ensure!(outcomes.len() == 4, "four events have {} outcomes", outcomes.len());
    for (at, event) in [(0, "the first record"), (2, "the second record")] {
        let taken = matches!(
            outcomes.get(at),
            Some(Outcome::Stored | Outcome::Unchanged | Outcome::Written(_) | Outcome::Deferred(_))
        );
        ensure!(taken, "{event} was not taken: {:?}", outcomes.get(at));
    }
    session.commit().await?;
    Ok(())
}

pub(super) async fn lossless(target: &Target) -> Finding {
    applies!(target.reads_back(), "it does not claim to be lossless");
    let session = target.open().await?;
    let mut wanted = Contents::default();
    for name in [things(), others()] {
        let events: Vec<Event> = sample_records(&name, 11, 60)?.into_iter().map(|r| Event::Put(Box::new(r))).collect();
        events.iter().cloned().for_each(|event| wanted.apply(event));
        session.write(&Feed::slice(name), events, None).await?;
    }
    session.commit().await?;
    let snapshot = target.connector.snapshot(SnapshotOptions::default()).await?;
    let lines = wanted.differences(&Contents::of(&*snapshot).await?);
    ensure!(lines.is_empty(), "written on the left, read on the right:\n{}", summary(&lines));
    let catalog = snapshot.catalog().await?;
    for collection in super::target::catalog().collections {
        let read = catalog.get(&collection.name);
        ensure!(read == Some(&collection), "the catalog has changed for {}", collection.name);
    }
    Ok(())
}

pub(super) async fn twice(target: &Target) -> Finding {
    applies!(target.reads_back(), "it does not claim to be lossless");
    let events = vec![put("a", "1")?, put("b", "1")?];
    let session = target.open().await?;
    session.write(&feed(), events.clone(), None).await?;
    session.write(&feed(), events.clone(), None).await?;
    session.commit().await?;
    target.shows(&[("a", "1"), ("b", "1")]).await?;
    let session = target.open().await?;
    let outcomes = session.write(&feed(), events, None).await?;
    ensure!(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(_))), "a repetition is rejected");
    session.commit().await?;
    target.shows(&[("a", "1"), ("b", "1")]).await
}

pub(super) async fn in_order(target: &Target) -> Finding {
    applies!(target.reads_back(), "it does not claim to be lossless");
    applies!(target.capabilities.mirror, "it does not mirror");
    let gone = |id| Event::Delete(Deletion::new(key(id), DeletionReason::Deleted));
    let session = target.open().await?;
    let (one, two) = (put("replaced", "1")?, put("replaced", "2")?);
    let events = vec![one, put("gone", "1")?, put("back", "1")?, gone("back"), two, gone("gone"), put("back", "2")?];
    session.write(&feed(), events, None).await?;
    session.commit().await?;
    target.shows(&[("back", "2"), ("replaced", "2")]).await
}

pub(super) async fn unknown_delete(target: &Target) -> Finding {
    let session = target.open().await?;
    let events = vec![Event::Delete(Deletion::new(key("nobody"), DeletionReason::Deleted)), put("a", "1")?];
    let outcomes = session.write(&feed(), events, None).await?;
    ensure!(!matches!(outcomes.first(), Some(Outcome::Rejected(_))), "the delete is rejected");
    session.commit().await?;
    target.shows(&[("a", "1")]).await
}

pub(super) async fn moved(target: &Target) -> Finding {
    applies!(target.capabilities.mirror && target.reads_back(), "it does not mirror what reads back");
    let ((old_feed, old), (new_feed, new)) = (part("old"), part("new"));
    let session = target.open().await?;
    let before = record("a", "1")?.with_partition(old.clone());
    session.write(&old_feed, vec![Event::Put(Box::new(before))], Some(&cursor(1)?)).await?;
    let after = record("a", "2")?.with_partition(new.clone());
    session.write(&new_feed, vec![Event::Put(Box::new(after))], Some(&cursor(1)?)).await?;
    let left = Deletion::new(key("a"), DeletionReason::Unknown).with_partition(old.clone());
    session.write(&old_feed, vec![Event::Delete(left)], Some(&cursor(2)?)).await?;
    // Two writers at once, and the new partition's flush comes first.
    session.write(&old_feed, vec![Event::Put(Box::new(record("b", "1")?.with_partition(old.clone())))], None).await?;
    let (mut leaving, mut entering) = (session.sink.writer(&old_feed).await?, session.sink.writer(&new_feed).await?);
    let left = Deletion::new(key("b"), DeletionReason::Unknown).with_partition(old.clone());
    leaving.write(vec![Event::Delete(left)]).await?;
    entering.write(vec![Event::Put(Box::new(record("b", "2")?.with_partition(new.clone())))]).await?;
    for mut writer in [entering, leaving] {
        writer.flush(Some(&cursor(2)?)).await?;
        writer.close().await?;
    }
    let error = Error::new(ErrorKind::Unavailable, "not now");
    let unread = Gap::record(&key("unread"), &error).with_partition(new.clone());
    session.write(&new_feed, vec![Event::Gap(unread.clone())], Some(&cursor(2)?)).await?;
    let left = Deletion::new(key("unread"), DeletionReason::Unknown).with_partition(old);
    session.write(&old_feed, vec![Event::Delete(left)], Some(&cursor(3)?)).await?;
    session.commit().await?;
    let open = target.state().await?.gaps.iter().any(|open| open.gap.same_place(&unread));
    ensure!(open, "what could not be read in the new partition is not missing after it left the old one");
    target.shows(&[("a", "2"), ("b", "2")]).await
}

pub(super) async fn held_twice(target: &Target) -> Finding {
    applies!(target.capabilities.mirror && target.reads_back(), "it does not mirror what reads back");
    let ((old_feed, old), (new_feed, new)) = (part("old"), part("new"));
    let put = |partition: &PartitionId, text: &str| {
        record("a", text).map(|record| vec![Event::Put(Box::new(record.with_partition(partition.clone())))])
    };
    let left = |partition: &PartitionId| {
        vec![Event::Delete(Deletion::new(key("a"), DeletionReason::Unknown).with_partition(partition.clone()))]
    };
    let session = target.open().await?;
    session.write(&new_feed, put(&new, "2")?, Some(&cursor(1)?)).await?;
    session.write(&old_feed, put(&old, "1")?, Some(&cursor(1)?)).await?;
    session.commit().await?;
    target.run(&old_feed, left(&old), Some(&cursor(2)?)).await?;
    target.shows(&[("a", "2")]).await?;
    target.run(&new_feed, left(&new), Some(&cursor(2)?)).await?;
    target.shows(&[]).await
}

pub(super) async fn modes(target: &Target) -> Finding {
    applies!(target.reads_back(), "it does not claim to be lossless");
    applies!(!target.capabilities.whole, "it writes its target anew each time");
    target.run(&feed(), vec![put("a", "old")?, put("b", "old")?], None).await?;
    for mode in MODES.iter().copied().filter(|mode| claims(target.capabilities, *mode)) {
        let session = target.open_with(SinkOptions::new(mode)).await?;
        let outcomes = session.write(&feed(), vec![put("a", "new")?], None).await?;
        session.commit().await?;
        let found = target.contents().await?.records.get(&key("a")).and_then(|record| record.version.clone());
        if matches!(mode, WriteMode::Create | WriteMode::Merge) {
            ensure!(found.as_deref() == Some("old"), "{mode:?} replaced what was there");
            ensure!(matches!(outcomes.first(), Some(Outcome::Skipped(_))), "{mode:?} does not say that it skipped");
        } else {
            ensure!(found.as_deref() == Some("new"), "{mode:?} did not replace what was there");
            // Back to what it was, for the modes to come.
            let session = target.open_with(SinkOptions::new(mode)).await?;
            session.write(&feed(), vec![put("a", "old")?], None).await?;
            session.commit().await?;
        }
        ensure!(target.contents().await?.records.contains_key(&key("b")), "{mode:?} lost what it was not given");
    }
    Ok(())
}

pub(super) async fn whole(target: &Target) -> Finding {
    applies!(target.capabilities.whole, "it adds to what its target holds");
    target.run(&feed(), vec![put("a", "old")?, put("b", "old")?], None).await?;
    if target.capabilities.create {
        let kind = target.connector.sink(SinkOptions::new(WriteMode::Create)).await.err().map(|error| error.kind());
        ensure!(kind == Some(ErrorKind::Conflict), "a target that holds something is taken for a new one: {kind:?}");
    }
    target.shows(&[("a", "old"), ("b", "old")]).await?;
    applies!(target.capabilities.overwrite, "it replaces nothing");
    let session = target.open_with(SinkOptions::new(WriteMode::Overwrite)).await?;
    session.write(&feed(), vec![put("a", "new")?], None).await?;
    session.commit().await?;
    target.shows(&[("a", "new")]).await
}

pub(super) async fn ids(target: &Target) -> Finding {
    let capabilities = target.capabilities;
    applies!(capabilities.assigns_ids && capabilities.create, "it gives no ids of its own");
    let ids = IdMap::default();
    let child = record("child", "1")?.with_ref("parent", Reference::from(&key("parent")));
    let events = vec![put("parent", "1")?, Event::Put(Box::new(child))];
    let mut counts = Vec::new();
    for _ in 0..2 {
        let session = target.open_with(SinkOptions::new(WriteMode::Create).with_ids(ids.clone())).await?;
        session.write(&feed(), events.clone(), None).await?;
        session.commit().await?;
        for id in ["parent", "child"] {
            ensure!(ids.get(&key(id)).is_some(), "the id map does not hold the new id of {id}");
        }
        if capabilities.read {
            counts.push(target.contents().await?.records.len());
        }
    }
    ensure!(counts.iter().all(|count| *count == 2), "two records, written twice, are {counts:?} records");
    Ok(())
}
