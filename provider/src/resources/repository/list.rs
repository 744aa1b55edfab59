// SPDX-License-Identifier: Apache-2.0
//! What `terraform query` finds.

use std::pin::pin;

use futures::TryStreamExt as _;
use hythe_wire::{ListRepositories, MAX_MAX_RESULTS};
use tfplugin::{Attr, Call, ListResource, Listing, Result, Schema};

use super::Repository;
use crate::connection::Connection;
use crate::diagnostics;

/// Lists the repositories of the registry, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct RepositoryList {
    /// What the names have to start with.
    #[tf(optional)]
    pub name_prefix: Attr<String>,
}

impl ListResource for RepositoryList {
    type Item = Repository;

    async fn list(cx: &Call<Connection>, config: Self, found: &mut Listing<Repository>) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let page = u32::try_from(found.remaining())
            .unwrap_or(MAX_MAX_RESULTS)
            .clamp(1, MAX_MAX_RESULTS);
        let query = ListRepositories {
            prefix: config.name_prefix.into_known(),
            max_results: Some(page),
            ..ListRepositories::default()
        };
        let mut repositories = pin!(connection.client.all_repositories(query));
        loop {
            let next = cx.until_stopped(repositories.try_next()).await?;
            let Some(server) = next.map_err(|error| diagnostics::failed("list repositories", &error))? else {
                return Ok(());
            };
            let name = server.repository_name.to_string();
            let visible = connection.tags.visible(server.tags.clone(), &Attr::Null);
            let tags = connection.tags.configured(&Attr::Null, &Attr::Null, &visible);
            // What a read of the same repository would say, with the default of what only the state knows.
            let repository = Repository {
                tags,
                tags_all: visible.into(),
                force_delete: false.into(),
                ..Repository::default()
            };
            if found.push(name, &repository.observed(server)).await?.is_break() {
                return Ok(());
            }
        }
    }
}
