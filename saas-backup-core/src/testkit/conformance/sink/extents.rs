use chrono::DateTime;

use super::super::connector::{MODES, claims};
use super::super::report::{Finding, applies, ensure};
use super::target::{Target, cursor, feed, key, part, put, record, things};
use crate::{
    Candidates, Epoch, Error, ErrorKind, Event, Feed, FeedId, Gap, PartitionId, Scope, Seen, SinkOptions, Verdict,
    WriteMode, Writer,
};

fn whole() -> Scope {
    Scope::collection(things())
}

fn epoch() -> Epoch {
    Epoch::new(DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default())
}

async fn three(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    target.run(&feed(), vec![put("a", "1")?, put("b", "1")?, put("c", "1")?], Some(&cursor(1)?)).await?;
    Ok(())
}

fn names(candidates: &Candidates) -> Vec<&str> {
    candidates.sample.iter().map(|key| key.id.as_str()).collect()
}

async fn expect(writer: &mut Box<dyn Writer>, wanted: &[&'static str], live: u64) -> Finding {
    let candidates = writer.candidates(&whole()).await?;
    ensure!(names(&candidates) == wanted, "the candidates are {:?}, not {wanted:?}", names(&candidates));
    ensure!(candidates.count == wanted.len() as u64, "{} candidates are counted", candidates.count);
    ensure!(candidates.live == live, "{} records are counted as live, not {live}", candidates.live);
    let keys: Vec<_> = wanted.iter().map(|id| key(id)).collect();
    let digest = Candidates::of(whole(), live, &keys).digest;
    ensure!(candidates.digest == digest, "the digest is not that of the sorted keys");
    Ok(())
}

pub(super) async fn finds(target: &Target) -> Finding {
    three(target).await?;
    let session = target.open().await?;
    let at = session.started;
    let mut writer = session.extent(&feed(), epoch()).await?;
    writer.write(vec![put("a", "2")?, Event::Seen(Seen::new(key("b")))]).await?;
    expect(&mut writer, &["c"], 3).await?;
    let deleted = writer.close_extent(&whole(), Verdict::Delete, at).await?;
    ensure!(deleted == 1, "{deleted} records were deleted, not 1");
    writer.flush(Some(&cursor(2)?)).await?;
    writer.close().await?;
    session.commit().await?;
    let state = target.state().await?;
    let known = state.feeds.get(&feed().id);
    ensure!(known.is_some_and(|state| state.epoch.is_none()), "the full read is under way after its end");
    ensure!(known.is_some_and(|state| state.full_at == Some(at)), "the time of the full read is not kept");
    target.shows(&[("a", "2"), ("b", "1")]).await
}

pub(super) async fn gap_is_seen(target: &Target) -> Finding {
    three(target).await?;
    let session = target.open().await?;
    let mut writer = session.extent(&feed(), epoch()).await?;
    let gap = Gap::record(&key("b"), &Error::new(ErrorKind::Unavailable, "not now"));
    writer.write(vec![put("a", "1")?, Event::Gap(gap)]).await?;
    expect(&mut writer, &["c"], 3).await?;
    drop(writer);
    session.abort().await?;
    Ok(())
}

pub(super) async fn sweep_keeps_gaps(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let error = Error::new(ErrorKind::Unavailable, "not now");
    let (unread, gone) = (Gap::record(&key("unread"), &error), Gap::record(&key("gone"), &error));
    let unnamed = Gap::collection(things(), &error);
    let events =
        vec![put("a", "1")?, Event::Gap(unread.clone()), Event::Gap(gone.clone()), Event::Gap(unnamed.clone())];
    target.run(&feed(), events, Some(&cursor(1)?)).await?;
    let session = target.open().await?;
    let mut writer = session.extent(&feed(), epoch()).await?;
    writer.write(vec![Event::Seen(Seen::new(key("a"))), Event::Seen(Seen::new(key("unread")))]).await?;
    writer.close_extent(&whole(), Verdict::Delete, session.started).await?;
    writer.flush(Some(&cursor(2)?)).await?;
    writer.close().await?;
    session.commit().await?;
    let gaps = target.state().await?.gaps;
    let open = |gap: &Gap| gaps.iter().any(|open| open.gap.same_place(gap));
    ensure!(open(&unread), "a record that was seen and not read is no longer missing");
    ensure!(!open(&gone), "a record that does not exist is still missing");
    ensure!(!open(&unnamed), "a part that was listed to its end is still missing");
    Ok(())
}

pub(super) async fn resumed(target: &Target) -> Finding {
    three(target).await?;
    let first = epoch();
    let session = target.open().await?;
    let mut writer = session.extent(&feed(), first).await?;
    writer.write(vec![Event::Seen(Seen::new(key("a")))]).await?;
    writer.flush(Some(&cursor(2)?)).await?;
    drop(writer);
    session.abort().await?;
    let session = target.open().await?;
    let under_way = session.state.feeds.get(&feed().id).and_then(|state| state.epoch);
    ensure!(under_way == Some(first), "the state does not tell which full read is under way");
    let mut writer = session.extent(&feed(), first).await?;
    writer.write(vec![Event::Seen(Seen::new(key("b")))]).await?;
    expect(&mut writer, &["c"], 3).await?;
    drop(writer);
    session.abort().await?;
    Ok(())
}

pub(super) async fn anew(target: &Target) -> Finding {
    three(target).await?;
    let first = epoch();
    let session = target.open().await?;
    let mut writer = session.extent(&feed(), first).await?;
    writer.write(vec![Event::Seen(Seen::new(key("a")))]).await?;
    writer.flush(Some(&cursor(2)?)).await?;
    drop(writer);
    session.abort().await?;
    let session = target.open().await?;
    let mut writer = session.extent(&feed(), first).await?;
    writer.open_extent(Epoch::new(session.started)).await?;
    writer.write(vec![Event::Seen(Seen::new(key("b")))]).await?;
    expect(&mut writer, &["a", "c"], 3).await?;
    drop(writer);
    session.abort().await?;
    Ok(())
}

/// Writes a record into each of two partitions; gives the feed of the first, that partition, and the feed of the other.
async fn two_partitions(target: &Target) -> Finding<(Feed, PartitionId, Feed)> {
    let ((one, here), (other, there)) = (part("here"), part("there"));
    let session = target.open().await?;
    let mine = record("mine", "1")?.with_partition(here.clone());
    session.write(&one, vec![Event::Put(Box::new(mine))], Some(&cursor(1)?)).await?;
    let theirs = record("theirs", "1")?.with_partition(there);
    session.write(&other, vec![Event::Put(Box::new(theirs))], Some(&cursor(1)?)).await?;
    session.commit().await?;
    Ok((one, here, other))
}

pub(super) async fn scope(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let (one, here, _) = two_partitions(target).await?;
    let session = target.open().await?;
    let mut writer = session.extent(&one, epoch()).await?;
    let scope = Scope::partition(things(), here);
    let candidates = writer.candidates(&scope).await?;
    ensure!(names(&candidates) == ["mine"], "the candidates of one partition are {:?}", names(&candidates));
    let deleted = writer.close_extent(&scope, Verdict::Delete, session.started).await?;
    ensure!(deleted == 1, "{deleted} records were deleted, not 1");
    writer.flush(Some(&cursor(2)?)).await?;
    writer.close().await?;
    session.commit().await?;
    target.shows(&[("theirs", "1")]).await
}

pub(super) async fn gone(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let (one, here, other) = two_partitions(target).await?;
    let session = target.open().await?;
    let mut writer = session.extent(&one, epoch()).await?;
    let scope = Scope::partition(things(), here);
    let deleted = writer.close_extent(&scope, Verdict::Gone, session.started).await?;
    ensure!(deleted == 1, "{deleted} records were deleted, not 1");
    writer.flush(None).await?;
    writer.close().await?;
    session.commit().await?;
    let feeds = target.state().await?.feeds;
    ensure!(!feeds.contains_key(&one.id), "the feed of a partition that is gone is still known");
    ensure!(feeds.contains_key(&other.id), "the feed of another partition is gone, too");
    target.shows(&[("theirs", "1")]).await
}

pub(super) async fn before_records(target: &Target) -> Finding {
    applies!(target.capabilities.mirror, "it does not mirror");
    let ((one, here), log) = (part("here"), Feed::log(FeedId::parse("changes")?, vec![things()]));
    let session = target.open().await?;
    session.write(&one, Vec::new(), None).await?;
    let mine = record("mine", "1")?.with_partition(here);
    session.write(&log, vec![Event::Put(Box::new(mine))], Some(&cursor(1)?)).await?;
    session.commit().await?;
    ensure!(target.state().await?.feeds.contains_key(&one.id), "a feed is unknown after its first flush");

    let session = target.open().await?;
    let mut writer = session.sink.writer(&one).await?;
    let nothing = Scope::collections(Vec::new());
    let deleted = writer.close_extent(&nothing, Verdict::Gone, session.started).await?;
    ensure!(deleted == 0, "{deleted} records of an empty scope were deleted");
    writer.flush(None).await?;
    writer.close().await?;
    session.commit().await?;
    target.shows(&[("mine", "1")]).await
}

async fn judged(target: &Target, verdict: Verdict) -> Finding {
    three(target).await?;
    let session = target.open().await?;
    let mut writer = session.extent(&feed(), epoch()).await?;
    writer.write(vec![put("a", "1")?]).await?;
    let deleted = writer.close_extent(&whole(), verdict, session.started).await?;
    ensure!(deleted == 0, "{deleted} records were deleted");
    writer.flush(None).await?;
    writer.close().await?;
    session.commit().await?;
    target.shows(&[("a", "1"), ("b", "1"), ("c", "1")]).await
}

pub(super) async fn kept(target: &Target) -> Finding {
    judged(target, Verdict::Keep).await?;
    let state = target.state().await?;
    let known = state.feeds.get(&feed().id);
    ensure!(known.is_some_and(|state| state.cursor == cursor(1).ok()), "the position did not stay");
    ensure!(known.is_some_and(|state| state.epoch.is_none()), "the full read is under way after its end");
    Ok(())
}

pub(super) async fn restarted(target: &Target) -> Finding {
    judged(target, Verdict::Restart).await?;
    let state = target.state().await?;
    let known = state.feeds.get(&feed().id);
    let forgotten = known.is_none_or(|state| state.cursor.is_none() && state.epoch.is_none());
    ensure!(forgotten, "the position is still there");
    Ok(())
}

pub(super) async fn only_mirrors(target: &Target) -> Finding {
    applies!(!target.capabilities.whole, "it writes its target anew each time");
    let others = MODES.iter().copied().filter(|mode| *mode != WriteMode::Mirror && claims(target.capabilities, *mode));
    let mut any = false;
    for mode in others {
        any = true;
        let session = target.open_with(SinkOptions::new(mode)).await?;
        session.write(&feed(), vec![put("a", "1")?, put("b", "1")?], None).await?;
        session.commit().await?;
        let session = target.open_with(SinkOptions::new(mode)).await?;
        let mut writer = session.extent(&feed(), epoch()).await?;
        writer.write(vec![put("a", "1")?]).await?;
        let candidates = writer.candidates(&whole()).await?;
        ensure!(candidates.count == 0, "{mode:?} names {} candidates", candidates.count);
        let deleted = writer.close_extent(&whole(), Verdict::Delete, session.started).await?;
        ensure!(deleted == 0, "{mode:?} deleted {deleted} records");
        writer.flush(None).await?;
        writer.close().await?;
        session.commit().await?;
        target.shows(&[("a", "1"), ("b", "1")]).await?;
    }
    applies!(any, "it only mirrors");
    Ok(())
}
