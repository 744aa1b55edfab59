// SPDX-License-Identifier: Apache-2.0
//! `hythe signing-key …`.

use clap::Subcommand;
use hythe_client::wire::{SigningKey, SigningKeyStatus};

use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe signing-key list
  hythe signing-key rotate";

/// `hythe signing-key …`
#[derive(Debug, Subcommand)]
pub enum SigningKeyCommand {
    /// List the keys that sign or verify tokens
    #[command(visible_alias = "ls")]
    List,
    /// Let a new key sign tokens; nobody is logged out
    Rotate,
}

pub(crate) async fn run(command: SigningKeyCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        SigningKeyCommand::List => {
            let list = client.signing_keys().await?;
            context.writer.answer(&list, || {
                let rows = list.signing_keys.iter().map(|key| {
                    [
                        key.key_id.clone(),
                        status(key).to_owned(),
                        human::age(context.now(), key.created_at),
                        until(key, context),
                    ]
                });
                Table::list(["ID", "STATUS", "CREATED", "VERIFIES UNTIL"], rows)
            })
        }
        SigningKeyCommand::Rotate => {
            let key = client.rotate_signing_key().await?;
            context.writer.answer_text(
                &key,
                &format!(
                    "made {}: it signs tokens in a moment, when all nodes know it",
                    key.key_id
                ),
            )
        }
    }
}

fn status(key: &SigningKey) -> &'static str {
    match key.status {
        SigningKeyStatus::Pending => "pending",
        SigningKeyStatus::Active => "active",
        SigningKeyStatus::Verifying => "verifying",
    }
}

fn until(key: &SigningKey, context: &Context) -> String {
    key.verifies_until
        .map_or_else(|| "-".to_owned(), |until| human::age(context.now(), until))
}
