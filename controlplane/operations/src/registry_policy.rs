// SPDX-License-Identifier: Apache-2.0
//! The policy of a registry: get, put, delete, as a whole and by statement.

use std::sync::Arc;

use hythe_access::{Action, GateError, Granted, kinds};
use hythe_meta::{EditPolicy, EditedPolicy, PolicyDocument, PolicyText, StoreError};
use hythe_model::AccountId;
use hythe_rules::{Policy, PolicyGrammar};

use crate::gate::Candidate;
use crate::policy_document::{CheckError, check_resource_policy};
use crate::statement::{self, PolicyStatement};
use crate::{ControlPlane, DocumentError};

/// The registry has no policy. The text is ECR's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Registry policy does not exist in the registry with id '{0}'")]
pub struct NoRegistryPolicy(pub AccountId);

/// The policy of the registry has no such statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The policy of the registry with id '{1}' has no statement with the Sid '{0}'")]
pub struct UnknownStatement(pub String, pub AccountId);

/// Why a policy was not read or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum RegistryPolicyError {
    /// There is none.
    #[error(transparent)]
    Absent(#[from] NoRegistryPolicy),
    /// It has no such statement.
    #[error(transparent)]
    UnknownStatement(#[from] UnknownStatement),
    /// It has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy, or a statement of it, was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutRegistryPolicyError {
    /// The text is not a policy of a registry.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The statement is none, or has another `Sid` than the one that was asked for.
    #[error("{reason}")]
    Statement {
        /// The place in the statement, as a JSON pointer; empty for the whole.
        pointer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The statement names a principal that is not there.
    #[error(transparent)]
    StatementPrincipal(DocumentError),
    /// Under the policy the caller could not put another one.
    #[error("the policy would not let you put another one: put it with force if that is what you want")]
    LocksOut,
    /// The same, with the statement in it.
    #[error(
        "with the statement, the policy would not let you change it any more: put it with force if that is what you want"
    )]
    StatementLocksOut,
    /// It has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// It could not be decided whether the caller would be locked out.
    #[error(transparent)]
    Access(#[from] GateError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CheckError> for PutRegistryPolicyError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Document(error) => error.into(),
            CheckError::Store(error) => error.into(),
        }
    }
}

impl ControlPlane {
    /// The policy of a registry, as it was stored.
    #[tracing::instrument(name = "registry_policy.get", skip_all, fields(account.id = %granted.resource()))]
    pub async fn registry_policy(
        &self,
        granted: &Granted<kinds::GetRegistryPolicy>,
    ) -> Result<PolicyDocument, RegistryPolicyError> {
        let account = granted.resource();
        let found = self.store().registry_policy(account).await?;
        found.ok_or_else(|| NoRegistryPolicy(account.clone()).into())
    }

    /// Gives a registry a policy in place of the one it has; without `force` only if the caller could do so again.
    #[tracing::instrument(name = "registry_policy.put", skip_all, fields(account.id = %granted.resource()))]
    pub async fn put_registry_policy(
        &self,
        granted: &Granted<kinds::PutRegistryPolicy>,
        text: &str,
        force: bool,
        expected_version: Option<i64>,
    ) -> Result<PolicyDocument, PutRegistryPolicyError> {
        let checked = check_resource_policy(self.store(), text, PolicyGrammar::Registry, self.clock().now()).await?;
        if !force && self.locks_out(granted, &checked.policy).await? {
            return Err(PutRegistryPolicyError::LocksOut);
        }
        let text = text.to_owned();
        let edit: EditPolicy<PutRegistryPolicyError> = Arc::new(move |found| {
            if is_other(found, expected_version) {
                return Err(PutRegistryPolicyError::VersionMismatch);
            }
            Ok(Some(PolicyText::Whole(text.clone())))
        });
        let edited = self
            .store()
            .edit_registry_policy(granted.resource(), checked.as_of, edit)
            .await;
        self.gate().forget_policies();
        stored(edited?)
    }

