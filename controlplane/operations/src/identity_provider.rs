// SPDX-License-Identifier: Apache-2.0
//! Identity providers of an account: create, list, describe, change, delete.

use std::collections::BTreeSet;

use hythe_access::{Granted, kinds};
use hythe_meta::{IdentityProviderRecord, IdentityProviderSettings, StoreError};
use hythe_model::{AccountId, IssuerUrl, ProviderName};

use crate::principal::BoundaryError;
use crate::web_identity::{KeySet, KeySetError, SigningAlgorithm};
use crate::{Bounded, ControlPlane, Page};

/// The most identity providers of an account (IAM, "IAM object quotas").
pub const MAX_IDENTITY_PROVIDERS: usize = 100;
/// The most audiences of an identity provider (IAM, "IAM object quotas").
pub const MAX_CLIENT_IDS: usize = 100;
/// The longest audience, in bytes (IAM, `AddClientIDToOpenIDConnectProvider`).
pub const MAX_CLIENT_ID_BYTES: usize = 255;
/// The longest bundle of certificate authorities, in bytes.
pub const MAX_CA_BUNDLE_BYTES: usize = 64 * 1024;
/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1000;
/// How often a change without an expected version is tried anew when others change the provider at the same time.
const MAX_ATTEMPTS: usize = 5;

/// What is wrong with the settings of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderSettingsError {
    /// No audience, or too many.
    #[error("it must have 1 to {MAX_CLIENT_IDS} entries, each once")]
    ClientIds,
    /// One audience is none.
    #[error("each entry must have 1 to {MAX_CLIENT_ID_BYTES} characters, without control characters")]
    ClientId,
    /// No algorithm.
    #[error("it must have at least one algorithm, each once")]
    Algorithms,
    /// The certificates are none.
    #[error("it must be PEM with at least one certificate, at most {MAX_CA_BUNDLE_BYTES} bytes: {0}")]
    CaBundle(String),
    /// The keys are none.
    #[error(transparent)]
    Jwks(KeySetError),
    /// The description is too long.
    #[error("it must have at most {MAX_DESCRIPTION_CHARS} characters")]
    Description,
    /// The issuer is on the server's machine, and the account is not the operator's.
    #[error("an issuer on the server's own machine is possible only in the account of the deployment's administrator")]
    Loopback,
}

impl ProviderSettingsError {
    /// Where in a request the wrong value is, as a JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::ClientIds | Self::ClientId => "/clientIdList",
            Self::Algorithms => "/signingAlgorithms",
            Self::CaBundle(_) => "/caBundle",
            Self::Jwks(_) => "/jwks",
            Self::Description => "/description",
            Self::Loopback => "/url",
        }
    }
}

