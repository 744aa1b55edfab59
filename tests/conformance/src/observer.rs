// SPDX-License-Identifier: Apache-2.0
//! What holds for every answer, whatever was asked, and which headers were seen.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::wire::{Answer, Ask};

/// The codes that an error document of a 4xx may have ("Error Codes"), and the two of old that clients may meet
/// ("Legacy Docker support error codes").
const CODES: [&str; 16] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "TAG_INVALID",
    "MANIFEST_UNVERIFIED",
];

/// The most bytes of warnings in one answer ("Warnings").
const MAX_WARNING_BYTES: usize = 4096;

/// The headers that answers may have, each with the checks that show what it promises. An empty list: it promises
/// nothing but what the observer looks at itself, or what HTTP needs to carry the answer.
pub const HEADERS: &[(&str, &[&str])] = &[
    ("accept-ranges", &["blob-range-first-last", "blob-range-suffix"]),
    ("allow", &["method-not-allowed", "manifest-delete-protected"]),
    ("cache-control", &[]),
    ("connection", &[]),
    ("content-length", &["blob-head", "manifest-head"]),
    ("content-range", &["blob-range-first-last", "blob-range-beyond"]),
    ("content-type", &["manifest-content-type"]),
    ("date", &[]),
    (
        "docker-content-digest",
        &["manifest-digest-header", "blob-digest-header"],
    ),
    ("docker-distribution-api-version", &["api-version-header"]),
    ("docker-upload-uuid", &["upload-id-header"]),
    ("etag", &["manifest-conditional", "blob-conditional"]),
    ("link", &["tags-link", "referrers-link"]),
    ("location", &["blob-post-put", "manifest-put-by-tag", "upload-status"]),
    ("oci-chunk-min-length", &["chunk-min-length"]),
    ("oci-filters-applied", &["referrers-filter"]),
    ("oci-subject", &["manifest-put-subject"]),
    ("oci-tag", &["tag-parameters"]),
    ("range", &["chunked", "upload-status"]),
    ("retry-after", &[]),
    ("transfer-encoding", &[]),
    ("vary", &[]),
    ("warning", &["head-warning"]),
    ("www-authenticate", &["challenge"]),
    ("x-content-type-options", &[]),
    ("x-request-id", &[]),
];

/// Remembers what the answers of a run had in common.
#[derive(Debug, Default)]
pub struct Observer {
    headers: RefCell<BTreeSet<String>>,
    answers: RefCell<BTreeMap<u16, usize>>,
}

impl Observer {
    /// The names of all headers that were seen, in lower case.
    #[must_use]
    pub fn headers(&self) -> BTreeSet<String> {
        self.headers.borrow().clone()
    }

    /// How many answers there were of each status.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<u16, usize> {
        self.answers.borrow().clone()
    }

    /// Looks at an answer.
    pub(crate) fn look(&self, ask: &Ask, answer: &Answer) -> Result<()> {
        let names = answer.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
        self.headers.borrow_mut().extend(names);
        *self.answers.borrow_mut().entry(answer.status).or_default() += 1;
        let what = format!("{} {} was answered {}", ask.method, ask.target, answer.status);
        ensure!(answer.status < 500, "{what}: {}", answer.text());
        ensure!(answer.surplus == 0, "{what}, and {} bytes more", answer.surplus);
        for (name, _) in &answer.headers {
            let is_known = HEADERS.iter().any(|(known, _)| name.eq_ignore_ascii_case(known));
            ensure!(is_known, "{what} with the header `{name}`, which nothing here knows");
        }
        look_at_warnings(answer)?;
        if answer.status == 405 {
            // RFC 9110, section 15.5.6
            ensure!(answer.header("allow").is_some(), "{what} without `Allow`");
        }
        if answer.status == 401 {
            ensure!(
                answer.header("www-authenticate").is_some(),
                "{what} without a challenge"
            );
        }
        let is_json = answer
            .header("content-type")
            .is_some_and(|it| it.starts_with("application/json"));
        if answer.status >= 400 && is_json {
            look_at_errors(answer)?;
        } else if answer.status >= 400 && ask.method != "HEAD" {
            bail!("{what} without an error document");
        }
        Ok(())
    }
}

/// "If the response body is in JSON format, it MUST have the following format."
fn look_at_errors(answer: &Answer) -> Result<()> {
    let body = answer.json()?;
    let errors = body.get("errors").and_then(Value::as_array);
    let Some(errors) = errors.filter(|errors| !errors.is_empty()) else {
        bail!("an error document has no `errors`: {}", answer.text())
    };
    for error in errors {
        let code = error.get("code").and_then(Value::as_str).unwrap_or_default();
        let is_word = code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        ensure!(
            is_word && CODES.contains(&code),
            "`{code}` is not a code of the specification"
        );
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        ensure!(!message.is_empty(), "an error has no message: {}", answer.text());
    }
    Ok(())
}

fn look_at_warnings(answer: &Answer) -> Result<()> {
    let mut bytes = 0;
    for warning in answer.all("warning") {
        bytes += warning.len();
        let text = warning.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
        ensure!(text.is_some_and(|text| !text.is_empty()), "not a warning: `{warning}`");
    }
    ensure!(bytes <= MAX_WARNING_BYTES, "the warnings have {bytes} bytes");
    Ok(())
}
