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

    /// Changes settings of a user.
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

    /// Deletes a user with all access keys.
    pub async fn delete_user(&self, name: &str) -> Result<User, ClientError> {
        self.request(Method::DELETE, &path::user(name)).json().await
    }
}
