// SPDX-License-Identifier: Apache-2.0
//! What refers to an image upstream: signatures, SBOMs, attestations.
//!
//! Only the list is kept. What is on it comes as any manifest does, when somebody pulls it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hythe_access::{Caller, Granted, kinds};
use hythe_catalog::{CatalogError, Referrer};
use hythe_model::{Descriptor, Digest, RepositoryPath, in_millis};
use hythe_upstream::{PullPath, UpstreamError};
use jiff::Timestamp;
use tokio::time::timeout;

use super::trouble::About;
use super::{Note, PullThrough, REVALIDATION_TIMEOUT, Upstream, label, path_label, refuse_to_pass_on};
use crate::Registry;
use crate::account::Named;
use crate::auth::Visitor;

/// For how long an answer counts (ECR, "Pull through cache": referrers are asked for every 6 hours).
const FRESHNESS: Duration = Duration::from_hours(6);
/// How long an upstream may take that has not been asked before: what is here can be served without it.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most referrers of one image that are kept.
const MAX_REFERRERS: usize = 1000;
/// The most that they may take with their annotations, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// What a referrer takes beside its texts, in bytes.
const REFERRER_BYTES: usize = 256;

/// What an upstream said.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The referrers, by digest.
    pub(crate) referrers: Vec<Referrer>,
    pub(crate) note: Note,
}

/// What refers to `subject` upstream, for a client of the data plane. `None` if the repository has no rule.
pub(crate) async fn listed(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    named: &Named,
    subject: &Digest,
    is_fresh_wanted: bool,
) -> Result<Option<Listed>, CatalogError> {
    let registry = &visitor.registry;
    let Some(question) = Question::new(registry, granted.resource(), subject).await? else {
        return Ok(None);
    };
    let question = Question {
        is_fresh_wanted,
        path: visitor.pull_path.clone(),
        ..question
    };
    let known = question.known().await?;
    let listed = match known.fresh(is_fresh_wanted) {
        Ok(listed) => listed,
        Err(known) => {
            let may_ask =
                visitor.asks_upstream && visitor.may::<kinds::BatchImportUpstreamImage>(named).await.is_some();
            question.ask(known, may_ask, Some(&*visitor.caller)).await?
        }
    };
    registry.metrics().cached_referrers(listed.note);
    Ok(Some(listed))
}

impl Registry {
    /// What refers to `subject` in the registry that `repository` comes from, by digest: asked there if the last answer is old
    /// and `granted` says that the caller may; else as it was last known. Nothing if the repository comes from nowhere.
    /// An upstream that fails is no error.
    pub async fn upstream_referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        granted: Option<&Granted<kinds::BatchImportUpstreamImage>>,
    ) -> Result<Vec<Referrer>, CatalogError> {
        let Some(question) = Question::new(self, repository, subject).await? else {
            return Ok(Vec::new());
        };
        let listed = match question.known().await?.fresh(false) {
            Ok(listed) => listed,
            Err(known) => {
                let may_ask = granted.is_some_and(|granted| granted.resource() == repository);
                question.ask(known, may_ask, None).await?
            }
        };
        self.metrics().cached_referrers(listed.note);
        Ok(listed.referrers)
    }
}

struct Question<'q> {
    registry: &'q Registry,
    repository: &'q RepositoryPath,
    subject: &'q Digest,
    is_fresh_wanted: bool,
    /// Since when an answer counts as one to this question: from before it was looked what is here, in whole milliseconds, as
    /// answers are.
    asked_at: Timestamp,
    /// By which other registries it came.
    path: PullPath,
    through: Arc<dyn PullThrough>,
    upstream: Arc<Upstream>,
}

/// What is here of what the upstream said.
#[derive(Debug, Default)]
struct Known {
    referrers: Vec<Referrer>,
    /// When the upstream said so; `None` if it never did.
    validated_at: Option<Timestamp>,
    /// How long ago that is; `None` if it shall be asked anew.
    age: Option<Duration>,
}

