// SPDX-License-Identifier: Apache-2.0
//! Giving a manifest out in another form than it is stored in (ECR guide, "Container image manifest formats").
//!
//! Only a pull by tag is translated. A client may then ask for the digest that it was told: what was given out is
//! remembered by where it came from, and made anew from that, so that the image must still be there and memory stays
//! small. A digest that was forgotten, or given out by another node, is unknown; the tag leads to it again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use hythe_access::{Granted, kinds};
use hythe_blobs::{BlobError, Hasher};
use hythe_catalog::{CatalogError, ImageRecord, NewBlob};
use hythe_formats::{Accept, Downgrade, EMPTY_LAYER, EMPTY_LAYER_DIGEST, Form, MAX_CONFIG_BYTES, Signer, SignerError};
use hythe_model::{Algorithm, Descriptor, Digest, Manifest, Reference, RepositoryPath, Tag};
use tokio::task::JoinError;

use super::MAX_INLINE_CHECK_BYTES;
use crate::Registry;
use crate::auth::Visitor;
use crate::oci_error::Overload;

/// How many translations are remembered; the oldest is forgotten first. Each takes under 2 KiB.
const MAX_REMEMBERED: usize = 4096;

/// Why a manifest was not translated although it could be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TranslateError {
    #[error(transparent)]
    Overload(#[from] Overload),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("cannot read the configuration")]
    Blobs(#[from] BlobError),
    #[error("the bytes of blob `{0}` are missing from the blob store")]
    BytesMissing(Digest),
    #[error(transparent)]
    Sign(#[from] SignerError),
    #[error("the translation of the manifest was stopped")]
    Stopped(#[from] JoinError),
}

/// What a manifest becomes, and under which name: schema 1 carries one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    form: Form,
    name: Arc<str>,
    tag: Tag,
}

/// Where a translation came from.
#[derive(Clone, Debug)]
struct Origin {
    stored: Digest,
    target: Target,
}

/// The translations that were given out, and the key that signs schema 1.
#[derive(Debug, Default)]
pub(crate) struct Translations {
    given: Mutex<Given>,
    signer: OnceLock<Signer>,
}

#[derive(Debug, Default)]
struct Given {
    origins: HashMap<(RepositoryPath, Digest), Origin>,
    order: VecDeque<(RepositoryPath, Digest)>,
}

impl Translations {
    fn remember(&self, repository: &RepositoryPath, translated: Digest, origin: Origin) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (repository.clone(), translated);
        if given.origins.insert(key.clone(), origin).is_some() {
            return;
        }
        given.order.push_back(key);
        if given.order.len() > MAX_REMEMBERED
            && let Some(oldest) = given.order.pop_front()
        {
            given.origins.remove(&oldest);
        }
    }

    fn origin(&self, repository: &RepositoryPath, translated: &Digest) -> Option<Origin> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.origins.get(&(repository.clone(), *translated)).cloned()
    }

    /// Makes the key with the first manifest that needs it. Not for an async thread.
    fn signer(&self) -> Result<&Signer, SignerError> {
        if let Some(signer) = self.signer.get() {
            return Ok(signer);
        }
        let new = Signer::generate()?;
        // Of two that are made at once, one is used by both.
        Ok(self.signer.get_or_init(|| new))
    }
}

/// The form that the sender of these headers wants instead of the stored one.
pub(super) fn wanted(stored: &ImageRecord, headers: &HeaderMap) -> Option<Form> {
    let text = |value: &'static header::HeaderName| headers.get(value).and_then(|value| value.to_str().ok());
    let accept = Accept(|| {
        let values = headers.get_all(header::ACCEPT).into_iter();
        values.filter_map(|value| value.to_str().ok())
    });
    Form::wanted(stored.media_type.as_str(), &accept, text(&header::USER_AGENT))
}

/// Translates what a tag names; `name` is the repository as the client wrote it. What cannot be translated stays as it is.
pub(super) async fn translate(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    stored: ImageRecord,
    form: Form,
    name: &str,
    tag: &Tag,
) -> Result<ImageRecord, TranslateError> {
    let target = Target {
        form,
        name: name.into(),
        tag: tag.clone(),
    };
    let registry = &visitor.registry;
    let Some(translated) = make(visitor, granted, &stored, &target).await? else {
        return Ok(stored);
    };
    registry.metrics().manifests_translated.inc();
    let origin = Origin {
        stored: stored.digest,
        target,
    };
    registry
        .translations()
        .remember(granted.resource(), translated.digest, origin);
    Ok(translated)
}

/// The translation with this digest and the image it is one of, if it was given out here and the image is still there.
pub(super) async fn recall(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    digest: &Digest,
) -> Result<Option<(Digest, ImageRecord)>, TranslateError> {
    let (registry, repository) = (&visitor.registry, granted.resource());
    let Some(origin) = registry.translations().origin(repository, digest) else {
        return Ok(None);
    };
    let reference = Reference::Digest(origin.stored);
    let Some(stored) = registry.catalog().image(repository, &reference).await? else {
        return Ok(None);
    };
    let made = make(visitor, granted, &stored, &origin.target).await?;
    let found = made.filter(|translated| translated.digest == *digest);
    Ok(found.map(|translated| (origin.stored, translated)))
}

#[tracing::instrument(name = "manifest.translate", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name,
    manifest.digest = %stored.digest, manifest.form = ?target.form))]
