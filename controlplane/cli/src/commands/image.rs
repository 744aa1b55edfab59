// SPDX-License-Identifier: Apache-2.0
//! `hythe image …`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::registry::{
    Destination, Platform, PullOptions, RegistryClient, Source, TransferError, Transferred, pull, push,
};
use hythe_client::wire::{
    CreateAuthorizationToken, CreateRepository, ImageDetail, ImagePage, ImageStatusFilter, ListImages, TagStatus, code,
};
use hythe_client::{Client, Credentials, Endpoint, IdempotencyKey, Transport};
use hythe_model::{Digest, ImageStatus, MediaType, Reference, RepositoryName, StorageClass};
use serde::Serialize;

use super::deleted_image::{self, PurgeArgs, RESTORE_EXAMPLES, RestoreArgs};
use super::image_delete::{self, DeleteArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::image_name::{Image, ImageName};
use crate::progress::progress;
use crate::table::Table;

/// How long revoking the token of a transfer may take.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(3);

const PUSH_EXAMPLES: &str = "Examples:
  hythe image push ./image team-a/web:v1                  # a folder with an OCI image layout
  hythe image push image.tar team-a/web:v1 --create       # an archive; makes the repository if need be
  docker save web:v1 -o web.tar && hythe image push web.tar team-a/web:v1   # Docker 25 or newer";

const PULL_EXAMPLES: &str = "Examples:
  hythe image pull team-a/web:v1 ./image                  # into a folder, as an OCI image layout
  hythe image pull team-a/web:v1 image.tar                # into an archive, as `docker load` reads it
  hythe image pull team-a/web:v1 image.tar --platform linux/arm64";

const ARCHIVE_EXAMPLES: &str = "Examples:
  hythe image archive team-a/web:v1          # an index takes its images and their signatures along
  hythe image list team-a/web --status archived
  hythe image unarchive team-a/web:v1";

/// `hythe image …`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// List the images of a repository
    #[command(visible_alias = "ls")]
    List {
        /// The repository
        repository: ImageName,
        /// Which images
        #[arg(long, value_enum, default_value_t)]
        tag_status: TagStatusArg,
        /// Which images, by their state
        #[arg(long, value_enum, default_value_t)]
        status: StatusArg,
        /// Show digests and lists of tags in full
        #[arg(long)]
        no_truncate: bool,
    },
    /// Show one image
    Describe {
        /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`
        image: ImageName,
    },
    /// Put an image into the archive: it keeps its tags and cannot be pulled
    #[command(after_help = ARCHIVE_EXAMPLES)]
    Archive {
        /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`
        image: ImageName,
    },
    /// Bring an image back from the archive
    Unarchive {
        /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`
        image: ImageName,
    },
    /// Delete images with all their tags
    #[command(visible_alias = "rm", after_help = image_delete::EXAMPLES)]
    Delete(DeleteArgs),
    /// List the deleted images that can be restored, the last deleted first
    ListDeleted {
        /// The repository
        repository: ImageName,
    },
    /// Restore a deleted image with its tags
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Take away the possibility to restore a deleted image
    Purge(PurgeArgs),
    /// Push an image from an OCI image layout: a folder or a tar archive
    #[command(after_help = PUSH_EXAMPLES)]
    Push(PushArgs),
    /// Pull an image into an OCI image layout: a folder or a tar archive
    #[command(after_help = PULL_EXAMPLES)]
    Pull(PullArgs),
}

/// `hythe image push`
#[derive(Args, Debug)]
pub struct PushArgs {
    /// The folder or archive
    source: PathBuf,
    /// `REPOSITORY:TAG`; the tag is `latest` if left out
    image: ImageName,
    /// The name of the image in the layout, if it holds several
    #[arg(long, value_name = "NAME")]
    source_name: Option<String>,
    /// Create the repository if it is not there
    #[arg(long)]
    create: bool,
}

/// `hythe image pull`
#[derive(Args, Debug)]
pub struct PullArgs {
    /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`; the tag is `latest` if left out
    image: ImageName,
    /// Where to: a folder, or a name that ends in `.tar` for an archive
    destination: PathBuf,
    /// Only the image for this platform, such as `linux/arm64`; the whole index by default
    #[arg(long)]
    platform: Option<Platform>,
}

/// Which images a list shows.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum TagStatusArg {
    /// All
    #[default]
    Any,
    /// Those with a tag
    Tagged,
    /// Those without
    Untagged,
}

