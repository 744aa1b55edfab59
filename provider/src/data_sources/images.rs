// SPDX-License-Identifier: Apache-2.0
//! `hythe_images`.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::TryStreamExt as _;
use hythe_model::{Digest, ExclusionFilter, RepositoryName};
use hythe_wire::{ImageDetail, ListImages, MAX_MAX_RESULTS, TagStatus, code};
use jiff::Timestamp;
use tfplugin::{Attr, Call, DataSource, Diagnostic, Object, Result, Schema};

use crate::argument::{parsed, parses};
use crate::connection::Connection;
use crate::diagnostics;

/// How many images are returned by default, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// How many images, or tags, of a repository are looked at: it holds no more (ECR, "Service quotas", images per repository).
pub(super) const MAX_SEEN: u32 = 100_000;

/// Finds images of a repository, those that were pushed last first.
///
/// What refers to other images, such as signatures, is among them: it has a `subject`.
#[derive(Clone, Debug, Default, Schema)]
pub struct Images {
    /// The name of the repository.
    #[tf(required, validate = parses::<RepositoryName>)]
    pub repository: Attr<String>,
    /// Which images: with a tag (`TAGGED`), without one (`UNTAGGED`), or both (`ANY`, the default).
    #[tf(optional, one_of = ["TAGGED", "UNTAGGED", "ANY"])]
    pub tag_status: Attr<String>,
    /// What one of the tags has to be like; up to two `*` stand for any characters.
    #[tf(optional, validate = parses::<ExclusionFilter>)]
    pub tag_pattern: Attr<String>,
    /// Whether the last pushed come first (default true), rather than the oldest.
    #[tf(optional)]
    pub newest_first: Attr<bool>,
    /// How many images to return at most: 1 to 1000 (default 100).
    #[tf(optional, validate = limit)]
    pub limit: Attr<u32>,
    /// Whether a repository that does not exist has no images, rather than being an error (default false).
    #[tf(optional)]
    pub allow_missing: Attr<bool>,
    /// The digests of the images.
    #[tf(computed)]
    pub digests: Attr<Vec<String>>,
    /// The images.
    #[tf(computed)]
    pub images: Attr<Vec<FoundImage>>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct FoundImage {
    /// The digest of the manifest.
    pub digest: String,
    /// The tags that point to it, sorted.
    pub tags: Vec<String>,
    /// What to give to `docker pull`: the repository with the digest.
    pub uri: String,
    /// The media type of the manifest.
    pub media_type: String,
    /// The media type of the configuration, or the type of the artifact that it is.
    pub artifact_type: Option<String>,
    /// Bytes of its layers and configuration; of an index, those of its largest image.
    pub size_bytes: u64,
    /// When it was pushed (RFC 3339).
    pub pushed_at: String,
    /// When it was pulled last, as far as is known (RFC 3339).
    pub last_pull_at: Option<String>,
    /// Whether it can be pulled: `ACTIVE`, `ARCHIVED`, or `ACTIVATING` while it comes back from the archive.
    pub status: String,
    /// Where its bytes belong: `STANDARD` or `ARCHIVE`.
    pub storage_class: String,
    /// The digest of the image that this one is about, as a signature is.
    pub subject: Option<String>,
}

fn limit(limit: &u32) -> Result<(), String> {
    if (1..=MAX_LIMIT).contains(limit) {
        Ok(())
    } else {
        Err(format!("It must be 1 to {MAX_LIMIT}."))
    }
}

impl FoundImage {
    /// What the server says, with the place of the repository, such as `registry.example/team/web`.
    pub(super) fn new(server: &ImageDetail, place: &str) -> Self {
        Self {
            digest: server.image_digest.to_string(),
            tags: server.image_tags.iter().map(ToString::to_string).collect(),
            uri: format!("{place}@{}", server.image_digest),
            media_type: server.image_manifest_media_type.to_string(),
            artifact_type: server.artifact_media_type.clone(),
            size_bytes: server.image_size_in_bytes,
            pushed_at: server.image_pushed_at.to_string(),
            last_pull_at: server.last_recorded_pull_time.map(|at| at.to_string()),
            status: server.image_status.as_str().to_owned(),
            storage_class: server.storage_class.as_str().to_owned(),
            subject: server.subject_manifest_digest.map(|subject| subject.to_string()),
        }
    }
}

/// Which images of a repository to take.
pub(super) struct Search<'a> {
    pub status: TagStatus,
    pub fits: &'a (dyn Fn(&ImageDetail) -> bool + Sync),
    pub newest_first: bool,
    pub limit: usize,
}

