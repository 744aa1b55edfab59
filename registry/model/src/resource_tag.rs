// SPDX-License-Identifier: Apache-2.0
//! Resource tags: keys and values that describe a repository (not to be mixed up with image tags).

use std::collections::BTreeMap;

/// The most tags that one repository may have (ECR, "Tagging").
pub const MAX_RESOURCE_TAGS: usize = 50;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

/// The tags of one repository, by key.
///
/// Invariant: at most [`MAX_RESOURCE_TAGS`]; keys of 1 to 128 and values of 0 to 256 characters out of
/// letters, digits, white space and `_.:/=+-@`; no key starts with `aws:` in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceTags(BTreeMap<String, String>);

/// Why some tags cannot be the tags of a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceTagError {
    /// More than [`MAX_RESOURCE_TAGS`].
    #[error("a repository may have at most {MAX_RESOURCE_TAGS} tags, and this would make {0}")]
    TooMany(usize),
    /// A key that is empty, too long, reserved, or has a character that is not allowed.
    #[error(
        "tag key `{0}` is not valid: it must have 1 to 128 letters, digits, spaces or `_.:/=+-@`, and not start with `aws:`"
    )]
    Key(String),
    /// A value that is too long or has a character that is not allowed.
    #[error("the value of tag `{0}` is not valid: it must have at most 256 letters, digits, spaces or `_.:/=+-@`")]
    Value(String),
    /// The same key twice in one request.
    #[error("tag key `{0}` is given more than once")]
    Duplicate(String),
}

impl ResourceTags {
    /// The tags out of key and value pairs.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, ResourceTagError> {
        let mut tags = BTreeMap::new();
        for (key, value) in pairs {
            check(&key, &value)?;
            if tags.contains_key(&key) {
                return Err(ResourceTagError::Duplicate(key));
            }
            tags.insert(key, value);
            if tags.len() > MAX_RESOURCE_TAGS {
                return Err(ResourceTagError::TooMany(tags.len()));
            }
        }
        Ok(Self(tags))
    }

    /// These tags with `other` laid over them.
    pub fn merged(&self, other: &Self) -> Result<Self, ResourceTagError> {
        let mut tags = self.0.clone();
        tags.extend(other.0.iter().map(|(key, value)| (key.clone(), value.clone())));
        if tags.len() > MAX_RESOURCE_TAGS {
            Err(ResourceTagError::TooMany(tags.len()))
        } else {
            Ok(Self(tags))
        }
    }

    /// These tags without `keys`; a key that is not there is passed over.
    #[must_use]
    pub fn without(&self, keys: &[String]) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(key, _)| !keys.contains(key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        )
    }

    /// The pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The map itself.
    #[must_use]
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check(key: &str, value: &str) -> Result<(), ResourceTagError> {
    let is_allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    let is_reserved = key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
    let key_chars = key.chars().count();
    if key_chars == 0 || key_chars > MAX_KEY_CHARS || is_reserved || !key.chars().all(is_allowed) {
        return Err(ResourceTagError::Key(key.chars().take(MAX_KEY_CHARS).collect()));
    }
    if value.chars().count() > MAX_VALUE_CHARS || !value.chars().all(is_allowed) {
        return Err(ResourceTagError::Value(key.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_tags_keep_their_limits() {
        let one = |key: &str, value: &str| ResourceTags::new([(key.to_owned(), value.to_owned())]);
        assert!(one("team", "").is_ok());
        assert!(one("Größe", "ein Wert: a/b=c+d-e@f").is_ok());
        assert_eq!(one("", "x"), Err(ResourceTagError::Key(String::new())));
        assert_eq!(one("AWS:x", "x"), Err(ResourceTagError::Key("AWS:x".into())));
        assert_eq!(one("k", &"v".repeat(257)), Err(ResourceTagError::Value("k".into())));
        assert_eq!(one("k", "a\nb"), Err(ResourceTagError::Value("k".into())));
        let many = (0..51).map(|n| (format!("k{n}"), String::new()));
        assert_eq!(ResourceTags::new(many), Err(ResourceTagError::TooMany(51)));
        let twice = [("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())];
        assert_eq!(ResourceTags::new(twice), Err(ResourceTagError::Duplicate("k".into())));
    }
}
