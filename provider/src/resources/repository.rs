// SPDX-License-Identifier: Apache-2.0
//! `hythe_repository`.

mod adopt;
mod list;
mod state;

use hythe_client::{ClientError, IdempotencyKey};
use hythe_model::RepositoryName;
use hythe_wire::{UpdateRepository, code};
use tfplugin::{
    Attr, Call, Create, Diagnostic, Diagnostics, Field as _, Identity, Import, MoveSource, Object, Path, Plan,
    Resource, Result, Schema, Set, Update, Value,
};

pub(crate) use list::RepositoryList;

use super::tag_mutability::{self, ExclusionFilterModel};
use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::diagnostics;
use crate::tags::{TagMap, Tags, check_tags, difference};

const AES256: &str = "AES256";

/// Manages a repository: a named place for images in a registry.
///
/// Changing `name` or `encryption` makes a new, empty repository in place of the old one. Deleting a repository that holds
/// images is refused, unless `force_delete` was applied before.
#[derive(Clone, Debug, Default, Schema)]
#[tf(version = 0)]
pub struct Repository {
    /// The name, unique in the registry: 2 to 256 lower-case letters and digits, parted by `.`, `_`, `__`, `-` or `/`.
    #[tf(required, replace, validate = parses::<RepositoryName>)]
    pub name: Attr<String>,
    /// Whether a push may move a tag to another image. The values that end in `_WITH_EXCLUSION` take exceptions from
    /// `image_tag_mutability_exclusion_filter`.
    #[tf(
        optional, default = "MUTABLE",
        one_of = ["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"]
    )]
    pub image_tag_mutability: Attr<String>,
    /// The tags to which `image_tag_mutability` does not apply: 1 to 5 patterns for the values that end in `_WITH_EXCLUSION`.
    #[tf(optional)]
    pub image_tag_mutability_exclusion_filter: Attr<Set<ExclusionFilterModel>>,
    /// How images are encrypted at rest. Leaving it out is the same as `{ type = "AES256" }`.
    #[tf(optional, replace, default = Encryption::default_value())]
    pub encryption: Attr<Encryption>,
    /// Whether an image is scanned when it is pushed.
    #[tf(optional, default = false)]
    pub scan_on_push: Attr<bool>,
    /// Whether an index may list images that the repository does not hold, as when only some platforms of a
    /// multi-platform image are copied. Amazon ECR refuses such indexes. An image always needs its configuration and its layers.
    #[tf(optional, default = false)]
    pub allow_sparse_indexes: Attr<bool>,
    /// Whether destroying the repository deletes its images too; without it, a repository that holds images is not
    /// destroyed. It is kept in the state only, and read from there when the repository is destroyed: a change has to be
    /// applied before it counts.
    #[tf(optional, default = false)]
    pub force_delete: Attr<bool>,
    /// Resource tags: up to 50, together with the `default_tags` of the provider. A null value leaves the tag out.
    #[tf(optional)]
    pub tags: Attr<TagMap>,
    /// All resource tags, with the `default_tags` of the provider and without those that `ignore_tags` names.
    #[tf(computed)]
    pub tags_all: Attr<Tags>,
    /// The ARN, as policies name the repository.
    #[tf(computed, stable)]
    pub arn: Attr<String>,
    /// The registry that holds the repository: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// What to give to `docker push` and `docker pull`, before the tag.
    #[tf(computed, stable)]
    pub repository_url: Attr<String>,
    /// When the repository was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
}

/// Encryption at rest.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct Encryption {
    /// The kind of encryption.
    #[tf(name = "type", optional, default = AES256, one_of = [AES256, "KMS", "KMS_DSSE"])]
    pub kind: Attr<String>,
    /// The key, for `KMS` and `KMS_DSSE`; the server chooses one if it is left out.
    #[tf(optional, computed, stable, validate = key_length)]
    pub key: Attr<String>,
}

impl Encryption {
    pub(crate) fn default_value() -> Value {
        Self {
            kind: AES256.into(),
            key: Attr::Null,
        }
        .to_value()
    }

