// SPDX-License-Identifier: Apache-2.0
//! `hythe configure`.

use clap::Args;
use hythe_client::wire::Secret;
use hythe_client::{ConfigFile, Endpoint};

use crate::context::Context;
use crate::error::CliError;
use crate::writer::{ask, ask_secret, can_ask};

pub(crate) const EXAMPLES: &str = "Examples:
  hythe configure                                     # asks
  hythe configure --profile prod --endpoint https://hythe.example.com:8080 --access-key-id HYTHE… < secret
  hythe configure --profile ci --endpoint https://hythe.example.com:8080 --token < token

The secret is read from standard input. The profile `default`, or the one that HYTHE_PROFILE names, is used by every
command that is not given another with `--profile`.";

/// The name of the profile if none is given.
const DEFAULT_PROFILE: &str = "default";

/// `hythe configure`
#[derive(Args, Debug)]
pub struct ConfigureArgs {
    /// The id of the access key; asked for on a terminal
    #[arg(long, value_name = "ID", conflicts_with = "token")]
    access_key_id: Option<String>,
    /// Keep an authorization token in place of an access key
    #[arg(long)]
    token: bool,
    /// `host[:port]` of the registry, so that the Docker credential helper knows it
    #[arg(long, value_name = "HOST")]
    registry: Option<String>,
    /// Use this profile whenever none is named
    #[arg(long)]
    make_default: bool,
}

pub(crate) async fn run(args: ConfigureArgs, context: &Context) -> Result<(), CliError> {
    let path = context.environment.config_file().ok_or(CliError::NoHome)?;
    let mut config = ConfigFile::load(&path)?;
    let name = context
        .options
        .profile
        .clone()
        .unwrap_or_else(|| DEFAULT_PROFILE.into());
    let mut profile = config.profiles.remove(&name).unwrap_or_default();

    let endpoint = given_or_asked(
        context.options.endpoint.clone(),
        "Endpoint",
        profile.endpoint.as_deref(),
        "--endpoint",
    )?;
    profile.endpoint = Some(
        endpoint
            .parse::<Endpoint>()
            .map_err(hythe_client::SettingsError::from)?
            .to_string(),
    );
    if args.token {
        profile.token = Some(non_empty(ask_secret("Token:").await?, "token")?);
        (profile.access_key_id, profile.secret_access_key) = (None, None);
    } else {
        let id = given_or_asked(
            args.access_key_id,
            "Access key id",
            profile.access_key_id.as_deref(),
            "--access-key-id",
        )?;
        profile.access_key_id = Some(id);
        profile.secret_access_key = Some(non_empty(ask_secret("Secret access key:").await?, "secret access key")?);
        profile.token = None;
    }
    profile.credentials_file = None;
    if let Some(bundle) = &context.options.ca_bundle {
        profile.ca_bundle = Some(context.environment.folder().join(bundle));
    }
    profile.registry = args.registry.or(profile.registry);
    config.profiles.insert(name.clone(), profile);
    if args.make_default {
        config.default_profile = Some(name.clone());
    }
    config.save(&path)?;
    context.writer.note(&format!(
        "profile `{name}` is in {}; `hythe whoami --profile {name}` tries it",
        path.display()
    ));
    Ok(())
}

fn given_or_asked(
    given: Option<String>,
    what: &str,
    before: Option<&str>,
    option: &'static str,
) -> Result<String, CliError> {
    if let Some(given) = given {
        return Ok(given);
    }
    if !can_ask() {
        let message = format!("{option} is needed when there is no terminal to ask on");
        return before.map(str::to_owned).ok_or(CliError::Usage {
            message,
            hint: "see `hythe configure --help`",
        });
    }
    let shown = before.map(|before| format!(" [{before}]")).unwrap_or_default();
    let answer = ask(&format!("{what}{shown}:"))?;
    match (answer.is_empty(), before) {
        (false, _) => Ok(answer),
        (true, Some(before)) => Ok(before.to_owned()),
        (true, None) => Err(CliError::Usage {
            message: format!("no {}", what.to_lowercase()),
            hint: "see `hythe configure --help`",
        }),
    }
}

fn non_empty(secret: Secret, what: &str) -> Result<Secret, CliError> {
    if secret.expose().is_empty() {
        let message = format!("no {what} on standard input");
        return Err(CliError::Usage {
            message,
            hint: "see `hythe configure --help`",
        });
    }
    Ok(secret)
}
