// SPDX-License-Identifier: Apache-2.0
//! `hythe role …`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::wire::{CreateRole, ListQuery, ResourceTag, Role, RolePage, UpdateRole};

use super::repository::resource_tag;
use super::role_session;
use super::user::change;
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::warn;
use crate::error::{CliError, file};
use crate::human;
use crate::policy_name::{POLICY_HELP, policies, policy_name, tags};
use crate::table::Table;

/// The longest trust policy to read, in bytes. The server takes less.
const MAX_DOCUMENT_BYTES: u64 = 512 * 1024;

pub(crate) const EXAMPLES: &str = r#"A role is taken on for a while by whom its trust policy names. One for the users of another account:
  {
    "Version": "2012-10-17",
    "Statement": [{
      "Effect": "Allow",
      "Action": "sts:AssumeRole",
      "Principal": { "AWS": "arn:aws:iam::222222222222:root" }
    }]
  }

Examples:
  hythe role create ci --trust-policy trust.json --policy power-user
  hythe role update ci --max-session-duration 7200
  hythe role delete ci"#;

/// `hythe role …`
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Create a role
    #[command(after_help = POLICY_HELP)]
    Create(CreateArgs),
    /// List roles
    #[command(visible_alias = "ls")]
    List,
    /// Take on a role: a token for somebody in it
    #[command(after_help = role_session::EXAMPLES)]
    Assume(role_session::AssumeArgs),
    /// Show a role and who may take it on
    Describe {
        /// The role
        name: String,
    },
    /// Change settings of a role; those that are not given stay
    #[command(after_help = POLICY_HELP)]
    Update(UpdateArgs),
    /// Replace all policies of a role
    #[command(after_help = POLICY_HELP)]
    SetPolicies {
        /// The role
        name: String,
        /// The policies; none at all takes every right
        #[arg(value_name = "POLICY", value_parser = policy_name)]
        policies: Vec<String>,
    },
    /// Give a role one policy more
    #[command(after_help = POLICY_HELP)]
    AttachPolicy {
        /// The role
        name: String,
        /// The policy
        #[arg(value_parser = policy_name)]
        policy: String,
    },
    /// Take one policy from a role
    #[command(after_help = POLICY_HELP)]
    DetachPolicy {
        /// The role
        name: String,
        /// The policy
        #[arg(value_parser = policy_name)]
        policy: String,
    },
    /// Delete a role; its sessions stop working
    #[command(visible_alias = "rm")]
    Delete {
        /// The role
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// `hythe role create`
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The name: 1 to 64 letters, digits and `_+=,.@-`
    name: String,
    /// The file that says who may take it on, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    trust_policy: PathBuf,
    /// A policy that says what it may do; several times for several
    #[arg(long = "policy", value_name = "POLICY", value_parser = policy_name)]
    policies: Vec<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// How long a session may be, in seconds: 3600 to 43200
    #[arg(long, value_name = "SECONDS")]
    max_session_duration: Option<u32>,
    /// The policy that limits what it may do at most
    #[arg(long, value_name = "POLICY", value_parser = policy_name)]
    permissions_boundary: Option<String>,
    /// A resource tag, which conditions see as `aws:PrincipalTag/KEY`; several times for several
    #[arg(long = "resource-tag", value_name = "KEY=VALUE", value_parser = resource_tag)]
    resource_tags: Vec<ResourceTag>,
}

/// `hythe role update`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("settings").required(true).multiple(true)))]
pub struct UpdateArgs {
    /// The role
    name: String,
    /// The file that says who may take it on from now on, or `-` for standard input
    #[arg(long, value_name = "FILE", group = "settings")]
    trust_policy: Option<PathBuf>,
    /// What it is for
    #[arg(long, group = "settings")]
    description: Option<String>,
    /// How long a session may be, in seconds: 3600 to 43200
    #[arg(long, value_name = "SECONDS", group = "settings")]
    max_session_duration: Option<u32>,
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
}

pub(crate) async fn run(command: RoleCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        RoleCommand::Create(args) => {
            let request = CreateRole {
                role_name: args.name,
                description: args.description.unwrap_or_default(),
                assume_role_policy_document: document(&args.trust_policy)?,
                max_session_duration: args.max_session_duration,
                permissions_boundary: args.permissions_boundary,
                policies: args.policies,
                resource_tags: args.resource_tags,
            };
            let created = client.create_role(&request).await?.value;
            warn(context, &created.warnings);
            show(context, &created)
        }
        RoleCommand::Assume(args) => role_session::run(args, context).await,
        RoleCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            list(context, client.all_roles(query).try_collect().await?)
        }
        RoleCommand::Describe { name } => show(context, &client.role(&name).await?.value),
        RoleCommand::Update(args) => {
            let no_tags = args.no_resource_tags.then(Vec::new);
            let tags = (!args.resource_tags.is_empty()).then_some(args.resource_tags);
            let request = UpdateRole {
                description: args.description,
                assume_role_policy_document: args.trust_policy.as_deref().map(document).transpose()?,
                max_session_duration: args.max_session_duration,
                permissions_boundary: change(args.permissions_boundary, args.no_permissions_boundary),
                policies: None,
                resource_tags: tags.or(no_tags),
            };
            let updated = client.update_role(&args.name, &request, None).await?.value;
            warn(context, &updated.warnings);
            show(context, &updated)
        }
        RoleCommand::SetPolicies { name, policies } => {
            let request = UpdateRole {
                policies: Some(policies),
                ..UpdateRole::default()
            };
            show(context, &client.update_role(&name, &request, None).await?.value)
        }
        RoleCommand::AttachPolicy { name, policy } => {
            show(context, &client.attach_role_policy(&name, &policy).await?.value)
        }
        RoleCommand::DetachPolicy { name, policy } => {
            show(context, &client.detach_role_policy(&name, &policy).await?.value)
        }
        RoleCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete role `{name}`"))?;
            let deleted = client.delete_role(&name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.role_name))
        }
    }
}

/// The text of the file, or of standard input for `-`. One that is too long is cut, which the server refuses.
pub(super) fn document(path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_DOCUMENT_BYTES)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|opened| opened.take(MAX_DOCUMENT_BYTES).read_to_string(&mut text))
    };
    read.map_err(file("read", path))?;
    Ok(text)
}

fn list(context: &Context, roles: Vec<Role>) -> Result<(), CliError> {
    let page = RolePage {
        roles,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.roles.iter().map(|role| {
            [
                role.role_name.clone(),
                policies(&role.policies),
                role.description.clone(),
                human::age(context.now(), role.created_at),
            ]
        });
        Table::list(["NAME", "POLICIES", "DESCRIPTION", "CREATED"], rows)
    })
}

fn show(context: &Context, role: &Role) -> Result<(), CliError> {
    context.writer.answer(role, || {
        Table::fields([
            ("name", role.role_name.clone()),
            ("arn", role.arn.clone()),
            ("description", role.description.clone()),
            ("policies", policies(&role.policies)),
            (
                "permissions boundary",
                role.permissions_boundary.clone().unwrap_or_default(),
            ),
            ("longest session", format!("{} seconds", role.max_session_duration)),
            ("resource tags", tags(&role.resource_tags)),
            ("created", role.created_at.to_string()),
            ("trust policy", role.assume_role_policy_document.trim().to_owned()),
        ])
    })
}
