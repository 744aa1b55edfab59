// SPDX-License-Identifier: Apache-2.0

use bytes::Bytes;
use hythe_catalog::{ImageCatalog as _, ImageRecord};
use hythe_meta::{
    CacheRuleRecord, CacheRuleUpdate, ChangeCacheRuleError, CreateCacheRuleError, FetchClaim,
    MAX_CACHE_RULES_PER_ACCOUNT, MAX_UPSTREAM_SUBJECTS, SealedCredential, UpstreamImport,
};
use hythe_model::{Algorithm, Descriptor, Digest, MediaType, Reference, RepositoryPrefix, Tag, UPSTREAM_IMPORTER};

use crate::contents::{account, after, create, image, link, new_repository, now, path, push};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_rule_comes_back_as_created_and_changes_by_version,
    rules_page_by_prefix_up_to_a_limit,
    what_is_known_of_an_upstream_goes_with_the_repository,
    what_an_import_set_is_no_move_of_somebody,
    an_import_is_given_to_one_at_a_time,
    what_is_queued_anew_is_not_ended_by_who_had_it_before,
    what_a_clock_put_off_that_was_ahead_is_due,
    a_blob_is_fetched_by_one_owner_at_a_time,
    referrers_are_known_until_they_are_old,
    of_a_repository_only_so_many_subjects_are_known,
);

pub(crate) fn prefix(text: &str) -> RepositoryPrefix {
    text.parse().unwrap()
}

pub(crate) fn digest(byte: u8) -> Digest {
    Digest::new(Algorithm::Sha256, &[byte; 32]).unwrap()
}

fn tag() -> Tag {
    "v1".parse().unwrap()
}

pub(crate) fn manifest(byte: u8) -> ImageRecord {
    ImageRecord {
        digest: digest(byte),
        media_type: MediaType::OCI_MANIFEST.parse().unwrap(),
        bytes: Bytes::from_static(b"{}"),
    }
}

pub(crate) fn rule(prefix_: &str) -> CacheRuleRecord {
    CacheRuleRecord {
        account: account(),
        prefix: prefix(prefix_),
        upstream: "http://registry.example.com:5000".parse().unwrap(),
        upstream_registry: Some("quay".into()),
        upstream_prefix: prefix("team"),
        credential: Some(SealedCredential {
            username: "user".into(),
            sealed_token: vec![1, 2, 0],
        }),
        tag_freshness_seconds: 60,
        mirror: None,
        created_at: now(),
        updated_at: now(),
        version: 0,
    }
}

async fn a_rule_comes_back_as_created_and_changes_by_version(database: &Database) {
    let store = &database.store;
    let created = store.create_cache_rule(&rule("hub")).await.unwrap();
    let found = store.cache_rule(&account(), &prefix("hub")).await.unwrap();
    assert_eq!(found.as_ref(), Some(&created));
    assert!(!format!("{created:?}").contains("user"), "a credential is not shown");
    let again = store.create_cache_rule(&rule("hub")).await;
    assert!(matches!(again, Err(CreateCacheRuleError::AlreadyExists)), "{again:?}");
    let update = |version| {
        let prefix = prefix("hub");
        let update = CacheRuleUpdate {
            credential: None,
            tag_freshness_seconds: 5,
            mirror: None,
        };
        async move {
            store
                .update_cache_rule(&account(), &prefix, update, after(9), version)
                .await
        }
    };
    let updated = update(created.version).await.unwrap();
    let wanted = (None, 5, after(9), now());
    assert_eq!(
        (
            updated.credential,
            updated.tag_freshness_seconds,
            updated.updated_at,
            updated.created_at
        ),
        wanted
    );
    let late = update(created.version).await;
    assert!(matches!(late, Err(ChangeCacheRuleError::VersionMismatch)), "{late:?}");
    store
        .delete_cache_rule(&account(), &prefix("hub"), Some(updated.version))
        .await
        .unwrap();
    let gone = store.delete_cache_rule(&account(), &prefix("hub"), None).await;
    assert!(matches!(gone, Err(ChangeCacheRuleError::Unknown)), "{gone:?}");
}

async fn rules_page_by_prefix_up_to_a_limit(database: &Database) {
    let store = &database.store;
    for number in 0..MAX_CACHE_RULES_PER_ACCOUNT {
        store.create_cache_rule(&rule(&format!("p{number:02}"))).await.unwrap();
    }
    let refused = store.create_cache_rule(&rule("ROOT")).await;
    assert!(
        matches!(refused, Err(CreateCacheRuleError::LimitExceeded)),
        "{refused:?}"
    );
    let page = store.cache_rules(&account(), Some(&prefix("p10")), 2).await.unwrap();
    let prefixes: Vec<_> = page.iter().map(|it| it.prefix.as_str()).collect();
    assert_eq!(prefixes, ["p11", "p12"]);
}

