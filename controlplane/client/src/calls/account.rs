// SPDX-License-Identifier: Apache-2.0
//! Accounts: for the deployment's administrator.

use futures::Stream;
use hythe_model::AccountId;
use hythe_wire::{
    AccessKey, AccessKeyPage, Account, AccountPage, CloseAccount, CreateAccount, CreatedAccessKey, ListAccounts,
    UpdateAccount, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates an account.
    pub async fn create_account(&self, request: &CreateAccount) -> Result<Versioned<Account>, ClientError> {
        self.request(Method::POST, &path::accounts())
            .body(request)
            .versioned()
            .await
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Versioned<Account>, ClientError> {
        self.get(&path::account(id)).versioned().await
    }

    /// One page of accounts, by id.
    pub async fn accounts(&self, query: &ListAccounts) -> Result<AccountPage, ClientError> {
        self.get(&path::accounts()).query(query).json().await
    }

    /// All accounts, page after page.
    pub fn all_accounts(&self, query: ListAccounts) -> impl Stream<Item = Result<Account, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListAccounts {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.accounts(&query).await?;
                Ok((page.accounts, page.next_token))
            }
        })
    }

    /// Renames an account, closes it or opens it again, if it still is what `if_match` says.
    pub async fn update_account(
        &self,
        id: &AccountId,
        request: &UpdateAccount,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<Account>, ClientError> {
        self.request(Method::PATCH, &path::account(id))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Closes an account, if it still is what `if_match` says; with `force` also one that has repositories.
    pub async fn close_account(
        &self,
        id: &AccountId,
        force: bool,
        if_match: Option<&ETag>,
    ) -> Result<Account, ClientError> {
        self.request(Method::DELETE, &path::account(id))
            .query(&CloseAccount { force })
            .if_match(if_match)
            .json()
            .await
    }

    /// The access keys of the administrator of an account.
    pub async fn administrator_keys(&self, id: &AccountId) -> Result<AccessKeyPage, ClientError> {
        self.get(&path::administrator_keys(id)).json().await
    }

    /// Makes an access key for the administrator of an account; its secret is in this answer and in no other.
    pub async fn create_administrator_key(&self, id: &AccountId) -> Result<CreatedAccessKey, ClientError> {
        self.request(Method::POST, &path::administrator_keys(id)).json().await
    }

    /// Deletes an access key of the administrator of an account.
    pub async fn delete_administrator_key(&self, id: &AccountId, key: &str) -> Result<AccessKey, ClientError> {
        self.request(Method::DELETE, &path::administrator_key(id, key))
            .json()
            .await
    }
}
