// SPDX-License-Identifier: Apache-2.0
//! Lists: repositories, tags and referrers.

use std::collections::BTreeMap;

use super::*;
use crate::{Referrer, referrers_with};

/// Runs every case of this module.
pub async fn all(fixture: &dyn Fixture) {
    repositories_are_listed_by_name(fixture).await;
    tags_are_listed_by_bytes(fixture).await;
    referrers_are_listed_with_what_clients_filter_by(fixture).await;
    referrers_page_by_digest(fixture).await;
    referrers_from_elsewhere_stand_between_those_of_the_catalog(fixture).await;
}

/// Repositories exist or not, and page by name within their account.
pub async fn repositories_are_listed_by_name(fixture: &dyn Fixture) {
    let (catalog, base) = (fixture.catalog(), path("000000000000"));
    assert!(!catalog.repository_exists(&base).await.unwrap());
    let child = |suffix: &str, account: &AccountId| RepositoryPath {
        account: account.clone(),
        name: format!("{}{suffix}", base.name).parse().unwrap(),
    };
    // By bytes: `-` before `.` before `/` before digits before `_` before letters.
    let suffixes = ["-a", ".a", "/a", "/b/c", "0", "_a", "a"];
    let stranger = "111111111111".parse().unwrap();
    for suffix in suffixes.iter().rev() {
        fixture
            .create_repository(&child(suffix, &base.account), TagMutability::default())
            .await;
    }
    fixture
        .create_repository(&child("/stranger", &stranger), TagMutability::default())
        .await;
    assert!(catalog.repository_exists(&child("/a", &base.account)).await.unwrap());
    assert!(!catalog.repository_exists(&child("/a", &stranger)).await.unwrap());
    assert!(
        !catalog
            .repository_exists(&child("/stranger", &base.account))
            .await
            .unwrap()
    );

    let want: Vec<_> = suffixes
        .iter()
        .map(|suffix| child(suffix, &base.account).name)
        .collect();
    let page = catalog
        .repository_names(&base.account, Some(&base.name), suffixes.len())
        .await
        .unwrap();
    assert_eq!(page, want, "after a name that does not exist");
    let (mut listed, mut after) = (Vec::new(), base.name.clone());
    while listed.len() < want.len() {
        let page = catalog.repository_names(&base.account, Some(&after), 2).await.unwrap();
        assert!((1..=2).contains(&page.len()));
        after = page.last().unwrap().clone();
        listed.extend(page);
    }
    listed.truncate(want.len());
    assert_eq!(listed, want);
    let strangers = catalog.repository_names(&stranger, Some(&base.name), 1).await.unwrap();
    assert_eq!(strangers, [child("/stranger", &stranger).name]);
    assert_eq!(catalog.repository_names(&base.account, None, 1).await.unwrap().len(), 1);
    let nobody = "999999999999".parse().unwrap();
    assert!(catalog.repository_names(&nobody, None, 10).await.unwrap().is_empty());
}

/// Tags page in the order of their bytes, after any text.
pub async fn tags_are_listed_by_bytes(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    assert_eq!(catalog.tags(&repository, None, 10).await.unwrap(), Some(Vec::new()));
    assert_eq!(catalog.tags(&path("000000000000"), None, 10).await.unwrap(), None);
    let names = [
        "0", "10", "9", "A", "Z", "Z-1", "Z.1", "_", "a", "a-", "aA", "a_", "aa", "b",
    ];
    stored_image(fixture, &repository, &["b", "aA", "10", "_", "Z", "a", "Z.1"]).await;
    stored_image(fixture, &repository, &["a_", "9", "a-", "A", "Z-1", "aa", "0"]).await;
    assert_eq!(all_tags(fixture, &repository).await, names);
    let cases = [
        (None, 3, &names[..3]),
        (None, 0, &[]),
        (Some("A"), 2, &["Z", "Z-1"]),
        (Some("Y"), 2, &["Z", "Z-1"]), // a tag that does not exist
        (Some(""), 1, &["0"]),
        (Some("Z+ is no tag"), 2, &["Z-1", "Z.1"]),
        (Some("é"), 2, &[]),
        (Some("aa"), 10, &["b"]),
        (Some("b"), 10, &[]),
        (Some("zz"), 10, &[]),
    ];
    for (after, limit, want) in cases {
        let page = catalog.tags(&repository, after, limit).await.unwrap().unwrap();
        let page: Vec<_> = page.iter().map(Tag::as_str).collect();
        assert_eq!(page, want, "{limit} after {after:?}");
    }
}

