// SPDX-License-Identifier: Apache-2.0
//! `hythe identity-provider …`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    CreateIdentityProvider, IdentityProvider, IdentityProviderPage, ListQuery, SigningAlgorithm, UpdateIdentityProvider,
};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::{CliError, file};
use crate::human;
use crate::table::Table;

const CREATE_EXAMPLES: &str = "Examples:
  hythe identity-provider create https://token.actions.githubusercontent.com --client-id hythe
  hythe identity-provider create https://kubernetes.default.svc.cluster.local --client-id hythe --issuer-ca-file ca.crt
  hythe identity-provider create https://gitlab.internal --client-id hythe --jwks-file keys.json   # keys that cannot be fetched";

/// `hythe identity-provider …`
#[derive(Debug, Subcommand)]
pub enum IdentityProviderCommand {
    /// Let roles trust the tokens of an issuer
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// The issuer's URL, exactly as its tokens say it (`iss`)
        url: String,
        /// An audience (`aud`) that tokens must have; several times for several, of which one is enough
        #[arg(long = "client-id", value_name = "AUDIENCE", required = true)]
        client_ids: Vec<String>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List identity providers
    #[command(visible_alias = "ls")]
    List,
    /// Show an identity provider
    Describe {
        /// The provider: its URL, with or without `https://`
        name: String,
    },
    /// Change an identity provider; what is not given stays as it is
    Update {
        /// The provider: its URL, with or without `https://`
        name: String,
        /// The audiences (`aud`) of which tokens must have one, in place of those that are set
        #[arg(long = "client-id", value_name = "AUDIENCE")]
        client_ids: Vec<String>,
        #[command(flatten)]
        settings: SettingsArgs,
        /// Check the issuer's certificate against the system's authorities again
        #[arg(long, conflicts_with = "issuer_ca_file")]
        no_issuer_ca: bool,
        /// Fetch the issuer's keys again
        #[arg(long, conflicts_with = "jwks_file")]
        no_jwks: bool,
    },
    /// Delete an identity provider; its tokens open no session any more
    #[command(visible_alias = "rm")]
    Delete {
        /// The provider: its URL, with or without `https://`
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// What can be said about a provider at any time.
#[derive(Args, Debug)]
pub struct SettingsArgs {
    /// An algorithm that tokens may be signed with; several times for several; RS256 and ES256 at first
    #[arg(long = "algorithm", value_enum, value_name = "NAME")]
    algorithms: Vec<AlgorithmArg>,
    /// A PEM file with the authorities of the issuer's certificate, if they are not the system's
    #[arg(long, value_name = "FILE")]
    issuer_ca_file: Option<PathBuf>,
    /// A file with the issuer's public keys (a JWK set), for an issuer that the server cannot reach
    #[arg(long, value_name = "FILE")]
    jwks_file: Option<PathBuf>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Algorithms, as options are spelt.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum AlgorithmArg {
    /// RSA, PKCS #1 v1.5, SHA-256
    RS256,
    /// RSA, PKCS #1 v1.5, SHA-384
    RS384,
    /// RSA, PKCS #1 v1.5, SHA-512
    RS512,
    /// RSA-PSS, SHA-256
    PS256,
    /// RSA-PSS, SHA-384
    PS384,
    /// RSA-PSS, SHA-512
    PS512,
    /// ECDSA on P-256
    ES256,
    /// ECDSA on P-384
    ES384,
    /// Ed25519
    EdDSA,
}

impl From<AlgorithmArg> for SigningAlgorithm {
    fn from(algorithm: AlgorithmArg) -> Self {
        match algorithm {
            AlgorithmArg::RS256 => Self::RS256,
            AlgorithmArg::RS384 => Self::RS384,
            AlgorithmArg::RS512 => Self::RS512,
            AlgorithmArg::PS256 => Self::PS256,
            AlgorithmArg::PS384 => Self::PS384,
            AlgorithmArg::PS512 => Self::PS512,
            AlgorithmArg::ES256 => Self::ES256,
            AlgorithmArg::ES384 => Self::ES384,
            AlgorithmArg::EdDSA => Self::EdDSA,
        }
    }
}

pub(crate) async fn run(command: IdentityProviderCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        IdentityProviderCommand::Create {
            url,
            client_ids,
            settings,
        } => {
            let request = CreateIdentityProvider {
                url,
                client_id_list: client_ids,
                signing_algorithms: algorithms(&settings.algorithms),
                ca_bundle: read(settings.issuer_ca_file.as_deref())?,
                jwks: read(settings.jwks_file.as_deref())?,
                description: settings.description,
            };
            show(context, &client.create_identity_provider(&request).await?.value)
        }
        IdentityProviderCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let page = IdentityProviderPage {
                identity_providers: client.all_identity_providers(query).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.identity_providers.iter().map(|provider| {
                    [
                        provider.provider_name.clone(),
                        provider.client_id_list.join(", "),
                        keys(provider).to_owned(),
                        human::age(context.now(), provider.created_at),
                    ]
                });
                Table::list(["NAME", "AUDIENCES", "KEYS", "CREATED"], rows)
            })
        }
        IdentityProviderCommand::Describe { name } => {
            show(context, &client.identity_provider(bare(&name)).await?.value)
        }
        IdentityProviderCommand::Update {
            name,
            client_ids,
            settings,
            no_issuer_ca,
            no_jwks,
        } => {
            let cleared = |is_cleared: bool| is_cleared.then(String::new);
            let request = UpdateIdentityProvider {
                client_id_list: (!client_ids.is_empty()).then_some(client_ids),
                signing_algorithms: algorithms(&settings.algorithms),
                ca_bundle: read(settings.issuer_ca_file.as_deref())?.or(cleared(no_issuer_ca)),
                jwks: read(settings.jwks_file.as_deref())?.or(cleared(no_jwks)),
                description: settings.description,
            };
            let name = bare(&name);
            show(
                context,
                &client.update_identity_provider(name, &request, None).await?.value,
            )
        }
        IdentityProviderCommand::Delete { name, confirmation } => {
            let name = bare(&name);
            confirmation.check(&format!("delete identity provider `{name}`"))?;
            let deleted = client.delete_identity_provider(name).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.provider_name))
        }
    }
}

