//! Columns of nested values, built row by row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use saas_backup_core::{Error, ErrorKind, Result};

use super::leaf::Leaf;
use crate::table::{Identifiers, Member, Parts, Scalar, Seen, Shape, Value, column_name, items, members, pointer};

/// What a place of the records becomes: at most one column of values and one of JSON.
#[derive(Debug)]
pub(super) struct Place {
    values: Option<(FieldRef, Values)>,
    spill: Option<(FieldRef, StringBuilder)>,
    scalar: Option<Scalar>,
}

#[derive(Debug)]
enum Values {
    Leaf(Leaf),
    Object(Object),
    List(Box<List>),
}

/// The members of an object, each a place.
#[derive(Debug, Default)]
pub(super) struct Object {
    members: Vec<Place>,
    names: Vec<String>,
    index: HashMap<String, usize>,
    /// Items of a list that are no objects.
    value: Option<Box<Place>>,
    /// Members that have no column of their own.
    rest: Option<(FieldRef, StringBuilder)>,
    valid: Validity,
}

#[derive(Debug)]
struct List {
    item: Object,
    field: FieldRef,
    /// The items are the values themselves and no structs.
    plain: bool,
    offsets: Vec<i32>,
    length: i32,
    valid: Validity,
}

#[derive(Debug)]
struct Validity(NullBufferBuilder);

impl Default for Validity {
    fn default() -> Self {
        Self(NullBufferBuilder::new(0))
    }
}

/// A field that tells where its values stand in a record.
pub(super) fn field(name: &str, kind: DataType, path: &str) -> FieldRef {
    let place = HashMap::from([("path".to_owned(), path.to_owned())]);
    Arc::new(Field::new(name, kind, true).with_metadata(place))
}

impl Place {
    fn new(shape: &Shape, parts: Parts, wanted: &str, path: &str, taken: &mut Identifiers) -> Self {
        let values = if let Some(scalar) = parts.scalar {
            Some(Values::Leaf(Leaf::of(scalar, shape)))
        } else if parts.object {
            Some(Values::Object(Object::new(shape, path)))
        } else {
            shape.items.as_deref().filter(|_| parts.list).map(|items| Values::List(Box::new(List::new(items, path))))
        };
        let values = values.map(|values| (field(&taken.give(wanted, path), values.data_type(), path), values));
        let spill = parts.spill.map(|_| {
            let name = taken.give(&format!("{wanted}_json"), path);
            (field(&name, DataType::Utf8, path), StringBuilder::new())
        });
        Self { values, spill, scalar: parts.scalar }
    }

    fn fields(&self, into: &mut Vec<FieldRef>) {
        into.extend(self.values.as_ref().map(|(field, _)| Arc::clone(field)));
        into.extend(self.spill.as_ref().map(|(field, _)| Arc::clone(field)));
    }

    fn finish(&mut self, into: &mut Vec<ArrayRef>) -> Result<()> {
        if let Some((_, values)) = &mut self.values {
            into.push(values.finish()?);
        }
        if let Some((_, spill)) = &mut self.spill {
            into.push(Arc::new(spill.finish()));
        }
        Ok(())
    }

    /// Takes the value of a row; a name that stands twice is given to `twice`.
    fn take(&mut self, value: Value<'_>, twice: &mut Vec<String>) {
        let held = match &mut self.values {
            Some((_, values)) => values.take(value, self.scalar, twice),
            None => false,
        };
        if let Some((_, spill)) = &mut self.spill {
            if held || value == Value::Null {
                spill.append_null();
            } else {
                spill.append_value(value.text());
            }
        }
    }
}

impl Values {
    fn data_type(&self) -> DataType {
        match self {
            Self::Leaf(leaf) => leaf.data_type(),
            Self::Object(object) => DataType::Struct(object.fields().into()),
            Self::List(list) => DataType::List(Arc::clone(&list.field)),
        }
    }

    /// Takes a value, or nothing if it is of another kind; says which.
    fn take(&mut self, value: Value<'_>, scalar: Option<Scalar>, twice: &mut Vec<String>) -> bool {
        match (self, value) {
            (Self::Leaf(leaf), value) => return take_plain(leaf, value, scalar),
            (Self::Object(object), Value::Object(text)) => object.take(text, twice),
            (Self::List(list), Value::Array(text)) => list.take(text, twice),
            (Self::Object(object), _) => {
                object.null(twice);
                return false;
            }
            (Self::List(list), _) => {
                list.null();
                return false;
            }
        }
        true
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        match self {
            Self::Leaf(leaf) => Ok(leaf.finish()),
            Self::Object(object) => object.finish(),
            Self::List(list) => list.finish(),
        }
    }
}

fn take_plain(leaf: &mut Leaf, value: Value<'_>, scalar: Option<Scalar>) -> bool {
    let texts = matches!(scalar, Some(Scalar::Text | Scalar::Date | Scalar::Instant | Scalar::Local));
    let numbers = matches!(scalar, Some(Scalar::Integer | Scalar::Number));
    let text = match value {
        Value::Text(quoted) if texts => quoted.content(),
        _ => None,
    };
    match (value, text) {
        (Value::Bool(truth), _) if scalar == Some(Scalar::Boolean) => leaf.boolean(truth),
        (Value::Number(token), _) if numbers => leaf.value(token),
        (_, Some(text)) => leaf.value(&text),
        _ => {
            leaf.null();
            return false;
        }
    }
    true
}

