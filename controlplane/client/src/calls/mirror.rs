// SPDX-License-Identifier: Apache-2.0
//! Runs of mirrors.

use futures::Stream;
use hythe_model::RepositoryPrefix;
use hythe_wire::{ListQuery, MirrorRun, MirrorRunPage, MirrorRunReport, path};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError};

impl Client {
    /// Starts a run of the mirror of a rule; it goes on by itself.
    pub async fn start_mirror_run(&self, prefix: &RepositoryPrefix) -> Result<MirrorRun, ClientError> {
        self.request(Method::POST, &path::mirror_runs(prefix)).json().await
    }

    /// One page of runs of a rule, newest first.
    pub async fn mirror_runs(
        &self,
        prefix: &RepositoryPrefix,
        query: &ListQuery,
    ) -> Result<MirrorRunPage, ClientError> {
        self.get(&path::mirror_runs(prefix)).query(query).json().await
    }

    /// All runs of a rule, page after page.
    pub fn all_mirror_runs(
        &self,
        prefix: &RepositoryPrefix,
        query: ListQuery,
    ) -> impl Stream<Item = Result<MirrorRun, ClientError>> + Send + use<> {
        let prefix = prefix.clone();
        entries(self, move |client, next_token| {
            let prefix = prefix.clone();
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.mirror_runs(&prefix, &query).await?;
                Ok((page.mirror_runs, page.next_token))
            }
        })
    }

    /// A run, with what it has noted.
    pub async fn mirror_run(&self, prefix: &RepositoryPrefix, id: &str) -> Result<MirrorRunReport, ClientError> {
        self.get(&path::mirror_run(prefix, id)).json().await
    }
}
