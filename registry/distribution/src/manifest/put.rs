// SPDX-License-Identifier: Apache-2.0
//! Storing a manifest (OCI Distribution Specification 1.1, "Pushing manifests").

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use hythe_access::{Granted, Trail, kinds};
use hythe_blobs::Hasher;
use hythe_catalog::{CatalogError, NewImage, PutImageError, ReplicaOutcome};
use hythe_formats::SignatureError;
use hythe_model::{
    Algorithm, Digest, MAX_MANIFEST_BYTES, Manifest, ManifestError, MediaType, REFUSED_TAGS_HEADER, Reference,
    ReplicationPath, RepositoryPath, Tag,
};
use tokio::task::JoinError;

use super::{MAX_ATTEMPTS, MAX_INLINE_CHECK_BYTES, naming, parse_reference, tag_of};
use crate::Registry;
use crate::audit::note_reference;
use crate::auth::Visitor;
use crate::body::read_all;
use crate::input::{Input, InputError, pairs};
use crate::oci_error::OciError;
use crate::response::{Answer, DOCKER_CONTENT_DIGEST, OCI_SUBJECT, OCI_TAG};

/// The most `tag` parameters of one push (the OCI Distribution Specification asks for at least 10).
const MAX_TAG_PARAMETERS: usize = 100;

/// Why a manifest was not stored. Nothing was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutManifestError {
    #[error("Image digest '{expected}' does not match the image digest '{actual}' that the registry has calculated.")]
    DigestMismatch { expected: Box<Digest>, actual: Box<Digest> },
    #[error(transparent)]
    Invalid(#[from] ManifestError),
    /// Of schema 1: what is signed is not what was sent.
    #[error(transparent)]
    Unverified(#[from] SignatureError),
    #[error("the check of the manifest was stopped")]
    Stopped(#[source] JoinError),
    #[error("cannot store the manifest")]
    Put {
        #[source]
        cause: PutImageError,
        repository: RepositoryPath,
    },
}

/// What was stored.
#[derive(Debug)]
struct Stored {
    digest: Digest,
    subject: Option<Digest>,
    /// Of a replica: tags that it was not given.
    refused_tags: Vec<Tag>,
}

/// Answers a PUT of a manifest.
pub(crate) async fn put(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let registry = &visitor.registry;
    let named = visitor.repository(&input.name)?;
    let reference = parse_reference(&input, InputError::Tag)?;
    note_reference(&reference);
    let tags = tag_parameters(&input.query, &reference)?;
    let context = naming(tag_of(&reference).into_iter().chain(&tags));
    let granted = visitor.permit_step_with::<kinds::PutImage>(&named, &context).await?;
    visitor.check_loop(&named.path)?;
    // "The registry SHOULD ignore parameters on the `Content-Type` header."
    let content_type = input
        .header(&header::CONTENT_TYPE)
        .and_then(|text| text.split(';').next())
        .map(|text| text.trim().to_owned());
    let length = input.content_length();
    let most = MAX_MANIFEST_BYTES as u64;
    let _turn = registry
        .manifest_turn(&visitor.tenant(), length.unwrap_or(most).min(most))
        .await?;
    let bytes = read_all(registry, input.body, length, MAX_MANIFEST_BYTES as u64).await?;
    let stored = put_manifest(visitor, &granted, &reference, tags.clone(), bytes, content_type).await?;
    let mut answer = Answer::new(StatusCode::CREATED)
        .with(
            header::LOCATION,
            named.location(format_args!("manifests/{}", stored.digest)),
        )
        .with(DOCKER_CONTENT_DIGEST, stored.digest);
    if let Some(subject) = stored.subject {
        answer = answer.with(OCI_SUBJECT, subject);
    }
    if !stored.refused_tags.is_empty() {
        let refused: Vec<_> = stored.refused_tags.iter().map(Tag::as_str).collect();
        answer = answer.with(HeaderName::from_static(REFUSED_TAGS_HEADER), refused.join(", "));
    }
    Ok(tags
        .into_iter()
        .filter(|tag| !stored.refused_tags.contains(tag))
        .fold(answer, |answer, tag| answer.with(OCI_TAG, tag))
        .into_response())
}

/// The tags beside a digest.
fn tag_parameters(query: &str, reference: &Reference) -> Result<Vec<Tag>, InputError> {
    let texts = pairs(query).filter(|(name, _)| name == "tag").map(|(_, value)| value);
    let texts: Vec<String> = texts.take(MAX_TAG_PARAMETERS + 1).collect();
    match reference {
        Reference::Tag(_) if !texts.is_empty() => Err(InputError::TagsBesideTag),
        Reference::Digest(_) if texts.len() > MAX_TAG_PARAMETERS => Err(InputError::TooManyTags(MAX_TAG_PARAMETERS)),
        Reference::Tag(_) | Reference::Digest(_) => {
            let mut tags = Vec::with_capacity(texts.len());
            for text in texts {
                let tag: Tag = text.parse().map_err(InputError::Tag)?;
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
            Ok(tags)
        }
    }
}

#[tracing::instrument(name = "manifest.put", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name,
    manifest.reference = %reference, manifest.digest = tracing::field::Empty, manifest.size_bytes = bytes.len()))]
