// SPDX-License-Identifier: Apache-2.0
//! `hythe_group_membership`: one user in one group.

use futures::StreamExt as _;
use hythe_client::Client;
use hythe_model::AccountId;
use tfplugin::{Attr, Result, Schema};

use crate::iam;
use crate::noun::{Api, Failure, Listing, Noun, Outcome, fill};

/// Puts a user into a group.
///
/// Each membership is a resource of its own, so that several configurations can add to one group. One that is there already
/// is taken over.
#[derive(Clone, Debug, Default, Schema)]
pub struct GroupMembership {
    /// The name of the group.
    #[tf(required, replace, validate = iam::name_of_128)]
    pub group: Attr<String>,
    /// The name of the user.
    #[tf(required, replace, validate = iam::name_of_64)]
    pub user: Attr<String>,
    /// The account of both, which is the id of its registry.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Lists the members of a group.
#[derive(Clone, Debug, Default, Schema)]
pub struct GroupMemberships {
    /// The name of the group.
    #[tf(required, validate = iam::name_of_128)]
    pub group: Attr<String>,
}

impl Noun for GroupMembership {
    const NAME: &'static str = "group_membership";
    const A_NOUN: &'static str = "a group membership";
    const KEY: &'static [&'static str] = &["group", "user"];
    type Filter = GroupMemberships;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let (group, user) = (self.group.required("group")?, self.user.required("user")?);
        let found = api.send(|| api.client().user(user)).await?;
        if found.value.groups.contains(group) {
            Ok(self)
        } else {
            Err(Failure::Absent)
        }
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let (group, user) = (self.group.required("group")?, self.user.required("user")?);
        api.send(|| api.client().add_group_member(group, user)).await?;
        Ok(self)
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let (group, user) = (self.group.required("group")?, self.user.required("user")?);
        api.send(|| api.client().remove_group_member(group, user)).await?;
        Ok(())
    }

    fn list(filter: GroupMemberships, client: &Client) -> Result<Listing<Self>> {
        let (group, client) = (filter.group.required("group")?.clone(), client.clone());
        let ask = async move {
            let found = client.group(&group).await?;
            let member = |user| {
                Ok(Self {
                    group: group.clone().into(),
                    user: Attr::Known(user),
                    registry_id: Attr::Null,
                })
            };
            let members: Vec<_> = found
                .value
                .members
                .unwrap_or_default()
                .into_iter()
                .map(member)
                .collect();
            Ok(futures::stream::iter(members))
        };
        Ok(futures::TryStreamExt::try_flatten(futures::stream::once(ask)).boxed())
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
