//! What the text of a post points to: ids in block attributes, classes and shortcodes, and addresses of files.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;
use url::Url;

/// One id in a text, and where its digits stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) to: Target,
    pub(super) id: u64,
    pub(super) range: Range<usize>,
}

/// What kind of object an id is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Media,
    /// A post of this type, such as `page` or `wp_block`.
    PostType(String),
    /// A term of this taxonomy.
    Taxonomy(String),
    /// A post of any type: a link by number.
    AnyPost,
}

/// Finds every id that a restore has to translate, in the order of the text.
pub(super) fn pointers(text: &str) -> Vec<Pointer> {
    let mut found = Vec::new();
    for block in blocks(text) {
        block.pointers(&mut found);
    }
    for (marker, to) in [("wp-image-", Target::Media), ("attachment_", Target::Media), ("data-id=\"", Target::Media)] {
        for (start, _) in text.match_indices(marker) {
            found.extend(number_at(text, start + marker.len()).map(|(id, range)| Pointer {
                to: to.clone(),
                id,
                range,
            }));
        }
    }
    for (start, _) in text.match_indices('[') {
        shortcode_pointers(text, start, &mut found);
    }
    for marker in ["?p=", "?page_id=", "?attachment_id="] {
        for (start, _) in text.match_indices(marker) {
            let number = number_at(text, start + marker.len());
            found.extend(number.map(|(id, range)| Pointer { to: Target::AnyPost, id, range }));
        }
    }
    found.retain(|pointer| pointer.id > 0);
    found.sort_by_key(|pointer| pointer.range.start);
    found.dedup_by_key(|pointer| pointer.range.start);
    found
}

/// A block's opening comment: `<!-- wp:image {"id":5} -->`.
struct Block<'a> {
    name: &'a str,
    attributes: &'a str,
    /// Where the attributes stand in the text.
    at: usize,
    comment: Range<usize>,
}

fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    text.match_indices("<!-- wp:").filter_map(move |(start, marker)| {
        let inside = start + marker.len();
        // In attributes `--` is written as `\u002d\u002d`, so this is the comment's own end.
        let end = inside + text.get(inside..)?.find("-->")?;
        let body = text.get(inside..end)?;
        let name = body.split([' ', '/']).next()?;
        let body = body.trim_end_matches('/');
        let open = body.find('{').unwrap_or(body.len());
        let attributes = body.get(open..)?.trim_end();
        Some(Block { name, attributes, at: inside + open, comment: start..end + 3 })
    })
}

impl<'a> Block<'a> {
    fn members(&self) -> BTreeMap<std::borrow::Cow<'a, str>, &'a RawValue> {
        serde_json::from_str(self.attributes).unwrap_or_default()
    }

    fn pointers(&self, found: &mut Vec<Pointer>) {
        let members = self.members();
        let text_of = |name: &str| members.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let mut add = |to: &Target, raw: &RawValue| {
            let offset = raw.get().as_ptr() as usize - self.attributes.as_ptr() as usize;
            for (id, range) in numbers(raw.get()) {
                let at = self.at + offset;
                found.push(Pointer { to: to.clone(), id, range: at + range.start..at + range.end });
            }
        };
        let named: &[(&str, Target)] = match self.name {
            "image" | "cover" | "file" | "audio" | "video" => &[("id", Target::Media)],
            "media-text" => &[("mediaId", Target::Media)],
            "gallery" => &[("ids", Target::Media)],
            "block" => &[("ref", Target::PostType("wp_block".to_owned()))],
            "navigation" => &[("ref", Target::PostType("wp_navigation".to_owned()))],
            "navigation-link" | "navigation-submenu" => {
                let (Some(kind), Some(raw)) = (text_of("kind"), members.get("id")) else { return };
                let to = text_of("type").unwrap_or_else(|| "page".to_owned());
                match kind.as_str() {
                    "post-type" => add(&Target::PostType(to), raw),
                    "taxonomy" => add(&Target::Taxonomy(if to == "tag" { "post_tag".to_owned() } else { to }), raw),
                    _ => {}
                }
                return;
            }
            _ => return,
        };
        for (name, to) in named {
            if let Some(raw) = members.get(*name) {
                add(to, raw);
            }
        }
    }

    /// Whether the block shows a file of the media library.
    fn shows_media(&self) -> bool {
        let mut found = Vec::new();
        self.pointers(&mut found);
        found.iter().any(|pointer| pointer.to == Target::Media && pointer.id > 0)
    }
}

/// `[gallery ids="1,2"]` and `[playlist ids="1,2"]`.
fn shortcode_pointers(text: &str, start: usize, found: &mut Vec<Pointer>) {
    let Some(code) = text.get(start..).and_then(|rest| rest.split_inclusive(']').next()) else { return };
    if !(code.starts_with("[gallery ") || code.starts_with("[playlist ")) {
        return;
    }
    for marker in [" ids=\"", " include=\"", " exclude=\""] {
        let Some(at) = code.find(marker).map(|at| at + marker.len()) else { continue };
        let Some(list) = code.get(at..).and_then(|rest| rest.split('"').next()) else { continue };
        for (id, range) in numbers(list) {
            let at = start + at;
            found.push(Pointer { to: Target::Media, id, range: at + range.start..at + range.end });
        }
    }
}

fn numbers(text: &str) -> Vec<(u64, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(|c: char| c.is_ascii_digit())) {
        match number_at(text, at + start) {
            Some((id, range)) => {
                at = range.end;
                found.push((id, range));
            }
            None => at += start + 1,
        }
    }
    found
}

