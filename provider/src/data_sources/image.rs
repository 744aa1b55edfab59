// SPDX-License-Identifier: Apache-2.0
//! `hythe_image`.

use std::pin::pin;

use futures::TryStreamExt as _;
use hythe_client::ClientError;
use hythe_model::{Digest, ImageStatus, MediaType, RepositoryName, Tag};
use hythe_wire::{ImageDetail, ListQuery, MAX_MAX_RESULTS, TagStatus, code};
use serde_json::Value;
use tfplugin::{Attr, Call, DataSource, Diagnostic, Diagnostics, Object, Path, Result, Schema};

use super::images::{FoundImage, MAX_SEEN, Search, no_repository, place};
use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::diagnostics;
use crate::version::{Constraint, Version};

/// Finds an image of a repository: by `tag`, by `digest`, by the version that its tag is, or the one that was pushed last.
#[derive(Clone, Debug, Default, Schema)]
pub struct Image {
    /// The name of the repository.
    #[tf(required, validate = parses::<RepositoryName>)]
    pub repository: Attr<String>,
    /// A tag that points to the image. With `semver`, the tag that fits best.
    #[tf(optional, computed, validate = parses::<Tag>)]
    pub tag: Attr<String>,
    /// The digest of the manifest, such as `sha256:…`.
    #[tf(optional, computed, validate = parses::<Digest>)]
    pub digest: Attr<String>,
    /// What the version has to be like that the tag is, such as `~> 1.2` or `>= 1.0, < 2.0`: the image with the greatest one
    /// is found. Tags such as `v1.2.3` and `1.2.3` are versions, `1.2` is none. A pre-release fits only where it is named
    /// itself.
    #[tf(optional, validate = parses::<Constraint>)]
    pub semver: Attr<String>,
    /// Whether the image is the one that was pushed last, of those that can be pulled and refer to no other: a signature
    /// is none.
    #[tf(optional)]
    pub most_recent: Attr<bool>,
    /// Whether there may be no such image, or no such repository (default false): `found` is false then, and the rest null.
    #[tf(optional)]
    pub allow_missing: Attr<bool>,
    /// Whether there is such an image.
    #[tf(computed)]
    pub found: Attr<bool>,
    /// The tags that point to it, sorted.
    #[tf(computed)]
    pub tags: Attr<Vec<String>>,
    /// What to give to `docker pull`: the repository with the digest.
    #[tf(computed)]
    pub uri: Attr<String>,
    /// The media type of the manifest.
    #[tf(computed)]
    pub media_type: Attr<String>,
    /// The media type of the configuration, or the type of the artifact that it is.
    #[tf(computed)]
    pub artifact_type: Attr<String>,
    /// Bytes of its layers and configuration; of an index, those of its largest image.
    #[tf(computed)]
    pub size_bytes: Attr<u64>,
    /// When it was pushed (RFC 3339).
    #[tf(computed)]
    pub pushed_at: Attr<String>,
    /// When it was pulled last, as far as is known (RFC 3339).
    #[tf(computed)]
    pub last_pull_at: Attr<String>,
    /// Whether it can be pulled: `ACTIVE`, `ARCHIVED`, or `ACTIVATING` while it comes back from the archive.
    #[tf(computed)]
    pub status: Attr<String>,
    /// Where its bytes belong: `STANDARD` or `ARCHIVE`.
    #[tf(computed)]
    pub storage_class: Attr<String>,
    /// The digest of the image that this one is about, as a signature is.
    #[tf(computed)]
    pub subject: Attr<String>,
    /// The images that an index lists for platforms, in its order; none if it is no index, or cannot be pulled.
    #[tf(computed)]
    pub platforms: Attr<Vec<FoundPlatform>>,
}

/// An image in an index.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct FoundPlatform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture, such as `amd64`.
    pub architecture: String,
    /// The variant of the architecture, such as `v8`.
    pub variant: Option<String>,
    /// The digest of the image for it.
    pub digest: String,
}

impl DataSource for Image {
    const NAME: &'static str = "image";
    type Client = Connection;

