// SPDX-License-Identifier: Apache-2.0
//! `hythe_identity_provider`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, IssuerUrl};
use hythe_wire::{CreateIdentityProvider, ListQuery, SigningAlgorithm, UpdateIdentityProvider};
use tfplugin::{Attr, Diagnostics, Path, Result, Schema, Set, Value};

use crate::argument::{invalid, parses};
use crate::iam;
use crate::noun::{Api, Listing, Noun, Outcome, cleared, fill};

/// The most audiences of a provider (IAM, `ClientIDList`).
const MAX_CLIENT_IDS: usize = 100;

/// Manages an `OpenID` Connect identity provider: an issuer whose tokens open sessions of the roles that trust it, so that a
/// CI job or a pod needs no access key.
///
/// The trust policy of a role names the provider by its `arn`, and looks at the claims of a token with condition keys that
/// start with the provider's `name`.
#[derive(Clone, Debug, Default, Schema)]
pub struct IdentityProvider {
    /// The issuer's URL, exactly as its tokens say it (`iss`): `https://`, a host, and perhaps a port and a path.
    #[tf(required, replace, validate = parses::<IssuerUrl>)]
    pub url: Attr<String>,
    /// The audiences (`aud`) of which a token must have one: 1 to 100.
    #[tf(required)]
    pub client_ids: Attr<Set<String>>,
    /// The algorithms that a token may be signed with.
    #[tf(
        optional, default = default_algorithms(),
        one_of = SigningAlgorithm::ALL.map(SigningAlgorithm::as_str)
    )]
    pub signing_algorithms: Attr<Set<String>>,
    /// The certificate authorities, in PEM, to check the issuer's TLS certificate against, in place of the system's.
    #[tf(optional)]
    pub ca_bundle: Attr<String>,
    /// The issuer's public keys, as the JSON text of a JWK set, for an issuer that the server cannot reach. Without it, the
    /// server fetches them and notices when they change.
    #[tf(optional, validate = json, equal = same_json)]
    pub jwks: Attr<String>,
    /// What it is for, up to 1000 characters.
    #[tf(optional, validate = iam::description)]
    pub description: Attr<String>,
    /// The URL without its scheme, such as `token.actions.githubusercontent.com`: what the names of the condition keys of
    /// its claims start with.
    #[tf(computed, stable)]
    pub name: Attr<String>,
    /// The ARN, as trust policies name the provider (`Principal.Federated`).
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// The account of the provider, which is the id of its registry.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the provider was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
}

/// Lists the identity providers of the account, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct IdentityProviders {}

fn default_algorithms() -> Value {
    Value::List(vec!["ES256".into(), "RS256".into()])
}

fn json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<serde_json::Value>(text).map(drop)
}

fn same_json(a: &str, b: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parse(a).is_some_and(|value| parse(b) == Some(value))
}

impl IdentityProvider {
    fn observed(mut self, server: hythe_wire::IdentityProvider) -> Self {
        self.registry_id = iam::account_of(&server.arn).into();
        self.url = server.url.into();
        self.client_ids = Attr::Known(server.client_id_list.into_iter().collect());
        let algorithms = server.signing_algorithms.into_iter();
        self.signing_algorithms = Attr::Known(algorithms.map(|it| it.as_str().to_owned()).collect());
        self.ca_bundle = server.ca_bundle.into();
        self.jwks = server.jwks.into();
        self.description = server.description.into();
        self.name = server.provider_name.into();
        self.arn = server.arn.into();
        self.created_at = server.created_at.to_string().into();
        self
    }

    fn algorithms(&self) -> Option<Vec<SigningAlgorithm>> {
        let names = self.signing_algorithms.known()?;
        let is_named = |algorithm: &SigningAlgorithm| names.iter().any(|name| name == algorithm.as_str());
        Some(SigningAlgorithm::ALL.into_iter().filter(is_named).collect())
    }

    fn clients(&self) -> Result<Vec<String>> {
        let mut clients = self.client_ids.required("client_ids")?.to_vec();
        clients.sort();
        Ok(clients)
    }
}

impl Noun for IdentityProvider {
    const NAME: &'static str = "identity_provider";
    const A_NOUN: &'static str = "an identity provider";
    const KEY: &'static [&'static str] = &["name"];
    type Filter = IdentityProviders;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let found = api.send(|| api.client().identity_provider(name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreateIdentityProvider {
            url: self.url.required("url")?.clone(),
            client_id_list: self.clients()?,
            signing_algorithms: self.algorithms(),
            ca_bundle: self.ca_bundle.known().cloned(),
            jwks: self.jwks.known().cloned(),
            description: self.description.known().cloned(),
        };
        let made = api
            .send_once(|| api.client().create_identity_provider(&request))
            .await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name = prior.name.required("name")?.clone();
        let (clients, before) = (self.clients()?, prior.clients()?);
        let algorithms = self.algorithms().filter(|now| Some(now) != prior.algorithms().as_ref());
        let request = UpdateIdentityProvider {
            client_id_list: (clients != before).then_some(clients),
            signing_algorithms: algorithms,
            ca_bundle: cleared(&prior.ca_bundle, &self.ca_bundle),
            jwks: cleared(&prior.jwks, &self.jwks),
            description: cleared(&prior.description, &self.description),
        };
        let changed = api
            .send(|| api.client().update_identity_provider(&name, &request, None))
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name = self.name.required("name")?;
        api.send(|| api.client().delete_identity_provider(name)).await?;
        Ok(())
    }

    fn list(_: IdentityProviders, client: &Client) -> Result<Listing<Self>> {
        let providers = client.all_identity_providers(ListQuery::default());
        Ok(providers.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let count = config.client_ids.known().map(|clients| clients.len());
        if count.is_some_and(|count| !(1..=MAX_CLIENT_IDS).contains(&count)) {
            let problem = format!("It must have 1 to {MAX_CLIENT_IDS} entries.");
            diagnostics.push(invalid(Path::new("client_ids"), problem));
        }
        if config.signing_algorithms.known().is_some_and(|it| it.is_empty()) {
            let problem = "It must have at least one entry; leave it out for `ES256` and `RS256`.";
            diagnostics.push(invalid(Path::new("signing_algorithms"), problem));
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        if let Some(Ok(url)) = self.url.as_str().map(str::parse::<IssuerUrl>) {
            fill(&mut self.name, url.name());
        }
        if let Some(name) = self.name.as_str() {
            fill(
                &mut self.arn,
                format_args!("arn:aws:iam::{account}:oidc-provider/{name}"),
            );
        }
        fill(&mut self.registry_id, account);
    }
}
