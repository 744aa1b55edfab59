// SPDX-License-Identifier: Apache-2.0
//! `hythe registry …`.

use clap::Subcommand;
use hythe_client::wire::PutRegistrySettings;

use super::{pull_time_exclusion, registry_policy};
use crate::context::Context;
use crate::error::CliError;
use crate::table::Table;

/// `hythe registry …`
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Show the registry of your account: its address, region and version
    Describe,
    /// Show the settings of the registry, or change them
    Settings {
        /// For how many days deleted images can be restored; with 0 they are gone at once
        #[arg(long, value_name = "DAYS")]
        deleted_image_retention_days: Option<u32>,
    },
    /// Manage the policy of the registry, which counts for every request to it
    #[command(subcommand, after_help = registry_policy::EXAMPLES)]
    Policy(registry_policy::RegistryPolicyCommand),
    /// Manage whose pulls do not count as the last pull of an image
    #[command(subcommand, after_help = pull_time_exclusion::EXAMPLES)]
    PullTimeExclusion(pull_time_exclusion::PullTimeExclusionCommand),
}

pub(crate) async fn run(command: RegistryCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RegistryCommand::Policy(command) => registry_policy::run(command, context).await,
        RegistryCommand::Settings {
            deleted_image_retention_days,
        } => {
            let client = context.client()?;
            let settings = match deleted_image_retention_days {
                Some(days) => {
                    let wanted = PutRegistrySettings {
                        deleted_image_retention_days: days,
                    };
                    client.put_registry_settings(&wanted, None).await?.value
                }
                None => client.registry_settings().await?.value,
            };
            context.writer.answer(&settings, || {
                let days = settings.deleted_image_retention_days;
                Table::fields([("deleted image retention days", days.to_string())])
            })
        }
        RegistryCommand::PullTimeExclusion(command) => pull_time_exclusion::run(command, context).await,
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
