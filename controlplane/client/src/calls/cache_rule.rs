// SPDX-License-Identifier: Apache-2.0
//! Rules that say which repositories come from another registry.

use futures::Stream;
use hythe_model::{RepositoryName, RepositoryPrefix};
use hythe_wire::{
    CreatePullThroughCacheRule, ListQuery, PullThroughCacheRule, PullThroughCacheRulePage,
    PullThroughCacheRuleValidation, RefreshPullThroughCache, RefreshedPullThroughCache, UpdatePullThroughCacheRule,
    path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Creates a rule.
    pub async fn create_pull_through_cache_rule(
        &self,
        request: &CreatePullThroughCacheRule,
    ) -> Result<Versioned<PullThroughCacheRule>, ClientError> {
        self.request(Method::POST, &path::pull_through_cache_rules())
            .body(request)
            .versioned()
            .await
    }

    /// One rule.
    pub async fn pull_through_cache_rule(
        &self,
        prefix: &RepositoryPrefix,
    ) -> Result<Versioned<PullThroughCacheRule>, ClientError> {
        self.get(&path::pull_through_cache_rule(prefix)).versioned().await
    }

    /// One page of rules, by prefix.
    pub async fn pull_through_cache_rules(&self, query: &ListQuery) -> Result<PullThroughCacheRulePage, ClientError> {
        self.get(&path::pull_through_cache_rules()).query(query).json().await
    }

    /// All rules of the account, page after page.
    pub fn all_pull_through_cache_rules(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<PullThroughCacheRule, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.pull_through_cache_rules(&query).await?;
                Ok((page.pull_through_cache_rules, page.next_token))
            }
        })
    }

    /// Changes a rule.
    pub async fn update_pull_through_cache_rule(
        &self,
        prefix: &RepositoryPrefix,
        request: &UpdatePullThroughCacheRule,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<PullThroughCacheRule>, ClientError> {
        self.request(Method::PATCH, &path::pull_through_cache_rule(prefix))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a rule; what came by it stays.
    pub async fn delete_pull_through_cache_rule(
        &self,
        prefix: &RepositoryPrefix,
        if_match: Option<&ETag>,
    ) -> Result<PullThroughCacheRule, ClientError> {
        self.request(Method::DELETE, &path::pull_through_cache_rule(prefix))
            .if_match(if_match)
            .json()
            .await
    }

    /// Asks the other registry of a rule whether it can be used.
    pub async fn validate_pull_through_cache_rule(
        &self,
        prefix: &RepositoryPrefix,
    ) -> Result<PullThroughCacheRuleValidation, ClientError> {
        self.request(Method::POST, &path::pull_through_cache_rule_validation(prefix))
            .json()
            .await
    }

    /// Lets the other registry be asked at the next pull.
    pub async fn refresh_pull_through_cache(
        &self,
        repository: &RepositoryName,
        request: &RefreshPullThroughCache,
    ) -> Result<RefreshedPullThroughCache, ClientError> {
        self.request(Method::POST, &path::upstream_refreshes(repository))
            .body(request)
            .json()
            .await
    }
}
