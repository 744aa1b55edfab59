// SPDX-License-Identifier: Apache-2.0
//! Pages: `n` and `last` with the link to the next page of the data plane, `nextToken` of the control plane.

use hythe_distribution::fuzzing::{next_link, page};

use crate::text;

/// The most entries that a page may have.
const MAX_PAGE_ITEMS: usize = 1000;
/// The whole input as a query; its first line as what a list is of, and the rest as a key and as a token.
pub fn paging(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some((limit, after)) = page(text) {
        assert!(limit <= MAX_PAGE_ITEMS);
        assert_ne!(after.as_deref(), Some(""));
        let last = after.clone().unwrap_or_default();
        let link = next_link("/v2/web/tags/list", &[("n", &limit.to_string()), ("last", &last)]);
        let target = link
            .strip_prefix('<')
            .and_then(|rest| rest.split_once(">; rel=\"next\""));
        let (target, rest) = target.expect("a link of RFC 8288");
        assert!(rest.is_empty() && !target.contains(['<', '>', '"', ' ']), "{link}");
        let target: http::Uri = target.parse().expect("a URI");
        assert_eq!(page(target.query().unwrap_or_default()), Some((limit, after)));
    }

    #[cfg(feature = "control-plane")]
    tokens(text);
}

/// A token that was made says its key, and no other token says it. That it is good for its own list only is for the
/// tests with a true MAC.
#[cfg(feature = "control-plane")]
fn tokens(text: &str) {
    use hythe_rest::fuzzing::{open_page_token, seal_page_token};

    /// The longest key that a token has to carry: a repository's name.
    const MAX_KEY_BYTES: usize = 256;

    let (list, key) = crate::first_line(text);
    if key.len() <= MAX_KEY_BYTES {
        let token = seal_page_token(list, key);
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert_eq!(open_page_token(list, &token).as_deref(), Some(key));
        // The MAC of this target is none, so another list may have the same; but no other token says the same key.
        let shorter = token.get(..token.len() - 1).unwrap_or_default();
        assert_ne!(open_page_token(list, shorter).as_deref(), Some(key), "cut short");
    }
    if let Some(found) = open_page_token(list, key) {
        assert_eq!(seal_page_token(list, &found), key, "a key has one token");
    }
}
