// SPDX-License-Identifier: Apache-2.0
//! `hythe_policy`: what can be attached to users, groups and roles.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{CreatePolicy, ListPolicies, PolicyScope, UpdatePolicy};
use tfplugin::{Attr, Call, Diagnostics, Path, Result, Schema};

use crate::connection::Connection;
use crate::iam::{self, PrincipalTags};
use crate::noun::{Api, Document, Listing, Noun, Outcome, cleared, fill, seen};
use crate::policy::{self, Kind};

/// Manages a policy that can be attached to users, groups and roles, or limit what a user or role may do at most.
///
/// A change counts for the next request of whoever has the policy. A document that says the same in other words plans no
/// change. A policy that is attached cannot be destroyed.
#[derive(Clone, Debug, Default, Schema)]
pub struct Policy {
    /// The name, unique in the account: 1 to 128 letters, digits and `_+=,.@-`.
    #[tf(required, replace, validate = iam::name_of_128)]
    pub name: Attr<String>,
    /// What it is for, up to 1000 characters.
    #[tf(optional, validate = iam::description)]
    pub description: Attr<String>,
    /// The policy as JSON: in the grammar of IAM, with a `Resource` and without a `Principal` in each statement.
    /// `hythe_policy_document` writes it, and so does `jsonencode`.
    #[tf(required, validate = policy::check_identity, equal = policy::same_identity)]
    pub policy: Attr<String>,
    /// Resource tags, up to 50. The provider's `default_tags` are not added: conditions may decide by these.
    #[tf(optional)]
    pub tags: Attr<PrincipalTags>,
    /// The ARN, as attachments name the policy.
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// The account of the policy, which is the id of its registry; null for one that every account has.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the policy was created (RFC 3339); null for one that every account has.
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// When the policy was last changed (RFC 3339).
    #[tf(computed)]
    pub updated_at: Attr<String>,
    /// Whether every account has the policy and nobody can change it.
    #[tf(computed)]
    pub is_managed: Attr<bool>,
    /// How many users, groups and roles have it.
    #[tf(computed)]
    pub attachment_count: Attr<u64>,
}

/// Lists the policies of the account, by name; not those that every account has.
#[derive(Clone, Debug, Default, Schema)]
pub struct Policies {}

impl Policy {
    fn observed(mut self, server: hythe_wire::Policy) -> Self {
        self.registry_id = iam::account_of(&server.arn).into();
        self.name = server.policy_name.into();
        self.arn = server.arn.into();
        self.description = seen(&self.description, server.description.unwrap_or_default());
        self.policy = server.policy_document.into();
        self.tags = seen(&self.tags, iam::tags_from(server.resource_tags));
        self.created_at = server.created_at.map(|at| at.to_string()).into();
        self.updated_at = server.updated_at.map(|at| at.to_string()).into();
        self.is_managed = server.is_managed.into();
        self.attachment_count = server.attachment_count.into();
        self
    }
}

impl Noun for Policy {
    const NAME: &'static str = "policy";
    const A_NOUN: &'static str = "a policy";
    const KEY: &'static [&'static str] = &["name"];
    const ONLY_FOUND: &'static [&'static str] = &["updated_at", "is_managed", "attachment_count"];
    type Filter = Policies;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let found = api.send(|| api.client().policy(name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreatePolicy {
            policy_name: self.name.required("name")?.clone(),
            description: self.description.known().cloned(),
            policy_document: self.policy.required("policy")?.clone(),
            resource_tags: self.tags.known().map(iam::tags_to),
        };
        let made = api.send_once(|| api.client().create_policy(&request)).await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?.clone();
        let request = UpdatePolicy {
            policy_document: self.policy.required("policy")?.clone(),
            description: cleared(&prior.description, &self.description),
            resource_tags: cleared(&prior.tags, &self.tags).map(|tags| iam::tags_to(&tags)),
        };
        let document = Document {
            called: format!("policy `{name}`"),
            path: Path::new("policy"),
            prior: &prior.policy,
            planned: &self.policy,
            is_same: policy::same_identity,
            text: |server: &hythe_wire::Policy| &server.policy_document,
        };
        let (client, name, request) = (api.client(), name.as_str(), &request);
        let changed = document
            .change(
                api,
                || client.policy(name),
                |etag| async move { client.update_policy(name, request, etag.as_ref()).await },
            )
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name = self.name.required("name")?;
        api.send(|| api.client().delete_policy(name, None)).await?;
        Ok(())
    }

    fn list(_: Policies, client: &Client) -> Result<Listing<Self>> {
        let query = ListPolicies {
            scope: Some(PolicyScope::Local),
            ..ListPolicies::default()
        };
        let policies = client.all_policies(query);
        Ok(policies.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        iam::check_principal_tags(&config.tags, &Path::new("tags"))
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        let before = prior.and_then(|prior| prior.policy.as_str());
        policy::warn(cx, Kind::Identity, &Path::new("policy"), before, &planned.policy).await;
        Ok(Vec::new())
    }

    fn predict(&mut self, account: &AccountId) {
        if let Some(name) = self.name.as_str() {
            fill(&mut self.arn, format_args!("arn:aws:iam::{account}:policy/{name}"));
        }
        if !self.is_managed.known().copied().unwrap_or_default() {
            fill(&mut self.registry_id, account);
        }
    }
}
