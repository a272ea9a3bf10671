//! Comments below what they belong to.

use saas_backup_core::{Record, Result};

use super::drafts::Drafter;
use super::record::{Stand, link_to};
use super::view::{Draft, Link, View};
use crate::pages::{Placed, below};
use crate::text::relative;

/// Comments on one page.
const COMMENTS: usize = 200;
/// Longest name of a page, in bytes; as the survey has it.
const MAX_NAME: usize = 80;

impl Drafter<'_> {
    /// What was said about a record, by time: as much as one page takes, and links to the pages with the rest.
    pub(super) fn thread(
        &mut self,
        record: &Record,
        placed: &Placed,
        crumbs: &[Link],
    ) -> Result<(Vec<View>, Vec<Link>)> {
        let (mut first, mut further): (Option<Vec<View>>, Vec<Link>) = (None, Vec::new());
        let (mut path, mut views): (String, Vec<View>) = (placed.path.clone(), Vec::new());
        let (collection, id) = (record.key.collection.as_str(), record.key.id.as_str());
        while let Some((order, entry)) = self.threads.next_up_to(collection, id)? {
            if order.is_lt() {
                self.orphan(entry.line)?;
                continue;
            }
            if views.len() == COMMENTS {
                let full = std::mem::take(&mut views);
                let folder = below(&placed.path, ".html").unwrap_or_default();
                let number = further.len() + 2;
                let name = self.names.give(&folder, &format!("comments {number}"), ".html", &path, MAX_NAME);
                let next = format!("{folder}/{name}");
                match first {
                    None => first = Some(full),
                    Some(_) => self.comments(&path, placed, crumbs, number - 1, full, Some(&next))?,
                }
                further.push(Link { text: number.to_string(), href: Some(relative(&placed.path, &next)) });
                path = next;
            }
            let comment = self.dataset.decode(entry.line)?;
            self.newest = self.newest.max(comment.modified.or(comment.created));
            let Some(rendered) = self.renderer.render(&comment, &path, Stand::Comment)? else { continue };
            let link = format!("{}#{}", relative("", &path), rendered.view.anchor);
            self.edges.tell(&comment, &format!("Comment on {}", placed.title), &link, &rendered.reached)?;
            let mut found = rendered.view.clone();
            found.title = format!("Comment on {}", placed.title);
            found.has_title = false;
            let number = self.folders.keys().position(|name| name == &comment.key.collection).unwrap_or_default();
            self.search(&found, [&rendered.plain, &rendered.files], &link, number)?;
            views.push(rendered.view);
        }
        match first {
            None => Ok((views, further)),
            Some(first) => {
                self.comments(&path, placed, crumbs, further.len() + 1, views, None)?;
                Ok((first, further))
            }
        }
    }

    fn comments(
        &mut self,
        path: &str,
        of: &Placed,
        crumbs: &[Link],
        number: usize,
        comments: Vec<View>,
        next: Option<&str>,
    ) -> Result<()> {
        // The crumbs are links from the page of the record, and this one stands elsewhere.
        let crumbs = crumbs.iter().take(1).map(|crumb| Link { text: crumb.text.clone(), href: None }).collect();
        self.drafts.keep(&Draft::Comments {
            path: path.to_owned(),
            of: link_to(of, path),
            crumbs,
            number,
            comments,
            next: next.map(|next| relative(path, next)),
        })
    }
}
