use std::collections::{BTreeMap, BTreeSet};

use saas_backup_core::{Catalog, Collection, CollectionName, Error, ErrorKind, Kind, Result};

use crate::pages::{Shape, shapes};

/// A form that a collection can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Documents,
    Tables,
    Calendars,
    Contacts,
    Mail,
    Files,
    Repositories,
}

impl Fit {
    pub(super) const ALL: [Self; 7] =
        [Self::Documents, Self::Tables, Self::Calendars, Self::Contacts, Self::Mail, Self::Files, Self::Repositories];

    /// The name of the format.
    pub(super) fn format(self) -> &'static str {
        match self {
            Self::Documents => "markdown",
            Self::Tables => "csv",
            Self::Calendars => "ics",
            Self::Contacts => "vcf",
            Self::Mail => "eml",
            Self::Files => "files",
            Self::Repositories => "git",
        }
    }

    /// The folder that it is written to.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Tables => "tables",
            Self::Calendars => "calendars",
            Self::Contacts => "contacts",
            Self::Mail => "mail",
            Self::Files => "files",
            Self::Repositories => "repositories",
        }
    }

    /// What a person opens it with.
    pub(super) fn opens(self) -> &'static str {
        match self {
            Self::Documents => "Obsidian, Hugo, any editor",
            Self::Tables => "any spreadsheet or database; `datapackage.json` has types and keys",
            Self::Calendars => "any calendar",
            Self::Contacts => "any address book",
            Self::Mail => "any mail program",
            Self::Files => "what each file is for",
            Self::Repositories => "`git clone`",
        }
    }

    fn of_kind(collection: &Collection, shape: Option<&Shape>) -> Self {
        let is_mail = || ["from", "message_id", "raw"].iter().any(|it| collection.fields.properties.contains_key(*it));
        match collection.kind {
            Kind::Event => Self::Calendars,
            Kind::Contact => Self::Contacts,
            Kind::File | Kind::Media => Self::Files,
            Kind::Repository => Self::Repositories,
            Kind::Message if is_mail() => Self::Mail,
            _ if matches!(shape, Some(Shape::Pages | Shape::Thread { .. })) => Self::Documents,
            _ => Self::Tables,
        }
    }
}

/// The collections that each form has: those that it fits, or that a person gave it.
pub(super) fn fitted(catalog: &Catalog) -> Result<BTreeMap<Fit, BTreeSet<CollectionName>>> {
    let shapes = shapes(catalog);
    let mut fitted: BTreeMap<Fit, BTreeSet<CollectionName>> = BTreeMap::new();
    for collection in &catalog.collections {
        let fit = match &collection.form {
            None => Fit::of_kind(collection, shapes.get(&collection.name)),
            Some(form) => Fit::ALL.into_iter().find(|fit| fit.format() == form).ok_or_else(|| {
                let known: Vec<&str> = Fit::ALL.into_iter().map(Fit::format).collect();
                Error::new(ErrorKind::Configuration, "the overlay names a form that there is not")
                    .with_context("collection", &collection.name)
                    .with_context("form", form)
                    .with_context("there are", known.join(" "))
            })?,
        };
        fitted.entry(fit).or_default().insert(collection.name.clone());
    }
    Ok(fitted)
}

/// The collections, and those that they refer to: names and links in a form are those of other records.
pub(super) fn with_their_own(catalog: &Catalog, collections: &BTreeSet<CollectionName>) -> BTreeSet<CollectionName> {
    let rules = collections.iter().filter_map(|name| catalog.get(name)).flat_map(|collection| &collection.refs);
    let referred = rules.flat_map(|rule| &rule.to).filter(|name| catalog.get(name).is_some());
    referred.chain(collections).cloned().collect()
}

#[cfg(test)]
mod tests {
    use saas_backup_core::{Body, FieldMapping, Markup, RefRule};

    use super::*;

    fn name(text: &str) -> CollectionName {
        CollectionName::parse(text).unwrap()
    }

    #[test]
    fn kinds_and_fields_choose_the_form_and_an_overlay_says_otherwise() {
        let mut mail = FieldMapping::default();
        mail.properties.insert("from".to_owned(), "headers.from".to_owned());
        let mut text = FieldMapping::default();
        text.body = Some(Body::new("text", Markup::Plain));
        let mut chosen = Collection::new(name("logs"), Kind::Document);
        chosen.form = Some("csv".to_owned());
        let mut catalog = Catalog::new(vec![
            Collection::new(name("pages"), Kind::Document).with_ref(RefRule::one("author", name("users"))),
            Collection::new(name("comments"), Kind::Comment).with_ref(RefRule::one("on", name("pages"))),
            Collection::new(name("mails"), Kind::Message).with_fields(mail),
            Collection::new(name("chats"), Kind::Message).with_fields(text),
            Collection::new(name("dates"), Kind::Event),
            Collection::new(name("people"), Kind::Contact),
            Collection::new(name("pictures"), Kind::Media),
            Collection::new(name("code"), Kind::Repository),
            Collection::new(name("users"), Kind::User),
            chosen,
        ]);
        let fitted_to = |fitted: &BTreeMap<Fit, BTreeSet<CollectionName>>, fit| {
            let names = fitted.get(&fit).into_iter().flatten().map(CollectionName::as_str);
            names.collect::<Vec<_>>().join(" ")
        };
        let found = fitted(&catalog).unwrap();
        let expected = ["chats comments pages", "logs users", "dates", "people", "mails", "pictures", "code"];
        assert_eq!(Fit::ALL.map(|fit| fitted_to(&found, fit)), expected);

        let documents = with_their_own(&catalog, &found[&Fit::Documents]);
        assert!(documents.contains(&name("users")) && documents.len() == 4, "{documents:?}");

        catalog.collections[0].form = Some("papyrus".to_owned());
        assert_eq!(fitted(&catalog).unwrap_err().kind(), ErrorKind::Configuration);
    }
}