async fn put_manifest(
    visitor: &Visitor,
    granted: &Granted<kinds::PutImage>,
    reference: &Reference,
    tags: Vec<Tag>,
    bytes: Bytes,
    content_type: Option<String>,
) -> Result<Stored, PutManifestError> {
    let registry = &visitor.registry;
    let (algorithm, tags) = match reference {
        Reference::Tag(tag) => (Algorithm::Sha256, vec![tag.clone()]),
        Reference::Digest(digest) => (digest.algorithm(), tags),
    };
    let (digest, manifest) = check(algorithm, bytes, content_type).await?;
    if let Reference::Digest(expected) = reference
        && *expected != digest
    {
        return Err(PutManifestError::DigestMismatch {
            expected: Box::new(*expected),
            actual: Box::new(digest),
        });
    }
    let manifest = manifest?;
    Trail::note(|facts| facts.digest = Some(digest));
    tracing::Span::current().record("manifest.digest", tracing::field::display(digest));
    let subject = manifest.subject().map(|subject| subject.digest);
    let pushed_at = registry.now();
    let pushed_by = granted.caller().principal.to_string();
    let image = NewImage {
        manifest,
        digest,
        tags,
        pushed_at,
        pushed_by,
    };
    let outcome = store(registry, granted, image, visitor.replica.as_ref()).await;
    let outcome = outcome.map_err(|cause| PutManifestError::Put {
        cause,
        repository: granted.resource().clone(),
    })?;
    registry.metrics().pushes.inc();
    tracing::info!(image.is_new = outcome.is_new, "manifest stored");
    Ok(Stored {
        digest,
        subject,
        refused_tags: outcome.refused_tags,
    })
}

// A conflict means that somebody else moved the same tag: the last one wins, and that is us, now.
async fn store(
    registry: &Registry,
    granted: &Granted<kinds::PutImage>,
    image: NewImage,
    replica: Option<&ReplicationPath>,
) -> Result<ReplicaOutcome, PutImageError> {
    for _ in 1..MAX_ATTEMPTS {
        match put_once(registry, granted, image.clone(), replica).await {
            Err(PutImageError::Catalog(CatalogError::Conflict)) => {}
            result => return result,
        }
    }
    put_once(registry, granted, image, replica).await
}

async fn put_once(
    registry: &Registry,
    granted: &Granted<kinds::PutImage>,
    image: NewImage,
    replica: Option<&ReplicationPath>,
) -> Result<ReplicaOutcome, PutImageError> {
    let (catalog, repository) = (registry.catalog(), granted.resource());
    if let Some(path) = replica {
        return catalog.put_replica(repository, image, path).await;
    }
    let outcome = catalog.put_image(repository, image).await?;
    Ok(ReplicaOutcome {
        is_new: outcome.is_new,
        refused_tags: Vec::new(),
    })
}

async fn check(
    algorithm: Algorithm,
    bytes: Bytes,
    content_type: Option<String>,
) -> Result<(Digest, Result<Manifest, PutManifestError>), PutManifestError> {
    let is_large = bytes.len() > MAX_INLINE_CHECK_BYTES;
    let check = move || {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        (hasher.finish(), read(bytes, content_type.as_deref()))
    };
    if is_large {
        tokio::task::spawn_blocking(check)
            .await
            .map_err(PutManifestError::Stopped)
    } else {
        Ok(check())
    }
}

fn read(bytes: Bytes, content_type: Option<&str>) -> Result<Manifest, PutManifestError> {
    let manifest = Manifest::parse(bytes, content_type)?;
    if manifest.is_schema1() {
        let must_be_signed = manifest.media_type().as_str() == MediaType::DOCKER_SCHEMA1_SIGNED;
        hythe_formats::verify(manifest.bytes(), must_be_signed)?;
    }
    Ok(manifest)
}
