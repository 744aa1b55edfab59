// SPDX-License-Identifier: Apache-2.0
//! `hythe_user`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{CreateUser, ListQuery, UpdateUser, UserKind};
use jiff::Timestamp;
use tfplugin::{Attr, Diagnostics, Path, Result, Schema, Set};

use crate::argument::parsed;
use crate::iam::{self, PrincipalTags};
use crate::noun::{Api, Listing, Noun, Outcome, cleared, fill, seen};

const USER: &str = "USER";
const SERVICE_ACCOUNT: &str = "SERVICE_ACCOUNT";

/// Manages a user of the account: a person, or a machine (a service account).
///
/// What a user may do is said by policies, attached with `hythe_user_policy_attachment` or through groups; credentials are
/// made with `hythe_access_key`. Destroying a user deletes its access keys too.
#[derive(Clone, Debug, Default, Schema)]
pub struct User {
    /// The name, unique in the account: 1 to 64 letters, digits and `_+=,.@-`.
    #[tf(required, replace, validate = iam::name_of_64)]
    pub name: Attr<String>,
    /// Whether the user is a person or a machine.
    #[tf(optional, replace, default = USER, one_of = [USER, SERVICE_ACCOUNT])]
    pub kind: Attr<String>,
    /// Who or what it is, up to 1000 characters.
    #[tf(optional, validate = iam::description)]
    pub description: Attr<String>,
    /// The ARN of the policy that limits what the user may do at most, whatever other policies allow.
    #[tf(optional, validate = iam::policy_arn, equal = iam::same_policy)]
    pub permissions_boundary: Attr<String>,
    /// When the user's credentials stop being good (RFC 3339); never, if left out.
    #[tf(optional, validate = iam::timestamp, equal = iam::same_time)]
    pub expires_at: Attr<String>,
    /// Whether the user's credentials are refused for now.
    #[tf(optional, default = false)]
    pub disabled: Attr<bool>,
    /// Resource tags, up to 50: conditions of policies see them as `aws:PrincipalTag/<key>`. The provider's `default_tags`
    /// are not added.
    #[tf(optional)]
    pub tags: Attr<PrincipalTags>,
    /// The ARN, as policies name the user.
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// The account of the user, which is the id of its registry.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the user was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// The groups that the user is in.
    #[tf(computed)]
    pub groups: Attr<Set<String>>,
    /// The ARNs of the policies that are attached to the user itself.
    #[tf(computed)]
    pub policy_arns: Attr<Set<String>>,
}

/// Lists the users of the account, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct Users {}

impl User {
    fn observed(mut self, server: hythe_wire::User) -> Self {
        let account = iam::account_of(&server.arn).unwrap_or_default();
        let arn_of = |policy: &String| iam::arn_of_policy(policy, &account);
        self.permissions_boundary = server.permissions_boundary.as_ref().map(arn_of).into();
        self.policy_arns = Attr::Known(server.policies.iter().map(arn_of).collect());
        self.name = server.user_name.into();
        self.kind = server.user_kind.as_str().into();
        self.description = seen(&self.description, server.description);
        self.expires_at = server.expires_at.map(|at| at.to_string()).into();
        self.disabled = server.is_disabled.into();
        self.tags = seen(&self.tags, iam::tags_from(server.resource_tags));
        self.arn = server.arn.into();
        self.registry_id = account.into();
        self.created_at = server.created_at.to_string().into();
        self.groups = Attr::Known(server.groups.into_iter().collect());
        self
    }

    fn expiry(&self) -> Result<Option<Timestamp>> {
        match self.expires_at.known() {
            Some(_) => parsed("expires_at", &self.expires_at).map(Some),
            None => Ok(None),
        }
    }
}

impl Noun for User {
    const NAME: &'static str = "user";
    const A_NOUN: &'static str = "a user";
    const KEY: &'static [&'static str] = &["name"];
    const ONLY_FOUND: &'static [&'static str] = &["groups", "policy_arns"];
    type Filter = Users;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let found = api.send(|| api.client().user(name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreateUser {
            user_name: self.name.required("name")?.clone(),
            user_kind: if self.kind.as_str() == Some(SERVICE_ACCOUNT) {
                UserKind::ServiceAccount
            } else {
                UserKind::User
            },
            description: self.description.clone().unwrap_or_default(),
            policies: Vec::new(),
            permissions_boundary: self.permissions_boundary.known().cloned(),
            resource_tags: iam::tags_to(&self.tags.clone().unwrap_or_default()),
            expires_at: self.expiry()?,
            is_disabled: self.disabled.unwrap_or_default(),
        };
        let made = api.send_once(|| api.client().create_user(&request)).await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?.clone();
        let boundary = (self.permissions_boundary != prior.permissions_boundary)
            .then(|| self.permissions_boundary.known().cloned());
        let expires_at = if self.expires_at == prior.expires_at {
            None
        } else {
            Some(self.expiry()?)
        };
        let request = UpdateUser {
            description: cleared(&prior.description, &self.description),
            policies: None,
            permissions_boundary: boundary,
            resource_tags: cleared(&prior.tags, &self.tags).map(|tags| iam::tags_to(&tags)),
            expires_at,
            is_disabled: cleared(&prior.disabled, &self.disabled),
        };
        let changed = api.send(|| api.client().update_user(&name, &request, None)).await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name = self.name.required("name")?;
        api.send(|| api.client().delete_user(name, None)).await?;
        Ok(())
    }

    fn list(_: Users, client: &Client) -> Result<Listing<Self>> {
        let users = client.all_users(ListQuery::default());
        Ok(users.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        iam::check_principal_tags(&config.tags, &Path::new("tags"))
    }

    fn predict(&mut self, account: &AccountId) {
        if let Some(name) = self.name.as_str() {
            fill(&mut self.arn, format_args!("arn:aws:iam::{account}:user/{name}"));
        }
        fill(&mut self.registry_id, account);
    }
}
