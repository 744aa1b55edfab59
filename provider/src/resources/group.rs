// SPDX-License-Identifier: Apache-2.0
//! `hythe_group`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{CreateGroup, ListQuery, UpdateGroup};
use tfplugin::{Attr, Result, Schema, Set};

use crate::iam;
use crate::noun::{Api, Listing, Noun, Outcome, cleared, fill, seen};

/// Manages a group of users: what a group may do, its members may do.
///
/// Members come with `hythe_group_membership`, policies with `hythe_group_policy_attachment`.
#[derive(Clone, Debug, Default, Schema)]
pub struct Group {
    /// The name, unique in the account: 1 to 128 letters, digits and `_+=,.@-`.
    #[tf(required, replace, validate = iam::name_of_128)]
    pub name: Attr<String>,
    /// What it is for, up to 1000 characters.
    #[tf(optional, validate = iam::description)]
    pub description: Attr<String>,
    /// The ARN.
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// The account of the group, which is the id of its registry.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the group was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// The names of the users in the group.
    #[tf(computed)]
    pub members: Attr<Set<String>>,
    /// The ARNs of the policies that are attached to the group.
    #[tf(computed)]
    pub policy_arns: Attr<Set<String>>,
}

/// Lists the groups of the account, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct Groups {}

impl Group {
    fn observed(mut self, server: hythe_wire::Group) -> Self {
        let account = iam::account_of(&server.arn).unwrap_or_default();
        let arn_of = |policy: &String| iam::arn_of_policy(policy, &account);
        self.policy_arns = Attr::Known(server.policies.iter().map(arn_of).collect());
        self.name = server.group_name.into();
        self.description = seen(&self.description, server.description);
        self.arn = server.arn.into();
        self.registry_id = account.into();
        self.created_at = server.created_at.to_string().into();
        self.members = server.members.map(|members| members.into_iter().collect()).into();
        self
    }
}

impl Noun for Group {
    const NAME: &'static str = "group";
    const A_NOUN: &'static str = "a group";
    const KEY: &'static [&'static str] = &["name"];
    const ONLY_FOUND: &'static [&'static str] = &["members", "policy_arns"];
    type Filter = Groups;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let found = api.send(|| api.client().group(name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreateGroup {
            group_name: self.name.required("name")?.clone(),
            description: self.description.clone().unwrap_or_default(),
            policies: Vec::new(),
        };
        let made = api.send_once(|| api.client().create_group(&request)).await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?.clone();
        let request = UpdateGroup {
            description: cleared(&prior.description, &self.description),
            policies: None,
        };
        let changed = api.send(|| api.client().update_group(&name, &request, None)).await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name = self.name.required("name")?;
        api.send(|| api.client().delete_group(name, None)).await?;
        Ok(())
    }

    fn list(_: Groups, client: &Client) -> Result<Listing<Self>> {
        let groups = client.all_groups(ListQuery::default());
        Ok(groups.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn predict(&mut self, account: &AccountId) {
        if let Some(name) = self.name.as_str() {
            fill(&mut self.arn, format_args!("arn:aws:iam::{account}:group/{name}"));
        }
        fill(&mut self.registry_id, account);
    }
}
