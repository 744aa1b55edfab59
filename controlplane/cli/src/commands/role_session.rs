// SPDX-License-Identifier: Apache-2.0
//! `hythe role assume`.

use std::path::PathBuf;

use clap::Args;
use hythe_client::wire::{CreateRoleSession, InRegistry, RoleSession};

use super::role::document;
use crate::context::Context;
use crate::duration::token_seconds;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe role assume ci --session-name run-7
  hythe role assume arn:aws:iam::222222222222:role/release --session-name ada --duration 15m
  HYTHE_TOKEN=$(hythe role assume ci --session-name run-7 -o json | jq -r .password) hythe whoami";

/// `hythe role assume`
#[derive(Args, Debug)]
pub struct AssumeArgs {
    /// The role: its name, or the ARN of a role of another account
    role: String,
    /// What the session is called in the audit log and in policies
    #[arg(long, value_name = "NAME")]
    session_name: String,
    /// How long it lasts, from 15 minutes to what the role allows
    #[arg(long, value_parser = token_seconds, value_name = "DURATION")]
    duration: Option<u32>,
    /// A file with a policy that limits the session further, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    session_policy: Option<PathBuf>,
}

pub(crate) async fn run(args: AssumeArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let foreign = args.role.strip_prefix("arn:aws:iam::");
    let (registry_id, role) = match foreign.and_then(|rest| rest.split_once(":role/")) {
        Some((account, name)) => (account.parse().ok(), name),
        None => (None, args.role.as_str()),
    };
    let request = CreateRoleSession {
        role_session_name: args.session_name,
        duration_seconds: args.duration,
        policy: args.session_policy.as_deref().map(document).transpose()?,
    };
    let session = client.assume_role(role, &InRegistry { registry_id }, &request).await?;
    show(context, &session)
}

/// Shows a session that was opened.
pub(crate) fn show(context: &Context, session: &RoleSession) -> Result<(), CliError> {
    context.writer.answer(session, || {
        let token = &session.token;
        let expiry = format!("{} ({})", token.expires_at, human::age(context.now(), token.expires_at));
        Table::fields([
            ("arn", session.assumed_role_user.arn.clone()),
            ("token id", token.token_id.clone()),
            ("registry", token.proxy_endpoint.clone()),
            ("user name", token.user_name.clone()),
            ("expires", expiry),
            ("password", token.password.expose().to_owned()),
        ])
    })
}
