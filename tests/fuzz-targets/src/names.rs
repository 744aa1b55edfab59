// SPDX-License-Identifier: Apache-2.0
//! Names, references, digests and the other one-word values of the model.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use hythe_access::UserName;
use hythe_model::{
    AccountId, Algorithm, Digest, ExclusionFilter, MediaType, Reference, Region, RepositoryArn, RepositoryName,
    ResourceTags, Tag, UploadId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{first_line, text};

/// The whole input is tried as every kind of name; its first two lines as a filter and a tag; its lines as resource tags.
pub fn names(input: &[u8]) {
    let Some(text) = text(input) else { return };
    assert_eq!(written::<RepositoryName>(text), is_repository_name(text), "{text}");
    assert_eq!(written::<Tag>(text), is_tag(text), "{text}");
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    assert_eq!(written::<AccountId>(text), is_account, "{text}");
    assert_eq!(written::<Digest>(text), is_digest(text), "{text}");
    written::<Region>(text);
    written::<MediaType>(text);
    written::<ExclusionFilter>(text);
    written::<UserName>(text);
    assert_eq!(same::<Reference>(text), is_tag(text) || is_digest(text), "{text}");
    same::<RepositoryArn>(text);
    if let Ok(id) = text.parse::<UploadId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(algorithm) = text.parse::<Algorithm>() {
        assert_eq!(algorithm.as_str(), text);
    }
    filters(text);
    resource_tags(text);
}

/// Whether it parses; what parses is displayed as it was written.
fn same<T: FromStr + Display + Debug + PartialEq>(text: &str) -> bool {
    let Ok(value) = text.parse::<T>() else { return false };
    assert_eq!(value.to_string(), text);
    assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value));
    true
}

/// As [`same`], and JSON agrees.
fn written<T: FromStr + Display + Debug + PartialEq + Serialize + DeserializeOwned>(text: &str) -> bool {
    let json = serde_json::to_string(text).unwrap();
    let from_json = serde_json::from_str::<T>(&json).ok();
    assert_eq!(text.parse::<T>().ok(), from_json, "{text}");
    if let Some(value) = from_json {
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
    }
    same::<T>(text)
}

/// The grammar of the OCI Distribution Specification 1.1, said another way: no part is empty or has a separator at its
/// edge, and each run of separators is one of those allowed.
fn is_repository_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        let mut runs = part.split(is_word).filter(|run| !run.is_empty());
        part.starts_with(is_word)
            && part.ends_with(is_word)
            && runs.all(|run| matches!(run, "." | "_" | "__") || run.trim_matches('-').is_empty())
    };
    (2..=256).contains(&text.len()) && text.split('/').all(is_part)
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_digest(text: &str) -> bool {
    let hex = match text.split_once(':') {
        Some(("sha256", hex)) if hex.len() == 64 => hex,
        Some(("sha512", hex)) if hex.len() == 128 => hex,
        _ => return false,
    };
    hex.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
}

fn filters(text: &str) {
    let (filter, rest) = first_line(text);
    let (Ok(pattern), Ok(tag)) = (filter.parse::<ExclusionFilter>(), first_line(rest).0.parse::<Tag>()) else {
        return;
    };
    assert_eq!(
        pattern.matches(&tag),
        covers(filter.as_bytes(), tag.as_str().as_bytes()),
        "{filter} {tag}"
    );
}

/// The definition: a `*` stands for any run of characters. A filter has at most two, so that this ends soon.
fn covers(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skipped| covers(rest, text.get(skipped..).unwrap_or_default())),
        Some((byte, rest)) => text
            .split_first()
            .is_some_and(|(first, others)| first == byte && covers(rest, others)),
    }
}

fn resource_tags(text: &str) {
    let pairs = text.lines().map(|line| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    });
    let Ok(tags) = ResourceTags::new(pairs) else { return };
    let again = tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(ResourceTags::new(again).as_ref(), Ok(&tags));
    assert_eq!(tags.merged(&tags).as_ref(), Ok(&tags));
    let keys: Vec<String> = tags.iter().map(|(key, _)| key.to_owned()).collect();
    assert!(tags.without(&keys).is_empty());
}
