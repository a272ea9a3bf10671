use std::collections::HashMap;

use super::json::{Member, Value, items, members};
use super::scalar::{number, plain_text, text};

/// Members of the objects that become rows: what comes later stands in one column of JSON.
const MAX_ROW_MEMBERS: usize = 500;
/// Members of an object in a row: with more, it is a dictionary and not a part of the row.
const MAX_MEMBERS: usize = 100;
/// Places that all records of a collection have together: two columns each are within what databases take.
const MAX_PLACES: usize = 900;
/// Lists that all records of a collection have together: each may be a file that is open.
const MAX_LISTS: usize = 60;
/// Objects and lists in each other that are taken apart; what is deeper stands in a column of JSON.
const MAX_DEPTH: usize = 6;

/// What has been seen in a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(pub(super) u32);

impl Seen {
    pub(crate) const BOOL: Self = Self(1);
    /// An integer within 63 bits.
    pub(crate) const INTEGER: Self = Self(1 << 1);
    /// An integer beyond.
    pub(crate) const BIG: Self = Self(1 << 2);
    /// A number with a fraction and without exponent.
    pub(crate) const DECIMAL: Self = Self(1 << 3);
    /// A number with exponent, or a zero with a sign.
    pub(crate) const ODD: Self = Self(1 << 4);
    /// A number that a double does not print as it stands.
    pub(crate) const INEXACT: Self = Self(1 << 5);
    pub(crate) const TEXT: Self = Self(1 << 6);
    pub(crate) const DATE: Self = Self(1 << 7);
    /// A date and time with its offset.
    pub(crate) const INSTANT: Self = Self(1 << 8);
    /// A date and time without.
    pub(crate) const LOCAL: Self = Self(1 << 9);
    /// A time in more than microseconds, or with another offset than `Z`.
    pub(crate) const FINE: Self = Self(1 << 10);
    /// A text that a cell of CSV does not hold: with a NUL or a lone carriage return, or what stands for NULL.
    pub(crate) const AWKWARD: Self = Self(1 << 11);
    /// A string with half of a surrogate pair.
    pub(crate) const BROKEN: Self = Self(1 << 12);
    pub(crate) const OBJECT: Self = Self(1 << 13);
    pub(crate) const ARRAY: Self = Self(1 << 14);
    /// Members that have no place.
    pub(crate) const MORE: Self = Self(1 << 15);

    pub(crate) const NUMBER: Self = Self::INTEGER.and(Self::BIG).and(Self::DECIMAL).and(Self::ODD);
    const TEXTS: Self = Self::TEXT.and(Self::DATE).and(Self::INSTANT).and(Self::LOCAL);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of these was seen.
    pub(crate) const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    /// Whether nothing but these was seen.
    const fn only(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }
}

/// The type of a column of plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    Boolean,
    /// Within 63 bits.
    Integer,
    Number,
    Text,
    Date,
    Instant,
    Local,
}

/// The type of a column of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spill {
    Object,
    Array,
    Any,
}

/// What becomes of a place: plain values in one column, the members of objects in theirs, the items of lists as rows,
/// and everything else as JSON in another column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) scalar: Option<Scalar>,
    pub(crate) spill: Option<Spill>,
    pub(crate) object: bool,
    pub(crate) list: bool,
}

/// What stands in one place of all records of a collection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) seen: Seen,
    /// Most digits before and behind the point.
    pub(crate) digits: (usize, usize),
    /// In the order in which they were met.
    pub(crate) members: Vec<(String, Shape)>,
    index: HashMap<String, usize>,
    pub(crate) items: Option<Box<Shape>>,
}

impl Shape {
    /// What becomes of the place; `strict` if a column of text does not take every text.
    pub(crate) fn parts(&self, strict: bool) -> Parts {
        self.seen.parts(!self.members.is_empty(), self.items.is_some(), strict)
    }

    /// What becomes of the items that are no objects, if this is the shape of a list's items.
    pub(crate) fn plain_parts(&self, strict: bool) -> Option<Parts> {
        let plain = Seen(self.seen.0 & !Seen::OBJECT.and(Seen::MORE).0);
        let objects = plain == Seen::default() && !self.members.is_empty();
        (!objects).then(|| plain.parts(false, self.items.is_some(), strict))
    }
}

