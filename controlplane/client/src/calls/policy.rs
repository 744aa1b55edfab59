// SPDX-License-Identifier: Apache-2.0
//! Policies: of a repository, of the registry, and those that are attached to users, groups and roles.

use futures::Stream;
use hythe_model::RepositoryName;
use hythe_wire::{
    CreatePolicy, ListPolicies, Policy, PolicyPage, PutRegistryPolicy, PutRegistryPolicyStatement, RegistryPolicy,
    RegistryPolicyStatement, RegistryPolicyStatementList, RepositoryPolicy, SetRepositoryPolicy, UpdatePolicy, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// The policy of a repository.
    pub async fn repository_policy(
        &self,
        repository: &RepositoryName,
    ) -> Result<Versioned<RepositoryPolicy>, ClientError> {
        self.get(&path::repository_policy(repository)).versioned().await
    }

    /// Gives a repository a policy in place of the one it has, if that still is what `if_match` says.
    pub async fn set_repository_policy(
        &self,
        repository: &RepositoryName,
        request: &SetRepositoryPolicy,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<RepositoryPolicy>, ClientError> {
        self.request(Method::PUT, &path::repository_policy(repository))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes the policy of a repository; returns what was deleted.
    pub async fn delete_repository_policy(
        &self,
        repository: &RepositoryName,
        if_match: Option<&ETag>,
    ) -> Result<RepositoryPolicy, ClientError> {
        self.request(Method::DELETE, &path::repository_policy(repository))
            .if_match(if_match)
            .json()
            .await
    }

    /// The policy of the registry.
    pub async fn registry_policy(&self) -> Result<Versioned<RegistryPolicy>, ClientError> {
        self.get(&path::registry_policy()).versioned().await
    }

    /// Gives the registry a policy in place of the one it has, if that still is what `if_match` says.
    pub async fn put_registry_policy(
        &self,
        request: &PutRegistryPolicy,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<RegistryPolicy>, ClientError> {
        self.request(Method::PUT, &path::registry_policy())
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes the policy of the registry; returns what was deleted.
    pub async fn delete_registry_policy(&self, if_match: Option<&ETag>) -> Result<RegistryPolicy, ClientError> {
        self.request(Method::DELETE, &path::registry_policy())
            .if_match(if_match)
            .json()
            .await
    }

    /// The statements of the policy of the registry that have a `Sid`; none if there is no policy.
    pub async fn registry_policy_statements(&self) -> Result<RegistryPolicyStatementList, ClientError> {
        self.get(&path::registry_policy_statements()).json().await
    }

    /// One statement of the policy of the registry.
    pub async fn registry_policy_statement(
        &self,
        sid: &str,
    ) -> Result<Versioned<RegistryPolicyStatement>, ClientError> {
        self.get(&path::registry_policy_statement(sid)).versioned().await
    }

    /// Adds a statement to the policy of the registry, or replaces the one of this `Sid`; the others stay. The entity
    /// tag is that of the statement, not of the whole policy.
    pub async fn put_registry_policy_statement(
        &self,
        sid: &str,
        request: &PutRegistryPolicyStatement,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<RegistryPolicyStatement>, ClientError> {
        self.request(Method::PUT, &path::registry_policy_statement(sid))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Removes one statement from the policy of the registry, and the policy with its last one.
    pub async fn delete_registry_policy_statement(
        &self,
        sid: &str,
        if_match: Option<&ETag>,
    ) -> Result<RegistryPolicyStatement, ClientError> {
        self.request(Method::DELETE, &path::registry_policy_statement(sid))
            .if_match(if_match)
            .json()
            .await
    }

    /// Creates a policy.
    pub async fn create_policy(&self, request: &CreatePolicy) -> Result<Versioned<Policy>, ClientError> {
        self.request(Method::POST, &path::policies())
            .body(request)
            .versioned()
            .await
    }

    /// One policy, of the account or managed, by its name.
    pub async fn policy(&self, name: &str) -> Result<Versioned<Policy>, ClientError> {
        self.get(&path::policy(name)).versioned().await
    }

    /// One page of policies.
    pub async fn policies(&self, query: &ListPolicies) -> Result<PolicyPage, ClientError> {
        self.get(&path::policies()).query(query).json().await
    }

    /// All policies that `query` asks for, page after page; its `next_token` is passed over.
    pub fn all_policies(&self, query: ListPolicies) -> impl Stream<Item = Result<Policy, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListPolicies {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.policies(&query).await?;
                Ok((page.policies, page.next_token))
            }
        })
    }

    /// Gives a policy another document, if it still is what `if_match` says.
    pub async fn update_policy(
        &self,
        name: &str,
        request: &UpdatePolicy,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<Policy>, ClientError> {
        self.request(Method::PUT, &path::policy(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a policy that is attached to nobody; returns what was deleted.
    pub async fn delete_policy(&self, name: &str, if_match: Option<&ETag>) -> Result<Policy, ClientError> {
        self.request(Method::DELETE, &path::policy(name))
            .if_match(if_match)
            .json()
            .await
    }
}
