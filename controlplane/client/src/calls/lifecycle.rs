// SPDX-License-Identifier: Apache-2.0
//! Lifecycle policies, their previews and their runs.

use futures::Stream;
use hythe_model::RepositoryName;
use hythe_wire::{
    GetLifecyclePolicyPreview, LifecyclePolicy, LifecyclePolicyPreview, LifecyclePreviewImage, LifecycleRun,
    LifecycleRunDetail, LifecycleRunImage, LifecycleRunPage, ListQuery, PutLifecyclePolicy,
    StartLifecyclePolicyPreview, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// The lifecycle policy of a repository.
    pub async fn lifecycle_policy(
        &self,
        repository: &RepositoryName,
    ) -> Result<Versioned<LifecyclePolicy>, ClientError> {
        self.get(&path::lifecycle_policy(repository)).versioned().await
    }

    /// Gives a repository a lifecycle policy in place of the one it has, if that still is what `if_match` says.
    pub async fn put_lifecycle_policy(
        &self,
        repository: &RepositoryName,
        request: &PutLifecyclePolicy,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<LifecyclePolicy>, ClientError> {
        self.request(Method::PUT, &path::lifecycle_policy(repository))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes the lifecycle policy of a repository; returns what was deleted.
    pub async fn delete_lifecycle_policy(
        &self,
        repository: &RepositoryName,
        if_match: Option<&ETag>,
    ) -> Result<LifecyclePolicy, ClientError> {
        self.request(Method::DELETE, &path::lifecycle_policy(repository))
            .if_match(if_match)
            .json()
            .await
    }

    /// Starts to find out what a policy would do. One preview of a repository is made at a time.
    pub async fn start_lifecycle_policy_preview(
        &self,
        repository: &RepositoryName,
        request: &StartLifecyclePolicyPreview,
    ) -> Result<LifecyclePolicyPreview, ClientError> {
        self.request(Method::POST, &path::lifecycle_policy_preview(repository))
            .body(request)
            .json()
            .await
    }

    /// The preview that was started last, with one page of its images.
    pub async fn lifecycle_policy_preview(
        &self,
        repository: &RepositoryName,
        query: &GetLifecyclePolicyPreview,
    ) -> Result<LifecyclePolicyPreview, ClientError> {
        self.get(&path::lifecycle_policy_preview(repository))
            .query(query)
            .json()
            .await
    }

    /// All images of a preview that fit, page after page.
    pub fn all_lifecycle_preview_images(
        &self,
        repository: &RepositoryName,
        query: GetLifecyclePolicyPreview,
    ) -> impl Stream<Item = Result<LifecyclePreviewImage, ClientError>> + Send + use<> {
        let repository = repository.clone();
        entries(self, move |client, next_token| {
            let (repository, query) = (
                repository.clone(),
                GetLifecyclePolicyPreview {
                    next_token,
                    ..query.clone()
                },
            );
            async move {
                let page = client.lifecycle_policy_preview(&repository, &query).await?;
                Ok((page.preview_results, page.next_token))
            }
        })
    }

    /// Evaluates the stored policy now. If a run of the repository waits or is under way, that one is returned.
    pub async fn start_lifecycle_run(&self, repository: &RepositoryName) -> Result<LifecycleRun, ClientError> {
        self.request(Method::POST, &path::lifecycle_runs(repository))
            .json()
            .await
    }

    /// One page of the runs of a repository, newest first.
    pub async fn lifecycle_runs(
        &self,
        repository: &RepositoryName,
        query: &ListQuery,
    ) -> Result<LifecycleRunPage, ClientError> {
        self.get(&path::lifecycle_runs(repository)).query(query).json().await
    }

    /// All runs of a repository, newest first, page after page.
    pub fn all_lifecycle_runs(
        &self,
        repository: &RepositoryName,
        query: ListQuery,
    ) -> impl Stream<Item = Result<LifecycleRun, ClientError>> + Send + use<> {
        let repository = repository.clone();
        entries(self, move |client, next_token| {
            let repository = repository.clone();
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.lifecycle_runs(&repository, &query).await?;
                Ok((page.runs, page.next_token))
            }
        })
    }

    /// One run, with one page of its images.
    pub async fn lifecycle_run(
        &self,
        repository: &RepositoryName,
        run_id: &str,
        query: &ListQuery,
    ) -> Result<LifecycleRunDetail, ClientError> {
        self.get(&path::lifecycle_run(repository, run_id))
            .query(query)
            .json()
            .await
    }

    /// All images of a run, page after page.
    pub fn all_lifecycle_run_images(
        &self,
        repository: &RepositoryName,
        run_id: &str,
        query: ListQuery,
    ) -> impl Stream<Item = Result<LifecycleRunImage, ClientError>> + Send + use<> {
        let (repository, run_id) = (repository.clone(), run_id.to_owned());
        entries(self, move |client, next_token| {
            let (repository, run_id) = (repository.clone(), run_id.clone());
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.lifecycle_run(&repository, &run_id, &query).await?;
                Ok((page.images, page.next_token))
            }
        })
    }
}
