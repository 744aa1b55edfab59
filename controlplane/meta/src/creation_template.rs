// SPDX-License-Identifier: Apache-2.0
//! Templates of the repositories that the server creates by itself.

use std::collections::BTreeMap;

use hythe_model::{AccountId, CreationTrigger, Encryption, RepositoryPrefix, ResourceTags, TagMutability};
use jiff::Timestamp;

use crate::repository::{filters_json, read_mutability};
use crate::repository_policy::new_version;
use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most templates of one account; ECR has a limit too and does not publish it.
pub const MAX_CREATION_TEMPLATES_PER_ACCOUNT: usize = 100;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationTemplateRecord {
    /// The account whose repositories it is for.
    pub account: AccountId,
    /// How the names of those repositories begin; unique in the account.
    pub prefix: RepositoryPrefix,
    /// What can be changed about it.
    pub settings: CreationTemplateSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// A random number: no other state of any template has it.
    pub version: i64,
}

/// What can be changed about a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreationTemplateSettings {
    /// What it is for.
    pub description: Option<String>,
    /// On which occasions it is used; sorted.
    pub applied_for: Vec<CreationTrigger>,
    /// Whether tags of new repositories may move.
    pub tag_mutability: TagMutability,
    /// Whether an index may be pushed to them before its children, or without some of them.
    pub allow_sparse_indexes: bool,
    /// How their images are encrypted.
    pub encryption: Encryption,
    /// Their resource tags.
    pub tags: ResourceTags,
    /// Their policy.
    pub repository_policy: Option<String>,
    /// Their lifecycle policy.
    pub lifecycle_policy: Option<String>,
}

