// SPDX-License-Identifier: Apache-2.0
//! Logging in with a token of an identity provider, or at one.

use std::path::PathBuf;
use std::process::Stdio;

use clap::Args;
use hythe_client::oidc::{BrowserLogin, DEFAULT_SCOPE, DeviceLogin, OidcLogin, OidcProvider, OidcTokens};
use hythe_client::{Arguments, ConfigFile, Endpoint, Profile, Settings, Transport};
use hythe_model::IssuerUrl;
use tokio::process::Command;

use crate::context::Context;
use crate::error::{CliError, file};

/// The name of the profile if none is given.
const DEFAULT_PROFILE: &str = "default";

/// As whom, if an identity provider says it.
#[derive(Args, Debug)]
#[command(next_help_heading = "With an identity provider")]
pub struct IdentityArgs {
    /// The role to take on; else `HYTHE_ROLE_ARN`
    #[arg(long, value_name = "ARN")]
    role_arn: Option<String>,
    /// What the session of the role is called; else `HYTHE_ROLE_SESSION_NAME`, or `hythe`
    #[arg(long, value_name = "NAME")]
    role_session_name: Option<String>,
    /// A file with a token of an identity provider, which is read for each session; else `HYTHE_WEB_IDENTITY_TOKEN_FILE`
    #[arg(long, value_name = "FILE", conflicts_with = "oidc_issuer")]
    web_identity_token_file: Option<PathBuf>,
    /// Log in at this identity provider with a browser, and remember it in the profile
    #[arg(long, value_name = "URL", requires = "oidc_client_id")]
    oidc_issuer: Option<IssuerUrl>,
    /// The id that the identity provider knows this program by
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// What to ask the identity provider for
    #[arg(long, value_name = "SCOPE", default_value = DEFAULT_SCOPE)]
    oidc_scope: String,
    /// Log in with a browser on another machine: type a code there
    #[arg(long, requires = "oidc_issuer")]
    device: bool,
    /// Print the address and open no browser
    #[arg(long, requires = "oidc_issuer", conflicts_with = "device")]
    no_browser: bool,
}

impl IdentityArgs {
    /// Whether somebody has to log in at a provider first.
    pub(crate) fn is_at_provider(&self) -> bool {
        self.oidc_issuer.is_some()
    }

    /// The settings that these arguments lead to, after the login that they ask for.
    pub(crate) async fn settings(self, context: &Context) -> Result<Settings, CliError> {
        let environment = &context.environment;
        let role_arn = self.role_arn.clone().or_else(|| environment.get("HYTHE_ROLE_ARN"));
        let session_name = self
            .role_session_name
            .clone()
            .or_else(|| environment.get("HYTHE_ROLE_SESSION_NAME"));
        if let (Some(issuer), Some(client_id)) = (self.oidc_issuer.clone(), self.oidc_client_id.clone()) {
            let role_arn = role_arn.ok_or_else(|| CliError::Usage {
                message: "--role-arn is needed: the role to take on".into(),
                hint: "see `hythe login --help`",
            })?;
            let name = self.log_in(issuer, client_id, role_arn, session_name, context).await?;
            return context.settings_with(Arguments {
                profile: Some(name),
                ..Arguments::default()
            });
        }
        let token_file = self.web_identity_token_file.as_ref();
        if token_file.is_none() && self.role_arn.is_none() {
            return context.settings();
        }
        let token_file = token_file
            .cloned()
            .or_else(|| environment.get("HYTHE_WEB_IDENTITY_TOKEN_FILE").map(PathBuf::from));
        context.settings_with(Arguments {
            role_arn,
            role_session_name: session_name,
            web_identity_token_file: token_file.map(|path| environment.folder().join(path)),
            ..Arguments::default()
        })
    }

    /// Logs in at a provider, and writes the profile that uses it; returns its name.
    async fn log_in(
        &self,
        issuer: IssuerUrl,
        client_id: String,
        role_arn: String,
        role_session_name: Option<String>,
        context: &Context,
    ) -> Result<String, CliError> {
        let environment = &context.environment;
        let path = environment.config_file().ok_or(CliError::NoHome)?;
        let folder = environment.cache_folder().ok_or(CliError::NoHome)?;
        let mut config = ConfigFile::load(&path)?;
        let name = context
            .options
            .profile
            .clone()
            .or_else(|| environment.get("HYTHE_PROFILE"))
            .or_else(|| config.default_profile.clone())
            .unwrap_or_else(|| DEFAULT_PROFILE.into());
        let before = config.profiles.get(&name).cloned().unwrap_or_default();
        if before.access_key_id.is_some() || before.token.is_some() || before.credentials_file.is_some() {
            return Err(CliError::Usage {
                message: format!("profile `{name}` has other credentials, which would be lost"),
                hint: "name another profile with `--profile`",
            });
        }
        let endpoint = context
            .options
            .endpoint
            .clone()
            .or_else(|| environment.get("HYTHE_ENDPOINT"))
            .or_else(|| before.endpoint.clone())
            .ok_or(hythe_client::SettingsError::NoEndpoint)?;
        let endpoint: Endpoint = endpoint.parse().map_err(hythe_client::SettingsError::from)?;
        let ca_bundle = context
            .options
            .ca_bundle
            .as_ref()
            .map(|bundle| environment.folder().join(bundle))
            .or_else(|| before.ca_bundle.clone());

        let transport = Transport {
            ca_bundle: ca_bundle.clone(),
            insecure: false,
        };
        let provider = OidcProvider::discover(issuer.clone(), client_id.clone(), &transport).await?;
        let login = OidcLogin::new(issuer.clone(), client_id.clone(), &folder);
        let tokens = self.wait_for_user(&provider, context).await?;
        login.store(&tokens).map_err(file("write", &login.cache))?;
        config.profiles.insert(
            name.clone(),
            Profile {
                endpoint: Some(endpoint.to_string()),
                ca_bundle,
                role_arn: Some(role_arn),
                role_session_name,
                web_identity_token_file: None,
                oidc_issuer: Some(issuer),
                oidc_client_id: Some(client_id),
                ..before
            },
        );
        config.save(&path)?;
        Ok(name)
    }

    async fn wait_for_user(&self, provider: &OidcProvider, context: &Context) -> Result<OidcTokens, CliError> {
        let login = async {
            if self.device {
                let login = DeviceLogin::begin(provider, &self.oidc_scope).await?;
                context.writer.prompt(&format!(
                    "Open {} in any browser and type the code {}",
                    login.verification_uri(),
                    login.user_code()
                ));
                if let Some(complete) = login.verification_uri_complete() {
                    context.writer.prompt(&format!("or open {complete}"));
                }
                return login.finish().await;
            }
            let login = BrowserLogin::begin(provider, &self.oidc_scope).await?;
            context
                .writer
                .prompt(&format!("Log in with your browser at\n{}", login.url()));
            if !self.no_browser {
                open(login.url());
            }
            login.finish().await
        };
        tokio::select! {
            tokens = login => Ok(tokens?),
            _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
        }
    }
}

/// Opens the user's browser, if there is a way to; the address is on the terminal anyway.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let _ = Command::new(program)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
