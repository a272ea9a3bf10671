use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::HeaderMap;
use http::header::LINK;
use saas_backup_core::{Error, ErrorKind, Result};
use url::Url;

/// Notices a walk over pages that does not advance, so that a provider's defect ends in an error and not in a loop
/// that never ends.
///
/// A position that comes back, however long the circle is, and a page that equals the one before it are errors. It
/// needs a few bytes, whatever the number of pages.
///
/// ```
/// use saas_backup_http::PageGuard;
///
/// let mut guard = PageGuard::default();
/// guard.advance("page 1", b"[1,2]")?;
/// guard.advance("page 2", b"[3,4]")?;
/// assert!(guard.advance("page 3", b"[3,4]").is_err());
/// # Ok::<_, saas_backup_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PageGuard {
    pages: u64,
    limit: u64,
    previous_page: Option<u64>,
    // Brent's algorithm: a circle of positions runs into the last one kept, which moves at powers of two.
    kept: Option<u64>,
    steps: u64,
    power: u64,
}

impl PageGuard {
    /// A guard that also refuses more than `limit` pages. Default: ten million.
    pub fn new(limit: u64) -> Self {
        Self { pages: 0, limit, previous_page: None, kept: None, steps: 0, power: 1 }
    }

    /// Notes a page that was read: where it stands (a token, a number, an address) and its bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if the walk does not advance; [`ErrorKind::LimitExceeded`] above the limit.
    pub fn advance(&mut self, position: &str, page: &[u8]) -> Result<()> {
        self.pages += 1;
        if self.pages > self.limit {
            return Err(Error::new(ErrorKind::LimitExceeded, "the provider gives more pages than the limit")
                .with_context("limit", self.limit));
        }
        let (position, page) = (hash(position.as_bytes()), hash(page));
        if self.kept == Some(position) || self.previous_page == Some(page) {
            return Err(Error::new(ErrorKind::InvalidData, "the provider gives the same page again")
                .with_context("page", self.pages));
        }
        self.previous_page = Some(page);
        self.steps += 1;
        if self.kept.is_none() || self.steps == self.power {
            self.kept = Some(position);
            self.steps = 0;
            self.power *= 2;
        }
        Ok(())
    }
}

impl Default for PageGuard {
    fn default() -> Self {
        Self::new(10_000_000)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The address of the next page in a `Link` header (RFC 8288), resolved against the page's own address.
///
/// A link to another origin is passed over: a page must not send a walk, and its credentials, elsewhere.
pub fn next_link(headers: &HeaderMap, page: &Url) -> Option<Url> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = values.flat_map(links).find_map(|(target, relation)| (relation == "next").then_some(target))?;
    page.join(&next).ok().filter(|next| next.origin() == page.origin())
}

/// Targets and their relations; commas and semicolons inside `<…>` and quotes do not separate.
fn links(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some((target, after)) = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')) {
        let end = unquoted_comma(after);
        let (parameters, next) = after.split_at(end);
        for parameter in parameters.split(';') {
            let Some((name, relations)) = parameter.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("rel") {
                let relations = relations.trim().trim_matches('"').split_ascii_whitespace();
                found.extend(relations.map(|relation| (target.to_owned(), relation.to_ascii_lowercase())));
            }
        }
        rest = next;
    }
    found
}

fn unquoted_comma(text: &str) -> usize {
    let mut quoted = false;
    let comma = text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    comma.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Url {
        "https://example.com/api/notes?page=1".parse().unwrap()
    }

    fn headers(link: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(LINK, link.parse().unwrap())])
    }

    #[test]
    fn a_circle_of_any_length_is_found() {
        for length in [1_u32, 2, 3, 7, 100] {
            let mut guard = PageGuard::default();
            let walk = (0..10 * length)
                .try_for_each(|step| guard.advance(&format!("tail {}", step % length), &step.to_be_bytes()));
            assert_eq!(walk.unwrap_err().kind(), ErrorKind::InvalidData, "circle of {length}");
        }
    }

    #[test]
    fn a_long_walk_that_advances_is_none() {
        let mut guard = PageGuard::default();
        (0..10_000_u32).try_for_each(|step| guard.advance(&step.to_string(), &step.to_be_bytes())).unwrap();
    }

    #[test]
    fn a_walk_is_bounded() {
        let mut guard = PageGuard::new(2);
        guard.advance("a", b"1").unwrap();
        guard.advance("b", b"2").unwrap();
        assert_eq!(guard.advance("c", b"3").unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        let link = r#"<https://example.com/?a=1,2;3>; rel="prev"; title="a, b", </api/notes?page=2>; REL="last Next""#;
        assert_eq!(next_link(&headers(link), &page()).unwrap().as_str(), "https://example.com/api/notes?page=2");
        assert_eq!(next_link(&headers(r#"<x>; rel="prev""#), &page()), None);
        assert_eq!(next_link(&headers("<broken"), &page()), None);
    }

    #[test]
    fn a_link_to_another_origin_is_not_followed() {
        assert_eq!(next_link(&headers(r#"<https://evil.example/2>; rel="next""#), &page()), None);
        assert_eq!(next_link(&headers(r#"<http://example.com/2>; rel="next""#), &page()), None);
    }
}
