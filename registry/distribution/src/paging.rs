// SPDX-License-Identifier: Apache-2.0
//! Pages of lists: `n`, `last`, and the `Link` to the next page.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::input::{Input, InputError};

/// The most items of a page, and the size of a page whose client names none (ECR allows at most 1000 tags).
pub(crate) const MAX_PAGE_ITEMS: usize = 1000;

/// Which part of a list a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// At most this many items.
    pub(crate) limit: usize,
    /// Only items after this one.
    pub(crate) after: Option<String>,
}

impl PageRequest {
    /// Reads `n` and `last`. A larger `n` than [`MAX_PAGE_ITEMS`] is as good as that.
    pub(crate) fn from_input(input: &Input) -> Result<Self, InputError> {
        let limit = match input.parameter("n") {
            None => MAX_PAGE_ITEMS,
            Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().unwrap_or(MAX_PAGE_ITEMS).min(MAX_PAGE_ITEMS)
            }
            Some(text) => return Err(InputError::PageSize(text)),
        };
        Ok(Self {
            limit,
            after: input.parameter("last").filter(|last| !last.is_empty()),
        })
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) has_more: bool,
}

/// The value of a `Link` header (RFC 8288) to the page of `path` with these parameters.
pub(crate) fn next_link(path: &str, parameters: &[(&str, &str)]) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/');
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)))
        .collect();
    format!("<{path}?{}>; rel=\"next\"", query.join("&"))
}