    async fn read(cx: &Call<Connection>, config: Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("repository", &config.repository)?;
        let config = match config.semver.known() {
            Some(_) => config.with_best_tag(cx, connection, &name).await?,
            None => config,
        };
        let Some(server) = config.find(cx, connection, &name).await? else {
            return Ok(Self {
                repository: config.repository,
                tag: config.tag,
                digest: config.digest,
                semver: config.semver,
                most_recent: config.most_recent,
                allow_missing: config.allow_missing,
                found: false.into(),
                ..Self::default()
            });
        };
        let is_index = matches!(
            server.image_manifest_media_type.as_str(),
            MediaType::OCI_INDEX | MediaType::DOCKER_LIST
        );
        let platforms = if is_index && server.image_status == ImageStatus::Active {
            let what = format!("read image `{name}@{}`", server.image_digest);
            let asked = connection.ask(cx, &what, || connection.client.manifest(&name, &server.image_digest));
            platforms(&asked.await?.1)
        } else {
            Vec::new()
        };
        let found = FoundImage::new(&server, &place(cx, connection, &name).await?);
        Ok(Self {
            digest: found.digest.into(),
            found: true.into(),
            tags: found.tags.into(),
            uri: found.uri.into(),
            media_type: found.media_type.into(),
            artifact_type: found.artifact_type.map_or(Attr::Null, Attr::Known),
            size_bytes: found.size_bytes.into(),
            pushed_at: found.pushed_at.into(),
            last_pull_at: found.last_pull_at.map_or(Attr::Null, Attr::Known),
            status: found.status.into(),
            storage_class: found.storage_class.into(),
            subject: found.subject.map_or(Attr::Null, Attr::Known),
            platforms: platforms.into(),
            ..config
        })
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let most_recent = (config.most_recent != Attr::Known(false)) && !config.most_recent.is_null();
        let given = [
            !config.tag.is_null(),
            !config.digest.is_null(),
            !config.semver.is_null(),
            most_recent,
        ];
        match given.iter().filter(|is_given| **is_given).count() {
            0 => diagnostics.push(Diagnostic::error(
                "It is not said which image",
                "Set `tag`, `digest`, `semver`, or `most_recent = true`.",
            )),
            1 => {}
            _ => {
                let name = match (most_recent, config.semver.is_null()) {
                    (true, _) => "most_recent",
                    (false, false) => "semver",
                    (false, true) => "digest",
                };
                let problem = "Set one of `tag`, `digest`, `semver` and `most_recent`, not several.";
                diagnostics.push(invalid(Path::new(name), problem));
            }
        }
        diagnostics
    }
}

impl Image {
    /// The image; `None` if it is not there, and may be missing.
    async fn find(
        &self,
        cx: &Call<Connection>,
        connection: &Connection,
        name: &RepositoryName,
    ) -> Result<Option<ImageDetail>> {
        let (argument, what) = match (&self.tag, &self.digest) {
            (Attr::Known(tag), _) => ("tag", format!("{name}:{tag}")),
            (_, Attr::Known(digest)) => ("digest", format!("{name}@{digest}")),
            // There is no version that fits, and there need be none.
            _ if !self.semver.is_null() => return Ok(None),
            _ => ("most_recent", name.to_string()),
        };
        let by_name = match argument {
            "tag" => self.by_tag(cx, connection, name).await?,
            "digest" => {
                let digest: Digest = parsed("digest", &self.digest)?;
                cx.until_stopped(connection.send(cx, || connection.client.image(name, &digest)))
                    .await?
            }
            _ => {
                let fits = |image: &ImageDetail| {
                    image.subject_manifest_digest.is_none() && image.image_status == ImageStatus::Active
                };
                let search = Search {
                    status: TagStatus::Any,
                    fits: &fits,
                    newest_first: true,
                    limit: 1,
                };
                let found = search.run(cx, connection, name).await?;
                let may_be_missing = self.allow_missing.unwrap_or_default();
                return match found.map(|images| images.into_iter().next()) {
                    Some(Some(image)) => Ok(Some(image)),
                    _ if may_be_missing => Ok(None),
                    None => Err(no_repository(connection, name).into()),
                    Some(None) => {
                        let detail = "Nothing was pushed to it, or all was deleted. With `allow_missing = true` that is no \
                                      error.";
                        let summary = format!("Repository `{name}` has no images");
                        Err(Diagnostic::error(summary, detail).at("repository").into())
                    }
                };
            }
        };
        match by_name {
            Ok(image) => Ok(Some(image)),
            Err(error) => match error.code() {
                Some(code::IMAGE_NOT_FOUND | code::REPOSITORY_NOT_FOUND)
                    if self.allow_missing.known() == Some(&true) =>
                {
                    Ok(None)
                }
                Some(code::REPOSITORY_NOT_FOUND) => Err(no_repository(connection, name).into()),
                Some(code::IMAGE_NOT_FOUND) => {
                    let detail = format!(
                        "There is no such image in the registry at `{}`. With `allow_missing = true` that is no error.",
                        connection.client.endpoint()
                    );
                    Err(Diagnostic::error(format!("Image `{what}` does not exist"), detail)
                        .at(argument)
                        .into())
                }
                _ => Err(diagnostics::failed(&format!("read image `{what}`"), &error)),
            },
        }
    }

