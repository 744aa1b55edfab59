// SPDX-License-Identifier: Apache-2.0
//! `hythe_registry`.

use tfplugin::{Attr, Call, DataSource, Result, Schema};

use crate::connection::Connection;

/// Describes the registry that the provider is logged in to.
#[derive(Clone, Debug, Default, Schema)]
pub struct Registry {
    /// The registry: the 12 digits of its account.
    #[tf(computed)]
    pub registry_id: Attr<String>,
    /// The region that the deployment is.
    #[tf(computed)]
    pub region: Attr<String>,
    /// What stands before a repository's name in the name of an image: `host[:port]`, and the account where the deployment
    /// puts it in the path.
    #[tf(computed)]
    pub registry_uri: Attr<String>,
    /// The ARN of the registry; null if the server gives none.
    #[tf(computed)]
    pub arn: Attr<String>,
    /// The URL of the control plane, as the server names it.
    #[tf(computed)]
    pub endpoint: Attr<String>,
    /// The version of the server.
    #[tf(computed)]
    pub server_version: Attr<String>,
    /// What the server can do beyond the first version of the API.
    #[tf(computed)]
    pub capabilities: Attr<Vec<String>>,
}

impl DataSource for Registry {
    const NAME: &'static str = "registry";
    type Client = Connection;

    async fn read(cx: &Call<Connection>, _: Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let registry = connection
            .ask(cx, "describe the registry", || connection.client.registry())
            .await?;
        Ok(Self {
            registry_id: registry.registry_id.to_string().into(),
            region: registry.region.to_string().into(),
            registry_uri: registry.registry_uri.into(),
            arn: registry.registry_arn.into(),
            endpoint: registry.endpoint.into(),
            server_version: registry.version.into(),
            capabilities: registry.capabilities.into(),
        })
    }
}
