// SPDX-License-Identifier: Apache-2.0
//! A catalog that forgets everything when it is dropped, for tests of whatever stands on a [`Catalog`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use hythe_model::{
    AccountId, Algorithm, Digest, Manifest, Reference, RepositoryName, RepositoryPath, Tag, TagMutability, UploadId,
};
use jiff::Timestamp;

use crate::{
    BlobCatalog, BlobRecord, Catalog, CatalogError, DeleteImageError, DeletedImage, ImageCatalog, ImageRecord,
    MAX_TAGS_PER_IMAGE, NewBlob, NewImage, PutImageError, PutOutcome, Referrer, Unlinked, UploadCatalog, UploadRecord,
    UploadState,
};

/// A [`Catalog`] in memory. One lock makes every method one transaction; lists cost time in proportion to
/// the repository, so it is for tests only.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<RepositoryPath, Repository>,
    blobs: HashMap<Digest, BlobRecord>,
}

#[derive(Debug, Default)]
struct Repository {
    mutability: TagMutability,
    allow_sparse_indexes: bool,
    uploads: HashMap<UploadId, UploadRecord>,
    blobs: BTreeSet<Digest>,
    images: BTreeMap<Digest, Manifest>,
    // INVARIANT: every digest here is a key of `images`.
    tags: BTreeMap<Tag, Digest>,
}

impl MemoryCatalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a repository; of one that exists, only the mutability changes.
    pub fn create_repository(&self, repository: RepositoryPath, mutability: TagMutability) {
        self.lock().repositories.entry(repository).or_default().mutability = mutability;
    }

    /// Says whether a repository, if there is one, takes indexes whose children are not all there.
    pub fn allow_sparse_indexes(&self, repository: &RepositoryPath, is_allowed: bool) {
        if let Some(found) = self.lock().repositories.get_mut(repository) {
            found.allow_sparse_indexes = is_allowed;
        }
    }

    /// Deletes a repository with everything in it; says whether there was one.
    pub fn delete_repository(&self, repository: &RepositoryPath) -> bool {
        self.lock().repositories.remove(repository).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panics in one thread shall not hide its message behind a poisoned lock in another.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn writable(&mut self, repository: &RepositoryPath) -> Result<&mut Repository, CatalogError> {
        self.repositories
            .get_mut(repository)
            .ok_or_else(|| CatalogError::RepositoryUnknown(repository.clone()))
    }

    fn advance(
        &mut self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        let uploads = &mut self.writable(repository)?.uploads;
        let record = uploads.get_mut(&upload).ok_or(CatalogError::Conflict)?;
        if record.version != version {
            return Err(CatalogError::Conflict);
        }
        record.version += 1;
        record.state = state;
        record.expires_at = expires_at;
        Ok(record.version)
    }
}

impl Repository {
    fn resolve(&self, reference: &Reference) -> Option<Digest> {
        match reference {
            Reference::Tag(tag) => self.tags.get(tag).copied(),
            Reference::Digest(digest) => self.images.contains_key(digest).then_some(*digest),
        }
    }

    fn tags_of(&self, digest: &Digest) -> Vec<Tag> {
        self.tags
            .iter()
            .filter(|(_, target)| *target == digest)
            .map(|(tag, _)| tag.clone())
            .collect()
    }

    fn indexes_that_list(&self, digest: &Digest) -> Vec<Digest> {
        let lists = |manifest: &Manifest| manifest.children().iter().any(|child| child.digest == *digest);
        self.images
            .iter()
            .filter(|(_, manifest)| lists(manifest))
            .map(|(index, _)| *index)
            .collect()
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn repository_exists(&self, repository: &RepositoryPath) -> Result<bool, CatalogError> {
        Ok(self.lock().repositories.contains_key(repository))
    }

    async fn repository_names(
        &self,
        account: &AccountId,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, CatalogError> {
        let state = self.lock();
        let names = state
            .repositories
            .keys()
            .filter(|path| path.account == *account)
            .map(|path| &path.name);
        Ok(names
            .filter(|name| after.is_none_or(|after| *name > after))
            .take(limit)
            .cloned()
            .collect())
    }
}

#[async_trait]
impl UploadCatalog for MemoryCatalog {
    async fn begin_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        algorithm: Algorithm,
        expires_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let state = UploadState::Buffered(Bytes::new());
        let record = UploadRecord {
            id: upload,
            algorithm,
            state,
            version: 0,
            expires_at,
            sealed: None,
        };
        self.lock().writable(repository)?.uploads.insert(upload, record);
        Ok(())
    }

    async fn upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        now: Timestamp,
    ) -> Result<Option<UploadRecord>, CatalogError> {
        let state = self.lock();
        let record = state
            .repositories
            .get(repository)
            .and_then(|repository| repository.uploads.get(&upload));
        Ok(record.filter(|record| record.expires_at > now).cloned())
    }

