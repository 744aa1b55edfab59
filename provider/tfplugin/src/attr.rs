// SPDX-License-Identifier: Apache-2.0
//! A typed attribute value that may be absent or not known yet.

use crate::{Diagnostic, Diagnostics, Path, Result};

/// The value of an attribute: known, null, or unknown until apply.
///
/// Every field of a resource's struct is an `Attr`, because during planning any
/// argument may depend on a resource that does not exist yet. In `create`,
/// `update`, `read` and `delete` the configured arguments are always known;
/// only computed attributes that the logic has to fill are unknown there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attr<T> {
    /// A known value.
    Known(T),
    /// Absent.
    #[default]
    Null,
    /// Not known before apply. A list that holds an unknown element is unknown, unless its elements are `Attr` too.
    Unknown,
}

impl<T> Attr<T> {
    /// The value, if it is known and present.
    #[must_use]
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// The value, if it is known and present.
    #[must_use]
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// Whether the value is absent.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value is not known yet.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The value; an error at `attribute` if it is null or unknown.
    pub fn required(&self, attribute: &str) -> Result<&T> {
        self.known().ok_or_else(|| {
            let state = if self.is_null() {
                "has no value"
            } else {
                "is not known yet"
            };
            Diagnostics::from(
                Diagnostic::error(
                    format!("Missing `{attribute}`"),
                    format!("`{attribute}` {state}, but is needed here."),
                )
                .at(Path::new(attribute)),
            )
        })
    }

    /// Applies `change` to a known value.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Attr<U> {
        match self {
            Self::Known(value) => Attr::Known(change(value)),
            Self::Null => Attr::Null,
            Self::Unknown => Attr::Unknown,
        }
    }

    /// The same attribute, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> Attr<&T> {
        match self {
            Self::Known(value) => Attr::Known(value),
            Self::Null => Attr::Null,
            Self::Unknown => Attr::Unknown,
        }
    }
}

impl<T> Attr<T> {
    /// The value if it is known and present, else `other`.
    #[must_use]
    pub fn unwrap_or(self, other: T) -> T {
        self.into_known().unwrap_or(other)
    }
}

impl<T: Default> Attr<T> {
    /// The value if it is known and present, else the type's default.
    #[must_use]
    pub fn unwrap_or_default(self) -> T {
        self.into_known().unwrap_or_default()
    }
}

impl Attr<String> {
    /// The text, if it is known and present.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.known().map(String::as_str)
    }
}

impl<T> From<T> for Attr<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T> From<Option<T>> for Attr<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Known)
    }
}

impl From<&str> for Attr<String> {
    fn from(text: &str) -> Self {
        Self::Known(text.to_owned())
    }
}
