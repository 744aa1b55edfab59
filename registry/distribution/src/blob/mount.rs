// SPDX-License-Identifier: Apache-2.0
//! Linking a blob of another repository (OCI Distribution Specification 1.1, "Mounting a blob from another repository").

use hythe_access::{AccessError, Granted, authorize, kinds};
use hythe_catalog::{BlobRecord, CatalogError};
use hythe_model::{Digest, RepositoryPath};

use crate::Registry;
use crate::account::Named;
use crate::auth::Visitor;
use crate::blob::BlobReadError;
use crate::oci_error::OciError;

/// How many repositories are looked at for a blob whose source the client does not name.
const MAX_SOURCES: usize = 16;

/// Links the blob to the target from `from`, or from wherever the caller may read it; says whether it is there
/// now. A source that is unknown, of another account, or not the caller's to read is no error: the client uploads then.
/// If only the scope of the caller's token keeps it from reading a source, it is told to ask for a wider one.
pub(crate) async fn mount(
    visitor: &Visitor,
    named: &Named,
    target: &Granted<kinds::CompleteLayerUpload>,
    digest: &Digest,
    from: Option<&str>,
) -> Result<bool, OciError> {
    let registry = &visitor.registry;
    let sources = match from.map(|written| visitor.repository(written)) {
        Some(Ok(named)) => vec![named.path],
        Some(Err(_)) => return Ok(false),
        None => sources(registry, target, digest).await?,
    };
    let mut behind_scope = None;
    for source in sources {
        if source.account != target.resource().account {
            continue;
        }
        match authorize::<kinds::GetDownloadUrlForLayer>(registry.gate(), &visitor.caller, source.clone()).await {
            Ok(source) => match registry.catalog().blob(source.resource(), digest).await? {
                // Known to be damaged, it is to be sent instead.
                Some(record) if !is_sound(registry, digest, &record).await? => return Ok(false),
                Some(_) if link(registry, target, &source, digest).await? => return Ok(true),
                Some(_) | None => {}
            },
            Err(AccessError::Unauthenticated(_) | AccessError::Denied(_)) => {
                if behind_scope.is_none() && visitor.may_read_with_wider_token(&source).await? {
                    behind_scope = Some(source);
                }
            }
            Err(AccessError::Unavailable(error)) => return Err(error.into()),
        }
    }
    match behind_scope {
        Some(source) => Err(visitor.ask_for_mount_scope(named, &source).into()),
        None => Ok(false),
    }
}

async fn sources(
    registry: &Registry,
    target: &Granted<kinds::CompleteLayerUpload>,
    digest: &Digest,
) -> Result<Vec<RepositoryPath>, CatalogError> {
    registry
        .catalog()
        .blob_sources(target.resource(), digest, MAX_SOURCES)
        .await
}

async fn is_sound(registry: &Registry, digest: &Digest, record: &BlobRecord) -> Result<bool, BlobReadError> {
    Ok(registry.blobs().is_sound(digest, record.inline.as_deref()).await?)
}

#[tracing::instrument(name = "blob.mount", skip_all, fields(
    account.id = %target.resource().account, repository.name = %target.resource().name,
    source.name = %source.resource().name, blob.digest = %digest))]
async fn link(
    registry: &Registry,
    target: &Granted<kinds::CompleteLayerUpload>,
    source: &Granted<kinds::GetDownloadUrlForLayer>,
    digest: &Digest,
) -> Result<bool, CatalogError> {
    let is_linked = registry
        .catalog()
        .mount_blob(source.resource(), target.resource(), digest, registry.now())
        .await?;
    if is_linked {
        registry.metrics().blobs_mounted.inc();
        tracing::debug!("blob mounted");
    }
    Ok(is_linked)
}
