// SPDX-License-Identifier: Apache-2.0
//! `hythe whoami`.

use hythe_client::{Client, SettingsSource};

use crate::context::Context;
use crate::error::CliError;
use crate::table::Table;

pub(crate) async fn run(context: &Context) -> Result<(), CliError> {
    let settings = context.settings()?;
    let identity = Client::new(&settings)?.caller_identity().await?;
    context.writer.answer(&identity, || {
        let source = match &settings.source {
            SettingsSource::Arguments => "arguments".to_owned(),
            SettingsSource::Environment => "environment variables".to_owned(),
            SettingsSource::Profile(name) => format!("profile `{name}`"),
            SettingsSource::LocalServer(path) => path.display().to_string(),
        };
        Table::fields([
            ("arn", identity.arn.clone()),
            ("registry id", identity.registry_id.to_string()),
            ("user", identity.user_name.clone().unwrap_or_default()),
            ("endpoint", settings.endpoint.to_string()),
            (
                "credentials",
                format!("{} (from {source})", settings.credentials.label()),
            ),
        ])
    })
}
