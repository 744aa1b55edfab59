// SPDX-License-Identifier: Apache-2.0
//! Brings what a repository is like, beside its images, to the control plane of another deployment.
//!
//! What is there is read first and compared, and only what differs is changed: so nothing goes back and forth between
//! deployments that replicate to each other, and whoever does it there needs rights for what rules bring and for nothing else.

use http::{HeaderName, HeaderValue, Method};
use hythe_meta::{DestinationKind, ReplicationOutcome, RepositoryRecord};
use hythe_model::{REPLICATION_HEADER, RegistryUrl, ReplicatedSetting, RepositoryName, fail_point};
use hythe_upstream::{ControlAnswer, RemoteControl};
use hythe_wire::{
    ImageScanningConfiguration, LifecyclePolicy, Problem, PutLifecyclePolicy, PutResourceTags, Repository,
    RepositoryPolicy, ResourceTag, SetRepositoryPolicy, UpdateRepository, code, path,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::SendError;
use super::{ClaimedReplication, Replicator};
use crate::add;

/// The longest text of a refusal that is kept, in characters.
const MAX_REFUSAL_CHARS: usize = 512;

/// A repository there.
struct There<'c> {
    control: RemoteControl,
    claimed: &'c ClaimedReplication,
}

impl Replicator {
    /// Brings the settings of a repository to a destination, as they are now; deletes the repository there if it is gone.
    pub(super) async fn send_settings(&self, claimed: &ClaimedReplication) -> Result<ReplicationOutcome, SendError> {
        let task = &claimed.task;
        let record = self.0.store.repository(&task.repository).await?;
        // Another of this name may have been here when the task was queued, and one that is there may be anybody's.
        if record.is_some() && !self.0.store.has_arrived(&task.repository, &task.place).await? {
            return Ok(ReplicationOutcome::Absent);
        }
        let there = There {
            control: self.control(claimed)?,
            claimed,
        };
        let Some(record) = record else {
            if task.may_delete && claimed.wanted.deletes {
                return self.delete_repository(&there).await;
            }
            return Ok(ReplicationOutcome::Absent);
        };
        let Some(found) = there.repository().await? else {
            return Ok(ReplicationOutcome::Absent);
        };
        // What is refused does not keep the rest from going; whoever does not answer is not asked for the rest.
        let mut refusals = Vec::new();
        for setting in &claimed.wanted.settings {
            match self.put_setting(&there, *setting, &record, &found).await {
                Ok(is_changed) => add(&self.0.metrics.settings, u64::from(is_changed)),
                Err(refusal @ SendError::Control { .. }) => refusals.push(refusal),
                Err(error) => return Err(error),
            }
            fail_point("replication.setting.sent");
        }
        if !refusals.is_empty() {
            return Err(SendError::Refusals(refusals));
        }
        Ok(ReplicationOutcome::Done {
            sent: Vec::new(),
            short_of: None,
        })
    }

    /// Brings one of them; says whether it was another there.
    async fn put_setting(
        &self,
        there: &There<'_>,
        setting: ReplicatedSetting,
        record: &RepositoryRecord,
        found: &Repository,
    ) -> Result<bool, SendError> {
        let (store, repository) = (&self.0.store, &there.claimed.task.repository);
        match setting {
            ReplicatedSetting::RepositorySettings => there.put_settings(record, found).await,
            ReplicatedSetting::ResourceTags => there.put_tags(record, found).await,
            ReplicatedSetting::LifecyclePolicy => {
                let policy = store.lifecycle_policy(repository).await?;
                there
                    .put_lifecycle_policy(policy.map(|policy| policy.document.text))
                    .await
            }
            ReplicatedSetting::RepositoryPolicy => {
                let policy = store.repository_policy(repository).await?;
                there.put_policy(policy.map(|policy| policy.text)).await
            }
        }
    }

    /// Deletes a repository there that is gone here, unless it holds images of its own.
    async fn delete_repository(&self, there: &There<'_>) -> Result<ReplicationOutcome, SendError> {
        let task = &there.claimed.task;
        if self.0.store.has_waiting_images(&task.repository, &task.place).await? {
            return Err(SendError::ImagesWait);
        }
        let path = there.path(path::repository);
        let answer = there.control.ask(Method::DELETE, &path, None).await?;
        match code_of(&answer).as_str() {
            // It holds what did not come from here.
            code::REPOSITORY_NOT_EMPTY | code::REPOSITORY_NOT_FOUND => {}
            _ => drop(success("delete the repository", answer)?),
        }
        Ok(ReplicationOutcome::Absent)
    }

