// SPDX-License-Identifier: Apache-2.0
//! Resource tags: the provider's rules for them, and what follows for plan, state and server.
//!
//! A repository carries the provider's `default_tags` with its own `tags` laid over them. A tag that `ignore_tags` names
//! belongs to somebody else: it is neither shown nor removed, unless the resource itself sets it.

use std::collections::{BTreeMap, BTreeSet};

use hythe_model::{MAX_RESOURCE_TAGS, ResourceTagError, ResourceTags};
use hythe_wire::ResourceTag;
use tfplugin::{Attr, Diagnostics, Object, Path};

use crate::argument::{check, invalid};

/// Tags as they are written in a configuration. A null value leaves the tag out, so that it may depend on a condition.
pub(crate) type TagMap = BTreeMap<String, Attr<String>>;

/// Tags as the server has them.
pub(crate) type Tags = BTreeMap<String, String>;

/// The provider's rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagRules {
    /// For every repository.
    pub defaults: Attr<TagMap>,
    /// Not ours.
    pub ignored: Ignored,
}

/// Keys that belong to somebody else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignored {
    pub keys: BTreeSet<String>,
    pub prefixes: BTreeSet<String>,
}

/// Tags that other tools own.
#[derive(Clone, Debug, Default, Object)]
pub struct IgnoreTags {
    /// Keys of tags to leave alone.
    #[tf(optional)]
    pub keys: Attr<BTreeSet<String>>,
    /// What the keys of tags to leave alone start with.
    #[tf(optional)]
    pub key_prefixes: Attr<BTreeSet<String>>,
}

impl TagRules {
    /// What the repository will carry; unknown as a whole if any part is.
    pub fn merged(&self, tags: &Attr<TagMap>) -> Result<Attr<Tags>, ResourceTagError> {
        let (Some(defaults), Some(tags)) = (settled(&self.defaults), settled(tags)) else {
            return Ok(Attr::Unknown);
        };
        let mut merged: Tags = defaults
            .into_iter()
            .filter(|(key, _)| !self.ignored.covers(key))
            .collect();
        merged.extend(tags);
        Ok(Attr::Known(ResourceTags::new(merged)?.as_map().clone()))
    }

    /// The server's tags without those of somebody else.
    pub fn visible(&self, server: Vec<ResourceTag>, configured: &Attr<TagMap>) -> Tags {
        let own = configured.known();
        let is_ours = |key: &String| !self.ignored.covers(key) || own.is_some_and(|own| own.contains_key(key));
        server
            .into_iter()
            .map(|tag| (tag.key, tag.value))
            .filter(|(key, _)| is_ours(key))
            .collect()
    }

    /// What `tags` says after a read: the present values of the configured keys, and tags that nobody configured. `all`
    /// is what the state knew before, and `visible` what the server has.
    pub fn configured(&self, tags: &Attr<TagMap>, all: &Attr<Tags>, visible: &Tags) -> Attr<TagMap> {
        let own = tags.known().cloned().unwrap_or_default();
        let defaults = settled(&self.defaults).unwrap_or_default();
        let is_inherited = |key: &String, value: &String| {
            !own.contains_key(key)
                && (defaults.get(key) == Some(value) || all.known().is_some_and(|all| all.get(key) == Some(value)))
        };
        let is_default = |key: &String| visible.get(key).is_some_and(|value| defaults.get(key) == Some(value));
        let mut found: TagMap = visible
            .iter()
            .filter(|(key, value)| !is_inherited(key, value))
            .map(|(key, value)| (key.clone(), Attr::Known(value.clone())))
            .collect();
        for (key, _) in own.iter().filter(|(_, value)| value.is_null()) {
            if is_default(key) || !visible.contains_key(key) {
                found.insert(key.clone(), Attr::Null);
            }
        }
        if found.is_empty() && tags.known().is_none() {
            Attr::Null
        } else {
            Attr::Known(found)
        }
    }
}