impl From<TagStatusArg> for TagStatus {
    fn from(status: TagStatusArg) -> Self {
        match status {
            TagStatusArg::Any => Self::Any,
            TagStatusArg::Tagged => Self::Tagged,
            TagStatusArg::Untagged => Self::Untagged,
        }
    }
}

/// Which images a list shows, by their state.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum StatusArg {
    /// Those that can be pulled
    #[default]
    Active,
    /// Those in the archive
    Archived,
    /// Those on their way out of the archive
    Activating,
    /// All
    Any,
}

impl From<StatusArg> for ImageStatusFilter {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Active => Self::Active,
            StatusArg::Archived => Self::Archived,
            StatusArg::Activating => Self::Activating,
            StatusArg::Any => Self::Any,
        }
    }
}

/// What a push or a pull answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    repository_uri: String,
    image_digest: Digest,
    image_manifest_media_type: MediaType,
    blobs_transferred: usize,
    blobs_present: usize,
    bytes_transferred: u64,
}

/// A repository that is not there, but is read through a virtual one, is no slip of the pen.
async fn if_virtual(client: &Client, repository: &RepositoryName, error: CliError) -> CliError {
    if error.problem_code() != Some(code::REPOSITORY_NOT_FOUND) {
        return error;
    }
    let mut name = repository.as_str();
    loop {
        if let Ok(prefix) = name.parse()
            && client.virtual_repository(&prefix).await.is_ok()
        {
            let hint = format!(
                "`{prefix}` is a virtual repository, which holds no images: `hythe virtual-repository show {prefix}` says what it is read from"
            );
            return error.hinted(hint);
        }
        match name.rsplit_once('/') {
            Some((above, _)) => name = above,
            None => return error,
        }
    }
}

pub(crate) async fn run(command: ImageCommand, context: &Context) -> Result<(), CliError> {
    match command {
        ImageCommand::List {
            repository,
            tag_status,
            status,
            no_truncate,
        } => {
            let query = ListImages {
                tag_status: Some(tag_status.into()),
                image_status: Some(status.into()),
                max_results: Some(1000),
                ..ListImages::default()
            };
            let client = context.client()?;
            let repository = repository.resolve(&client).await?.into_repository()?;
            let images = match client.all_images(&repository, query).try_collect().await {
                Ok(images) => images,
                Err(error) => return Err(if_virtual(&client, &repository, error.into()).await),
            };
            list(
                context,
                ImagePage {
                    images,
                    next_token: None,
                },
                no_truncate,
            )
        }
        ImageCommand::Describe { image } => {
            let client = context.client()?;
            let image = image.resolve(&client).await?;
            let detail = find(&client, &image).await?;
            context.writer.answer(&detail, || describe(&detail))
        }
        ImageCommand::Archive { image } => change_class(context, image, StorageClass::Archive).await,
        ImageCommand::Unarchive { image } => change_class(context, image, StorageClass::Standard).await,
        ImageCommand::Delete(args) => image_delete::run(args, context).await,
        ImageCommand::ListDeleted { repository } => deleted_image::list(repository, context).await,
        ImageCommand::Restore(args) => deleted_image::restore(args, context).await,
        ImageCommand::Purge(args) => deleted_image::purge(args, context).await,
        ImageCommand::Push(args) => run_push(args, context).await,
        ImageCommand::Pull(args) => run_pull(args, context).await,
    }
}

async fn change_class(context: &Context, image: ImageName, target: StorageClass) -> Result<(), CliError> {
    let client = context.client()?;
    let image = image.resolve(&client).await?;
    let detail = find(&client, &image).await?;
    let changed = client
        .update_storage_class(&image.repository, &detail.image_digest, target)
        .await?;
    let status = changed.image_status.as_str().to_lowercase();
    let text = format!("{}@{} is {status}", image.repository, changed.image_digest);
    context.writer.answer_text(&changed, &text)
}