/// The name of a provider, which is its URL without the scheme.
fn bare(name: &str) -> &str {
    name.strip_prefix("https://")
        .or_else(|| name.strip_prefix("http://"))
        .unwrap_or(name)
}

fn algorithms(given: &[AlgorithmArg]) -> Option<Vec<SigningAlgorithm>> {
    (!given.is_empty()).then(|| given.iter().copied().map(Into::into).collect())
}

fn read(path: Option<&Path>) -> Result<Option<String>, CliError> {
    path.map(|path| std::fs::read_to_string(path).map_err(file("read", path)))
        .transpose()
}

fn keys(provider: &IdentityProvider) -> &'static str {
    if provider.jwks.is_some() { "given" } else { "fetched" }
}

fn show(context: &Context, provider: &IdentityProvider) -> Result<(), CliError> {
    context.writer.answer(provider, || {
        let algorithms: Vec<&str> = provider.signing_algorithms.iter().map(|name| name.as_str()).collect();
        let authorities = if provider.ca_bundle.is_some() {
            "given"
        } else {
            "the system's"
        };
        Table::fields([
            ("name", provider.provider_name.clone()),
            ("arn", provider.arn.clone()),
            ("url", provider.url.clone()),
            ("audiences", provider.client_id_list.join(", ")),
            ("algorithms", algorithms.join(", ")),
            ("keys", keys(provider).to_owned()),
            ("authorities", authorities.to_owned()),
            ("description", provider.description.clone().unwrap_or_default()),
            ("created", provider.created_at.to_string()),
            ("updated", provider.updated_at.to_string()),
        ])
    })
}
