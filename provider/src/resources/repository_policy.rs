// SPDX-License-Identifier: Apache-2.0
//! `hythe_repository_policy`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, RepositoryName};
use hythe_wire::{ListRepositories, SetRepositoryPolicy, code};
use tfplugin::{Attr, Call, Json, Path, Result, Schema};

use crate::argument::{parsed, parses};
use crate::connection::Connection;
use crate::noun::{Api, Document, Listing, Noun, Outcome, adopted, fill};
use crate::policy::{self, Kind};

/// How many repositories are asked for their policies at the same time.
const REQUESTS_AT_ONCE: usize = 8;

/// Manages the policy of a repository: who else may pull from it, push to it and manage it, and who may not.
///
/// A document that says the same in other words plans no change. A plan warns of a document that lets everybody in, lets
/// everybody delete, or takes from you the right to change it again.
#[derive(Clone, Debug, Default, Schema)]
pub struct RepositoryPolicy {
    /// The name of the repository.
    #[tf(required, replace, validate = parses::<RepositoryName>)]
    pub repository: Attr<String>,
    /// The policy as JSON, up to 10240 bytes: in the grammar of IAM, with a `Principal` in each statement. The resource is
    /// the repository, and need not be named. `hythe_policy_document` writes it, and so does `jsonencode`.
    #[tf(required, validate = policy::check_repository, equal = policy::same_repository)]
    pub policy: Attr<String>,
    /// Whether to set the policy even if it takes from you the right to set another one.
    #[tf(optional, default = false)]
    pub force: Attr<bool>,
    /// The registry that holds the repository: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Lists the repositories that have a policy, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct RepositoryPolicies {
    /// What the names of the repositories have to start with.
    #[tf(optional)]
    pub repository_prefix: Attr<String>,
}

impl RepositoryPolicy {
    fn observed(mut self, server: hythe_wire::RepositoryPolicy) -> Self {
        self.repository = String::from(server.repository_name).into();
        self.policy = server.policy_text.into();
        self.registry_id = server.registry_id.to_string().into();
        self
    }

    fn request(&self) -> Result<(RepositoryName, SetRepositoryPolicy)> {
        let request = SetRepositoryPolicy {
            policy_text: self.policy.required("policy")?.clone(),
            force: self.force.unwrap_or_default(),
        };
        Ok((parsed("repository", &self.repository)?, request))
    }
}

impl Noun for RepositoryPolicy {
    const NAME: &'static str = "repository_policy";
    const A_NOUN: &'static str = "a repository policy";
    const KEY: &'static [&'static str] = &["repository"];
    const UNREAD: &'static [&'static str] = &["force"];
    const GONE: &'static [&'static str] = &[code::REPOSITORY_POLICY_NOT_FOUND, code::REPOSITORY_NOT_FOUND];
    const REPLACES: bool = true;
    const AT_AMAZON: Option<&'static str> = Some("aws_ecr_repository_policy");
    type Filter = RepositoryPolicies;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name: RepositoryName = parsed("repository", &self.repository)?;
        let found = api.send(|| api.client().repository_policy(&name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let (name, request) = self.request()?;
        let set = api
            .send(|| api.client().set_repository_policy(&name, &request, None))
            .await?;
        Ok(self.observed(set.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        if self.policy == prior.policy {
            // `force` counts for the next document.
            return Ok(self);
        }
        let (name, request) = self.request()?;
        let document = Document {
            called: format!("policy of repository `{name}`"),
            path: Path::new("policy"),
            prior: &prior.policy,
            planned: &self.policy,
            is_same: policy::same_repository,
            text: |server: &hythe_wire::RepositoryPolicy| &server.policy_text,
        };
        let (client, name, request) = (api.client(), &name, &request);
        let set = document
            .change(
                api,
                || client.repository_policy(name),
                |etag| async move { client.set_repository_policy(name, request, etag.as_ref()).await },
            )
            .await?;
        Ok(self.observed(set.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name: RepositoryName = parsed("repository", &self.repository)?;
        api.send(|| api.client().delete_repository_policy(&name, None)).await?;
        Ok(())
    }

    fn list(filter: RepositoryPolicies, client: &Client) -> Result<Listing<Self>> {
        let query = ListRepositories {
            prefix: filter.repository_prefix.into_known(),
            ..ListRepositories::default()
        };
        let repositories = client.all_repositories(query);
        let client = client.clone();
        let policy = move |repository: hythe_wire::Repository| {
            let client = client.clone();
            async move {
                match client.repository_policy(&repository.repository_name).await {
                    Ok(found) => Ok(Some(Self {
                        force: false.into(),
                        ..Self::default().observed(found.value)
                    })),
                    Err(error) if error.code().is_some_and(|code| Self::GONE.contains(&code)) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        let policies = repositories.map_ok(policy).try_buffered(REQUESTS_AT_ONCE);
        Ok(policies.try_filter_map(async |found| Ok(found)).boxed())
    }

    fn adopt(state: &Json) -> Self {
        Self {
            repository: adopted(state, "repository"),
            policy: adopted(state, "policy"),
            force: false.into(),
            ..Self::default()
        }
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        let before = prior.and_then(|prior| prior.policy.as_str());
        policy::warn(cx, Kind::Repository, &Path::new("policy"), before, &planned.policy).await;
        Ok(Vec::new())
    }
}