/// Why a template was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateCreationTemplateError {
    /// The account has a template for this prefix.
    #[error("the template exists already")]
    AlreadyExists,
    /// The account has as many templates as it may have.
    #[error("the account has too many templates")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a template was not changed or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum ChangeCreationTemplateError {
    /// The account has no template for this prefix.
    #[error("the template does not exist")]
    Unknown,
    /// Somebody changed it since the expected version was read.
    #[error("the template was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CreationTemplateRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let tags: BTreeMap<String, String> = serde_json::from_str(&row.text(9)?)?;
        Ok(Self {
            account: row.parsed(0)?,
            prefix: row.parsed(1)?,
            settings: CreationTemplateSettings {
                description: row.optional_text(2)?,
                applied_for: serde_json::from_str(&row.text(3)?)?,
                tag_mutability: read_mutability(row, 4)?,
                allow_sparse_indexes: row.bool(6)?,
                encryption: Encryption {
                    kind: row.parsed(7)?,
                    kms_key: row.optional_text(8)?,
                },
                tags: ResourceTags::new(tags).map_err(corrupt)?,
                repository_policy: row.optional_text(10)?,
                lifecycle_policy: row.optional_text(11)?,
            },
            created_at: row.time(12)?,
            updated_at: row.time(13)?,
            version: row.int(14)?,
        })
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM creation_template WHERE account_id = $1";
const INSERT: &str = "
    INSERT INTO creation_template (account_id, prefix, description, applied_for, tag_mutability, tag_mutability_filters,
                                   allow_sparse_indexes, encryption_type, kms_key, tags, repository_policy,
                                   lifecycle_policy, created_ms, updated_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const SELECT: &str = "
    SELECT account_id, prefix, description, applied_for, tag_mutability, tag_mutability_filters, allow_sparse_indexes,
           encryption_type, kms_key, tags, repository_policy, lifecycle_policy, created_ms, updated_ms, version
      FROM creation_template WHERE account_id = $1 AND prefix = $2";
const LIST: &str = "
    SELECT account_id, prefix, description, applied_for, tag_mutability, tag_mutability_filters, allow_sparse_indexes,
           encryption_type, kms_key, tags, repository_policy, lifecycle_policy, created_ms, updated_ms, version
      FROM creation_template WHERE account_id = $1 AND prefix > $2 ORDER BY prefix LIMIT $3";
const DELETE: &str = "DELETE FROM creation_template WHERE account_id = $1 AND prefix = $2";

impl Store {
    /// Creates a template. Creates that run at the same time may overshoot the limit by their number.
    pub async fn create_creation_template(
        &self,
        template: &CreationTemplateRecord,
    ) -> Result<CreationTemplateRecord, CreateCreationTemplateError> {
        self.write(Durability::Full, template.clone(), |session, template| {
            Box::pin(async move {
                if find(session, &template.account, &template.prefix).await?.is_some() {
                    return Err(CreateCreationTemplateError::AlreadyExists);
                }
                let count = session.fetch_one(COUNT, values![&template.account]).await?.size(0)?;
                if count >= MAX_CREATION_TEMPLATES_PER_ACCOUNT as u64 {
                    return Err(CreateCreationTemplateError::LimitExceeded);
                }
                let template = CreationTemplateRecord {
                    version: new_version(),
                    ..template.clone()
                };
                insert(session, &template).await?;
                Ok(template)
            })
        })
        .await
    }

    /// The template for a prefix.
    pub async fn creation_template(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
    ) -> Result<Option<CreationTemplateRecord>, StoreError> {
        find(&mut self.reader().await?, account, prefix).await
    }

    /// The templates of an account after `after`, by prefix, at most `limit` of them.
    pub async fn creation_templates(
        &self,
        account: &AccountId,
        after: Option<&RepositoryPrefix>,
        limit: usize,
    ) -> Result<Vec<CreationTemplateRecord>, StoreError> {
        let after = after.map_or("", RepositoryPrefix::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(CreationTemplateRecord::read).collect()
    }

    /// Replaces the settings of a template, if its version is the expected one.
    pub async fn update_creation_template(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        settings: CreationTemplateSettings,
        updated_at: Timestamp,
        expected_version: i64,
    ) -> Result<CreationTemplateRecord, ChangeCreationTemplateError> {
        let input = (account.clone(), prefix.clone(), settings, updated_at, expected_version);
        self.write(
            Durability::Full,
            input,
            |session, (account, prefix, settings, updated_at, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, prefix, Some(*expected_version)).await?;
                    let template = CreationTemplateRecord {
                        settings: settings.clone(),
                        updated_at: *updated_at,
                        version: new_version(),
                        ..found
                    };
                    session.execute(DELETE, values![account, prefix.as_str()]).await?;
                    insert(session, &template).await?;
                    Ok(template)
                })
            },
        )
        .await
    }

    /// Deletes a template, if it is of the expected version; returns what was deleted.
    pub async fn delete_creation_template(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        expected_version: Option<i64>,
    ) -> Result<CreationTemplateRecord, ChangeCreationTemplateError> {
        self.write(
            Durability::Full,
            (account.clone(), prefix.clone(), expected_version),
            |session, (account, prefix, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, prefix, *expected_version).await?;
                    session.execute(DELETE, values![account, prefix.as_str()]).await?;
                    Ok(found)
                })
            },
        )
        .await
    }
}

async fn find(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
) -> Result<Option<CreationTemplateRecord>, StoreError> {
    let row = session
        .fetch_optional(SELECT, values![account, prefix.as_str()])
        .await?;
    row.as_ref().map(CreationTemplateRecord::read).transpose()
}

async fn expected(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    expected_version: Option<i64>,
) -> Result<CreationTemplateRecord, ChangeCreationTemplateError> {
    let found = find(session, account, prefix).await?;
    let found = found.ok_or(ChangeCreationTemplateError::Unknown)?;
    if expected_version.is_some_and(|version| version != found.version) {
        return Err(ChangeCreationTemplateError::VersionMismatch);
    }
    Ok(found)
}

async fn insert(session: &mut Session, template: &CreationTemplateRecord) -> Result<(), StoreError> {
    let settings = &template.settings;
    let values = values![
        &template.account,
        template.prefix.as_str(),
        settings.description.as_deref(),
        serde_json::to_string(&settings.applied_for)?,
        settings.tag_mutability.mode().as_str(),
        filters_json(&settings.tag_mutability)?,
        settings.allow_sparse_indexes,
        settings.encryption.kind.as_str(),
        settings.encryption.kms_key.as_deref(),
        serde_json::to_string(settings.tags.as_map())?,
        settings.repository_policy.as_deref(),
        settings.lifecycle_policy.as_deref(),
        template.created_at,
        template.updated_at,
        template.version,
    ];
    session.execute(INSERT, values).await.map(drop)
}