    fn control(&self, claimed: &ClaimedReplication) -> Result<RemoteControl, SendError> {
        let settings = &claimed.destination.settings;
        let (DestinationKind::Hythe, Some(endpoint)) = (settings.kind, &settings.control_endpoint) else {
            return Err(SendError::NoControlPlane);
        };
        let url: RegistryUrl = endpoint.parse().map_err(|_| SendError::Endpoint(endpoint.clone()))?;
        let credential = self.credential(claimed)?;
        let control = RemoteControl::new(self.0.outgoing.clone(), url, credential.as_ref());
        let path = HeaderValue::try_from(self.path(claimed)?.to_string()).map_err(|_| SendError::Path)?;
        Ok(control.with_header(HeaderName::from_static(REPLICATION_HEADER), path))
    }
}

impl There<'_> {
    /// The path of something of the repository, in the account that it goes to.
    fn path(&self, of: impl Fn(&RepositoryName) -> String) -> String {
        let task = &self.claimed.task;
        format!("{}?registryId={}", of(&task.repository.name), task.place.account)
    }

    async fn repository(&self) -> Result<Option<Repository>, SendError> {
        let path = self.path(path::repository);
        self.read("read the repository", &path, code::REPOSITORY_NOT_FOUND)
            .await
    }

    async fn put_settings(&self, wanted: &RepositoryRecord, found: &Repository) -> Result<bool, SendError> {
        let mut update = UpdateRepository::default();
        let filters: Vec<_> = wanted.tag_mutability.filters().cloned().map(Into::into).collect();
        let mode = wanted.tag_mutability.mode();
        if mode != found.image_tag_mutability || filters != found.image_tag_mutability_exclusion_filters {
            update.image_tag_mutability = Some(mode);
            update.image_tag_mutability_exclusion_filters = Some(filters);
        }
        if wanted.scan_on_push != found.image_scanning_configuration.scan_on_push {
            let scan_on_push = wanted.scan_on_push;
            update.image_scanning_configuration = Some(ImageScanningConfiguration { scan_on_push });
        }
        if wanted.allow_sparse_indexes != found.allow_sparse_indexes {
            update.allow_sparse_indexes = Some(wanted.allow_sparse_indexes);
        }
        if update == UpdateRepository::default() {
            return Ok(false);
        }
        self.write("change the settings", Method::PATCH, path::repository, Some(&update))
            .await
    }

    async fn put_tags(&self, wanted: &RepositoryRecord, found: &Repository) -> Result<bool, SendError> {
        let tags = wanted.tags.iter().map(|(key, value)| ResourceTag {
            key: key.to_owned(),
            value: value.to_owned(),
        });
        let tags: Vec<_> = tags.collect();
        let is_there = |tag: &ResourceTag| found.tags.contains(tag);
        if tags.len() == found.tags.len() && tags.iter().all(is_there) {
            return Ok(false);
        }
        // Who takes nothing away needs no right to do so.
        let is_kept = |old: &ResourceTag| tags.iter().any(|tag| tag.key == old.key);
        let method = if found.tags.iter().all(is_kept) {
            Method::POST
        } else {
            Method::PUT
        };
        let body = PutResourceTags { tags };
        self.write("set the resource tags", method, path::resource_tags, Some(&body))
            .await
    }

    async fn put_lifecycle_policy(&self, wanted: Option<String>) -> Result<bool, SendError> {
        let (what, path) = ("read the lifecycle policy", self.path(path::lifecycle_policy));
        let found: Option<LifecyclePolicy> = self.read(what, &path, code::LIFECYCLE_POLICY_NOT_FOUND).await?;
        let found = found.map(|found| found.lifecycle_policy_text);
        if is_same(wanted.as_deref(), found.as_deref()) {
            return Ok(false);
        }
        let what = "change the lifecycle policy";
        let Some(lifecycle_policy_text) = wanted else {
            return self
                .write::<()>(what, Method::DELETE, path::lifecycle_policy, None)
                .await;
        };
        let body = PutLifecyclePolicy { lifecycle_policy_text };
        self.write(what, Method::PUT, path::lifecycle_policy, Some(&body)).await
    }

    async fn put_policy(&self, wanted: Option<String>) -> Result<bool, SendError> {
        let (what, path) = ("read the policy", self.path(path::repository_policy));
        let found: Option<RepositoryPolicy> = self.read(what, &path, code::REPOSITORY_POLICY_NOT_FOUND).await?;
        let found = found.map(|found| found.policy_text);
        if is_same(wanted.as_deref(), found.as_deref()) {
            return Ok(false);
        }
        let what = "change the policy";
        let Some(policy_text) = wanted else {
            return self
                .write::<()>(what, Method::DELETE, path::repository_policy, None)
                .await;
        };
        // Whether whoever set it here is locked out was asked here.
        let body = SetRepositoryPolicy {
            policy_text,
            force: true,
        };
        self.write(what, Method::PUT, path::repository_policy, Some(&body))
            .await
    }

    /// Reads something; `None` if the answer has the code that says that it is not there.
    async fn read<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        absent: &str,
    ) -> Result<Option<T>, SendError> {
        let answer = self.control.ask(Method::GET, path, None).await?;
        if answer.status == 404 && code_of(&answer) == absent {
            return Ok(None);
        }
        let body = success(what, answer)?;
        serde_json::from_value(body)
            .map(Some)
            .map_err(|_| SendError::NoControlPlane)
    }

    async fn write<T: Serialize>(
        &self,
        what: &'static str,
        method: Method,
        of: impl Fn(&RepositoryName) -> String,
        body: Option<&T>,
    ) -> Result<bool, SendError> {
        let body = body.map(serde_json::to_value).transpose();
        let body = body.map_err(|_| SendError::NoControlPlane)?;
        let answer = self.control.ask(method, &self.path(of), body.as_ref()).await?;
        success(what, answer).map(|_| true)
    }
}

