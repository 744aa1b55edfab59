// SPDX-License-Identifier: Apache-2.0
//! Terraform's values, and their two encodings.

mod compare;
mod json;
mod msgpack;
mod number;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use compare::same;
pub use json::{decode_json, from_json};
pub use msgpack::{decode, encode};
pub use number::{Number, NumberError};

use crate::{Path, Type};

/// Deepest nesting of a value that is decoded or encoded.
pub const MAX_DEPTH: usize = 100;

/// A value of any Terraform type. Which type it has is said by a schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Absent.
    #[default]
    Null,
    /// Not known before apply.
    Unknown,
    /// Text.
    String(String),
    /// A number of any size.
    Number(Number),
    /// True or false.
    Bool(bool),
    /// A list, set or tuple.
    List(Vec<Value>),
    /// A map, object or nested block.
    Map(BTreeMap<String, Value>),
    /// The value of a `dynamic` attribute, with the type that Terraform or the provider chose.
    Dynamic(Box<(Type, Value)>),
}

/// Why bytes are not a value of the expected type, or a value cannot be encoded as that type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if path.is_root() { String::new() } else { format!("{path}: ") })]
pub struct ValueError {
    /// Where in the value.
    pub path: Path,
    /// What is wrong; never contains the value.
    pub message: String,
}

impl ValueError {
    pub(crate) fn new(path: &Path, message: impl Into<String>) -> Self {
        Self {
            path: path.clone(),
            message: message.into(),
        }
    }
}

impl Value {
    /// Whether the value is absent.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Dynamic(inner) => inner.1.is_null(),
            _ => false,
        }
    }

    /// Whether the value as a whole is unknown. Parts of a known value may be unknown.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Dynamic(inner) => inner.1.is_unknown(),
            _ => false,
        }
    }

    /// Whether neither the value nor a part of it is unknown.
    #[must_use]
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::List(items) => items.iter().all(Self::is_wholly_known),
            Self::Map(items) => items.values().all(Self::is_wholly_known),
            Self::Dynamic(inner) => inner.1.is_wholly_known(),
            _ => true,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list, set or tuple.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The elements of a map or object.
    #[must_use]
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(items) => Some(items),
            _ => None,
        }
    }

    /// The attribute of an object; null if absent.
    #[must_use]
    pub fn get(&self, name: &str) -> &Self {
        self.as_map().and_then(|items| items.get(name)).unwrap_or(&Self::Null)
    }

    /// An object from its attributes.
    #[must_use]
    pub fn object<K: Into<String>, V: Into<Self>>(attributes: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Map(
            attributes
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    /// The value with every unknown part replaced by null.
    #[must_use]
    pub fn unknown_to_null(self) -> Self {
        match self {
            Self::Unknown => Self::Null,
            Self::List(items) => Self::List(items.into_iter().map(Self::unknown_to_null).collect()),
            Self::Map(items) => Self::Map(
                items
                    .into_iter()
                    .map(|(key, item)| (key, item.unknown_to_null()))
                    .collect(),
            ),
            Self::Dynamic(inner) => Self::Dynamic(Box::new((inner.0, inner.1.unknown_to_null()))),
            known => known,
        }
    }

    /// The most specific type that the value has by itself: lists become tuples, maps become objects.
    #[must_use]
    pub fn natural_type(&self) -> Type {
        match self {
            Self::Null | Self::Unknown => Type::Dynamic,
            Self::String(_) => Type::String,
            Self::Number(_) => Type::Number,
            Self::Bool(_) => Type::Bool,
            Self::List(items) => Type::Tuple(items.iter().map(Self::natural_type).collect()),
            Self::Map(items) => Type::Object(
                items
                    .iter()
                    .map(|(key, item)| (key.clone(), item.natural_type()))
                    .collect(),
            ),
            Self::Dynamic(inner) => inner.0.clone(),
        }
    }

    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown => "an unknown value",
            Self::String(_) => "a string",
            Self::Number(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Dynamic(_) => "a dynamic value",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value {
            fn from(integer: $integer) -> Self {
                Self::Number(Number::from(integer))
            }
        }
    )*};
}
from_integer!(i8, i16, i32, i64, u8, u16, u32, u64, usize);

impl From<f64> for Value {
    /// The exact value; infinities and NaN become null.
    fn from(float: f64) -> Self {
        Number::try_from(float).map_or(Self::Null, Self::Number)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>, const N: usize> From<[T; N]> for Value {
    fn from(items: [T; N]) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Self>> From<BTreeMap<String, T>> for Value {
    fn from(items: BTreeMap<String, T>) -> Self {
        Self::object(items)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
