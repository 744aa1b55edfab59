// SPDX-License-Identifier: Apache-2.0

use hythe_meta::{
    ChangeCreationTemplateError, CreateCreationTemplateError, CreationTemplateRecord, CreationTemplateSettings,
    MAX_CREATION_TEMPLATES_PER_ACCOUNT, NewPolicies, NewRepository,
};
use hythe_model::{CreationTrigger, RepositoryPrefix, ResourceTags, TagMutability, TagMutabilityMode};

use crate::contents::{account, after, new_repository, now, path};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_template_comes_back_as_created,
    a_template_changes_by_version,
    templates_page_by_prefix_up_to_a_limit,
    a_repository_has_its_policies_from_the_start,
);

fn prefix(text: &str) -> RepositoryPrefix {
    text.parse().unwrap()
}

fn template(prefix_: &str) -> CreationTemplateRecord {
    CreationTemplateRecord {
        account: account(),
        prefix: prefix(prefix_),
        settings: CreationTemplateSettings {
            description: Some("größe \"'".into()),
            applied_for: vec![CreationTrigger::CreateOnPush, CreationTrigger::Replication],
            tag_mutability: TagMutability::new(TagMutabilityMode::ImmutableWithExclusion, ["dev-*".parse().unwrap()])
                .unwrap(),
            allow_sparse_indexes: true,
            tags: ResourceTags::new([("team".to_owned(), "a".to_owned())]).unwrap(),
            repository_policy: Some("{}".into()),
            lifecycle_policy: None,
            ..CreationTemplateSettings::default()
        },
        created_at: now(),
        updated_at: now(),
        version: 0,
    }
}

async fn a_template_comes_back_as_created(database: &Database) {
    let store = &database.store;
    let created = store.create_creation_template(&template("prod")).await.unwrap();
    assert_ne!(created.version, 0);
    let found = store.creation_template(&account(), &prefix("prod")).await.unwrap();
    assert_eq!(found, Some(created));
    let again = store.create_creation_template(&template("prod")).await;
    assert!(
        matches!(again, Err(CreateCreationTemplateError::AlreadyExists)),
        "{again:?}"
    );
    let other = store.creation_template(&account(), &prefix("ROOT")).await.unwrap();
    assert_eq!(other, None);
}

async fn a_template_changes_by_version(database: &Database) {
    let store = &database.store;
    let created = store.create_creation_template(&template("prod")).await.unwrap();
    let settings = CreationTemplateSettings::default();
    let update = |expected| {
        let prefix = prefix("prod");
        let settings = settings.clone();
        async move {
            store
                .update_creation_template(&account(), &prefix, settings, after(5), expected)
                .await
        }
    };
    let updated = update(created.version).await.unwrap();
    assert_eq!(
        (&updated.settings, updated.created_at, updated.updated_at),
        (&settings, now(), after(5))
    );
    let found = store.creation_template(&account(), &prefix("prod")).await.unwrap();
    assert_eq!(found.as_ref(), Some(&updated));
    let late = update(created.version).await;
    assert!(
        matches!(late, Err(ChangeCreationTemplateError::VersionMismatch)),
        "{late:?}"
    );
    let delete = |expected| {
        let prefix = prefix("prod");
        async move { store.delete_creation_template(&account(), &prefix, expected).await }
    };
    let late = delete(Some(created.version)).await;
    assert!(
        matches!(late, Err(ChangeCreationTemplateError::VersionMismatch)),
        "{late:?}"
    );
    assert_eq!(delete(Some(updated.version)).await.unwrap(), updated);
    for gone in [delete(None).await, update(updated.version).await] {
        assert!(matches!(gone, Err(ChangeCreationTemplateError::Unknown)), "{gone:?}");
    }
}

async fn templates_page_by_prefix_up_to_a_limit(database: &Database) {
    let store = &database.store;
    for number in 0..MAX_CREATION_TEMPLATES_PER_ACCOUNT {
        let name = format!("p{number:03}");
        store.create_creation_template(&template(&name)).await.unwrap();
    }
    let refused = store.create_creation_template(&template("ROOT")).await;
    assert!(
        matches!(refused, Err(CreateCreationTemplateError::LimitExceeded)),
        "{refused:?}"
    );
    let page = store
        .creation_templates(&account(), Some(&prefix("p010")), 2)
        .await
        .unwrap();
    let prefixes: Vec<_> = page.iter().map(|it| it.prefix.as_str()).collect();
    assert_eq!(prefixes, ["p011", "p012"]);
}

async fn a_repository_has_its_policies_from_the_start(database: &Database) {
    let store = &database.store;
    let repository = NewRepository {
        policies: NewPolicies {
            repository: Some(("{\"a\":1}".into(), after(1))),
            lifecycle: Some(("{\"rules\":[]}".into(), after(3600))),
        },
        ..new_repository("prod/web")
    };
    store.create_repository(repository).await.unwrap();
    let path = path("prod/web");
    let policy = store.repository_policy(&path).await.unwrap().unwrap();
    assert_eq!((policy.text.as_str(), policy.updated_at), ("{\"a\":1}", after(1)));
    let lifecycle = store.lifecycle_policy(&path).await.unwrap().unwrap();
    assert_eq!(lifecycle.document.text, "{\"rules\":[]}");
    assert_eq!(lifecycle.last_evaluated_at, None);
}
