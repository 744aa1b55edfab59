// SPDX-License-Identifier: Apache-2.0
//! `hythe token …`.

use clap::{Args, Subcommand};
use hythe_client::wire::{CreateAuthorizationToken, InRegistry, TokenScopeEntry};
use hythe_model::AccountId;

use crate::context::Context;
use crate::duration::token_seconds;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

const CREATE_EXAMPLES: &str = "Examples:
  hythe token create --duration 15m --repository 'team-a/*' --action ecr:BatchGetImage --action ecr:GetDownloadUrlForLayer
  hythe token create --user ci --duration 15m --renewable
  HYTHE_TOKEN=$(hythe token create -o json | jq -r .password) hythe whoami";

/// `hythe token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an authorization token: a short-lived password for the registry and the API
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// Let a renewable token live longer
    Renew {
        /// The id of the token
        token_id: String,
        /// Whose token it is, if somebody else's: a user or a service account
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// For how long from now; as long as at its creation by default
        #[arg(long, value_parser = token_seconds, value_name = "DURATION")]
        duration: Option<u32>,
    },
    /// End the life of a token
    Revoke {
        /// The id of the token
        token_id: String,
        /// Whose token it is, if somebody else's: a user or a service account
        #[arg(long, value_name = "USER")]
        user: Option<String>,
    },
}

/// `hythe token create`
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Its life, from 1 minute to 12 hours
    #[arg(long, value_parser = token_seconds, value_name = "DURATION", default_value = "12h")]
    duration: u32,
    /// Make it for this user or service account, with its rights; it ends with the credentials that you use
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only for these repositories; a trailing `*` stands for any end
    #[arg(long = "repository", value_name = "PATTERN", requires = "actions")]
    repositories: Vec<String>,
    /// Only for these actions, such as `ecr:BatchGetImage`; `ecr:*` for all
    #[arg(long = "action", value_name = "ACTION", requires = "repositories")]
    actions: Vec<String>,
    /// Only for repositories of this account, given by its 12 digits; of your own by default
    #[arg(long, value_name = "ACCOUNT", requires = "repositories")]
    registry_id: Option<AccountId>,
    /// Whether `hythe token renew` may extend its life, up to 12 hours in all
    #[arg(long)]
    renewable: bool,
}

pub(crate) async fn run(command: TokenCommand, context: &Context) -> Result<(), CliError> {
    let (client, own) = (context.client()?, InRegistry::default());
    match command {
        TokenCommand::Create(args) => {
            let entry = TokenScopeEntry {
                repositories: args.repositories,
                actions: args.actions,
                registry_id: args.registry_id,
            };
            let request = CreateAuthorizationToken {
                scope: (!entry.actions.is_empty()).then(|| vec![entry]),
                duration_seconds: Some(args.duration),
                renewable: args.renewable.then_some(true),
            };
            let token = match &args.user {
                Some(user) => client.create_user_authorization_token(user, &own, &request).await?,
                None => client.create_authorization_token(&request).await?,
            };
            context.writer.answer(&token, || {
                Table::fields([
                    ("token id", token.token_id.clone()),
                    ("registry", token.proxy_endpoint.clone()),
                    ("user name", token.user_name.clone()),
                    (
                        "expires",
                        format!("{} ({})", token.expires_at, human::age(context.now(), token.expires_at)),
                    ),
                    ("password", token.password.expose().to_owned()),
                ])
            })
        }
        TokenCommand::Renew {
            token_id,
            user,
            duration,
        } => {
            let renewed = match &user {
                Some(user) => {
                    client
                        .renew_user_authorization_token(user, &own, &token_id, duration)
                        .await?
                }
                None => client.renew_authorization_token(&token_id, duration).await?,
            };
            context.writer.answer_text(
                &renewed,
                &format!(
                    "{} expires {}",
                    renewed.token_id,
                    human::age(context.now(), renewed.expires_at)
                ),
            )
        }
        TokenCommand::Revoke { token_id, user } => {
            let revoked = match &user {
                Some(user) => client.revoke_user_authorization_token(user, &own, &token_id).await?,
                None => client.revoke_authorization_token(&token_id).await?,
            };
            context
                .writer
                .answer_text(&revoked, &format!("revoked {}", revoked.token_id))
        }
    }
}
