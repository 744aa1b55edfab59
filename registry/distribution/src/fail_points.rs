// SPDX-License-Identifier: Apache-2.0
//! The fail points of this crate.

/// Every [`hythe_model::fail_point`] of this crate, for tests that end the process at each of them.
pub const FAIL_POINTS: &[&str] = &[
    "blob.delete.answer",
    "upload.append.received",
    "upload.append.recorded",
    "upload.begin.recorded",
    "upload.cancel.abandoned",
    "upload.cancel.ended",
    "upload.expire.abandoned",
    "upload.expire.forgotten",
    "upload.expire.stale_abandoned",
    "upload.finish.linked",
    "upload.finish.published",
    "upload.finish.sealed",
    "upload.rehash.copied",
    "upload.rehash.linked",
    "upload.rehash.published",
    "upload.whole.linked",
    "upload.whole.received",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::{read_dir, read_to_string};
    use std::path::Path;

    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else {
                let text = read_to_string(&path).unwrap();
                let calls = text.split("fail_point(\"").skip(1);
                found.extend(calls.map(|rest| rest[..rest.find('"').unwrap()].to_owned()));
            }
        }
    }

    #[test]
    fn the_list_names_every_fail_point() {
        let mut found = BTreeSet::new();
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let listed: Vec<_> = found
            .iter()
            .map(String::as_str)
            .filter(|name| name.contains('.'))
            .collect();
        assert_eq!(super::FAIL_POINTS, listed);
    }
}
