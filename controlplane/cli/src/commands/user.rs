// SPDX-License-Identifier: Apache-2.0
//! `hythe user …` and `hythe service-account …`: people and machines, which differ in what they are called.

use clap::{ArgGroup, Args, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::wire::{CreateUser, ListQuery, ResourceTag, UpdateUser, User, UserKind, UserPage};
use jiff::Timestamp;

use super::repository::resource_tag;
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::policy_name::{POLICY_HELP, policies, policy_name, tags};
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe user create ada --policy power-user
  hythe user create bob --permissions-boundary team-a
  hythe group add builders ada                       # rights that several share are better given to a group
  hythe access-key create ada";

pub(crate) const SERVICE_ACCOUNT_EXAMPLES: &str = "Examples:
  hythe service-account create ci --policy power-user --description 'builds of team a' --expires-at 2027-01-01T00:00:00Z
  hythe access-key create ci
  hythe service-account update ci --disabled true    # its keys and tokens are refused from the next request on";

/// `hythe user …`, `hythe service-account …`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Create one
    #[command(after_help = POLICY_HELP)]
    Create(CreateArgs),
    /// List them
    #[command(visible_alias = "ls")]
    List,
    /// Show one
    Describe {
        /// The name
        name: String,
    },
    /// Change settings; those that are not given stay
    #[command(after_help = POLICY_HELP)]
    Update(UpdateArgs),
    /// Replace all policies
    #[command(after_help = POLICY_HELP)]
    SetPolicies {
        /// The name
        name: String,
        /// The policies; none at all takes every right but those of groups
        #[arg(value_name = "POLICY", value_parser = policy_name)]
        policies: Vec<String>,
    },
    /// Give one policy more
    #[command(after_help = POLICY_HELP)]
    AttachPolicy {
        /// The name
        name: String,
        /// The policy
        #[arg(value_parser = policy_name)]
        policy: String,
    },
    /// Take one policy away
    #[command(after_help = POLICY_HELP)]
    DetachPolicy {
        /// The name
        name: String,
        /// The policy
        #[arg(value_parser = policy_name)]
        policy: String,
    },
    /// Delete one with its access keys, memberships and attachments
    #[command(visible_alias = "rm")]
    Delete {
        /// The name
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// `hythe user create`
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The name: 1 to 64 letters, digits and `_+=,.@-`
    name: String,
    /// A policy that says what it may do; several times for several
    #[arg(long = "policy", value_name = "POLICY", value_parser = policy_name)]
    policies: Vec<String>,
    /// Who or what it is
    #[arg(long)]
    description: Option<String>,
    /// The policy that limits what it may do at most
    #[arg(long, value_name = "POLICY", value_parser = policy_name)]
    permissions_boundary: Option<String>,
    /// A resource tag, which conditions see as `aws:PrincipalTag/KEY`; several times for several
    #[arg(long = "resource-tag", value_name = "KEY=VALUE", value_parser = resource_tag)]
    resource_tags: Vec<ResourceTag>,
    /// When its keys and tokens stop being good, such as `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// Refuse its keys and tokens for now
    #[arg(long)]
    disabled: bool,
}

/// `hythe user update`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("settings").required(true).multiple(true)))]
pub struct UpdateArgs {
    /// The name
    name: String,
    /// Who or what it is
    #[arg(long, group = "settings")]
    description: Option<String>,
    /// The policy that limits what it may do at most
    #[arg(long, value_name = "POLICY", group = "settings", value_parser = policy_name)]
    permissions_boundary: Option<String>,
    /// Take its limit away
    #[arg(long, group = "settings", conflicts_with = "permissions_boundary")]
    no_permissions_boundary: bool,
    /// All resource tags in place of those it has; several times for several
    #[arg(long = "resource-tag", value_name = "KEY=VALUE", group = "settings", value_parser = resource_tag)]
    resource_tags: Vec<ResourceTag>,
    /// Take all resource tags away
    #[arg(long, group = "settings", conflicts_with = "resource_tags")]
    no_resource_tags: bool,
    /// When its keys and tokens stop being good, such as `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME", group = "settings")]
    expires_at: Option<Timestamp>,
    /// Let its keys and tokens be good without end
    #[arg(long, group = "settings", conflicts_with = "expires_at")]
    no_expiry: bool,
    /// Whether its keys and tokens are refused for now
    #[arg(long, value_name = "BOOL", group = "settings")]
    disabled: Option<bool>,
}

pub(crate) async fn run(command: UserCommand, kind: UserKind, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        UserCommand::Create(args) => {
            let request = CreateUser {
                user_name: args.name,
                user_kind: kind,
                description: args.description.unwrap_or_default(),
                policies: args.policies,
                permissions_boundary: args.permissions_boundary,
                resource_tags: args.resource_tags,
                expires_at: args.expires_at,
                is_disabled: args.disabled,
            };
            show(context, &client.create_user(&request).await?.value)
        }
        UserCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let users: Vec<User> = client.all_users(query).try_collect().await?;
            list(
                context,
                users.into_iter().filter(|user| user.user_kind == kind).collect(),
            )
        }
        UserCommand::Describe { name } => show(context, &client.user(&name).await?.value),
        UserCommand::Update(args) => {
            let no_tags = args.no_resource_tags.then(Vec::new);
            let tags = (!args.resource_tags.is_empty()).then_some(args.resource_tags);
            let request = UpdateUser {
                description: args.description,
                policies: None,
                permissions_boundary: change(args.permissions_boundary, args.no_permissions_boundary),
                resource_tags: tags.or(no_tags),
                expires_at: change(args.expires_at, args.no_expiry),
                is_disabled: args.disabled,
            };
            show(context, &client.update_user(&args.name, &request, None).await?.value)
        }
        UserCommand::SetPolicies { name, policies } => {
            let request = UpdateUser {
                policies: Some(policies),
                ..UpdateUser::default()
            };
            show(context, &client.update_user(&name, &request, None).await?.value)
        }
        UserCommand::AttachPolicy { name, policy } => {
            show(context, &client.attach_user_policy(&name, &policy).await?.value)
        }
        UserCommand::DetachPolicy { name, policy } => {
            show(context, &client.detach_user_policy(&name, &policy).await?.value)
        }
        UserCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete `{name}` with all access keys"))?;
            let deleted = client.delete_user(&name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.user_name))
        }
    }
}

