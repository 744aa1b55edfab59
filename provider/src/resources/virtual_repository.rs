// SPDX-License-Identifier: Apache-2.0
//! `hythe_virtual_repository`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, NamePattern, ParseError, RepositoryPrefix, VirtualSource, VirtualSources};
use hythe_wire::{CreateVirtualRepository, ListQuery, UpdateVirtualRepository, code};
use tfplugin::{Attr, Diagnostics, Object, Path, Result, Schema, Set};

use crate::argument::{invalid, parsed, parses};
use crate::noun::{Api, Listing, Noun, Outcome, cleared, fill};

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 256;

/// One of the places that a virtual repository is read from.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct SourceModel {
    /// What takes the place of the name of the virtual repository: with `team`, `all/web` is read from `team/web`. `ROOT` takes
    /// the name away.
    #[tf(required, validate = parses::<RepositoryPrefix>)]
    pub repository_prefix: Attr<String>,
    /// What the source may answer for: up to 50 patterns for the rest of the name, in which `*` stands for any characters.
    /// Without it, for all.
    #[tf(optional)]
    pub includes: Attr<Set<String>>,
    /// What the source may not answer for, whatever it includes: up to 50 patterns.
    #[tf(optional)]
    pub excludes: Attr<Set<String>>,
}

/// Manages a virtual repository: a name that holds nothing itself and is read through other repositories, in order.
///
/// It gives nobody a right: whoever reads through it needs the right to read the repository that answers, and sources that the
/// caller may not read are passed over. Nothing can be pushed to it. No repository may have its name, or one below it.
#[derive(Clone, Debug, Default, Schema)]
pub struct VirtualRepository {
    /// The name, without a `/` at the end: `all` is for `all` and for `all/web`, not for `allx/web`.
    #[tf(required, replace, validate = parses::<RepositoryPrefix>)]
    pub name: Attr<String>,
    /// Where it is read from: 1 to 10 sources, asked in this order.
    #[tf(required)]
    pub sources: Attr<Vec<SourceModel>>,
    /// What it is for, up to 256 characters.
    #[tf(optional, validate = description)]
    pub description: Attr<String>,
    /// The registry whose names are meant: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When it was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// When it was last changed (RFC 3339).
    #[tf(computed)]
    pub updated_at: Attr<String>,
}

/// Lists the virtual repositories of the registry, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct VirtualRepositories {}

fn description(text: &str) -> Result<(), String> {
    if (1..=MAX_DESCRIPTION).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(format!(
            "It must have 1 to {MAX_DESCRIPTION} characters; leave it out for none."
        ))
    }
}

/// The patterns of a source, sorted: their order means nothing.
fn patterns(written: &Attr<Set<String>>) -> Result<Vec<NamePattern>> {
    let mut patterns = Vec::new();
    for text in written.known().into_iter().flatten() {
        let pattern = text.parse::<NamePattern>();
        patterns.push(pattern.map_err(|error| invalid(Path::new("sources"), error.to_string()))?);
    }
    patterns.sort();
    Ok(patterns)
}

/// What the server says of patterns, where `written` was there before: it does not tell an empty set from none.
fn observed_patterns(written: Option<&Attr<Set<String>>>, server: &[NamePattern]) -> Attr<Set<String>> {
    if server.is_empty() && written.is_none_or(|written| written.known().is_none()) {
        return Attr::Null;
    }
    Attr::Known(server.iter().map(ToString::to_string).collect())
}

impl VirtualRepository {
    fn observed(mut self, server: hythe_wire::VirtualRepository) -> Self {
        let written = self.sources.known().cloned().unwrap_or_default();
        let source = |(at, source): (usize, &VirtualSource)| {
            let written = written.get(at);
            SourceModel {
                repository_prefix: source.repository_prefix.to_string().into(),
                includes: observed_patterns(written.map(|it| &it.includes), &source.includes),
                excludes: observed_patterns(written.map(|it| &it.excludes), &source.excludes),
            }
        };
        self.sources = Attr::Known(server.sources.as_slice().iter().enumerate().map(source).collect());
        self.name = server.virtual_repository_name.to_string().into();
        self.description = server.description.into();
        self.registry_id = server.registry_id.to_string().into();
        self.created_at = server.created_at.to_string().into();
        self.updated_at = server.updated_at.to_string().into();
        self
    }