    /// Deletes the policy of a registry; returns what was deleted.
    #[tracing::instrument(name = "registry_policy.delete", skip_all, fields(account.id = %granted.resource()))]
    pub async fn delete_registry_policy(
        &self,
        granted: &Granted<kinds::DeleteRegistryPolicy>,
        expected_version: Option<i64>,
    ) -> Result<PolicyDocument, RegistryPolicyError> {
        let account = granted.resource().clone();
        let absent = account.clone();
        let edit: EditPolicy<RegistryPolicyError> = Arc::new(move |found| {
            if is_other(found, expected_version) {
                return Err(RegistryPolicyError::VersionMismatch);
            }
            match found {
                Some(_) => Ok(None),
                None => Err(NoRegistryPolicy(absent.clone()).into()),
            }
        });
        let now = self.clock().now();
        let edited = self.store().edit_registry_policy(&account, now, edit).await;
        self.gate().forget_policies();
        edited?.before.ok_or_else(|| NoRegistryPolicy(account).into())
    }

    /// The statements of the policy of a registry that have a `Sid`; none if there is no policy.
    #[tracing::instrument(name = "registry_policy.statements", skip_all, fields(account.id = %granted.resource()))]
    pub async fn registry_policy_statements(
        &self,
        granted: &Granted<kinds::GetRegistryPolicy>,
    ) -> Result<Vec<PolicyStatement>, StoreError> {
        let found = self.store().registry_policy(granted.resource()).await?;
        Ok(found.map(|found| statement::all(&found.text)).unwrap_or_default())
    }

    /// One statement of the policy of a registry.
    #[tracing::instrument(name = "registry_policy.statement", skip_all, fields(account.id = %granted.resource()))]
    pub async fn registry_policy_statement(
        &self,
        granted: &Granted<kinds::GetRegistryPolicy>,
        sid: &str,
    ) -> Result<PolicyStatement, RegistryPolicyError> {
        let all = self.registry_policy_statements(granted).await?;
        let found = all.into_iter().find(|statement| statement.sid == sid);
        found.ok_or_else(|| UnknownStatement(sid.to_owned(), granted.resource().clone()).into())
    }

    /// Adds a statement to the policy of a registry, or replaces the one of its `Sid`. Of statements that are put at
    /// the same time, none is lost.
    #[tracing::instrument(name = "registry_policy.put_statement", skip_all, fields(account.id = %granted.resource()))]
    pub async fn put_registry_policy_statement(
        &self,
        granted: &Granted<kinds::PutRegistryPolicy>,
        sid: &str,
        text: &str,
        force: bool,
        expected_version: Option<i64>,
    ) -> Result<PolicyStatement, PutRegistryPolicyError> {
        let account = granted.resource();
        let new = PolicyStatement::parse(sid, text)?;
        // Alone first, so that an error names the place in the statement.
        let alone = statement::put(None, &new);
        let checked = check_resource_policy(self.store(), &alone, PolicyGrammar::Registry, self.clock().now())
            .await
            .map_err(|error| in_statement(error.into()))?;
        let found = self.store().registry_policy(account).await?;
        let whole = statement::put(found.as_ref().map(|found| found.text.as_str()), &new);
        let policy = parse_whole(&whole)?;
        if !force && self.locks_out(granted, &policy).await? {
            return Err(PutRegistryPolicyError::StatementLocksOut);
        }
        let putting = new.clone();
        let edit: EditPolicy<PutRegistryPolicyError> = Arc::new(move |found| {
            let found = found.map(|found| found.text.as_str());
            let before = found.and_then(|text| statement::find(text, &putting.sid));
            if expected_version.is_some_and(|expected| before.map(|before| before.version()) != Some(expected)) {
                return Err(PutRegistryPolicyError::VersionMismatch);
            }
            let whole = statement::put(found, &putting);
            parse_whole(&whole)?;
            Ok(Some(PolicyText::Statement(putting.sid.clone(), whole)))
        });
        let edited = self.store().edit_registry_policy(account, checked.as_of, edit).await;
        self.gate().forget_policies();
        edited?;
        Ok(new)
    }

