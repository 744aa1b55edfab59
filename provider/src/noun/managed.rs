// SPDX-License-Identifier: Apache-2.0
//! A noun as a managed resource.

use std::collections::BTreeMap;

use tfplugin::{
    Attribute, Call, Create, Diagnostic, Diagnostics, Fields, Import, Mismatch, Model, MoveSource, Path, Plan,
    Resource, Result, Schema, Update, Value,
};

use super::identity::REGISTRY_ID;
use super::{AWS_PROVIDER, Api, Failure, Identity, Noun, called, key, keyed, noun};
use crate::connection::Connection;
use crate::diagnostics;

/// The managed resource of a noun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Managed<N>(pub N);

impl<N: Noun> Fields for Managed<N> {
    fn attributes() -> Vec<Attribute> {
        let is_managed = |attribute: &Attribute| !N::ONLY_FOUND.contains(&attribute.name.as_str());
        N::attributes().into_iter().filter(is_managed).collect()
    }

    fn from_object(object: BTreeMap<String, Value>) -> Result<Self, Mismatch> {
        N::from_object(object).map(Self)
    }

    fn to_object(&self) -> BTreeMap<String, Value> {
        let mut object = self.0.to_object();
        object.retain(|name, _| !N::ONLY_FOUND.contains(&name.as_str()));
        object
    }
}

impl<N: Noun> Model for Managed<N> {
    const VERSION: i64 = N::VERSION;

    fn schema() -> Schema {
        Schema {
            object: Self::object_schema(),
            ..N::schema()
        }
    }
}

impl<N: Noun> Resource for Managed<N> {
    const NAME: &'static str = N::NAME;
    type Client = Connection;
    type Identity = Identity<N>;

    fn validate(config: &Self) -> Diagnostics {
        N::validate(&config.0)
    }

    async fn plan(cx: &Call<Connection>, plan: &mut Plan<Self>) -> Result<()> {
        if plan.prior.is_none() {
            predict(cx, &mut plan.planned.0).await?;
        }
        let prior = plan.prior.as_ref().map(|Self(prior)| prior);
        for path in N::plan(cx, prior, &mut plan.planned.0).await? {
            plan.require_replacement(path);
        }
        Ok(())
    }

    async fn plan_destroy(cx: &Call<Connection>, state: &Self) -> Result<()> {
        N::plan_destroy(cx, &state.0).await
    }

    async fn create(cx: &Call<Connection>, Create { planned, config }: Create<Self>) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let api = Api { connection, cx };
        let (called, planned) = (called(&planned.0), planned.0);
        let id = key(&planned).unwrap_or_default().join("/");
        if N::REPLACES {
            match planned.clone().fetch(&api).await {
                Ok(found) if found.is_default() => {}
                Ok(_) if N::IS_SINGLETON => {
                    let account = connection.account(cx).await;
                    let id = account.map_or_else(|_| "<registry id>".to_owned(), ToString::to_string);
                    return Err(diagnostics::in_use(noun::<N>(), &id));
                }
                Ok(_) => return Err(diagnostics::taken(noun::<N>(), &id, place::<N>())),
                Err(failure) if failure.is_absence::<N>() => {}
                Err(failure) => return Err(failure.told(&format!("create {called}"))),
            }
        }
        let account = known_account(cx, connection, &planned).await;
        let mut made = planned
            .make(config.0, &api)
            .await
            .map_err(|failure| match failure.code() {
                Some(code) if N::TAKEN.contains(&code) => diagnostics::taken(noun::<N>(), &id, place::<N>()),
                _ => failure.told(&format!("create {called}")),
            })?;
        if let Some(account) = account {
            made.predict(&account);
        }
        Ok(Self(made))
    }

    async fn read(cx: &Call<Connection>, state: Self) -> Result<Option<Self>> {
        let connection = Connection::of(cx).await?;
        let api = Api { connection, cx };
        let called = called(&state.0);
        let account = known_account(cx, connection, &state.0).await;
        match cx.until_stopped(state.0.fetch(&api)).await? {
            Ok(mut found) => {
                if let Some(account) = account {
                    found.predict(&account);
                }
                Ok(Some(Self(found)))
            }
            // Only the server's own codes say so: any server can answer 404 to a URL that it does not know.
            Err(failure) if failure.is_absence::<N>() => Ok(None),
            Err(failure) => Err(failure.told(&format!("read {called}"))),
        }
    }

    async fn update(cx: &Call<Connection>, request: Update<Self>) -> Result<Self> {
        let Update { prior, planned, config } = request;
        let connection = Connection::of(cx).await?;
        let api = Api { connection, cx };
        let called = called(&prior.0);
        let changed = planned.0.change(prior.0, config.0, &api).await;
        changed.map(Self).map_err(|failure| {
            if failure.is_absence::<N>() {
                diagnostics::vanished(&called)
            } else {
                failure.told(&format!("update {called}"))
            }
        })
    }

    async fn delete(cx: &Call<Connection>, state: Self) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let api = Api { connection, cx };
        let called = called(&state.0);
        match state.0.remove(&api).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.is_absence::<N>() => Ok(()),
            Err(failure) => Err(failure.told(&format!("delete {called}"))),
        }
    }

    async fn import(cx: &Call<Connection>, request: Import<Identity<N>>) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let api = Api { connection, cx };
        let (parts, registry_id) = match request {
            Import::Id(id) => {
                let parts = id.splitn(N::KEY.len().max(1), '/').map(str::to_owned).collect();
                (parts, N::IS_SINGLETON.then_some(id))
            }
            Import::Identity(identity) => {
                let parts: Vec<String> = N::KEY.iter().filter_map(|name| identity.text(name)).collect();
                (parts, identity.text(REGISTRY_ID))
            }
        };
        if let Some(wanted) = registry_id {
            check_registry(cx, connection, &wanted).await?;
        }
        let Some(wanted) = (if N::IS_SINGLETON {
            Some(N::default())
        } else {
            keyed::<N>(parts)
        }) else {
            let detail = format!(
                "{} is imported by {}.",
                diagnostics::sentence_start(N::A_NOUN),
                in_words::<N>()
            );
            return Err(Diagnostics::error("Invalid import id", detail));
        };
        let called = called(&wanted);
        match cx.until_stopped(wanted.clone().fetch(&api)).await? {
            Ok(_) => Ok(Self(wanted)),
            Err(failure) if failure.is_absence::<N>() => {
                let endpoint = connection.client.endpoint();
                let detail = format!("There is no {called} in the registry at `{endpoint}`.");
                Err(Diagnostics::error(format!("Cannot import {called}"), detail))
            }
            Err(failure) => Err(failure.told(&format!("import {called}"))),
        }
    }

    fn identity(&self) -> Option<Identity<N>> {
        Some(Identity::of(&self.0))
    }

    async fn move_from(_: &Call<Connection>, source: MoveSource) -> Result<Option<Self>> {
        let is_known =
            N::AT_AMAZON == Some(source.type_name.as_str()) && source.provider_address.ends_with(AWS_PROVIDER);
        Ok(is_known.then(|| Self(N::adopt(&source.state))))
    }
}