    /// The configuration with the tag that is the greatest version which fits; as it is if there is none and need be none.
    async fn with_best_tag(
        mut self,
        cx: &Call<Connection>,
        connection: &Connection,
        name: &RepositoryName,
    ) -> Result<Self> {
        let constraint: Constraint = parsed("semver", &self.semver)?;
        let query = ListQuery {
            max_results: Some(MAX_MAX_RESULTS),
            ..ListQuery::default()
        };
        let mut tags = pin!(connection.client.all_tags(name, query));
        let mut best: Option<(Version, Tag)> = None;
        let mut seen: u32 = 0;
        let may_be_missing = self.allow_missing.unwrap_or_default();
        loop {
            let tag = match cx.until_stopped(tags.try_next()).await? {
                Ok(Some(tag)) => tag.image_tag,
                Ok(None) => break,
                Err(error) if error.code() == Some(code::REPOSITORY_NOT_FOUND) => {
                    return if may_be_missing {
                        Ok(self)
                    } else {
                        Err(no_repository(connection, name).into())
                    };
                }
                Err(error) => {
                    let what = format!("list the tags of repository `{name}`");
                    return Err(diagnostics::failed(&what, &error));
                }
            };
            seen += 1;
            if seen > MAX_SEEN {
                let detail = format!("Repository `{name}` has more than {MAX_SEEN} tags to look at.");
                return Err(Diagnostic::error("Too many tags", detail).at("repository").into());
            }
            let version = Version::of_tag(tag.as_str()).filter(|version| constraint.allows(version));
            let is_better = |version: &Version| best.as_ref().is_none_or(|(best, _)| version.rank() > best.rank());
            if let Some(version) = version.filter(is_better) {
                best = Some((version, tag));
            }
        }
        match best {
            Some((_, tag)) => self.tag = tag.to_string().into(),
            None if may_be_missing => {}
            None => {
                let detail = "No tag is a version that fits. With `allow_missing = true` that is no error.";
                let summary = format!("Repository `{name}` has no such version");
                return Err(Diagnostic::error(summary, detail).at("semver").into());
            }
        }
        Ok(self)
    }

    /// The image that the tag points to. If it goes between the two questions, the tag has gone with it, or moved.
    async fn by_tag(
        &self,
        cx: &Call<Connection>,
        connection: &Connection,
        name: &RepositoryName,
    ) -> Result<Result<ImageDetail, ClientError>> {
        let tag: Tag = parsed("tag", &self.tag)?;
        let client = &connection.client;
        let asked = connection.send(cx, || async {
            let digest = client.tag(name, &tag).await?.value.image_digest;
            client.image(name, &digest).await
        });
        cx.until_stopped(asked).await
    }
}

/// The platforms in the text of an index. What has none, or `unknown`, is no image to run: an attestation, for instance.
fn platforms(index: &[u8]) -> Vec<FoundPlatform> {
    let index: Value = serde_json::from_slice(index).unwrap_or_default();
    let entries = index.get("manifests").and_then(Value::as_array);
    let platform = |entry: &Value| {
        let member = |name: &str| {
            let text = entry.get("platform")?.get(name)?.as_str()?;
            (text != "unknown").then(|| text.to_owned())
        };
        Some(FoundPlatform {
            os: member("os")?,
            architecture: member("architecture")?,
            variant: member("variant"),
            digest: entry.get("digest")?.as_str()?.to_owned(),
        })
    };
    entries.into_iter().flatten().filter_map(platform).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_the_platforms_that_can_be_run() {
        let index = br#"{"manifests":[
            {"digest":"a","platform":{"os":"linux","architecture":"arm64","variant":"v8"}},
            {"digest":"b","platform":{"os":"unknown","architecture":"unknown"}},
            {"digest":"c"},
            {"digest":"d","platform":{"os":"linux","architecture":"amd64"}}
        ]}"#;
        let found: Vec<String> = platforms(index)
            .into_iter()
            .map(|it| {
                format!(
                    "{}/{}/{} {}",
                    it.os,
                    it.architecture,
                    it.variant.unwrap_or_default(),
                    it.digest
                )
            })
            .collect();
        assert_eq!(found, ["linux/arm64/v8 a", "linux/amd64/ d"]);
        assert_eq!(platforms(b"{"), []);
    }

    #[test]
    fn one_image_is_asked_for_in_one_way() {
        let (none, given) = (Attr::Null, || Attr::Known("v1".to_owned()));
        let cases = [
            (none.clone(), Attr::Null, false),
            (none.clone(), Attr::Known(false), false),
            (none, Attr::Known(true), true),
            (given(), Attr::Known(false), true),
            (given(), Attr::Known(true), false),
            (Attr::Unknown, Attr::Null, true),
        ];
        for (tag, most_recent, is_fine) in cases {
            let config = Image {
                tag,
                most_recent,
                ..Image::default()
            };
            assert_eq!(Image::validate(&config).is_empty(), is_fine, "{config:?}");
        }
    }
}
