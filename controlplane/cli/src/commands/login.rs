// SPDX-License-Identifier: Apache-2.0
//! `hythe login`.

use std::process::Stdio;

use clap::{Args, ValueEnum};
use hythe_client::wire::{AuthorizationToken, CreateAuthorizationToken, TOKEN_USER_NAME};
use hythe_client::{Client, ConfigFile, Credentials, Endpoint, Profile, Settings, SettingsSource, TokenSource};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::commands::login_identity::IdentityArgs;
use crate::context::Context;
use crate::duration::token_seconds;
use crate::error::{CliError, file};
use crate::registry_address::RegistryAddress;
use crate::{docker_config, helper_link, human};

pub(crate) const EXAMPLES: &str = "Examples:
  hythe login docker                  # for 12 hours
  hythe login --credential-helper     # for good: docker asks hythe for a password whenever it needs one
  hythe login --print-password | docker login --username AWS --password-stdin 127.0.0.1:5000
  hythe login docker --web-identity-token-file /var/run/secrets/hythe/token --role-arn arn:aws:iam::000000000000:role/ci
  hythe login --oidc-issuer https://login.example.com --oidc-client-id hythe --role-arn arn:aws:iam::000000000000:role/dev";

/// `hythe login`
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The tool to log in; without one, you are shown the ways to log in
    #[arg(value_enum, conflicts_with = "print_password")]
    tool: Option<Tool>,
    /// Print a password and nothing else; the user name is `AWS`
    #[arg(long, conflicts_with = "credential_helper")]
    print_password: bool,
    /// Make `docker` fetch passwords from this program by itself, for this registry only
    #[arg(long)]
    credential_helper: bool,
    /// How long the password is good for, from 1 minute to 12 hours
    #[arg(long, value_parser = token_seconds, value_name = "DURATION", default_value = "12h", conflicts_with = "credential_helper")]
    duration: u32,
    #[command(flatten)]
    identity: IdentityArgs,
}

/// Container tools that can be logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// The Docker engine's client
    Docker,
    /// Podman
    Podman,
    /// Skopeo
    Skopeo,
    /// Buildah
    Buildah,
    /// The client of containerd
    Nerdctl,
    /// ORAS
    Oras,
    /// Helm
    Helm,
}

impl Tool {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Skopeo => "skopeo",
            Self::Buildah => "buildah",
            Self::Nerdctl => "nerdctl",
            Self::Oras => "oras",
            Self::Helm => "helm",
        }
    }

    /// The arguments before the host: `login` or `logout`.
    pub(crate) fn verb(self, verb: &'static str) -> Vec<&'static str> {
        if self == Self::Helm {
            vec!["registry", verb]
        } else {
            vec![verb]
        }
    }

    /// What makes the tool speak plain HTTP, which this server does.
    fn plain_http(self) -> Option<&'static str> {
        match self {
            Self::Docker | Self::Nerdctl => None, // they decide by the host: loopback, or the engine's configuration
            Self::Podman | Self::Skopeo | Self::Buildah => Some("--tls-verify=false"),
            Self::Oras | Self::Helm => Some("--plain-http"),
        }
    }

    fn login_arguments(self, endpoint: &Endpoint) -> Vec<String> {
        let mut arguments: Vec<String> = self.verb("login").into_iter().map(Into::into).collect();
        arguments.extend(["--username", TOKEN_USER_NAME, "--password-stdin"].map(Into::into));
        if !endpoint.is_tls() {
            arguments.extend(self.plain_http().map(Into::into));
        }
        arguments.push(endpoint.authority());
        arguments
    }
}

/// What a login answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIn {
    registry: String,
    tool: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<jiff::Timestamp>,
}

pub(crate) async fn run(args: LoginArgs, context: &Context) -> Result<(), CliError> {
    let is_at_provider = args.identity.is_at_provider();
    let settings = args.identity.settings(context).await?;
    let client = Client::new(&settings)?;
    if is_at_provider && args.tool.is_none() && !args.print_password && !args.credential_helper {
        let identity = client.caller_identity().await?;
        let text = format!("logged in to {} as {}", settings.endpoint, identity.arn);
        return context.writer.answer_text(&identity, &text);
    }
    if args.credential_helper {
        if !matches!(args.tool, None | Some(Tool::Docker)) {
            return Err(CliError::Usage {
                message: "only docker's configuration is set up for the credential helper".into(),
                hint: "leave out the tool, or `--credential-helper`",
            });
        }
        return install_helper(&settings, &client, context).await;
    }
    if !args.print_password && args.tool.is_none() {
        return explain(&client, context).await;
    }
    let request = CreateAuthorizationToken {
        duration_seconds: Some(args.duration),
        ..CreateAuthorizationToken::default()
    };
    let token = client.create_authorization_token(&request).await?;
    match args.tool {
        Some(tool) => log_in(tool, &token, &settings, context).await,
        None => context.writer.answer_text(&token, token.password.expose()),
    }
}

async fn explain(client: &Client, context: &Context) -> Result<(), CliError> {
    let registry = RegistryAddress::find(client).await?;
    let host = &registry.host;
    let text = format!(
        "The registry is {host}. Log in to it with one of these:

  hythe login docker                  or podman, skopeo, buildah, nerdctl, oras, helm; for 12 hours
  hythe login --credential-helper     docker asks hythe for a password whenever it needs one
  hythe login --print-password | TOOL login --username {TOKEN_USER_NAME} --password-stdin {host}"
    );
    context.writer.answer_text(&registry, &text)
}

