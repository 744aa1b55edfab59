// SPDX-License-Identifier: Apache-2.0
//! `hythe group …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::wire::{CreateGroup, Group, GroupPage, ListQuery, UpdateGroup};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::policy_name::{POLICY_HELP, policies, policy_name};
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe group create builders --policy power-user
  hythe group add builders ada
  hythe group describe builders";

/// `hythe group …`
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Create a group
    #[command(after_help = POLICY_HELP)]
    Create {
        /// The name: 1 to 128 letters, digits and `_+=,.@-`
        name: String,
        /// A policy that says what its members may do; several times for several
        #[arg(long = "policy", value_name = "POLICY", value_parser = policy_name)]
        policies: Vec<String>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// List groups
    #[command(visible_alias = "ls")]
    List,
    /// Show a group and who is in it
    Describe {
        /// The group
        name: String,
    },
    /// Say anew what a group is for
    Update {
        /// The group
        name: String,
        /// What it is for
        #[arg(long, required = true)]
        description: Option<String>,
    },
    /// Put users into a group
    Add {
        /// The group
        name: String,
        /// The users
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
    },
    /// Take users out of a group
    Remove {
        /// The group
        name: String,
        /// The users
        #[arg(required = true, value_name = "USER")]
        users: Vec<String>,
    },
    /// Replace all policies of a group
    #[command(after_help = POLICY_HELP)]
    SetPolicies {
        /// The group
        name: String,
        /// The policies; none at all takes every right
        #[arg(value_name = "POLICY", value_parser = policy_name)]
        policies: Vec<String>,
    },
    /// Give a group one policy more
    #[command(after_help = POLICY_HELP)]
    AttachPolicy {
        /// The group
        name: String,
        /// The policy
        #[arg(value_parser = policy_name)]
        policy: String,
    },
    /// Take one policy from a group
    #[command(after_help = POLICY_HELP)]
    DetachPolicy {
        /// The group
        name: String,
        /// The policy
        #[arg(value_parser = policy_name)]
        policy: String,
    },
    /// Delete a group that has no members
    #[command(visible_alias = "rm")]
    Delete {
        /// The group
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

pub(crate) async fn run(command: GroupCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        GroupCommand::Create {
            name,
            policies,
            description,
        } => {
            let request = CreateGroup {
                group_name: name,
                description: description.unwrap_or_default(),
                policies,
            };
            show(context, &client.create_group(&request).await?.value)
        }
        GroupCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let groups = client.all_groups(query).try_collect().await?;
            list(context, groups)
        }
        GroupCommand::Describe { name } => show(context, &client.group(&name).await?.value),
        GroupCommand::Update { name, description } => {
            let request = UpdateGroup {
                description,
                policies: None,
            };
            show(context, &client.update_group(&name, &request, None).await?.value)
        }
        GroupCommand::Add { name, users } => {
            let mut group = None;
            for user in &users {
                group = Some(client.add_group_member(&name, user).await?.value);
            }
            group.map_or(Ok(()), |group| show(context, &group))
        }
        GroupCommand::Remove { name, users } => {
            let mut group = None;
            for user in &users {
                group = Some(client.remove_group_member(&name, user).await?.value);
            }
            group.map_or(Ok(()), |group| show(context, &group))
        }
        GroupCommand::SetPolicies { name, policies } => {
            let request = UpdateGroup {
                description: None,
                policies: Some(policies),
            };
            show(context, &client.update_group(&name, &request, None).await?.value)
        }
        GroupCommand::AttachPolicy { name, policy } => {
            show(context, &client.attach_group_policy(&name, &policy).await?.value)
        }
        GroupCommand::DetachPolicy { name, policy } => {
            show(context, &client.detach_group_policy(&name, &policy).await?.value)
        }
        GroupCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete group `{name}`"))?;
            let deleted = client.delete_group(&name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.group_name))
        }
    }
}

fn list(context: &Context, groups: Vec<Group>) -> Result<(), CliError> {
    let page = GroupPage {
        groups,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.groups.iter().map(|group| {
            [
                group.group_name.clone(),
                policies(&group.policies),
                group.description.clone(),
                human::age(context.now(), group.created_at),
            ]
        });
        Table::list(["NAME", "POLICIES", "DESCRIPTION", "CREATED"], rows)
    })
}

fn show(context: &Context, group: &Group) -> Result<(), CliError> {
    context.writer.answer(group, || {
        let members = group.members.as_deref().unwrap_or_default();
        Table::fields([
            ("name", group.group_name.clone()),
            ("arn", group.arn.clone()),
            ("description", group.description.clone()),
            ("policies", policies(&group.policies)),
            ("members", members.join(", ")),
            ("created", group.created_at.to_string()),
        ])
    })
}
