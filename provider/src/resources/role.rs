// SPDX-License-Identifier: Apache-2.0
//! `hythe_role`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::{CreateRole, ListQuery, MAX_MAX_SESSION_SECONDS, MIN_MAX_SESSION_SECONDS, UpdateRole};
use tfplugin::{Attr, Call, Diagnostics, Path, Result, Schema, Set};

use crate::connection::Connection;
use crate::iam::{self, PrincipalTags};
use crate::noun::{Api, Document, Listing, Noun, Outcome, cleared, fill, seen};
use crate::policy::{self, Kind};

/// Manages a role: rights that somebody takes on for a while instead of their own, such as a CI job, or a user of another
/// account.
///
/// The trust policy says who may take it on; what the role may do is said by policies, attached with
/// `hythe_role_policy_attachment`.
#[derive(Clone, Debug, Default, Schema)]
pub struct Role {
    /// The name, unique in the account: 1 to 64 letters, digits and `_+=,.@-`.
    #[tf(required, replace, validate = iam::name_of_64)]
    pub name: Attr<String>,
    /// What it is for, up to 1000 characters.
    #[tf(optional, validate = iam::description)]
    pub description: Attr<String>,
    /// Who may take the role on: a trust policy as JSON, with a `Principal` and without a `Resource` in each statement, and
    /// the actions `sts:AssumeRole` and `sts:AssumeRoleWithWebIdentity`. A change does not end sessions that have begun.
    #[tf(required, validate = policy::check_trust, equal = policy::same_trust)]
    pub assume_role_policy: Attr<String>,
    /// How long a session may be, in seconds: 3600 to 43200.
    #[tf(optional, default = MIN_MAX_SESSION_SECONDS, validate = session_seconds)]
    pub max_session_duration: Attr<u32>,
    /// The ARN of the policy that limits what the role may do at most, whatever other policies allow.
    #[tf(optional, validate = iam::policy_arn, equal = iam::same_policy)]
    pub permissions_boundary: Attr<String>,
    /// Resource tags, up to 50: conditions of policies see them as `aws:PrincipalTag/<key>`. The provider's `default_tags`
    /// are not added.
    #[tf(optional)]
    pub tags: Attr<PrincipalTags>,
    /// The ARN, as policies name the role, and by which it is taken on.
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// The account of the role, which is the id of its registry.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the role was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// The ARNs of the policies that are attached to the role.
    #[tf(computed)]
    pub policy_arns: Attr<Set<String>>,
}

/// Lists the roles of the account, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct Roles {}

fn session_seconds(seconds: &u32) -> Result<(), String> {
    if (MIN_MAX_SESSION_SECONDS..=MAX_MAX_SESSION_SECONDS).contains(seconds) {
        Ok(())
    } else {
        Err(format!(
            "It must be {MIN_MAX_SESSION_SECONDS} to {MAX_MAX_SESSION_SECONDS} seconds."
        ))
    }
}

impl Role {
    fn observed(mut self, server: hythe_wire::Role) -> Self {
        let account = iam::account_of(&server.arn).unwrap_or_default();
        let arn_of = |policy: &String| iam::arn_of_policy(policy, &account);
        self.permissions_boundary = server.permissions_boundary.as_ref().map(arn_of).into();
        self.policy_arns = Attr::Known(server.policies.iter().map(arn_of).collect());
        self.name = server.role_name.into();
        self.description = seen(&self.description, server.description);
        self.assume_role_policy = server.assume_role_policy_document.into();
        self.max_session_duration = server.max_session_duration.into();
        self.tags = seen(&self.tags, iam::tags_from(server.resource_tags));
        self.arn = server.arn.into();
        self.registry_id = account.into();
        self.created_at = server.created_at.to_string().into();
        self
    }
}

impl Noun for Role {
    const NAME: &'static str = "role";
    const A_NOUN: &'static str = "a role";
    const KEY: &'static [&'static str] = &["name"];
    const ONLY_FOUND: &'static [&'static str] = &["policy_arns"];
    type Filter = Roles;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let found = api.send(|| api.client().role(name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreateRole {
            role_name: self.name.required("name")?.clone(),
            description: self.description.clone().unwrap_or_default(),
            assume_role_policy_document: self.assume_role_policy.required("assume_role_policy")?.clone(),
            max_session_duration: self.max_session_duration.known().copied(),
            permissions_boundary: self.permissions_boundary.known().cloned(),
            policies: Vec::new(),
            resource_tags: iam::tags_to(&self.tags.clone().unwrap_or_default()),
        };
        let made = api.send_once(|| api.client().create_role(&request)).await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?.clone();
        let trust = self.assume_role_policy.known();
        let request = UpdateRole {
            description: cleared(&prior.description, &self.description),
            assume_role_policy_document: trust
                .filter(|_| self.assume_role_policy != prior.assume_role_policy)
                .cloned(),
            max_session_duration: cleared(&prior.max_session_duration, &self.max_session_duration),
            permissions_boundary: (self.permissions_boundary != prior.permissions_boundary)
                .then(|| self.permissions_boundary.known().cloned()),
            policies: None,
            resource_tags: cleared(&prior.tags, &self.tags).map(|tags| iam::tags_to(&tags)),
        };
        let (client, name, request) = (api.client(), name.as_str(), &request);
        if request.assume_role_policy_document.is_none() {
            // What else there is to change has no place for somebody else's words.
            let changed = api.send(|| client.update_role(name, request, None)).await?;
            return Ok(self.observed(changed.value));
        }
        let document = Document {
            called: format!("trust policy of role `{name}`"),
            path: Path::new("assume_role_policy"),
            prior: &prior.assume_role_policy,
            planned: &self.assume_role_policy,
            is_same: policy::same_trust,
            text: |server: &hythe_wire::Role| &server.assume_role_policy_document,
        };
        let changed = document
            .change(
                api,
                || client.role(name),
                |etag| async move { client.update_role(name, request, etag.as_ref()).await },
            )
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name = self.name.required("name")?;
        api.send(|| api.client().delete_role(name, None)).await?;
        Ok(())
    }

    fn list(_: Roles, client: &Client) -> Result<Listing<Self>> {
        let roles = client.all_roles(ListQuery::default());
        Ok(roles.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        iam::check_principal_tags(&config.tags, &Path::new("tags"))
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        let before = prior.and_then(|prior| prior.assume_role_policy.as_str());
        let path = Path::new("assume_role_policy");
        policy::warn(cx, Kind::Role, &path, before, &planned.assume_role_policy).await;
        Ok(Vec::new())
    }

    fn predict(&mut self, account: &AccountId) {
        if let Some(name) = self.name.as_str() {
            fill(&mut self.arn, format_args!("arn:aws:iam::{account}:role/{name}"));
        }
        fill(&mut self.registry_id, account);
    }
}
