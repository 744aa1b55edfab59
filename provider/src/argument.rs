// SPDX-License-Identifier: Apache-2.0
//! Checks on arguments, by the parsers that the server uses.

use std::fmt::Display;
use std::str::FromStr;

use tfplugin::{Attr, Diagnostic, Diagnostics, Path, Result};

/// Whether `text` is a `T`.
pub(crate) fn parses<T: FromStr>(text: &str) -> Result<(), T::Err> {
    text.parse::<T>().map(|_| ())
}

/// The `T` that the attribute `name` holds.
pub(crate) fn parsed<T>(name: &str, value: &Attr<String>) -> Result<T>
where
    T: FromStr<Err: Display>,
{
    let text = value.required(name)?;
    text.parse()
        .map_err(|error: T::Err| invalid(Path::new(name), error.to_string()).into())
}

/// The error about the value at `path`.
pub(crate) fn invalid(path: Path, problem: impl Into<String>) -> Diagnostic {
    Diagnostic::error(format!("Invalid `{path}`"), problem).at(path)
}

/// Adds the error of a failed check to `diagnostics`.
pub(crate) fn check<E: Display>(diagnostics: &mut Diagnostics, path: Path, result: Result<(), E>) {
    if let Err(error) = result {
        diagnostics.push(invalid(path, error.to_string()));
    }
}
