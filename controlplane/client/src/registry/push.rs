// SPDX-License-Identifier: Apache-2.0
//! Pushing: blobs first, then the images of an index, then the index, then the tag.

use std::collections::HashSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use hythe_model::{Descriptor, Digest, Manifest, Reference};

use super::{
    MAX_DEPTH, MAX_MANIFESTS, MAX_PARALLEL_BLOBS, RegistryClient, SharedProgress, Source, TransferError, Transferred,
    blob,
};

/// Pushes the image that `root` (see [`Source::select`]) names, and everything it needs, as `reference`.
///
/// A manifest of an index that is not in the layout is passed over if the registry has it.
pub async fn push(
    client: &RegistryClient,
    repository: &str,
    source: &Source,
    root: &Descriptor,
    reference: &Reference,
    progress: SharedProgress,
) -> Result<Transferred, TransferError> {
    if let Reference::Digest(digest) = reference
        && *digest != root.digest
    {
        return Err(TransferError::Damaged {
            expected: *digest,
            found: format!("the image is `{}`", root.digest),
        });
    }
    let mut found = Found {
        client,
        repository,
        source,
        seen: HashSet::new(),
        manifests: Vec::new(),
    };
    found.collect(root, 0).await?;
    let manifests = found.manifests;
    let mut seen = HashSet::new();
    let blobs: Vec<&Descriptor> = manifests
        .iter()
        .flat_map(|(_, manifest)| manifest.required_blobs())
        .filter(|blob| seen.insert(blob.digest))
        .collect();
    let media_type = root.media_type.clone();
    let mut done = Transferred::new(root.digest, media_type, manifests.len());
    let mut outcomes = stream::iter(blobs)
        .map(|descriptor| {
            let progress = &progress;
            async move {
                Ok((
                    blob::upload(client, repository, source, descriptor, progress).await?,
                    descriptor.size,
                ))
            }
        })
        .buffer_unordered(MAX_PARALLEL_BLOBS);
    while let Some((outcome, bytes)) = outcomes.try_next().await.map_err(|error: TransferError| error)? {
        done.count(outcome, bytes);
    }
    drop(outcomes);
    for (digest, manifest) in &manifests {
        let by = if *digest == root.digest {
            reference
        } else {
            &Reference::Digest(*digest)
        };
        client.put_manifest(repository, by, digest, manifest).await?;
    }
    Ok(done)
}

struct Found<'a> {
    client: &'a RegistryClient,
    repository: &'a str,
    source: &'a Source,
    seen: HashSet<Digest>,
    /// Children before the indexes that name them.
    manifests: Vec<(Digest, Manifest)>,
}

impl Found<'_> {
    async fn collect(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), TransferError> {
        let digest = descriptor.digest;
        if !self.seen.insert(digest) {
            return Ok(());
        }
        if self.seen.len() > MAX_MANIFESTS {
            return Err(TransferError::TooLarge("more than 1000 manifests"));
        }
        if depth > MAX_DEPTH {
            return Err(TransferError::TooLarge("indexes nested more than 8 deep"));
        }
        let Some(bytes) = self.source.manifest(&digest).await? else {
            let is_there = depth > 0 && self.client.has_manifest(self.repository, &digest).await?;
            return if is_there {
                Ok(())
            } else {
                Err(TransferError::Missing(digest))
            };
        };
        let manifest = Manifest::parse(bytes, Some(descriptor.media_type.as_str()));
        let manifest = manifest.map_err(|source| TransferError::Manifest { digest, source })?;
        for child in manifest.children() {
            Box::pin(self.collect(child, depth + 1)).await?;
        }
        self.manifests.push((digest, manifest));
        Ok(())
    }
}