impl Seen {
    fn parts(self, members: bool, items: bool, strict: bool) -> Parts {
        let seen = self;
        let texts = if strict { Seen::TEXTS } else { Seen::TEXTS.and(Seen::AWKWARD) };
        let (scalar, fits) = if seen.any(texts) {
            let scalar = match seen.0 & texts.0 {
                flags if flags == Seen::DATE.0 => Scalar::Date,
                flags if flags == Seen::INSTANT.0 => Scalar::Instant,
                flags if flags == Seen::LOCAL.0 => Scalar::Local,
                _ => Scalar::Text,
            };
            (Some(scalar), texts)
        } else if seen.any(Seen::NUMBER) {
            let integers = seen.0 & Seen::NUMBER.0 == Seen::INTEGER.0;
            (Some(if integers { Scalar::Integer } else { Scalar::Number }), Seen::NUMBER)
        } else if seen.any(Seen::BOOL) {
            (Some(Scalar::Boolean), Seen::BOOL)
        } else {
            (None, Seen::default())
        };
        let notes = Seen::FINE.and(Seen::INEXACT);
        let object = seen.only(Seen::OBJECT) && members;
        let list = seen.only(Seen::ARRAY) && items;
        let misfits = Seen(seen.0 & !fits.0 & !notes.0);
        let spill = (misfits != Seen::default() && !object && !list).then(|| {
            if misfits.only(Seen::OBJECT.and(Seen::MORE)) {
                Spill::Object
            } else if misfits.only(Seen::ARRAY) {
                Spill::Array
            } else {
                Spill::Any
            }
        });
        // A place that was always empty is a column that is always empty.
        let empty = scalar.is_none() && spill.is_none() && !object && !list;
        Parts { scalar: scalar.or(empty.then_some(Scalar::Text)), spill, object, list }
    }
}

/// Learns the shape of the records of one collection.
#[derive(Debug, Default)]
pub(crate) struct Learner {
    pub(crate) shape: Shape,
    room: Taken,
}

/// What a collection has of the places and lists that it may have.
#[derive(Debug, Default)]
struct Taken {
    places: usize,
    lists: usize,
}

impl Learner {
    /// Looks at the data of one record.
    pub(crate) fn learn(&mut self, data: &str) {
        self.shape.row(Value::of(data), 0, &mut self.room);
    }
}

impl Shape {
    /// Looks at a value that becomes a row, if it is an object.
    fn row(&mut self, value: Value<'_>, depth: usize, room: &mut Taken) {
        match value {
            Value::Object(object) => {
                self.seen = self.seen.and(Seen::OBJECT);
                let all = self.object(object, MAX_ROW_MEMBERS, depth, room);
                if !all {
                    self.seen = self.seen.and(Seen::MORE);
                }
            }
            value => self.value(value, depth, room),
        }
    }

    fn value(&mut self, value: Value<'_>, depth: usize, room: &mut Taken) {
        let seen = match value {
            Value::Null => return,
            Value::Bool(_) => Seen::BOOL,
            Value::Number(token) => {
                let (seen, digits) = number(token);
                self.digits = (self.digits.0.max(digits.0), self.digits.1.max(digits.1));
                seen
            }
            Value::Text(quoted) => match quoted.content() {
                Some(content) if quoted.is_escaped() => text(&content),
                Some(content) => plain_text(&content),
                None => Seen::BROKEN,
            },
            Value::Object(object) => {
                let whole = depth < MAX_DEPTH
                    && !self.seen.any(Seen::MORE)
                    && self.object(object, MAX_MEMBERS, depth + 1, room);
                if !whole {
                    self.members.clear();
                    self.index.clear();
                }
                if whole { Seen::OBJECT } else { Seen::OBJECT.and(Seen::MORE) }
            }
            Value::Array(array) => {
                let mut items = items(array).peekable();
                if depth < MAX_DEPTH && items.peek().is_some() && (self.items.is_some() || room.lists < MAX_LISTS) {
                    let shape = self.items.get_or_insert_with(|| {
                        room.lists += 1;
                        Box::default()
                    });
                    items.for_each(|item| shape.row(item, depth + 1, room));
                }
                Seen::ARRAY
            }
        };
        self.seen = self.seen.and(seen);
    }

