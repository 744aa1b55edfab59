// SPDX-License-Identifier: Apache-2.0
//! `hythe virtual-repository …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::wire::{
    CreateVirtualRepository, ListQuery, UpdateVirtualRepository, VirtualRepository, VirtualRepositoryPage,
};
use hythe_model::{NamePattern, RepositoryPrefix, VirtualSource, VirtualSources};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe virtual-repository create all --source team --source docker-hub
  hythe virtual-repository create all --source team --source 'docker-hub,include=library/*,exclude=library/web'
  hythe virtual-repository update all --source docker-hub --description 'everything'
  hythe virtual-repository delete all --yes

With the first, a pull of all/library/nginx reads team/library/nginx, and if that is not there (or you may not read it)
docker-hub/library/nginx. Nothing can be pushed to it.";

/// `hythe virtual-repository …`
#[derive(Debug, Subcommand)]
pub enum VirtualRepositoryCommand {
    /// Let a name be read through other repositories
    Create {
        /// The name: `all` is for `all` and for all that begins with `all/`
        name: RepositoryPrefix,
        /// Where it is read from, as PREFIX[,include=PATTERN]…[,exclude=PATTERN]…; several times, in the order in which they
        /// are asked. The prefix ROOT stands for none
        #[arg(long = "source", value_name = "SOURCE", required = true, value_parser = source)]
        sources: Vec<VirtualSource>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// List virtual repositories
    #[command(visible_alias = "ls")]
    List,
    /// Show a virtual repository
    #[command(visible_alias = "describe")]
    Show {
        /// Its name
        name: RepositoryPrefix,
    },
    /// Change a virtual repository; what is not given stays as it is
    Update {
        /// Its name
        name: RepositoryPrefix,
        /// Where it is read from, in place of all sources that it has
        #[arg(long = "source", value_name = "SOURCE", value_parser = source)]
        sources: Vec<VirtualSource>,
        /// What it is for; an empty text takes it away
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Delete a virtual repository; the repositories that it is read from stay as they are
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name
        name: RepositoryPrefix,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Reads a source as the option has it.
fn source(text: &str) -> Result<VirtualSource, String> {
    let mut parts = text.split(',');
    let prefix = parts.next().unwrap_or_default();
    let mut source = VirtualSource::new(prefix.parse().map_err(|error| format!("{error}"))?);
    for part in parts {
        let pattern = |text: &str| text.parse::<NamePattern>().map_err(|error| error.to_string());
        match part.split_once('=') {
            Some(("include", text)) => source.includes.push(pattern(text)?),
            Some(("exclude", text)) => source.excludes.push(pattern(text)?),
            Some(_) | None => return Err(format!("`{part}` must be `include=PATTERN` or `exclude=PATTERN`")),
        }
    }
    Ok(source)
}

fn sources_of(given: Vec<VirtualSource>) -> Result<VirtualSources, CliError> {
    VirtualSources::try_from(given).map_err(|error| CliError::Usage {
        message: error.to_string(),
        hint: "give `--source` 1 to 10 times, each with another prefix",
    })
}

pub(crate) async fn run(command: VirtualRepositoryCommand, context: &Context) -> Result<(), CliError> {
    match command {
        VirtualRepositoryCommand::Create {
            name,
            sources,
            description,
        } => {
            let request = CreateVirtualRepository {
                virtual_repository_name: name,
                sources: sources_of(sources)?,
                description,
            };
            let created = context.client()?.create_virtual_repository(&request).await?;
            show(context, &created.value)
        }
        VirtualRepositoryCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let found = context.client()?.all_virtual_repositories(query);
            let page = VirtualRepositoryPage {
                virtual_repositories: found.try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.virtual_repositories.iter().map(|found| {
                    let sources = found.sources.as_slice().iter();
                    let prefixes: Vec<_> = sources.map(|source| source.repository_prefix.as_str()).collect();
                    [
                        found.virtual_repository_name.to_string(),
                        prefixes.join(", "),
                        human::age(context.now(), found.created_at),
                    ]
                });
                Table::list(["NAME", "SOURCES", "CREATED"], rows)
            })
        }
        VirtualRepositoryCommand::Show { name } => {
            show(context, &context.client()?.virtual_repository(&name).await?.value)
        }
        VirtualRepositoryCommand::Update {
            name,
            sources,
            description,
        } => {
            let request = UpdateVirtualRepository {
                sources: if sources.is_empty() {
                    None
                } else {
                    Some(sources_of(sources)?)
                },
                description,
            };
            let updated = context
                .client()?
                .update_virtual_repository(&name, &request, None)
                .await?;
            show(context, &updated.value)
        }
        VirtualRepositoryCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete the virtual repository `{name}`"))?;
            let deleted = context.client()?.delete_virtual_repository(&name, None).await?;
            let text = format!("deleted {}", deleted.virtual_repository_name);
            context.writer.answer_text(&deleted, &text)
        }
    }
}

fn show(context: &Context, found: &VirtualRepository) -> Result<(), CliError> {
    context.writer.answer(found, || {
        let sources = found.sources.as_slice().iter().map(written);
        Table::fields([
            ("name", found.virtual_repository_name.to_string()),
            ("description", found.description.clone().unwrap_or_default()),
            ("sources", sources.collect::<Vec<_>>().join(" ")),
            ("created", found.created_at.to_string()),
            ("updated", found.updated_at.to_string()),
        ])
    })
}

/// A source, as the option has it.
fn written(source: &VirtualSource) -> String {
    let mut text = source.repository_prefix.to_string();
    for (kind, patterns) in [("include", &source.includes), ("exclude", &source.excludes)] {
        for pattern in patterns {
            text.extend([",", kind, "=", pattern.as_str()]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_they_are_shown() {
        for text in [
            "team",
            "ROOT,exclude=library/*",
            "hub,include=a/*,include=b,exclude=a/c",
        ] {
            assert_eq!(written(&source(text).unwrap()), text);
        }
        for text in ["", "Team", "team,a/*", "team,include=", "team,includes=a"] {
            assert!(source(text).is_err(), "{text}");
        }
    }
}