impl Ignored {
    /// The rules as configured; `None` if a part of them is unknown.
    pub fn of(config: &Attr<IgnoreTags>) -> Option<Self> {
        let Attr::Known(config) = config else {
            return (!config.is_unknown()).then(Self::default);
        };
        if config.keys.is_unknown() || config.key_prefixes.is_unknown() {
            return None;
        }
        let keys = config.keys.clone().unwrap_or_default();
        Some(Self {
            keys,
            prefixes: config.key_prefixes.clone().unwrap_or_default(),
        })
    }

    /// Whether the tag belongs to somebody else.
    pub fn covers(&self, key: &str) -> bool {
        self.keys.contains(key) || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }
}

/// Known tags without null values; `None` if a part is unknown.
fn settled(tags: &Attr<TagMap>) -> Option<Tags> {
    match tags {
        Attr::Unknown => None,
        Attr::Null => Some(Tags::new()),
        Attr::Known(tags) => {
            let present = tags.iter().filter(|(_, value)| !value.is_null());
            present
                .map(|(key, value)| Some((key.clone(), value.known()?.clone())))
                .collect()
        }
    }
}

/// Checks configured tags at `path`, as far as they are known.
pub(crate) fn check_tags(tags: &Attr<TagMap>, path: &Path) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let Some(tags) = tags.known() else { return diagnostics };
    for (key, value) in tags {
        let pair = (key.clone(), value.as_str().unwrap_or_default().to_owned());
        check(
            &mut diagnostics,
            path.clone().key(key),
            ResourceTags::new([pair]).map(|_| ()),
        );
    }
    let count = tags.values().filter(|value| !value.is_null()).count();
    if count > MAX_RESOURCE_TAGS {
        diagnostics.push(invalid(path.clone(), ResourceTagError::TooMany(count).to_string()));
    }
    diagnostics
}

