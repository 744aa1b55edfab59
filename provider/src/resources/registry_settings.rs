// SPDX-License-Identifier: Apache-2.0
//! `hythe_registry_settings`: what a registry does with what is deleted.

use futures::StreamExt as _;
use hythe_client::Client;
use hythe_model::AccountId;
use hythe_wire::PutRegistrySettings;
use tfplugin::{Attr, Call, Diagnostic, Path, Result, Schema};

use crate::connection::Connection;
use crate::noun::{Api, Listing, Noun, Outcome, fill};

/// The server's default, in days.
const DEFAULT_RETENTION_DAYS: u32 = 7;
/// The server's limit, in days.
const MAX_RETENTION_DAYS: u32 = 365;

/// Manages the settings of the registry.
///
/// Every registry has them. Creating this resource takes them over if they are the defaults; if somebody has changed
/// them, they have to be imported. Destroying it brings back the defaults. Have one for each registry.
#[derive(Clone, Debug, Default, Schema)]
pub struct RegistrySettings {
    /// For how many days a deleted image can be restored with its tags: 0 to 365. With 0 it is gone at once. It counts
    /// for what is deleted from then on.
    #[tf(optional, default = DEFAULT_RETENTION_DAYS, validate = at_most_a_year)]
    pub deleted_image_retention_days: Attr<u32>,
    /// The registry: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Finds the settings of the registry.
#[derive(Clone, Debug, Default, Schema)]
pub struct AnyRegistrySettings {}

fn at_most_a_year(days: &u32) -> Result<(), String> {
    if *days <= MAX_RETENTION_DAYS {
        Ok(())
    } else {
        Err(format!("It must be 0 to {MAX_RETENTION_DAYS} days."))
    }
}

impl RegistrySettings {
    fn observed(server: &hythe_wire::RegistrySettings) -> Self {
        Self {
            deleted_image_retention_days: server.deleted_image_retention_days.into(),
            registry_id: server.registry_id.to_string().into(),
        }
    }

    async fn put(api: &Api<'_>, days: u32) -> Outcome<Self> {
        let wanted = PutRegistrySettings {
            deleted_image_retention_days: days,
        };
        let put = api.send(|| api.client().put_registry_settings(&wanted, None)).await?;
        Ok(Self::observed(&put.value))
    }
}

impl Noun for RegistrySettings {
    const NAME: &'static str = "registry_settings";
    const A_NOUN: &'static str = "a set of registry settings";
    const KEY: &'static [&'static str] = &["registry_id"];
    const GONE: &'static [&'static str] = &[];
    const REPLACES: bool = true;
    const IS_SINGLETON: bool = true;
    type Filter = AnyRegistrySettings;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let found = api.send(|| api.client().registry_settings()).await?;
        Ok(Self::observed(&found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        Self::put(
            api,
            *self
                .deleted_image_retention_days
                .required("deleted_image_retention_days")?,
        )
        .await
    }

    async fn change(self, _: Self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        self.make(config, api).await
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        Self::put(api, DEFAULT_RETENTION_DAYS).await.map(drop)
    }

    fn list(_: AnyRegistrySettings, client: &Client) -> Result<Listing<Self>> {
        let client = client.clone();
        let ask = async move {
            let found = client.registry_settings().await?;
            Ok(Self::observed(&found.value))
        };
        Ok(futures::stream::once(ask).boxed())
    }

    fn is_default(&self) -> bool {
        self.deleted_image_retention_days == Attr::Known(DEFAULT_RETENTION_DAYS)
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        let turns_off = |days: &Attr<u32>| days.known() == Some(&0);
        let was_off = prior.is_some_and(|prior| turns_off(&prior.deleted_image_retention_days));
        if turns_off(&planned.deleted_image_retention_days) && !was_off {
            let detail = "Whatever is deleted from then on, by somebody or by a lifecycle policy, cannot be restored.";
            cx.report(
                Diagnostic::warning("Deleted images will be gone at once", detail).at("deleted_image_retention_days"),
            );
        }
        Ok(Vec::new())
    }
}
