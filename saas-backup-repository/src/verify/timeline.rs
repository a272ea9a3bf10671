//! Checking that commits and layouts tell one story.

use saas_backup_core::{Error, ErrorKind, Result};

use super::Verification;
use crate::commit::{ObjectKind, ObjectRef, Parent};
use crate::layout::Map;
use crate::object::ulid_of;
use crate::read::{blocking, changed};

impl Verification<'_> {
    /// Reads the timeline from its first commit on, whatever writers' layouts say; from a maintainer's layout where what
    /// was before it is removed.
    pub(super) async fn timeline(&mut self) -> Result<Map> {
        let shared = &self.source.shared;
        let names = &shared.names;
        let layouts = shared.loader.sequences(&names.layouts(), None).await?;
        let mut map: Option<Map> = None;
        let commits = shared.loader.sequences(&names.commits(), None).await?;
        for sequence in commits.iter().copied() {
            let name = names.commit(sequence);
            self.report.objects += 1;
            self.report.read += 1;
            self.report.bytes += self.present.get(&name).copied().unwrap_or(0);
            match shared.loader.commit(sequence).await {
                Ok(None) => {
                    let cut = Error::new(
                        ErrorKind::Integrity,
                        "the commit is cut, or its writer was revoked before; unless its writer was stopped at it, it was changed",
                    );
                    self.report.problem(&name, &cut);
                }
                Ok(Some((envelope, header, hash))) => {
                    self.named.insert(name.clone());
                    // Also where its lines lie elsewhere by now: copies, and who goes by commits alone, take it for whole.
                    let (parts, body) = (header.clone(), envelope.body.clone());
                    if !blocking(move || Ok(parts.describes(&body))).await? {
                        self.report.problem(&name, &changed(&name));
                    }
                    if map.is_none() {
                        map = Some(self.beginning(&layouts, header.parent.as_ref()).await);
                    }
                    let map = map.get_or_insert_default();
                    if let Some(anchor) = self.options.anchors.get(&shared.name)
                        && anchor.sequence == sequence
                        && anchor.sha256 != hash
                    {
                        let other = Error::new(ErrorKind::Integrity, "the commit is not the one that was seen before");
                        self.report.problem(&name, &other);
                    }
                    if map.next() > sequence {
                        // The layout that the timeline begins with repeats it.
                        continue;
                    }
                    let is_next = |map: &Map| header.parent == map.head.as_ref().map(crate::layout::Head::as_parent);
                    if let Some(parent) = header.parent.as_ref().filter(|_| !is_next(map))
                        && parent.sequence >= map.next()
                        && !commits.contains(&parent.sequence)
                        && let Some(bridge) = self.reaching(&layouts, parent).await
                    {
                        // What is between was removed: before it was copied to here, or all but what may not be removed.
                        *map = bridge;
                        if map.next() > sequence {
                            continue;
                        }
                    }
                    if !is_next(map) {
                        let broken = Error::new(ErrorKind::Integrity, "the chain of commits is broken before this one");
                        self.report.problem(&name, &broken);
                    }
                    map.push(&name, &header, hash, envelope.body_at, &envelope.body);
                    if layouts.contains(&sequence) {
                        self.layout(map, sequence).await;
                    }
                }
                Err(error) => self.report.problem(&name, &error),
            }
        }
        let map = map.unwrap_or_default();
        for layout in layouts {
            // Those of commits that do not count, or that are removed.
            if !self.named.contains(&names.layout(layout)) {
                self.lone_layout(layout).await;
            }
        }
        if let Some(anchor) = self.options.anchors.get(&shared.name)
            && map.head.as_ref().is_none_or(|head| head.sequence < anchor.sequence)
        {
            let rolled_back =
                Error::new(ErrorKind::Integrity, "the timeline was rolled back: a commit that was seen before is gone");
            self.report.problem(&names.commit(anchor.sequence), &rolled_back);
        }
        Ok(map)
    }

    /// Bundles that are gone and were not given up. Layouts outlive theirs where their removal was denied, or they were
    /// not listed.
    pub(super) fn lost_bundles(&mut self, map: &Map) {
        for name in std::mem::take(&mut self.missing_bundles) {
            let is_swept = ulid_of(&name) < map.upkeep.swept.as_deref();
            let is_given_up = is_swept || map.dropped.iter().any(|dropped| dropped.name == name);
            let is_needed = map.others.iter().any(|object| object.name == name);
            // What is needed is looked for with all that is.
            if !is_given_up && !is_needed {
                self.report.problem(&name, &Error::new(ErrorKind::NotFound, "there is no such object"));
            }
        }
    }

    /// What the timeline begins with, given what its first commit follows: nothing, or the oldest layout of a maintainer
    /// that holds what was before.
    async fn beginning(&mut self, layouts: &[u64], parent: Option<&Parent>) -> Map {
        let Some(parent) = parent else { return Map::default() };
        if let Some(map) = self.reaching(layouts, parent).await {
            return map;
        }
        let missing = Error::new(
            ErrorKind::Integrity,
            "the timeline does not begin with its first commit, and no maintainer's layout holds what was before",
        );
        self.report.problem(&self.source.shared.names.commit(parent.sequence), &missing);
        Map::default()
    }

    /// The oldest layout of a maintainer that holds what was up to a commit; that it is the only one is noted.
    async fn reaching(&mut self, layouts: &[u64], commit: &Parent) -> Option<Map> {
        let shared = &self.source.shared;
        let (mut found, mut outdated): (Option<(u64, Map)>, Option<Map>) = (None, None);
        for sequence in layouts.iter().copied().filter(|sequence| *sequence >= commit.sequence) {
            if let Ok((map, true)) = shared.loader.layout(sequence).await {
                if bundles(&map).any(|bundle| !self.present.contains_key(&bundle.name)) {
                    // It should be gone, too, like its bundles; any other is better.
                    outdated.get_or_insert(map);
                    continue;
                }
                if let Some((_, map)) = found {
                    return Some(map);
                }
                found = Some((sequence, map));
            }
        }
        let Some((sequence, map)) = found else { return outdated };
        self.report.lone_layouts.push(shared.names.layout(sequence));
        Some(map)
    }

    /// Compares what a layout says with what the commits up to it say.
    async fn layout(&mut self, map: &Map, sequence: u64) {
        let shared = &self.source.shared;
        let name = shared.names.layout(sequence);
        self.report.objects += 1;
        self.named.insert(name.clone());
        if !self.options.reads() {
            return;
        }
        match shared.loader.layout(sequence).await {
            Err(error) => self.report.problem(&name, &error),
            Ok((layout, _)) => {
                if !layout.says_what(map) {
                    let differs = Error::new(ErrorKind::Integrity, "the layout does not say what the commits say");
                    self.report.problem(&name, &differs);
                }
                self.bundles(map, &layout).await;
            }
        }
    }

    /// Looks at a layout whose commit is not part of the timeline any more.
    async fn lone_layout(&mut self, sequence: u64) {
        let shared = &self.source.shared;
        let name = shared.names.layout(sequence);
        self.report.objects += 1;
        self.named.insert(name.clone());
        match shared.loader.layout(sequence).await {
            Err(error) => self.report.problem(&name, &error),
            Ok((layout, _)) => self.bundles(&layout, &layout).await,
        }
    }

    /// Looks for the bundles of a layout, and reads them once.
    async fn bundles(&mut self, map: &Map, layout: &Map) {
        self.given_up(layout);
        for bundle in bundles(layout) {
            if !self.named.insert(bundle.name.clone()) {
                continue;
            }
            self.report.objects += 1;
            if self.present.contains_key(&bundle.name) {
                self.object(map, bundle).await;
            } else {
                self.missing_bundles.push(bundle.name.clone());
            }
        }
    }
}

/// Where a map says that copies of small parts lie.
fn bundles(map: &Map) -> impl Iterator<Item = &ObjectRef> {
    map.others.iter().filter(|object| object.kind == ObjectKind::Bundle)
}
