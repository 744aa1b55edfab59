// SPDX-License-Identifier: Apache-2.0
//! Pulling: manifests, then blobs, then the entry in the layout's index, so that a broken pull leaves no image that is half there.

use std::collections::HashSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use hythe_model::{Descriptor, Digest, Manifest, Reference};

use super::{
    BlobOutcome, Destination, MAX_DEPTH, MAX_MANIFESTS, MAX_PARALLEL_BLOBS, Platform, RegistryClient, SharedProgress,
    TransferError, Transferred,
};

/// What to pull of an index, and how to call it.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Only the image for this platform; the whole index by default.
    pub platform: Option<Platform>,
    /// The name of the image in the layout.
    pub name: Option<String>,
}

/// Pulls an image with everything it needs into `destination`.
pub async fn pull(
    client: &RegistryClient,
    repository: &str,
    reference: &Reference,
    destination: Destination,
    options: &PullOptions,
    progress: SharedProgress,
) -> Result<Transferred, TransferError> {
    let (digest, manifest) = client.manifest(repository, reference).await?;
    let (digest, manifest) = match &options.platform {
        Some(platform) if !manifest.children().is_empty() => {
            let child = choose(&manifest, platform)?.digest;
            client.manifest(repository, &Reference::Digest(child)).await?
        }
        _ => (digest, manifest),
    };
    let media_type = manifest.media_type().clone();
    let root = descriptor(&digest, &manifest);
    let manifests = collect(client, repository, digest, manifest).await?;

    let mut seen = HashSet::new();
    let blobs: Vec<&Descriptor> = manifests
        .iter()
        .flat_map(|(_, manifest)| manifest.required_blobs())
        .filter(|blob| seen.insert(blob.digest))
        .collect();
    let mut done = Transferred::new(digest, media_type, manifests.len());
    let mut outcomes = stream::iter(blobs)
        .map(|blob| {
            let (progress, destination) = (&progress, &destination);
            async move {
                progress.started(blob);
                let outcome = destination.fetch(client, repository, blob, progress).await?;
                progress.finished(&blob.digest, outcome);
                Ok::<(BlobOutcome, u64), TransferError>((outcome, blob.size))
            }
        })
        .buffer_unordered(MAX_PARALLEL_BLOBS);
    while let Some((outcome, bytes)) = outcomes.try_next().await? {
        done.count(outcome, bytes);
    }
    drop(outcomes);
    for (digest, manifest) in &manifests {
        destination.write_manifest(digest, manifest.bytes()).await?;
    }
    destination.finish(root, options.name.as_deref()).await?;
    Ok(done)
}

fn choose<'a>(index: &'a Manifest, wanted: &Platform) -> Result<&'a Descriptor, TransferError> {
    let is_wanted = |child: &&Descriptor| Platform::of(child).is_some_and(|platform| wanted.accepts(&platform));
    index
        .children()
        .iter()
        .find(is_wanted)
        .ok_or_else(|| TransferError::NoPlatform {
            wanted: wanted.to_string(),
            available: index
                .children()
                .iter()
                .filter_map(Platform::of)
                .map(|platform| platform.to_string())
                .collect(),
        })
}

fn descriptor(digest: &Digest, manifest: &Manifest) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type().clone(),
        digest: *digest,
        size: manifest.bytes().len() as u64,
        urls: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
        artifact_type: manifest.artifact_type().map(str::to_owned),
        platform: None,
    }
}

/// The manifest and all those below it.
async fn collect(
    client: &RegistryClient,
    repository: &str,
    digest: Digest,
    manifest: Manifest,
) -> Result<Vec<(Digest, Manifest)>, TransferError> {
    let mut seen = HashSet::from([digest]);
    let mut all = Vec::new();
    let mut level = vec![(digest, manifest)];
    for _ in 0..=MAX_DEPTH {
        let below: Vec<Digest> = level
            .iter()
            .flat_map(|(_, manifest)| manifest.children())
            .map(|child| child.digest)
            .filter(|child| seen.insert(*child))
            .collect();
        all.append(&mut level);
        if below.is_empty() {
            return Ok(all);
        }
        if seen.len() > MAX_MANIFESTS {
            return Err(TransferError::TooLarge("more than 1000 manifests"));
        }
        for child in below {
            level.push(client.manifest(repository, &Reference::Digest(child)).await?);
        }
    }
    Err(TransferError::TooLarge("indexes nested more than 8 deep"))
}
