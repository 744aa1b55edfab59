// SPDX-License-Identifier: Apache-2.0
//! `hythe user …`.

use clap::{Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::wire::{CreateUser, ListQuery, ManagedPolicy, UpdateUser, User, UserPage};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

const CREATE_EXAMPLES: &str = "Examples:
  hythe user create ci --policy power-user
  hythe access-key create ci";

/// `hythe user …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The name
        name: String,
        /// What the user may do; several times for several
        #[arg(long = "policy", value_enum, value_name = "POLICY")]
        policies: Vec<PolicyArg>,
    },
    /// List users
    #[command(visible_alias = "ls")]
    List,
    /// Show a user
    Describe {
        /// The user
        name: String,
    },
    /// Replace what a user may do
    SetPolicies {
        /// The user
        name: String,
        /// The policies; none at all takes every right
        #[arg(value_enum, value_name = "POLICY")]
        policies: Vec<PolicyArg>,
    },
    /// Delete a user with all access keys
    #[command(visible_alias = "rm")]
    Delete {
        /// The user
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// ECR's managed policies, as options are spelt.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PolicyArg {
    /// May look at everything and pull
    #[value(alias = "ReadOnly")]
    ReadOnly,
    /// May push as well
    #[value(alias = "PowerUser")]
    PowerUser,
    /// May pull and nothing else
    #[value(alias = "PullOnly")]
    PullOnly,
    /// May do everything in the registry
    #[value(alias = "FullAccess")]
    FullAccess,
}

impl From<PolicyArg> for ManagedPolicy {
    fn from(policy: PolicyArg) -> Self {
        match policy {
            PolicyArg::ReadOnly => Self::ReadOnly,
            PolicyArg::PowerUser => Self::PowerUser,
            PolicyArg::PullOnly => Self::PullOnly,
            PolicyArg::FullAccess => Self::FullAccess,
        }
    }
}

pub(crate) async fn run(command: UserCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        UserCommand::Create { name, policies } => {
            let request = CreateUser {
                user_name: name,
                policies: policies.into_iter().map(Into::into).collect(),
            };
            show(context, &client.create_user(&request).await?.value)
        }
        UserCommand::List => {
            let users = client
                .all_users(ListQuery {
                    max_results: Some(1000),
                    ..ListQuery::default()
                })
                .try_collect()
                .await?;
            let page = UserPage {
                users,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.users.iter().map(|user| {
                    [
                        user.user_name.clone(),
                        policies(user),
                        human::age(context.now(), user.created_at),
                    ]
                });
                Table::list(["NAME", "POLICIES", "CREATED"], rows)
            })
        }
        UserCommand::Describe { name } => show(context, &client.user(&name).await?.value),
        UserCommand::SetPolicies { name, policies } => {
            let request = UpdateUser {
                policies: Some(policies.into_iter().map(Into::into).collect()),
            };
            show(context, &client.update_user(&name, &request, None).await?.value)
        }
        UserCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete user `{name}` with all access keys"))?;
            let deleted = client.delete_user(&name).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.user_name))
        }
    }
}

fn policies(user: &User) -> String {
    if user.policies.is_empty() {
        "none".into()
    } else {
        user.policies.join(", ")
    }
}

fn show(context: &Context, user: &User) -> Result<(), CliError> {
    context.writer.answer(user, || {
        Table::fields([
            ("name", user.user_name.clone()),
            ("arn", user.arn.clone()),
            ("policies", policies(user)),
            ("created", user.created_at.to_string()),
        ])
    })
}
