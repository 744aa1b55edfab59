// SPDX-License-Identifier: Apache-2.0
//! `/registry/replication`: the document, the rules beside it, and how it goes.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::{AccountId, RegistryPlace};
use hythe_operations::{
    ImageReplicationStatus as Status, ReplicationRule as Rule, ReplicationRules, ReplicationState, ReplicationSubject,
    ReplicationTask as Task, RuleName, TaskFilter,
};
use hythe_wire::{
    Enabled, FailedReplicationTasks, ImageReplicationStatus, ImageReplicationStatuses, InRegistry, ListQuery,
    ListReplicationTasks, NamedReplicationRule, NamedReplicationRulePage, PutReplicationConfiguration,
    PutReplicationRule, RegistryReplication, ReplicationConfiguration, ReplicationProgress, ReplicationProgressList,
    ReplicationRule, ReplicationStatus, ReplicationTarget, ReplicationTask, ReplicationTaskCount, ReplicationTaskPage,
    ReplicationTaskSubject, RepositoryFilter, RepositoryFilterType, RepositoryReplicationStatus,
    RepositoryReplicationStatuses,
};

use super::{Handled, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

/// The version of a document that nobody has put.
const ABSENT: i64 = 0;

pub(crate) async fn get(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::DescribeRegistry>(account.clone()).await?;
    let found = context.plane.replication_configuration(&granted).await?;
    document(account, found)
}

pub(crate) async fn put(context: Context, Json(body): Json<PutReplicationConfiguration>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(account.clone())
        .await?;
    let rules = body.replication_configuration.rules;
    let rules = rules.into_iter().map(|rule| parsed(rule, &account)).collect();
    let put = context
        .plane
        .put_replication_configuration(&granted, rules, context.if_match()?)
        .await?;
    document(account, put)
}

pub(crate) async fn list_rules(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::DescribeRegistry>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .named_replication_rules(&granted, page.after()?, page.limit)
        .await?;
    let rules = found.items.into_iter().map(|rule| named(&account, rule));
    let answer = NamedReplicationRulePage {
        replication_rules: rules.collect::<Result<_, _>>()?,
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn get_rule(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::DescribeRegistry>(account.clone()).await?;
    let found = context
        .plane
        .named_replication_rule(&granted, &rule_name(&context)?)
        .await?;
    let version = found.version;
    json(StatusCode::OK, &named(&account, found)?, Some(version))
}

pub(crate) async fn put_rule(context: Context, Json(body): Json<PutReplicationRule>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(account.clone())
        .await?;
    let rule = parsed(body.rule, &account);
    let put = context
        .plane
        .put_named_replication_rule(&granted, &rule_name(&context)?, rule, context.if_match()?)
        .await?;
    let version = put.version;
    json(StatusCode::OK, &named(&account, put)?, Some(version))
}

pub(crate) async fn delete_rule(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(account.clone())
        .await?;
    let deleted = context
        .plane
        .delete_named_replication_rule(&granted, &rule_name(&context)?, context.if_match()?)
        .await?;
    json(StatusCode::OK, &named(&account, deleted)?, None)
}

pub(crate) async fn progress(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeRegistry>(context.account(registry_id))
        .await?;
    let found = context.plane.replication_progress(&granted).await?;
    let destinations = found.into_iter().map(|waiting| ReplicationProgress {
        region: waiting.place.region,
        registry_id: waiting.place.account,
        waiting_count: waiting.waiting,
        failed_count: waiting.dead,
        oldest_waiting_since: waiting.oldest_at,
    });
    let answer = ReplicationProgressList {
        destinations: destinations.collect(),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn list_tasks(context: Context) -> Handled {
    let query: ListReplicationTasks = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::DescribeRegistry>(account.clone()).await?;
    let filter = TaskFilter {
        destination: query.region,
        is_dead: query.is_failed,
        id: None,
    };
    let filters = format!("{filter:?}");
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[&filters])?;
    let found = context
        .plane
        .replication_tasks(&granted, &filter, page.after()?, page.limit)
        .await?;
    let answer = ReplicationTaskPage {
        replication_tasks: found.items.into_iter().map(task).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn retry_tasks(context: Context) -> Handled {
    let query: FailedReplicationTasks = context.query()?;
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(context.account(query.registry_id.clone()))
        .await?;
    let count = context.plane.retry_replication_tasks(&granted, &failed(query)).await?;
    json(StatusCode::OK, &ReplicationTaskCount { count: count as u64 }, None)
}

pub(crate) async fn drop_tasks(context: Context) -> Handled {
    let query: FailedReplicationTasks = context.query()?;
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(context.account(query.registry_id.clone()))
        .await?;
    let count = context.plane.drop_replication_tasks(&granted, &failed(query)).await?;
    json(StatusCode::OK, &ReplicationTaskCount { count: count as u64 }, None)
}

pub(crate) async fn image_status(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::DescribeImageReplicationStatus>(repository.clone())
        .await?;
    let digest = context.digest()?;
    let found = context.plane.image_replication_status(&granted, &digest).await?;
    let answer = ImageReplicationStatuses {
        registry_id: repository.account,
        repository_name: repository.name,
        image_digest: digest,
        replication_statuses: found.into_iter().map(status).collect(),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn repository_status(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::DescribeRepositories>(repository.clone())
        .await?;
    let found = context.plane.repository_replication_status(&granted).await?;
    let statuses = found.into_iter().map(|status| {
        let (failure_code, failure_reason) = status.failure.map(|failure| (failure.code, failure.reason)).unzip();
        RepositoryReplicationStatus {
            region: status.place.region,
            registry_id: status.place.account,
            status: state(status.state),
            failure_code,
            failure_reason,
            updated_at: status.updated_at,
        }
    });
    let answer = RepositoryReplicationStatuses {
        registry_id: repository.account,
        repository_name: repository.name,
        replication_statuses: statuses.collect(),
    };
    json(StatusCode::OK, &answer, None)
}

fn rule_name(context: &Context) -> Result<RuleName, Problem> {
    context.path("ruleName")
}

fn failed(query: FailedReplicationTasks) -> TaskFilter {
    TaskFilter {
        destination: query.region,
        is_dead: Some(true),
        id: query.task_id,
    }
}

fn document(account: AccountId, found: Option<ReplicationRules>) -> Handled {
    let version = found.as_ref().map_or(ABSENT, |found| found.version);
    let rules = found.map(|found| found.rules).unwrap_or_default();
    let answer = RegistryReplication {
        registry_id: account,
        replication_configuration: ReplicationConfiguration {
            rules: rules.into_iter().map(shape).collect(),
        },
    };
    json(StatusCode::OK, &answer, Some(version))
}

fn named(account: &AccountId, found: ReplicationRules) -> Result<NamedReplicationRule, Problem> {
    let rule = found.rules.into_iter().next();
    Ok(NamedReplicationRule {
        registry_id: account.clone(),
        rule_name: found.name.to_string(),
        rule: shape(rule.ok_or_else(|| Problem::new(hythe_wire::code::INTERNAL, "the rule is empty"))?),
        updated_at: found.updated_at,
    })
}

fn parsed(rule: ReplicationRule, account: &AccountId) -> Rule {
    let place = |target: ReplicationTarget| RegistryPlace {
        region: target.region,
        account: target.registry_id.unwrap_or_else(|| account.clone()),
    };
    Rule {
        destinations: rule.destinations.into_iter().map(place).collect(),
        filters: rule
            .repository_filters
            .into_iter()
            .map(|filter| filter.filter)
            .collect(),
        deletes: rule.delete_replication.is_some_and(|it| it.enabled),
        chains: rule.replica_replication.is_some_and(|it| it.enabled),
        settings: rule.replicated_settings.into_iter().collect(),
    }
}

fn shape(rule: Rule) -> ReplicationRule {
    let enabled = |is_enabled: bool| is_enabled.then_some(Enabled { enabled: true });
    let target = |place: RegistryPlace| ReplicationTarget {
        region: place.region,
        registry_id: Some(place.account),
    };
    let filter = |filter: String| RepositoryFilter {
        filter,
        filter_type: RepositoryFilterType::PrefixMatch,
    };
    ReplicationRule {
        destinations: rule.destinations.into_iter().map(target).collect(),
        repository_filters: rule.filters.into_iter().map(filter).collect(),
        delete_replication: enabled(rule.deletes),
        replica_replication: enabled(rule.chains),
        replicated_settings: rule.settings.into_iter().collect(),
    }
}

fn task(task: Task) -> ReplicationTask {
    let (failure_code, failure_reason) = match task.failure {
        Some(failure) => (Some(failure.code), Some(failure.reason)),
        None => (None, None),
    };
    let (subject, image) = match task.subject {
        ReplicationSubject::Image { reference, digest } => {
            (ReplicationTaskSubject::Image, Some((reference.to_string(), digest)))
        }
        ReplicationSubject::Settings => (ReplicationTaskSubject::Settings, None),
    };
    let (reference, image_digest) = image.unzip();
    ReplicationTask {
        task_id: task.id,
        repository_name: task.repository.name,
        subject,
        reference,
        image_digest,
        region: task.place.region,
        registry_id: task.place.account,
        is_deletion: task.may_delete,
        is_failed: task.is_dead,
        attempts: task.attempts,
        failure_code,
        failure_reason,
        next_attempt_at: task.due_at,
        created_at: task.created_at,
    }
}

fn status(status: Status) -> ImageReplicationStatus {
    ImageReplicationStatus {
        region: status.place.region,
        registry_id: status.place.account,
        status: state(status.state),
        failure_code: status.failure_code,
        failure_reason: status.failure_reason,
        attempts: status.retry.map(|(attempts, _)| attempts),
        next_attempt_at: status.retry.map(|(_, at)| at),
        updated_at: status.updated_at,
    }
}

fn state(state: ReplicationState) -> ReplicationStatus {
    match state {
        ReplicationState::InProgress => ReplicationStatus::InProgress,
        ReplicationState::Complete => ReplicationStatus::Complete,
        ReplicationState::Failed => ReplicationStatus::Failed,
    }
}
