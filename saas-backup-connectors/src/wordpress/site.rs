use std::collections::{BTreeMap, BTreeSet};

use saas_backup_core::{CollectionName, Error, ErrorKind, Result};
use url::Url;

use super::client::Api;
use super::model::{Me, Registered, Root};

/// What a site has, and how much of it this user may see.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) api: Api,
    pub(super) home: Url,
    pub(super) name: String,
    pub(super) user: u64,
    pub(super) roles: Vec<String>,
    /// Whether clocks change on the site, so that an hour comes twice a year.
    pub(super) changes_clocks: bool,
    pub(super) collections: Vec<SiteCollection>,
}

/// One collection of a site.
#[derive(Clone, Debug)]
pub(super) struct SiteCollection {
    pub(super) name: CollectionName,
    pub(super) title: String,
    /// The path in the API, such as `wp/v2/posts`.
    pub(super) path: String,
    /// The post type or taxonomy; the name for all others.
    pub(super) slug: String,
    pub(super) form: Form,
    pub(super) sight: Sight,
    /// The taxonomies of a post type: the member that holds the terms, and their collection.
    pub(super) taxonomies: Vec<(String, CollectionName)>,
    pub(super) revisions: bool,
}

/// How a collection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Posts, pages and everything that is stored like them.
    Posts,
    Media,
    Comments,
    /// Terms and users: small, and without a time of change.
    Whole,
    /// A list that comes in one piece, with ids that are text.
    List,
    /// One document.
    Document,
    /// The styles that somebody chose for the theme in use.
    Styles,
    Revisions,
}

/// How much of a collection the user sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Everything, as it is stored.
    All,
    /// As it is stored, but perhaps not every record; the right that is missing.
    Partly(String),
    /// Only what visitors see; the right that is missing.
    Public(String),
    /// Nothing; the right that is missing.
    None(String),
}

impl Sight {
    /// `edit` shows texts as they are stored; `view` as visitors see them.
    pub(super) fn context(&self) -> &'static str {
        match self {
            Self::All | Self::Partly(_) => "edit",
            Self::Public(_) | Self::None(_) => "view",
        }
    }

    pub(super) fn lacks(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Partly(right) | Self::Public(right) | Self::None(right) => Some(right),
        }
    }
}

/// Post types whose list is not paged.
const LISTS: [&str; 2] = ["wp_template", "wp_template_part"];

impl Site {
    pub(super) async fn explore(api: Api, revisions: bool) -> Result<Self> {
        let root = api.root().await?;
        let home = if root.home.is_empty() { &root.url } else { &root.home };
        let mut home: Url =
            home.parse().map_err(|_| Error::new(ErrorKind::InvalidData, "the site does not know its own address"))?;
        if !home.path().ends_with('/') {
            home.set_path(&format!("{}/", home.path()));
        }
        let me: Me = api.get("wp/v2/users/me", &[("context", "edit")]).await?.json()?;
        let rights =
            Rights { held: me.capabilities.iter().filter(|(_, held)| **held).map(|(name, _)| name.clone()).collect() };
        let mut site = Self {
            home,
            name: root.name.clone(),
            user: me.id,
            roles: me.roles,
            changes_clocks: changes_clocks(&root),
            collections: Vec::new(),
            api,
        };
        site.list_collections(&rights, revisions).await?;
        Ok(site)
    }