fn number_at(text: &str, start: usize) -> Option<(u64, Range<usize>)> {
    let digits = text.get(start..)?.bytes().take_while(u8::is_ascii_digit).count();
    let range = start..start + digits;
    Some((text.get(range.clone())?.parse().ok()?, range))
}

/// A picture or file that a text shows and the media library does not own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LooseFile {
    /// It lies on the site.
    Own(Url),
    /// It lies elsewhere.
    Foreign(String),
}

/// Finds pictures, and links to uploads, that stand outside blocks and tags that name a media id.
pub(super) fn loose_files(text: &str, home: &Url) -> Vec<LooseFile> {
    let mut owned: Vec<Range<usize>> = Vec::new();
    for block in blocks(text).filter(Block::shows_media) {
        let closing = format!("<!-- /wp:{} -->", block.name);
        let end = text.get(block.comment.end..).and_then(|rest| rest.find(&closing));
        owned.push(block.comment.start..end.map_or(block.comment.end, |end| block.comment.end + end));
    }
    let mut found = Vec::new();
    for (tag, attribute) in
        [("<img ", "src"), ("<a ", "href"), ("<video ", "src"), ("<audio ", "src"), ("<source ", "src")]
    {
        for (start, _) in text.match_indices(tag) {
            let Some(tag_text) = text.get(start..).and_then(|rest| rest.split('>').next()) else { continue };
            if owned.iter().any(|range| range.contains(&start)) || tag_text.contains("wp-image-") {
                continue;
            }
            let Some(address) = attribute_of(tag_text, attribute) else { continue };
            let Ok(url) = home.join(&address.replace("&amp;", "&")) else { continue };
            let is_link = tag == "<a ";
            let own = url.host_str() == home.host_str() && url.port() == home.port();
            let file = match (own, is_link) {
                (true, _) if url.path().contains("/uploads/") || !is_link => LooseFile::Own(url),
                (false, false) if matches!(url.scheme(), "http" | "https") => LooseFile::Foreign(url.into()),
                _ => continue,
            };
            if !found.contains(&file) {
                found.push(file);
            }
        }
    }
    found
}

fn attribute_of<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    ['"', '\''].into_iter().find_map(|quote| {
        let marker = format!(" {name}={quote}");
        let (_, rest) = tag.split_once(&marker)?;
        rest.split(quote).next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Target, u64, &str)> {
        pointers(text).into_iter().map(|pointer| (pointer.to, pointer.id, &text[pointer.range])).collect()
    }

    #[test]
    fn ids_are_found_wherever_the_editors_write_them() {
        let text = concat!(
            r#"<!-- wp:image {"width":700,"id":12,"style":{"id":3}} --><img class="wp-image-12 size-300"/><!-- /wp:image -->"#,
            r#"<!-- wp:gallery {"ids":[ 7, 8]} --><!-- /wp:gallery -->"#,
            r#"<!-- wp:block {"ref":10} /--><!-- wp:navigation {"ref":11} /-->"#,
            r#"<!-- wp:navigation-link {"kind":"taxonomy","type":"tag","id":13} /-->"#,
            r#"[caption id="attachment_14"][gallery columns="2" ids="15,16"] <a href="/?p=17">"#,
        );
        let page = |name: &str| Target::PostType(name.to_owned());
        assert_eq!(
            found(text),
            [
                (Target::Media, 12, "12"),
                (Target::Media, 12, "12"),
                (Target::Media, 7, "7"),
                (Target::Media, 8, "8"),
                (page("wp_block"), 10, "10"),
                (page("wp_navigation"), 11, "11"),
                (Target::Taxonomy("post_tag".to_owned()), 13, "13"),
                (Target::Media, 14, "14"),
                (Target::Media, 15, "15"),
                (Target::Media, 16, "16"),
                (Target::AnyPost, 17, "17"),
            ]
        );
    }

    #[test]
    fn broken_and_foreign_texts_give_nothing() {
        for text in
            ["<!-- wp:image {\"id\":", "<!-- wp:", "[gallery ids=\"", "wp-image-x", "<!-- wp:image {\"id\":5 -->", "é["]
        {
            assert_eq!(found(text), [], "{text}");
        }
        assert_eq!(found("<!-- wp:my/image {\"id\":5} -->"), []);
        assert_eq!(found("wp-image-99999999999999999999999"), []);
    }

    #[test]
    fn files_that_no_media_record_owns_are_found() {
        let home: Url = "https://blog.example/sub/".parse().unwrap();
        let text = concat!(
            r#"<!-- wp:image {"id":1} --><img src="https://blog.example/sub/wp-content/uploads/owned.png"/><!-- /wp:image -->"#,
            r#"<img class="x wp-image-2" src="/wp-content/uploads/owned-too.png">"#,
            r#"<img src='/wp-content/uploads/loose.png'><img src="https://elsewhere.example/a.png?x=1&amp;y=2">"#,
            r#"<a href="https://blog.example/sub/wp-content/uploads/paper.pdf">p</a><a href="https://elsewhere.example/b">b</a>"#,
            r#"<a href="https://blog.example/sub/hello/">post</a><img src="data:image/png;base64,AA==">"#,
        );
        assert_eq!(
            loose_files(text, &home),
            [
                LooseFile::Own("https://blog.example/wp-content/uploads/loose.png".parse().unwrap()),
                LooseFile::Foreign("https://elsewhere.example/a.png?x=1&y=2".to_owned()),
                LooseFile::Own("https://blog.example/sub/wp-content/uploads/paper.pdf".parse().unwrap()),
            ]
        );
    }
}