/// Runs until done or Ctrl-C; what was begun cleans up after itself when it is dropped.
async fn interruptible(
    work: impl Future<Output = Result<Transferred, TransferError>>,
) -> Result<Transferred, CliError> {
    tokio::select! {
        done = work => Ok(done?),
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

pub(super) async fn find(client: &Client, image: &Image) -> Result<ImageDetail, CliError> {
    let digest = match image.reference()? {
        Reference::Digest(digest) => *digest,
        Reference::Tag(tag) => client.tag(&image.repository, tag).await?.value.image_digest,
    };
    Ok(client.image(&image.repository, &digest).await?)
}

async fn run_push(args: PushArgs, context: &Context) -> Result<(), CliError> {
    let source = Source::open(&args.source).await?;
    let root = source.select(args.source_name.as_deref())?;
    let (session, reference) = Session::begin(context, args.image, args.create).await?;
    let progress = progress(&context.writer);
    let work = push(&session.registry, &session.path, &source, root, &reference, progress);
    let done = interruptible(work).await;
    session.end().await;
    answer(context, &session.uri, "pushed", &reference, &done?)
}

async fn run_pull(args: PullArgs, context: &Context) -> Result<(), CliError> {
    let (session, reference) = Session::begin(context, args.image, false).await?;
    let destination = if is_archive(&args.destination) {
        Destination::archive(&args.destination).await?
    } else {
        Destination::folder(&args.destination).await?
    };
    let name = match &reference {
        Reference::Tag(tag) => Some(tag.to_string()),
        Reference::Digest(_) => None,
    };
    let options = PullOptions {
        platform: args.platform,
        name,
    };
    let progress = progress(&context.writer);
    let work = pull(
        &session.registry,
        &session.path,
        &reference,
        destination,
        &options,
        progress,
    );
    let done = interruptible(work).await;
    session.end().await;
    answer(context, &session.uri, "pulled", &reference, &done?)
}

fn is_archive(path: &Path) -> bool {
    path.is_file() || (!path.is_dir() && path.extension().is_some_and(|extension| extension == "tar"))
}

fn answer(context: &Context, uri: &str, did: &str, reference: &Reference, done: &Transferred) -> Result<(), CliError> {
    let name = match reference {
        Reference::Tag(tag) => format!("{uri}:{tag}"),
        Reference::Digest(_) => uri.to_owned(),
    };
    let there = if done.present_blobs > 0 {
        format!("; already there: {}", done.present_blobs)
    } else {
        String::new()
    };
    context.writer.note(&format!(
        "{did} {name}: {} with {}{there}",
        human::counted(done.blobs as u64, "blob"),
        human::size(done.bytes)
    ));
    let moved = Moved {
        repository_uri: uri.into(),
        image_digest: done.digest,
        image_manifest_media_type: done.media_type.clone(),
        blobs_transferred: done.blobs,
        blobs_present: done.present_blobs,
        bytes_transferred: done.bytes,
    };
    context.writer.answer_text(&moved, &format!("{uri}@{}", done.digest))
}

/// A login to the registry for one transfer.
struct Session {
    client: Client,
    token_id: String,
    registry: RegistryClient,
    /// The repository as others name it.
    uri: String,
    /// The repository as the registry's paths name it.
    path: String,
}

impl Session {
    /// Logs in to push or pull `image`, whose reference comes back.
    async fn begin(context: &Context, image: ImageName, create: bool) -> Result<(Self, Reference), CliError> {
        let settings = context.settings()?;
        let client = Client::new(&settings)?;
        let image = image.resolve(&client).await?;
        let (repository, reference) = (&image.repository, image.reference_or_latest()?);
        let described = match client.repository(repository).await {
            Ok(found) => Some(found.value),
            Err(error) if create && error.is_not_found() => {
                let request = CreateRepository::new(repository.clone());
                let created = client.create_repository(&request, &IdempotencyKey::random()).await?;
                context.writer.note(&format!("created repository {repository}"));
                Some(created.value)
            }
            // Who may pull or push need not be allowed to describe; the registry itself says what is amiss.
            Err(error) if error.is_access_denied() => None,
            Err(error) => return Err(error.into()),
        };
        let token = client
            .create_authorization_token(&CreateAuthorizationToken::default())
            .await?;
        let endpoint: Endpoint = token.proxy_endpoint.parse()?;
        let credentials = Credentials::Token(token.password);
        let registry = RegistryClient::new(endpoint.origin(), &credentials, &Transport::from(&settings))?;
        let uri = if let Some(repository) = described {
            repository.repository_uri
        } else {
            // Valid in every style of addresses.
            let account = client.caller_identity().await?.registry_id;
            format!("{}/{account}/{repository}", endpoint.authority())
        };
        let path = uri
            .split_once('/')
            .map_or(repository.as_str(), |(_, path)| path)
            .to_owned();
        Ok((
            Self {
                client,
                token_id: token.token_id,
                registry,
                uri,
                path,
            },
            reference,
        ))
    }

    /// Ends the token; if that fails it ends by itself.
    async fn end(&self) {
        let _ = tokio::time::timeout(REVOKE_TIMEOUT, self.client.revoke_authorization_token(&self.token_id)).await;
    }
}

fn list(context: &Context, mut page: ImagePage, no_truncate: bool) -> Result<(), CliError> {
    const SHOWN_TAGS: usize = 4;
    context.writer.answer(&page.clone(), || {
        page.images
            .sort_by_key(|image| std::cmp::Reverse(image.image_pushed_at));
        let rows = page.images.iter().map(|image| {
            let shown = if no_truncate { usize::MAX } else { SHOWN_TAGS };
            let mut tags: Vec<_> = image.image_tags.iter().take(shown).map(ToString::to_string).collect();
            if tags.len() < image.image_tags.len() {
                tags.push(format!("… {} more", image.image_tags.len() - tags.len()));
            }
            [
                if tags.is_empty() { "-".into() } else { tags.join(", ") },
                if no_truncate {
                    image.image_digest.to_string()
                } else {
                    human::short(&image.image_digest)
                },
                human::size(image.image_size_in_bytes),
                human::age(context.now(), image.image_pushed_at),
                kind(image),
            ]
        });
        Table::list(["TAGS", "DIGEST", "SIZE", "PUSHED", "TYPE"], rows)
    })
}

/// What an image is, in a word.
fn kind(image: &ImageDetail) -> String {
    let kind = kind_of_content(image);
    match image.image_status {
        ImageStatus::Active => kind,
        status => format!("{kind}, {}", status.as_str().to_lowercase()),
    }
}

fn kind_of_content(image: &ImageDetail) -> String {
    match image.image_manifest_media_type.as_str() {
        MediaType::OCI_INDEX | MediaType::DOCKER_LIST => "index".into(),
        _ => match image.artifact_media_type.as_deref() {
            None
            | Some("application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json") => {
                "image".into()
            }
            Some(artifact) => artifact.to_owned(),
        },
    }
}

fn time(time: Option<jiff::Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

fn describe(image: &ImageDetail) -> Table {
    let tags: Vec<_> = image.image_tags.iter().map(ToString::to_string).collect();
    Table::fields([
        ("repository", image.repository_name.to_string()),
        ("digest", image.image_digest.to_string()),
        ("tags", tags.join(", ")),
        (
            "size",
            format!(
                "{} ({} bytes)",
                human::size(image.image_size_in_bytes),
                image.image_size_in_bytes
            ),
        ),
        ("pushed", image.image_pushed_at.to_string()),
        ("status", image.image_status.to_string()),
        ("pulled", time(image.last_recorded_pull_time)),
        ("archived", time(image.last_archived_at)),
        ("activated", time(image.last_activated_at)),
        ("media type", image.image_manifest_media_type.to_string()),
        ("artifact type", image.artifact_media_type.clone().unwrap_or_default()),
        (
            "subject",
            image
                .subject_manifest_digest
                .map(|digest| digest.to_string())
                .unwrap_or_default(),
        ),
    ])
}