/// A member of a change: `Some(None)` takes it away.
#[allow(clippy::option_option, reason = "three states of a member: absent, null, a value")]
pub(super) fn change<T>(value: Option<T>, is_removed: bool) -> Option<Option<T>> {
    if is_removed { Some(None) } else { value.map(Some) }
}

fn list(context: &Context, users: Vec<User>) -> Result<(), CliError> {
    let page = UserPage {
        users,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.users.iter().map(|user| {
            [
                user.user_name.clone(),
                policies(&user.policies),
                user.groups.join(", "),
                state(context, user),
                human::age(context.now(), user.created_at),
            ]
        });
        Table::list(["NAME", "POLICIES", "GROUPS", "STATE", "CREATED"], rows)
    })
}

fn state(context: &Context, user: &User) -> String {
    match user.expires_at {
        _ if user.is_disabled => "disabled".into(),
        Some(end) if end <= context.now() => "expired".into(),
        Some(end) => format!("expires {}", human::age(context.now(), end)),
        None => "active".into(),
    }
}

fn show(context: &Context, user: &User) -> Result<(), CliError> {
    context.writer.answer(user, || {
        Table::fields([
            ("name", user.user_name.clone()),
            ("arn", user.arn.clone()),
            ("description", user.description.clone()),
            ("policies", policies(&user.policies)),
            (
                "permissions boundary",
                user.permissions_boundary.clone().unwrap_or_default(),
            ),
            ("groups", user.groups.join(", ")),
            ("resource tags", tags(&user.resource_tags)),
            ("state", state(context, user)),
            ("created", user.created_at.to_string()),
        ])
    })
}
