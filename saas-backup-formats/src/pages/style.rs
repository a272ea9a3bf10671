/// In what the pages of one format differ from those of another.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one bit a difference, named after it")]
pub(crate) struct Style {
    /// The extension of pages, with its dot.
    pub(crate) extension: &'static str,
    /// Names at the top that the format takes for itself.
    pub(crate) reserved: &'static [&'static str],
    /// Names in the folder of each collection that the format takes for itself.
    pub(crate) reserved_below: &'static [&'static str],
    /// Entries on one page of a listing.
    pub(crate) rows: u64,
    /// Whether rows and comments have places of their own on their page.
    pub(crate) anchors: bool,
    /// What stands before the names of places in texts.
    pub(crate) fragments: &'static str,
    /// Whether a browser opens the attachments: what it would run gets a name that it shows.
    pub(crate) browsed: bool,
    /// Whether what was said in a conversation stands on a page for each day.
    pub(crate) days: bool,
    /// Whether attachments have names that need no escape in an address.
    pub(crate) plain_names: bool,
}

impl Style {
    /// The file name of a page of a listing, counted from 1.
    pub(crate) fn listing_name(&self, page: u64) -> String {
        if page <= 1 { format!("index{}", self.extension) } else { format!("index-{page}{}", self.extension) }
    }

    /// The path of a page of a listing.
    pub(crate) fn listing_path(&self, folder: &str, page: u64) -> String {
        format!("{folder}/{}", self.listing_name(page))
    }
}