async fn log_in(
    tool: Tool,
    token: &AuthorizationToken,
    settings: &Settings,
    context: &Context,
) -> Result<(), CliError> {
    let endpoint: Endpoint = token.proxy_endpoint.parse()?;
    let fail = |problem: String| CliError::Tool {
        tool: tool.program(),
        problem,
    };
    let mut child = Command::new(tool.program())
        .args(tool.login_arguments(&endpoint))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => fail("is not installed".into()),
            _ => fail(format!("cannot be started: {error}")),
        })?;
    if let Some(mut input) = child.stdin.take() {
        // A tool that does not want it will say why; its exit tells.
        let _ = input.write_all(token.password.expose().as_bytes()).await;
    }
    let done = child
        .wait_with_output()
        .await
        .map_err(|error| fail(format!("cannot be waited for: {error}")))?;
    if !done.status.success() {
        let said = [done.stderr, done.stdout]
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
            .join("\n");
        let mut problem = format!("refuses the login: {}", said.trim());
        if let Some(authority) = settings.ca_bundle.as_ref().filter(|_| said.contains("certificate")) {
            let trust = format!(
                "\nit does not trust the server's certificate; copy `{}` to `/etc/docker/certs.d/{}/ca.crt`, where container \
                 tools look for its authority",
                authority.display(),
                endpoint.authority()
            );
            problem.push_str(&trust);
        }
        return Err(fail(problem));
    }
    let registry = endpoint.authority();
    let text = format!(
        "{} is logged in to {registry}; this ends {}",
        tool.program(),
        human::age(context.now(), token.expires_at)
    );
    context.writer.answer_text(
        &LoggedIn {
            registry,
            tool: tool.program(),
            expires_at: Some(token.expires_at),
        },
        &text,
    )
}

async fn install_helper(settings: &Settings, client: &Client, context: &Context) -> Result<(), CliError> {
    let host = RegistryAddress::find(client).await?.host;
    let config = docker_config::path(&context.environment)?;
    let is_kept = remember(settings, &host, context)?;
    let executable = std::env::current_exe().map_err(CliError::Output)?;
    let link = helper_link::install(&context.environment, &executable)?;
    docker_config::set_helper(&config, &host, true)?;
    context.writer.note(&format!(
        "{} asks {} for passwords for {host}",
        config.display(),
        link.path.display()
    ));
    if !link.is_in_path {
        let folder = link.path.parent().unwrap_or(&link.path).display();
        context
            .writer
            .note(&format!("hint: docker will not find it; add {folder} to PATH"));
    }
    if !is_kept {
        context.writer.note(
            "hint: your credentials are in environment variables or arguments, which docker may not have; \
             `hythe configure` keeps them in a profile",
        );
    }
    let text = format!("docker is logged in to {host} for good");
    context.writer.answer_text(
        &LoggedIn {
            registry: host,
            tool: "docker",
            expires_at: None,
        },
        &text,
    )
}

/// Notes in a profile which registry it is for, so that the helper finds it from any folder. Returns whether there is one.
fn remember(settings: &Settings, host: &str, context: &Context) -> Result<bool, CliError> {
    let Some(path) = context.environment.config_file() else {
        return Ok(false);
    };
    let mut config = ConfigFile::load(&path)?;
    let (name, profile) = match &settings.source {
        SettingsSource::Profile(name) => match config.profile(name, &path)? {
            Some(resolved)
                if resolved
                    .endpoint
                    .as_deref()
                    .is_some_and(|it| it.trim_end_matches('/') == settings.endpoint.as_str()) =>
            {
                let mut profile = config.profiles.get(name).cloned().unwrap_or_default();
                profile.registry = Some(host.into());
                (name.clone(), profile)
            }
            _ => return Ok(false),
        },
        SettingsSource::LocalServer(file_path) => {
            let absolute = std::fs::canonicalize(file_path).map_err(file("find", file_path))?;
            let profile = Profile {
                registry: Some(host.into()),
                credentials_file: Some(absolute),
                ..Profile::default()
            };
            (host.to_owned(), profile)
        }
        SettingsSource::Arguments | SettingsSource::Environment => match &settings.credentials {
            Credentials::WebIdentity(identity) => {
                let TokenSource::File(token_file) = &identity.source else {
                    return Ok(false);
                };
                let profile = Profile {
                    endpoint: Some(settings.endpoint.to_string()),
                    registry: Some(host.into()),
                    ca_bundle: settings.ca_bundle.clone(),
                    role_arn: Some(identity.role_arn.clone()),
                    role_session_name: Some(identity.role_session_name.clone()),
                    web_identity_token_file: Some(token_file.clone()),
                    ..Profile::default()
                };
                (host.to_owned(), profile)
            }
            Credentials::AccessKey { .. } | Credentials::Token(_) => return Ok(false),
        },
    };
    if config.profiles.get(&name) != Some(&profile) {
        config.profiles.insert(name, profile);
        config.save(&path)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_given_the_password_on_its_standard_input() {
        let plain: Endpoint = "http://127.0.0.1:5000".parse().unwrap();
        let tls: Endpoint = "https://registry.example.com".parse().unwrap();
        let cases = [
            (
                Tool::Docker,
                &plain,
                "login --username AWS --password-stdin 127.0.0.1:5000",
            ),
            (
                Tool::Podman,
                &plain,
                "login --username AWS --password-stdin --tls-verify=false 127.0.0.1:5000",
            ),
            (
                Tool::Podman,
                &tls,
                "login --username AWS --password-stdin registry.example.com",
            ),
            (
                Tool::Helm,
                &plain,
                "registry login --username AWS --password-stdin --plain-http 127.0.0.1:5000",
            ),
        ];
        for (tool, endpoint, want) in cases {
            assert_eq!(tool.login_arguments(endpoint).join(" "), want);
        }
    }
}
