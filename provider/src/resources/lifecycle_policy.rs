// SPDX-License-Identifier: Apache-2.0
//! `hythe_lifecycle_policy`.

mod forecast;

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, RepositoryName};
use hythe_rules::lifecycle::LifecyclePolicy as Policy;
use hythe_wire::{ListRepositories, PutLifecyclePolicy, code};
use tfplugin::{Attr, Call, Diagnostic, Diagnostics, Json, Path, Result, Schema};

use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::lifecycle::{self, Rule};
use crate::noun::{Api, Document, Listing, Noun, Outcome, adopted, fill};

/// How many repositories are asked for their policies at the same time.
const REQUESTS_AT_ONCE: usize = 8;

/// Manages the lifecycle policy of a repository: which images expire, move to the archive or are retained.
///
/// The policy is given as `policy` or as `rules`; the other one shows the same. What says the same in other words, or in
/// another order, plans no change. A plan that changes the policy asks the server what the new one would do, and warns how
/// many images it would expire, with the first ten of them.
#[derive(Clone, Debug, Default, Schema)]
pub struct LifecyclePolicy {
    /// The name of the repository.
    #[tf(required, replace, validate = parses::<RepositoryName>)]
    pub repository: Attr<String>,
    /// The policy as JSON in the grammar of Amazon ECR, up to 30720 characters. `hythe_lifecycle_policy_document` writes it,
    /// and so does `jsonencode`.
    #[tf(optional, computed, validate = lifecycle::check, equal = lifecycle::same)]
    pub policy: Attr<String>,
    /// The rules, instead of `policy`: 1 to 50, in any order.
    #[tf(optional, computed, equal = lifecycle::same_rules)]
    pub rules: Attr<Vec<Rule>>,
    /// The policy in the one form that all have which say the same.
    #[tf(computed)]
    pub canonical_json: Attr<String>,
    /// The registry that holds the repository: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Lists the repositories that have a lifecycle policy, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct LifecyclePolicies {
    /// What the names of the repositories have to start with.
    #[tf(optional)]
    pub repository_prefix: Attr<String>,
}

impl LifecyclePolicy {
    fn observed(mut self, server: hythe_wire::LifecyclePolicy) -> Self {
        let text = server.lifecycle_policy_text;
        self.repository = String::from(server.repository_name).into();
        self.registry_id = server.registry_id.to_string().into();
        // A server of a later version may have policies that this provider cannot read.
        let policy = Policy::parse(&text).ok();
        self.rules = policy
            .as_ref()
            .map_or(Attr::Null, |policy| lifecycle::rules(policy).into());
        self.canonical_json = policy.as_ref().map_or(text.as_str(), Policy::canonical).into();
        self.policy = text.into();
        self
    }

    fn request(&self) -> Result<(RepositoryName, PutLifecyclePolicy)> {
        let request = PutLifecyclePolicy {
            lifecycle_policy_text: self.policy.required("policy")?.clone(),
        };
        Ok((parsed("repository", &self.repository)?, request))
    }
}

fn contradiction() -> Diagnostic {
    let problem = "It does not say the same as `policy`. Set one of them; the other one follows.";
    invalid(Path::new("rules"), problem)
}

