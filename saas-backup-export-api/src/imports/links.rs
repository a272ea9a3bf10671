use std::collections::{BTreeMap, BTreeSet};

use saas_backup_core::{Key, Principal, Record, Reference, References};

use super::Links;

/// Keys of the origin, and the keys here.
pub(super) type Map = BTreeMap<Key, Key>;

impl Links {
    pub(super) fn of(record: &Record) -> Self {
        Self { refs: record.refs.clone(), by: record.by.clone(), access: record.access.clone() }
    }

    pub(super) fn put_into(self, record: &mut Record) {
        (record.refs, record.by, record.access) = (self.refs, self.by, self.access);
    }

    /// The records that it points to. Those of another account are what they are.
    pub(super) fn keys(&self) -> BTreeSet<Key> {
        let principals = self.access.iter().filter_map(|access| match &access.principal {
            Principal::Record(reference) => Some(reference),
            Principal::Named(_) => None,
        });
        let inherited = self.access.iter().filter_map(|access| access.inherited_from.as_ref());
        let all = self.refs.values().flat_map(References::iter).chain(&self.by).chain(principals).chain(inherited);
        all.filter(|reference| reference.account.is_none()).map(Reference::key).collect()
    }

    /// The same with the keys here; what the map does not have is left out, and given back.
    pub(super) fn mapped(&self, map: &Map) -> (Self, Vec<Reference>) {
        let mut mapper = Mapper { map, missing: BTreeSet::new() };
        let refs = self.refs.iter().map(|(name, to)| (name.clone(), mapper.references(to))).collect();
        let by = self.by.as_ref().and_then(|by| mapper.reference(by));
        let mut access = Vec::with_capacity(self.access.len());
        for permission in &self.access {
            let mut permission = permission.clone();
            if let Principal::Record(who) = &permission.principal {
                let Some(who) = mapper.reference(who) else { continue };
                permission.principal = Principal::Record(who);
            }
            permission.inherited_from = permission.inherited_from.as_ref().and_then(|from| mapper.reference(from));
            access.push(permission);
        }
        (Self { refs, by, access }, mapper.missing.into_iter().collect())
    }
}

struct Mapper<'a> {
    map: &'a Map,
    missing: BTreeSet<Reference>,
}

impl Mapper<'_> {
    fn references(&mut self, to: &References) -> References {
        match to {
            References::One(one) => self.reference(one).map_or(References::None, References::One),
            References::Many(many) => References::Many(many.iter().filter_map(|one| self.reference(one)).collect()),
            References::None => References::None,
        }
    }

    fn reference(&mut self, to: &Reference) -> Option<Reference> {
        if to.account.is_some() {
            return Some(to.clone());
        }
        let found = self.map.get(&to.key()).map(Reference::from);
        if found.is_none() {
            self.missing.insert(to.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use saas_backup_core::{Access, Json};

    use super::*;

    fn key(text: &str) -> Key {
        let (collection, id) = text.split_once('/').unwrap();
        Key::parse(collection, id).unwrap()
    }

    fn to(text: &str) -> Reference {
        Reference::from(&key(text))
    }

    #[test]
    fn relationships_get_the_keys_here_and_what_is_missing_is_told() {
        let mut elsewhere = to("users/u_9");
        elsewhere.account = Some("another".to_owned());
        let mut record = Record::new(key("notes/n_1"), Json::parse("{}").unwrap())
            .with_ref("parent", to("notes/n_0"))
            .with_refs("readers", vec![to("users/u_1"), to("users/u_2"), elsewhere.clone()]);
        record.by = Some(to("users/u_3"));
        record.access = vec![
            Access::new(Principal::Record(to("users/u_1")), "reader"),
            Access::new(Principal::Record(to("users/u_4")), "owner"),
            Access::new(Principal::Named("everyone".to_owned()), "reader"),
        ];
        let links = Links::of(&record);
        assert_eq!(links.keys().len(), 5);
        let map = Map::from([(key("users/u_1"), key("users/v_1")), (key("notes/n_0"), key("notes/m_0"))]);
        let (mapped, missing) = links.mapped(&map);
        assert_eq!(missing, [to("users/u_2"), to("users/u_3"), to("users/u_4")]);
        assert_eq!(mapped.refs["parent"], References::One(to("notes/m_0")));
        assert_eq!(mapped.refs["readers"], References::Many(vec![to("users/v_1"), elsewhere]));
        assert_eq!(mapped.by, None);
        let who: Vec<_> = mapped.access.iter().map(|access| &access.principal).collect();
        assert_eq!(who, [&Principal::Record(to("users/v_1")), &Principal::Named("everyone".to_owned())]);
    }
}
