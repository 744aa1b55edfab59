// SPDX-License-Identifier: Apache-2.0
//! `hythe policy …`.

use clap::{Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::wire::{CreatePolicy, ListPolicies, Policy, PolicyPage, PolicyScope, ResourceTag, UpdatePolicy};

use super::policy_explain::{
    self, EXPLAIN_EXAMPLES, ExplainArgs, VALIDATE_EXAMPLES, ValidateArgs, WHO_CAN_EXAMPLES, WhoCanArgs,
};
use super::repository::resource_tag;
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::{DocumentArg, warn};
use crate::error::CliError;
use crate::human;
use crate::table::Table;

const CREATE_EXAMPLES: &str = "Examples:
  hythe policy create push-team-a policy.json --description 'Push to the repositories of team a'
  jq -n '{Version: \"2012-10-17\", Statement: [{Effect: \"Allow\", Action: \"ecr:*\",
          Resource: \"arn:aws:ecr:*:*:repository/team-a/*\"}]}' | hythe policy create team-a -";

/// `hythe policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Create a policy that can be attached to users, groups and roles
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The name
        name: String,
        #[command(flatten)]
        document: DocumentArg,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A resource tag; several times for several
        #[arg(long = "resource-tag", value_name = "KEY=VALUE", value_parser = resource_tag)]
        resource_tags: Vec<ResourceTag>,
    },
    /// List policies: those that every account has, then your own
    #[command(visible_alias = "ls")]
    List {
        /// Which ones
        #[arg(long, value_enum, value_name = "SCOPE", default_value_t = ScopeArg::All)]
        scope: ScopeArg,
    },
    /// Show a policy and its document
    Describe {
        /// The policy
        name: String,
    },
    /// Give a policy another document; it counts at once for everybody who has the policy
    Update {
        /// The policy
        name: String,
        #[command(flatten)]
        document: DocumentArg,
        /// What it is for, in place of what was said
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Say what somebody may do, and why
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// List who may do something in a repository
    #[command(after_help = WHO_CAN_EXAMPLES)]
    WhoCan(WhoCanArgs),
    /// Check a policy in a file; needs no server
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    /// Delete a policy that is attached to nobody
    #[command(visible_alias = "rm")]
    Delete {
        /// The policy
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Which policies to list, as options are spelt.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScopeArg {
    /// All
    All,
    /// Those that every account has
    Managed,
    /// Those of your account
    Local,
}

pub(crate) async fn run(command: PolicyCommand, context: &Context) -> Result<(), CliError> {
    match command {
        PolicyCommand::Create {
            name,
            document,
            description,
            resource_tags,
        } => {
            let request = CreatePolicy {
                policy_name: name,
                description,
                policy_document: document.read()?,
                resource_tags: Some(resource_tags).filter(|tags| !tags.is_empty()),
            };
            let created = context.client()?.create_policy(&request).await?.value;
            warn(context, &created.warnings);
            context.writer.answer_text(&created, &created.arn)
        }
        PolicyCommand::List { scope } => {
            let query = ListPolicies {
                scope: Some(match scope {
                    ScopeArg::All => PolicyScope::All,
                    ScopeArg::Managed => PolicyScope::Managed,
                    ScopeArg::Local => PolicyScope::Local,
                }),
                max_results: Some(1000),
                ..ListPolicies::default()
            };
            let page = PolicyPage {
                policies: context.client()?.all_policies(query).try_collect().await?,
                next_token: None,
            };
            list(context, &page)
        }
        PolicyCommand::Describe { name } => show(context, &context.client()?.policy(&name).await?.value),
        PolicyCommand::Update {
            name,
            document,
            description,
        } => {
            let request = UpdatePolicy {
                policy_document: document.read()?,
                description,
                resource_tags: None,
            };
            let updated = context.client()?.update_policy(&name, &request, None).await?.value;
            warn(context, &updated.warnings);
            show(context, &updated)
        }
        PolicyCommand::Explain(args) => policy_explain::explain(args, context).await,
        PolicyCommand::WhoCan(args) => policy_explain::who_can(args, context).await,
        PolicyCommand::Validate(args) => policy_explain::validate(&args, context),
        PolicyCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete policy `{name}`"))?;
            let deleted = context.client()?.delete_policy(&name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.policy_name))
        }
    }
}

fn list(context: &Context, page: &PolicyPage) -> Result<(), CliError> {
    context.writer.answer(page, || {
        let rows = page.policies.iter().map(|policy| {
            [
                policy.policy_name.clone(),
                kind(policy),
                policy.attachment_count.to_string(),
                policy
                    .created_at
                    .map_or_else(String::new, |created_at| human::age(context.now(), created_at)),
                policy.description.clone().unwrap_or_default(),
            ]
        });
        Table::list(["NAME", "KIND", "ATTACHED", "CREATED", "DESCRIPTION"], rows)
    })
}

fn show(context: &Context, policy: &Policy) -> Result<(), CliError> {
    let tags: Vec<_> = policy
        .resource_tags
        .iter()
        .map(|tag| format!("{}={}", tag.key, tag.value))
        .collect();
    let time = |time: Option<jiff::Timestamp>| time.map_or_else(String::new, |time| time.to_string());
    context.writer.answer(policy, || {
        Table::fields([
            ("name", policy.policy_name.clone()),
            ("arn", policy.arn.clone()),
            ("kind", kind(policy)),
            ("description", policy.description.clone().unwrap_or_default()),
            ("attached to", human::counted(policy.attachment_count, "principal")),
            ("created", time(policy.created_at)),
            ("updated", time(policy.updated_at)),
            ("resource tags", tags.join(", ")),
            ("document", policy.policy_document.clone()),
        ])
    })
}

fn kind(policy: &Policy) -> String {
    if policy.is_managed { "managed" } else { "own" }.to_owned()
}
