use super::super::report::{Finding, applies, ensure};
use super::target::{Target, cursor, feed, key, others, part, put, record, things};
use crate::{
    At, BlobId, BlobRef, BlobStatus, Candidates, CollectionCoverage, Coverage, Deletion, DeletionReason, Error,
    ErrorKind, Event, Feed, FeedId, Gap, Reset, ResetReason, Review, Scope, SinkOptions, State, Visibility,
};

pub(super) async fn empty(target: &Target) -> Finding {
    let state = target.state().await?;
    ensure!(state.feeds.is_empty(), "it knows positions of {} feeds", state.feeds.len());
    ensure!(state.gaps.is_empty() && state.reviews.is_empty(), "it has open gaps or reviews");
    ensure!(state.unfinished.is_none(), "it has an unfinished run");
    let held = state.held.values().map(|held| held.records.unwrap_or(0) + held.blobs).sum::<u64>();
    ensure!(held == 0, "it counts {held} records and blobs");
    Ok(())
}

pub(super) async fn cursors(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let ((one, _), (other, _)) = (part("one"), part("other"));
    let session = target.open().await?;
    session.write(&one, vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    session.write(&other, vec![put("b", "1")?], Some(&cursor(2)?)).await?;
    session.commit().await?;
    target.run(&one, vec![put("a", "2")?], Some(&cursor(3)?)).await?;
    let state = target.state().await?;
    for (feed, position) in [(&one, 3), (&other, 2)] {
        let found = state.feeds.get(&feed.id);
        ensure!(found.is_some_and(|state| state.cursor == cursor(position).ok()), "{} has another cursor", feed.id);
        ensure!(found.is_some_and(|state| &state.feed == feed), "{} is described otherwise", feed.id);
    }
    Ok(())
}

pub(super) async fn unflushed(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    target.run(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    let session = target.open().await?;
    let mut writer = session.sink.writer(&feed()).await?;
    writer.write(vec![put("b", "1")?, Event::Checkpoint(cursor(2)?)]).await?;
    drop(writer);
    session.abort().await?;
    let state = target.state().await?;
    let found = state.feeds.get(&feed().id).and_then(|state| state.cursor.clone());
    ensure!(found == Some(cursor(1)?), "the cursor moved without a flush");
    Ok(())
}

pub(super) async fn remembered(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let session = target.open().await?;
    session.write(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    let mut report = session.report();
    let seen = CollectionCoverage::new(Visibility::Partial).with_count(7, true).with_reason("scope");
    report.coverage = Coverage::default().with(things(), seen);
    let candidates = Candidates::of(Scope::collection(things()), 7, &[key("a")]);
    report.reviews = vec![Review::new(feed().id, candidates, "too many", session.run)];
    session.sink.commit(&report).await?;
    let state = target.state().await?;
    ensure!(state.coverage.as_ref() == Some(&report.coverage), "the coverage did not come back");
    ensure!(state.reviews == report.reviews, "the reviews did not come back");
    Ok(())
}

pub(super) async fn counts(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    target.run(&feed(), vec![put("a", "1")?, put("b", "1")?, put("c", "1")?], Some(&cursor(1)?)).await?;
    let gone = Event::Delete(Deletion::new(key("b"), DeletionReason::Deleted));
    target.run(&feed(), vec![gone, put("a", "2")?], Some(&cursor(2)?)).await?;
    let state = target.state().await?;
    let held = state.held.get(&things()).and_then(|held| held.records);
    applies!(held.is_some(), "it does not count records");
    ensure!(held == Some(2), "it counts {held:?} records and holds 2");
    Ok(())
}

fn has_gap(state: &State, gap: &Gap) -> bool {
    state.gaps.iter().any(|open| open.gap.same_place(gap) && open.feed == feed().id)
}

pub(super) async fn gaps(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let error = Error::new(ErrorKind::Unavailable, "not now");
    let blob = BlobRef::new(BlobId::parse("blob")?, "attachment");
    let missing = |text: &str| {
        let mut missing = blob.clone();
        missing.status = BlobStatus::Missing;
        record("owner", text).map(|record| record.with_blob(missing))
    };
    let (unread, deleted) = (Gap::record(&key("unread"), &error), Gap::record(&key("deleted"), &error));
    let lost = Gap::blob(&key("owner"), BlobId::parse("blob")?, &error);
    let opened = [unread.clone(), deleted.clone(), lost.clone()];
    let mut events = vec![Event::Put(Box::new(missing("1")?))];
    events.extend(opened.iter().cloned().map(Event::Gap));
    target.run(&feed(), events, Some(&cursor(1)?)).await?;
    let state = target.state().await?;
    for gap in &opened {
        ensure!(has_gap(&state, gap), "the gap of {:?} is not open after its run", gap.id);
    }
    let since = state.gaps.first().map(|open| open.since);

    let gone = Event::Delete(Deletion::new(key("deleted"), DeletionReason::Deleted));
    let events = vec![put("unread", "1")?, gone, Event::Put(Box::new(missing("2")?)), Event::Gap(lost.clone())];
    target.run(&feed(), events, Some(&cursor(2)?)).await?;
    let state = target.state().await?;
    ensure!(!has_gap(&state, &unread), "a record that was read is still missing");
    ensure!(!has_gap(&state, &deleted), "a record that was deleted is still missing");
    ensure!(has_gap(&state, &lost), "a blob that is missing in its record is no longer missing");
    ensure!(state.gaps.first().map(|open| open.since) == since, "a gap that was open before has a new beginning");

    let whole = record("owner", "3")?.with_blob(blob);
    target.run(&feed(), vec![Event::Put(Box::new(whole))], Some(&cursor(3)?)).await?;
    let state = target.state().await?;
    ensure!(state.gaps.is_empty(), "a blob that its record has is still missing");
    Ok(())
}

pub(super) async fn reset(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let other = Feed::slice(others());
    let log = Feed::log(FeedId::parse("changes")?, vec![things(), others()]);
    let has = |state: &State, feed: &Feed| state.feeds.get(&feed.id).is_some_and(|state| state.cursor.is_some());
    let session = target.open().await?;
    session.write(&log, Vec::new(), Some(&cursor(1)?)).await?;
    session.write(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    session.write(&other, Vec::new(), Some(&cursor(1)?)).await?;
    session.commit().await?;

    let named = Event::Reset(Reset::new(vec![things()], ResetReason::TooManyChanges));
    target.run(&log, vec![named], Some(&cursor(2)?)).await?;
    let state = target.state().await?;
    ensure!(!has(&state, &feed()), "a slice of a collection that was reset still has its position");
    ensure!(has(&state, &other), "a slice of another collection lost its position");
    ensure!(has(&state, &log), "the log lost its position");

    let all = Event::Reset(Reset::new(Vec::new(), ResetReason::CursorExpired));
    target.run(&log, vec![all], Some(&cursor(3)?)).await?;
    let state = target.state().await?;
    ensure!(!has(&state, &other), "a reset that names no collection must concern all that the log covers");
    Ok(())
}

pub(super) async fn aborted(target: &Target) -> Finding {
    unfinished(target, true).await
}

pub(super) async fn killed(target: &Target) -> Finding {
    unfinished(target, false).await
}

async fn unfinished(target: &Target, abort: bool) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let session = target.open().await?;
    let run = session.run;
    session.write(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    if abort {
        session.abort().await?;
    } else {
        drop(session);
    }
    let session = target.open().await?;
    let before = &session.state;
    ensure!(before.unfinished == Some(run), "the next session does not know of the unfinished run");
    let position = before.feeds.get(&feed().id).and_then(|state| state.cursor.clone());
    ensure!(position == Some(cursor(1)?), "what was flushed has no position");
    session.write(&feed(), vec![put("b", "1")?], Some(&cursor(2)?)).await?;
    session.commit().await?;
    ensure!(target.state().await?.unfinished.is_none(), "the run is unfinished after its commit");
    target.shows(&[("a", "1"), ("b", "1")]).await
}

pub(super) async fn atomic(target: &Target) -> Finding {
    let capabilities = target.capabilities;
    applies!(capabilities.atomic && capabilities.read, "it is not atomic, or does not read");
    let session = target.open().await?;
    session.write(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    ensure!(target.contents().await?.records.is_empty(), "readers see what was not committed");
    session.abort().await?;
    ensure!(target.contents().await?.records.is_empty(), "readers see what was aborted");
    target.run(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    ensure!(!target.contents().await?.records.is_empty(), "readers do not see what was committed");
    Ok(())
}

pub(super) async fn history(target: &Target) -> Finding {
    applies!(target.capabilities.mirror && target.capabilities.points_in_time, "it has no points in time");
    target.run(&feed(), vec![put("a", "1")?, put("b", "1")?], Some(&cursor(1)?)).await?;
    let before = target.contents().await?;
    let gone = Event::Delete(Deletion::new(key("b"), DeletionReason::Deleted));
    target.run(&feed(), vec![put("a", "2")?, gone, put("c", "1")?], Some(&cursor(2)?)).await?;
    let lines = before.differences(&target.contents_at(At::Back(1)).await?);
    ensure!(lines.is_empty(), "the earlier point has changed:\n{}", crate::testkit::compare::summary(&lines));
    target.shows(&[("a", "2"), ("c", "1")]).await
}

pub(super) async fn quiet(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let first = target.run(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    ensure!(first.written, "the receipt of a run that wrote says that it did not");
    let second = target.run(&feed(), Vec::new(), Some(&cursor(1)?)).await?;
    ensure!(!second.written, "the receipt of a run without a change says that it wrote");
    Ok(())
}

/// What came of a step of a session that has a rival; `None` if it lost.
fn unless_lost<T>(step: crate::Result<T>) -> Finding<Option<T>> {
    match step {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn rivals(target: &Target) -> Finding {
    let first = target.open().await?;
    let Some(second) = unless_lost(target.open().await)? else {
        first.write(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
        first.commit().await?;
        return target.shows(&[("a", "1")]).await;
    };
    let other = Feed::slice(others());
    let mut theirs = record("b", "1")?;
    theirs.key.collection = others();
    let wrote_first = unless_lost(first.write(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await)?.is_some();
    let wrote_second =
        unless_lost(second.write(&other, vec![Event::Put(Box::new(theirs))], Some(&cursor(1)?)).await)?.is_some();
    let won_first = unless_lost(first.commit().await)?.is_some() && wrote_first;
    let won_second = unless_lost(second.commit().await)?.is_some() && wrote_second;
    ensure!(won_first || won_second, "each of two sessions lost to the other");
    if target.reads_back() {
        let records = target.contents().await?.records;
        let holds = |id: &str| records.values().any(|record| record.key.id.as_str() == id);
        // A target that is written anew shows the last session alone.
        let replaced = target.capabilities.whole && won_second;
        ensure!(!won_first || replaced || holds("a"), "what a session committed is lost to a later one");
        ensure!(!won_second || holds("b"), "what a session committed is lost to an earlier one");
    }
    target.run(&feed(), vec![put("c", "1")?], Some(&cursor(2)?)).await?;
    Ok(())
}

pub(super) async fn dry(target: &Target) -> Finding {
    applies!(target.capabilities.dry_run, "it has no dry runs");
    target.run(&feed(), vec![put("a", "1")?], Some(&cursor(1)?)).await?;
    let before = target.state().await?;
    let session = target.open_with(SinkOptions::new(target.mode).with_dry_run(true)).await?;
    let gone = Event::Delete(Deletion::new(key("a"), DeletionReason::Deleted));
    session.write(&feed(), vec![put("b", "1")?, gone], Some(&cursor(2)?)).await?;
    session.commit().await?;
    ensure!(target.state().await? == before, "the state has changed");
    target.shows(&[("a", "1")]).await
}
