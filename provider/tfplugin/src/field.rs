// SPDX-License-Identifier: Apache-2.0
//! How Rust types and Terraform values correspond.

mod collection;

use std::collections::BTreeMap;

pub use collection::{Collection, Set};

use crate::schema::{Attribute, Kind, NestedBlock, ObjectSchema};
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
