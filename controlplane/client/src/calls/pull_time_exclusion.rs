// SPDX-License-Identifier: Apache-2.0
//! Whose pulls do not count as the last pull of an image.

use futures::Stream;
use hythe_wire::{
    ListQuery, PullTimeUpdateExclusion, PullTimeUpdateExclusionPage, RegisterPullTimeUpdateExclusion, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError};

impl Client {
    /// One page of those whose pulls do not count, by ARN.
    pub async fn pull_time_exclusions(&self, query: &ListQuery) -> Result<PullTimeUpdateExclusionPage, ClientError> {
        self.get(&path::pull_time_exclusions()).query(query).json().await
    }

    /// All whose pulls do not count, page after page.
    pub fn all_pull_time_exclusions(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<PullTimeUpdateExclusion, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.pull_time_exclusions(&query).await?;
                Ok((page.pull_time_update_exclusions, page.next_token))
            }
        })
    }

    /// Lets pulls of a user or a role, by ARN, not count.
    pub async fn register_pull_time_exclusion(
        &self,
        principal_arn: &str,
    ) -> Result<PullTimeUpdateExclusion, ClientError> {
        let body = RegisterPullTimeUpdateExclusion {
            principal_arn: principal_arn.to_owned(),
        };
        self.request(Method::POST, &path::pull_time_exclusions())
            .body(&body)
            .json()
            .await
    }

    /// Lets pulls of a user or a role, by ARN, count again.
    pub async fn deregister_pull_time_exclusion(
        &self,
        principal_arn: &str,
    ) -> Result<PullTimeUpdateExclusion, ClientError> {
        self.request(Method::DELETE, &path::pull_time_exclusion(principal_arn))
            .json()
            .await
    }
}
