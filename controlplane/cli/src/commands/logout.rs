// SPDX-License-Identifier: Apache-2.0
//! `hythe logout`.

use std::process::Stdio;

use clap::Args;
use tokio::process::Command;

use super::login::Tool;
use crate::context::Context;
use crate::docker_config;
use crate::error::CliError;
use crate::registry_address::RegistryAddress;
use crate::token_cache::TokenCache;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe logout docker
  hythe logout --credential-helper";

/// `hythe logout`
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// The tool to log out; `docker` forgets the credential helper too
    #[arg(
        value_enum,
        required_unless_present = "credential_helper",
        conflicts_with = "credential_helper"
    )]
    tool: Option<Tool>,
    /// Undo `hythe login --credential-helper`
    #[arg(long)]
    credential_helper: bool,
    /// `host[:port]` of the registry; the configured server's by default
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,
}

pub(crate) async fn run(args: LogoutArgs, context: &Context) -> Result<(), CliError> {
    let host = if let Some(host) = args.registry {
        host
    } else {
        RegistryAddress::find(&context.client()?).await?.host
    };
    TokenCache::of(&context.environment).erase(&host);
    // Docker would go on asking a helper after `docker logout`.
    if matches!(args.tool, None | Some(Tool::Docker)) {
        docker_config::set_helper(&docker_config::path(&context.environment)?, &host, false)?;
    }
    if let Some(tool) = args.tool {
        log_out(tool, &host).await?;
    }
    let who = args.tool.unwrap_or(Tool::Docker).program();
    context.writer.note(&format!("{who} is logged out of {host}"));
    Ok(())
}

async fn log_out(tool: Tool, host: &str) -> Result<(), CliError> {
    let fail = |problem: String| CliError::Tool {
        tool: tool.program(),
        problem,
    };
    let done = Command::new(tool.program())
        .args(tool.verb("logout"))
        .arg(host)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => fail("is not installed".into()),
            _ => fail(format!("cannot be started: {error}")),
        })?;
    if done.status.success() {
        return Ok(());
    }
    Err(fail(format!(
        "refuses the logout: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    )))
}