async fn what_is_known_of_an_upstream_goes_with_the_repository(database: &Database) {
    let store = &database.store;
    let path = path("hub/web");
    let keep = || store.keep_upstream(&path, Some((tag(), digest(1))), Some(manifest(1)), now(), after(5));
    assert!(!keep().await.unwrap(), "there is no such repository");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert!(keep().await.unwrap());
    let known = store.upstream_tag(&path, &tag()).await.unwrap().unwrap();
    assert_eq!(
        (known.digest, known.validated_at, known.manifest),
        (digest(1), now(), Some(manifest(1)))
    );
    assert_eq!(
        store.upstream_manifest(&path, &digest(1)).await.unwrap(),
        Some(manifest(1))
    );
    assert_eq!(store.upstream_tags_of(&path, &digest(1)).await.unwrap(), [tag()]);
    assert!(store.has_upstream_imports(&path).await.unwrap());
    store
        .keep_upstream(&path, Some((tag(), digest(2))), None, after(1), after(5))
        .await
        .unwrap();
    let moved = store.upstream_tag(&path, &tag()).await.unwrap().unwrap();
    assert_eq!((moved.digest, moved.manifest), (digest(2), None));
    assert_eq!(
        store
            .forget_upstream_tags(&path, Some(&"v2".parse().unwrap()))
            .await
            .unwrap(),
        0
    );
    assert_eq!(store.forget_upstream_tags(&path, None).await.unwrap(), 1);
    let forgotten = store.upstream_tag(&path, &tag()).await.unwrap().unwrap();
    assert_eq!(forgotten.validated_at, jiff::Timestamp::UNIX_EPOCH);
    store.delete_repository(&path, true, None, now()).await.unwrap();
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert_eq!(store.upstream_tag(&path, &tag()).await.unwrap(), None);
    assert_eq!(store.upstream_imports(10).await.unwrap(), 0);
    assert!(!store.has_upstream_imports(&path).await.unwrap());
}

async fn an_import_is_given_to_one_at_a_time(database: &Database) {
    let store = &database.store;
    let path = path("hub/web");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    store
        .keep_upstream(&path, None, Some(manifest(1)), now(), after(5))
        .await
        .unwrap();
    let claim = |at| store.claim_upstream_import(after(at), after(at + 60));
    assert_eq!(claim(4).await.unwrap(), None, "not due yet");
    let claimed = claim(5).await.unwrap().unwrap();
    assert_eq!(
        (&claimed.repository, &claimed.manifest, claimed.attempts),
        (&path, &manifest(1), 0)
    );
    assert_eq!(claim(64).await.unwrap(), None, "somebody has it");
    assert_eq!(
        claim(65).await.unwrap().map(|it| it.attempts),
        Some(0),
        "whoever had it is gone"
    );
    let late = store.put_off_upstream_import(&claimed, after(70), Some("why"));
    assert!(!late.await.unwrap(), "somebody else has it");
    let failed = UpstreamImport {
        attempts: 3,
        leased_until: after(125),
        ..claimed.clone()
    };
    let put_off = store.put_off_upstream_import(&failed, after(70), Some("why"));
    assert!(put_off.await.unwrap());
    assert_eq!(claim(69).await.unwrap(), None);
    let claimed = claim(70).await.unwrap().unwrap();
    assert_eq!((claimed.attempts, claimed.leased_until), (3, after(130)));
    store.end_upstream_import(&claimed).await.unwrap();
    assert_eq!(claim(1000).await.unwrap(), None);
}

