// SPDX-License-Identifier: Apache-2.0
//! `hythe tag …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{ListQuery, RollBackTag, TagHistory, TagPage};
use hythe_model::Digest;
use jiff::Timestamp;

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::duration;
use crate::error::CliError;
use crate::human;
use crate::image_name::ImageName;
use crate::table::Table;

const SET_EXAMPLES: &str = "Examples:
  hythe tag set team-a/web:stable sha256:…

To point it to where it was before: hythe tag rollback team-a/web:stable";

const SHOW_EXAMPLES: &str = "Examples:
  hythe tag show team-a/web:stable
  hythe tag show team-a/web:stable --as-of 2026-11-01T00:00:00Z
  hythe tag show team-a/web:stable --as-of 2d        # two days ago";

const ROLLBACK_EXAMPLES: &str = "Examples:
  hythe tag rollback team-a/web:stable                  # to the image before the present one
  hythe tag rollback team-a/web:stable --as-of 2h       # to where it was two hours ago
  hythe tag rollback team-a/web:stable --sequence 7     # to a move of `hythe tag history team-a/web:stable`

An image that was deleted comes back, as long as it can be restored.";

const TIME_HINT: &str = "give a time such as `2026-11-01T00:00:00Z`, or how long ago, such as `30m`, `2h` or `7d`";

/// `hythe tag …`
#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// List the tags of a repository
    #[command(visible_alias = "ls")]
    List {
        /// The repository
        repository: ImageName,
    },
    /// Show where a tag points, or where it pointed at a time
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// `REPOSITORY:TAG`
        tag: ImageName,
        /// A time (`2026-11-01T00:00:00Z`), or how long ago (`30m`, `2h`, `7d`)
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Point a tag to an image that it pointed to before, and restore that image if it was deleted
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback {
        /// `REPOSITORY:TAG`
        tag: ImageName,
        /// The number of the move that pointed it there
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..), conflicts_with = "as_of")]
        sequence: Option<i64>,
        /// A time at which it pointed there, or how long ago
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
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
                // In full, since these digests are meant to be copied.
                let shown = |digest: Option<Digest>| digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
                let rows = history.moves.iter().map(|it| {
                    [
                        it.sequence.to_string(),
                        human::age(context.now(), it.moved_at),
                        it.moved_by.clone(),
                        shown(it.to_digest),
                    ]
                });
                Table::list(["NUMBER", "MOVED", "BY", "TO"], rows).unwrapped()
            })
        }
        TagCommand::Show { tag, as_of } => show(&client, tag, as_of.as_deref(), context).await,
        TagCommand::Rollback { tag, sequence, as_of } => {
            let as_of = time(as_of.as_deref(), context)?;
            roll_back(&client, tag, &RollBackTag { sequence, as_of }, context).await
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

async fn show(client: &Client, tag: ImageName, as_of: Option<&str>, context: &Context) -> Result<(), CliError> {
    let tag = tag.resolve(client).await?;
    let name = tag.tag()?;
    let shown = match time(as_of, context)? {
        None => client.tag(&tag.repository, name).await?.value,
        Some(at) => client.tag_as_of(&tag.repository, name, at).await?,
    };
    context.writer.answer(&shown, || {
        Table::fields([
            ("tag", shown.image_tag.to_string()),
            ("digest", shown.image_digest.to_string()),
            ("moved", shown.moved_at.to_string()),
            ("number of the move", shown.sequence.to_string()),
        ])
    })
}

async fn roll_back(client: &Client, tag: ImageName, to: &RollBackTag, context: &Context) -> Result<(), CliError> {
    let tag = tag.resolve(client).await?;
    let done = client.roll_back_tag(&tag.repository, tag.tag()?, to).await?;
    let already = match done.previous_image_digest {
        Some(before) if before == done.image_digest => "already ",
        _ => "",
    };
    let restored = if done.is_image_restored {
        ", which was restored"
    } else {
        ""
    };
    let text = format!("{tag} is {already}{}{restored}", done.image_digest);
    context.writer.answer_text(&done, &text)
}

fn time(text: Option<&str>, context: &Context) -> Result<Option<Timestamp>, CliError> {
    let read = |text| duration::time(text, context.now());
    text.map(read).transpose().map_err(|message| CliError::Usage {
        message,
        hint: TIME_HINT,
    })
}
