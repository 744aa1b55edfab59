// SPDX-License-Identifier: Apache-2.0
//! `hythe tag …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::wire::{ListQuery, TagHistory, TagPage};
use hythe_model::Digest;

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::image_name::ImageName;
use crate::table::Table;

const SET_EXAMPLES: &str = "Examples:
  hythe tag set team-a/web:stable sha256:…       # roll back: see `hythe tag history team-a/web:stable`";

/// `hythe tag …`
#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// List the tags of a repository
    #[command(visible_alias = "ls")]
    List {
        /// The repository
        repository: ImageName,
    },
    /// Show where a tag pointed, and when
    History {
        /// `REPOSITORY:TAG`
        tag: ImageName,
    },
    /// Point a tag at an image of the same repository
    #[command(after_help = SET_EXAMPLES)]
    Set {
        /// `REPOSITORY:TAG`
        tag: ImageName,
        /// The digest of the image
        digest: Digest,
    },
    /// Delete a tag, and its image if that was its last tag
    #[command(visible_alias = "rm")]
    Delete {
        /// `REPOSITORY:TAG`
        tag: ImageName,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

pub(crate) async fn run(command: TagCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let all = || ListQuery {
        max_results: Some(1000),
        ..ListQuery::default()
    };
    match command {
        TagCommand::List { repository } => {
            let repository = repository.resolve(&client).await?.into_repository()?;
            let tags = client.all_tags(&repository, all()).try_collect().await?;
            let page = TagPage { tags, next_token: None };
            context.writer.answer(&page, || {
                let rows = page.tags.iter().map(|tag| {
                    [
                        tag.image_tag.to_string(),
                        human::short(&tag.image_digest),
                        human::age(context.now(), tag.moved_at),
                    ]
                });
                Table::list(["TAG", "DIGEST", "MOVED"], rows)
            })
        }
        TagCommand::History { tag } => {
            let tag = tag.resolve(&client).await?;
            let moves = client
                .all_tag_moves(&tag.repository, tag.tag()?, all())
                .try_collect()
                .await?;
            let history = TagHistory {
                moves,
                next_token: None,
            };
            context.writer.answer(&history, || {
                // In full, since these digests are meant to be copied into `hythe tag set`.
                let shown = |digest: Option<Digest>| digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
                let rows = history.moves.iter().map(|it| {
                    [
                        human::age(context.now(), it.moved_at),
                        it.moved_by.clone(),
                        shown(it.to_digest),
                    ]
                });
                Table::list(["MOVED", "BY", "TO"], rows).unwrapped()
            })
        }
        TagCommand::Set { tag, digest } => {
            let tag = tag.resolve(&client).await?;
            let moved = client.put_tag(&tag.repository, tag.tag()?, &digest, None).await?.value;
            context
                .writer
                .answer_text(&moved, &format!("{tag} is {}", moved.image_digest))
        }
        TagCommand::Delete { tag, confirmation } => {
            let tag = tag.resolve(&client).await?;
            let name = tag.tag()?;
            confirmation.check(&format!("delete tag `{tag}`"))?;
            let deleted = client.delete_tag(&tag.repository, name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {tag}, which was {}", deleted.image_digest))
        }
    }
}