    /// What takes no key has none.
    pub(crate) fn plan(planned: &mut Attr<Self>) {
        if let Attr::Known(Self { kind, key }) = planned
            && kind.as_str() == Some(AES256)
        {
            *key = Attr::Null;
        }
    }

    /// Whether kind and key go together.
    pub(crate) fn check(config: &Attr<Self>, diagnostics: &mut Diagnostics) {
        if let Attr::Known(Self { kind, key }) = config
            && key.known().is_some()
            && (kind.is_null() || kind.as_str() == Some(AES256))
        {
            let path = Path::new("encryption").attribute("key");
            diagnostics.push(invalid(path, "Only the types `KMS` and `KMS_DSSE` take a key."));
        }
    }
}

fn key_length(key: &str) -> Result<(), &'static str> {
    if (1..=2048).contains(&key.chars().count()) {
        Ok(())
    } else {
        Err("It must have 1 to 2048 characters.")
    }
}

/// Names a repository for good.
#[derive(Clone, Debug, Identity)]
pub struct RepositoryIdentity {
    /// The registry: the 12 digits of its account. That of the credentials, if left out.
    #[tf(optional)]
    pub registry_id: Attr<String>,
    /// The name of the repository.
    pub name: String,
}

impl Resource for Repository {
    const NAME: &'static str = "repository";
    type Client = Connection;
    type Identity = RepositoryIdentity;

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = check_tags(&config.tags, &Path::new("tags"));
        let filters = &config.image_tag_mutability_exclusion_filter;
        tag_mutability::check(&config.image_tag_mutability, filters, &mut diagnostics);
        Encryption::check(&config.encryption, &mut diagnostics);
        diagnostics
    }

    async fn plan(cx: &Call<Connection>, plan: &mut Plan<Self>) -> Result<()> {
        Encryption::plan(&mut plan.planned.encryption);
        let Some(connection) = cx.client_if_configured() else {
            return Ok(());
        };
        let tags_all = connection.tags.merged(&plan.planned.tags);
        plan.planned.tags_all = tags_all.map_err(|error| invalid(Path::new("tags"), error.to_string()))?;
        plan.planned.predict(cx, connection).await?;
        match &plan.prior {
            Some(prior) if prior.is_replaced_by(&plan.planned) => warn_of_images(cx, connection, prior).await,
            _ => {}
        }
        Ok(())
    }

    async fn plan_destroy(cx: &Call<Connection>, state: &Self) -> Result<()> {
        if let Some(connection) = cx.client_if_configured() {
            warn_of_images(cx, connection, state).await;
        }
        Ok(())
    }

    async fn create(cx: &Call<Connection>, Create { planned, .. }: Create<Self>) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("name", &planned.name)?;
        let tags_all = connection
            .tags
            .merged(&planned.tags)
            .map_err(|error| invalid(Path::new("tags"), error.to_string()))?;
        let request = planned.to_create(tags_all.known())?;
        // With the same key a second attempt is answered as the first one was, even if that answer was lost.
        let key = IdempotencyKey::random();
        let created = connection
            .send(cx, || connection.client.create_repository(&request, &key))
            .await;
        let created = created.map_err(|error| match error.code() {
            Some(code::REPOSITORY_ALREADY_EXISTS) => diagnostics::taken("repository", name.as_str(), Path::new("name")),
            _ => diagnostics::failed(&format!("create repository `{name}`"), &error),
        })?;
        let tags = planned.tags.clone();
        Ok(Self {
            tags,
            tags_all,
            ..planned.observed(created.value)
        })
    }

    async fn read(cx: &Call<Connection>, state: Self) -> Result<Option<Self>> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("name", &state.name)?;
        let found = cx
            .until_stopped(connection.send(cx, || connection.client.repository(&name)))
            .await?;
        match found {
            Ok(found) => {
                let visible = connection.tags.visible(found.value.tags.clone(), &state.tags);
                let tags = connection.tags.configured(&state.tags, &state.tags_all, &visible);
                Ok(Some(Self {
                    tags,
                    tags_all: visible.into(),
                    ..state.observed(found.value)
                }))
            }
            // Only this code says so: any server can answer 404 to a URL that it does not know.
            Err(error) if error.code() == Some(code::REPOSITORY_NOT_FOUND) => Ok(None),
            Err(error) => Err(diagnostics::failed(&format!("read repository `{name}`"), &error)),
        }
    }

    async fn update(cx: &Call<Connection>, Update { prior, planned, .. }: Update<Self>) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("name", &planned.name)?;
        let what = format!("update repository `{name}`");
        let failed = |error: ClientError| match error.code() {
            Some(code::REPOSITORY_NOT_FOUND) => diagnostics::vanished(&format!("repository `{name}`")),
            _ => diagnostics::failed(&what, &error),
        };
        // After each step, what is true so far is recorded: it becomes the state if a later step fails.
        let mut now = Self {
            force_delete: planned.force_delete,
            ..prior.clone()
        };
        cx.record(&now);

        let settings = planned.settings_since(&prior)?;
        if settings != UpdateRepository::default() {
            // No `If-Match`: only what changes here is sent, as it shall be, so there is no update of others to lose.
            let updated = connection
                .send(cx, || connection.client.update_repository(&name, &settings, None))
                .await;
            let updated = updated.map_err(failed)?;
            now = Self {
                tags: now.tags,
                tags_all: now.tags_all,
                force_delete: now.force_delete,
                ..planned.clone().observed(updated.value)
            };
            cx.record(&now);
        }
        // Without a change on the server, what is left is another way to write the same filters.
        now.image_tag_mutability_exclusion_filter = planned.image_tag_mutability_exclusion_filter.clone();

        let tags_all = connection
            .tags
            .merged(&planned.tags)
            .map_err(|error| invalid(Path::new("tags"), error.to_string()))?;
        let wanted = tags_all.known().cloned().unwrap_or_default();
        let (removed, set) = difference(&prior.tags_all.clone().unwrap_or_default(), &wanted);
        // Removed and set one by one: a replacement of all would also take away what `ignore_tags` leaves to others.
        if !removed.is_empty() {
            let kept = connection
                .send(cx, || connection.client.remove_resource_tags(&name, &removed))
                .await
                .map_err(failed)?;
            let visible = connection.tags.visible(kept.value.tags, &planned.tags);
            now.tags = connection.tags.configured(&planned.tags, &prior.tags_all, &visible);
            now.tags_all = visible.into();
            cx.record(&now);
        }
        if !set.is_empty() {
            connection
                .send(cx, || connection.client.add_resource_tags(&name, set.clone()))
                .await
                .map_err(failed)?;
        }
        Ok(Self {
            tags: planned.tags.clone(),
            tags_all,
            ..now
        })
    }

    async fn delete(cx: &Call<Connection>, state: Self) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let name: RepositoryName = parsed("name", &state.name)?;
        let force = state.force_delete.unwrap_or_default();
        let deleted = connection
            .send(cx, || connection.client.delete_repository(&name, force, None))
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(error) => match error.code() {
                Some(code::REPOSITORY_NOT_FOUND) => Ok(()),
                Some(code::REPOSITORY_NOT_EMPTY) => {
                    let count = connection
                        .client
                        .repository_usage(&name)
                        .await
                        .ok()
                        .map(|usage| usage.image_count);
                    let detail = diagnostics::holds_images(&name, count);
                    Err(Diagnostic::error(format!("Repository `{name}` is not empty"), detail)
                        .at("force_delete")
                        .into())
                }
                _ => Err(diagnostics::failed(&format!("delete repository `{name}`"), &error)),
            },
        }
    }

    async fn import(cx: &Call<Connection>, request: Import<RepositoryIdentity>) -> Result<Self> {
        let connection = Connection::of(cx).await?;
        let (name, registry_id) = match request {
            Import::Id(id) => (id, Attr::Null),
            Import::Identity(identity) => (identity.name, identity.registry_id),
        };
        let name: RepositoryName = name.parse().map_err(|error| {
            Diagnostics::error(
                "Invalid import id",
                format!("A repository is imported by its name, such as `team/web`: {error}."),
            )
        })?;
        let found = connection
            .ask(cx, &format!("import repository `{name}`"), || {
                connection.client.repository(&name)
            })
            .await?;
        if let Some(wanted) = registry_id
            .as_str()
            .filter(|wanted| *wanted != found.value.registry_id.as_str())
        {
            let detail = format!(
                "The identity names registry `{wanted}`, but the provider is logged in to `{}`.",
                found.value.registry_id
            );
            return Err(Diagnostics::error("Repository of another registry", detail));
        }
        Ok(Self {
            name: name.to_string().into(),
            ..Self::default()
        })
    }

    fn identity(&self) -> Option<RepositoryIdentity> {
        Some(RepositoryIdentity {
            registry_id: self.registry_id.clone(),
            name: self.name.known()?.clone(),
        })
    }

    async fn move_from(_: &Call<Connection>, source: MoveSource) -> Result<Option<Self>> {
        Ok(Self::adopt(&source))
    }
}

