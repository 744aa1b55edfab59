// SPDX-License-Identifier: Apache-2.0
//! Manifests: storing, reading and deleting them, by tag and by digest.

mod delete;
mod get;
mod put;
mod translate;

use hythe_access::RequestContext;
use hythe_model::{ParseError, Reference, Tag};

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

/// What a request names: its tags, if it names some.
fn naming<'t>(tags: impl IntoIterator<Item = &'t Tag>) -> RequestContext {
    RequestContext {
        image_tags: tags.into_iter().map(ToString::to_string).collect(),
        ..RequestContext::default()
    }
}

/// The tag of a reference that is one.
fn tag_of(reference: &Reference) -> Option<&Tag> {
    match reference {
        Reference::Tag(tag) => Some(tag),
        Reference::Digest(_) => None,
    }
}

fn parse_reference(input: &Input, of_tag: fn(ParseError) -> InputError) -> Result<Reference, InputError> {
    let text = &input.argument;
    text.parse()
        .map_err(if text.contains(':') { InputError::Digest } else { of_tag })
}