/// A referrer carries its size, type of artifact and annotations.
pub async fn referrers_are_listed_with_what_clients_filter_by(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    let config = linked_blob(fixture, &repository).await;
    let (_, subject) = stored_image(fixture, &repository, &["v1"]).await;
    let named = |kind: &str| {
        let mut image = manifest(&[config]);
        image["subject"] = descriptor(MediaType::OCI_MANIFEST, &subject);
        image["artifactType"] = kind.into();
        image
    };
    let (sbom, signature) = (
        named("application/spdx+json"),
        named("application/vnd.example.signature"),
    );
    let mut unnamed = named("");
    unnamed.as_object_mut().unwrap().remove("artifactType");
    let mut list = index(&[subject]);
    list["subject"] = descriptor(MediaType::OCI_MANIFEST, &subject);
    list["annotations"] = json!({ "b": "2", "a": "\u{fc} 1" });
    let mut other = named("application/spdx+json");
    other["subject"] = descriptor(MediaType::OCI_MANIFEST, &new_blob().digest);
    for image in [&sbom, &signature, &unnamed, &list, &other] {
        put(fixture, &repository, image, &[]).await.unwrap();
    }

    let referrer = |image: &Value, artifact_type: Option<&str>| {
        let text = image.to_string();
        let annotations = image["annotations"].as_object().unwrap().iter();
        Referrer {
            digest: digest_of(text.as_bytes()),
            media_type: image["mediaType"].as_str().unwrap().parse().unwrap(),
            size: text.len() as u64,
            artifact_type: artifact_type.map(Into::into),
            annotations: annotations
                .map(|(key, value)| (key.clone(), value.as_str().unwrap().into()))
                .collect(),
        }
    };
    let all = [
        referrer(&sbom, Some("application/spdx+json")),
        referrer(&signature, Some("application/vnd.example.signature")),
        referrer(&unnamed, Some(EMPTY_CONFIG)),
        referrer(&list, None),
    ];
    let by_digest = |referrers: &[Referrer]| -> BTreeMap<Digest, Referrer> {
        referrers
            .iter()
            .map(|referrer| (referrer.digest, referrer.clone()))
            .collect()
    };
    let listed = catalog.referrers(&repository, &subject, None, None, 10).await.unwrap();
    assert_eq!(by_digest(&listed), by_digest(&all));
    for kind in [
        "application/spdx+json",
        EMPTY_CONFIG,
        "application/vnd.example.absent",
        "",
    ] {
        let listed = catalog
            .referrers(&repository, &subject, Some(kind), None, 10)
            .await
            .unwrap();
        let want: Vec<_> = all
            .iter()
            .filter(|referrer| referrer.artifact_type.as_deref() == Some(kind))
            .cloned()
            .collect();
        assert_eq!(listed, want, "{kind}");
    }
    let (elsewhere, nowhere) = (self::repository(fixture).await, path("000000000000"));
    for other in [elsewhere, nowhere] {
        assert!(
            catalog
                .referrers(&other, &subject, None, None, 10)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

/// Referrers page by digest, under a filter too.
pub async fn referrers_page_by_digest(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    let (config, subject) = (linked_blob(fixture, &repository).await, new_blob().digest);
    let mut want = Vec::new();
    for n in 0..7 {
        let mut image = manifest(&[config]);
        image["subject"] = descriptor(MediaType::OCI_MANIFEST, &subject);
        image["artifactType"] = if n % 2 == 0 {
            "application/even"
        } else {
            "application/odd"
        }
        .into();
        put(fixture, &repository, &image, &[]).await.unwrap();
        want.push((digest_of(image.to_string().as_bytes()), n % 2 == 0));
    }
    want.sort();
    for (kind, limit) in [
        (None, 3),
        (Some("application/even"), 3),
        (Some("application/even"), 1),
        (None, 100),
    ] {
        let want: Vec<_> = want
            .iter()
            .filter(|(_, is_even)| kind.is_none() || *is_even)
            .map(|(digest, _)| *digest)
            .collect();
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = catalog
                .referrers(&repository, &subject, kind, after.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.digest);
            listed.extend(page.iter().map(|referrer| referrer.digest));
            assert!(listed.len() <= want.len(), "the list does not end");
        }
        assert_eq!(listed, want);
    }
}

/// Referrers that another registry tells of are listed with those of the catalog: each once, what is in the catalog counts, and
/// the filter applies to what comes of that.
pub async fn referrers_from_elsewhere_stand_between_those_of_the_catalog(fixture: &dyn Fixture) {
    let (catalog, repository) = (fixture.catalog(), repository(fixture).await);
    let (config, subject) = (linked_blob(fixture, &repository).await, new_blob().digest);
    for n in 0..6 {
        let mut image = manifest(&[config]);
        image["subject"] = descriptor(MediaType::OCI_MANIFEST, &subject);
        image["artifactType"] = if n % 2 == 0 {
            "application/even"
        } else {
            "application/odd"
        }
        .into();
        put(fixture, &repository, &image, &[]).await.unwrap();
    }
    let own = catalog.referrers(&repository, &subject, None, None, 100).await.unwrap();
    let mut others: Vec<_> = (0..4).map(|_| own[0].clone()).collect();
    for (n, other) in others.iter_mut().enumerate() {
        other.digest = new_blob().digest;
        other.artifact_type = (n % 2 == 0).then(|| "application/even".to_owned());
    }
    // One that is here is said to be of another type.
    others.extend(own.iter().skip(1).step_by(2).map(|referrer| Referrer {
        artifact_type: Some("application/forged".into()),
        ..referrer.clone()
    }));
    others.sort_by_key(|referrer| referrer.digest);
    let mut merged: BTreeMap<_, _> = others.iter().map(|other| (other.digest, other.clone())).collect();
    merged.extend(own.iter().map(|referrer| (referrer.digest, referrer.clone())));
    for kind in [
        None,
        Some("application/even"),
        Some("application/forged"),
        Some("application/odd"),
    ] {
        let want: Vec<_> = merged
            .values()
            .filter(|referrer| kind.is_none() || referrer.artifact_type.as_deref() == kind)
            .cloned()
            .collect();
        for limit in [1, 2, 3, 100] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = referrers_with(&*catalog, &repository, &subject, &others, kind, after.as_ref(), limit);
                let page = page.await.unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some(last.digest);
                listed.extend(page);
                assert!(listed.len() <= want.len(), "the list does not end");
            }
            assert_eq!(listed, want, "{kind:?} {limit}");
        }
    }
}
