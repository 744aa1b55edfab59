// SPDX-License-Identifier: Apache-2.0
//! What can go wrong while an image travels.

use std::path::{Path, PathBuf};

use hythe_model::{Digest, ManifestError};
use reqwest::StatusCode;

use crate::ClientError;

/// Why an image did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The registry cannot be reached, or its answer is none of a registry.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The registry says no.
    #[error("the registry refuses: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The OCI error code, such as `NAME_UNKNOWN`; empty if there is none.
        code: String,
        /// The registry's explanation.
        message: String,
    },
    /// Nothing moved for too long.
    #[error("no bytes moved for {0} seconds")]
    Stalled(u64),
    /// A file cannot be read or written.
    #[error("cannot {what} `{}`", .path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file or folder is not an OCI image layout.
    #[error("`{}` is not an OCI image layout: {problem}", .path.display())]
    NotALayout {
        /// The file or folder.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// A folder to pull into has something else in it.
    #[error("`{}` is neither empty nor an OCI image layout", .0.display())]
    Occupied(PathBuf),
    /// A layout holds several images, and none or no single one was asked for.
    #[error("`{}` holds {} images named {}", .path.display(), .names.len(), quoted(.names))]
    Ambiguous {
        /// The file or folder.
        path: PathBuf,
        /// The names of the images in it.
        names: Vec<String>,
    },
    /// A blob or manifest is neither here nor there.
    #[error("`{0}` is missing")]
    Missing(Digest),
    /// Bytes are not what their digest or size says.
    #[error("the bytes of `{expected}` are damaged: {found}")]
    Damaged {
        /// The digest that they should have.
        expected: Digest,
        /// What they have instead.
        found: String,
    },
    /// A manifest cannot be understood.
    #[error("manifest `{digest}`")]
    Manifest {
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// The image is of a form that no OCI layout holds.
    #[error("image `{0}` is Docker schema 1, which an OCI layout cannot hold")]
    Schema1(Digest),
    /// An index nests too deep or holds too much.
    #[error("the index is too large: {0}")]
    TooLarge(&'static str),
    /// An index has no image for the platform.
    #[error("no image for platform `{wanted}`; there are {}", quoted(.available))]
    NoPlatform {
        /// The platform asked for.
        wanted: String,
        /// Those that the index has.
        available: Vec<String>,
    },
}

impl TransferError {
    /// What to do about it, where that is more than the message says.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(error) => error.hint(),
            Self::NotALayout { .. } => Some(
                "make one with `docker buildx build --output type=oci,dest=image.tar`, `podman save --format oci-archive`, or \
                 `skopeo copy docker-archive:old.tar oci-archive:image.tar`",
            ),
            Self::Occupied(_) => Some("name a new folder, or an archive that ends in `.tar`"),
            Self::Schema1(_) => Some(
                "convert it on the way: `skopeo copy --format oci docker://REGISTRY/NAME:TAG oci-archive:image.tar`",
            ),
            Self::Ambiguous { .. } => Some("say which with `--source-name`"),
            Self::Refused { .. }
            | Self::Stalled(_)
            | Self::File { .. }
            | Self::Missing(_)
            | Self::Damaged { .. }
            | Self::Manifest { .. }
            | Self::TooLarge(_)
            | Self::NoPlatform { .. } => None,
        }
    }

    /// Whether the same transfer may well succeed if it goes on.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Client(error) => match error {
                ClientError::Connect { .. } | ClientError::Timeout { .. } | ClientError::Broken { .. } => true,
                ClientError::Problem { .. }
                | ClientError::Tls { .. }
                | ClientError::Decode { .. }
                | ClientError::Setup(_) => false,
            },
            Self::Refused { status, .. } => matches!(status.as_u16(), 408 | 416 | 429 | 500 | 502 | 503 | 504),
            Self::Stalled(_) => true,
            Self::File { .. }
            | Self::NotALayout { .. }
            | Self::Occupied(_)
            | Self::Ambiguous { .. }
            | Self::Schema1(_)
            | Self::Missing(_)
            | Self::Damaged { .. }
            | Self::Manifest { .. }
            | Self::TooLarge(_)
            | Self::NoPlatform { .. } => false,
        }
    }
}

/// Makes the error of a file operation on `path`.
pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TransferError {
    let path = path.to_path_buf();
    move |source| TransferError::File { what, path, source }
}

fn quoted(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.push("…".into());
    }
    shown.join(", ")
}
