// SPDX-License-Identifier: Apache-2.0
//! Manifests: storing, reading and deleting them, by tag and by digest.

mod delete;
mod get;
mod put;
mod translate;

use hythe_model::{ParseError, Reference};

use crate::input::{Input, InputError};

pub(crate) use delete::{DeleteManifestError, delete};
pub(crate) use get::{GetManifestError, get, head};
pub(crate) use put::{PutManifestError, put};
pub(crate) use translate::{TranslateError, Translations};

/// How often a change is tried again that met another one at the same time.
const MAX_ATTEMPTS: u32 = 4;
/// Manifests above this size, in bytes, are checked and translated on another thread: they hold a core for more than a
/// millisecond.
const MAX_INLINE_CHECK_BYTES: usize = 256 * 1024;

/// The image that a read names. A tag that breaks the grammar names an image that does not exist.
fn existing_reference(input: &Input) -> Result<Reference, InputError> {
    parse_reference(input, InputError::ReferenceUnknown)
}

fn parse_reference(input: &Input, of_tag: fn(ParseError) -> InputError) -> Result<Reference, InputError> {
    let text = &input.argument;
    text.parse()
        .map_err(if text.contains(':') { InputError::Digest } else { of_tag })
}
