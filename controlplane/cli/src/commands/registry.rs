// SPDX-License-Identifier: Apache-2.0
//! `hythe registry …`.

use clap::Subcommand;

use crate::context::Context;
use crate::error::CliError;
use crate::table::Table;

/// `hythe registry …`
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Show the registry of your account: its address, region and version
    Describe,
}

pub(crate) async fn run(command: RegistryCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RegistryCommand::Describe => {
            let registry = context.client()?.registry().await?;
            context.writer.answer(&registry, || {
                Table::fields([
                    ("registry id", registry.registry_id.to_string()),
                    ("region", registry.region.to_string()),
                    ("registry uri", registry.registry_uri.clone()),
                    ("arn", registry.registry_arn.clone().unwrap_or_default()),
                    ("endpoint", registry.endpoint.clone()),
                    ("version", registry.version.clone()),
                    ("capabilities", registry.capabilities.join(", ")),
                ])
            })
        }
    }
}
