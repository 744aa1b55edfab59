// SPDX-License-Identifier: Apache-2.0
//! Where replicated images go, and by which registries they came.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ParseError, Region};

/// The header by which one deployment tells another that an image is a replica, and by which registries it came.
pub const REPLICATION_HEADER: &str = "hythe-replication";
/// The header of an answer to a replica that lists the tags that it did not get, as they may not be moved.
pub const REFUSED_TAGS_HEADER: &str = "hythe-refused-tags";
/// The most registries that an image may come by.
pub const MAX_REPLICATION_HOPS: usize = 16;

const WHAT: &str = "path of a replica";

/// A registry among those of several deployments, such as `eu/000000000000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryPlace {
    /// The deployment.
    pub region: Region,
    /// The account there.
    pub account: AccountId,
}

impl fmt::Display for RegistryPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.region, self.account)
    }
}

impl FromStr for RegistryPlace {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rule = "it must be a region, a slash and an account, such as `eu/000000000000`";
        let (region, account) = text
            .split_once('/')
            .ok_or_else(|| ParseError::new("registry of a deployment", text, rule))?;
        Ok(Self {
            region: region.parse()?,
            account: account.parse()?,
        })
    }
}

/// The registries that an image came by, the one that it was pushed to first.
///
/// Invariant: 1 to [`MAX_REPLICATION_HOPS`] registries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicationPath(Vec<RegistryPlace>);

impl ReplicationPath {
    /// The path of an image that was pushed to `place`.
    #[must_use]
    pub fn from_origin(place: RegistryPlace) -> Self {
        Self(vec![place])
    }

    /// The path one registry further; `None` if it would be too long.
    #[must_use]
    pub fn then(&self, place: RegistryPlace) -> Option<Self> {
        let mut places = self.0.clone();
        places.push(place);
        (places.len() <= MAX_REPLICATION_HOPS).then_some(Self(places))
    }

    /// Whether the image came by this registry.
    #[must_use]
    pub fn contains(&self, place: &RegistryPlace) -> bool {
        self.0.contains(place)
    }

    /// The registries, the one that the image was pushed to first.
    pub fn places(&self) -> impl Iterator<Item = &RegistryPlace> {
        self.0.iter()
    }
}

impl fmt::Display for ReplicationPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, place) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(formatter, "{comma}{place}")?;
        }
        Ok(())
    }
}

impl FromStr for ReplicationPath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut places = Vec::new();
        for part in text.split(',').take(MAX_REPLICATION_HOPS + 1) {
            places.push(part.trim().parse()?);
        }
        if places.len() > MAX_REPLICATION_HOPS {
            return Err(ParseError::new(WHAT, text, "it must have at most 16 registries"));
        }
        Ok(Self(places))
    }
}

/// What of a repository goes to destinations beside its images (ECR replicates none of it). Encryption does not: it is
/// fixed when a repository is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicatedSetting {
    /// What can be changed about it: tag mutability with its exclusions, scan on push, sparse indexes.
    RepositorySettings,
    /// Its policy.
    RepositoryPolicy,
    /// Its lifecycle policy.
    LifecyclePolicy,
    /// Its resource tags.
    ResourceTags,
}

impl ReplicatedSetting {
    /// Each of them.
    pub const ALL: [Self; 4] = [
        Self::RepositorySettings,
        Self::RepositoryPolicy,
        Self::LifecyclePolicy,
        Self::ResourceTags,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RepositorySettings => "REPOSITORY_SETTINGS",
            Self::RepositoryPolicy => "REPOSITORY_POLICY",
            Self::LifecyclePolicy => "LIFECYCLE_POLICY",
            Self::ResourceTags => "RESOURCE_TAGS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        let many = |count: usize| vec!["eu/000000000000"; count].join(", ");
        let cases = [
            ("eu/000000000000", true),
            ("eu/000000000000, us/111111111111", true),
            ("eu/000000000000,us/111111111111", true),
            (&many(16), true),
            (&many(17), false),
            ("", false),
            ("eu", false),
            ("eu/1", false),
            ("EU/000000000000", false),
            ("eu/000000000000,", false),
        ];
        for (text, is_valid) in cases {
            let path = text.parse::<ReplicationPath>();
            assert_eq!(path.is_ok(), is_valid, "{text}");
            if let Ok(path) = path {
                assert_eq!(path.to_string().parse::<ReplicationPath>().unwrap(), path);
            }
        }
    }

    #[test]
    fn settings_have_the_names_that_they_are_stored_with() {
        for setting in ReplicatedSetting::ALL {
            let stored = serde_json::to_string(&setting).unwrap();
            assert_eq!(stored, format!("{:?}", setting.as_str()));
        }
    }

    #[test]
    fn a_path_grows_up_to_its_bound() {
        let place: RegistryPlace = "eu/000000000000".parse().unwrap();
        let mut path = ReplicationPath::from_origin(place.clone());
        for _ in 1..MAX_REPLICATION_HOPS {
            path = path.then(place.clone()).unwrap();
        }
        assert!(path.then(place.clone()).is_none());
        assert!(path.contains(&place));
        assert!(!path.contains(&"us/000000000000".parse().unwrap()));
    }
}
