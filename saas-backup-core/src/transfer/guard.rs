use std::collections::BTreeSet;

use super::options::DeletionGuard;
use crate::{Candidates, CollectionName, FeedId, Gap, Review};

/// Why the deletion guard stops, or that it does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Pass,
    Stop(&'static str),
}

pub(super) struct Evidence<'a> {
    pub(super) candidates: &'a Candidates,
    /// Whether this session of the read saw anything at all in the scope.
    pub(super) saw_anything: bool,
    /// Gaps that this read reported, or that were open before and lie in the scope.
    pub(super) gaps: &'a [Gap],
    pub(super) worse_coverage: &'a BTreeSet<CollectionName>,
    /// Stops of earlier runs.
    pub(super) reviews: &'a [Review],
    pub(super) feed: &'a FeedId,
    pub(super) accepted: bool,
}

/// Decides about the candidates of a full read.
///
/// Gaps and a worse coverage say that the read was not full, so that only a person can let these deletions through;
/// sheer size, or an empty answer, is believed when a second full read of a later run has the same candidates.
pub(super) fn judge(guard: DeletionGuard, evidence: &Evidence<'_>) -> Judgement {
    let Evidence { candidates, .. } = evidence;
    if candidates.count == 0 || evidence.accepted {
        return Judgement::Pass;
    }
    let in_scope = |gap: &&Gap| {
        // A gap that names a record says that it exists: it was seen, and hides nothing else.
        gap.id.is_none() && candidates.scope.contains(&gap.collection, gap.partition.as_ref())
    };
    if evidence.gaps.iter().any(|gap| in_scope(&gap)) {
        return Judgement::Stop("parts of the collection could not be read");
    }
    if candidates.scope.collections.iter().any(|name| evidence.worse_coverage.contains(name)) {
        return Judgement::Stop("the grant sees less than before");
    }
    let confirmed = evidence
        .reviews
        .iter()
        .any(|review| &review.feed == evidence.feed && review.candidates.digest == candidates.digest);
    if confirmed {
        return Judgement::Pass;
    }
    if !evidence.saw_anything && candidates.count == candidates.live {
        return Judgement::Stop("the answer was empty");
    }
    if candidates.count > guard.allowance(candidates.live) {
        return Judgement::Stop("more records are gone than the deletion guard lets through");
    }
    Judgement::Pass
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind, Key, RunId, Scope};

    fn judge_with(count: usize, live: u64, change: impl FnOnce(&mut Evidence<'_>, &Candidates)) -> Judgement {
        let scope = Scope::collection(CollectionName::from_static("pages"));
        let keys: Vec<Key> = (0..count).map(|id| Key::parse("pages", id.to_string()).unwrap()).collect();
        let candidates = Candidates::of(scope, live, &keys);
        let (none, feed) = (BTreeSet::new(), FeedId::from_static("pages"));
        let mut evidence = Evidence {
            candidates: &candidates,
            saw_anything: true,
            gaps: &[],
            worse_coverage: &none,
            reviews: &[],
            feed: &feed,
            accepted: false,
        };
        change(&mut evidence, &candidates);
        judge(DeletionGuard::default(), &evidence)
    }

    #[test]
    fn twenty_records_or_five_per_cent_pass() {
        assert_eq!(judge_with(20, 100, |_, _| ()), Judgement::Pass);
        assert!(matches!(judge_with(21, 100, |_, _| ()), Judgement::Stop(_)));
        assert_eq!(judge_with(50, 1000, |_, _| ()), Judgement::Pass);
        assert!(matches!(judge_with(51, 1000, |_, _| ()), Judgement::Stop(_)));
        assert_eq!(judge_with(51, 1000, |evidence, _| evidence.accepted = true), Judgement::Pass);
    }

    #[test]
    fn an_empty_answer_is_not_a_deletion_however_few_records_there_were() {
        assert!(matches!(judge_with(3, 3, |evidence, _| evidence.saw_anything = false), Judgement::Stop(_)));
        assert_eq!(judge_with(0, 0, |evidence, _| evidence.saw_anything = false), Judgement::Pass);
    }

    #[test]
    fn a_second_full_read_with_the_same_candidates_is_believed() {
        let run = RunId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let scope = Scope::collection(CollectionName::from_static("pages"));
        let keys: Vec<Key> = (0..99).map(|id| Key::parse("pages", id.to_string()).unwrap()).collect();
        let same = [Review::new(FeedId::from_static("pages"), Candidates::of(scope.clone(), 100, &keys), "", run)];
        let other = [Review::new(FeedId::from_static("pages"), Candidates::of(scope, 100, &keys[1..]), "", run)];
        let read = |reviews: &[Review]| {
            let scope = Scope::collection(CollectionName::from_static("pages"));
            let candidates = Candidates::of(scope, 100, &keys);
            judge(
                DeletionGuard::default(),
                &Evidence {
                    candidates: &candidates,
                    saw_anything: true,
                    gaps: &[],
                    worse_coverage: &BTreeSet::new(),
                    reviews,
                    feed: &FeedId::from_static("pages"),
                    accepted: false,
                },
            )
        };
        assert_eq!(read(&same), Judgement::Pass);
        assert!(matches!(read(&other), Judgement::Stop(_)));
    }

    #[test]
    fn a_read_with_unnamed_gaps_or_less_access_deletes_nothing() {
        let error = Error::new(ErrorKind::Unavailable, "gone");
        let unnamed = [Gap::collection(CollectionName::from_static("pages"), &error)];
        let named = [Gap::record(&Key::parse("pages", "7").unwrap(), &error)];
        let worse = BTreeSet::from([CollectionName::from_static("pages")]);
        let judged = |gaps: &[Gap], worse: &BTreeSet<CollectionName>| {
            let scope = Scope::collection(CollectionName::from_static("pages"));
            let candidates = Candidates::of(scope, 100, &[Key::parse("pages", "1").unwrap()]);
            judge(
                DeletionGuard::default(),
                &Evidence {
                    candidates: &candidates,
                    saw_anything: true,
                    gaps,
                    worse_coverage: worse,
                    reviews: &[],
                    feed: &FeedId::from_static("pages"),
                    accepted: false,
                },
            )
        };
        assert!(matches!(judged(&unnamed, &BTreeSet::new()), Judgement::Stop(_)));
        assert_eq!(judged(&named, &BTreeSet::new()), Judgement::Pass);
        assert!(matches!(judged(&[], &worse), Judgement::Stop(_)));
    }
}