async fn what_is_queued_anew_is_not_ended_by_who_had_it_before(database: &Database) {
    let store = &database.store;
    let path = path("hub/web");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    let queue = async |name: &str, at| {
        let tag: Tag = name.parse().unwrap();
        let kept = store.keep_upstream(
            &path,
            Some((tag, digest(1))),
            Some(manifest(1)),
            after(at),
            after(at + 5),
        );
        assert!(kept.await.unwrap());
    };
    let claim = async |at| store.claim_upstream_import(after(at), after(at + 60)).await.unwrap();
    let tags = async || {
        let tags = store.upstream_tags_of(&path, &digest(1)).await.unwrap();
        tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    queue("v1", 0).await;
    let first = claim(5).await.unwrap();
    assert_eq!(tags().await, "v1");
    // Between the last look at tags and the end.
    queue("v2", 6).await;
    store.end_upstream_import(&first).await.unwrap();
    assert_eq!(claim(10).await, None, "it is due as it was queued");
    let again = claim(11).await.unwrap();
    assert_eq!((again.attempts, tags().await), (0, "v1 v2".to_owned()));

    // While it is worked on, it stays with who has it.
    let prolonged = async |held: &UpstreamImport, until| {
        let prolonged = store.put_off_upstream_import(held, after(until), None).await.unwrap();
        prolonged.then(|| UpstreamImport {
            leased_until: after(until),
            ..held.clone()
        })
    };
    let held = prolonged(&again, 200).await.unwrap();
    assert_eq!(claim(199).await, None);
    let held = prolonged(&held, 300).await.unwrap();
    queue("v3", 100).await;
    assert_eq!(prolonged(&held, 400).await, None, "it is not his alone any more");
    store.end_upstream_import(&held).await.unwrap();
    let last = claim(105).await.unwrap();
    store.end_upstream_import(&held).await.unwrap();
    assert!(
        store.has_upstream_imports(&path).await.unwrap(),
        "who has it now ends it"
    );
    store.end_upstream_import(&last).await.unwrap();
    assert!(!store.has_upstream_imports(&path).await.unwrap());
}

async fn what_a_clock_put_off_that_was_ahead_is_due(database: &Database) {
    const HOUR: i64 = 3600;
    let store = &database.store;
    let path = path("hub/web");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    let claim = async |at| store.claim_upstream_import(after(at), after(at + 120)).await.unwrap();
    let kept = store.keep_upstream(&path, None, Some(manifest(1)), after(HOUR), after(HOUR + 5));
    assert!(kept.await.unwrap());
    let claimed = claim(0).await.unwrap();
    assert_eq!(claim(119).await, None, "a lease of this clock holds");
    // One that failed may wait for hours.
    let failed = UpstreamImport { attempts: 9, ..claimed };
    let put_off = store.put_off_upstream_import(&failed, after(6 * HOUR), None);
    assert!(put_off.await.unwrap());
    assert_eq!(claim(0).await, None);
    assert!(claim(-2 * HOUR).await.is_some());

    let fetch = async |owner: &str, at| {
        let blob = digest(1);
        let claimed = store.claim_upstream_fetch(&path, &blob, owner, after(at), after(at + 30));
        claimed.await.unwrap()
    };
    assert_eq!(fetch("a", 2 * HOUR).await, FetchClaim::Made);
    let other = fetch("b", 0).await;
    assert_eq!(other, FetchClaim::Made, "whoever has it said so with another clock");
    assert_eq!(fetch("a", 29).await, FetchClaim::Elsewhere);
}

async fn what_an_import_set_is_no_move_of_somebody(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    let path = path("web");
    let put = async |number, by: &str, at| {
        let mut image = image(number, &[1], &["v1"]);
        image.pushed_by = by.into();
        image.pushed_at = after(at);
        push(store, "web", image).await;
    };
    let asked = async |at| {
        let next = digest(99);
        let kept = store.keep_upstream(&path, Some((tag(), next)), None, after(at), after(at));
        assert!(kept.await.unwrap());
        store.upstream_tags_of(&path, &next).await.unwrap()
    };
    // The clock has gone back since it came.
    put(10, UPSTREAM_IMPORTER, 3600).await;
    assert_eq!(asked(1).await, [tag()]);
    // What somebody else does after the question counts.
    put(11, "arn:me", 5).await;
    assert_eq!(asked(4).await, []);
    assert_eq!(asked(5).await, [tag()], "it was asked since");
    // So does what was removed, also for the upstream.
    let removed = Reference::Tag(tag());
    store
        .delete_image(&path, &removed, after(7), UPSTREAM_IMPORTER)
        .await
        .unwrap();
    assert_eq!(asked(6).await, []);
    assert_eq!(asked(7).await, [tag()]);
}

async fn a_blob_is_fetched_by_one_owner_at_a_time(database: &Database) {
    let store = &database.store;
    let path = path("hub/web");
    let claim = |owner: &'static str, at| {
        let path = path.clone();
        async move {
            store
                .claim_upstream_fetch(&path, &digest(1), owner, after(at), after(at + 30))
                .await
                .unwrap()
        }
    };
    assert_eq!(claim("a", 0).await, FetchClaim::RepositoryUnknown);
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert_eq!(claim("a", 0).await, FetchClaim::Made);
    assert_eq!(claim("b", 29).await, FetchClaim::Elsewhere);
    assert_eq!(claim("a", 29).await, FetchClaim::Made, "it may go on");
    assert_eq!(claim("b", 58).await, FetchClaim::Elsewhere);
    assert_eq!(claim("b", 59).await, FetchClaim::Made, "the other one is gone");
    store.end_upstream_fetch(&path, &digest(1), "a").await.unwrap();
    assert_eq!(claim("a", 60).await, FetchClaim::Elsewhere, "only its own can be ended");
    store.end_upstream_fetch(&path, &digest(1), "b").await.unwrap();
    assert_eq!(claim("a", 60).await, FetchClaim::Made);
    // What another owner has ends with the repository.
    store.delete_repository(&path, true, None, now()).await.unwrap();
    assert_eq!(claim("a", 61).await, FetchClaim::RepositoryUnknown);
    assert_eq!(claim("b", 61).await, FetchClaim::RepositoryUnknown);
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert_eq!(claim("b", 61).await, FetchClaim::Made);
}

