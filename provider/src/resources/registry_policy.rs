// SPDX-License-Identifier: Apache-2.0
//! `hythe_registry_policy`: the whole policy of a registry.

use futures::StreamExt as _;
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{PutRegistryPolicy, code};
use tfplugin::{Attr, Call, Diagnostic, Json, Path, Result, Schema};

use crate::connection::Connection;
use crate::noun::{Api, Document, Listing, Noun, Outcome, adopted, fill};
use crate::policy::{self, Kind};

/// Manages the policy of the registry: guard rails for every request to it, and rights for other accounts.
///
/// There is one for each registry, and this resource has all of it. Where several configurations share a registry, give
/// each its `hythe_registry_policy_statement`s instead, and do not mix both: this resource removes statements that are not
/// its own, with a warning in the plan.
#[derive(Clone, Debug, Default, Schema)]
pub struct RegistryPolicy {
    /// The policy as JSON, up to 10240 bytes: in the grammar of IAM, with `Principal` and `Resource` in each statement.
    #[tf(required, validate = policy::check_registry, equal = policy::same_registry)]
    pub policy: Attr<String>,
    /// Whether to put the policy even if it takes from you the right to put another one.
    #[tf(optional, default = false)]
    pub force: Attr<bool>,
    /// The registry: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Finds the policy of the registry, if it has one.
#[derive(Clone, Debug, Default, Schema)]
pub struct RegistryPolicies {}

impl RegistryPolicy {
    fn observed(mut self, server: hythe_wire::RegistryPolicy) -> Self {
        self.policy = server.policy_text.into();
        self.registry_id = server.registry_id.to_string().into();
        self
    }

    fn request(&self) -> Result<PutRegistryPolicy> {
        Ok(PutRegistryPolicy {
            force: self.force.unwrap_or_default(),
            policy_text: self.policy.required("policy")?.clone(),
        })
    }

    fn written(self, request: &PutRegistryPolicy, server: hythe_wire::RegistryPolicy, api: &Api<'_>) -> Self {
        // What this resource has written, so that a plan can tell it from what others have.
        api.cx.set_private(policy::statements(&request.policy_text).join("\n"));
        self.observed(server)
    }
}

impl Noun for RegistryPolicy {
    const NAME: &'static str = "registry_policy";
    const A_NOUN: &'static str = "a registry policy";
    const KEY: &'static [&'static str] = &["registry_id"];
    const UNREAD: &'static [&'static str] = &["force"];
    const GONE: &'static [&'static str] = &[code::REGISTRY_POLICY_NOT_FOUND];
    const REPLACES: bool = true;
    const AT_AMAZON: Option<&'static str> = Some("aws_ecr_registry_policy");
    const IS_SINGLETON: bool = true;
    type Filter = RegistryPolicies;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let found = api.send(|| api.client().registry_policy()).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = self.request()?;
        let put = api.send(|| api.client().put_registry_policy(&request, None)).await?;
        Ok(self.written(&request, put.value, api))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        if self.policy == prior.policy {
            return Ok(self);
        }
        let request = self.request()?;
        let document = Document {
            called: "policy of the registry".to_owned(),
            path: Path::new("policy"),
            prior: &prior.policy,
            planned: &self.policy,
            is_same: policy::same_registry,
            text: |server: &hythe_wire::RegistryPolicy| &server.policy_text,
        };
        let (client, wanted) = (api.client(), &request);
        let put = document
            .change(
                api,
                || client.registry_policy(),
                |etag| async move { client.put_registry_policy(wanted, etag.as_ref()).await },
            )
            .await?;
        Ok(self.written(&request, put.value, api))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        api.send(|| api.client().delete_registry_policy(None)).await?;
        Ok(())
    }

    fn list(_: RegistryPolicies, client: &Client) -> Result<Listing<Self>> {
        let client = client.clone();
        let ask = async move {
            match client.registry_policy().await {
                Ok(found) => Some(Ok(Self {
                    force: false.into(),
                    ..Self::default().observed(found.value)
                })),
                Err(error) if error.code().is_some_and(|code| Self::GONE.contains(&code)) => None,
                Err(error) => Some(Err(error)),
            }
        };
        Ok(futures::stream::once(ask).filter_map(std::future::ready).boxed())
    }

    fn adopt(state: &Json) -> Self {
        Self {
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
        if let (Some(before), Some(after)) = (before, planned.policy.as_str()) {
            warn_of_strangers(cx, before, Some(after));
        }
        policy::warn(cx, Kind::Registry, &Path::new("policy"), before, &planned.policy).await;
        Ok(Vec::new())
    }

    async fn plan_destroy(cx: &Call<Connection>, state: &Self) -> Result<()> {
        if let Some(before) = state.policy.as_str() {
            warn_of_strangers(cx, before, None);
        }
        Ok(())
    }
}

/// Warns of statements that are there, that this resource has not written, and that it would remove.
fn warn_of_strangers(cx: &Call<Connection>, before: &str, after: Option<&str>) {
    let private = cx.private();
    let written = String::from_utf8_lossy(&private);
    let written: Vec<&str> = written.lines().collect();
    let kept = after.map(policy::statements).unwrap_or_default();
    let strangers: Vec<String> = policy::statements(before)
        .into_iter()
        .filter(|statement| !written.contains(&statement.as_str()) && !kept.contains(statement))
        .map(|statement| format!("\u{20} {statement}"))
        .collect();
    if strangers.is_empty() {
        return;
    }
    let detail = format!(
        "The policy of the registry has statements that this resource did not write, and this plan removes them:\n\n{}\n\n\
         If another configuration manages them with `hythe_registry_policy_statement`, do so here too, in place of \
         `hythe_registry_policy`.",
        strangers.join("\n")
    );
    cx.report(Diagnostic::warning("Statements of others will be removed", detail).at("policy"));
}
