// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories: a name that is read through other repositories.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{matches_wildcards, parsed_text};
use crate::{ParseError, RepositoryName, RepositoryPrefix};

/// The most sources of one virtual repository.
pub const MAX_VIRTUAL_SOURCES: usize = 10;
/// The most patterns of one kind of one source.
pub const MAX_NAME_PATTERNS: usize = 50;
const MAX_PATTERN_BYTES: usize = 256;
const MAX_WILDCARDS: usize = 4;

/// A pattern for the rest of a name behind that of a virtual repository, in which `*` stands for any characters, `/` too:
/// `library/*`.
///
/// Invariant: 1 to 256 of `[a-z0-9._/*-]`, at most four of them `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(Arc<str>);

impl NamePattern {
    fn check(text: &str) -> Result<(), ParseError> {
        let fail = |rule| Err(ParseError::new("pattern of names", text, rule));
        if !(1..=MAX_PATTERN_BYTES).contains(&text.len()) {
            return fail("it must have 1 to 256 characters");
        }
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/*-".contains(&byte);
        if !text.bytes().all(is_allowed) {
            return fail("it may hold lower-case letters, digits, `.`, `_`, `-`, `/` and `*` only");
        }
        if text.matches('*').count() > MAX_WILDCARDS {
            return fail("it may hold at most four `*`");
        }
        Ok(())
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        matches_wildcards(&self.0, text)
    }
}

parsed_text!(NamePattern, "pattern of names with `*`", "^[a-z0-9._/*-]{1,256}$");

/// One of the places that a virtual repository is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualSource {
    /// What takes the place of the name of the virtual repository: with `team`, `all/web` is read from `team/web`. `ROOT`
    /// takes it away.
    pub repository_prefix: RepositoryPrefix,
    /// What the source may answer for: patterns for the rest of the name. Without any, all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub includes: Vec<NamePattern>,
    /// What the source may not answer for, whatever it includes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub excludes: Vec<NamePattern>,
}

impl VirtualSource {
    /// A source for all names.
    #[must_use]
    pub fn new(repository_prefix: RepositoryPrefix) -> Self {
        Self {
            repository_prefix,
            includes: Vec::new(),
            excludes: Vec::new(),
        }
    }

    /// The repository that stands for the rest of a name; `None` if the source does not answer for it.
    fn repository(&self, rest: &str) -> Option<RepositoryName> {
        let matches = |patterns: &[NamePattern]| patterns.iter().any(|pattern| pattern.matches(rest));
        if matches(&self.excludes) || !(self.includes.is_empty() || matches(&self.includes)) {
            return None;
        }
        // A name that comes out too long, or empty, is that of no repository.
        if self.repository_prefix.is_root() {
            rest.parse().ok()
        } else if rest.is_empty() {
            self.repository_prefix.as_str().parse().ok()
        } else {
            format!("{}/{rest}", self.repository_prefix).parse().ok()
        }
    }
}

/// The sources of a virtual repository, in the order in which they are asked.
///
/// Invariant: 1 to 10, each prefix once, with at most 50 patterns of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "Vec<VirtualSource>", into = "Vec<VirtualSource>")]
pub struct VirtualSources(Arc<[VirtualSource]>);

impl VirtualSources {
    /// The sources, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[VirtualSource] {
        &self.0
    }
}

impl TryFrom<Vec<VirtualSource>> for VirtualSources {
    type Error = ParseError;

    fn try_from(sources: Vec<VirtualSource>) -> Result<Self, Self::Error> {
        let fail = |text: &str, rule| Err(ParseError::new("list of sources", text, rule));
        if !(1..=MAX_VIRTUAL_SOURCES).contains(&sources.len()) {
            return fail(&sources.len().to_string(), "there must be 1 to 10 of them");
        }
        for (at, source) in sources.iter().enumerate() {
            let prefix = source.repository_prefix.as_str();
            let before = sources.iter().take(at);
            if before
                .into_iter()
                .any(|other| other.repository_prefix == source.repository_prefix)
            {
                return fail(prefix, "each prefix may be there once");
            }
            if source.includes.len().max(source.excludes.len()) > MAX_NAME_PATTERNS {
                return fail(prefix, "a source may have at most 50 patterns of each kind");
            }
        }
        Ok(Self(sources.into()))
    }
}

impl From<VirtualSources> for Vec<VirtualSource> {
    fn from(sources: VirtualSources) -> Self {
        sources.0.to_vec()
    }
}

impl JsonSchema for VirtualSources {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "VirtualSources".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array",
            "description": "where it is read from, in this order; each prefix once",
            "items": generator.subschema_for::<VirtualSource>(),
            "minItems": 1,
            "maxItems": MAX_VIRTUAL_SOURCES,
        })
    }
}

/// A name, and all names below it, that are read through other repositories and hold nothing themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRepository {
    /// The name: `all` is for `all` itself and for all that begins with `all/`.
    pub name: RepositoryPrefix,
    /// Where it is read from.
    pub sources: VirtualSources,
}

impl VirtualRepository {
    /// Whether the name belongs to this one.
    #[must_use]
    pub fn holds(&self, name: &RepositoryName) -> bool {
        self.name.rest_of(name.as_str()).is_some()
    }

    /// The repositories that stand for `name`, in the order in which they are asked; `None` if the name is not of this one.
    #[must_use]
    pub fn behind(&self, name: &RepositoryName) -> Option<Vec<RepositoryName>> {
        let rest = self.name.rest_of(name.as_str())?;
        let sources = self.sources.as_slice().iter();
        Some(sources.filter_map(|source| source.repository(rest)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(prefix: &str, includes: &[&str], excludes: &[&str]) -> VirtualSource {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        VirtualSource {
            repository_prefix: prefix.parse().unwrap(),
            includes: patterns(includes),
            excludes: patterns(excludes),
        }
    }

    fn virtual_repository(name: &str, sources: Vec<VirtualSource>) -> VirtualRepository {
        VirtualRepository {
            name: name.parse().unwrap(),
            sources: sources.try_into().unwrap(),
        }
    }

    #[test]
    fn patterns_match_the_whole_rest_of_a_name() {
        let cases = [
            ("library/*", "library/nginx", true),
            ("library/*", "library/a/b", true),
            ("library/*", "library", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("web", "web", true),
            ("web", "web2", false),
            ("*-internal", "a/b-internal", true),
            ("*-internal", "a/b-internal/c", false),
            ("a*b*c", "axbxbxc", true),
            ("ab*ba", "aba", false),
        ];
        for (pattern, text, wanted) in cases {
            let pattern: NamePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(text), wanted, "{pattern} {text}");
        }
        for bad in ["", "Web", "a b", "*a*b*c*d*", &"a".repeat(257)] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_read_from_its_sources_in_order() {
        let all = virtual_repository(
            "all",
            vec![
                source("team", &[], &[]),
                source("hub", &["library/*", "bitnami/*"], &["library/web"]),
                source("ROOT", &[], &["library/*"]),
            ],
        );
        let cases = [
            ("all/library/nginx", Some("team/library/nginx hub/library/nginx")),
            ("all/library/web", Some("team/library/web")),
            ("all/web", Some("team/web web")),
            ("all", Some("team")),
            ("all/x", Some("team/x")),
            ("allx/web", None),
            ("team/web", None),
        ];
        for (name, wanted) in cases {
            let found = all.behind(&name.parse().unwrap());
            let names =
                |found: Vec<RepositoryName>| found.iter().map(RepositoryName::as_str).collect::<Vec<_>>().join(" ");
            assert_eq!(found.map(names).as_deref(), wanted, "{name}");
        }
        let long = virtual_repository("a", vec![source(&"b".repeat(200), &[], &[])]);
        let name: RepositoryName = format!("a/{}", "c".repeat(100)).parse().unwrap();
        assert_eq!(long.behind(&name), Some(Vec::new()), "no repository has so long a name");
    }

    #[test]
    fn sources_have_their_limits() {
        let many = |count: usize| {
            (0..count)
                .map(|n| source(&format!("s{n}"), &[], &[]))
                .collect::<Vec<_>>()
        };
        assert!(VirtualSources::try_from(many(0)).is_err());
        assert!(VirtualSources::try_from(many(10)).is_ok());
        assert!(VirtualSources::try_from(many(11)).is_err());
        assert!(VirtualSources::try_from(vec![source("a", &[], &[]), source("a", &["x"], &[])]).is_err());
        assert!(VirtualSources::try_from(vec![source("a", &["x"; 51], &[])]).is_err());
        let text = r#"[{"repositoryPrefix":"team"},{"repositoryPrefix":"ROOT","includes":["a/*"]}]"#;
        let sources: VirtualSources = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&sources).unwrap(), text);
        assert!(serde_json::from_str::<VirtualSources>(r#"[{"repositoryPrefix":"team","x":1}]"#).is_err());
    }
}