    async fn advance_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        self.lock().advance(repository, upload, version, state, expires_at)
    }

    async fn seal_upload(
        &self,
        repository: &RepositoryPath,
        upload: UploadId,
        version: i64,
        digest: &Digest,
        state: UploadState,
        expires_at: Timestamp,
    ) -> Result<i64, CatalogError> {
        let mut catalog = self.lock();
        let version = catalog.advance(repository, upload, version, state, expires_at)?;
        if let Some(record) = catalog.writable(repository)?.uploads.get_mut(&upload) {
            record.sealed = Some(*digest);
        }
        Ok(version)
    }

    async fn end_upload(&self, repository: &RepositoryPath, upload: UploadId) -> Result<bool, CatalogError> {
        let mut state = self.lock();
        Ok(state
            .repositories
            .get_mut(repository)
            .is_some_and(|found| found.uploads.remove(&upload).is_some()))
    }

    async fn expire_uploads(&self, now: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        let mut state = self.lock();
        let mut expired = Vec::new();
        for repository in state.repositories.values_mut() {
            let due = repository
                .uploads
                .values()
                .filter(|record| record.expires_at <= now)
                .map(|record| record.id);
            let due: Vec<_> = due.take(limit - expired.len()).collect();
            for upload in due {
                repository.uploads.remove(&upload);
                expired.push(upload);
            }
        }
        Ok(expired)
    }

    async fn known_uploads(&self, uploads: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        let state = self.lock();
        let is_known = |upload: &&UploadId| {
            let mut repositories = state.repositories.values();
            repositories.any(|repository| repository.uploads.contains_key(*upload))
        };
        Ok(uploads.iter().filter(is_known).copied().collect())
    }
}

#[async_trait]
impl BlobCatalog for MemoryCatalog {
    async fn blob(&self, repository: &RepositoryPath, digest: &Digest) -> Result<Option<BlobRecord>, CatalogError> {
        let state = self.lock();
        let is_linked = state
            .repositories
            .get(repository)
            .is_some_and(|found| found.blobs.contains(digest));
        Ok(state.blobs.get(digest).filter(|_| is_linked).cloned())
    }

    async fn link_blob(&self, repository: &RepositoryPath, blob: NewBlob, _now: Timestamp) -> Result<(), CatalogError> {
        let mut state = self.lock();
        let target = state.writable(repository)?;
        if let Some(upload) = blob.upload
            && target.uploads.remove(&upload).is_none()
        {
            return Err(CatalogError::Conflict);
        }
        target.blobs.insert(blob.digest);
        let record = BlobRecord {
            size: blob.size,
            inline: blob.inline,
        };
        let known = state.blobs.entry(blob.digest).or_insert_with(|| record.clone());
        // Checked bytes replace damaged ones.
        if known.inline.is_some() && record.inline.is_some() && known.inline != record.inline {
            *known = record;
        }
        Ok(())
    }

    async fn mount_blob(
        &self,
        from: &RepositoryPath,
        to: &RepositoryPath,
        digest: &Digest,
        _now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let mut state = self.lock();
        let is_linked = state
            .repositories
            .get(from)
            .is_some_and(|source| source.blobs.contains(digest));
        let target = state.writable(to)?;
        if is_linked {
            target.blobs.insert(*digest);
        }
        Ok(is_linked)
    }

    async fn unlink_blob(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        _now: Timestamp,
    ) -> Result<Unlinked, CatalogError> {
        let mut state = self.lock();
        let target = state.writable(repository)?;
        let mut needed = target.images.values().flat_map(Manifest::required_blobs);
        if needed.any(|blob| blob.digest == *digest) {
            return Ok(Unlinked::Needed);
        }
        Ok(if target.blobs.remove(digest) {
            Unlinked::Done
        } else {
            Unlinked::Unknown
        })
    }

