// SPDX-License-Identifier: Apache-2.0
//! Roles.

use futures::Stream;
use hythe_wire::{CreateRole, ListQuery, Role, RolePage, UpdateRole, path};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates a role.
    pub async fn create_role(&self, request: &CreateRole) -> Result<Versioned<Role>, ClientError> {
        self.request(Method::POST, &path::roles())
            .body(request)
            .versioned()
            .await
    }

    /// One role.
    pub async fn role(&self, name: &str) -> Result<Versioned<Role>, ClientError> {
        self.get(&path::role(name)).versioned().await
    }

    /// One page of roles, by name.
    pub async fn roles(&self, query: &ListQuery) -> Result<RolePage, ClientError> {
        self.get(&path::roles()).query(query).json().await
    }

    /// All roles of the account, page after page.
    pub fn all_roles(&self, query: ListQuery) -> impl Stream<Item = Result<Role, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.roles(&query).await?;
                Ok((page.roles, page.next_token))
            }
        })
    }

    /// Changes settings of a role, if it still is what `if_match` says.
    pub async fn update_role(
        &self,
        name: &str,
        request: &UpdateRole,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<Role>, ClientError> {
        self.request(Method::PATCH, &path::role(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a role, if it still is what `if_match` says; returns what was deleted.
    pub async fn delete_role(&self, name: &str, if_match: Option<&ETag>) -> Result<Role, ClientError> {
        self.request(Method::DELETE, &path::role(name))
            .if_match(if_match)
            .json()
            .await
    }

    /// Attaches a policy, by name or ARN; one that is attached stays so.
    pub async fn attach_role_policy(&self, name: &str, policy: &str) -> Result<Versioned<Role>, ClientError> {
        self.request(Method::PUT, &path::role_policy(name, policy))
            .versioned()
            .await
    }

    /// Detaches a policy, by name or ARN; one that is not attached stays so.
    pub async fn detach_role_policy(&self, name: &str, policy: &str) -> Result<Versioned<Role>, ClientError> {
        self.request(Method::DELETE, &path::role_policy(name, policy))
            .versioned()
            .await
    }
}
