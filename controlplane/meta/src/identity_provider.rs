// SPDX-License-Identifier: Apache-2.0
//! Identity providers of an account.

use hythe_model::{AccountId, IssuerUrl, ProviderName};
use jiff::Timestamp;

use crate::session::{Row, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// An identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProviderRecord {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The issuer; its name is unique in the account.
    pub url: IssuerUrl,
    /// What can be changed about it.
    pub settings: IdentityProviderSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes, from 1; creating ignores it.
    pub version: i64,
}

/// What can be changed about an identity provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityProviderSettings {
    /// The audiences of which a token must have one.
    pub client_ids: Vec<String>,
    /// The algorithms that a token may be signed with.
    pub algorithms: Vec<String>,
    /// The certificate authorities of the issuer, in PEM.
    pub ca_bundle: Option<String>,
    /// The issuer's keys, if they are not fetched.
    pub jwks: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// Why an identity provider was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateIdentityProviderError {
    /// The account has a provider of this name.
    #[error("the identity provider exists already")]
    AlreadyExists,
    /// The account has as many providers as it may have.
    #[error("the account has too many identity providers")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an identity provider was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateIdentityProviderError {
    /// The account has no provider of this name.
    #[error("the identity provider does not exist")]
    Unknown,
    /// Somebody changed it since the expected version was read.
    #[error("the identity provider was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl IdentityProviderRecord {
    /// Its name in the account.
    #[must_use]
    pub fn name(&self) -> ProviderName {
        self.url.name()
    }

    /// `arn:aws:iam::<account>:oidc-provider/<name>`.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:oidc-provider/{}", self.account, self.name())
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.parsed(0)?,
            url: row.parsed(1)?,
            settings: IdentityProviderSettings {
                client_ids: serde_json::from_str(&row.text(2)?)?,
                algorithms: serde_json::from_str(&row.text(3)?)?,
                ca_bundle: row.optional_text(4)?,
                jwks: row.optional_text(5)?,
                description: row.optional_text(6)?,
            },
            created_at: row.time(7)?,
            updated_at: row.time(8)?,
            version: row.int(9)?,
        })
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM identity_provider WHERE account_id = $1";
const INSERT: &str = "
    INSERT INTO identity_provider (account_id, name, url, client_ids, algorithms, ca_bundle, jwks, description,
                                   created_ms, updated_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)
    ON CONFLICT (account_id, name) DO NOTHING";
const SELECT: &str = "
    SELECT account_id, url, client_ids, algorithms, ca_bundle, jwks, description, created_ms, updated_ms, version
      FROM identity_provider WHERE account_id = $1 AND name = $2";
const LIST: &str = "
    SELECT account_id, url, client_ids, algorithms, ca_bundle, jwks, description, created_ms, updated_ms, version
      FROM identity_provider WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const UPDATE: &str = "
    UPDATE identity_provider
       SET client_ids = $4, algorithms = $5, ca_bundle = $6, jwks = $7, description = $8, updated_ms = $9,
           version = version + 1
     WHERE account_id = $1 AND name = $2 AND version = $3
 RETURNING account_id, url, client_ids, algorithms, ca_bundle, jwks, description, created_ms, updated_ms, version";
const DELETE: &str = "
    DELETE FROM identity_provider WHERE account_id = $1 AND name = $2
 RETURNING account_id, url, client_ids, algorithms, ca_bundle, jwks, description, created_ms, updated_ms, version";

impl Store {
    /// Creates an identity provider, with version 1, unless its account has `max_providers` already.
    pub async fn create_identity_provider(
        &self,
        provider: &IdentityProviderRecord,
        max_providers: usize,
    ) -> Result<(), CreateIdentityProviderError> {
        self.write(
            Durability::Full,
            (provider.clone(), max_providers),
            |session, (provider, max_providers)| {
                Box::pin(async move {
                    let (account, settings) = (&provider.account, &provider.settings);
                    let count = session.fetch_one(COUNT, values![account]).await?.size(0)?;
                    let name = provider.name();
                    if count >= *max_providers as u64 {
                        let is_there = session.fetch_optional(SELECT, values![account, name.as_str()]).await?;
                        return Err(match is_there {
                            Some(_) => CreateIdentityProviderError::AlreadyExists,
                            None => CreateIdentityProviderError::LimitExceeded,
                        });
                    }
                    let client_ids = serde_json::to_string(&settings.client_ids).map_err(StoreError::from)?;
                    let algorithms = serde_json::to_string(&settings.algorithms).map_err(StoreError::from)?;
                    let values = values![
                        account,
                        name.as_str(),
                        provider.url.as_str(),
                        client_ids,
                        algorithms,
                        settings.ca_bundle.as_deref(),
                        settings.jwks.as_deref(),
                        settings.description.as_deref(),
                        provider.created_at,
                        provider.updated_at,
                    ];
                    match session.execute(INSERT, values).await? {
                        0 => Err(CreateIdentityProviderError::AlreadyExists),
                        _ => Ok(()),
                    }
                })
            },
        )
        .await
    }

    /// The identity provider.
    pub async fn identity_provider(
        &self,
        account: &AccountId,
        name: &ProviderName,
    ) -> Result<Option<IdentityProviderRecord>, StoreError> {
        let row = self
            .reader()
            .await?
            .fetch_optional(SELECT, values![account, name.as_str()])
            .await?;
        row.as_ref().map(IdentityProviderRecord::read).transpose()
    }

    /// The identity providers of an account after `after`, by name, at most `limit` of them.
    pub async fn identity_providers(
        &self,
        account: &AccountId,
        after: Option<&ProviderName>,
        limit: usize,
    ) -> Result<Vec<IdentityProviderRecord>, StoreError> {
        let after = after.map_or("", ProviderName::as_str);
        let rows = self
            .reader()
            .await?
            .fetch_all(LIST, values![account, after, limit])
            .await?;
        rows.iter().map(IdentityProviderRecord::read).collect()
    }

    /// Replaces the settings of an identity provider, if its version is the expected one.
    pub async fn update_identity_provider(
        &self,
        account: &AccountId,
        name: &ProviderName,
        settings: &IdentityProviderSettings,
        updated_at: Timestamp,
        expected_version: i64,
    ) -> Result<IdentityProviderRecord, UpdateIdentityProviderError> {
        let client_ids = serde_json::to_string(&settings.client_ids).map_err(StoreError::from)?;
        let algorithms = serde_json::to_string(&settings.algorithms).map_err(StoreError::from)?;
        let values = values![
            account,
            name.as_str(),
            expected_version,
            client_ids,
            algorithms,
            settings.ca_bundle.as_deref(),
            settings.jwks.as_deref(),
            settings.description.as_deref(),
            updated_at,
        ];
        let rows = self.write_one(Durability::Full, UPDATE, values).await?;
        match rows.first() {
            Some(row) => Ok(IdentityProviderRecord::read(row)?),
            None if self.identity_provider(account, name).await?.is_some() => {
                Err(UpdateIdentityProviderError::VersionMismatch)
            }
            None => Err(UpdateIdentityProviderError::Unknown),
        }
    }

    /// Deletes an identity provider; returns what was deleted.
    pub async fn delete_identity_provider(
        &self,
        account: &AccountId,
        name: &ProviderName,
    ) -> Result<Option<IdentityProviderRecord>, StoreError> {
        let rows = self
            .write_one(Durability::Full, DELETE, values![account, name.as_str()])
            .await?;
        rows.first().map(IdentityProviderRecord::read).transpose()
    }
}
