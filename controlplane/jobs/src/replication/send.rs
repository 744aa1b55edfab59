// SPDX-License-Identifier: Apache-2.0
//! Sends an image: what it needs first, blobs before manifests, and nothing that the destination has.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderName, HeaderValue};
use hythe_catalog::{BlobCatalog as _, BlobRecord, ImageCatalog as _, ImageRecord};
use hythe_meta::{ClaimedReplication, DestinationKind, ReplicationFailure, ReplicationOutcome};
use hythe_model::{
    Digest, Manifest, REPLICATION_HEADER, Reference, RegistryPlace, ReplicationPath, RepositoryPath, fail_point,
};
use hythe_upstream::{Credential, Remote, RemoteUpload, UpstreamError};

use super::chunk_memory::{MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, MIN_FOREIGN_CHUNK_BYTES};
use super::failure::SendError;
use super::throttle::Throttle;
use super::{MAX_REMOTES, RemoteKey, Replicator};
use crate::add;

/// The most images that go with one: what an index lists, and what these refer to.
const MAX_IMAGES: usize = 1000;
/// The most images that are listed by those and not looked at yet: far more than can go, as an index may list what is not here.
const MAX_LISTED: usize = 50_000;
/// How often a chunk is taken up again where the destination is, before the whole task is tried again.
const MAX_RESUMPTIONS: usize = 3;

/// What is being sent, and where.
struct Delivery<'d> {
    from: &'d RepositoryPath,
    /// The repository at the destination.
    to: String,
    place: &'d RegistryPlace,
    /// The tag or, of an image without one, the image.
    reference: &'d Reference,
    claimed: &'d ClaimedReplication,
    remote: Arc<Remote>,
    throttle: Option<Arc<Throttle>>,
}

impl Delivery<'_> {
    /// How much of a blob is sent at once, at most.
    fn chunk(&self) -> u64 {
        match &self.throttle {
            Some(throttle) => throttle.bytes_per_second().max(MIN_CHUNK_BYTES),
            None => MAX_CHUNK_BYTES,
        }
    }

    /// The same at least.
    fn least_chunk(&self) -> u64 {
        match self.claimed.destination.settings.kind {
            DestinationKind::Hythe => MIN_CHUNK_BYTES,
            DestinationKind::Oci => MIN_FOREIGN_CHUNK_BYTES,
        }
    }
}

/// On the way through what an image needs. Manifests are large, and there may be many: one at a time is in memory.
enum Step {
    Look(Digest),
    Take(Digest),
}

/// One blob goes to one repository by one stream only.
#[derive(Debug, Default)]
pub(super) struct BlobLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl BlobLocks {
    fn of(&self, key: String) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(key).or_default())
    }
}

