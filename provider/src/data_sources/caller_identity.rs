// SPDX-License-Identifier: Apache-2.0
//! `hythe_caller_identity`.

use tfplugin::{Attr, Call, DataSource, Result, Schema};

use crate::connection::Connection;

/// Tells as whom the provider is logged in.
#[derive(Clone, Debug, Default, Schema)]
pub struct CallerIdentity {
    /// The registry of the credentials: the 12 digits of their account.
    #[tf(computed)]
    pub registry_id: Attr<String>,
    /// The ARN of the principal, as policies name it.
    #[tf(computed)]
    pub arn: Attr<String>,
    /// The name of the user; null for the administrator.
    #[tf(computed)]
    pub user_name: Attr<String>,
}

impl DataSource for CallerIdentity {
    const NAME: &'static str = "caller_identity";
    type Client = Connection;

    async fn read(cx: &Call<Connection>, _: Self) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let caller = connection
            .ask(cx, "read the caller's identity", || connection.client.caller_identity())
            .await?;
        Ok(Self {
            registry_id: caller.registry_id.to_string().into(),
            arn: caller.arn.into(),
            user_name: caller.user_name.into(),
        })
    }
}
