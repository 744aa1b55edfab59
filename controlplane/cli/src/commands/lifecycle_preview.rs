// SPDX-License-Identifier: Apache-2.0
//! `hythe lifecycle preview`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{
    GetLifecyclePolicyPreview, LifecycleAction, LifecycleActionType, LifecyclePolicyPreview, LifecyclePreviewCompare,
    LifecyclePreviewImage, LifecyclePreviewOutcome, LifecyclePreviewStatus, LifecyclePreviewSummary,
    StartLifecyclePolicyPreview,
};
use hythe_model::{RepositoryName, Tag};

use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const PREVIEW_EXAMPLES: &str = "Examples:
  hythe lifecycle preview team-a/web                        # what the stored policy would do
  hythe lifecycle preview team-a/web policy.json            # what another one would do
  hythe lifecycle preview team-a/web policy.json --kept     # what stays, and which rule keeps it
  hythe lifecycle preview team-a/web policy.json --compare  # where it differs from the stored one";

/// How often the server is asked whether a preview or a run is ready, and how often at most.
const PAUSE: Duration = Duration::from_millis(250);
const MAX_QUESTIONS: u32 = 2400;

/// `hythe lifecycle preview`
#[derive(Args, Debug)]
pub struct PreviewArgs {
    /// The repository
    name: RepositoryName,
    /// A file with the policy to try, or `-` for standard input; the stored policy if absent
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Show the images that stay instead of those that go
    #[arg(long, conflicts_with_all = ["all", "compare"])]
    kept: bool,
    /// Show all images
    #[arg(long, conflicts_with = "compare")]
    all: bool,
    /// Show the images with which the stored policy does something else
    #[arg(long, requires = "file")]
    compare: bool,
}

pub(super) async fn run(args: PreviewArgs, context: &Context) -> Result<(), CliError> {
    let request = StartLifecyclePolicyPreview {
        lifecycle_policy_text: args.file.map(|file| DocumentArg::at(file).read()).transpose()?,
    };
    let client = context.client()?;
    let started = client.start_lifecycle_policy_preview(&args.name, &request).await?;
    let made = wait(&client, &args.name, &started.preview_id).await?;
    let query = GetLifecyclePolicyPreview {
        preview_id: Some(started.preview_id),
        outcome: Some(match (args.kept, args.all) {
            (true, _) => LifecyclePreviewOutcome::Kept,
            (false, true) => LifecyclePreviewOutcome::Any,
            (false, false) => LifecyclePreviewOutcome::Taken,
        }),
        compare: args.compare.then_some(LifecyclePreviewCompare::Stored),
        max_results: Some(1000),
        ..GetLifecyclePolicyPreview::default()
    };
    let images = client.all_lifecycle_preview_images(&args.name, query);
    let answer = LifecyclePolicyPreview {
        preview_results: images.try_collect().await?,
        next_token: None,
        ..made
    };
    context
        .writer
        .answer(&answer, || table(&answer.preview_results, args.compare, context))?;
    if let Some(summary) = &answer.summary {
        for line in told(summary) {
            context.writer.note(&line);
        }
    }
    Ok(())
}

/// The preview when it is complete, with no images.
async fn wait(client: &Client, name: &RepositoryName, id: &str) -> Result<LifecyclePolicyPreview, CliError> {
    let query = GetLifecyclePolicyPreview {
        preview_id: Some(id.to_owned()),
        max_results: Some(1),
        ..GetLifecyclePolicyPreview::default()
    };
    for _ in 0..MAX_QUESTIONS {
        let preview = client.lifecycle_policy_preview(name, &query).await?;
        match preview.status {
            LifecyclePreviewStatus::InProgress => tokio::time::sleep(PAUSE).await,
            LifecyclePreviewStatus::Complete => return Ok(preview),
            LifecyclePreviewStatus::Failed | LifecyclePreviewStatus::Expired => {
                let reason = preview.failure_reason.unwrap_or_else(|| "it is too old".into());
                return Err(CliError::LifecycleRun {
                    what: "preview",
                    reason,
                });
            }
        }
    }
    let reason = "it takes too long; `hythe lifecycle preview` begins another when it has ended".into();
    Err(CliError::LifecycleRun {
        what: "preview",
        reason,
    })
}

