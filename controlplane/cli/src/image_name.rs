// SPDX-License-Identifier: Apache-2.0
//! Names of images on the command line.

use std::fmt;
use std::str::FromStr;

use hythe_model::{Digest, ParseError, Reference, RepositoryName, Tag};

use crate::error::CliError;

/// `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, without the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    pub(crate) repository: RepositoryName,
    pub(crate) reference: Option<Reference>,
}

impl ImageName {
    /// What it names; the tag `latest` if it names no image, as with other container tools.
    pub(crate) fn reference_or_latest(&self) -> Result<Reference, CliError> {
        match &self.reference {
            Some(reference) => Ok(reference.clone()),
            None => "latest".parse().map_err(|error: ParseError| usage(&error.to_string())),
        }
    }

    /// The image or tag that it names.
    pub(crate) fn reference(&self) -> Result<&Reference, CliError> {
        self.reference.as_ref().ok_or_else(|| usage(&format!("`{self}` names a repository, not an image")))
    }

    /// The tag that it names.
    pub(crate) fn tag(&self) -> Result<&Tag, CliError> {
        match &self.reference {
            Some(Reference::Tag(tag)) => Ok(tag),
            Some(Reference::Digest(_)) | None => Err(usage(&format!("`{self}` names no tag"))),
        }
    }
}

fn usage(message: &str) -> CliError {
    CliError::Usage { message: message.into(), hint: "an image is `REPOSITORY:TAG` or `REPOSITORY@sha256:…`" }
}

impl FromStr for ImageName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (repository, reference) = if let Some((repository, digest)) = text.split_once('@') {
            (repository, Some(Reference::Digest(digest.parse::<Digest>()?)))
        } else if let Some((repository, tag)) = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            (repository, Some(Reference::Tag(tag.parse()?)))
        } else {
            (text, None)
        };
        if repository.contains(':') {
            return Err(ParseError::new("image", text, "it must be `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, without the host"));
        }
        Ok(Self { repository: repository.parse()?, reference })
    }
}

impl fmt::Display for ImageName {
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

    #[test]
    fn image_names_are_a_repository_and_a_tag_or_digest() {
        let digest = format!("team-a/web@sha256:{}", "0".repeat(64));
        for text in ["web", "team-a/web", "team-a/web:v1.0", digest.as_str()] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), text);
        }
        let cases = ["", "Web", "web:", "web@", "web@v1", "127.0.0.1:5000/web:v1", "127.0.0.1:5000/web", "web:a:b", "web:v1@sha256:00"];
        for text in cases {
            assert!(text.parse::<ImageName>().is_err(), "{text}");
        }
        assert!("web".parse::<ImageName>().unwrap().tag().is_err());
        assert_eq!("web".parse::<ImageName>().unwrap().reference_or_latest().unwrap().to_string(), "latest");
    }
}
