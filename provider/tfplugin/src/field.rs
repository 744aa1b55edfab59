// SPDX-License-Identifier: Apache-2.0
//! How Rust types and Terraform values correspond.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use crate::schema::{Attribute, Kind, NestedBlock, Nesting, ObjectSchema};
use crate::{Attr, Number, Path, Type, Value};

/// Why a [`Value`] does not fit a Rust type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A part is unknown and the type cannot say so. An enclosing [`Attr`] becomes unknown.
    #[error("the value is not known yet")]
    Unknown,
    /// The value does not fit.
    #[error("{message}")]
    Invalid {
        /// Where in the value.
        path: Path,
        /// What was expected; never contains the value.
        message: String,
    },
}

impl Mismatch {
    /// A value that does not fit, at the place where it is noticed.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            path: Path::root(),
            message: message.into(),
        }
    }

    /// The same mismatch, seen from outside `step`.
    #[must_use]
    pub fn inside(self, step: Path) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Invalid { path, message } => Self::Invalid {
                path: step.join(&path),
                message,
            },
        }
    }

    fn expected(what: &str, value: &Value) -> Self {
        match value {
            Value::Unknown => Self::Unknown,
            other => Self::invalid(format!("expected {what}, found {}", other.describe())),
        }
    }
}

/// A Rust type that can be the value of an attribute.
///
/// `String`, `bool`, integers, `f64`, [`Number`], [`Value`] (any type), `Vec` (list), [`Set`] and `BTreeSet` (set),
/// `BTreeMap<String, _>` (map), `Option` and [`Attr`], and structs with `#[derive(Object)]`.
pub trait Field: Sized + Send + Sync + 'static {
    /// The type without `Attr` and `Option`: what validators and equality functions see.
    type Plain: Field;
    /// Whether the type can hold an unknown value.
    const HOLDS_UNKNOWN: bool = false;
    /// Whether the type can hold null.
    const HOLDS_NULL: bool = false;

    /// The Terraform type, or the nested schema.
    fn kind() -> Kind;
    /// Reads a value.
    fn from_value(value: Value) -> Result<Self, Mismatch>;
    /// Writes the value.
    fn to_value(&self) -> Value;
}

/// A struct whose fields are attributes and nested blocks. Derived by `Schema`, `Object` and `Identity`.
pub trait Fields: Sized + Send + Sync + 'static {
    /// The attributes, in the order of the fields.
    fn attributes() -> Vec<Attribute>;
    /// The nested blocks, in the order of the fields.
    #[must_use]
    fn blocks() -> Vec<NestedBlock> {
        Vec::new()
    }
    /// Reads an object. Missing attributes are null.
    fn from_object(object: BTreeMap<String, Value>) -> Result<Self, Mismatch>;
    /// Writes an object.
    fn to_object(&self) -> BTreeMap<String, Value>;

    /// The attributes and blocks together.
    #[must_use]
    fn object_schema() -> ObjectSchema {
        ObjectSchema {
            attributes: Self::attributes(),
            blocks: Self::blocks(),
        }
    }
}

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

/// Reads the attribute `name`; used by derived code.
#[doc(hidden)]
pub fn take_field<T: Field>(object: &mut BTreeMap<String, Value>, name: &str) -> Result<T, Mismatch> {
    T::from_value(object.remove(name).unwrap_or_default()).map_err(|mismatch| mismatch.inside(Path::new(name)))
}

/// Reads a struct from an object value.
#[doc(hidden)]
pub fn from_object_value<T: Fields>(value: Value) -> Result<T, Mismatch> {
    match value {
        Value::Map(object) => T::from_object(object),
        other => Err(Mismatch::expected("an object", &other)),
    }
}

impl<T: Field> Field for Attr<T> {
    type Plain = T::Plain;
    const HOLDS_UNKNOWN: bool = true;
    const HOLDS_NULL: bool = true;

    fn kind() -> Kind {
        T::kind()
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Unknown => Ok(Self::Unknown),
            value => match T::from_value(value) {
                Err(Mismatch::Unknown) => Ok(Self::Unknown),
                result => result.map(Self::Known),
            },
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Known(value) => value.to_value(),
            Self::Null => Value::Null,
            Self::Unknown => Value::Unknown,
        }
    }
}

impl<T: Field> Field for Option<T> {
    type Plain = T::Plain;
    const HOLDS_NULL: bool = true;

    fn kind() -> Kind {
        T::kind()
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        if value.is_null() {
            Ok(None)
        } else {
            T::from_value(value).map(Some)
        }
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::to_value)
    }
}

impl Field for String {
    type Plain = Self;

    fn kind() -> Kind {
        Kind::Value(Type::String)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(Mismatch::expected("a string", &other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Field for bool {
    type Plain = Self;

    fn kind() -> Kind {
        Kind::Value(Type::Bool)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Bool(truth) => Ok(truth),
            other => Err(Mismatch::expected("a boolean", &other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Field for Number {
    type Plain = Self;

    fn kind() -> Kind {
        Kind::Value(Type::Number)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        match value {
            Value::Number(number) => Ok(number),
            other => Err(Mismatch::expected("a number", &other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.clone())
    }
}

impl Field for f64 {
    type Plain = Self;

    fn kind() -> Kind {
        Kind::Value(Type::Number)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Number::from_value(value).map(|number| number.to_f64())
    }

    fn to_value(&self) -> Value {
        // The shortest decimal, as a person would write it, not the exact binary value.
        self.to_string().parse().map_or(Value::Null, Value::Number)
    }
}

macro_rules! integer_field {
    ($($integer:ty => $narrow:ident),*) => {$(
        impl Field for $integer {
            type Plain = Self;

            fn kind() -> Kind {
                Kind::Value(Type::Number)
            }

            fn from_value(value: Value) -> Result<Self, Mismatch> {
                let number = Number::from_value(value)?;
                number.$narrow().and_then(|integer| Self::try_from(integer).ok()).ok_or_else(|| {
                    Mismatch::invalid(format!("expected a whole number from {} to {}", Self::MIN, Self::MAX))
                })
            }

            fn to_value(&self) -> Value {
                Value::from(*self)
            }
        }
    )*};
}
integer_field!(i8 => to_i64, i16 => to_i64, i32 => to_i64, i64 => to_i64);
integer_field!(u8 => to_u64, u16 => to_u64, u32 => to_u64, u64 => to_u64);

impl Field for Value {
    type Plain = Self;
    const HOLDS_UNKNOWN: bool = true;
    const HOLDS_NULL: bool = true;

    fn kind() -> Kind {
        Kind::Value(Type::Dynamic)
    }

    fn from_value(value: Value) -> Result<Self, Mismatch> {
        Ok(value)
    }

    fn to_value(&self) -> Value {
        self.clone()
    }
}

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