impl Repository {
    /// Fills in what follows from the name, if the registry can be asked. That it cannot is no failure of a plan: the server
    /// may come into being in the same run. That it refuses the credentials is.
    async fn predict(&mut self, cx: &Call<Connection>, connection: &Connection) -> Result<()> {
        if !self.arn.is_unknown() {
            return Ok(());
        }
        let Some(Ok(name)) = self.name.as_str().map(str::parse::<RepositoryName>) else {
            return Ok(());
        };
        match cx.until_stopped(connection.registry(cx)).await? {
            Ok(registry) => {
                let (region, account) = (&registry.region, &registry.registry_id);
                self.arn = format!("arn:aws:ecr:{region}:{account}:repository/{name}").into();
                self.registry_id = account.to_string().into();
                self.repository_url = format!("{}/{name}", registry.registry_uri).into();
                Ok(())
            }
            Err(error) if error.status().is_some_and(|status| status.as_u16() == 401) => {
                Err(diagnostics::failed("log in to the registry", error))
            }
            Err(_) => Ok(()),
        }
    }

    /// Whether `planned` is certainly another repository.
    fn is_replaced_by(&self, planned: &Self) -> bool {
        let has_other_name = !planned.name.is_unknown() && self.name != planned.name;
        has_other_name || (!planned.encryption.is_unknown() && self.encryption != planned.encryption)
    }
}