    async fn list_collections(&mut self, rights: &Rights, revisions: bool) -> Result<()> {
        let (types, editable_types) = self.describe("wp/v2/types").await?;
        let (taxonomies, editable_taxonomies) = self.describe("wp/v2/taxonomies").await?;
        let mut names = BTreeSet::new();
        let mut name_of = |namespace: &str, base: &str| {
            let name = if names.insert(base.to_owned()) { base.to_owned() } else { format!("{namespace}/{base}") };
            CollectionName::parse(name)
        };
        let mut terms = Vec::new();
        for taxonomy in taxonomies.values().filter(|taxonomy| is_listable(&taxonomy.rest_base)) {
            let missing = if editable_taxonomies.contains(&taxonomy.slug) {
                rights.missing(&taxonomy.capabilities, "edit_terms", "manage_categories")
            } else {
                Some("manage_categories".to_owned())
            };
            terms.push(SiteCollection {
                name: name_of(&taxonomy.rest_namespace, &taxonomy.rest_base)?,
                title: taxonomy.name.clone(),
                path: format!("{}/{}", taxonomy.rest_namespace, taxonomy.rest_base),
                slug: taxonomy.slug.clone(),
                form: Form::Whole,
                sight: match missing {
                    None => Sight::All,
                    Some(right) if taxonomy.slug == "nav_menu" => Sight::None(right),
                    Some(right) => Sight::Public(right),
                },
                taxonomies: Vec::new(),
                revisions: false,
            });
        }
        let mut posts = Vec::new();
        for kind in types.values().filter(|kind| is_listable(&kind.rest_base)) {
            let of_type = terms.iter().filter(|term| kind.taxonomies.contains(&term.slug));
            let base_of = |term: &SiteCollection| term.path.rsplit('/').next().unwrap_or_default().to_owned();
            posts.push(SiteCollection {
                name: name_of(&kind.rest_namespace, &kind.rest_base)?,
                title: kind.name.clone(),
                path: format!("{}/{}", kind.rest_namespace, kind.rest_base),
                slug: kind.slug.clone(),
                form: match kind.slug.as_str() {
                    "attachment" => Form::Media,
                    slug if LISTS.contains(&slug) => Form::List,
                    _ => Form::Posts,
                },
                sight: rights.sight_of_posts(kind, editable_types.contains(&kind.slug)),
                taxonomies: of_type.map(|term| (base_of(term), term.name.clone())).collect(),
                revisions: revisions && kind.supports.contains_key("revisions") && !LISTS.contains(&kind.slug.as_str()),
            });
        }
        let hidden = posts.iter().filter(|kind| kind.revisions).find_map(|kind| kind.sight.lacks());
        let of_revisions = hidden.map_or(Sight::All, |right| Sight::Partly(right.to_owned()));
        let has_revisions = posts.iter().any(|kind| kind.revisions);
        // Content first: the order in which a person would look for it.
        let rank = |kind: &SiteCollection| match kind.slug.as_str() {
            "post" => 0,
            "page" => 1,
            "attachment" => 2,
            slug if slug.starts_with("wp_") || slug == "nav_menu_item" => 4,
            _ => 3,
        };
        posts.sort_by_key(rank);
        let theme = |name: &'static str, title: &str, form| {
            plain(name, title, form, rights.right("edit_theme_options").map_or(Sight::All, Sight::None))
        };
        let mut all = posts;
        all.extend(terms);
        all.extend([
            plain(
                "comments",
                "Comments",
                Form::Comments,
                rights.right("moderate_comments").map_or(Sight::All, Sight::Public),
            ),
            plain("users", "Users", Form::Whole, rights.right("list_users").map_or(Sight::All, Sight::Public)),
            plain(
                "settings",
                "Settings",
                Form::Document,
                rights.right("manage_options").map_or(Sight::All, Sight::None),
            ),
            theme("menu-locations", "Menu locations", Form::Document),
            theme("global-styles", "Styles", Form::Styles),
            theme("sidebars", "Widget areas", Form::List),
            theme("widgets", "Widgets", Form::List),
        ]);
        if has_revisions {
            all.push(plain("revisions", "Revisions", Form::Revisions, of_revisions));
        }
        self.collections = all;
        Ok(())
    }

    /// Types or taxonomies. The list for editors has the rights that each asks for, and leaves out what the user may
    /// not edit; the list for visitors has them all.
    async fn describe(&self, path: &str) -> Result<(BTreeMap<String, Registered>, BTreeSet<String>)> {
        let edited: Option<BTreeMap<String, Registered>> = match self.api.get(path, &[("context", "edit")]).await {
            // PHP writes an empty map as a list.
            Ok(response) => Some(response.json().unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
            Err(error) => return Err(error),
        };
        let response = self.api.get(path, &[("context", "view")]).await?;
        let mut all: BTreeMap<String, Registered> = response.json().unwrap_or_default();
        let edited = edited.unwrap_or_default();
        let editable = edited.keys().cloned().collect();
        all.extend(edited);
        Ok((all, editable))
    }

    pub(super) fn get(&self, name: &CollectionName) -> Option<&SiteCollection> {
        self.collections.iter().find(|collection| &collection.name == name)
    }

    /// The collection of a post type or taxonomy.
    pub(super) fn by_slug(&self, slug: &str) -> Option<&SiteCollection> {
        self.collections.iter().find(|collection| collection.slug == slug)
    }

    /// The post types that have revisions.
    pub(super) fn revised(&self) -> impl Iterator<Item = &SiteCollection> {
        self.collections.iter().filter(|collection| collection.revisions)
    }
}