    fn to_sources(&self) -> Result<VirtualSources> {
        let mut sources = Vec::new();
        for written in self.sources.required("sources")? {
            sources.push(VirtualSource {
                repository_prefix: parsed("repository_prefix", &written.repository_prefix)?,
                includes: patterns(&written.includes)?,
                excludes: patterns(&written.excludes)?,
            });
        }
        let sources = VirtualSources::try_from(sources);
        sources.map_err(|error: ParseError| invalid(Path::new("sources"), error.to_string()).into())
    }

    fn is_settled(&self) -> bool {
        let sources = self.sources.known().into_iter().flatten();
        let is_known = |set: &Attr<Set<String>>| !set.is_unknown();
        self.sources.known().is_some()
            && sources.into_iter().all(|source| {
                source.repository_prefix.known().is_some() && is_known(&source.includes) && is_known(&source.excludes)
            })
    }
}

impl Noun for VirtualRepository {
    const NAME: &'static str = "virtual_repository";
    const A_NOUN: &'static str = "a virtual repository";
    const KEY: &'static [&'static str] = &["name"];
    const GONE: &'static [&'static str] = &[code::VIRTUAL_REPOSITORY_NOT_FOUND];
    const TAKEN: &'static [&'static str] = &[code::VIRTUAL_REPOSITORY_ALREADY_EXISTS];
    type Filter = VirtualRepositories;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name: RepositoryPrefix = parsed("name", &self.name)?;
        let found = api.send(|| api.client().virtual_repository(&name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreateVirtualRepository {
            virtual_repository_name: parsed("name", &self.name)?,
            sources: self.to_sources()?,
            description: self.description.known().cloned(),
        };
        let made = api
            .send_once(|| api.client().create_virtual_repository(&request))
            .await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name: RepositoryPrefix = parsed("name", &prior.name)?;
        let (sources, before) = (self.to_sources()?, prior.to_sources()?);
        let request = UpdateVirtualRepository {
            sources: (sources != before).then_some(sources),
            description: cleared(&prior.description, &self.description),
        };
        if request == UpdateVirtualRepository::default() {
            // Another way to write the same.
            return self.fetch(api).await;
        }
        let changed = api
            .send(|| api.client().update_virtual_repository(&name, &request, None))
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name: RepositoryPrefix = parsed("name", &self.name)?;
        api.send(|| api.client().delete_virtual_repository(&name, None)).await?;
        Ok(())
    }

    fn list(_: VirtualRepositories, client: &Client) -> Result<Listing<Self>> {
        let found = client.all_virtual_repositories(ListQuery::default());
        Ok(found.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        if config.name.as_str().is_some_and(|name| name == "ROOT") {
            diagnostics.push(invalid(Path::new("name"), "The whole registry cannot be virtual."));
        }
        let name = config
            .name
            .as_str()
            .and_then(|name| name.parse::<RepositoryPrefix>().ok());
        if let Some(name) = name.filter(|name| !name.is_root()) {
            let sources = config.sources.known().map_or(&[][..], |sources| &sources[..]);
            for (at, source) in sources.iter().enumerate() {
                let prefix = source.repository_prefix.as_str();
                if prefix.is_some_and(|prefix| name.rest_of(prefix).is_some()) {
                    let place = Path::new("sources").index(at).attribute("repository_prefix");
                    diagnostics.push(invalid(
                        place,
                        format!("It belongs to `{name}` itself, and a source must not be virtual."),
                    ));
                }
            }
        }
        if config.is_settled()
            && let Err(error) = config.to_sources()
        {
            diagnostics.extend(error);
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
