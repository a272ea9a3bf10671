use std::collections::BTreeSet;

use saas_backup_core::{Done, ErrorKind, Event, PartitionId, ReadRequest, Result, Scope, Seen};

use super::model::Head;
use super::reader::{Place, Reader, parameters};
use super::site::{Sight, SiteCollection};
use super::walk::{Position, Walk};

/// Revisions that a cursor remembers; a cursor may have a mebibyte.
const MOST_REMEMBERED: usize = 50_000;

impl Reader {
    /// The revisions of the posts of one type.
    ///
    /// The API gives them post by post, a request for each. But a list of posts says for each how many revisions it
    /// has and which is the newest: where that is what the cursor remembers, nothing is asked. What the cursor has no
    /// room for is read each time.
    pub(super) async fn read_revisions(&self, mut place: Place, request: &ReadRequest, scope: &Scope) -> Result<Done> {
        let partition = scope.partition.as_ref().map_or("", PartitionId::as_str);
        let parents = self.site.revised().find(|parents| parents.name.as_str() == partition);
        let Some(parents) = parents.filter(|parents| parents.sight.context() == "edit") else {
            return Ok(Done::changes(scope.clone()));
        };
        let full = request.from.is_none() || place.reading.is_some();
        let from = place.reading.or(place.sweeping).unwrap_or_default();
        let mut listing = parameters(parents);
        listing.push(("_fields".to_owned(), "id,_links".to_owned()));
        let mut walk = Walk::new(&self.site.api, &parents.path, listing, from);
        let mut listed = BTreeSet::new();
        let mut remembered = place.revisions.values().map(Vec::len).sum::<usize>();
        while let Some(page) = walk.next().await? {
            for (parent, json) in page.items {
                listed.insert(parent);
                let links = json.decode::<Head>()?.links;
                let count = links.version_history.first().map_or(0, |history| history.count);
                let newest = links.predecessor_version.first().map(|revision| revision.id);
                let known = place.revisions.get(&parent).map_or(&[][..], Vec::as_slice);
                if known.len() as u64 == count && known.last().copied() == newest {
                    self.see_revisions(parents, parent, known, request.sweep).await?;
                } else {
                    let ids = self.read_revisions_of(parents, parent).await?;
                    remembered -= place.revisions.remove(&parent).map_or(0, |ids| ids.len());
                    if remembered + ids.len() <= MOST_REMEMBERED {
                        remembered += ids.len();
                        place.revisions.insert(parent, ids);
                    }
                }
            }
            let position = Some(page.position);
            (place.reading, place.sweeping) = if full { (position, None) } else { (None, position) };
            self.checkpoint(&place).await?;
        }
        place.revisions.retain(|parent, _| *parent <= from.last || listed.contains(parent));
        (place.reading, place.sweeping) = (None, None);
        self.checkpoint(&place).await?;
        Ok(if full || request.sweep { Done::full(scope.clone()) } else { Done::changes(scope.clone()) })
    }

    async fn see_revisions(&self, parents: &SiteCollection, parent: u64, ids: &[u64], sweep: bool) -> Result<()> {
        for id in ids.iter().filter(|_| sweep) {
            let key = self.key(format!("{}/{parent}/{id}", parents.name))?;
            self.out.emit(Event::Seen(Seen::new(key))).await?;
        }
        Ok(())
    }

    /// Delivers the revisions of one post, and gives their ids in order.
    async fn read_revisions_of(&self, parents: &SiteCollection, parent: u64) -> Result<Vec<u64>> {
        let path = format!("{}/{parent}/revisions", parents.path);
        let parameters = vec![("context".to_owned(), "edit".to_owned())];
        let mut walk = Walk::new(&self.site.api, &path, parameters, Position::default());
        let mut ids = Vec::new();
        loop {
            let page = match walk.next().await {
                Ok(None) => return Ok(ids),
                Ok(Some(page)) => page,
                // A post may be deleted while its turn comes.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                // Others' posts show that they have revisions, and not which.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && parents.sight != Sight::All => {
                    return Ok(Vec::new());
                }
                Err(error) => return Err(error),
            };
            let _permit = page.permit;
            for (id, json) in page.items {
                ids.push(id);
                self.put(&format!("{}/{parent}/{id}", parents.name), json).await?;
            }
        }
    }
}
