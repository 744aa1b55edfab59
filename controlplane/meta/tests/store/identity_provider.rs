// SPDX-License-Identifier: Apache-2.0

use hythe_meta::{
    CreateIdentityProviderError, IdentityProviderRecord, IdentityProviderSettings, UpdateIdentityProviderError,
};
use hythe_model::ProviderName;

use crate::contents::{account, now};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_provider_comes_back_as_created,
    a_provider_changes_by_version,
    providers_page_by_name,
);

const MAX: usize = 3;

fn provider(url: &str) -> IdentityProviderRecord {
    IdentityProviderRecord {
        account: account(),
        url: url.parse().unwrap(),
        settings: IdentityProviderSettings {
            client_ids: vec!["hythe".into(), "größe \"'".into()],
            algorithms: vec!["RS256".into()],
            ca_bundle: Some("-----BEGIN".into()),
            jwks: None,
            description: Some("CI".into()),
        },
        created_at: now(),
        updated_at: now(),
        version: 1,
    }
}

fn name(text: &str) -> ProviderName {
    text.parse().unwrap()
}

async fn a_provider_comes_back_as_created(database: &Database) {
    let store = &database.store;
    let created = provider("https://a.example/x");
    store.create_identity_provider(&created, MAX).await.unwrap();
    let found = store.identity_provider(&account(), &name("a.example/x")).await.unwrap();
    assert_eq!(found, Some(created.clone()));
    assert_eq!(
        created.arn(),
        format!("arn:aws:iam::{}:oidc-provider/a.example/x", account())
    );
    let again = store.create_identity_provider(&created, MAX).await;
    assert!(
        matches!(again, Err(CreateIdentityProviderError::AlreadyExists)),
        "{again:?}"
    );
    for url in ["https://b.example", "https://c.example"] {
        store.create_identity_provider(&provider(url), MAX).await.unwrap();
    }
    let again = store.create_identity_provider(&created, MAX).await;
    assert!(
        matches!(again, Err(CreateIdentityProviderError::AlreadyExists)),
        "{again:?}"
    );
    let more = store
        .create_identity_provider(&provider("https://d.example"), MAX)
        .await;
    assert!(
        matches!(more, Err(CreateIdentityProviderError::LimitExceeded)),
        "{more:?}"
    );
    let elsewhere = IdentityProviderRecord {
        account: "111111111111".parse().unwrap(),
        ..provider("https://d.example")
    };
    store.create_identity_provider(&elsewhere, MAX).await.unwrap();
    assert_eq!(
        store.identity_provider(&account(), &name("d.example")).await.unwrap(),
        None
    );
}

async fn a_provider_changes_by_version(database: &Database) {
    let store = &database.store;
    store
        .create_identity_provider(&provider("https://a.example"), MAX)
        .await
        .unwrap();
    let settings = IdentityProviderSettings {
        client_ids: vec!["other".into()],
        algorithms: vec!["EdDSA".into()],
        jwks: Some("{}".into()),
        ..IdentityProviderSettings::default()
    };
    let update = async |of: &str, version| {
        store
            .update_identity_provider(&account(), &name(of), &settings, now(), version)
            .await
    };
    let changed = update("a.example", 1).await.unwrap();
    assert_eq!((changed.version, &changed.settings), (2, &settings));
    let stale = update("a.example", 1).await;
    assert!(
        matches!(stale, Err(UpdateIdentityProviderError::VersionMismatch)),
        "{stale:?}"
    );
    let unknown = update("b.example", 1).await;
    assert!(
        matches!(unknown, Err(UpdateIdentityProviderError::Unknown)),
        "{unknown:?}"
    );
    let gone = store
        .delete_identity_provider(&account(), &name("a.example"))
        .await
        .unwrap();
    assert_eq!(gone, Some(changed));
    let gone = store
        .delete_identity_provider(&account(), &name("a.example"))
        .await
        .unwrap();
    assert_eq!(gone, None);
}

async fn providers_page_by_name(database: &Database) {
    let store = &database.store;
    for url in ["https://b.example", "https://a.example/b", "https://a.example"] {
        store.create_identity_provider(&provider(url), MAX).await.unwrap();
    }
    let page = async |after: Option<&str>, limit| {
        let found = store
            .identity_providers(&account(), after.map(name).as_ref(), limit)
            .await
            .unwrap();
        found
            .iter()
            .map(|found| found.name().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(page(None, 9).await, "a.example a.example/b b.example");
    assert_eq!(page(Some("a.example"), 1).await, "a.example/b");
    assert_eq!(page(Some("b.example"), 1).await, "");
}