fn plain(name: &'static str, title: &str, form: Form, sight: Sight) -> SiteCollection {
    SiteCollection {
        name: CollectionName::from_static(name),
        title: title.to_owned(),
        path: format!("wp/v2/{name}"),
        slug: name.to_owned(),
        form,
        sight,
        taxonomies: Vec::new(),
        revisions: false,
    }
}

/// A base with a pattern in it, such as that of font faces, is no list of its own.
fn is_listable(base: &str) -> bool {
    !base.is_empty() && !base.contains(['(', '?', '\\'])
}

/// A site in a named zone may change its clocks; one with a fixed offset does not.
fn changes_clocks(root: &Root) -> bool {
    !matches!(root.timezone_string.as_str(), "" | "UTC" | "Etc/UTC" | "Etc/GMT")
}

/// The rights of the user.
struct Rights {
    held: BTreeSet<String>,
}

impl Rights {
    /// The right, if the user does not hold it.
    fn right(&self, name: &str) -> Option<String> {
        // WordPress translates these before it looks them up, and lists them for nobody.
        let name = match name {
            "edit_categories" | "edit_post_tags" | "manage_post_tags" => "manage_categories",
            name => name,
        };
        (!self.held.contains(name)).then(|| name.to_owned())
    }

    /// The right that a type asks for in some role, if the user does not hold it.
    fn missing(&self, asked: &BTreeMap<String, String>, role: &str, default: &str) -> Option<String> {
        self.right(asked.get(role).map_or(default, String::as_str))
    }

    fn sight_of_posts(&self, kind: &Registered, is_editable: bool) -> Sight {
        let editing = if is_editable {
            self.missing(&kind.capabilities, "edit_posts", "edit_posts")
        } else {
            Some(format!("edit_{}s", kind.slug))
        };
        let asked = |role: &str| self.missing(&kind.capabilities, role, role);
        // The right to read private blocks is one that WordPress gives to nobody.
        let private = asked("read_private_posts").filter(|right| right != "read_private_blocks");
        match (editing, asked("edit_others_posts"), private) {
            (Some(right), ..) if LISTS.contains(&kind.slug.as_str()) || kind.slug == "nav_menu_item" => {
                Sight::None(right)
            }
            (Some(right), ..) => Sight::Public(right),
            (None, None, None) => Sight::All,
            (None, Some(right), _) | (None, None, Some(right)) => Sight::Partly(right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(held: &[&str], slug: &str) -> Sight {
        let rights = Rights { held: held.iter().map(|&right| right.to_owned()).collect() };
        let kind = serde_json::from_str(&format!(
            r#"{{"slug":"{slug}","rest_base":"x","capabilities":{{"edit_posts":"edit_pages","edit_others_posts":"edit_others_pages","read_private_posts":"read_private_pages"}}}}"#
        ));
        rights.sight_of_posts(&kind.unwrap(), true)
    }

    #[test]
    fn rights_decide_what_is_seen() {
        assert_eq!(sight(&["edit_pages", "edit_others_pages", "read_private_pages"], "page"), Sight::All);
        assert_eq!(sight(&["edit_pages"], "page"), Sight::Partly("edit_others_pages".to_owned()));
        assert_eq!(sight(&["read"], "page"), Sight::Public("edit_pages".to_owned()));
        assert_eq!(sight(&["read"], "wp_template"), Sight::None("edit_pages".to_owned()));
    }

    #[test]
    fn a_base_with_a_pattern_is_no_list() {
        assert!(is_listable("posts"));
        assert!(!is_listable("font-families/(?P<font_family_id>[\\d]+)/font-faces"));
    }
}