/// Says what a destroy will do to images. A count that cannot be had is no failure: the server decides at apply.
async fn warn_of_images(cx: &Call<Connection>, connection: &Connection, state: &Repository) {
    let Some(Ok(name)) = state.name.as_str().map(str::parse::<RepositoryName>) else {
        return;
    };
    let usage = connection
        .ask(cx, "count images", || connection.client.repository_usage(&name))
        .await;
    let Ok(usage) = usage else {
        return;
    };
    let (count, restorable) = (usage.image_count, usage.restorable_image_count);
    let force = state.force_delete.unwrap_or_default();
    let (summary, detail) = match (count, restorable) {
        (0, 0) => return,
        (0, _) => (
            "Deleted images will be gone for good",
            format!(
                "Repository `{name}` holds no images, but {} that were deleted and can still be restored. They go with it.",
                images(restorable)
            ),
        ),
        _ if force => {
            let more = match restorable {
                0 => String::new(),
                restorable => format!(
                    " So will {} that were deleted and can still be restored.",
                    images(restorable)
                ),
            };
            let detail = format!(
                "Repository `{name}` holds {}, and `force_delete` is set: they will be deleted with it, and cannot be \
                 restored.{more}",
                images(count)
            );
            ("Images will be deleted", detail)
        }
        _ => ("Repository is not empty", diagnostics::holds_images(&name, Some(count))),
    };
    cx.warn(summary, detail);
}

fn images(count: u64) -> String {
    if count == 1 {
        "1 image".to_owned()
    } else {
        format!("{count} images")
    }
}
