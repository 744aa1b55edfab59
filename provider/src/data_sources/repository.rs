// SPDX-License-Identifier: Apache-2.0
//! `hythe_repository`, to read.

use hythe_model::RepositoryName;
use hythe_wire::code;
use tfplugin::{Attr, Call, DataSource, Diagnostic, Object, Result, Schema, Set};

use crate::argument::{parsed, parses};
use crate::connection::Connection;
use crate::diagnostics;
use crate::tags::{TagRules, Tags};

/// Reads a repository that is managed elsewhere. It must exist.
///
/// Images are not looked at, however many there are.
#[derive(Clone, Debug, Default, Schema)]
pub struct RepositoryData {
    /// The name of the repository.
    #[tf(required, validate = parses::<RepositoryName>)]
    pub name: Attr<String>,
    /// The ARN, as policies name the repository.
    #[tf(computed)]
    pub arn: Attr<String>,
    /// The registry that holds the repository: the 12 digits of its account.
    #[tf(computed)]
    pub registry_id: Attr<String>,
    /// What to give to `docker push` and `docker pull`, before the tag.
    #[tf(computed)]
    pub repository_url: Attr<String>,
    /// When the repository was created (RFC 3339).
    #[tf(computed)]
    pub created_at: Attr<String>,
    /// Whether a push may move a tag to another image: `MUTABLE`, `IMMUTABLE`, `IMMUTABLE_WITH_EXCLUSION` or
    /// `MUTABLE_WITH_EXCLUSION`.
    #[tf(computed)]
    pub image_tag_mutability: Attr<String>,
    /// The tags to which `image_tag_mutability` does not apply.
    #[tf(computed)]
    pub image_tag_mutability_exclusion_filter: Attr<Set<FoundFilter>>,
    /// How images are encrypted at rest.
    #[tf(computed)]
    pub encryption: Attr<FoundEncryption>,
    /// Whether an image is scanned when it is pushed.
    #[tf(computed)]
    pub scan_on_push: Attr<bool>,
    /// Whether an index may list images that the repository does not hold.
    #[tf(computed)]
    pub allow_sparse_indexes: Attr<bool>,
    /// The resource tags, without those that the provider's `ignore_tags` names.
    #[tf(computed)]
    pub tags: Attr<Tags>,
}

/// A repository, as a list shows it.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct FoundRepository {
    /// The name of the repository.
    pub name: String,
    /// The ARN, as policies name the repository.
    pub arn: String,
    /// The registry that holds the repository: the 12 digits of its account.
    pub registry_id: String,
    /// What to give to `docker push` and `docker pull`, before the tag.
    pub repository_url: String,
    /// When the repository was created (RFC 3339).
    pub created_at: String,
    /// Whether a push may move a tag to another image.
    pub image_tag_mutability: String,
    /// The tags to which `image_tag_mutability` does not apply.
    pub image_tag_mutability_exclusion_filter: Set<FoundFilter>,
    /// How images are encrypted at rest.
    pub encryption: FoundEncryption,
    /// Whether an image is scanned when it is pushed.
    pub scan_on_push: bool,
    /// Whether an index may list images that the repository does not hold.
    pub allow_sparse_indexes: bool,
    /// The resource tags, without those that the provider's `ignore_tags` names.
    pub tags: Tags,
}

/// Tags that are an exception.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct FoundFilter {
    /// The pattern; `*` stands for any characters.
    pub filter: String,
    /// How the pattern is read: `WILDCARD`.
    pub filter_type: String,
}

/// Encryption at rest.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct FoundEncryption {
    /// The kind of encryption: `AES256`, `KMS` or `KMS_DSSE`.
    #[tf(name = "type")]
    pub kind: String,
    /// The key, for `KMS` and `KMS_DSSE`.
    pub key: Option<String>,
}

impl DataSource for RepositoryData {
    const NAME: &'static str = "repository";
    type Client = Connection;

    async fn read(cx: &Call<Connection>, config: Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("name", &config.name)?;
        let answer = cx
            .until_stopped(connection.send(cx, || connection.client.repository(&name)))
            .await?;
        let server = answer.map_err(|error| match error.code() {
            Some(code::REPOSITORY_NOT_FOUND) => {
                let detail = format!(
                    "There is no repository `{name}` in the registry at `{}`.",
                    connection.client.endpoint()
                );
                Diagnostic::error(format!("Repository `{name}` does not exist"), detail)
                    .at("name")
                    .into()
            }
            _ => diagnostics::failed(&format!("read repository `{name}`"), &error),
        })?;
        let found = FoundRepository::new(server.value, &connection.tags);
        Ok(Self {
            name: found.name.into(),
            arn: found.arn.into(),
            registry_id: found.registry_id.into(),
            repository_url: found.repository_url.into(),
            created_at: found.created_at.into(),
            image_tag_mutability: found.image_tag_mutability.into(),
            image_tag_mutability_exclusion_filter: found.image_tag_mutability_exclusion_filter.into(),
            encryption: found.encryption.into(),
            scan_on_push: found.scan_on_push.into(),
            allow_sparse_indexes: found.allow_sparse_indexes.into(),
            tags: found.tags.into(),
        })
    }
}

impl FoundRepository {
    /// What the server says, but for tags of others.
    pub(super) fn new(server: hythe_wire::Repository, rules: &TagRules) -> Self {
        let filter = |filter: hythe_wire::ImageTagMutabilityExclusionFilter| FoundFilter {
            filter: filter.filter.into(),
            filter_type: match filter.filter_type {
                hythe_wire::ExclusionFilterType::Wildcard => "WILDCARD".into(),
            },
        };
        Self {
            name: server.repository_name.into(),
            arn: server.repository_arn,
            registry_id: server.registry_id.into(),
            repository_url: server.repository_uri,
            created_at: server.created_at.to_string(),
            image_tag_mutability: server.image_tag_mutability.as_str().into(),
            image_tag_mutability_exclusion_filter: server
                .image_tag_mutability_exclusion_filters
                .into_iter()
                .map(filter)
                .collect(),
            encryption: FoundEncryption {
                kind: server.encryption_configuration.encryption_type.as_str().into(),
                key: server.encryption_configuration.kms_key,
            },
            scan_on_push: server.image_scanning_configuration.scan_on_push,
            allow_sparse_indexes: server.allow_sparse_indexes,
            tags: rules.visible(server.tags, &Attr::Null),
        }
    }
}
