// SPDX-License-Identifier: Apache-2.0
//! `hythe_repositories`.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::TryStreamExt as _;
use hythe_wire::{ListRepositories, MAX_MAX_RESULTS};
use tfplugin::{Attr, Call, DataSource, Diagnostic, Result, Schema};

use super::repository::FoundRepository;
use crate::connection::Connection;
use crate::diagnostics;

/// The most repositories that one data source returns: a registry holds no more (ECR, "Service quotas").
const MAX_REPOSITORIES: u32 = 100_000;

/// Finds the repositories of the registry, sorted by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct Repositories {
    /// What the names have to start with.
    #[tf(optional)]
    pub name_prefix: Attr<String>,
    /// Resource tags that the repositories have to carry, all of them, with these values.
    #[tf(optional)]
    pub tags: Attr<BTreeMap<String, String>>,
    /// How many repositories to return at most, the first by name: 1 to 100000 (default 100000).
    #[tf(optional, validate = limit)]
    pub limit: Attr<u32>,
    /// The names of the repositories.
    #[tf(computed)]
    pub names: Attr<Vec<String>>,
    /// The repositories.
    #[tf(computed)]
    pub repositories: Attr<Vec<FoundRepository>>,
}

fn limit(limit: &u32) -> Result<(), String> {
    if (1..=MAX_REPOSITORIES).contains(limit) {
        Ok(())
    } else {
        Err(format!("It must be 1 to {MAX_REPOSITORIES}."))
    }
}

impl DataSource for Repositories {
    const NAME: &'static str = "repositories";
    type Client = Connection;

    async fn read(cx: &Call<Connection>, config: Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let limit = usize::try_from(config.limit.unwrap_or(MAX_REPOSITORIES)).unwrap_or(usize::MAX);
        let wanted = config.tags.clone().unwrap_or_default();
        let query = ListRepositories {
            prefix: config.name_prefix.as_str().map(str::to_owned),
            // A tag filter is applied here, so that more may have to be seen than are returned.
            max_results: Some(if wanted.is_empty() {
                u32::try_from(limit).unwrap_or(MAX_MAX_RESULTS).min(MAX_MAX_RESULTS)
            } else {
                MAX_MAX_RESULTS
            }),
            ..ListRepositories::default()
        };
        let mut found: Vec<FoundRepository> = Vec::new();
        let mut pages = pin!(connection.client.all_repositories(query));
        let mut seen: u32 = 0;
        while found.len() < limit {
            let next = cx.until_stopped(pages.try_next()).await?;
            let Some(server) = next.map_err(|error| diagnostics::failed("list repositories", &error))? else {
                break;
            };
            seen += 1;
            if seen > MAX_REPOSITORIES {
                let detail = format!(
                    "More than {MAX_REPOSITORIES} repositories would have to be looked at. Narrow the search with `name_prefix`."
                );
                return Err(Diagnostic::error("Too many repositories", detail)
                    .at("name_prefix")
                    .into());
            }
            let has =
                |(key, value): (&String, &String)| server.tags.iter().any(|tag| tag.key == *key && tag.value == *value);
            if wanted.iter().all(has) {
                found.push(FoundRepository::new(server, &connection.tags));
            }
        }
        // The server's order is by bytes already; this makes it a promise.
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<String> = found.iter().map(|repository| repository.name.clone()).collect();
        Ok(Self {
            names: names.into(),
            repositories: found.into(),
            ..config
        })
    }
}
