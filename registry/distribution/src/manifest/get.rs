// SPDX-License-Identifier: Apache-2.0
//! Reading a manifest (OCI Distribution Specification 1.1, "Pulling manifests").
//!
//! By digest the stored form is returned whatever `Accept` says: clients check the digest, and one that cannot read
//! the form says so better than a 404 would. By tag it may be another form (`translate`).

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use hythe_access::{Granted, Trail, kinds};
use hythe_catalog::{CatalogError, ImageRecord};
use hythe_model::{Digest, MediaType, Reference, RepositoryPath};

use super::translate::{TranslateError, recall, translate, wanted};
use super::{existing_reference, naming, tag_of};
use crate::account::Named;
use crate::audit::note_reference;
use crate::auth::Visitor;
use crate::cache::{self, CacheError, Found, Note};
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::response::{Answer, DOCKER_CONTENT_DIGEST, etag, is_cached};

/// Why a manifest was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetManifestError {
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    #[error("Requested image not found: `{0}`")]
    Unknown(Reference),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Translate(#[from] TranslateError),
    /// The image should have come from another registry.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What is given out.
#[derive(Debug)]
struct Pulled {
    image: ImageRecord,
    /// What is stored, if another form of it is given out.
    stored: Digest,
    /// What else than the path decided on it (RFC 9110, section 12.5.5).
    vary: Option<&'static str>,
    /// How it came about, if the repository comes from another registry.
    note: Option<Note>,
    /// The size of a manifest that is not here.
    size: Option<u64>,
}

/// Answers a GET for a manifest. It counts as a pull also if the client has the bytes already: the image is of use to it.
pub(crate) async fn get(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let (granted, pulled) = find(visitor, &input.name, existing_reference(&input), &input.headers, false).await?;
    if let Some(log) = visitor.registry.pull_log() {
        let (by, now) = (&visitor.caller.principal, visitor.registry.now());
        log.pulled(by, granted.resource(), &pulled.stored, now);
    }
    if is_cached(&input.headers, &pulled.image.digest) {
        return Ok(pulled.not_modified());
    }
    visitor.registry.metrics().pulls.inc();
    Ok(pulled.describe().with_body(pulled.image.bytes).into_response())
}

/// Answers a HEAD for a manifest.
pub(crate) async fn head(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let (_, pulled) = find(visitor, &input.name, existing_reference(&input), &input.headers, true).await?;
    if is_cached(&input.headers, &pulled.image.digest) {
        return Ok(pulled.not_modified());
    }
    Ok(pulled.describe().into_response())
}

async fn find(
    visitor: &Visitor,
    name: &str,
    reference: Result<Reference, InputError>,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<(Granted<kinds::BatchGetImage>, Pulled), OciError> {
    if let Ok(reference) = &reference {
        note_reference(reference);
    }
    let named = visitor.repository(name)?;
    let context = naming(reference.as_ref().ok().and_then(tag_of));
    // Who brings replicas may know what is there already, and read nothing.
    let granted = if is_head {
        visitor
            .permit_step_with::<kinds::BatchGetImage>(&named, &context)
            .await?
    } else {
        visitor.permit_with::<kinds::BatchGetImage>(&named, &context).await?
    };
    let pulled = get_manifest(visitor, &granted, &reference?, &named, headers, is_head).await?;
    Trail::note(|facts| facts.digest = Some(pulled.image.digest));
    Ok((granted, pulled))
}

#[tracing::instrument(name = "manifest.get", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name,
    manifest.reference = %reference))]
async fn get_manifest(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    reference: &Reference,
    named: &Named,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<Pulled, GetManifestError> {
    let (registry, repository) = (&visitor.registry, granted.resource());
    let stored = registry.catalog().image(repository, reference).await?;
    let mut note = None;
    // What a digest names does not change. Where a tag points to may be for another registry to say.
    let stored = if stored.is_some() && matches!(reference, Reference::Digest(_)) {
        stored
    } else {
        let request = cache::Request {
            named,
            reference,
            is_head,
            is_fresh_wanted: cache::wants_fresh(headers),
        };
        match cache::find(visitor, granted, request, stored.clone()).await? {
            None => stored,
            Some(Found::Image(image, how)) if stored.as_ref() == Some(&image) => {
                note = Some(how);
                stored
            }
            Some(found) => return Ok(Pulled::from_upstream(found)),
        }
    };
    match (stored, reference) {
        (Some(image), Reference::Digest(_)) => Ok(Pulled {
            stored: image.digest,
            image,
            vary: None,
            note,
            size: None,
        }),
        (Some(image), Reference::Tag(tag)) => {
            let (stored, vary) = (image.digest, Some(vary(&image)));
            let image = match wanted(&image, headers) {
                Some(form) => translate(visitor, granted, image, form, &named.written, tag).await?,
                None => image,
            };
            Ok(Pulled {
                image,
                stored,
                vary,
                note,
                size: None,
            })
        }
        (None, _) if !registry.catalog().repository_exists(repository).await? => {
            Err(GetManifestError::RepositoryUnknown(repository.clone()))
        }
        (None, Reference::Digest(digest)) => match recall(visitor, granted, digest).await? {
            Some((stored, image)) => Ok(Pulled {
                image,
                stored,
                vary: None,
                note,
                size: None,
            }),
            None => Err(GetManifestError::Unknown(reference.clone())),
        },
        (None, Reference::Tag(_)) => Err(GetManifestError::Unknown(reference.clone())),
    }
}

/// Engines that say nothing are told apart by their name, and only where it matters.
fn vary(stored: &ImageRecord) -> &'static str {
    if stored.media_type.as_str() == MediaType::DOCKER_MANIFEST {
        "Accept, User-Agent"
    } else {
        "Accept"
    }
}

impl Pulled {
    /// What came from another registry is given out as it came.
    fn from_upstream(found: Found) -> Self {
        let (image, note, size) = match found {
            Found::Image(image, note) => (image, note, None),
            Found::Head(digest, media_type, size) => {
                let image = ImageRecord {
                    digest,
                    media_type,
                    bytes: Bytes::new(),
                };
                (image, Note::Miss, Some(size))
            }
        };
        Self {
            stored: image.digest,
            image,
            vary: None,
            note: Some(note),
            size,
        }
    }

    fn describe(&self) -> Answer {
        let image = &self.image;
        self.name(StatusCode::OK)
            .with(header::CONTENT_TYPE, &image.media_type)
            .with(header::CONTENT_LENGTH, self.size.unwrap_or(image.bytes.len() as u64))
    }

    fn not_modified(&self) -> Response {
        self.name(StatusCode::NOT_MODIFIED).into_response()
    }

    fn name(&self, status: StatusCode) -> Answer {
        let digest = self.image.digest;
        let answer = Answer::new(status)
            .with(header::ETAG, etag(&digest))
            .with(DOCKER_CONTENT_DIGEST, digest);
        let answer = match self.note {
            Some(note) => note.tell(answer),
            None => answer,
        };
        match self.vary {
            Some(headers) => answer.with(header::VARY, headers),
            None => answer,
        }
    }
}