/// Why an identity provider was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateIdentityProviderError {
    /// There is one for this issuer.
    #[error("The identity provider '{0}' already exists in the account with id '{1}'")]
    AlreadyExists(ProviderName, AccountId),
    /// The account has as many as it may have.
    #[error("the account with id '{0}' has {MAX_IDENTITY_PROVIDERS} identity providers, and that is the most")]
    LimitExceeded(AccountId),
    /// The caller would get around its own boundary: who is behind a provider opens sessions of every role that trusts it.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] ProviderSettingsError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an identity provider was not found, or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum IdentityProviderError {
    /// There is none of this name.
    #[error("The identity provider '{0}' does not exist in the account with id '{1}'")]
    Unknown(ProviderName, AccountId),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an identity provider was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateIdentityProviderError {
    /// There is none of this name.
    #[error("The identity provider '{0}' does not exist in the account with id '{1}'")]
    Unknown(ProviderName, AccountId),
    /// The request changes nothing.
    #[error("the request changes nothing: give at least one setting")]
    Nothing,
    /// The provider has changed since the version that the request names.
    #[error("the identity provider has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The caller would get around its own boundary: who is behind a provider opens sessions of every role that trusts it.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] ProviderSettingsError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BoundaryError> for CreateIdentityProviderError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

impl From<BoundaryError> for UpdateIdentityProviderError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

/// Settings of an identity provider; `None` leaves one as it is (at a creation: what is usual), and an empty text takes it
/// away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityProviderChange {
    /// The audiences of which a token must have one.
    pub client_ids: Option<Vec<String>>,
    /// The algorithms that a token may be signed with.
    pub algorithms: Option<Vec<SigningAlgorithm>>,
    /// The certificate authorities of the issuer, in PEM.
    pub ca_bundle: Option<String>,
    /// The issuer's keys.
    pub jwks: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

impl ControlPlane {
    /// Creates an identity provider.
    #[tracing::instrument(name = "identity_provider.create", skip_all, fields(identity_provider.name = %url.name()))]
    pub async fn create_identity_provider(
        &self,
        granted: &Granted<kinds::CreateOpenIDConnectProvider>,
        url: IssuerUrl,
        change: IdentityProviderChange,
    ) -> Result<IdentityProviderRecord, CreateIdentityProviderError> {
        let account = granted.resource().clone();
        self.check_boundary(granted.caller(), &account, None).await?;
        if url.is_loopback() && account != self.settings().default_account {
            return Err(ProviderSettingsError::Loopback.into());
        }
        let usual = IdentityProviderSettings {
            algorithms: SigningAlgorithm::DEFAULT.iter().map(ToString::to_string).collect(),
            ..IdentityProviderSettings::default()
        };
        let now = self.stored_now();
        let provider = IdentityProviderRecord {
            account,
            settings: self.changed(usual, change)?,
            url,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let created = self
            .store()
            .create_identity_provider(&provider, MAX_IDENTITY_PROVIDERS)
            .await;
        match created {
            Ok(()) => Ok(provider),
            Err(hythe_meta::CreateIdentityProviderError::AlreadyExists) => Err(
                CreateIdentityProviderError::AlreadyExists(provider.name(), provider.account),
            ),
            Err(hythe_meta::CreateIdentityProviderError::LimitExceeded) => {
                Err(CreateIdentityProviderError::LimitExceeded(provider.account))
            }
            Err(hythe_meta::CreateIdentityProviderError::Store(error)) => Err(error.into()),
        }
    }

    /// Lists the identity providers of the account by name.
    #[tracing::instrument(name = "identity_provider.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn identity_providers(
        &self,
        granted: &Granted<kinds::ListOpenIDConnectProviders>,
        after: Option<ProviderName>,
        limit: usize,
    ) -> Result<Page<IdentityProviderRecord, ProviderName>, StoreError> {
        let found = self
            .store()
            .identity_providers(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, IdentityProviderRecord::name))
    }

    /// Describes an identity provider.
    #[tracing::instrument(name = "identity_provider.describe", skip_all, fields(identity_provider.name = %name))]
    pub async fn identity_provider(
        &self,
        granted: &Granted<kinds::ListOpenIDConnectProviders>,
        name: &ProviderName,
    ) -> Result<IdentityProviderRecord, IdentityProviderError> {
        let account = granted.resource();
        let found = self.store().identity_provider(account, name).await?;
        found.ok_or_else(|| IdentityProviderError::Unknown(name.clone(), account.clone()))
    }

    /// Changes an identity provider. It counts for the next session that is opened; those that are open go on.
    #[tracing::instrument(name = "identity_provider.update", skip_all, fields(identity_provider.name = %name))]
    pub async fn update_identity_provider(
        &self,
        granted: &Granted<kinds::UpdateOpenIDConnectProvider>,
        name: &ProviderName,
        change: IdentityProviderChange,
        expected_version: Option<i64>,
    ) -> Result<IdentityProviderRecord, UpdateIdentityProviderError> {
        use hythe_meta::UpdateIdentityProviderError as Refusal;
        let account = granted.resource();
        if change == IdentityProviderChange::default() {
            return Err(UpdateIdentityProviderError::Nothing);
        }
        self.check_boundary(granted.caller(), account, None).await?;
        let unknown = || UpdateIdentityProviderError::Unknown(name.clone(), account.clone());
        for _ in 0..MAX_ATTEMPTS {
            let found = self.store().identity_provider(account, name).await?;
            let found = found.ok_or_else(unknown)?;
            if expected_version.is_some_and(|version| version != found.version) {
                break;
            }
            let settings = self.changed(found.settings, change.clone())?;
            let now = self.stored_now();
            let updated = self
                .store()
                .update_identity_provider(account, name, &settings, now, found.version)
                .await;
            match updated {
                Ok(updated) => return Ok(updated),
                Err(Refusal::VersionMismatch) => {}
                Err(Refusal::Unknown) => return Err(unknown()),
                Err(Refusal::Store(error)) => return Err(error.into()),
            }
        }
        Err(UpdateIdentityProviderError::VersionMismatch)
    }

    /// Deletes an identity provider. Its tokens open no session any more; those that are open go on until they end.
    #[tracing::instrument(name = "identity_provider.delete", skip_all, fields(identity_provider.name = %name))]
    pub async fn delete_identity_provider(
        &self,
        granted: &Granted<kinds::DeleteOpenIDConnectProvider>,
        name: &ProviderName,
    ) -> Result<IdentityProviderRecord, IdentityProviderError> {
        let account = granted.resource();
        let deleted = self.store().delete_identity_provider(account, name).await?;
        deleted.ok_or_else(|| IdentityProviderError::Unknown(name.clone(), account.clone()))
    }

    /// `settings` with `change`, checked.
    fn changed(
        &self,
        settings: IdentityProviderSettings,
        change: IdentityProviderChange,
    ) -> Result<IdentityProviderSettings, ProviderSettingsError> {
        fn text(old: Option<String>, new: Option<String>) -> Option<String> {
            new.or(old).filter(|text| !text.is_empty())
        }
        let algorithms = change
            .algorithms
            .map(|algorithms| algorithms.iter().map(ToString::to_string).collect());
        let changed = IdentityProviderSettings {
            client_ids: change.client_ids.unwrap_or(settings.client_ids),
            algorithms: algorithms.unwrap_or(settings.algorithms),
            ca_bundle: text(settings.ca_bundle, change.ca_bundle),
            jwks: text(settings.jwks, change.jwks),
            description: text(settings.description, change.description),
        };
        check_client_ids(&changed.client_ids)?;
        if changed.algorithms.is_empty() || has_twice(&changed.algorithms) {
            return Err(ProviderSettingsError::Algorithms);
        }
        if let Some(pem) = &changed.ca_bundle {
            if pem.len() > MAX_CA_BUNDLE_BYTES {
                return Err(ProviderSettingsError::CaBundle("it is too long".into()));
            }
            self.issuers()
                .documents()
                .check_ca_bundle(pem)
                .map_err(ProviderSettingsError::CaBundle)?;
        }
        if let Some(jwks) = &changed.jwks {
            KeySet::parse_given(jwks).map_err(ProviderSettingsError::Jwks)?;
        }
        if changed
            .description
            .as_ref()
            .is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_CHARS)
        {
            return Err(ProviderSettingsError::Description);
        }
        Ok(changed)
    }
}

fn check_client_ids(client_ids: &[String]) -> Result<(), ProviderSettingsError> {
    if !(1..=MAX_CLIENT_IDS).contains(&client_ids.len()) || has_twice(client_ids) {
        return Err(ProviderSettingsError::ClientIds);
    }
    let is_valid = |id: &String| (1..=MAX_CLIENT_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control);
    if client_ids.iter().all(is_valid) {
        Ok(())
    } else {
        Err(ProviderSettingsError::ClientId)
    }
}

fn has_twice(texts: &[String]) -> bool {
    texts.iter().collect::<BTreeSet<_>>().len() != texts.len()
}
