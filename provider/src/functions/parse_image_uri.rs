// SPDX-License-Identifier: Apache-2.0
//! `parse_image_uri`.

use tfplugin::{Function, FunctionError, Object, Parameters, Result};

use crate::image_uri::{ImageUri, ImageUriError};

/// Takes the full name of an image apart.
///
/// The result is an object with `registry` (host and port), `registry_id` (the account, if the path starts with its 12 digits
/// or the host name does; else null), `repository`, `tag` and `digest` (null if not given). The name has to start with the
/// host of a registry.
#[derive(Debug, Parameters)]
pub struct ParseImageUri {
    /// The name as `docker pull` takes it, such as `registry.example.com/team/web:1`.
    pub uri: String,
}

/// The parts of the name of an image.
#[derive(Debug, PartialEq, Eq, Object)]
pub struct ImageParts {
    /// Host and port of the registry.
    pub registry: String,
    /// The account, if there is one in the name.
    pub registry_id: Option<String>,
    /// The repository.
    pub repository: String,
    /// The tag, if one is given.
    pub tag: Option<String>,
    /// The digest, if one is given.
    pub digest: Option<String>,
}

impl Function for ParseImageUri {
    const NAME: &'static str = "parse_image_uri";
    type Output = ImageParts;

    fn call(self) -> Result<ImageParts, FunctionError> {
        let uri: ImageUri = self
            .uri
            .parse()
            .map_err(|error: ImageUriError| FunctionError::argument("uri", error.to_string()))?;
        Ok(ImageParts {
            registry: uri.registry,
            registry_id: uri.registry_id.map(Into::into),
            repository: uri.repository.into(),
            tag: uri.tag.map(Into::into),
            digest: uri.digest.map(Into::into),
        })
    }
}
