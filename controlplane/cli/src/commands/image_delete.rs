// SPDX-License-Identifier: Apache-2.0
//! `hythe image delete`.

use clap::Args;
use hythe_client::Client;
use hythe_client::wire::{DeleteImages, ImageDeletions, ImageFailureCode, ImageIdentifier};
use hythe_model::{Digest, Reference, RepositoryName};

use super::image::find;
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::image_name::{Image, ImageName};
use crate::table::Table;

pub(super) const EXAMPLES: &str = "Examples:
  hythe image delete team-a/web@sha256:…
  hythe image delete team-a/web:v1 --yes     # the image that v1 points to, with all its tags
  hythe image delete team-a/web:v1 team-a/web:v2 team-a/web@sha256:…

To delete only a tag: hythe tag delete team-a/web:v1
To get an image back: hythe image restore team-a/web:v1";

/// How many images one request names.
const PER_REQUEST: usize = 100;

/// `hythe image delete`
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`; several must be of one repository
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<ImageName>,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(args: DeleteArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let mut images = Vec::with_capacity(args.images.len());
    for name in args.images {
        images.push(name.resolve(&client).await?);
    }
    match images.as_slice() {
        [image] => one(&client, image, args.confirmation, context).await,
        images => several(&client, images, args.confirmation, context).await,
    }
}

async fn one(client: &Client, image: &Image, confirmation: Confirmation, context: &Context) -> Result<(), CliError> {
    let detail = find(client, image).await?;
    let tags: Vec<_> = detail.image_tags.iter().map(ToString::to_string).collect();
    let with = if tags.is_empty() {
        String::new()
    } else {
        format!(" with its tags {}", tags.join(", "))
    };
    confirmation.check(&format!(
        "delete image `{}@{}`{with}",
        image.repository,
        human::short(&detail.image_digest)
    ))?;
    let deleted = client.delete_image(&image.repository, &detail.image_digest).await?;
    let text = format!("deleted {}@{}", image.repository, deleted.image_digest);
    context.writer.answer_text(&deleted, &text)
}

async fn several(
    client: &Client,
    images: &[Image],
    confirmation: Confirmation,
    context: &Context,
) -> Result<(), CliError> {
    let Some(repository) = images.first().map(|image| &image.repository) else {
        return Ok(()); // the arguments have at least one
    };
    if images.iter().any(|image| image.repository != *repository) {
        return Err(CliError::Usage {
            message: "the images are of several repositories".into(),
            hint: "delete those of one repository at a time",
        });
    }
    let mut digests: Vec<Digest> = Vec::with_capacity(images.len());
    for image in images {
        let digest = match image.reference()? {
            Reference::Digest(digest) => *digest,
            Reference::Tag(tag) => client.tag(repository, tag).await?.value.image_digest,
        };
        if !digests.contains(&digest) {
            digests.push(digest);
        }
    }
    let wanted = digests.len();
    confirmation.check(&format!(
        "delete {} of `{repository}` with all their tags",
        human::counted(wanted as u64, "image")
    ))?;
    let done = delete(client, repository, digests).await?;
    context.writer.answer(&done, || table(&done))?;
    match done.failures.len() {
        0 => Ok(()),
        failed => Err(CliError::NotDeleted { failed, wanted }),
    }
}

/// Deletes all of them. What an index lists is tried again once that index is gone.
async fn delete(
    client: &Client,
    repository: &RepositoryName,
    mut digests: Vec<Digest>,
) -> Result<ImageDeletions, CliError> {
    let mut done = ImageDeletions::default();
    loop {
        let before = done.image_ids.len();
        let mut listed = Vec::new();
        for chunk in digests.chunks(PER_REQUEST) {
            let image_ids = chunk.iter().map(|digest| ImageIdentifier {
                image_digest: Some(digest.to_string()),
                image_tag: None,
            });
            let request = DeleteImages {
                image_ids: image_ids.collect(),
            };
            let answer = client.delete_images(repository, &request).await?;
            done.image_ids.extend(answer.image_ids);
            for failure in answer.failures {
                if failure.failure_code == ImageFailureCode::ImageReferencedByManifestList {
                    listed.push(failure);
                } else {
                    done.failures.push(failure);
                }
            }
        }
        let is_digest = |digest: &Digest| {
            let text = digest.to_string();
            listed
                .iter()
                .any(|failure| failure.image_id.image_digest.as_ref() == Some(&text))
        };
        digests.retain(is_digest);
        if digests.is_empty() || done.image_ids.len() == before {
            done.failures.extend(listed);
            return Ok(done);
        }
    }
}

fn table(done: &ImageDeletions) -> Table {
    let row = |image: &ImageIdentifier, result: &str| {
        [
            image.image_tag.clone().unwrap_or_else(|| "-".into()),
            image.image_digest.clone().unwrap_or_else(|| "-".into()),
            result.to_owned(),
        ]
    };
    let deleted = done.image_ids.iter().map(|image| row(image, "deleted"));
    let failed = done
        .failures
        .iter()
        .map(|failure| row(&failure.image_id, &failure.failure_reason));
    Table::list(["TAG", "DIGEST", "RESULT"], deleted.chain(failed)).unwrapped()
}