impl Search<'_> {
    /// The images in the order of their pushes; `None` if there is no such repository.
    pub(super) async fn run(
        &self,
        cx: &Call<Connection>,
        connection: &Connection,
        name: &RepositoryName,
    ) -> Result<Option<Vec<ImageDetail>>> {
        let query = ListImages {
            tag_status: Some(self.status),
            max_results: Some(MAX_MAX_RESULTS),
            ..ListImages::default()
        };
        let mut pages = pin!(connection.client.all_images(name, query));
        // No more is kept than is returned.
        let mut found: BTreeMap<(Timestamp, Digest), ImageDetail> = BTreeMap::new();
        let mut seen: u32 = 0;
        loop {
            let image = match cx.until_stopped(pages.try_next()).await? {
                Ok(Some(image)) => image,
                Ok(None) => break,
                Err(error) if error.code() == Some(code::REPOSITORY_NOT_FOUND) => return Ok(None),
                Err(error) => {
                    return Err(diagnostics::failed(
                        &format!("list the images of repository `{name}`"),
                        &error,
                    ));
                }
            };
            seen += 1;
            if seen > MAX_SEEN {
                let detail = format!("Repository `{name}` has more than {MAX_SEEN} images to look at.");
                return Err(Diagnostic::error("Too many images", detail).at("repository").into());
            }
            if !(self.fits)(&image) {
                continue;
            }
            found.insert((image.image_pushed_at, image.image_digest), image);
            if found.len() > self.limit {
                if self.newest_first {
                    found.pop_first();
                } else {
                    found.pop_last();
                }
            }
        }
        let mut images: Vec<ImageDetail> = found.into_values().collect();
        if self.newest_first {
            images.reverse();
        }
        Ok(Some(images))
    }
}

/// The repository as `docker pull` names it.
pub(super) async fn place(cx: &Call<Connection>, connection: &Connection, name: &RepositoryName) -> Result<String> {
    let registry = cx.until_stopped(connection.registry(cx)).await?;
    let registry = registry
        .as_ref()
        .map_err(|error| diagnostics::failed("tell where the registry is", error))?;
    Ok(format!("{}/{name}", registry.registry_uri))
}

/// The error about a repository that is not there.
pub(super) fn no_repository(connection: &Connection, name: &RepositoryName) -> Diagnostic {
    let endpoint = connection.client.endpoint();
    let detail = format!("There is no repository `{name}` in the registry at `{endpoint}`.");
    Diagnostic::error(format!("Repository `{name}` does not exist"), detail).at("repository")
}

impl DataSource for Images {
    const NAME: &'static str = "images";
    type Client = Connection;

    async fn read(cx: &Call<Connection>, config: Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("repository", &config.repository)?;
        let pattern: Option<ExclusionFilter> = match &config.tag_pattern {
            Attr::Known(_) => Some(parsed("tag_pattern", &config.tag_pattern)?),
            Attr::Null | Attr::Unknown => None,
        };
        let fits = |image: &ImageDetail| {
            let Some(pattern) = &pattern else { return true };
            image.image_tags.iter().any(|tag| pattern.matches(tag))
        };
        let search = Search {
            status: match config.tag_status.as_str() {
                Some("TAGGED") => TagStatus::Tagged,
                Some("UNTAGGED") => TagStatus::Untagged,
                _ => TagStatus::Any,
            },
            fits: &fits,
            newest_first: config.newest_first.unwrap_or(true),
            limit: usize::try_from(config.limit.unwrap_or(DEFAULT_LIMIT)).unwrap_or(usize::MAX),
        };
        let found = match search.run(cx, connection, &name).await? {
            Some(found) => found,
            None if config.allow_missing.unwrap_or_default() => Vec::new(),
            None => return Err(no_repository(connection, &name).into()),
        };
        let images = if found.is_empty() {
            Vec::new()
        } else {
            let place = place(cx, connection, &name).await?;
            found.iter().map(|image| FoundImage::new(image, &place)).collect()
        };
        let digests: Vec<String> = images.iter().map(|image| image.digest.clone()).collect();
        Ok(Self {
            digests: digests.into(),
            images: images.into(),
            ..config
        })
    }
}
