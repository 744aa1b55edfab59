// SPDX-License-Identifier: Apache-2.0
//! Users.

use futures::Stream;
use hythe_wire::{CreateUser, ListQuery, UpdateUser, User, UserPage, path};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates a user.
    pub async fn create_user(&self, request: &CreateUser) -> Result<Versioned<User>, ClientError> {
        self.request(Method::POST, &path::users())
            .body(request)
            .versioned()
            .await
    }

    /// One user.
    pub async fn user(&self, name: &str) -> Result<Versioned<User>, ClientError> {
        self.get(&path::user(name)).versioned().await
    }

    /// One page of users, by name.
    pub async fn users(&self, query: &ListQuery) -> Result<UserPage, ClientError> {
        self.get(&path::users()).query(query).json().await
    }

    /// All users of the account, page after page.
    pub fn all_users(&self, query: ListQuery) -> impl Stream<Item = Result<User, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.users(&query).await?;
                Ok((page.users, page.next_token))
            }
        })
    }

    /// Changes settings of a user, if it still is what `if_match` says.
    pub async fn update_user(
        &self,
        name: &str,
        request: &UpdateUser,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<User>, ClientError> {
        self.request(Method::PATCH, &path::user(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a user with its access keys, if it still is what `if_match` says; returns what was deleted.
    pub async fn delete_user(&self, name: &str, if_match: Option<&ETag>) -> Result<User, ClientError> {
        self.request(Method::DELETE, &path::user(name))
            .if_match(if_match)
            .json()
            .await
    }

    /// Attaches a policy, by name or ARN; one that is attached stays so.
    pub async fn attach_user_policy(&self, name: &str, policy: &str) -> Result<Versioned<User>, ClientError> {
        self.request(Method::PUT, &path::user_policy(name, policy))
            .versioned()
            .await
    }

    /// Detaches a policy, by name or ARN; one that is not attached stays so.
    pub async fn detach_user_policy(&self, name: &str, policy: &str) -> Result<Versioned<User>, ClientError> {
        self.request(Method::DELETE, &path::user_policy(name, policy))
            .versioned()
            .await
    }
}
