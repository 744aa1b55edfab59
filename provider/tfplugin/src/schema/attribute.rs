// SPDX-License-Identifier: Apache-2.0
//! Attributes: flags, defaults, equality and validators.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::Kind;
use crate::field::{Field, Mismatch};
use crate::value::{self, Value};
use crate::{Path, Type};

/// Who sets an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The user must.
    Required,
    /// The user may; absent otherwise.
    Optional,
    /// The user may; the provider does otherwise, by a default or at apply.
    OptionalComputed,
    /// Only the provider does.
    Computed,
}

impl Mode {
    /// Whether the provider may choose the value when the user did not.
    #[must_use]
    pub fn is_computed(self) -> bool {
        matches!(self, Self::OptionalComputed | Self::Computed)
    }

    /// Whether the user may write the attribute.
    #[must_use]
    pub fn is_configurable(self) -> bool {
        self != Self::Computed
    }
}

/// One attribute.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties, as Terraform has them"
)]
pub struct Attribute {
    /// The name in configurations.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Markdown.
    pub description: String,
    /// Why not to use it any more, and what instead.
    pub deprecation: Option<String>,
    /// Who sets it.
    pub mode: Mode,
    /// Whether Terraform hides the value.
    pub is_sensitive: bool,
    /// Whether the value is only in the configuration, never in plan or state.
    pub is_write_only: bool,
    /// Whether a change needs a new object.
    pub forces_replacement: bool,
    /// Whether an update never changes the value.
    pub is_stable: bool,
    /// The value when the user gives none.
    pub default: Option<Value>,
    /// The only texts allowed, for documentation; a validator enforces them.
    pub allowed: Vec<String>,
    /// When two values mean the same.
    pub equality: Option<Equality>,
    /// Server values that mean the same as an absent argument.
    pub omitted: Option<Validator>,
    /// Checks on configured values.
    pub validators: Vec<Validator>,
}

impl Attribute {
    /// An attribute with no further properties.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: Kind, mode: Mode) -> Self {
        Self {
            name: name.into(),
            kind,
            description: String::new(),
            deprecation: None,
            mode,
            is_sensitive: false,
            is_write_only: false,
            forces_replacement: false,
            is_stable: false,
            default: None,
            allowed: Vec::new(),
            equality: None,
            omitted: None,
            validators: Vec::new(),
        }
    }

    /// Sets the description.
    #[must_use]
    pub fn describe(mut self, markdown: &str) -> Self {
        markdown.clone_into(&mut self.description);
        self
    }

    /// Sets the deprecation message.
    #[must_use]
    pub fn deprecate(mut self, message: &str) -> Self {
        self.deprecation = Some(message.to_owned());
        self
    }

    /// Hides the value from Terraform's output.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.is_sensitive = true;
        self
    }

    /// Keeps the value out of plan and state. Needs Terraform 1.11.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.is_write_only = true;
        self
    }

    /// Makes a change need a new object.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.forces_replacement = true;
        self
    }

    /// Promises that an update never changes the value.
    #[must_use]
    pub fn stable(mut self) -> Self {
        self.is_stable = true;
        self
    }

    /// Sets the value when the user gives none; makes an optional attribute computed too.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        if self.mode == Mode::Optional {
            self.mode = Mode::OptionalComputed;
        }
        self
    }

    /// Allows only these texts, in the value itself or in each of its elements.
    #[must_use]
    pub fn one_of<T: Into<String>>(mut self, allowed: impl IntoIterator<Item = T>) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self.validators.push(Validator::one_of(self.allowed.clone()));
        self
    }

    /// Sets when two values mean the same.
    #[must_use]
    pub fn equality(mut self, equality: Equality) -> Self {
        self.equality = Some(equality);
        self
    }

    /// Sets which values of the server mean the same as an absent argument.
    #[must_use]
    pub fn omitted(mut self, test: Validator) -> Self {
        self.omitted = Some(test);
        self
    }

    /// Adds a check on configured values.
    #[must_use]
    pub fn validate(mut self, validator: Validator) -> Self {
        self.validators.push(validator);
        self
    }

    /// Whether two values mean the same: equal, or equal by the attribute's own rule.
    #[must_use]
    pub fn means_same(&self, a: &Value, b: &Value) -> bool {
        let ty = match &self.kind {
            Kind::Value(ty) => ty,
            Kind::Nested { .. } => &self.kind.ty(),
        };
        if value::same(ty, a, b) {
            return true;
        }
        let comparable = !a.is_null() && !b.is_null() && a.is_wholly_known() && b.is_wholly_known();
        comparable && self.equality.as_ref().is_some_and(|equality| (equality.0)(a, b))
    }
}