impl Question<'_> {
    async fn new<'q>(
        registry: &'q Registry,
        repository: &'q RepositoryPath,
        subject: &'q Digest,
    ) -> Result<Option<Question<'q>>, CatalogError> {
        let asked_at = in_millis(registry.now());
        let found = registry.upstream(repository).await?;
        Ok(found.map(|(through, upstream)| Question {
            registry,
            repository,
            subject,
            is_fresh_wanted: false,
            asked_at,
            path: PullPath::default(),
            through,
            upstream,
        }))
    }

    async fn known(&self) -> Result<Known, CatalogError> {
        let Some(found) = self.through.referrers(self.repository, self.subject).await? else {
            return Ok(Known::default());
        };
        let is_asked = found.validated_at > Timestamp::UNIX_EPOCH;
        let age = self.registry.now().duration_since(found.validated_at);
        Ok(Known {
            referrers: found.referrers,
            validated_at: Some(found.validated_at),
            // A clock that went back makes it as old as can be.
            age: Duration::try_from(age).ok().filter(|_| is_asked),
        })
    }

    /// Asks the upstream if that may be, and keeps what it says. `creator`: as whom the repository may be created.
    async fn ask(&self, known: Known, may_ask: bool, creator: Option<&Caller>) -> Result<Listed, CatalogError> {
        if !may_ask {
            return Ok(known.stale("the caller may not ask it"));
        }
        let upstream = match self.upstream.asked_along(&self.path) {
            Ok(upstream) => upstream,
            Err(error) => {
                let error = refuse_to_pass_on(self.registry, self.repository, error);
                return Ok(known.stale(path_label(error)));
            }
        };
        if let Some(error) = self.trouble() {
            return Ok(known.without(&error));
        }
        let _flight = match self.registry.cache().flights.enter(self.about(), &self.path).await {
            Ok(flight) => flight,
            Err(error) => return Ok(known.without(&error)),
        };
        // Whoever was first may have asked for us, too.
        let known = self.known().await?;
        let since = self.asked_at..=self.registry.now();
        if known
            .validated_at
            .is_some_and(|validated_at| since.contains(&validated_at))
        {
            return Ok(Listed {
                referrers: known.referrers,
                note: Note::Revalidated,
            });
        }
        if let Some(error) = self.trouble_by_now() {
            return Ok(known.without(&error));
        }
        let limit = if known.validated_at.is_some() {
            REVALIDATION_TIMEOUT
        } else {
            FIRST_TIMEOUT
        };
        self.registry.metrics().cache_questions.inc();
        let asked = upstream.remote.referrers(&upstream.repository, self.subject);
        let answer = timeout(limit, asked).await;
        match answer.unwrap_or_else(|_| Err(UpstreamError::Timeout("no list of referrers in time"))) {
            Ok(descriptors) => self.keep(&known, descriptors, creator).await,
            Err(error) => {
                self.registry.metrics().cache_failures.inc();
                self.note(&error);
                Ok(known.without(&error))
            }
        }
    }

    async fn keep(
        &self,
        known: &Known,
        descriptors: Vec<Descriptor>,
        creator: Option<&Caller>,
    ) -> Result<Listed, CatalogError> {
        let told = descriptors.len();
        let mut referrers = tidy(descriptors);
        if referrers.len() < told {
            tracing::warn!(repository.name = %self.repository.name, manifest.digest = %self.subject, told, kept = referrers.len(),
                "an upstream told of more referrers than are kept, or of some twice");
        }
        if !referrers.is_empty() && !self.ensure_repository(creator).await? {
            // Who may not have the repository gets nothing of it.
            referrers.clear();
        }
        let is_kept = self
            .through
            .keep_referrers(self.repository, self.subject, &referrers)
            .await?;
        if !is_kept {
            // The next one need not ask at once.
            self.note(&UpstreamError::NotFound);
        }
        let note = if known.validated_at.is_some() {
            Note::Revalidated
        } else {
            Note::Miss
        };
        Ok(Listed { referrers, note })
    }

    async fn ensure_repository(&self, creator: Option<&Caller>) -> Result<bool, CatalogError> {
        if self.registry.catalog().repository_exists(self.repository).await? {
            return Ok(true);
        }
        let Some(creator) = creator else { return Ok(false) };
        let created = self.through.create_repository(creator, self.repository).await;
        Ok(created.unwrap_or_else(|error| {
            tracing::debug!(repository.name = %self.repository.name, error = %error, "a repository was not created");
            false
        }))
    }

    fn about(&self) -> About {
        About::Referrers(self.repository.clone(), *self.subject)
    }

    fn note(&self, error: &UpstreamError) {
        if *error != UpstreamError::NotFound {
            tracing::warn!(repository.name = %self.repository.name, manifest.digest = %self.subject,
                upstream = %self.upstream.remote.registry(), error = %error, "an upstream did not list referrers");
        }
        // As with manifests: it may be there for those who ask here.
        if *error == UpstreamError::NotFound && !self.path.is_empty() {
            return;
        }
        self.registry.cache().troubles.note(&self.upstream, self.about(), error);
    }

    /// What is known to go wrong. Who wants an answer that is fresh may have what was absent asked for again.
    fn trouble(&self) -> Option<UpstreamError> {
        if self.is_fresh_wanted {
            self.registry.cache().troubles.forget(&self.about());
        }
        self.trouble_by_now()
    }

    /// The same when others may have asked since the question came: what they were told is fresh.
    fn trouble_by_now(&self) -> Option<UpstreamError> {
        self.registry.cache().troubles.of(&self.upstream, &self.about())
    }
}

