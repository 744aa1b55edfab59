// SPDX-License-Identifier: Apache-2.0
//! Replication.

use futures::Stream;
use hythe_model::{Digest, Region, RepositoryName};
use hythe_wire::{
    CreateReplicationDestination, FailedReplicationTasks, ImageReplicationStatuses, ListQuery,
    ListReplicationBackfillResults, ListReplicationTasks, NamedReplicationRule, NamedReplicationRulePage,
    PutReplicationConfiguration, PutReplicationRule, RegistryReplication, ReplicationBackfill, ReplicationBackfillPage,
    ReplicationBackfillResult, ReplicationBackfillResults, ReplicationConfiguration, ReplicationDestination,
    ReplicationDestinationPage, ReplicationProgressList, ReplicationRule, ReplicationTask, ReplicationTaskCount,
    ReplicationTaskPage, RepositoryReplicationStatuses, StartReplicationBackfill, UpdateReplicationDestination, path,
};
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// Sets up a destination.
    pub async fn create_replication_destination(
        &self,
        request: &CreateReplicationDestination,
    ) -> Result<Versioned<ReplicationDestination>, ClientError> {
        self.request(Method::POST, &path::replication_destinations())
            .body(request)
            .versioned()
            .await
    }

    /// One destination.
    pub async fn replication_destination(
        &self,
        name: &Region,
    ) -> Result<Versioned<ReplicationDestination>, ClientError> {
        self.get(&path::replication_destination(name)).versioned().await
    }

    /// One page of destinations, by name.
    pub async fn replication_destinations(&self, query: &ListQuery) -> Result<ReplicationDestinationPage, ClientError> {
        self.get(&path::replication_destinations()).query(query).json().await
    }

    /// All destinations, page after page.
    pub fn all_replication_destinations(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<ReplicationDestination, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.replication_destinations(&query).await?;
                Ok((page.replication_destinations, page.next_token))
            }
        })
    }

    /// Changes a destination.
    pub async fn update_replication_destination(
        &self,
        name: &Region,
        request: &UpdateReplicationDestination,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<ReplicationDestination>, ClientError> {
        self.request(Method::PATCH, &path::replication_destination(name))
            .body(request)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a destination that no rule names.
    pub async fn delete_replication_destination(
        &self,
        name: &Region,
        if_match: Option<&ETag>,
    ) -> Result<ReplicationDestination, ClientError> {
        self.request(Method::DELETE, &path::replication_destination(name))
            .if_match(if_match)
            .json()
            .await
    }

    /// The document of the registry.
    pub async fn replication_configuration(&self) -> Result<Versioned<RegistryReplication>, ClientError> {
        self.get(&path::replication()).versioned().await
    }

    /// Puts the document of the registry.
    pub async fn put_replication_configuration(
        &self,
        document: &ReplicationConfiguration,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<RegistryReplication>, ClientError> {
        let body = PutReplicationConfiguration {
            replication_configuration: document.clone(),
        };
        self.request(Method::PUT, &path::replication())
            .body(&body)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// One rule that stands by itself.
    pub async fn replication_rule(&self, name: &str) -> Result<Versioned<NamedReplicationRule>, ClientError> {
        self.get(&path::replication_rule(name)).versioned().await
    }

    /// One page of rules that stand by themselves, by name.
    pub async fn replication_rules(&self, query: &ListQuery) -> Result<NamedReplicationRulePage, ClientError> {
        self.get(&path::replication_rules()).query(query).json().await
    }

    /// All rules that stand by themselves, page after page.
    pub fn all_replication_rules(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<NamedReplicationRule, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.replication_rules(&query).await?;
                Ok((page.replication_rules, page.next_token))
            }
        })
    }

    /// Puts a rule that stands by itself.
    pub async fn put_replication_rule(
        &self,
        name: &str,
        rule: &ReplicationRule,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<NamedReplicationRule>, ClientError> {
        let body = PutReplicationRule { rule: rule.clone() };
        self.request(Method::PUT, &path::replication_rule(name))
            .body(&body)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a rule that stands by itself.
    pub async fn delete_replication_rule(
        &self,
        name: &str,
        if_match: Option<&ETag>,
    ) -> Result<NamedReplicationRule, ClientError> {
        self.request(Method::DELETE, &path::replication_rule(name))
            .if_match(if_match)
            .json()
            .await
    }

    /// What became of an image at each destination.
    pub async fn image_replication_status(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<ImageReplicationStatuses, ClientError> {
        self.get(&path::image_replication_status(repository, digest))
            .json()
            .await
    }

    /// What became of the settings of a repository at each destination.
    pub async fn repository_replication_status(
        &self,
        repository: &RepositoryName,
    ) -> Result<RepositoryReplicationStatuses, ClientError> {
        self.get(&path::repository_replication_status(repository)).json().await
    }

    /// What waits for each destination.
    pub async fn replication_progress(&self) -> Result<ReplicationProgressList, ClientError> {
        self.get(&path::replication_progress()).json().await
    }

    /// One page of what waits or was given up, oldest first.
    pub async fn replication_tasks(&self, query: &ListReplicationTasks) -> Result<ReplicationTaskPage, ClientError> {
        self.get(&path::replication_tasks()).query(query).json().await
    }

    /// All that waits or was given up, page after page.
    pub fn all_replication_tasks(
        &self,
        query: ListReplicationTasks,
    ) -> impl Stream<Item = Result<ReplicationTask, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListReplicationTasks {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.replication_tasks(&query).await?;
                Ok((page.replication_tasks, page.next_token))
            }
        })
    }

    /// Tries again what was given up.
    pub async fn retry_replication_tasks(
        &self,
        which: &FailedReplicationTasks,
    ) -> Result<ReplicationTaskCount, ClientError> {
        self.request(Method::POST, &path::replication_retries())
            .query(which)
            .json()
            .await
    }

    /// Forgets what was given up.
    pub async fn drop_replication_tasks(
        &self,
        which: &FailedReplicationTasks,
    ) -> Result<ReplicationTaskCount, ClientError> {
        self.request(Method::DELETE, &path::replication_tasks())
            .query(which)
            .json()
            .await
    }

    /// Brings what was there before the rules to a destination.
    pub async fn start_replication_backfill(
        &self,
        request: &StartReplicationBackfill,
    ) -> Result<ReplicationBackfill, ClientError> {
        self.request(Method::POST, &path::replication_backfills())
            .body(request)
            .json()
            .await
    }

    /// One page of backfills, newest first.
    pub async fn replication_backfills(&self, query: &ListQuery) -> Result<ReplicationBackfillPage, ClientError> {
        self.get(&path::replication_backfills()).query(query).json().await
    }

    /// All backfills, page after page.
    pub fn all_replication_backfills(
        &self,
        query: ListQuery,
    ) -> impl Stream<Item = Result<ReplicationBackfill, ClientError>> + Send + use<> {
        entries(self, move |client, next_token| {
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.replication_backfills(&query).await?;
                Ok((page.backfills, page.next_token))
            }
        })
    }

    /// A backfill, with one page of what became of its images.
    pub async fn replication_backfill(
        &self,
        id: &str,
        query: &ListReplicationBackfillResults,
    ) -> Result<ReplicationBackfillResults, ClientError> {
        self.get(&path::replication_backfill(id)).query(query).json().await
    }

    /// What became of all images of a backfill, page after page.
    pub fn all_replication_backfill_results(
        &self,
        id: &str,
        query: ListReplicationBackfillResults,
    ) -> impl Stream<Item = Result<ReplicationBackfillResult, ClientError>> + Send + use<> {
        let id = id.to_owned();
        entries(self, move |client, next_token| {
            let id = id.clone();
            let query = ListReplicationBackfillResults {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.replication_backfill(&id, &query).await?;
                Ok((page.results, page.next_token))
            }
        })
    }

    /// Has a backfill end when what is under way is done.
    pub async fn stop_replication_backfill(&self, id: &str) -> Result<ReplicationBackfill, ClientError> {
        self.request(Method::DELETE, &path::replication_backfill(id))
            .json()
            .await
    }
}
