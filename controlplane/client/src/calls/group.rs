// SPDX-License-Identifier: Apache-2.0
//! Groups of users.

use futures::Stream;
use hythe_wire::{CreateGroup, Group, GroupPage, ListQuery, UpdateGroup, path};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates a group.
    pub async fn create_group(&self, request: &CreateGroup) -> Result<Versioned<Group>, ClientError> {
        self.request(Method::POST, &path::groups())
            .body(request)
            .versioned()
            .await
    }

    /// One group.
    pub async fn group(&self, name: &str) -> Result<Versioned<Group>, ClientError> {
        self.get(&path::group(name)).versioned().await
    }

    /// One page of groups, by name.
    pub async fn groups(&self, query: &ListQuery) -> Result<GroupPage, ClientError> {
        self.get(&path::groups()).query(query).json().await
    }

    /// All groups of the account, page after page.
    pub fn all_groups(&self, query: ListQuery) -> impl Stream<Item = Result<Group, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.groups(&query).await?;
                Ok((page.groups, page.next_token))
            }
        })
    }

    /// Changes settings of a group, if it still is what `if_match` says.
    pub async fn update_group(
        &self,
        name: &str,
        request: &UpdateGroup,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<Group>, ClientError> {
        self.request(Method::PATCH, &path::group(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a group, if it still is what `if_match` says; returns what was deleted.
    pub async fn delete_group(&self, name: &str, if_match: Option<&ETag>) -> Result<Group, ClientError> {
        self.request(Method::DELETE, &path::group(name))
            .if_match(if_match)
            .json()
            .await
    }

    /// Attaches a policy, by name or ARN; one that is attached stays so.
    pub async fn attach_group_policy(&self, name: &str, policy: &str) -> Result<Versioned<Group>, ClientError> {
        self.request(Method::PUT, &path::group_policy(name, policy))
            .versioned()
            .await
    }

    /// Detaches a policy, by name or ARN; one that is not attached stays so.
    pub async fn detach_group_policy(&self, name: &str, policy: &str) -> Result<Versioned<Group>, ClientError> {
        self.request(Method::DELETE, &path::group_policy(name, policy))
            .versioned()
            .await
    }

    /// Puts a user into a group; a member stays one.
    pub async fn add_group_member(&self, group: &str, user: &str) -> Result<Versioned<Group>, ClientError> {
        self.request(Method::PUT, &path::group_member(group, user))
            .versioned()
            .await
    }

    /// Takes a user out of a group; whoever is no member stays none.
    pub async fn remove_group_member(&self, group: &str, user: &str) -> Result<Versioned<Group>, ClientError> {
        self.request(Method::DELETE, &path::group_member(group, user))
            .versioned()
            .await
    }
}