impl Replicator {
    /// Brings to the destination what the task is about, as it is now.
    pub(super) async fn send(
        &self,
        claimed: &ClaimedReplication,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<ReplicationOutcome, SendError> {
        let task = &claimed.task;
        let delivery = Delivery {
            from: &task.repository,
            to: name_there(claimed),
            place: &task.place,
            reference,
            claimed,
            remote: self.remote(claimed)?,
            throttle: self.throttle(claimed),
        };
        match self.0.store.image(&task.repository, reference).await? {
            Some(image) => self.send_image(&delivery, image).await,
            None if task.may_delete => self.delete(&delivery, digest).await,
            None => Ok(done(Vec::new())),
        }
    }

    async fn send_image(&self, delivery: &Delivery<'_>, image: ImageRecord) -> Result<ReplicationOutcome, SendError> {
        let reference = delivery.reference;
        let there = delivery.remote.manifest_digest(&delivery.to, reference).await?;
        if there == Some(image.digest) {
            return Ok(done(vec![image.digest]));
        }
        let mut sent = vec![image.digest];
        for digest in self.what_goes_before(delivery, &image).await? {
            let by_digest = Reference::Digest(digest);
            // One that was deleted meanwhile does not go.
            let Some(needed) = self.0.store.image(delivery.from, &by_digest).await? else {
                continue;
            };
            self.send_blobs(delivery, &needed).await?;
            let put = delivery
                .remote
                .put_manifest(&delivery.to, &by_digest, &needed.media_type, needed.bytes);
            put.await?;
            fail_point("replication.manifest.sent");
            add(&self.0.metrics.images, 1);
            sent.push(digest);
        }
        self.send_blobs(delivery, &image).await?;
        let short_of = self.put(delivery, &image, reference).await?;
        fail_point("replication.manifest.sent");
        add(&self.0.metrics.images, 1);
        Ok(ReplicationOutcome::Done { sent, short_of })
    }

    /// Stores the manifest itself; without its tag if the destination does not want that.
    async fn put(
        &self,
        delivery: &Delivery<'_>,
        image: &ImageRecord,
        reference: &Reference,
    ) -> Result<Option<ReplicationFailure>, SendError> {
        let (remote, to) = (&delivery.remote, delivery.to.as_str());
        let (media_type, bytes) = (&image.media_type, &image.bytes);
        let without = |reason: String| {
            Some(ReplicationFailure {
                code: "TagRefused".into(),
                reason,
            })
        };
        match remote.put_manifest(to, reference, media_type, bytes.clone()).await {
            Ok(taken) => Ok(taken
                .refused_tags
                .and_then(|tags| without(format!("the tag may not be moved there: {tags}")))),
            Err(error @ (UpstreamError::Server { .. } | UpstreamError::Denied))
                if !error.is_temporary() && matches!(reference, Reference::Tag(_)) =>
            {
                let by_digest = Reference::Digest(image.digest);
                match remote.put_manifest(to, &by_digest, media_type, bytes.clone()).await {
                    Ok(_) => Ok(without(format!("the destination does not take the tag: {error}"))),
                    Err(_) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All images that an image needs and that are not there, each after those that it needs itself: what an index lists, and
    /// what these refer to.
    async fn what_goes_before(&self, delivery: &Delivery<'_>, root: &ImageRecord) -> Result<Vec<Digest>, SendError> {
        let mut seen = BTreeSet::from([root.digest]);
        let mut going = Vec::new();
        let mut images = 1;
        let mut next: Vec<_> = needed_by(root)?.into_iter().map(Step::Look).collect();
        while let Some(step) = next.pop() {
            let digest = match step {
                Step::Take(digest) => {
                    going.push(digest);
                    continue;
                }
                Step::Look(digest) => digest,
            };
            let reference = Reference::Digest(digest);
            if !seen.insert(digest) {
                continue;
            }
            // What is not here, or is in the archive, does not go.
            let Some(image) = self.0.store.image(delivery.from, &reference).await? else {
                continue;
            };
            let there = delivery.remote.manifest_digest(&delivery.to, &reference).await?;
            images += 1;
            if images > MAX_IMAGES {
                return Err(SendError::TooManyImages);
            }
            if there.is_some() {
                continue;
            }
            // What it needs comes before it, also where two need the same.
            next.push(Step::Take(digest));
            let needed = needed_by(&image)?.into_iter();
            next.extend(needed.filter(|digest| !seen.contains(digest)).map(Step::Look));
            if next.len() > MAX_LISTED {
                return Err(SendError::TooManyImages);
            }
        }
        Ok(going)
    }

    async fn send_blobs(&self, delivery: &Delivery<'_>, image: &ImageRecord) -> Result<(), SendError> {
        let manifest = Manifest::parse(image.bytes.clone(), Some(image.media_type.as_str()))?;
        let digests: BTreeSet<_> = manifest.required_blobs().map(|blob| blob.digest).collect();
        drop(manifest);
        stream::iter(digests)
            .map(|digest| async move { self.send_blob(delivery, digest).await })
            .buffer_unordered(self.0.chunks.blobs_at_once())
            .try_collect()
            .await
    }

    async fn send_blob(&self, delivery: &Delivery<'_>, digest: Digest) -> Result<(), SendError> {
        let key = format!(
            "{}|{}|{}|{digest}",
            delivery.from.account, delivery.place.region, delivery.to
        );
        let lock = self.0.locks.of(key);
        let _sending = lock.lock().await;
        let (remote, to) = (&delivery.remote, delivery.to.as_str());
        if remote.blob_exists(to, &digest).await? {
            add(&self.0.metrics.blobs_known, 1);
            return Ok(());
        }
        let record = self.0.store.blob(delivery.from, &digest).await?;
        let record = record.ok_or(SendError::BlobGone(digest))?;
        let source = self.source(delivery, &digest).await?;
        let place = self
            .0
            .chunks
            .take(record.size.min(delivery.chunk()), delivery.least_chunk());
        if record.size <= place.bytes() {
            let bytes = self.read(&digest, &record, 0..record.size, delivery).await?;
            let upload = if delivery.claimed.destination.settings.kind == DestinationKind::Hythe && source.is_none() {
                remote.push_blob(to, &digest, bytes.clone()).await?
            } else {
                remote.begin_upload(to, &digest, source.as_deref()).await?
            };
            fail_point("replication.blob.begun");
            if let Some(upload) = upload {
                remote.finish_upload(to, &upload, &digest, bytes).await?;
            }
        } else {
            drop(place);
            self.send_large(delivery, &digest, &record, source.as_deref()).await?;
        }
        fail_point("replication.blob.sent");
        add(&self.0.metrics.blobs, 1);
        add(&self.0.metrics.bytes, record.size);
        Ok(())
    }

    /// Sends a blob chunk by chunk, and goes on where an earlier attempt was, of this process or of another.
    async fn send_large(
        &self,
        delivery: &Delivery<'_>,
        digest: &Digest,
        record: &BlobRecord,
        source: Option<&str>,
    ) -> Result<(), SendError> {
        let (remote, to) = (&delivery.remote, delivery.to.as_str());
        let mut upload = match self.begun(delivery, digest).await? {
            Some(upload) if upload.offset <= record.size => upload,
            _ => match remote.begin_upload(to, digest, source).await? {
                Some(upload) => upload,
                None => return Ok(()),
            },
        };
        self.note(delivery, digest, Some(&upload)).await?;
        fail_point("replication.blob.begun");
        let mut resumptions = 0;
        loop {
            let left = record.size.saturating_sub(upload.offset);
            let most = delivery.chunk().max(upload.min_chunk);
            let least = delivery.least_chunk().max(upload.min_chunk);
            let place = self.0.chunks.take(left.min(most), least);
            let end = upload.offset.saturating_add(place.bytes());
            let bytes = self.read(digest, record, upload.offset..end, delivery).await?;
            let went = if end < record.size {
                remote.append(to, &mut upload, bytes).await
            } else {
                remote.finish_upload(to, &upload, digest, bytes).await
            };
            match went {
                Ok(()) if end < record.size => {
                    fail_point("replication.chunk.sent");
                    self.note(delivery, digest, Some(&upload)).await?;
                }
                Ok(()) => break,
                Err(error) if resumptions < MAX_RESUMPTIONS && is_resumable(&error) => {
                    resumptions += 1;
                    upload = remote.resume_upload(to, upload.location()).await?;
                    if upload.offset > record.size {
                        return Err(UpstreamError::Invalid("an upload that has more than the blob".into()).into());
                    }
                }
                Err(error) => {
                    if !error.is_temporary() {
                        self.note(delivery, digest, None).await?;
                    }
                    return Err(error.into());
                }
            }
        }
        self.note(delivery, digest, None).await
    }

    /// The upload that an earlier attempt began, if the destination still knows it.
    async fn begun(&self, delivery: &Delivery<'_>, digest: &Digest) -> Result<Option<RemoteUpload>, SendError> {
        let (account, region) = (&delivery.from.account, &delivery.place.region);
        let noted = self
            .0
            .store
            .replication_upload(account, region, &delivery.to, digest)
            .await?;
        let Some(location) = noted else { return Ok(None) };
        match delivery.remote.resume_upload(&delivery.to, &location).await {
            Ok(upload) => Ok(Some(upload)),
            Err(error) if error.is_temporary() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    async fn note(
        &self,
        delivery: &Delivery<'_>,
        digest: &Digest,
        upload: Option<&RemoteUpload>,
    ) -> Result<(), SendError> {
        let (account, region) = (&delivery.from.account, &delivery.place.region);
        let location = upload.map(RemoteUpload::location);
        let store = &self.0.store;
        let noted = store.note_replication_upload(account, region, &delivery.to, digest, location, self.now());
        Ok(noted.await?)
    }

    /// Another repository of the destination that may have a blob: one that has it here, and that the destination was told of.
    async fn source(&self, delivery: &Delivery<'_>, digest: &Digest) -> Result<Option<String>, SendError> {
        let source = self
            .0
            .store
            .replicated_source(delivery.from, digest, delivery.place)
            .await?;
        Ok(source.map(|source| there(delivery.claimed, &source)))
    }

    /// A part of a blob, as soon as so much may be sent.
    async fn read(
        &self,
        digest: &Digest,
        record: &BlobRecord,
        range: Range<u64>,
        delivery: &Delivery<'_>,
    ) -> Result<Bytes, SendError> {
        let length = range.end - range.start;
        if let Some(throttle) = &delivery.throttle {
            throttle.take(length).await;
        }
        if let Some(bytes) = &record.inline {
            let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
            let (Ok(start), Ok(end)) = (start, end) else {
                return Err(SendError::BlobGone(*digest));
            };
            return Ok(bytes.slice(start.min(bytes.len())..end.min(bytes.len())));
        }
        let stream = self.0.blobs.read(digest, range).await?;
        let mut stream = stream.ok_or(SendError::BlobGone(*digest))?;
        let mut bytes = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(hythe_blobs::BlobError)?);
        }
        if bytes.len() as u64 == length {
            Ok(bytes.freeze())
        } else {
            Err(SendError::BlobGone(*digest))
        }
    }

    /// Deletes there what is gone here, if it is.
    async fn delete(&self, delivery: &Delivery<'_>, digest: &Digest) -> Result<ReplicationOutcome, SendError> {
        let (task, reference) = (&delivery.claimed.task, delivery.reference);
        // An image in the archive cannot be pulled, and is not gone.
        if self.0.store.image_detail(&task.repository, reference).await?.is_some() {
            return Ok(done(Vec::new()));
        }
        let (remote, to) = (&delivery.remote, delivery.to.as_str());
        match remote.delete_manifest(to, reference).await {
            Ok(_) => {}
            // Some registries delete by digest only.
            Err(UpstreamError::Server {
                status: 400 | 405 | 501,
            }) => {
                let Reference::Tag(_) = reference else {
                    return Err(UpstreamError::Server { status: 405 }.into());
                };
                let image = Reference::Digest(*digest);
                let is_gone = self.0.store.image_detail(&task.repository, &image).await?.is_none();
                if is_gone && remote.manifest_digest(to, reference).await? == Some(*digest) {
                    remote.delete_manifest(to, &image).await?;
                } else {
                    return Err(UpstreamError::Server { status: 405 }.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        fail_point("replication.deletion.sent");
        Ok(done(Vec::new()))
    }

    /// By which registries what a task brings comes to its destination: this one last.
    pub(super) fn path(&self, claimed: &ClaimedReplication) -> Result<ReplicationPath, SendError> {
        let here = RegistryPlace {
            region: self.0.settings.region.clone(),
            account: claimed.task.repository.account.clone(),
        };
        match &claimed.task.path {
            Some(path) => path.then(here).ok_or(SendError::Path),
            None => Ok(ReplicationPath::from_origin(here)),
        }
    }

    /// Who asks at the destination of a task; `None` for nobody.
    pub(super) fn credential(&self, claimed: &ClaimedReplication) -> Result<Option<Credential>, SendError> {
        let settings = &claimed.destination.settings;
        let (Some(username), Some(_)) = (&settings.username, &settings.sealed_password) else {
            return Ok(None);
        };
        let secret = self.0.passwords.open(&claimed.destination);
        Ok(Some(Credential {
            username: username.clone(),
            secret: secret.ok_or(SendError::Password)?,
        }))
    }

    fn remote(&self, claimed: &ClaimedReplication) -> Result<Arc<Remote>, SendError> {
        let destination = &claimed.destination;
        let path = match destination.settings.kind {
            DestinationKind::Oci => None,
            DestinationKind::Hythe => Some(self.path(claimed)?.to_string()),
        };
        let key = RemoteKey {
            account: destination.account.clone(),
            name: destination.name.clone(),
            version: destination.version,
            path,
        };
        let mut remotes = self.0.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(remote) = remotes.get(&key) {
            return Ok(Arc::clone(remote));
        }
        let settings = &destination.settings;
        let url = settings.endpoint.parse();
        let url = url.map_err(|_| SendError::Endpoint(settings.endpoint.clone()))?;
        let credential = self.credential(claimed)?;
        let mut remote = Remote::new(self.0.outgoing.clone(), url, credential);
        if let Some(path) = key.path.as_deref().and_then(|path| HeaderValue::try_from(path).ok()) {
            remote = remote.with_header(HeaderName::from_static(REPLICATION_HEADER), path);
        }
        if remotes.len() >= MAX_REMOTES {
            remotes.clear();
        }
        let remote = Arc::new(remote);
        remotes.insert(key, Arc::clone(&remote));
        Ok(remote)
    }

    fn throttle(&self, claimed: &ClaimedReplication) -> Option<Arc<Throttle>> {
        let destination = &claimed.destination;
        let rate = destination.settings.bytes_per_second?;
        let key = (destination.account.clone(), destination.name.clone());
        let mut throttles = self.0.throttles.lock().unwrap_or_else(PoisonError::into_inner);
        let throttle = throttles.entry(key).or_insert_with(|| Arc::new(Throttle::new(rate)));
        if throttle.bytes_per_second() != rate {
            *throttle = Arc::new(Throttle::new(rate));
        }
        Some(Arc::clone(throttle))
    }
}

/// The images that an image needs: what it lists, and what it refers to.
fn needed_by(image: &ImageRecord) -> Result<BTreeSet<Digest>, SendError> {
    let manifest = Manifest::parse(image.bytes.clone(), Some(image.media_type.as_str()))?;
    let needed = manifest.children().iter().chain(manifest.subject());
    Ok(needed.map(|descriptor| descriptor.digest).collect())
}

fn is_resumable(error: &UpstreamError) -> bool {
    error.is_temporary() || matches!(error, UpstreamError::Server { status: 416 })
}

/// What the repository of a task is called at its destination.
fn name_there(claimed: &ClaimedReplication) -> String {
    there(claimed, &claimed.task.repository)
}

fn there(claimed: &ClaimedReplication, repository: &RepositoryPath) -> String {
    let settings = &claimed.destination.settings;
    match (settings.kind, &settings.repository_prefix) {
        (DestinationKind::Hythe, _) => format!("{}/{}", claimed.task.place.account, repository.name),
        (DestinationKind::Oci, Some(prefix)) => format!("{prefix}/{}", repository.name),
        (DestinationKind::Oci, None) => repository.name.to_string(),
    }
}

fn done(sent: Vec<Digest>) -> ReplicationOutcome {
    ReplicationOutcome::Done { sent, short_of: None }
}
