// SPDX-License-Identifier: Apache-2.0
//! `hythe lifecycle run` and `runs`.

use clap::Args;
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{
    LifecycleRun, LifecycleRunDetail, LifecycleRunPage, LifecycleRunResult, LifecycleRunStatus, LifecycleRunTrigger,
    ListQuery,
};
use hythe_model::{RepositoryName, Tag};

use super::lifecycle_preview::{action, questions};
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

/// `hythe lifecycle run`
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The repository
    name: RepositoryName,
    /// Wait for the end of the run
    #[arg(long)]
    wait: bool,
}

pub(super) async fn start(args: RunArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let started = client.start_lifecycle_run(&args.name).await?;
    if !args.wait {
        let text = format!(
            "run {} of the lifecycle policy of {} begins; `hythe lifecycle runs {} {}` shows it",
            started.run_id, started.repository_name, started.repository_name, started.run_id
        );
        return context.writer.answer_text(&started, &text);
    }
    let ended = wait(&client, &args.name, &started.run_id).await?;
    let text = format!(
        "run {}: of {}, {} expired ({}), {} archived, {} stayed although a rule takes them",
        ended.run_id,
        human::counted(ended.evaluated_image_count, "image"),
        ended.expired_image_count,
        human::size(ended.expired_image_bytes),
        ended.transitioned_image_count,
        ended.failed_image_count,
    );
    context.writer.answer_text(&ended, &text)
}

async fn wait(client: &Client, name: &RepositoryName, id: &str) -> Result<LifecycleRun, CliError> {
    let (pause, most) = questions();
    let one = ListQuery {
        max_results: Some(1),
        ..ListQuery::default()
    };
    let failed = |reason: String| CliError::LifecycleRun { what: "run", reason };
    for _ in 0..most {
        let run = client.lifecycle_run(name, id, &one).await?.run;
        match run.status {
            LifecycleRunStatus::Pending | LifecycleRunStatus::Running => tokio::time::sleep(pause).await,
            LifecycleRunStatus::Complete => return Ok(run),
            LifecycleRunStatus::Superseded => {
                return Err(failed("the policy was changed or deleted meanwhile".into()));
            }
            LifecycleRunStatus::Failed => {
                return Err(failed(
                    run.failure_reason.unwrap_or_else(|| "no reason is known".into()),
                ));
            }
        }
    }
    Err(failed(format!(
        "it is still under way; `hythe lifecycle runs {name} {id}` shows it"
    )))
}

pub(super) async fn list(name: &RepositoryName, context: &Context) -> Result<(), CliError> {
    let page = LifecycleRunPage {
        runs: context.client()?.all_lifecycle_runs(name, all()).try_collect().await?,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.runs.iter().map(|run| {
            [
                run.run_id.clone(),
                human::age(context.now(), run.created_at),
                by(run),
                status(run),
                run.evaluated_image_count.to_string(),
                run.expired_image_count.to_string(),
                run.transitioned_image_count.to_string(),
                run.failed_image_count.to_string(),
            ]
        });
        let header = [
            "RUN", "BEGAN", "BY", "STATUS", "IMAGES", "EXPIRED", "ARCHIVED", "REFUSED",
        ];
        Table::list(header, rows).unwrapped()
    })
}

pub(super) async fn show(name: &RepositoryName, id: &str, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let one = ListQuery {
        max_results: Some(1),
        ..ListQuery::default()
    };
    let detail = LifecycleRunDetail {
        run: client.lifecycle_run(name, id, &one).await?.run,
        images: client.all_lifecycle_run_images(name, id, all()).try_collect().await?,
        next_token: None,
    };
    context.writer.answer(&detail, || {
        let rows = detail.images.iter().map(|image| {
            let tags: Vec<_> = image.image_tags.iter().map(Tag::to_string).collect();
            [
                if tags.is_empty() { "-".into() } else { tags.join(", ") },
                image.image_digest.to_string(),
                human::size(image.image_size_in_bytes),
                action(image.action),
                match (image.result, &image.failure_reason) {
                    (LifecycleRunResult::Done, _) => "done".into(),
                    (LifecycleRunResult::Skipped, _) => "skipped: it has changed".into(),
                    (LifecycleRunResult::Failed, Some(reason)) => format!("refused: {reason}"),
                    (LifecycleRunResult::Failed, None) => "refused".into(),
                },
                image.reason.clone(),
            ]
        });
        Table::list(["TAGS", "DIGEST", "SIZE", "ACTION", "RESULT", "WHY"], rows).unwrapped()
    })?;
    let run = &detail.run;
    let text = format!("run {} by {}: {}", run.run_id, by(run), status(run));
    context.writer.note(&text);
    Ok(())
}

fn all() -> ListQuery {
    ListQuery {
        max_results: Some(1000),
        ..ListQuery::default()
    }
}

fn by(run: &LifecycleRun) -> String {
    match (run.trigger, &run.requested_by) {
        (LifecycleRunTrigger::Schedule, _) => "schedule".into(),
        (LifecycleRunTrigger::Request, Some(by)) => by.clone(),
        (LifecycleRunTrigger::Request, None) => "request".into(),
    }
}

fn status(run: &LifecycleRun) -> String {
    match run.status {
        LifecycleRunStatus::Pending => "pending",
        LifecycleRunStatus::Running => "running",
        LifecycleRunStatus::Complete => "complete",
        LifecycleRunStatus::Superseded => "superseded",
        LifecycleRunStatus::Failed => "failed",
    }
    .into()
}
