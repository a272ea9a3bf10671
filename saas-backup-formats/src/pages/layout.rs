use std::collections::BTreeMap;

use saas_backup_core::{Catalog, Collection, CollectionName, Kind};

/// What becomes of the records of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Each is a page.
    Pages,
    /// Each stands on the page of the record that this relationship points to.
    Thread { via: String },
    /// Each is a row of a table.
    Table,
}

/// Chooses the shape of each collection by its kind and its field mapping.
pub(crate) fn shapes(catalog: &Catalog) -> BTreeMap<CollectionName, Shape> {
    catalog.collections.iter().map(|collection| (collection.name.clone(), shape(catalog, collection))).collect()
}

fn shape(catalog: &Catalog, collection: &Collection) -> Shape {
    if is_page(collection) {
        return Shape::Pages;
    }
    if !matches!(collection.kind, Kind::Comment | Kind::Message) {
        return Shape::Table;
    }
    let leads_to_pages = |to: &[CollectionName]| to.iter().any(|name| catalog.get(name).is_some_and(is_page));
    let candidates = || collection.refs.iter().filter(|rule| !rule.many && leads_to_pages(&rule.to));
    match candidates().find(|rule| rule.required).or_else(|| candidates().next()) {
        Some(rule) => Shape::Thread { via: rule.name.clone() },
        None if collection.fields.body.is_some() => Shape::Pages,
        None => Shape::Table,
    }
}

fn is_page(collection: &Collection) -> bool {
    match collection.kind {
        Kind::Document | Kind::Folder | Kind::Issue | Kind::Conversation => true,
        Kind::Event | Kind::Record | Kind::Product | Kind::Automation | Kind::Other => collection.fields.body.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use saas_backup_core::{Body, FieldMapping, Markup, RefRule};

    fn name(text: &str) -> CollectionName {
        CollectionName::parse(text).unwrap()
    }

    #[test]
    fn kinds_and_mappings_choose_the_shape() {
        let mut with_body = FieldMapping::default();
        with_body.body = Some(Body::new("text", Markup::Plain));
        let catalog = Catalog::new(vec![
            Collection::new(name("pages"), Kind::Document),
            Collection::new(name("users"), Kind::User).with_fields(with_body.clone()),
            Collection::new(name("notes"), Kind::Other).with_fields(with_body.clone()),
            Collection::new(name("settings"), Kind::Other),
            Collection::new(name("comments"), Kind::Comment)
                .with_ref(RefRule::one("answers", name("comments")))
                .with_ref(RefRule::one("near", name("pages")))
                .with_ref(RefRule::one("on", name("pages")).required()),
            Collection::new(name("mails"), Kind::Message).with_fields(with_body),
        ]);
        let shapes: Vec<_> = shapes(&catalog).into_iter().map(|(name, shape)| (name.to_string(), shape)).collect();
        let expected = [
            ("comments", Shape::Thread { via: "on".to_owned() }),
            ("mails", Shape::Pages),
            ("notes", Shape::Pages),
            ("pages", Shape::Pages),
            ("settings", Shape::Table),
            ("users", Shape::Table),
        ];
        assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape)));
    }
}