/// Policies are the same if they say the same.
fn is_same(wanted: Option<&str>, found: Option<&str>) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (wanted, found) {
        (Some(wanted), Some(found)) => wanted == found || (read(wanted).is_some() && read(wanted) == read(found)),
        (wanted, found) => wanted.is_none() && found.is_none(),
    }
}

fn problem(answer: &ControlAnswer) -> Option<Problem> {
    serde_json::from_value(answer.body.clone()).ok()
}

fn code_of(answer: &ControlAnswer) -> String {
    problem(answer)
        .filter(|_| answer.status >= 400)
        .map(|problem| problem.code)
        .unwrap_or_default()
}

/// The body of an answer that is a success.
fn success(what: &'static str, answer: ControlAnswer) -> Result<Value, SendError> {
    if (200..300).contains(&answer.status) {
        return Ok(answer.body);
    }
    let said = problem(&answer).map(|problem| problem.detail).unwrap_or_default();
    Err(SendError::Control {
        what,
        status: answer.status,
        said: said.chars().take(MAX_REFUSAL_CHARS).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_compared_by_what_they_say() {
        // Here, there, whether they are the same.
        let cases = [
            (None, None, true),
            (Some("{}"), None, false),
            (None, Some("{}"), false),
            (Some(r#"{"a":1,"b":[2]}"#), Some("{ \"b\": [2], \"a\": 1 }"), true),
            (Some(r#"{"a":1}"#), Some(r#"{"a":2}"#), false),
            (Some("no JSON"), Some("no JSON"), true),
            (Some("no JSON"), Some("none either"), false),
        ];
        for (wanted, found, is_expected) in cases {
            assert_eq!(is_same(wanted, found), is_expected, "{wanted:?} {found:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_refused_and_why() {
        let answer = |status, body| ControlAnswer { status, body };
        let refusal = |what| success(what, answer(400, json!({ "code": "x", "detail": "no" }))).unwrap_err();
        assert_eq!(
            SendError::Refusals(vec![refusal("set a"), refusal("set b")]).to_string(),
            "the control plane does not let us set a (status 400): no; the control plane does not let us set b (status 400): no"
        );
        assert_eq!(success("read", answer(200, json!(1))).unwrap(), json!(1));
        let problem = json!({ "code": "AccessDeniedException", "detail": "not authorized" });
        let refused = success("set the policy", answer(403, problem)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the control plane does not let us set the policy (status 403): not authorized"
        );
        // What is no control plane says nothing that can be understood.
        assert_eq!(code_of(&answer(404, json!("not found"))), "");
        assert!(success("read", answer(404, Value::Null)).is_err());
    }
}
