// SPDX-License-Identifier: Apache-2.0
//! Names of images on the command line.

use std::fmt;
use std::str::FromStr;

use hythe_client::Client;
use hythe_model::{AccountId, Digest, ParseError, Reference, RepositoryName, Tag};

use crate::error::CliError;
use crate::registry_address::RegistryAddress;

const HINT: &str =
    "an image is `REPOSITORY:TAG` or `REPOSITORY@sha256:…`, with or without the registry's host before it";

/// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, perhaps with a host before it, as container tools write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The first segment, if it can be a host, and the rest. It may be a part of the repository's name all the same.
    host: Option<(String, RepositoryName)>,
    /// The whole, if it can be the name of a repository.
    repository: Option<RepositoryName>,
    reference: Option<Reference>,
}

/// An image of the registry, or a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) repository: RepositoryName,
    reference: Option<Reference>,
}

impl ImageName {
    /// The image that is meant. Only a name that may start with a host costs a question to the server.
    pub(crate) async fn resolve(self, client: &Client) -> Result<Image, CliError> {
        match (self.host, self.repository) {
            (None, Some(repository)) => Ok(Image {
                repository,
                reference: self.reference,
            }),
            (Some((host, rest)), whole) => {
                let repository = within(&RegistryAddress::find(client).await?, &host, &rest, whole)?;
                Ok(Image {
                    repository,
                    reference: self.reference,
                })
            }
            (None, None) => Err(usage("no image is named")),
        }
    }
}

/// What is left of a name after the registry's own host and account.
fn within(
    registry: &RegistryAddress,
    host: &str,
    rest: &RepositoryName,
    whole: Option<RepositoryName>,
) -> Result<RepositoryName, CliError> {
    if registry.host != host {
        return whole.ok_or_else(|| {
            usage(&format!(
                "`{host}` is not the registry of this server, `{}`",
                registry.host
            ))
        });
    }
    match rest.as_str().split_once('/') {
        Some((account, name)) if account == registry.registry_id.as_str() => {
            name.parse().map_err(|error: ParseError| usage(&error.to_string()))
        }
        Some((account, _)) if AccountId::matches(account) => Err(usage(&format!(
            "account `{account}` is not yours, `{}`",
            registry.registry_id
        ))),
        _ => Ok(rest.clone()),
    }
}

impl Image {
    /// What it names; the tag `latest` if it names no image, as with other container tools.
    pub(crate) fn reference_or_latest(&self) -> Result<Reference, CliError> {
        match &self.reference {
            Some(reference) => Ok(reference.clone()),
            None => "latest".parse().map_err(|error: ParseError| usage(&error.to_string())),
        }
    }

    /// The image or tag that it names.
    pub(crate) fn reference(&self) -> Result<&Reference, CliError> {
        self.reference
            .as_ref()
            .ok_or_else(|| usage(&format!("`{self}` names a repository, not an image")))
    }

    /// The tag that it names.
    pub(crate) fn tag(&self) -> Result<&Tag, CliError> {
        match &self.reference {
            Some(Reference::Tag(tag)) => Ok(tag),
            Some(Reference::Digest(_)) | None => Err(usage(&format!("`{self}` names no tag"))),
        }
    }

    /// The repository, if it names nothing in it.
    pub(crate) fn into_repository(self) -> Result<RepositoryName, CliError> {
        match self.reference {
            None => Ok(self.repository),
            Some(_) => Err(CliError::Usage {
                message: format!("`{self}` names an image, not a repository"),
                hint: "leave out the tag or the digest",
            }),
        }
    }
}

fn usage(message: &str) -> CliError {
    CliError::Usage {
        message: message.into(),
        hint: HINT,
    }
}

impl FromStr for ImageName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (path, reference) = if let Some((path, digest)) = text.split_once('@') {
            (path, Some(Reference::Digest(digest.parse::<Digest>()?)))
        } else if let Some((path, tag)) = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            (path, Some(Reference::Tag(tag.parse()?)))
        } else {
            (text, None)
        };
        // As Docker tells a host from a part of a name.
        let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
        let host = path
            .split_once('/')
            .filter(|(host, _)| is_host(host))
            .and_then(|(host, rest)| Some((host.to_owned(), rest.parse::<RepositoryName>().ok()?)));
        match path.parse::<RepositoryName>() {
            Ok(repository) => Ok(Self {
                host,
                repository: Some(repository),
                reference,
            }),
            Err(_) if host.is_some() => Ok(Self {
                host,
                repository: None,
                reference,
            }),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            None => self.repository.fmt(formatter),
            Some(Reference::Tag(tag)) => write!(formatter, "{}:{tag}", self.repository),
            Some(Reference::Digest(digest)) => write!(formatter, "{}@{digest}", self.repository),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The image that `text` names in a registry at `host`.
    fn named(text: &str, host: &str) -> Result<String, String> {
        let registry = RegistryAddress {
            registry_id: AccountId::default(),
            host: host.into(),
        };
        let name: ImageName = text.parse().map_err(|error: ParseError| error.to_string())?;
        let repository = match (name.host, name.repository) {
            (Some((host, rest)), whole) => within(&registry, &host, &rest, whole).map_err(|error| error.to_string())?,
            (None, repository) => repository.unwrap(),
        };
        Ok(Image {
            repository,
            reference: name.reference,
        }
        .to_string())
    }

    #[test]
    fn image_names_come_with_or_without_the_registrys_host() {
        let digest = format!("team-a/web@sha256:{}", "0".repeat(64));
        let with_host = format!("127.0.0.1:5000/{digest}");
        let (plain, path) = ("127.0.0.1:5000", "reg.example.com");
        let cases = [
            ("web", plain, "web"),
            ("team-a/web:v1.0", plain, "team-a/web:v1.0"),
            (digest.as_str(), plain, digest.as_str()),
            (with_host.as_str(), plain, digest.as_str()),
            ("127.0.0.1:5000/team-a/web:v1", plain, "team-a/web:v1"),
            ("127.0.0.1:5000/web", plain, "web"),
            ("reg.example.com/000000000000/web:v1", path, "web:v1"),
            ("reg.example.com/web:v1", path, "web:v1"),
            ("my.app/web:v1", plain, "my.app/web:v1"),
            ("000000000000/web", plain, "000000000000/web"),
        ];
        for (text, uri, want) in cases {
            assert_eq!(named(text, uri).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn image_names_of_elsewhere_are_refused() {
        let cases = [
            ("", "repository name"),
            ("Web", "repository name"),
            ("web:", "tag"),
            ("web@v1", "digest"),
            ("web:a:b", "repository name"),
            (
                "127.0.0.1:5001/web:v1",
                "is not the registry of this server, `127.0.0.1:5000`",
            ),
            ("127.0.0.1:5000/111111111111/web", "account `111111111111` is not yours"),
            ("127.0.0.1:5000/Web:v1", "repository name"),
        ];
        for (text, want) in cases {
            let error = named(text, "127.0.0.1:5000").unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_left_out_is_asked_for_or_latest() {
        let image = Image {
            repository: "web".parse().unwrap(),
            reference: None,
        };
        assert!(image.tag().is_err() && image.reference().is_err());
        assert_eq!(image.reference_or_latest().unwrap().to_string(), "latest");
        let tagged = Image {
            reference: Some("v1".parse().unwrap()),
            ..image
        };
        assert!(tagged.into_repository().is_err());
    }
}