fn signature(byte: u8) -> Descriptor {
    let text = format!(
        r#"{{ "mediaType": "{}", "digest": "{}", "size": 7, "artifactType": "application/\u0000", "annotations": {{ "a": "ü" }} }}"#,
        MediaType::OCI_MANIFEST,
        digest(byte)
    );
    serde_json::from_str(&text).unwrap()
}

async fn referrers_are_known_until_they_are_old(database: &Database) {
    let store = &database.store;
    let path = path("hub/web");
    let keep = |subject, referrers: Vec<Descriptor>, at| {
        let path = path.clone();
        async move {
            store
                .keep_upstream_referrers(&path, &digest(subject), &referrers, after(at), after(at + 100))
                .await
                .unwrap()
        }
    };
    let known = |subject| {
        let path = path.clone();
        async move { store.upstream_referrers(&path, &digest(subject)).await.unwrap() }
    };
    assert!(!keep(1, vec![signature(9)], 0).await, "there is no such repository");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert!(keep(1, vec![signature(9)], 0).await);
    let found = known(1).await.unwrap();
    assert_eq!((found.referrers, found.validated_at), (vec![signature(9)], now()));
    assert!(
        !keep(2, Vec::new(), 0).await,
        "nobody has heard of it, and nothing refers to it"
    );
    assert_eq!(known(2).await, None);
    store
        .keep_upstream(&path, Some((tag(), digest(3))), Some(manifest(3)), now(), after(5))
        .await
        .unwrap();
    assert!(keep(3, Vec::new(), 1).await, "it is here");
    assert!(keep(1, Vec::new(), 2).await, "what was known changes");
    assert_eq!(known(1).await.unwrap().referrers, []);

    // Asked again by its tag, and all of them.
    let forget = |tag: Option<Tag>| {
        let path = path.clone();
        async move { store.forget_upstream_referrers(&path, tag.as_ref()).await.unwrap() }
    };
    assert_eq!(forget(Some("v2".parse().unwrap())).await, 0);
    assert_eq!(forget(Some(tag())).await, 1);
    assert_eq!(known(3).await.unwrap().validated_at, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(known(1).await.unwrap().validated_at, after(2));
    assert_eq!(forget(None).await, 2);

    assert_eq!(store.expire_upstream_referrers(after(100), 10).await.unwrap(), 0);
    assert_eq!(store.expire_upstream_referrers(after(101), 10).await.unwrap(), 1);
    assert_eq!(known(3).await, None);
    assert_eq!(store.expire_upstream_referrers(after(500), 0).await.unwrap(), 0);
    assert!(known(1).await.is_some());

    // What cannot be read is asked for again.
    database.execute("UPDATE upstream_referrers SET content = 'none'").await;
    assert_eq!(known(1).await, None);
    assert!(keep(1, vec![signature(9)], 3).await);
    store.delete_repository(&path, true, None, now()).await.unwrap();
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert_eq!(known(1).await, None, "it went with the repository");
}

async fn of_a_repository_only_so_many_subjects_are_known(database: &Database) {
    let store = &database.store;
    let path = path("hub/web");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    store.create_repository(new_repository("hub/other")).await.unwrap();
    database
        .execute(format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_UPSTREAM_SUBJECTS})
             INSERT INTO upstream_referrers (repository_id, subject, content, validated_ms, expires_ms)
             SELECT r.id, 's' || CAST(n.i AS TEXT), '[]', 1, n.i FROM repository r, n"
        ))
        .await;
    let kept = store
        .keep_upstream_referrers(&path, &digest(1), &[signature(2)], now(), after(1))
        .await;
    assert!(kept.unwrap());
    assert!(store.upstream_referrers(&path, &digest(1)).await.unwrap().is_some());
    // The oldest one of this repository is gone, and nothing else.
    let gone = store.expire_upstream_referrers(now(), 3 * MAX_UPSTREAM_SUBJECTS).await;
    assert_eq!(gone.unwrap(), 2 * MAX_UPSTREAM_SUBJECTS - 1);
}
