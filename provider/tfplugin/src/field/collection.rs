// SPDX-License-Identifier: Apache-2.0
//! Lists, sets and maps.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::{Field, Mismatch};
use crate::schema::{Kind, Nesting};
use crate::{Path, Type, Value};

/// A collection of values, such as `Vec<T>`.
pub trait Collection: Field {
    /// The type of the elements.
    type Element: Field;
    /// The type of the elements without `Attr` and `Option`.
    type Item: Field;
}

macro_rules! element_of {
    ($collection:ty, $($bound:tt)*) => {
        impl<T: $($bound)*> Collection for $collection {
            type Element = T;
            type Item = T::Plain;
        }
    };
}
element_of!(Vec<T>, Field);
element_of!(Set<T>, Field);
element_of!(BTreeSet<T>, Field + Ord);
element_of!(BTreeMap<String, T>, Field);

/// The kind of a collection: nested if the elements are objects with a schema, else a plain type.
fn collection(element: Kind, nesting: Nesting, plain: fn(Type) -> Type) -> Kind {
    match element {
        Kind::Nested {
            nesting: Nesting::Single,
            object,
        } => Kind::Nested { nesting, object },
        other => Kind::Value(plain(other.ty())),
    }
}

fn items_from<T: Field>(value: Value) -> Result<Vec<T>, Mismatch> {
    match value {
        Value::List(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| T::from_value(item).map_err(|mismatch| mismatch.inside(Path::root().index(index))))
            .collect(),
        other => Err(Mismatch::expected("a list", &other)),
    }
}

fn items_to<'a, T: Field>(items: impl IntoIterator<Item = &'a T>) -> Value {
    Value::List(items.into_iter().map(Field::to_value).collect())
}

impl<T: Field> Field for Vec<T> {
    type Plain = Self;

    fn kind() -> Kind {
        collection(T::kind(), Nesting::List, Type::list)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        items_from(value)
    }

    fn to_value(&self) -> Value {
        items_to(self)
    }
}

impl<T: Field + Ord> Field for BTreeSet<T> {
    type Plain = Self;

    fn kind() -> Kind {
        collection(T::kind(), Nesting::Set, Type::set)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        // A position means nothing to the user of a set.
        items_from(value).map(Self::from_iter).map_err(at_the_set)
    }

    fn to_value(&self) -> Value {
        items_to(self)
    }
}

fn at_the_set(mismatch: Mismatch) -> Mismatch {
    match mismatch {
        Mismatch::Unknown => Mismatch::Unknown,
        Mismatch::Invalid { message, .. } => Mismatch::invalid(message),
    }
}

/// A Terraform set, for elements that have no order in Rust.
#[derive(Clone, Debug, PartialEq)]
pub struct Set<T>(pub Vec<T>);

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Set<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> Borrow<[T]> for Set<T> {
    fn borrow(&self) -> &[T] {
        &self.0
    }
}

impl<T> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Field> Field for Set<T> {
    type Plain = Self;

    fn kind() -> Kind {
        collection(T::kind(), Nesting::Set, Type::set)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        items_from(value).map(Self).map_err(at_the_set)
    }

    fn to_value(&self) -> Value {
        items_to(&self.0)
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    type Plain = Self;

    fn kind() -> Kind {
        collection(T::kind(), Nesting::Map, Type::map)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Map(items) => items
                .into_iter()
                .map(|(key, item)| match T::from_value(item) {
                    Ok(item) => Ok((key, item)),
                    Err(mismatch) => Err(mismatch.inside(Path::root().key(key))),
                })
                .collect(),
            other => Err(Mismatch::expected("a map", &other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(key, item)| (key.clone(), item.to_value())).collect())
    }
}
