// SPDX-License-Identifier: Apache-2.0
//! `hythe_replication_destination`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, Region, RegistryUrl, RepositoryPrefix};
use hythe_rules::replication::MIN_BANDWIDTH;
use hythe_wire::{
    CreateReplicationDestination, ListQuery, ReplicationCredential, ReplicationDestinationKind, Secret,
    UpdateReplicationDestination,
};
use tfplugin::{Attr, Diagnostics, Path, Result, Schema};

use crate::argument::{invalid, parsed, parses};
use crate::noun::{Api, Listing, Noun, Outcome, cleared, fill};

const HYTHE: &str = "HYTHE";
const OCI: &str = "OCI";
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 256;

/// Manages where images can be replicated to: another deployment of Hythe, or any other registry. Rules name it as their
/// `region`: `hythe_replication_rule`, or `hythe_replication_configuration`.
///
/// The password is write-only: it is in neither plan nor state. To give another one, raise `password_wo_version`. It goes only to
/// addresses that it was given for, and so is sent again when `endpoint` or `control_endpoint` changes.
///
/// Another `name` or `kind` makes a new object, and a destination that rules name cannot be deleted. So give it
/// `lifecycle { create_before_destroy = true }`: Terraform then makes the new one, changes the rules, and deletes the old one
/// last. Another `kind` needs another `name`, too.
#[derive(Clone, Debug, Default, Schema)]
pub struct ReplicationDestination {
    /// What rules call it; of another deployment of Hythe the name of its region.
    #[tf(required, replace, validate = parses::<Region>)]
    pub name: Attr<String>,
    /// What it is: another deployment of Hythe, or any other registry.
    #[tf(optional, default = HYTHE, replace, one_of = [HYTHE, OCI])]
    pub kind: Attr<String>,
    /// Where its registry is, such as `registry.example.com`; with `http://` only in networks that the operator of the
    /// server allows.
    #[tf(required, validate = parses::<RegistryUrl>, equal = same_registry)]
    pub endpoint: Attr<String>,
    /// Where its control plane is, written likewise, for kind `HYTHE`. Rules with `replicated_settings` need it.
    #[tf(optional, validate = parses::<RegistryUrl>, equal = same_registry)]
    pub control_endpoint: Attr<String>,
    /// What it is for, up to 256 characters.
    #[tf(optional, validate = description)]
    pub description: Attr<String>,
    /// Who logs in there; for Hythe the id of an access key. Nobody if left out.
    #[tf(optional)]
    pub username: Attr<String>,
    /// The password; for Hythe the secret of the access key. The server keeps it sealed and never shows it.
    #[tf(optional, sensitive, write_only)]
    pub password_wo: Attr<String>,
    /// Says when there is a new password.
    #[tf(optional)]
    pub password_wo_version: Attr<u64>,
    /// What stands before the names of repositories there, for kind `OCI`.
    #[tf(optional, validate = parses::<RepositoryPrefix>)]
    pub repository_prefix: Attr<String>,
    /// How many bytes of layers each node sends there in a second, at most; at least 1024.
    #[tf(optional)]
    pub bandwidth_bytes_per_second: Attr<u64>,
    /// The registry whose images go there: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the destination was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// When the destination was last changed (RFC 3339).
    #[tf(computed)]
    pub updated_at: Attr<String>,
}

/// Lists the destinations of the registry, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct ReplicationDestinations {}

fn description(text: &str) -> Result<(), String> {
    if (1..=MAX_DESCRIPTION).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(format!(
        "It must have 1 to {MAX_DESCRIPTION} characters; leave it out for none."
    ))
}