impl Noun for LifecyclePolicy {
    const NAME: &'static str = "lifecycle_policy";
    const A_NOUN: &'static str = "a lifecycle policy";
    const KEY: &'static [&'static str] = &["repository"];
    const GONE: &'static [&'static str] = &[code::LIFECYCLE_POLICY_NOT_FOUND, code::REPOSITORY_NOT_FOUND];
    const REPLACES: bool = true;
    const AT_AMAZON: Option<&'static str> = Some("aws_ecr_lifecycle_policy");
    type Filter = LifecyclePolicies;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name: RepositoryName = parsed("repository", &self.repository)?;
        let found = api.send(|| api.client().lifecycle_policy(&name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let (name, request) = self.request()?;
        let put = api
            .send(|| api.client().put_lifecycle_policy(&name, &request, None))
            .await?;
        Ok(self.observed(put.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let (name, request) = self.request()?;
        let document = Document {
            called: format!("lifecycle policy of repository `{name}`"),
            path: Path::new("policy"),
            prior: &prior.policy,
            planned: &self.policy,
            is_same: lifecycle::same,
            text: |server: &hythe_wire::LifecyclePolicy| &server.lifecycle_policy_text,
        };
        let (client, name, request) = (api.client(), &name, &request);
        let put = document
            .change(
                api,
                || client.lifecycle_policy(name),
                |etag| async move { client.put_lifecycle_policy(name, request, etag.as_ref()).await },
            )
            .await?;
        Ok(self.observed(put.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name: RepositoryName = parsed("repository", &self.repository)?;
        api.send(|| api.client().delete_lifecycle_policy(&name, None)).await?;
        Ok(())
    }

    fn list(filter: LifecyclePolicies, client: &Client) -> Result<Listing<Self>> {
        let query = ListRepositories {
            prefix: filter.repository_prefix.into_known(),
            ..ListRepositories::default()
        };
        let repositories = client.all_repositories(query);
        let client = client.clone();
        let policy = move |repository: hythe_wire::Repository| {
            let client = client.clone();
            async move {
                match client.lifecycle_policy(&repository.repository_name).await {
                    Ok(found) => Ok(Some(Self::default().observed(found.value))),
                    Err(error) if error.code().is_some_and(|code| Self::GONE.contains(&code)) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        };
        let policies = repositories.map_ok(policy).try_buffered(REQUESTS_AT_ONCE);
        Ok(policies.try_filter_map(async |found| Ok(found)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        match (&config.policy, &config.rules) {
            (Attr::Null, Attr::Null) => {
                let detail = "Set `policy`, or `rules`.";
                diagnostics.push(Diagnostic::error("A lifecycle policy is missing", detail));
            }
            (text, Attr::Known(rules)) => match (text, lifecycle::policy(rules)) {
                (_, Some(Err(error))) => diagnostics.push(lifecycle::misplaced(&error)),
                // Configurations that Terraform generates from what it imports have both.
                (Attr::Known(text), Some(Ok(policy))) if Policy::parse(text).is_ok_and(|other| other != policy) => {
                    diagnostics.push(contradiction());
                }
                _ => {}
            },
            _ => {}
        }
        diagnostics
    }

    fn adopt(state: &Json) -> Self {
        Self {
            repository: adopted(state, "repository"),
            policy: adopted(state, "policy"),
            ..Self::default()
        }
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        // What is configured and changes is known, and the other one is not.
        let (argument, policy) = match (&planned.policy, &planned.rules) {
            (Attr::Known(text), _) => ("policy", Policy::parse(text).ok()),
            (_, Attr::Known(rules)) => ("rules", lifecycle::policy(rules).and_then(Result::ok)),
            _ => return Ok(Vec::new()),
        };
        let Some(policy) = policy else {
            return Ok(Vec::new());
        };
        if planned.policy.is_unknown() {
            planned.policy = policy.canonical().into();
        }
        if planned.rules.is_unknown() {
            planned.rules = lifecycle::rules(&policy).into();
        }
        let rules = planned.rules.known().and_then(|rules| lifecycle::policy(rules));
        if let Some(Ok(other)) = rules
            && other != policy
        {
            return Err(contradiction().into());
        }
        planned.canonical_json = policy.canonical().into();
        let is_changed = prior.is_none_or(|prior| {
            prior.canonical_json != planned.canonical_json || prior.repository != planned.repository
        });
        if is_changed && let Some(Ok(name)) = planned.repository.as_str().map(str::parse::<RepositoryName>) {
            forecast::tell(cx, &name, policy.canonical(), &Path::new(argument)).await?;
        }
        Ok(Vec::new())
    }
}
