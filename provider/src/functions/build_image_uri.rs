// SPDX-License-Identifier: Apache-2.0
//! `build_image_uri`.

use hythe_model::Reference;
use tfplugin::{Function, FunctionError, Parameters, Result};

use crate::image_uri::{ImageUri, ImageUriError};

/// Puts the full name of an image together.
///
/// The result is `<repository_url>:<tag>` or `<repository_url>@<digest>`, as `docker pull` takes it.
#[derive(Debug, Parameters)]
pub struct BuildImageUri {
    /// The `repository_url` of a repository.
    pub repository_url: String,
    /// A tag, such as `1.2`, or a digest, such as `sha256:…`.
    pub reference: String,
}

impl Function for BuildImageUri {
    const NAME: &'static str = "build_image_uri";
    type Output = String;

    fn call(self) -> Result<String, FunctionError> {
        let url: ImageUri = self
            .repository_url
            .parse()
            .map_err(|error: ImageUriError| FunctionError::argument("repository_url", error.to_string()))?;
        if url.tag.is_some() || url.digest.is_some() {
            let message = format!("`{}` has a tag or a digest already", self.repository_url);
            return Err(FunctionError::argument("repository_url", message));
        }
        let reference: Reference = self
            .reference
            .parse()
            .map_err(|error: hythe_model::ParseError| FunctionError::argument("reference", error.to_string()))?;
        Ok(match reference {
            Reference::Tag(tag) => format!("{}:{tag}", self.repository_url),
            Reference::Digest(digest) => format!("{}@{digest}", self.repository_url),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_goes_behind_the_repository() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let cases = [
            ("127.0.0.1:5000/web", "1", Some("127.0.0.1:5000/web:1".to_owned())),
            (
                "127.0.0.1:5000/000000000000/web",
                "1",
                Some("127.0.0.1:5000/000000000000/web:1".to_owned()),
            ),
            (
                "localhost/web",
                digest.as_str(),
                Some(format!("localhost/web@{digest}")),
            ),
            ("localhost/web:1", "1", None),
            ("web", "1", None),
            ("localhost/web", "", None),
            ("localhost/web", "sha256:1", None),
        ];
        for (repository_url, reference, want) in cases {
            let function = BuildImageUri {
                repository_url: repository_url.into(),
                reference: reference.into(),
            };
            assert_eq!(function.call().ok(), want, "{repository_url} {reference}");
        }
    }
}
