// SPDX-License-Identifier: Apache-2.0
//! `hythe replication destination …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::ClientError;
use hythe_client::wire::{
    CreateReplicationDestination, ReplicationCredential, ReplicationDestination, ReplicationDestinationKind,
    ReplicationDestinationPage, Secret, UpdateReplicationDestination,
};
use hythe_model::Region;

use super::replication::all;
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

/// `hythe replication destination …`
#[derive(Debug, Subcommand)]
pub enum ReplicationDestinationCommand {
    /// Set up a destination
    Create {
        /// What rules call it: of another deployment of Hythe the name of its region
        name: Region,
        /// What it is
        #[arg(long, value_enum, default_value = "hythe")]
        kind: Kind,
        /// Where its registry is: a host, perhaps with a port; with `http://` where the operator allows it
        #[arg(long, value_name = "URL")]
        url: String,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List destinations
    #[command(visible_alias = "ls")]
    List,
    /// Show a destination
    Describe {
        /// Its name
        name: Region,
    },
    /// Change a destination; what could not be sent there is tried again at once
    ///
    /// The stored password goes only where it was given for: with another address (`--url`, `--control-url`), give
    /// `--username` and `--password-file` too.
    Update {
        /// Its name
        name: Region,
        /// Where its registry is
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        settings: SettingsArgs,
        /// Log in no more
        #[arg(long, conflicts_with = "username")]
        no_credential: bool,
        /// Send as fast as it goes
        #[arg(long, conflicts_with = "bandwidth")]
        no_bandwidth: bool,
    },
    /// Delete a destination that no rule names
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name
        name: Region,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// What a destination is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// Another deployment of Hythe
    Hythe,
    /// Any other registry
    Oci,
}

/// What can be said about a destination at any time.
#[derive(Args, Debug)]
pub struct SettingsArgs {
    /// Where its control plane is, written likewise, for kind `hythe`: settings of repositories go there
    #[arg(long, value_name = "URL")]
    control_url: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who logs in there; for Hythe the id of an access key
    #[arg(long, value_name = "USER", requires = "password_file")]
    username: Option<String>,
    /// A file with the password (for Hythe the secret of the access key), or `-` for standard input
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// What stands before the names of repositories there, for kind `oci`
    #[arg(long, value_name = "PREFIX")]
    repository_prefix: Option<String>,
    /// How many bytes of layers each node sends there in a second, at most
    #[arg(long, value_name = "BYTES")]
    bandwidth: Option<u64>,
}

impl SettingsArgs {
    fn credential(&self) -> Result<Option<ReplicationCredential>, CliError> {
        let (Some(username), Some(file)) = (&self.username, &self.password_file) else {
            return Ok(None);
        };
        let text = DocumentArg::at(file.clone()).read()?;
        Ok(Some(ReplicationCredential {
            username: username.clone(),
            password: Secret::new(text.trim_end_matches(['\r', '\n'])),
        }))
    }
}

pub(super) async fn run(command: ReplicationDestinationCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        ReplicationDestinationCommand::Create {
            name,
            kind,
            url,
            settings,
        } => {
            let request = CreateReplicationDestination {
                destination_name: name,
                kind: match kind {
                    Kind::Hythe => ReplicationDestinationKind::Hythe,
                    Kind::Oci => ReplicationDestinationKind::Oci,
                },
                endpoint: url,
                credential: settings.credential()?,
                control_endpoint: settings.control_url,
                description: settings.description,
                repository_prefix: settings.repository_prefix,
                bandwidth_bytes_per_second: settings.bandwidth,
            };
            show(context, &client.create_replication_destination(&request).await?.value)
        }
        ReplicationDestinationCommand::List => {
            let page = ReplicationDestinationPage {
                replication_destinations: client.all_replication_destinations(all()).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.replication_destinations.iter().map(|destination| {
                    [
                        destination.destination_name.to_string(),
                        kind(destination).to_owned(),
                        destination.endpoint.clone(),
                        destination.username.clone().unwrap_or_default(),
                        human::age(context.now(), destination.updated_at),
                    ]
                });
                Table::list(["NAME", "KIND", "ENDPOINT", "USER", "UPDATED"], rows)
            })
        }
        ReplicationDestinationCommand::Describe { name } => {
            show(context, &client.replication_destination(&name).await?.value)
        }
        ReplicationDestinationCommand::Update {
            name,
            url,
            settings,
            no_credential,
            no_bandwidth,
        } => {
            let is_keeping = settings.username.is_none() && !no_credential;
            let request = UpdateReplicationDestination {
                endpoint: url,
                credential: match settings.credential()? {
                    None if no_credential => Some(None),
                    credential => credential.map(Some),
                },
                control_endpoint: settings.control_url,
                description: settings.description,
                repository_prefix: settings.repository_prefix,
                bandwidth_bytes_per_second: if no_bandwidth {
                    Some(None)
                } else {
                    settings.bandwidth.map(Some)
                },
            };
            let updated = client.update_replication_destination(&name, &request, None).await;
            let updated = updated.map_err(|error| {
                if is_keeping {
                    needs_password(error)
                } else {
                    error.into()
                }
            })?;
            show(context, &updated.value)
        }
        ReplicationDestinationCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete the replication destination `{name}`"))?;
            let deleted = client.delete_replication_destination(&name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.destination_name))
        }
    }
}

/// The stored password was not given for the new address.
fn needs_password(error: ClientError) -> CliError {
    match error {
        ClientError::Problem { problem, .. } if problem.pointer.as_deref() == Some("/credential") => CliError::Usage {
            message: problem.detail,
            hint: "add `--username` and `--password-file`, or `--no-credential`",
        },
        error => error.into(),
    }
}

fn kind(destination: &ReplicationDestination) -> &'static str {
    match destination.kind {
        ReplicationDestinationKind::Hythe => "HYTHE",
        ReplicationDestinationKind::Oci => "OCI",
    }
}

fn show(context: &Context, destination: &ReplicationDestination) -> Result<(), CliError> {
    context.writer.answer(destination, || {
        let rate = destination.bandwidth_bytes_per_second;
        Table::fields([
            ("name", destination.destination_name.to_string()),
            ("kind", kind(destination).to_owned()),
            ("endpoint", destination.endpoint.clone()),
            (
                "control endpoint",
                destination.control_endpoint.clone().unwrap_or_default(),
            ),
            ("description", destination.description.clone().unwrap_or_default()),
            ("user", destination.username.clone().unwrap_or_default()),
            (
                "repository prefix",
                destination.repository_prefix.clone().unwrap_or_default(),
            ),
            (
                "bandwidth",
                rate.map_or_else(|| "no bound".into(), |rate| format!("{}/s", human::size(rate))),
            ),
            ("failures in a row", destination.consecutive_failures.to_string()),
            ("created", destination.created_at.to_string()),
            ("updated", destination.updated_at.to_string()),
        ])
    })
}
