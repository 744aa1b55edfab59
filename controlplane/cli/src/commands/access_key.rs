// SPDX-License-Identifier: Apache-2.0
//! `hythe access-key …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::wire::{AccessKey, AccessKeyPage, AccessKeyStatus, CreatedAccessKey, ListQuery};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "To replace a key without a gap:
  hythe access-key create ci                          # a user has two at most
  hythe access-key deactivate ci OLD_ACCESS_KEY_ID    # once nobody uses it: see LAST USED in `hythe access-key list ci`
  hythe access-key delete ci OLD_ACCESS_KEY_ID
At once, as when a key has leaked:
  hythe access-key rotate ci OLD_ACCESS_KEY_ID        # makes a new one and switches the old one off, both or neither";

/// `hythe access-key …`
#[derive(Debug, Subcommand)]
pub enum AccessKeyCommand {
    /// Make an access key for a user; its secret is shown this once
    Create {
        /// The user
        user: String,
    },
    /// List the access keys of a user
    #[command(visible_alias = "ls")]
    List {
        /// The user
        user: String,
    },
    /// Make a new access key and switch this one off, both or neither
    Rotate {
        /// The user
        user: String,
        /// The id of the key to replace
        access_key_id: String,
    },
    /// Make an access key useless until it is activated again
    Deactivate {
        /// The user
        user: String,
        /// The id of the key
        access_key_id: String,
    },
    /// Make an access key usable again
    Activate {
        /// The user
        user: String,
        /// The id of the key
        access_key_id: String,
    },
    /// Delete an access key
    #[command(visible_alias = "rm")]
    Delete {
        /// The user
        user: String,
        /// The id of the key
        access_key_id: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

pub(crate) async fn run(command: AccessKeyCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        AccessKeyCommand::Create { user } => show_new(context, &client.create_access_key(&user).await?),
        AccessKeyCommand::Rotate { user, access_key_id } => {
            show_new(context, &client.rotate_access_key(&user, &access_key_id).await?)?;
            let note = format!("{access_key_id} is inactive now: `hythe access-key delete {user} {access_key_id}`");
            context.writer.note(&note);
            Ok(())
        }
        AccessKeyCommand::List { user } => {
            let access_keys = client
                .all_access_keys(&user, ListQuery::default())
                .try_collect()
                .await?;
            list(
                context,
                &AccessKeyPage {
                    access_keys,
                    next_token: None,
                },
            )
        }
        AccessKeyCommand::Deactivate { user, access_key_id } => show(
            context,
            &client
                .update_access_key(&user, &access_key_id, AccessKeyStatus::Inactive)
                .await?,
        ),
        AccessKeyCommand::Activate { user, access_key_id } => show(
            context,
            &client
                .update_access_key(&user, &access_key_id, AccessKeyStatus::Active)
                .await?,
        ),
        AccessKeyCommand::Delete {
            user,
            access_key_id,
            confirmation,
        } => {
            confirmation.check(&format!("delete access key `{access_key_id}` of `{user}`"))?;
            let deleted = client.delete_access_key(&user, &access_key_id).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.access_key_id))
        }
    }
}

/// A new key with its secret.
pub(super) fn show_new(context: &Context, created: &CreatedAccessKey) -> Result<(), CliError> {
    context.writer.answer(created, || {
        Table::fields([
            ("access key id", created.access_key.access_key_id.clone()),
            ("secret access key", created.secret_access_key.expose().to_owned()),
        ])
    })?;
    context.writer.note("keep the secret: it is not shown again");
    Ok(())
}

pub(super) fn list(context: &Context, page: &AccessKeyPage) -> Result<(), CliError> {
    context.writer.answer(page, || {
        let rows = page.access_keys.iter().map(|key| {
            [
                key.access_key_id.clone(),
                key.status.as_str().to_owned(),
                human::age(context.now(), key.created_at),
                key.last_used_at
                    .map_or_else(|| "never".to_owned(), |used| human::age(context.now(), used)),
            ]
        });
        Table::list(["ACCESS KEY ID", "STATUS", "CREATED", "LAST USED"], rows)
    })
}

fn show(context: &Context, key: &AccessKey) -> Result<(), CliError> {
    context.writer.answer_text(
        key,
        &format!("{} is {}", key.access_key_id, key.status.as_str().to_lowercase()),
    )
}
