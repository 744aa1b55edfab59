// SPDX-License-Identifier: Apache-2.0
//! What the audit log is told of a policy, in ECR's form (ECR user guide, "Logging Amazon ECR actions with AWS
//! `CloudTrail`": policy execution events and dry run events).

use std::sync::Arc;

use hythe_access::{Facts, RequestId, Trail};
use hythe_meta::{ClaimedRun, LifecycleRow, lifecycle_event_image};
use hythe_model::{StorageClass, millis};
use hythe_rules::lifecycle::{Count, LifecycleAction, LifecyclePolicy, LifecycleRule, TagSelection};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A trail for what the server does by itself.
pub(super) fn trail(run: &ClaimedRun, event: &'static str, at: Timestamp, request: RequestId) -> Trail {
    let facts = Facts {
        operation: "lifecycle.run",
        event: Some(event),
        default_event: event,
        is_change: true,
        account: Some(run.path.account.clone()),
        repository: Some(run.path.name.as_str().into()),
        service_details: Some(Arc::from("{}")),
        ..Facts::default()
    };
    Trail::new(at, request, facts)
}

/// The policy.
pub(super) fn policy(run: &ClaimedRun, policy: &LifecyclePolicy) -> Value {
    json!({
        "lifecycleEventRules": policy.rules().iter().map(rule).collect::<Vec<_>>(),
        "lastEvaluatedAt": run.last_evaluated_at.map_or(0, millis),
        "policyVersion": run.policy_version,
        "policyId": run.id,
    })
}

/// An image that a rule takes.
pub(super) fn action(row: &LifecycleRow, rule: u32) -> Value {
    let image = lifecycle_event_image(&row.digest, &row.tags, millis(row.pushed_at));
    json!({ "lifecycleEventImage": image, "rulePriority": rule })
}

/// The whole.
pub(super) fn event(run: &ClaimedRun, policy: &Value, actions: &[Value]) -> Value {
    json!({
        "repositoryName": run.path.name,
        "runId": run.id,
        "lifecycleEventPolicy": policy,
        "lifecycleEventImageActions": actions,
        "lifecycleEventFailureDetails": [],
    })
}

fn rule(rule: &LifecycleRule) -> Value {
    let tag_status = match rule.tags() {
        TagSelection::Any => "Any",
        TagSelection::Untagged => "Untagged",
        TagSelection::Tagged(_) => "Tagged",
    };
    let mut selection = json!({ "tagStatus": tag_status, "storageClass": class(rule.storage_class()) });
    if let Some(members) = selection.as_object_mut() {
        if let Some((name, entries)) = rule.tags().list() {
            members.insert(name.into(), json!(entries));
        }
        if let Some(count) = rule.count() {
            members.insert("countType".into(), spoken(count).into());
            members.insert("countNumber".into(), count.number().into());
            if let Some(unit) = count.unit() {
                members.insert("countUnit".into(), unit.as_str().into());
            }
        }
    }
    let mut told = json!({
        "rulePriority": rule.priority().get(),
        "description": rule.description(),
        "lifecycleEventSelection": selection,
        "action": rule.action().as_str(),
    });
    if rule.action() == LifecycleAction::Transition
        && let Some(members) = told.as_object_mut()
    {
        members.insert("targetStorageClass".into(), class(StorageClass::Archive).into());
    }
    told
}

/// As prose, as all that is chosen from a list is here.
fn class(class: StorageClass) -> &'static str {
    match class {
        StorageClass::Standard => "Standard",
        StorageClass::Archive => "Archive",
    }
}

/// ECR writes what is counted as prose here.
fn spoken(count: Count) -> &'static str {
    match count {
        Count::ImageCountMoreThan(_) => "Image count more than",
        Count::SinceImagePushed(_) => "Since image pushed",
        Count::SinceImagePulled(_) => "Since image pulled",
        Count::SinceImageTransitioned(_) => "Since image transitioned",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_with_their_storage_classes() {
        let policy = json!({ "rules": [
            { "rulePriority": 1, "selection": { "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days",
                "countNumber": 30 }, "action": { "type": "transition", "targetStorageClass": "archive" } },
            { "rulePriority": 2, "selection": { "tagStatus": "any", "storageClass": "archive",
                "countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": 100 },
                "action": { "type": "expire" } },
        ] });
        let policy = LifecyclePolicy::parse(&policy.to_string()).unwrap();
        let told: Vec<_> = policy.rules().iter().map(rule).collect();
        assert_eq!(
            told,
            [
                json!({ "rulePriority": 1, "description": null, "action": "transition", "targetStorageClass": "Archive",
                    "lifecycleEventSelection": { "tagStatus": "Any", "storageClass": "Standard",
                        "countType": "Since image pushed", "countNumber": 30, "countUnit": "days" } }),
                json!({ "rulePriority": 2, "description": null, "action": "expire",
                    "lifecycleEventSelection": { "tagStatus": "Any", "storageClass": "Archive",
                        "countType": "Since image transitioned", "countNumber": 100, "countUnit": "days" } }),
            ]
        );
    }
}
