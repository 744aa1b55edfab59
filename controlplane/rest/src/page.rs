// SPDX-License-Identifier: Apache-2.0
//! Pages of lists: `maxResults` and `nextToken`.
//!
//! A token is base64url of a version byte and the key after which the page starts, encrypted: it may be the name of something
//! that was passed over, since the caller may not know of it. What the list is of goes into the encryption, so that a token
//! is good for the same list only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_operations::AccessGate;
use hythe_wire::{DEFAULT_MAX_RESULTS, MAX_MAX_RESULTS};

use crate::Problem;

/// The longest token, in bytes. The longest key is a repository name or a digest.
const MAX_TOKEN_BYTES: usize = 512;
const VERSION: u8 = 2;
/// Keys are filled up to a multiple of this, so that the length of a token tells little of theirs.
const PADDED_TO: usize = 64;

/// Which page of a list is asked for.
#[derive(Debug)]
pub(crate) struct PageRequest {
    /// How many entries, 1 to [`MAX_MAX_RESULTS`].
    pub(crate) limit: usize,
    /// The key after which it starts.
    pub(crate) after: Option<String>,
    list: String,
}

impl PageRequest {
    /// `list`: what the list is of, with all filters.
    pub(crate) fn new(
        gate: &AccessGate,
        list: String,
        max_results: Option<u32>,
        next_token: Option<&str>,
    ) -> Result<Self, Problem> {
        let limit = max_results.unwrap_or(DEFAULT_MAX_RESULTS);
        if !(1..=MAX_MAX_RESULTS).contains(&limit) {
            return Err(Problem::invalid(
                "maxResults",
                format!("it must be between 1 and {MAX_MAX_RESULTS}"),
            ));
        }
        let after = next_token
            .map(|token| {
                open(|list, sealed| gate.open_page(list, sealed), &list, token).ok_or_else(|| {
                    Problem::invalid(
                        "nextToken",
                        "it must be the nextToken of the page before, of the same list",
                    )
                })
            })
            .transpose()?;
        Ok(Self {
            limit: limit as usize,
            after,
            list,
        })
    }

    /// The key after which the page starts, parsed.
    pub(crate) fn after<K: std::str::FromStr>(&self) -> Result<Option<K>, Problem> {
        let parse = |key: &String| {
            key.parse()
                .map_err(|_| Problem::invalid("nextToken", "it is of another list"))
        };
        self.after.as_ref().map(parse).transpose()
    }

    /// The token of the page after `last`.
    pub(crate) fn token(&self, gate: &AccessGate, last: Option<impl ToString>) -> Option<String> {
        let encrypt = |list: &str, key: &[u8]| gate.seal_page(list, key);
        Some(seal(encrypt, &self.list, &last?.to_string()))
    }
}

/// The token of the page of `list` after `key`.
pub(crate) fn seal(encrypt: impl Fn(&str, &[u8]) -> Vec<u8>, list: &str, key: &str) -> String {
    let length = u16::try_from(key.len()).unwrap_or_default().to_be_bytes();
    let mut padded = [length.as_slice(), key.as_bytes()].concat();
    padded.resize(padded.len().next_multiple_of(PADDED_TO), 0);
    URL_SAFE_NO_PAD.encode([&[VERSION], encrypt(list, &padded).as_slice()].concat())
}

/// The key in a token of `list`; `None` if it is none.
pub(crate) fn open(decrypt: impl Fn(&str, &[u8]) -> Option<Vec<u8>>, list: &str, token: &str) -> Option<String> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let padded = decrypt(list, bytes.strip_prefix(&[VERSION])?)?;
    let (length, rest) = padded.split_first_chunk()?;
    let (key, filled) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    // Only as it is made above, so that a key has one token.
    let is_filled = padded.len() % PADDED_TO == 0 && filled.len() < PADDED_TO;
    let is_whole = is_filled && filled.iter().all(|byte| *byte == 0);
    is_whole.then(|| String::from_utf8(key.to_vec()).ok())?
}