/// Decides whether two values mean the same.
#[derive(Clone)]
pub struct Equality(Arc<Comparison>);

type Comparison = dyn Fn(&Value, &Value) -> bool + Send + Sync;

impl Equality {
    /// From a function on the Rust type: `Equality::new::<String, _, _>(same_policy)` with `fn same_policy(&str, &str) -> bool`.
    pub fn new<T, B, F>(same: F) -> Self
    where
        T: Field + Borrow<B>,
        B: ?Sized,
        F: Fn(&B, &B) -> bool + Send + Sync + 'static,
    {
        Self(Arc::new(move |a, b| {
            match (T::from_value(a.clone()), T::from_value(b.clone())) {
                (Ok(a), Ok(b)) => same(a.borrow(), b.borrow()),
                _ => false,
            }
        }))
    }
}

impl fmt::Debug for Equality {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Equality")
    }
}

/// Checks a known value; says what is wrong and where.
#[derive(Clone)]
pub struct Validator(Arc<Check>);

type Check = dyn Fn(&Value) -> Result<(), (Path, String)> + Send + Sync;

impl Validator {
    /// From a function on the Rust type: `Validator::new::<String, _, _, _>(check)` with `fn check(&str) -> Result<(), E>`.
    ///
    /// Values with unknown parts are not checked.
    pub fn new<T, B, E, F>(check: F) -> Self
    where
        T: Field + Borrow<B>,
        B: ?Sized,
        E: fmt::Display,
        F: Fn(&B) -> Result<(), E> + Send + Sync + 'static,
    {
        Self(Arc::new(move |value| match T::from_value(value.clone()) {
            Ok(value) => check(value.borrow()).map_err(|error| (Path::root(), error.to_string())),
            Err(Mismatch::Unknown) => Ok(()),
            Err(Mismatch::Invalid { path, message }) => Err((path, message)),
        }))
    }

    /// Passes the values for which `test` is true: `Validator::accepts::<String, _, _>(is_default)` with `fn is_default(&str) -> bool`.
    pub fn accepts<T, B, F>(test: F) -> Self
    where
        T: Field + Borrow<B>,
        B: ?Sized,
        F: Fn(&B) -> bool + Send + Sync + 'static,
    {
        Self::new::<T, B, _, _>(move |value: &B| if test(value) { Ok(()) } else { Err("not accepted") })
    }

    /// Applies `inner` to every element of a list, set or map. Errors inside a set are placed at the set.
    #[must_use]
    pub fn each(inner: Self, ty: &Type) -> Self {
        let is_set = matches!(ty, Type::Set(_));
        Self(Arc::new(move |value| match value {
            Value::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                let step = if is_set {
                    Path::root()
                } else {
                    Path::root().index(index)
                };
                inner.check(item).map_err(|(path, message)| (step.join(&path), message))
            }),
            Value::Map(items) => items.iter().try_for_each(|(key, item)| {
                inner
                    .check(item)
                    .map_err(|(path, message)| (Path::root().key(key).join(&path), message))
            }),
            _ => Ok(()),
        }))
    }

    fn one_of(allowed: Vec<String>) -> Self {
        fn refused<'a>(allowed: &[String], value: &'a Value) -> Option<&'a str> {
            match value {
                Value::String(text) => (!allowed.contains(text)).then_some(text.as_str()),
                Value::List(items) => items.iter().find_map(|item| refused(allowed, item)),
                Value::Map(items) => items.values().find_map(|item| refused(allowed, item)),
                _ => None,
            }
        }
        Self(Arc::new(move |value| match refused(&allowed, value) {
            Some(text) => Err((Path::root(), format!("`{text}` is not one of: {}", allowed.join(", ")))),
            None => Ok(()),
        }))
    }

    /// Runs the check; null and unknown pass.
    pub(crate) fn check(&self, value: &Value) -> Result<(), (Path, String)> {
        if value.is_null() || value.is_unknown() {
            Ok(())
        } else {
            (self.0)(value)
        }
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Validator")
    }
}