impl Failure {
    /// Whether it says that the object is not there.
    pub(super) fn is_absence<N: Noun>(&self) -> bool {
        matches!(self, Self::Absent) || self.code().is_some_and(|code| N::GONE.contains(&code))
    }
}

/// Fills in what follows from the account. Without a server, or without the right to ask it, the plan says less.
async fn predict<N: Noun>(cx: &Call<Connection>, planned: &mut N) -> Result<()> {
    let Some(connection) = cx.client_if_configured() else {
        return Ok(());
    };
    match cx.until_stopped(connection.account(cx)).await? {
        Ok(account) => {
            planned.predict(account);
            Ok(())
        }
        Err(error) if error.status().is_some_and(|status| status.as_u16() == 401) => {
            Err(diagnostics::failed("log in to the registry", error))
        }
        Err(_) => Ok(()),
    }
}

/// The account, if the object has still to learn it.
async fn known_account<N: Noun>(
    cx: &Call<Connection>,
    connection: &Connection,
    object: &N,
) -> Option<hythe_model::AccountId> {
    let is_known = matches!(object.to_object().get(REGISTRY_ID), None | Some(Value::String(_)));
    if is_known {
        return None;
    }
    connection.account(cx).await.ok().cloned()
}

async fn check_registry(cx: &Call<Connection>, connection: &Connection, wanted: &str) -> Result<()> {
    let account = connection.account(cx).await;
    let account = account.map_err(|error| diagnostics::failed("tell which registry this is", error))?;
    if account.as_str() == wanted {
        return Ok(());
    }
    let detail = format!("The import names registry `{wanted}`, but the provider is logged in to `{account}`.");
    Err(Diagnostic::error("Object of another registry", detail).into())
}

/// The argument to point at when the name is taken.
fn place<N: Noun>() -> Path {
    N::KEY
        .iter()
        .find(|name| {
            let object = N::schema().object;
            object
                .attribute(name)
                .is_some_and(|it| it.mode != tfplugin::schema::Mode::Computed)
        })
        .map_or_else(Path::root, |name| Path::new(*name))
}

/// What an import id is made of.
pub(crate) fn in_words<N: Noun>() -> String {
    if N::IS_SINGLETON {
        return "the id of its registry".to_owned();
    }
    let names: Vec<String> = N::KEY.iter().map(|name| format!("<{name}>")).collect();
    format!("`{}`", names.join("/"))
}