fn table(images: &[LifecyclePreviewImage], compares: bool, context: &Context) -> Table {
    let start = |image: &LifecyclePreviewImage| {
        let tags: Vec<_> = image.image_tags.iter().map(Tag::to_string).collect();
        [
            if tags.is_empty() { "-".into() } else { tags.join(", ") },
            image.image_digest.to_string(),
            human::age(context.now(), image.image_pushed_at),
            human::size(image.image_size_in_bytes),
            action(image.action),
        ]
    };
    if compares {
        let rows = images.iter().map(|image| {
            let [tags, digest, pushed, size, becomes] = start(image);
            let before = image.stored_action.map_or_else(|| "-".into(), action);
            [tags, digest, pushed, size, before, becomes, image.reason.clone()]
        });
        return Table::list(["TAGS", "DIGEST", "PUSHED", "SIZE", "STORED", "PROPOSED", "WHY"], rows).unwrapped();
    }
    let rows = images.iter().map(|image| {
        let [tags, digest, pushed, size, becomes] = start(image);
        [tags, digest, pushed, size, becomes, image.reason.clone()]
    });
    Table::list(["TAGS", "DIGEST", "PUSHED", "SIZE", "ACTION", "WHY"], rows).unwrapped()
}

/// What becomes of an image, in a word.
pub(super) fn action(action: LifecycleAction) -> String {
    match action.kind {
        LifecycleActionType::Expire => "expire",
        LifecycleActionType::Transition => "archive",
        LifecycleActionType::Retain => "retain",
        LifecycleActionType::Keep => "keep",
    }
    .into()
}

/// The numbers, in words.
fn told(summary: &LifecyclePreviewSummary) -> Vec<String> {
    let images = |count| human::counted(count, "image");
    let archived: u64 = summary
        .transitioning_image_total_counts
        .iter()
        .map(|total| total.image_total_count)
        .sum();
    let mut lines = vec![format!(
        "of {}, {} would expire and free {}; {} would be archived; {} would stay",
        images(summary.image_total_count),
        summary.expiring_image_total_count,
        human::size(summary.freed_bytes),
        archived,
        summary.kept_image_total_count,
    )];
    if summary.following_image_total_count > 0 {
        lines.push(format!(
            "{} ({}) would go with what they refer to",
            images(summary.following_image_total_count),
            human::size(summary.following_image_total_bytes)
        ));
    }
    if summary.protected_image_total_count > 0 {
        lines.push(format!(
            "{} would go if no index listed them",
            images(summary.protected_image_total_count)
        ));
    }
    if let Some(comparison) = &summary.comparison {
        lines.push(format!(
            "compared with the stored policy: {} more ({}), {} fewer ({}), {} with another action",
            images(comparison.newly_taken_image_count),
            human::size(comparison.newly_taken_image_bytes),
            images(comparison.no_longer_taken_image_count),
            human::size(comparison.no_longer_taken_image_bytes),
            comparison.changed_image_count,
        ));
    }
    lines
}

/// How long to wait between two questions, and how many to ask.
pub(super) const fn questions() -> (Duration, u32) {
    (PAUSE, MAX_QUESTIONS)
}

#[cfg(test)]
mod tests {
    use hythe_client::wire::{LifecyclePreviewComparison, LifecycleStorageClass, TransitioningImageTotal};

    use super::*;

    #[test]
    fn a_summary_is_told_in_words() {
        let summary = LifecyclePreviewSummary {
            image_total_count: 12,
            expiring_image_total_count: 3,
            expiring_image_total_bytes: 9000,
            freed_bytes: 5000,
            transitioning_image_total_counts: vec![TransitioningImageTotal {
                target_storage_class: LifecycleStorageClass::Archive,
                image_total_count: 2,
            }],
            kept_image_total_count: 7,
            protected_image_total_count: 1,
            following_image_total_count: 2,
            following_image_total_bytes: 100,
            comparison: Some(LifecyclePreviewComparison {
                newly_taken_image_count: 1,
                newly_taken_image_bytes: 1000,
                ..LifecyclePreviewComparison::default()
            }),
            ..LifecyclePreviewSummary::default()
        };
        assert_eq!(
            told(&summary),
            [
                "of 12 images, 3 would expire and free 5.00 kB; 2 would be archived; 7 would stay",
                "2 images (100 B) would go with what they refer to",
                "1 image would go if no index listed them",
                "compared with the stored policy: 1 image more (1.00 kB), 0 images fewer (0 B), 0 with another action",
            ]
        );
    }
}
