use saas_backup_core::{Body, Catalog, Collection, FieldMapping, Kind, Markup, RefRule};

use super::site::{Form, Site, SiteCollection};

/// Describes the collections of a site.
pub(super) fn catalog(site: &Site) -> Catalog {
    Catalog::new(site.collections.iter().map(|collection| describe(site, collection)).collect())
}

fn describe(site: &Site, of: &SiteCollection) -> Collection {
    let mut collection = Collection::new(of.name.clone(), kind(of)).with_title(of.title.clone());
    collection.restorable = is_restorable(of);
    collection.fields = fields(of);
    collection.blobs = matches!(of.form, Form::Posts | Form::Media | Form::Revisions | Form::List);
    collection.access = of.form == Form::Posts;
    // What is marked as required is what a restore writes first.
    let rules = match of.form {
        Form::Posts if of.slug == "nav_menu_item" => vec![
            any_of(site, "menu", |target| target.slug == "nav_menu").map(RefRule::required),
            any_of(site, "object", |target| is_content(target) || is_label(target)).map(RefRule::required),
            Some(RefRule::one("parent", of.name.clone())),
        ],
        Form::Posts => {
            let labels =
                of.taxonomies.iter().map(|(member, terms)| Some(RefRule::many(member, terms.clone()).required()));
            let mut rules = vec![
                any_of(site, "author", |target| target.slug == "users").map(RefRule::required),
                any_of(site, "featured_media", |target| target.form == Form::Media).map(RefRule::required),
                Some(RefRule::one("parent", of.name.clone())),
                any_of(site, "embeds", is_embedded),
            ];
            rules.extend(labels);
            rules
        }
        Form::Media => vec![any_of(site, "author", |target| target.slug == "users").map(RefRule::required)],
        Form::Comments => vec![
            any_of(site, "post", |target| is_content(target) || target.form == Form::Media).map(RefRule::required),
            any_of(site, "author", |target| target.slug == "users").map(RefRule::required),
            Some(RefRule::one("parent", of.name.clone())),
        ],
        Form::Whole => vec![Some(RefRule::one("parent", of.name.clone()))],
        Form::Revisions => vec![any_of(site, "revision_of", |target| target.revisions)],
        Form::List | Form::Document | Form::Styles => vec![any_of(site, "embeds", is_embedded)],
    };
    collection.refs = rules.into_iter().flatten().collect();
    collection
}

fn kind(of: &SiteCollection) -> Kind {
    match (of.form, of.slug.as_str()) {
        (Form::Posts, "nav_menu_item" | "wp_font_family") | (Form::Document | Form::Styles, _) => Kind::Setting,
        (Form::List, slug) if !slug.starts_with("wp_") => Kind::Setting,
        (Form::Posts | Form::List | Form::Revisions, _) => Kind::Document,
        (Form::Media, _) => Kind::Media,
        (Form::Comments, _) => Kind::Comment,
        (Form::Whole, "users") => Kind::User,
        (Form::Whole, _) => Kind::Record,
    }
}

/// What the sink writes back.
pub(super) fn is_restorable(of: &SiteCollection) -> bool {
    match of.form {
        Form::Posts => of.slug != "wp_font_family",
        Form::Media | Form::Comments | Form::Whole => true,
        Form::List => of.slug == "wp_template" || of.slug == "wp_template_part",
        Form::Document => of.slug == "settings",
        Form::Styles | Form::Revisions => false,
    }
}

fn fields(of: &SiteCollection) -> FieldMapping {
    let text = if of.sight.context() == "edit" { "raw" } else { "rendered" };
    let mut fields = FieldMapping::default();
    match of.form {
        Form::Posts | Form::List | Form::Revisions | Form::Media => {
            let (body, summary) =
                if of.form == Form::Media { ("description", "caption") } else { ("content", "excerpt") };
            fields.title = Some(format!("title.{text}"));
            fields.body = Some(Body::new(format!("{body}.{text}"), Markup::Html));
            fields.summary = Some(Body::new(format!("{summary}.{text}"), Markup::Html));
            fields.slug = Some("slug".to_owned());
            fields.url = Some("link".to_owned());
            fields.parent = (of.form == Form::Posts).then(|| "parent".to_owned());
            fields.version_of = (of.form == Form::Revisions).then(|| "revision_of".to_owned());
            fields.labels = of.taxonomies.iter().map(|(member, _)| member.clone()).collect();
            fields.properties.insert("status".to_owned(), "status".to_owned());
        }
        Form::Comments => {
            fields.body = Some(Body::new(format!("content.{text}"), Markup::Html));
            fields.url = Some("link".to_owned());
            fields.parent = Some("parent".to_owned());
            fields.properties.insert("author".to_owned(), "author_name".to_owned());
        }
        Form::Whole => {
            fields.title = Some("name".to_owned());
            fields.summary = Some(Body::new("description", Markup::Plain));
            fields.slug = Some("slug".to_owned());
            fields.url = Some("link".to_owned());
            fields.parent = (of.slug != "users").then(|| "parent".to_owned());
        }
        Form::Document | Form::Styles => fields.title = Some("title".to_owned()),
    }
    fields
}

/// A relationship to every collection that passes; `None` if there is none.
fn any_of(site: &Site, name: &str, passes: impl Fn(&SiteCollection) -> bool) -> Option<RefRule> {
    let mut targets = site.collections.iter().filter(|collection| passes(collection)).map(|target| target.name.clone());
    let mut rule = RefRule::one(name, targets.next()?);
    rule.many = name == "embeds";
    Some(targets.fold(rule, RefRule::or))
}

/// Posts, pages and the types of plugins: what visitors read.
fn is_content(of: &SiteCollection) -> bool {
    of.form == Form::Posts && of.slug != "nav_menu_item" && !of.slug.starts_with("wp_")
}

fn is_label(of: &SiteCollection) -> bool {
    of.form == Form::Whole && !matches!(of.slug.as_str(), "users" | "nav_menu")
}

fn is_embedded(of: &SiteCollection) -> bool {
    of.form == Form::Media || matches!(of.slug.as_str(), "wp_block" | "wp_navigation")
}
