// SPDX-License-Identifier: Apache-2.0
//! `hythe registry …`.

use clap::Subcommand;

use super::registry_policy;
use crate::context::Context;
use crate::error::CliError;
use crate::table::Table;

/// `hythe registry …`
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Show the registry of your account: its address, region and version
    Describe,
    /// Manage the policy of the registry, which counts for every request to it
    #[command(subcommand, after_help = registry_policy::EXAMPLES)]
    Policy(registry_policy::RegistryPolicyCommand),
}

pub(crate) async fn run(command: RegistryCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RegistryCommand::Policy(command) => registry_policy::run(command, context).await,
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