    async fn blob_sources(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryPath>, CatalogError> {
        let state = self.lock();
        let of_account = state
            .repositories
            .iter()
            .filter(|(path, _)| path.account == repository.account);
        let sources = of_account
            .filter(|(_, source)| source.blobs.contains(digest))
            .map(|(path, _)| path);
        Ok(sources.take(limit).cloned().collect())
    }
}

#[async_trait]
impl ImageCatalog for MemoryCatalog {
    async fn put_image(&self, repository: &RepositoryPath, image: NewImage) -> Result<PutOutcome, PutImageError> {
        let mut state = self.lock();
        let target = state.writable(repository)?;
        let NewImage {
            manifest, digest, tags, ..
        } = image;

        let missing: BTreeSet<_> = manifest
            .required_blobs()
            .map(|blob| blob.digest)
            .filter(|blob| !target.blobs.contains(blob))
            .collect();
        if !missing.is_empty() {
            return Err(PutImageError::BlobsUnknown(missing.into_iter().collect()));
        }
        let children = manifest.children().iter().map(|child| child.digest);
        let missing: BTreeSet<_> = children.filter(|child| !target.images.contains_key(child)).collect();
        let is_known = target.allow_sparse_indexes || target.images.contains_key(&digest);
        if !missing.is_empty() && !is_known {
            return Err(PutImageError::ChildrenUnknown(missing.into_iter().collect()));
        }
        // ECR refuses a tag that may not move even if it points to this image already.
        let is_fixed = |tag: &&Tag| target.tags.contains_key(*tag) && !target.mutability.may_move(tag);
        if let Some(tag) = tags.iter().find(is_fixed) {
            let repository = repository.name.to_string();
            return Err(PutImageError::TagImmutable {
                tag: tag.clone(),
                repository,
            });
        }
        let mut all_tags: BTreeSet<_> = target.tags_of(&digest).into_iter().collect();
        let before = all_tags.len();
        all_tags.extend(tags.iter().cloned());
        if all_tags.len() > MAX_TAGS_PER_IMAGE && all_tags.len() > before {
            return Err(PutImageError::TooManyTags);
        }

        let is_new = !target.images.contains_key(&digest);
        target.images.entry(digest).or_insert(manifest);
        target.tags.extend(tags.into_iter().map(|tag| (tag, digest)));
        Ok(PutOutcome { is_new })
    }

    async fn image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, CatalogError> {
        let state = self.lock();
        let find = || {
            let repository = state.repositories.get(repository)?;
            let digest = repository.resolve(reference)?;
            let manifest = repository.images.get(&digest)?;
            let (media_type, bytes) = (manifest.media_type().clone(), manifest.bytes().clone());
            Some(ImageRecord {
                digest,
                media_type,
                bytes,
            })
        };
        Ok(find())
    }

    async fn delete_image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
        _deleted_at: Timestamp,
        _deleted_by: &str,
    ) -> Result<Option<DeletedImage>, DeleteImageError> {
        let mut state = self.lock();
        let target = state.writable(repository)?;
        let Some(digest) = target.resolve(reference) else {
            return Ok(None);
        };
        let indexes = target.indexes_that_list(&digest);
        let (tags, is_image_gone) = match reference {
            Reference::Digest(_) => (target.tags_of(&digest), true),
            Reference::Tag(tag) => (vec![tag.clone()], target.tags_of(&digest).len() == 1),
        };
        if is_image_gone && !indexes.is_empty() {
            return Err(DeleteImageError::ReferencedByIndex(indexes));
        }
        for tag in &tags {
            target.tags.remove(tag);
        }
        if is_image_gone {
            target.images.remove(&digest);
        }
        Ok(Some(DeletedImage {
            digest,
            tags,
            is_image_gone,
        }))
    }

    async fn tags(
        &self,
        repository: &RepositoryPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, CatalogError> {
        let state = self.lock();
        let page = |repository: &Repository| {
            let behind = repository
                .tags
                .keys()
                .filter(|tag| after.is_none_or(|after| tag.as_str() > after));
            behind.take(limit).cloned().collect()
        };
        Ok(state.repositories.get(repository).map(page))
    }

    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Referrer>, CatalogError> {
        let state = self.lock();
        let images = state
            .repositories
            .get(repository)
            .into_iter()
            .flat_map(|repository| &repository.images);
        let referring = images
            .filter(|(_, manifest)| manifest.subject().is_some_and(|named| named.digest == *subject))
            .filter(|(_, manifest)| artifact_type.is_none_or(|wanted| manifest.artifact_type() == Some(wanted)))
            .filter(|(digest, _)| after.is_none_or(|after| *digest > after));
        let to_referrer = |(digest, manifest): (&Digest, &Manifest)| Referrer {
            digest: *digest,
            media_type: manifest.media_type().clone(),
            size: manifest.bytes().len() as u64,
            artifact_type: manifest.artifact_type().map(Into::into),
            annotations: manifest.annotations().clone(),
        };
        Ok(referring.take(limit).map(to_referrer).collect())
    }
}
