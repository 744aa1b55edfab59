// SPDX-License-Identifier: Apache-2.0
//! Tags of images.

use futures::Stream;
use hythe_model::{Digest, RepositoryName, Tag};
use hythe_wire::{
    DeletedImage, DescribeTag, ImageTag, ListQuery, PutImageTag, RollBackTag, RolledBackTag, TagHistory, TagMove,
    TagPage, path,
};
use jiff::Timestamp;
use reqwest::Method;

use super::page::entries;
use crate::{Client, ClientError, ETag, Versioned};

impl Client {
    /// One tag.
    pub async fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Versioned<ImageTag>, ClientError> {
        self.get(&path::tag(repository, tag)).versioned().await
    }

    /// Where a tag pointed at a time.
    pub async fn tag_as_of(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        as_of: Timestamp,
    ) -> Result<ImageTag, ClientError> {
        let query = DescribeTag {
            as_of: Some(as_of),
            ..DescribeTag::default()
        };
        self.get(&path::tag(repository, tag)).query(&query).json().await
    }

    /// Points a tag to an image that it pointed to before.
    pub async fn roll_back_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        to: &RollBackTag,
    ) -> Result<RolledBackTag, ClientError> {
        self.request(Method::POST, &path::tag_rollback(repository, tag))
            .body(to)
            .json()
            .await
    }

    /// One page of tags, by name.
    pub async fn tags(&self, repository: &RepositoryName, query: &ListQuery) -> Result<TagPage, ClientError> {
        self.get(&path::tags(repository)).query(query).json().await
    }

    /// All tags of a repository, page after page.
    pub fn all_tags(
        &self,
        repository: &RepositoryName,
        query: ListQuery,
    ) -> impl Stream<Item = Result<ImageTag, ClientError>> + Send + use<> {
        let repository = repository.clone();
        entries(self, move |client, next_token| {
            let (repository, query) = (
                repository.clone(),
                ListQuery {
                    next_token,
                    ..query.clone()
                },
            );
            async move {
                let page = client.tags(&repository, &query).await?;
                Ok((page.tags, page.next_token))
            }
        })
    }

    /// Points a tag at an image that is in the repository.
    pub async fn put_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        if_match: Option<&ETag>,
    ) -> Result<Versioned<ImageTag>, ClientError> {
        let body = PutImageTag { image_digest: *digest };
        self.request(Method::PUT, &path::tag(repository, tag))
            .body(&body)
            .if_match(if_match)
            .versioned()
            .await
    }

    /// Deletes a tag, and its image if that was its last tag.
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        if_match: Option<&ETag>,
    ) -> Result<DeletedImage, ClientError> {
        self.request(Method::DELETE, &path::tag(repository, tag))
            .if_match(if_match)
            .json()
            .await
    }

    /// One page of the moves of a tag, newest first.
    pub async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        query: &ListQuery,
    ) -> Result<TagHistory, ClientError> {
        self.get(&path::tag_history(repository, tag)).query(query).json().await
    }

    /// All moves of a tag, newest first, page after page.
    pub fn all_tag_moves(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        query: ListQuery,
    ) -> impl Stream<Item = Result<TagMove, ClientError>> + Send + use<> {
        let (repository, tag) = (repository.clone(), tag.clone());
        entries(self, move |client, next_token| {
            let (repository, tag) = (repository.clone(), tag.clone());
            let query = ListQuery {
                next_token,
                ..query.clone()
            };
            async move {
                let page = client.tag_history(&repository, &tag, &query).await?;
                Ok((page.moves, page.next_token))
            }
        })
    }
}
