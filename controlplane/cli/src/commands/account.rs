// SPDX-License-Identifier: Apache-2.0
//! `hythe account …`.

use clap::{ArgGroup, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::wire::{Account, AccountPage, AccountStatus, CreateAccount, ListAccounts, UpdateAccount};
use hythe_model::AccountId;

use super::access_key;
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str =
    "Accounts are administered with the access key of the default account's administrator.

Examples:
  hythe account create --name 'team b' --id 222222222222
  hythe account create-key 222222222222              # for its administrator, who does the rest
  docker push registry.example.com/222222222222/web:v1";

/// `hythe account …`
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Create an account
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// Its id: 12 digits; a random one by default
        #[arg(long, value_name = "ACCOUNT_ID")]
        id: Option<AccountId>,
    },
    /// List accounts
    #[command(visible_alias = "ls")]
    List,
    /// Show an account
    Describe {
        /// The account
        account_id: AccountId,
    },
    /// Rename an account
    #[command(group(ArgGroup::new("settings").required(true)))]
    Update {
        /// The account
        account_id: AccountId,
        /// What people call it from now on
        #[arg(long, group = "settings")]
        name: Option<String>,
    },
    /// Close an account: nobody can use it, and its data is kept
    Close {
        /// The account
        account_id: AccountId,
        /// Also if it has repositories, which are kept but not served
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Open a closed account again
    Reopen {
        /// The account
        account_id: AccountId,
    },
    /// Make an access key for the administrator of an account; its secret is shown this once
    CreateKey {
        /// The account
        account_id: AccountId,
    },
    /// List the access keys of the administrator of an account
    ListKeys {
        /// The account
        account_id: AccountId,
    },
    /// Delete an access key of the administrator of an account
    DeleteKey {
        /// The account
        account_id: AccountId,
        /// The id of the key
        access_key_id: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

pub(crate) async fn run(command: AccountCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        AccountCommand::Create { name, id } => {
            let request = CreateAccount {
                account_id: id,
                account_name: name,
            };
            show(context, &client.create_account(&request).await?.value)
        }
        AccountCommand::List => {
            let query = ListAccounts {
                max_results: Some(1000),
                next_token: None,
            };
            list(context, client.all_accounts(query).try_collect().await?)
        }
        AccountCommand::Describe { account_id } => show(context, &client.account(&account_id).await?.value),
        AccountCommand::Update { account_id, name } => {
            let request = UpdateAccount {
                account_name: name,
                status: None,
            };
            show(
                context,
                &client.update_account(&account_id, &request, None).await?.value,
            )
        }
        AccountCommand::Close {
            account_id,
            force,
            confirmation,
        } => {
            confirmation.check(&format!("close account `{account_id}` for everybody in it"))?;
            show(context, &client.close_account(&account_id, force, None).await?)
        }
        AccountCommand::Reopen { account_id } => {
            let request = UpdateAccount {
                account_name: None,
                status: Some(AccountStatus::Active),
            };
            show(
                context,
                &client.update_account(&account_id, &request, None).await?.value,
            )
        }
        AccountCommand::CreateKey { account_id } => {
            access_key::show_new(context, &client.create_administrator_key(&account_id).await?)
        }
        AccountCommand::ListKeys { account_id } => {
            access_key::list(context, &client.administrator_keys(&account_id).await?)
        }
        AccountCommand::DeleteKey {
            account_id,
            access_key_id,
            confirmation,
        } => {
            confirmation.check(&format!(
                "delete access key `{access_key_id}` of account `{account_id}`"
            ))?;
            let deleted = client.delete_administrator_key(&account_id, &access_key_id).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.access_key_id))
        }
    }
}

fn list(context: &Context, accounts: Vec<Account>) -> Result<(), CliError> {
    let page = AccountPage {
        accounts,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.accounts.iter().map(|account| {
            [
                account.account_id.to_string(),
                account.account_name.clone(),
                account.status.as_str().to_lowercase(),
                human::age(context.now(), account.created_at),
            ]
        });
        Table::list(["ACCOUNT ID", "NAME", "STATUS", "CREATED"], rows)
    })
}

fn show(context: &Context, account: &Account) -> Result<(), CliError> {
    context.writer.answer(account, || {
        Table::fields([
            ("account id", account.account_id.to_string()),
            ("name", account.account_name.clone()),
            ("arn", account.arn.clone()),
            ("status", account.status.as_str().to_lowercase()),
            ("created", account.created_at.to_string()),
        ])
    })
}