/// Tags in the form of a request.
pub(crate) fn to_wire(tags: &Tags) -> Vec<ResourceTag> {
    tags.iter()
        .map(|(key, value)| ResourceTag {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

/// How to come from some tags to others: keys to remove, and tags to set.
pub(crate) fn difference(before: &Tags, after: &Tags) -> (Vec<String>, Vec<ResourceTag>) {
    let removed = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    (
        removed,
        set.map(|(key, value)| ResourceTag {
            key: key.clone(),
            value: value.clone(),
        })
        .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a=1 b=? c=~` as tags: `?` is unknown, `~` is null; `-` is no tags at all and `?` unknown ones.
    fn map(text: &str) -> Attr<TagMap> {
        match text {
            "-" => return Attr::Null,
            "?" => return Attr::Unknown,
            _ => {}
        }
        let tag = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap();
            let value = match value {
                "?" => Attr::Unknown,
                "~" => Attr::Null,
                value => Attr::from(value),
            };
            (key.to_owned(), value)
        };
        Attr::Known(text.split_whitespace().map(tag).collect())
    }

    fn tags(text: &str) -> Tags {
        settled(&map(text)).unwrap()
    }

    fn rules(defaults: &str, ignored_keys: &str, ignored_prefixes: &str) -> TagRules {
        let set = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        TagRules {
            defaults: map(defaults),
            ignored: Ignored {
                keys: set(ignored_keys),
                prefixes: set(ignored_prefixes),
            },
        }
    }

    #[test]
    fn own_tags_are_laid_over_default_tags() {
        let cases = [
            // what it shows, default_tags, ignored keys, tags, tags_all
            ("nothing", "-", "", "-", Some("")),
            ("own only", "-", "", "a=1", Some("a=1")),
            ("defaults only", "a=1", "", "-", Some("a=1")),
            ("own wins", "a=1 b=1", "", "b=2", Some("a=1 b=2")),
            ("null is absent", "a=1", "", "b=~", Some("a=1")),
            ("null does not remove a default", "a=1", "", "a=~", Some("a=1")),
            ("an ignored default", "a=1 b=1", "a", "-", Some("b=1")),
            ("an ignored key that is set here", "a=1", "a", "a=2", Some("a=2")),
            ("an unknown part makes the whole unknown", "a=1", "", "b=?", None),
            ("an unknown default too", "a=?", "", "b=1", None),
            ("unknown tags", "a=1", "", "?", None),
        ];
        for (what, defaults, ignored, own, want) in cases {
            let merged = rules(defaults, ignored, "").merged(&map(own)).unwrap();
            assert_eq!(
                merged,
                want.map_or(Attr::Unknown, |want| Attr::Known(tags(want))),
                "{what}"
            );
        }
        let many: TagMap = (0..50).map(|n| (format!("k{n}"), Attr::from("v"))).collect();
        let merged = rules("x=1", "", "").merged(&Attr::Known(many));
        assert_eq!(merged, Err(ResourceTagError::TooMany(51)));
    }

    #[test]
    fn a_read_tells_drift_from_defaults() {
        let cases = [
            // what it shows, default_tags, ignored prefix, tags before, tags_all before, server, tags after, tags_all after
            ("nothing", "-", "", "-", "", "", "-", ""),
            ("unchanged", "d=1", "", "a=1", "a=1 d=1", "a=1 d=1", "a=1", "a=1 d=1"),
            ("an empty map stays one", "-", "", "", "", "", "", ""),
            ("changed elsewhere", "-", "", "a=1", "a=1", "a=2", "a=2", "a=2"),
            ("removed elsewhere", "-", "", "a=1", "a=1", "", "", ""),
            ("added elsewhere", "-", "", "-", "", "x=1", "x=1", "x=1"),
            (
                "a default was changed elsewhere",
                "d=1",
                "",
                "-",
                "d=1",
                "d=2",
                "d=2",
                "d=2",
            ),
            (
                "a default left the provider block",
                "-",
                "",
                "-",
                "d=1",
                "d=1",
                "-",
                "d=1",
            ),
            (
                "set here and as a default",
                "a=1",
                "",
                "a=1",
                "a=1",
                "a=1",
                "a=1",
                "a=1",
            ),
            ("import", "d=1", "", "-", "", "a=1 d=1", "a=1", "a=1 d=1"),
            ("somebody else's", "-", "kube", "-", "", "kube-x=1", "-", ""),
            (
                "somebody else's, but set here",
                "-",
                "kube",
                "kube-x=1",
                "kube-x=1",
                "kube-x=1",
                "kube-x=1",
                "kube-x=1",
            ),
            ("null stays null", "-", "", "a=~", "", "", "a=~", ""),
            ("null over a default", "a=1", "", "a=~", "a=1", "a=1", "a=~", "a=1"),
            ("null, and set elsewhere", "-", "", "a=~", "", "a=1", "a=1", "a=1"),
        ];
        for (what, defaults, prefix, before, all, server, want, want_all) in cases {
            let rules = rules(defaults, "", prefix);
            let visible = rules.visible(to_wire(&tags(server)), &map(before));
            assert_eq!(visible, tags(want_all), "{what}");
            let configured = rules.configured(&map(before), &Attr::Known(tags(all)), &visible);
            assert_eq!(configured, map(want), "{what}");
        }
    }

    #[test]
    fn a_difference_names_what_to_remove_and_what_to_set() {
        let (removed, set) = difference(&tags("a=1 b=1 c=1"), &tags("b=1 c=2 d=1"));
        assert_eq!(removed, ["a"]);
        assert_eq!(set, to_wire(&tags("c=2 d=1")));
    }

    #[test]
    fn each_bad_tag_is_an_error_at_its_key() {
        let diagnostics = check_tags(&map("aws:x=1 ok=1 k=a!b later=? gone=~"), &Path::new("tags"));
        let places: Vec<String> = diagnostics.iter().map(|it| it.path.to_string()).collect();
        assert_eq!(places, [r#"tags["aws:x"]"#, r#"tags["k"]"#]);
        let many: TagMap = (0..51).map(|n| (format!("k{n}"), Attr::Unknown)).collect();
        let diagnostics = check_tags(&Attr::Known(many), &Path::new("tags"));
        assert_eq!(diagnostics.iter().next().unwrap().path, Path::new("tags"));
    }
}