    /// Looks at the members; whether each has a place.
    fn object(&mut self, object: &str, most: usize, depth: usize, room: &mut Taken) -> bool {
        let mut all = true;
        for (position, Member { name, value, .. }) in members(object).enumerate() {
            // Objects of one kind mostly have their members in one order.
            let here = self.members.get(position).is_some_and(|(known, _)| *known == name);
            let place = if here { Some(position) } else { self.index.get(&*name).copied() };
            let place = match place {
                Some(place) => place,
                None if self.members.len() < most && room.places < MAX_PLACES => {
                    room.places += 1;
                    self.index.insert(name.clone().into_owned(), self.members.len());
                    self.members.push((name.into_owned(), Self::default()));
                    self.members.len() - 1
                }
                None => {
                    all = false;
                    continue;
                }
            };
            if let Some((_, shape)) = self.members.get_mut(place) {
                shape.value(value, depth, room);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(records: &[&str]) -> Shape {
        let mut learner = Learner::default();
        for record in records {
            learner.learn(record);
        }
        learner.shape
    }

    fn parts(values: &[&str]) -> Parts {
        let records: Vec<_> = values.iter().map(|value| format!("{{\"x\":{value}}}")).collect();
        let shape = learned(&records.iter().map(String::as_str).collect::<Vec<_>>());
        shape.members[0].1.parts(true)
    }

    fn scalar(kind: Scalar, spill: Option<Spill>) -> Parts {
        Parts { scalar: Some(kind), spill, ..Parts::default() }
    }

    #[test]
    fn values_of_one_kind_are_a_column_and_others_stand_beside_it() {
        assert_eq!(parts(&["1", "null", "-9223372036854775808"]), scalar(Scalar::Integer, None));
        assert_eq!(parts(&["1", "9223372036854775808"]), scalar(Scalar::Number, None));
        assert_eq!(parts(&["1", "1.10", "1e400"]), scalar(Scalar::Number, None));
        assert_eq!(parts(&["true", "false"]), scalar(Scalar::Boolean, None));
        assert_eq!(parts(&["true", "1"]), scalar(Scalar::Integer, Some(Spill::Any)));
        assert_eq!(parts(&["\"a\"", "1", "{}"]), scalar(Scalar::Text, Some(Spill::Any)));
        assert_eq!(parts(&["\"a\"", "\"\\ud800\""]), scalar(Scalar::Text, Some(Spill::Any)));
        assert_eq!(parts(&["\"a\"", "\"a\\rb\""]), scalar(Scalar::Text, Some(Spill::Any)));
        assert_eq!(parts(&["\"a\"", "{\"b\":1}"]), scalar(Scalar::Text, Some(Spill::Object)));
        assert_eq!(parts(&["null"]), scalar(Scalar::Text, None));
        assert_eq!(parts(&["\"2024-02-29\""]), scalar(Scalar::Date, None));
        assert_eq!(parts(&["\"2024-02-29\"", "\"2024-02-30\""]), scalar(Scalar::Text, None));
        assert_eq!(
            parts(&["\"2024-02-29T00:00:00Z\"", "\"2024-02-29T00:00:00.5+02:00\""]),
            scalar(Scalar::Instant, None)
        );
        assert_eq!(parts(&["\"2024-02-29T00:00:00\""]), scalar(Scalar::Local, None));
        assert_eq!(parts(&["{\"a\":1}", "{}", "null"]), Parts { object: true, ..Parts::default() });
        assert_eq!(parts(&["{}"]), Parts { spill: Some(Spill::Object), ..Parts::default() });
        assert_eq!(parts(&["[]"]), Parts { spill: Some(Spill::Array), ..Parts::default() });
        assert_eq!(parts(&["[1]", "[]"]), Parts { list: true, ..Parts::default() });
        assert_eq!(parts(&["[1]", "{\"a\":1}"]), Parts { spill: Some(Spill::Any), ..Parts::default() });
    }

    #[test]
    fn dictionaries_and_depth_are_bounded() {
        let many: Vec<_> = (0..3000).map(|number| format!("\"key {number}\":1")).collect();
        let object = format!("{{{}}}", many.join(","));
        assert_eq!(parts(&[&object, "{\"a\":1}"]), Parts { spill: Some(Spill::Object), ..Parts::default() });
        let root = learned(&[&object]);
        assert!(root.members.len() == MAX_ROW_MEMBERS && root.seen.any(Seen::MORE));
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        let shape = learned(&[&deep]);
        let mut depth = 0;
        let mut here = &shape;
        while let Some((_, next)) = here.members.first() {
            (here, depth) = (next, depth + 1);
        }
        assert_eq!(depth, MAX_DEPTH + 1);
        assert_eq!(here.parts(true).spill, Some(Spill::Object));
    }
}