impl Object {
    /// The columns of an object.
    pub(super) fn new(shape: &Shape, path: &str) -> Self {
        let mut object = Self::default();
        let mut taken = Identifiers::default();
        for (name, shape) in &shape.members {
            let (path, wanted) = (pointer(path, name), column_name(name));
            object.index.insert(name.clone(), object.members.len());
            object.names.push(name.clone());
            object.members.push(Place::new(shape, shape.parts(false), &wanted, &path, &mut taken));
        }
        if shape.seen.any(Seen::MORE) {
            object.rest = Some((field("_rest_json", DataType::Utf8, path), StringBuilder::new()));
        }
        object
    }

    pub(super) fn fields(&self) -> Vec<FieldRef> {
        let mut fields = Vec::new();
        let places = self.members.iter().chain(self.value.as_deref());
        places.for_each(|place| place.fields(&mut fields));
        fields.extend(self.rest.as_ref().map(|(field, _)| Arc::clone(field)));
        fields
    }

    /// Takes the members of an object. Names that stand twice are given to `twice`: the first value counts.
    pub(super) fn take(&mut self, text: &str, twice: &mut Vec<String>) {
        let mut values = vec![None; self.members.len()];
        let mut rest = String::new();
        for (position, Member { name, quoted, value }) in members(text).enumerate() {
            let here = self.names.get(position).is_some_and(|known| *known == name);
            let place = if here { Some(position) } else { self.index.get(&*name).copied() };
            match place.and_then(|place| values.get_mut(place)) {
                Some(Some(_)) => twice.push(name.into_owned()),
                Some(first) => *first = Some(value),
                None => rest.extend([if rest.is_empty() { "" } else { "," }, quoted, ":", value.text()]),
            }
        }
        for (place, value) in self.members.iter_mut().zip(values) {
            place.take(value.unwrap_or(Value::Null), twice);
        }
        if let Some(value) = &mut self.value {
            value.take(Value::Null, twice);
        }
        if let Some((_, column)) = &mut self.rest {
            column.append_option((!rest.is_empty()).then(|| format!("{{{rest}}}")));
        }
        self.valid.0.append_non_null();
    }

    /// Takes an item that is no object.
    fn item(&mut self, item: Value<'_>, twice: &mut Vec<String>) {
        for place in &mut self.members {
            place.take(Value::Null, twice);
        }
        if let Some(value) = &mut self.value {
            value.take(item, twice);
        }
        if let Some((_, column)) = &mut self.rest {
            column.append_null();
        }
        self.valid.0.append(item != Value::Null);
    }

    fn null(&mut self, twice: &mut Vec<String>) {
        self.item(Value::Null, twice);
    }

    /// Forgets which rows there are, where nobody asks.
    pub(super) fn restart(&mut self) {
        self.valid = Validity::default();
    }

    pub(super) fn arrays(&mut self) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::new();
        for place in self.members.iter_mut().chain(self.value.as_deref_mut()) {
            place.finish(&mut arrays)?;
        }
        if let Some((_, column)) = &mut self.rest {
            arrays.push(Arc::new(column.finish()));
        }
        Ok(arrays)
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let (fields, length) = (Fields::from(self.fields()), self.valid.0.len());
        let (arrays, valid) = (self.arrays()?, self.valid.0.finish());
        if fields.is_empty() {
            return Ok(Arc::new(StructArray::new_empty_fields(length, valid)));
        }
        Ok(Arc::new(StructArray::try_new(fields, arrays, valid).map_err(failed)?))
    }
}

impl List {
    fn new(items: &Shape, path: &str) -> Self {
        let path = format!("{path}/*");
        let mut item = Object::new(items, &path);
        if let Some(parts) = items.plain_parts(false) {
            let place = Place::new(items, parts, "value", &path, &mut Identifiers::default());
            item.value = Some(Box::new(place));
        }
        let fields = item.fields();
        let plain = item.members.is_empty() && item.rest.is_none() && fields.len() == 1;
        let kind = match fields.first() {
            Some(field) if plain => field.data_type().clone(),
            _ => DataType::Struct(fields.into()),
        };
        let field = field("element", kind, &path);
        Self { item, field, plain, offsets: vec![0], length: 0, valid: Validity::default() }
    }

    fn take(&mut self, array: &str, twice: &mut Vec<String>) {
        for item in items(array) {
            match item {
                Value::Object(object) if !self.plain => self.item.take(object, twice),
                _ => self.item.item(item, twice),
            }
            self.length += 1;
        }
        self.offsets.push(self.length);
        self.valid.0.append_non_null();
    }

    fn null(&mut self) {
        self.offsets.push(self.length);
        self.valid.0.append_null();
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let values = if self.plain {
            self.item.restart();
            self.item.arrays()?.pop().ok_or_else(|| Error::new(ErrorKind::Unexpected, "a list without a column"))?
        } else {
            self.item.finish()?
        };
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        self.length = 0;
        let list = ListArray::try_new(Arc::clone(&self.field), offsets, values, self.valid.0.finish());
        Ok(Arc::new(list.map_err(failed)?))
    }
}

pub(super) fn failed(error: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Unexpected, "the columns do not fit each other").with_source(error)
}
