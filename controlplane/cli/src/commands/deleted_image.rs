// SPDX-License-Identifier: Apache-2.0
//! `hythe image list-deleted`, `restore` and `purge`.

use clap::Args;
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{DeletionReason, ListQuery, RestorableImage, RestorableImagePage, RestoreImage};
use hythe_model::{Digest, Reference, Tag};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::image_name::{Image, ImageName};
use crate::table::Table;

pub(super) const RESTORE_EXAMPLES: &str = "Examples:
  hythe image list-deleted team-a/web
  hythe image restore team-a/web@sha256:…            # with all the tags it had
  hythe image restore team-a/web:v1                  # the image that was deleted last with this tag
  hythe image restore team-a/web@sha256:… --tag v1";

/// `hythe image restore`
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// `REPOSITORY@DIGEST`, or `REPOSITORY:TAG` with a tag that it had
    image: ImageName,
    /// Restore only this tag of it; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
}

/// `hythe image purge`
#[derive(Args, Debug)]
pub struct PurgeArgs {
    /// `REPOSITORY@DIGEST`, or `REPOSITORY:TAG` with a tag that it had
    image: ImageName,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn list(repository: ImageName, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let repository = repository.resolve(&client).await?.into_repository()?;
    let deleted_images: Vec<RestorableImage> = client.all_deleted_images(&repository, all()).try_collect().await?;
    let page = RestorableImagePage {
        deleted_images,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.deleted_images.iter().map(|image| {
            let tags: Vec<_> = image.image_tags.iter().map(ToString::to_string).collect();
            [
                if tags.is_empty() { "-".into() } else { tags.join(", ") },
                image.image_digest.to_string(),
                human::age(context.now(), image.deleted_at),
                reason(image),
                image.restorable_until.to_string(),
            ]
        });
        Table::list(["TAGS", "DIGEST", "DELETED", "REASON", "RESTORABLE UNTIL"], rows).unwrapped()
    })
}

fn all() -> ListQuery {
    ListQuery {
        max_results: Some(1000),
        ..ListQuery::default()
    }
}

fn reason(image: &RestorableImage) -> String {
    match (image.deletion_reason, image.lifecycle_rule_priority) {
        (DeletionReason::Request, _) => "request".into(),
        (DeletionReason::Lifecycle, Some(priority)) => format!("lifecycle rule {priority}"),
        (DeletionReason::Lifecycle, None) => "lifecycle".into(),
        (DeletionReason::SubjectDeleted, _) => "subject deleted".into(),
    }
}

/// The deleted image that is meant; of several that had the tag, the one that was deleted last.
async fn find(client: &Client, image: &Image) -> Result<Digest, CliError> {
    let tag = match image.reference()? {
        Reference::Digest(digest) => return Ok(*digest),
        Reference::Tag(tag) => tag,
    };
    let deleted = client.all_deleted_images(&image.repository, all());
    let mut deleted = std::pin::pin!(deleted);
    while let Some(found) = deleted.try_next().await? {
        if found.image_tags.contains(tag) {
            return Ok(found.image_digest);
        }
    }
    Err(CliError::Usage {
        message: format!("no deleted image of {} had the tag `{tag}`", image.repository),
        hint: "`hythe image list-deleted REPOSITORY` lists those that can be restored",
    })
}

pub(super) async fn restore(args: RestoreArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let image = args.image.resolve(&client).await?;
    let digest = find(&client, &image).await?;
    let how = RestoreImage {
        image_tags: (!args.tags.is_empty()).then_some(args.tags),
    };
    let restored = client.restore_image(&image.repository, &digest, &how).await?;
    for failure in &restored.failures {
        context
            .writer
            .note(&format!("tag {}: {}", failure.image_tag, failure.failure_reason));
    }
    let tags: Vec<_> = restored.image_tags.iter().map(ToString::to_string).collect();
    let with = if tags.is_empty() {
        String::new()
    } else {
        format!(" with {}", tags.join(", "))
    };
    let did = if restored.is_restored {
        "restored"
    } else {
        "already there:"
    };
    let text = format!("{did} {}@{}{with}", image.repository, restored.image_digest);
    context.writer.answer_text(&restored, &text)
}

pub(super) async fn purge(args: PurgeArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let image = args.image.resolve(&client).await?;
    let digest = find(&client, &image).await?;
    let name = format!("{}@{}", image.repository, human::short(&digest));
    args.confirmation
        .check(&format!("purge `{name}`, which can then not be restored any more"))?;
    let purged = client.purge_image(&image.repository, &digest).await?;
    let text = format!("purged {}@{}", image.repository, purged.image_digest);
    context.writer.answer_text(&purged, &text)
}