async fn make(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    stored: &ImageRecord,
    target: &Target,
) -> Result<Option<ImageRecord>, TranslateError> {
    let registry = &visitor.registry;
    let bytes = stored.bytes.clone();
    let length = bytes.len() as u64;
    let made = match target.form {
        Form::Oci | Form::Docker => {
            let form = target.form;
            let rewrite = move || match form {
                Form::Oci => hythe_formats::to_oci(&bytes),
                Form::Docker | Form::SignedSchema1 | Form::Schema1 => hythe_formats::to_docker(&bytes),
            };
            if stored.bytes.len() > MAX_INLINE_CHECK_BYTES {
                let _turn = registry.manifest_turn(&visitor.tenant(), length).await?;
                tokio::task::spawn_blocking(rewrite).await?
            } else {
                rewrite()
            }
        }
        Form::SignedSchema1 | Form::Schema1 => {
            let Ok(manifest) = Manifest::parse(bytes, Some(stored.media_type.as_str())) else {
                return Ok(None);
            };
            // The configuration may be as large, whatever the manifest says of it.
            let length = length + MAX_CONFIG_BYTES as u64;
            let _turn = registry.manifest_turn(&visitor.tenant(), length).await?;
            let Some(config) = read_config(registry, granted, manifest.config()).await? else {
                return Ok(None);
            };
            downgrade(registry, granted, manifest, config, target).await?
        }
    };
    let bytes = match made {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => {
            tracing::debug!(reason = error.0, "the manifest is served as it is");
            return Ok(None);
        }
    };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&bytes);
    // The media types of forms are media types; if that were not so, the stored form would do.
    Ok(target.form.media_type().parse().ok().map(|media_type| ImageRecord {
        digest: hasher.finish(),
        media_type,
        bytes,
    }))
}

type Made = Result<Vec<u8>, hythe_formats::Untranslatable>;

async fn downgrade(
    registry: &Registry,
    granted: &Granted<kinds::BatchGetImage>,
    manifest: Manifest,
    config: Bytes,
    target: &Target,
) -> Result<Made, TranslateError> {
    let (owned, target) = (registry.clone(), target.clone());
    let work = move || -> Result<_, SignerError> {
        let made = Downgrade::new(&manifest, &config, &target.name, target.tag.as_str());
        let Downgrade {
            manifest,
            has_empty_layer,
        } = match made {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = match target.form {
            Form::SignedSchema1 => owned.translations().signer()?.sign(&manifest)?,
            Form::Oci | Form::Docker | Form::Schema1 => manifest,
        };
        Ok(Ok((bytes, has_empty_layer)))
    };
    Ok(match tokio::task::spawn_blocking(work).await?? {
        Ok((bytes, has_empty_layer)) => {
            if has_empty_layer {
                link_empty_layer(registry, granted.resource()).await?;
            }
            Ok(bytes)
        }
        Err(error) => Err(error),
    })
}

/// Reads a configuration as a whole; `None` if it is too large, or there is none.
async fn read_config(
    registry: &Registry,
    granted: &Granted<kinds::BatchGetImage>,
    config: Option<&Descriptor>,
) -> Result<Option<Bytes>, TranslateError> {
    let Some(Descriptor { digest, .. }) = config else {
        return Ok(None);
    };
    let Some(record) = registry.catalog().blob(granted.resource(), digest).await? else {
        return Ok(None);
    };
    if let Some(inline) = record.inline {
        return Ok(Some(inline));
    }
    if record.size > MAX_CONFIG_BYTES as u64 {
        return Ok(None);
    }
    let stream = registry.blobs().read(digest, 0..record.size).await?;
    let mut stream = stream.ok_or(TranslateError::BytesMissing(*digest))?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(BlobError)?);
    }
    Ok(Some(bytes.freeze()))
}

/// Schema 1 says "no change" by a layer of its own, which the client fetches from this repository.
async fn link_empty_layer(registry: &Registry, repository: &RepositoryPath) -> Result<(), TranslateError> {
    // A constant of a public format; it parses.
    let Ok(digest) = EMPTY_LAYER_DIGEST.parse() else {
        return Ok(());
    };
    if registry.catalog().blob(repository, &digest).await?.is_some() {
        return Ok(());
    }
    let blob = NewBlob {
        digest,
        size: EMPTY_LAYER.len() as u64,
        inline: Some(Bytes::from_static(EMPTY_LAYER)),
        upload: None,
    };
    Ok(registry.catalog().link_blob(repository, blob, registry.now()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_translations_are_forgotten() {
        let translations = Translations::default();
        let repository = RepositoryPath {
            account: "000000000000".parse().unwrap(),
            name: "team/web".parse().unwrap(),
        };
        let digest = |n: usize| {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&n.to_le_bytes());
            hasher.finish()
        };
        let origin = Origin {
            stored: digest(0),
            target: Target {
                form: Form::Oci,
                name: "team/web".into(),
                tag: "v1".parse().unwrap(),
            },
        };
        for n in 0..=MAX_REMEMBERED {
            // Twice is once.
            translations.remember(&repository, digest(n), origin.clone());
            translations.remember(&repository, digest(n), origin.clone());
        }
        assert!(translations.origin(&repository, &digest(0)).is_none());
        assert!(translations.origin(&repository, &digest(1)).is_some());
        assert!(translations.origin(&repository, &digest(MAX_REMEMBERED)).is_some());
        let given = translations.given.lock().unwrap();
        assert_eq!(
            (given.order.len(), given.origins.len()),
            (MAX_REMEMBERED, MAX_REMEMBERED)
        );
    }
}
