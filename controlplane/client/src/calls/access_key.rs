// SPDX-License-Identifier: Apache-2.0
//! Access keys of users.

use futures::Stream;
use hythe_wire::{
    AccessKey, AccessKeyPage, AccessKeyStatus, CreateAccessKey, CreatedAccessKey, ListQuery, UpdateAccessKey, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError};

impl Client {
    /// Makes an access key; its secret is in this answer and in no other.
    pub async fn create_access_key(&self, user_name: &str) -> Result<CreatedAccessKey, ClientError> {
        self.request(Method::POST, &path::access_keys(user_name)).json().await
    }

    /// Makes an access key with a secret of the caller's choice.
    pub async fn create_access_key_with(
        &self,
        user_name: &str,
        request: &CreateAccessKey,
    ) -> Result<CreatedAccessKey, ClientError> {
        self.request(Method::POST, &path::access_keys(user_name))
            .body(request)
            .json()
            .await
    }

    /// One page of the access keys of a user.
    pub async fn access_keys(&self, user_name: &str, query: &ListQuery) -> Result<AccessKeyPage, ClientError> {
        self.get(&path::access_keys(user_name)).query(query).json().await
    }

    /// All access keys of a user.
    pub fn all_access_keys(
        &self,
        user_name: &str,
        query: ListQuery,
    ) -> impl Stream<Item = Result<AccessKey, ClientError>> + Send + use<> {
        let user_name = user_name.to_owned();
        entries(self, move |client, next_token| {
            let (user_name, query) = (
                user_name.clone(),
                ListQuery {
                    next_token,
                    ..query.clone()
                },
            );
            async move {
                let page = client.access_keys(&user_name, &query).await?;
                Ok((page.access_keys, page.next_token))
            }
        })
    }

    /// Makes an access key usable, or not.
    pub async fn update_access_key(
        &self,
        user_name: &str,
        id: &str,
        status: AccessKeyStatus,
    ) -> Result<AccessKey, ClientError> {
        self.request(Method::PATCH, &path::access_key(user_name, id))
            .body(&UpdateAccessKey { status })
            .json()
            .await
    }

    /// Makes a new access key in place of this one, which becomes inactive. The secret is in this answer and in no other.
    pub async fn rotate_access_key(&self, user_name: &str, id: &str) -> Result<CreatedAccessKey, ClientError> {
        self.request(Method::POST, &path::access_key_rotation(user_name, id))
            .json()
            .await
    }

    /// Deletes an access key.
    pub async fn delete_access_key(&self, user_name: &str, id: &str) -> Result<AccessKey, ClientError> {
        self.request(Method::DELETE, &path::access_key(user_name, id))
            .json()
            .await
    }
}
