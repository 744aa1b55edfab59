// SPDX-License-Identifier: Apache-2.0
//! The tokens of pages, for the fuzz targets in `tests/fuzz-targets` and for nobody else.
#![allow(missing_docs, reason = "not a part of the interface: see `page`")]

/// A MAC that is none, and no encryption: whoever fuzzes shall get past both.
fn mac(list: &str, key: &[u8]) -> [u8; 16] {
    let text = [list.as_bytes(), &[0], key].concat();
    let mut sum = [0; 16];
    for (index, byte) in text.iter().enumerate() {
        if let Some(place) = sum.get_mut(index % 16) {
            *place = byte.wrapping_add(*place).rotate_left(1);
        }
    }
    sum
}

#[must_use]
pub fn seal_page_token(list: &str, key: &str) -> String {
    crate::page::seal(|list, key| [&mac(list, key), key].concat(), list, key)
}

#[must_use]
pub fn open_page_token(list: &str, token: &str) -> Option<String> {
    let open = |list: &str, sealed: &[u8]| {
        let (sum, key) = sealed.split_at_checked(16)?;
        (mac(list, key) == sum).then(|| key.to_vec())
    };
    crate::page::open(open, list, token)
}
