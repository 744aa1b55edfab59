// SPDX-License-Identifier: Apache-2.0
//! Pages of lists: `maxResults` and `nextToken`.
//!
//! A token is base64url of a version byte, a MAC and the key after which the page starts. The MAC also covers what the
//! list is of, so that a token is good for the same list only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_operations::AccessGate;
use hythe_wire::{DEFAULT_MAX_RESULTS, MAX_MAX_RESULTS};

use crate::Problem;

/// The longest token, in bytes. The longest key is a repository name or a digest.
const MAX_TOKEN_BYTES: usize = 512;
const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;

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
                open(|text| gate.page_mac(text), &list, token).ok_or_else(|| {
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
        Some(seal(|text| gate.page_mac(text), &self.list, &last?.to_string()))
    }
}

/// The token of the page of `list` after `key`.
pub(crate) fn seal(mac: impl Fn(&[u8]) -> [u8; MAC_BYTES], list: &str, key: &str) -> String {
    let mac = mac(&covered(list, key.as_bytes()));
    URL_SAFE_NO_PAD.encode([&[VERSION], mac.as_slice(), key.as_bytes()].concat())
}

/// The key in a token of `list`; `None` if it is none.
pub(crate) fn open(mac: impl Fn(&[u8]) -> [u8; MAC_BYTES], list: &str, token: &str) -> Option<String> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (sent, key) = bytes.strip_prefix(&[VERSION])?.split_at_checked(MAC_BYTES)?;
    // In constant time, as all that is secret is compared.
    let difference = mac(&covered(list, key))
        .iter()
        .zip(sent)
        .fold(0, |bits, (a, b)| bits | (a ^ b));
    (difference == 0).then(|| String::from_utf8(key.to_vec()).ok())?
}

fn covered(list: &str, key: &[u8]) -> Vec<u8> {
    [list.as_bytes(), &[0], key].concat()
}