/// Whether both texts name one registry: `https://` may be left out.
fn same_registry(one: &str, other: &str) -> bool {
    match (one.parse::<RegistryUrl>(), other.parse::<RegistryUrl>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

impl ReplicationDestination {
    fn observed(mut self, server: hythe_wire::ReplicationDestination) -> Self {
        self.name = server.destination_name.to_string().into();
        self.kind = match server.kind {
            ReplicationDestinationKind::Hythe => HYTHE.into(),
            ReplicationDestinationKind::Oci => OCI.into(),
        };
        // Another way to write the same stays as it is.
        let is_same = |written: &String, server: &str| same_registry(written, server);
        if !self.endpoint.known().is_some_and(|it| is_same(it, &server.endpoint)) {
            self.endpoint = server.endpoint.into();
        }
        let control = server.control_endpoint;
        let written = self.control_endpoint.known();
        if !written
            .zip(control.as_ref())
            .is_some_and(|(it, server)| is_same(it, server))
        {
            self.control_endpoint = control.into();
        }
        self.description = server.description.into();
        self.username = server.username.into();
        self.repository_prefix = server.repository_prefix.into();
        self.bandwidth_bytes_per_second = server.bandwidth_bytes_per_second.into();
        self.registry_id = server.registry_id.to_string().into();
        self.created_at = server.created_at.to_string().into();
        self.updated_at = server.updated_at.to_string().into();
        self
    }

    fn credential(&self, config: &Self) -> Option<ReplicationCredential> {
        let (username, password) = (self.username.known()?, config.password_wo.known()?);
        Some(ReplicationCredential {
            username: username.clone(),
            password: Secret::new(password.clone()),
        })
    }
}

impl Noun for ReplicationDestination {
    const NAME: &'static str = "replication_destination";
    const A_NOUN: &'static str = "a replication destination";
    const KEY: &'static [&'static str] = &["name"];
    const UNREAD: &'static [&'static str] = &["password_wo_version"];
    type Filter = ReplicationDestinations;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name: Region = parsed("name", &self.name)?;
        let found = api.send(|| api.client().replication_destination(&name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreateReplicationDestination {
            destination_name: parsed("name", &self.name)?,
            kind: match self.kind.as_str() {
                Some(OCI) => ReplicationDestinationKind::Oci,
                _ => ReplicationDestinationKind::Hythe,
            },
            endpoint: self.endpoint.required("endpoint")?.clone(),
            control_endpoint: self.control_endpoint.known().cloned(),
            description: self.description.known().cloned(),
            credential: self.credential(&config),
            repository_prefix: self.repository_prefix.known().cloned(),
            bandwidth_bytes_per_second: self.bandwidth_bytes_per_second.known().copied(),
        };
        let made = api
            .send_once(|| api.client().create_replication_destination(&request))
            .await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        let name: Region = parsed("name", &prior.name)?;
        let is_moved = self.endpoint != prior.endpoint || self.control_endpoint != prior.control_endpoint;
        let is_new = self.username != prior.username
            || self.password_wo_version != prior.password_wo_version
            || (is_moved && self.username.known().is_some());
        let request = UpdateReplicationDestination {
            endpoint: cleared(&prior.endpoint, &self.endpoint),
            control_endpoint: cleared(&prior.control_endpoint, &self.control_endpoint),
            description: cleared(&prior.description, &self.description),
            credential: is_new.then(|| self.credential(&config)),
            repository_prefix: cleared(&prior.repository_prefix, &self.repository_prefix),
            bandwidth_bytes_per_second: (self.bandwidth_bytes_per_second != prior.bandwidth_bytes_per_second)
                .then(|| self.bandwidth_bytes_per_second.known().copied()),
        };
        if request == UpdateReplicationDestination::default() {
            return self.fetch(api).await;
        }
        let changed = api
            .send(|| api.client().update_replication_destination(&name, &request, None))
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name: Region = parsed("name", &self.name)?;
        api.send(|| api.client().delete_replication_destination(&name, None))
            .await?;
        Ok(())
    }

    fn list(_: ReplicationDestinations, client: &Client) -> Result<Listing<Self>> {
        let destinations = client.all_replication_destinations(ListQuery::default());
        Ok(destinations.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if config.username.is_null() && config.password_wo.known().is_some() {
            diagnostics.push(invalid(
                Path::new("username"),
                "A password needs a user name beside it.",
            ));
        }
        if config.password_wo.is_null() && config.username.known().is_some() {
            diagnostics.push(invalid(
                Path::new("password_wo"),
                "A user name needs a password beside it.",
            ));
        }
        if config.kind.as_str() != Some(OCI) && !config.kind.is_unknown() && config.repository_prefix.known().is_some()
        {
            diagnostics.push(invalid(
                Path::new("repository_prefix"),
                "It is for destinations of kind `OCI` only.",
            ));
        }
        let rate = config.bandwidth_bytes_per_second.known();
        if rate.is_some_and(|rate| *rate < MIN_BANDWIDTH) {
            diagnostics.push(invalid(
                Path::new("bandwidth_bytes_per_second"),
                format!("It must be at least {MIN_BANDWIDTH}; leave it out for no bound."),
            ));
        }
        if config.kind.as_str() == Some(OCI) && config.control_endpoint.known().is_some() {
            diagnostics.push(invalid(
                Path::new("control_endpoint"),
                "It is for destinations of kind `HYTHE` only.",
            ));
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