    /// Removes one statement from the policy of a registry, and the policy with its last one; returns what was removed.
    #[tracing::instrument(name = "registry_policy.delete_statement", skip_all, fields(account.id = %granted.resource()))]
    pub async fn delete_registry_policy_statement(
        &self,
        granted: &Granted<kinds::PutRegistryPolicy>,
        sid: &str,
        expected_version: Option<i64>,
    ) -> Result<PolicyStatement, RegistryPolicyError> {
        let account = granted.resource().clone();
        let removing = (sid.to_owned(), account.clone());
        let unknown = move || RegistryPolicyError::from(UnknownStatement(removing.0.clone(), removing.1.clone()));
        let absent = unknown.clone();
        let (wanted, now) = (sid.to_owned(), self.clock().now());
        let edit: EditPolicy<RegistryPolicyError> = Arc::new(move |found| {
            let text = found.map(|found| found.text.as_str()).ok_or_else(&absent)?;
            let before = statement::find(text, &wanted).ok_or_else(&absent)?;
            if expected_version.is_some_and(|expected| before.version() != expected) {
                return Err(RegistryPolicyError::VersionMismatch);
            }
            let rest = statement::remove(text, &wanted);
            Ok(rest.map(|rest| PolicyText::Without(wanted.clone(), rest)))
        });
        let edited = self.store().edit_registry_policy(&account, now, edit).await;
        self.gate().forget_policies();
        let before = edited?.before;
        before
            .and_then(|before| statement::find(&before.text, sid))
            .ok_or_else(unknown)
    }

    /// Whether the caller could not put another policy if the registry had this one.
    async fn locks_out(&self, granted: &Granted<kinds::PutRegistryPolicy>, policy: &Policy) -> Result<bool, GateError> {
        let (resource, candidate) = (granted.resource().clone().into(), Candidate::Registry(policy));
        let action = Action::PutRegistryPolicy;
        let is_allowed = self
            .gate()
            .would_allow(granted.caller(), action, &resource, candidate)
            .await?;
        Ok(!is_allowed)
    }
}

/// Parses the policy that a statement, which is good by itself, makes with the others.
fn parse_whole(text: &str) -> Result<Policy, PutRegistryPolicyError> {
    Policy::parse_registry(text).map_err(|error| PutRegistryPolicyError::Statement {
        pointer: String::new(),
        reason: format!("with the statement, the policy would not be valid: {error}"),
    })
}

/// An error about a document that has nothing but one statement is about the statement.
fn in_statement(error: PutRegistryPolicyError) -> PutRegistryPolicyError {
    let PutRegistryPolicyError::Document(error) = error else {
        return error;
    };
    let (reason, place) = (error.to_string(), error.pointer().to_owned());
    let pointer = place.strip_prefix("/Statement/0").unwrap_or_default().to_owned();
    match error {
        DocumentError::PrincipalNotFound { arn, .. } => {
            PutRegistryPolicyError::StatementPrincipal(DocumentError::PrincipalNotFound { pointer, arn })
        }
        DocumentError::Invalid(_) | DocumentError::TooLong { .. } => PutRegistryPolicyError::Statement {
            pointer,
            reason: reason.replacen("/Statement/0", "", 1),
        },
    }
}

fn is_other(found: Option<&PolicyDocument>, expected_version: Option<i64>) -> bool {
    expected_version.is_some_and(|expected| found.map(|found| found.version) != Some(expected))
}

fn stored(edited: EditedPolicy) -> Result<PolicyDocument, PutRegistryPolicyError> {
    let lost = || StoreError::Corrupt("a policy was not stored".into());
    Ok(edited.after.ok_or_else(lost)?)
}
