// SPDX-License-Identifier: Apache-2.0
//! `hythe_registry_policy_statement`: one statement of a policy that several configurations share.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::PutRegistryPolicyStatement;
use hythe_wire::code;
use tfplugin::{Attr, Call, Diagnostics, Path, Result, Schema};

use crate::argument::invalid;
use crate::connection::Connection;
use crate::noun::{Api, Document, Listing, Noun, Outcome, fill};
use crate::policy::{self, Kind};

/// Manages one statement of the registry's policy, and leaves the others alone.
///
/// The server changes the policy in one transaction for each statement, so that configurations that share a registry do
/// not overwrite each other. Do not use it beside a `hythe_registry_policy` of the same registry, which has all of it.
#[derive(Clone, Debug, Default, Schema)]
pub struct RegistryPolicyStatement {
    /// The statement's `Sid`, unique in the policy: 1 to 128 letters and digits.
    #[tf(required, replace, validate = policy::check_sid)]
    pub sid: Attr<String>,
    /// The statement as JSON: an object in the grammar of IAM, with `Effect`, `Principal`, `Action` and `Resource`. A
    /// `Sid` in it has to be that of the argument `sid`.
    #[tf(required, validate = policy::check_statement, equal = policy::same_statement)]
    pub statement: Attr<String>,
    /// Whether to put the statement even if it takes from you the right to change the policy again.
    #[tf(optional, default = false)]
    pub force: Attr<bool>,
    /// The registry: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Lists the statements of the registry's policy that have a `Sid`.
#[derive(Clone, Debug, Default, Schema)]
pub struct RegistryPolicyStatements {}

impl RegistryPolicyStatement {
    fn observed(mut self, server: hythe_wire::RegistryPolicyStatement) -> Self {
        self.sid = server.sid.into();
        self.statement = server.statement.into();
        self.registry_id = server.registry_id.to_string().into();
        self
    }

    fn request(&self) -> Result<(String, PutRegistryPolicyStatement)> {
        let request = PutRegistryPolicyStatement {
            statement: self.statement.required("statement")?.clone(),
            force: self.force.unwrap_or_default(),
        };
        Ok((self.sid.required("sid")?.clone(), request))
    }
}

impl Noun for RegistryPolicyStatement {
    const NAME: &'static str = "registry_policy_statement";
    const A_NOUN: &'static str = "a registry policy statement";
    const KEY: &'static [&'static str] = &["sid"];
    const UNREAD: &'static [&'static str] = &["force"];
    const GONE: &'static [&'static str] = &[code::REGISTRY_POLICY_NOT_FOUND, code::RESOURCE_NOT_FOUND];
    const REPLACES: bool = true;
    type Filter = RegistryPolicyStatements;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let sid = self.sid.required("sid")?;
        let found = api.send(|| api.client().registry_policy_statement(sid)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let (sid, request) = self.request()?;
        let put = api
            .send(|| api.client().put_registry_policy_statement(&sid, &request, None))
            .await?;
        Ok(self.observed(put.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        if self.statement == prior.statement {
            return Ok(self);
        }
        let (sid, request) = self.request()?;
        let document = Document {
            called: format!("statement `{sid}` of the registry's policy"),
            path: Path::new("statement"),
            prior: &prior.statement,
            planned: &self.statement,
            is_same: policy::same_statement,
            text: |server: &hythe_wire::RegistryPolicyStatement| &server.statement,
        };
        let (client, sid, request) = (api.client(), sid.as_str(), &request);
        let put = document
            .change(
                api,
                || client.registry_policy_statement(sid),
                |etag| async move { client.put_registry_policy_statement(sid, request, etag.as_ref()).await },
            )
            .await?;
        Ok(self.observed(put.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let sid = self.sid.required("sid")?;
        api.send(|| api.client().delete_registry_policy_statement(sid, None))
            .await?;
        Ok(())
    }

    fn list(_: RegistryPolicyStatements, client: &Client) -> Result<Listing<Self>> {
        let client = client.clone();
        let ask = async move {
            let found = client.registry_policy_statements().await?;
            let statements = found.statements.into_iter().map(|statement| {
                Ok(Self {
                    force: false.into(),
                    ..Self::default().observed(statement)
                })
            });
            Ok(futures::stream::iter(statements.collect::<Vec<_>>()))
        };
        Ok(futures::stream::once(ask).try_flatten().boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if let (Some(sid), Some(statement)) = (config.sid.as_str(), config.statement.as_str())
            && let Some(other) = policy::sid_of(statement).filter(|other| other != sid)
        {
            let problem = format!("Its `Sid` is `{other}`, and `sid` is `{sid}`: leave it out of the statement.");
            diagnostics.push(invalid(Path::new("statement"), problem));
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        let before = prior
            .and_then(|prior| prior.statement.as_str())
            .map(policy::document_of);
        let after = planned
            .statement
            .clone()
            .map(|statement| policy::document_of(&statement));
        policy::warn(cx, Kind::Registry, &Path::new("statement"), before.as_deref(), &after).await;
        Ok(Vec::new())
    }
}