impl Known {
    /// What needs no question.
    fn fresh(self, is_fresh_wanted: bool) -> Result<Listed, Self> {
        match self.age {
            Some(age) if age < FRESHNESS && !is_fresh_wanted => Ok(Listed {
                referrers: self.referrers,
                note: Note::Hit(age),
            }),
            Some(_) | None => Err(self),
        }
    }

    fn stale(self, why: &'static str) -> Listed {
        Listed {
            referrers: self.referrers,
            note: Note::Stale(self.age.unwrap_or_default(), why),
        }
    }

    /// What there is though the upstream does not answer.
    fn without(self, error: &UpstreamError) -> Listed {
        match error {
            // It said so a moment ago.
            UpstreamError::NotFound => Listed {
                referrers: self.referrers,
                note: Note::Hit(Duration::ZERO),
            },
            error => self.stale(label(error)),
        }
    }
}

/// What is kept of a list: by digest, each once, and not too much.
fn tidy(descriptors: Vec<Descriptor>) -> Vec<Referrer> {
    let mut bytes = 0;
    let mut referrers = BTreeMap::new();
    for descriptor in descriptors {
        let annotations = descriptor.annotations.iter();
        bytes += annotations.map(|(key, value)| key.len() + value.len()).sum::<usize>();
        bytes += descriptor.artifact_type.as_ref().map_or(0, String::len) + REFERRER_BYTES;
        if referrers.len() >= MAX_REFERRERS || bytes > MAX_BYTES {
            break;
        }
        referrers.entry(descriptor.digest).or_insert_with(|| Referrer {
            digest: descriptor.digest,
            media_type: descriptor.media_type,
            size: descriptor.size,
            artifact_type: descriptor.artifact_type,
            annotations: descriptor.annotations,
        });
    }
    referrers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use hythe_model::{Algorithm, MediaType};

    use super::*;

    fn descriptor(number: usize, annotation_bytes: usize) -> Descriptor {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let annotations = json_map(annotation_bytes);
        let text = serde_json::json!({
            "mediaType": MediaType::OCI_MANIFEST,
            "digest": Digest::new(Algorithm::Sha256, &hash).unwrap(),
            "size": number,
            "annotations": annotations,
        });
        serde_json::from_value(text).unwrap()
    }

    fn json_map(bytes: usize) -> BTreeMap<String, String> {
        BTreeMap::from([("a".to_owned(), "x".repeat(bytes))])
    }

    #[test]
    fn a_list_is_sorted_without_doubles_and_bounded() {
        let mut twice = descriptor(1, 1);
        twice.size = 99;
        let tidied = tidy(vec![descriptor(2, 1), descriptor(1, 1), twice]);
        assert_eq!(
            tidied.iter().map(|it| it.size).collect::<Vec<_>>(),
            [1, 2],
            "the first counts"
        );
        let many = tidy((0..5000).map(|number| descriptor(number, 1)).collect());
        assert_eq!(many.len(), MAX_REFERRERS);
        let large = tidy((0..10).map(|number| descriptor(number, MAX_BYTES / 4)).collect());
        assert_eq!(large.len(), 3);
        assert!(tidy(vec![descriptor(1, MAX_BYTES)]).is_empty());
    }
}
