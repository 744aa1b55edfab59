// SPDX-License-Identifier: Apache-2.0
//! The audit log: changes with their records, the chain, and whatever was done to it.

use std::sync::Arc;

use hythe_access::{Action, Caller, Decision, Facts, Principal, RequestId, Trail};
use hythe_catalog::{BlobCatalog, CatalogError, DeleteImageError, ImageCatalog, UploadCatalog, UploadState};
use hythe_meta::{
    AuditEventKey, AuditFilter, AuditMember, AuditRecord, AuditVerification, Auditor, NewAuditRecords, Store,
    UserRecord,
};
use hythe_model::{AccountId, Algorithm, Reference, Region, UploadId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::contents::{
    account, after, artifact, blob, create, digest, image, link, new_repository, now, path, push, tag,
};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_change_and_its_record_are_one,
    what_changes_nothing_leaves_no_record_of_a_change,
    a_moved_tag_is_recorded_with_both_digests,
    referrers_that_follow_their_subject_are_recorded,
    records_are_found_by_what_they_are_about,
    pages_give_every_record_once,
    the_order_of_the_chain_misses_nothing,
    nodes_that_seal_at_once_make_one_chain,
    whatever_is_done_to_the_log_is_found,
    old_records_go_and_the_rest_is_vouched_for,
    settings_have_versions,
);

fn auditor() -> Auditor {
    keyed("the key")
}

/// Not an HMAC, and as good as one for a test: nobody here knows the key.
fn keyed(key: &'static str) -> Auditor {
    let sign = move |text: &[u8]| Sha256::digest([key.as_bytes(), text].concat()).into();
    Auditor::new(Region::default(), Arc::new(sign))
}

fn facts(operation: &'static str) -> Facts {
    let mut facts = Facts {
        operation,
        default_event: "PutImage",
        is_change: true,
        ..Facts::default()
    };
    let mut caller = Caller::of(Principal::User(account(), "eve".parse().unwrap()));
    caller.source_ip = Some([192, 0, 2, 1].into());
    facts.set_caller(&Arc::new(caller));
    facts.set_decision(Action::PutImage, path("web").into(), &Decision::Allowed(None));
    facts
}

fn trail(number: u128) -> Trail {
    Trail::new(now(), RequestId::Number(number), facts("manifest.put"))
}

async fn records(store: &Store, filter: &AuditFilter) -> Vec<Value> {
    let page = store.audit_events(filter, None, 1000).await.unwrap();
    assert_eq!(page.next, None);
    page.records.iter().map(read).collect()
}

async fn all(store: &Store) -> Vec<Value> {
    records(store, &AuditFilter::default()).await
}

fn read(record: &AuditRecord) -> Value {
    serde_json::from_str(&record.json).unwrap()
}

/// Records of pulls by somebody, at these seconds.
fn pulls(who: &str, repository: &str, number: u64, seconds: impl IntoIterator<Item = i64>) -> NewAuditRecords {
    let mut facts = Facts {
        operation: "manifest.get",
        default_event: "BatchGetImage",
        status: 200,
        digest: Some(digest(number)),
        ..Facts::default()
    };
    facts.set_caller(&Arc::new(Caller::of(Principal::User(account(), who.parse().unwrap()))));
    facts.set_decision(Action::BatchGetImage, path(repository).into(), &Decision::Allowed(None));
    let member = |(number, seconds): (u32, i64)| AuditMember {
        at: after(seconds),
        request: RequestId::Number(number.into()),
    };
    let members: Vec<_> = (0_u32..).zip(seconds).map(member).collect();
    NewAuditRecords::new(&facts, &members, &auditor())
}

/// Records of pulls by somebody of another account.
fn visits(from: &AccountId) -> NewAuditRecords {
    let mut facts = Facts {
        operation: "manifest.get",
        default_event: "BatchGetImage",
        status: 200,
        digest: Some(digest(3)),
        ..Facts::default()
    };
    let visitor = Principal::User(from.clone(), "zoe".parse().unwrap());
    facts.set_caller(&Arc::new(Caller::of(visitor)));
    facts.set_decision(Action::BatchGetImage, path("web").into(), &Decision::Allowed(None));
    let member = |(seconds, number)| AuditMember {
        at: after(seconds),
        request: RequestId::at(after(seconds), number),
    };
    NewAuditRecords::new(&facts, &[(50, 9), (51, 10)].map(member), &auditor())
}

async fn seal(store: &Store, records: &[NewAuditRecords], at: Timestamp) {
    while store.seal_audit_events(records, at).await.unwrap().has_more {}
}

async fn verify(store: &Store) -> AuditVerification {
    store.verify_audit_events(None, u64::MAX).await.unwrap()
}

async fn a_change_and_its_record_are_one(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    let (request, work) = (trail(7), async {
        create(store, "web").await;
    });
    request.clone().follow(work).await;
    assert!(request.is_recorded());
    let found = all(store).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["requestID"], format!("{:032x}", 7));
    assert_eq!(found[0]["userIdentity"]["userName"], "eve");
    assert_eq!(found[0]["readOnly"], false);

    // Without a request there is nobody to record.
    create(store, "other").await;
    assert_eq!(all(store).await.len(), 1);

    // Many at once, of which some are refused after they have written: on SQLite they share a commit.
    let many = (0..40).map(|number| async move {
        let request = trail(100 + number);
        let name = if number % 4 == 0 {
            "web"
        } else {
            &format!("many-{number}")
        };
        let outcome = request
            .clone()
            .follow(store.create_repository(new_repository(name)))
            .await;
        assert_eq!(outcome.is_ok(), request.is_recorded(), "{name}");
        usize::from(outcome.is_ok())
    });
    let created: usize = futures::future::join_all(many).await.into_iter().sum();
    assert_eq!((created, all(store).await.len()), (30, 31));
}

async fn what_changes_nothing_leaves_no_record_of_a_change(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let user = crate::user::user("ada");
    store.create_user(&user).await.unwrap();
    store.set_auditor(auditor());
    let request = trail(1);
    let work = async {
        // Refused, there already, not there, still needed.
        assert!(store.create_user(&user).await.is_err());
        assert!(store.create_repository(new_repository("web")).await.is_err());
        push(store, "web", image(10, &[1], &["v1"])).await;
        let gone = store
            .delete_image(&path("web"), &Reference::Tag(tag("no")), now(), "me")
            .await;
        assert!(matches!(gone, Ok(None)));
        let nowhere = store
            .delete_image(&path("no"), &Reference::Tag(tag("no")), now(), "me")
            .await;
        assert!(matches!(
            nowhere,
            Err(DeleteImageError::Catalog(CatalogError::RepositoryUnknown(_)))
        ));
        store.unlink_blob(&path("web"), &digest(1), now()).await.unwrap();
        // The state of an upload is not the registry's.
        let upload = UploadId::generate();
        store
            .begin_upload(&path("web"), upload, Algorithm::Sha256, after(60))
            .await
            .unwrap();
        let state = UploadState::Buffered(b"x".as_slice().into());
        store
            .advance_upload(&path("web"), upload, 0, state.clone(), after(60))
            .await
            .unwrap();
        store
            .seal_upload(&path("web"), upload, 1, &digest(2), state, after(60))
            .await
            .unwrap();
    };
    request.clone().follow(work).await;
    assert_eq!(all(store).await, Vec::<Value>::new());
    assert!(!request.is_recorded());
    // What is done aside is not what was asked for.
    request
        .clone()
        .follow(Trail::aside(store.create_user(&UserRecord {
            name: "bob".parse().unwrap(),
            ..user
        })))
        .await
        .unwrap();
    assert!(!request.is_recorded());
}

async fn a_moved_tag_is_recorded_with_both_digests(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    create(store, "web").await;
    trail(1).follow(link(store, "web", 1)).await;
    trail(2).follow(push(store, "web", image(10, &[1], &["v1"]))).await;
    trail(3)
        .follow(push(store, "web", image(11, &[1], &["v1", "v2"])))
        .await;
    trail(4)
        .follow(store.delete_image(&path("web"), &Reference::Digest(digest(11)), now(), "me"))
        .await
        .unwrap();
    let of = |number: u64| async move {
        let filter = AuditFilter {
            digest: Some(digest(number)),
            ..AuditFilter::default()
        };
        let mut found = records(store, &filter).await;
        found.sort_by_key(|record| record["requestID"].as_str().map(str::to_owned));
        found
    };
    let moves = |record: &Value| -> Vec<(String, Value, Value)> {
        let moves = record["tagMoves"].as_array().cloned().unwrap_or_default();
        let read = |it: &Value| {
            (
                it["imageTag"].as_str().unwrap().to_owned(),
                it["fromDigest"].clone(),
                it["toDigest"].clone(),
            )
        };
        moves.iter().map(read).collect()
    };
    let (ten, eleven) = (Value::from(digest(10).to_string()), Value::from(digest(11).to_string()));
    assert_eq!(of(1).await.len(), 1, "the layer");
    let ids: Vec<_> = of(10).await.iter().map(|record| record["requestID"].clone()).collect();
    let expected = [2, 3].map(|number| Value::from(format!("{number:032x}")));
    assert_eq!(ids, expected, "also what has moved the tag away");
    assert_eq!(moves(&of(10).await[0]), [("v1".into(), Value::Null, ten.clone())]);
    let last = of(11).await;
    assert_eq!(
        moves(&last[0]),
        [
            ("v1".into(), ten, eleven.clone()),
            ("v2".into(), Value::Null, eleven.clone())
        ]
    );
    assert_eq!(
        moves(&last[1]),
        [
            ("v1".into(), eleven.clone(), Value::Null),
            ("v2".into(), eleven, Value::Null)
        ]
    );
}

async fn referrers_that_follow_their_subject_are_recorded(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    push(store, "web", artifact(20, 1, 10, "a/b")).await;
    let by_digest = Reference::Digest(digest(10));
    store
        .delete_image(&path("web"), &by_digest, after(1), "arn:me")
        .await
        .unwrap();
    assert_eq!(all(store).await.len(), 0, "none of this was a request");
    // The second time there is nothing left to follow, and nothing to tell.
    for seconds in [1, 2] {
        store.follow_subjects(after(seconds), 10).await.unwrap();
    }
    let (web, subject) = (path("web"), digest(10));
    store
        .restore_image(&web, &subject, None, after(3), "arn:you")
        .await
        .unwrap();
    // Not a part of the request that restores the subject.
    let followed = store.follow_subject(&web, &subject, after(3));
    trail(7).follow(followed).await.unwrap();
    let found = all(store).await;
    let short = |record: &Value| {
        let details = &record["serviceEventDetails"];
        assert_eq!(record["eventName"], "ReferrersFollowedEvent");
        assert_eq!(record["eventType"], "AwsServiceEvent");
        assert_eq!(record["userIdentity"]["type"], "AWSService");
        assert_eq!(record["imageDigest"], digest(10).to_string());
        assert_eq!(details["repositoryName"], "web");
        assert_eq!(details["subjectDigest"], digest(10).to_string());
        assert_eq!(details["imageDigests"], serde_json::json!([digest(20)]));
        let text = |name: &str| details[name].as_str().unwrap().to_owned();
        (text("subjectChange"), text("changedBy"))
    };
    let mut shown: Vec<_> = found.iter().map(short).collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            ("DELETED".to_owned(), "arn:me".to_owned()),
            ("RESTORED".to_owned(), "arn:you".to_owned())
        ]
    );
    seal(store, &[], after(9)).await;
    assert_eq!(verify(store).await.finding, None);
}

async fn records_are_found_by_what_they_are_about(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    let mut refused = Facts {
        status: 403,
        error: Some(("DENIED".into(), "no".into())),
        ..facts("manifest.put")
    };
    refused.allowed = None;
    let other: AccountId = "111111111111".parse().unwrap();
    refused.set_decision(
        Action::DescribeRegistry,
        other.clone().into(),
        &Decision::Denied("no".into()),
    );
    let member = AuditMember {
        at: after(30),
        request: RequestId::Text("mine".into()),
    };
    let all = [
        pulls("ada", "web", 1, [0, 1, 2]),
        pulls("bob", "web", 2, [10]),
        pulls("ada", "other", 2, [20]),
        NewAuditRecords::new(&refused, &[member], &auditor()),
        visits(&other),
    ];
    seal(store, &all, after(40)).await;
    let none = AuditFilter::default;
    let ada = || Some("arn:aws:iam::000000000000:user/ada".to_owned());
    let id_of = |seconds, number| Some(RequestId::at(after(seconds), number));
    let asked = |request| AuditFilter { request, ..none() };
    let cases = [
        ("an id that tells its time", asked(id_of(51, 10)), 1),
        ("an id of that time, and of no request", asked(id_of(51, 11)), 0),
        ("an id of a client", asked(Some(RequestId::Text("mine".into()))), 1),
        ("an id that tells no time", asked(Some(RequestId::Number(0))), 3),
        (
            "an id of a request between other accounts",
            AuditFilter {
                account: Some("222222222222".parse().unwrap()),
                ..asked(Some(RequestId::Text("mine".into())))
            },
            0,
        ),
        (
            "the visitor's account, by digest",
            AuditFilter {
                account: Some(other.clone()),
                digest: Some(digest(3)),
                ..none()
            },
            2,
        ),
        ("all", none(), 8),
        (
            "who",
            AuditFilter {
                principal: ada(),
                ..none()
            },
            4,
        ),
        (
            "what",
            AuditFilter {
                digest: Some(digest(2)),
                ..none()
            },
            2,
        ),
        (
            "where",
            AuditFilter {
                repository: Some(path("web")),
                ..none()
            },
            6,
        ),
        (
            "both",
            AuditFilter {
                repository: Some(path("web")),
                principal: ada(),
                ..none()
            },
            3,
        ),
        (
            "event",
            AuditFilter {
                event: Some("BatchGetImage".into()),
                ..none()
            },
            7,
        ),
        (
            "error",
            AuditFilter {
                error: Some("DENIED".into()),
                ..none()
            },
            1,
        ),
        (
            "since",
            AuditFilter {
                since: Some(after(2)),
                ..none()
            },
            6,
        ),
        (
            "until",
            AuditFilter {
                until: Some(after(2)),
                ..none()
            },
            2,
        ),
        (
            "between",
            AuditFilter {
                since: Some(after(1)),
                until: Some(after(20)),
                principal: ada(),
                ..none()
            },
            2,
        ),
        (
            "account",
            AuditFilter {
                account: Some(account()),
                ..none()
            },
            8,
        ),
        (
            "other account",
            AuditFilter {
                account: Some(other.clone()),
                ..none()
            },
            3,
        ),
        (
            "nobody",
            AuditFilter {
                principal: Some("*".into()),
                ..none()
            },
            0,
        ),
    ];
    for (what, filter, count) in cases {
        let found = records(store, &filter).await;
        assert_eq!(found.len(), count, "{what}");
        let times: Vec<_> = found
            .iter()
            .map(|record| record["eventTime"].as_str().unwrap())
            .collect();
        assert!(
            times.is_sorted_by(|newer, older| newer >= older),
            "{what}: newest first: {times:?}"
        );
        let tail = store.audit_events_in_order(&filter, 0, 1000).await.unwrap();
        assert_eq!((tail.records.len(), tail.has_more), (count, false), "{what}, in order");
    }
}

async fn pages_give_every_record_once(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    let rows: Vec<_> = (0..300)
        .map(|row| {
            pulls(
                "ada",
                "web",
                row,
                (0..5).map(|second| i64::try_from(row).unwrap() * 10 + second),
            )
        })
        .collect();
    seal(store, &rows, after(9000)).await;
    for limit in [7, 100, 999] {
        let (mut ids, mut times, mut after) = (Vec::new(), Vec::new(), None::<AuditEventKey>);
        loop {
            let page = store
                .audit_events(&AuditFilter::default(), after.as_ref(), limit)
                .await
                .unwrap();
            assert!(page.records.len() <= limit);
            for record in page.records.iter().map(read) {
                ids.push(record["eventID"].as_str().unwrap().to_owned());
                times.push(record["eventTime"].as_str().unwrap().parse::<Timestamp>().unwrap());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(times.is_sorted_by(|newer, older| newer >= older));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), times.len()), (1500, 1500), "{limit}");
    }
}

async fn the_order_of_the_chain_misses_nothing(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    let (mut seen, mut after) = (Vec::new(), 0);
    for pass in 0..20 {
        // A change whose request began long ago, and was committed only now.
        let long_ago = now() - SignedDuration::from_secs(pass * 1000);
        let late = Trail::new(long_ago, RequestId::Number(1), facts("upload.finish"));
        let name = format!("late-{pass}");
        late.follow(create(store, &name)).await;
        seal(store, &[pulls("ada", "web", 1, [pass, pass + 1])], now()).await;
        loop {
            let tail = store
                .audit_events_in_order(&AuditFilter::default(), after, 2)
                .await
                .unwrap();
            after = tail.through;
            seen.extend(tail.records.iter().map(|record| record.sealed.unwrap().1.sequence));
            if !tail.has_more {
                break;
            }
        }
    }
    assert_eq!(seen, (1..=60).collect::<Vec<u64>>());
}

async fn nodes_that_seal_at_once_make_one_chain(database: &Database) {
    let other = database.another().await;
    let nodes = [&database.store, &other];
    for node in nodes {
        node.set_auditor(auditor());
    }
    create(nodes[0], "web").await;
    let work = nodes.into_iter().enumerate().map(|(node, store)| async move {
        for round in 0..10_u64 {
            let blobs = (0..4).map(|each| async move {
                let number = round * 100 + each * 10 + node as u64;
                let request = trail(number.into());
                request
                    .follow(store.link_blob(&path("web"), blob(number, b"x"), now()))
                    .await
                    .unwrap();
            });
            futures::future::join_all(blobs).await;
            let pull = pulls("ada", "web", round, [0, 1, 2]);
            store
                .seal_audit_events(&[pull], after(i64::try_from(round).unwrap()))
                .await
                .unwrap();
        }
    });
    futures::future::join_all(work).await;
    seal(&other, &[], now()).await;
    let verified = verify(&other).await;
    assert_eq!(
        (verified.records, verified.is_complete, verified.finding),
        (140, true, None)
    );
    let seen = all(&other).await;
    assert_eq!(seen.len(), 140);
    other.close().await;
}

async fn whatever_is_done_to_the_log_is_found(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    let rows: Vec<_> = (1..=5)
        .map(|row| pulls("ada", "web", row, [i64::try_from(row).unwrap() * 10]))
        .collect();
    for (at, row) in rows.iter().enumerate() {
        // An anchor each.
        seal(
            store,
            std::slice::from_ref(row),
            after(100 * i64::try_from(at).unwrap()),
        )
        .await;
    }
    assert_eq!(
        (verify(store).await.records, database.count("audit_anchor").await),
        (5, 5)
    );
    let mut doubtful = vec![rows[0].clone(), pulls("ada", "web", 6, [60])];
    store.forget_written_audit_records(&mut doubtful).await.unwrap();
    assert_eq!(doubtful.len(), 1, "what was written is not written again");
    let tables = ["audit_event", "audit_event_also", "audit_anchor", "audit_chain"];
    for table in tables {
        database
            .execute(format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"))
            .await;
    }
    let renumbered = "UPDATE audit_event SET sequence = -sequence WHERE sequence > 2;
                      UPDATE audit_event SET sequence = -sequence - 1 WHERE sequence < 0";
    let cases = [
        ("changed", "UPDATE audit_event SET shared = REPLACE(shared, 'user/ada', 'user/bob') WHERE sequence = 3", 3),
        ("another time", "UPDATE audit_event SET members = '1700000000000;1' WHERE sequence = 3", 3),
        ("filed elsewhere", "UPDATE audit_event SET principal = 'arn:aws:iam::000000000000:user/bob' WHERE sequence = 3", 3),
        ("hidden", "UPDATE audit_event SET repository = NULL WHERE sequence = 2", 2),
        ("another account", "UPDATE audit_event SET account_id = '111111111111' WHERE sequence = 2", 2),
        ("hidden from those who look for its id",
            "DELETE FROM audit_event_also WHERE id = (SELECT id FROM audit_event WHERE sequence = 4)", 4),
        ("shown to another account, too",
            "INSERT INTO audit_event_also SELECT 'account:111111111111', id FROM audit_event WHERE sequence = 4", 4),
        ("removed", "DELETE FROM audit_event WHERE sequence = 3", 3),
        ("removed, the rest moved up", &format!("DELETE FROM audit_event WHERE sequence = 3; {renumbered}"), 3),
        ("the first removed", "DELETE FROM audit_event WHERE sequence = 1", 1),
        ("the last removed", "DELETE FROM audit_event WHERE sequence = 5", 5),
        ("the last removed, and that it was there", "DELETE FROM audit_event WHERE sequence = 5;
            UPDATE audit_chain SET head_sequence = 4, head_hash = (SELECT hash FROM audit_event WHERE sequence = 4)", 4),
        ("the last removed, with an anchor in place of the end", "DELETE FROM audit_event WHERE sequence = 5;
            UPDATE audit_chain SET head_sequence = 4, head_hash = (SELECT hash FROM audit_event WHERE sequence = 4),
                   head_mac = (SELECT mac FROM audit_anchor WHERE sequence = 4)", 4),
        ("the first removed, with an anchor in place of the start", "DELETE FROM audit_event WHERE sequence = 1;
            UPDATE audit_chain SET base_sequence = 1, base_hash = (SELECT hash FROM audit_anchor WHERE sequence = 1),
                   base_mac = (SELECT mac FROM audit_anchor WHERE sequence = 1)", 2),
        ("swapped", "UPDATE audit_event SET sequence = 99 WHERE sequence = 2; UPDATE audit_event SET sequence = 2 WHERE sequence = 3;
            UPDATE audit_event SET sequence = 3 WHERE sequence = 99", 2),
        ("added at the end", "INSERT INTO audit_event SELECT 'ffffffff-ffff-7fff-bfff-ffffffffffff', account_id, principal, event_name,
            repository, digest, error_code, records, shared, members, 6, hash, hash FROM audit_event WHERE sequence = 5", 6),
        ("more records than there were", "UPDATE audit_event SET records = 2 WHERE sequence = 4", 4),
        ("an anchor changed", "UPDATE audit_anchor SET hash = (SELECT hash FROM audit_event WHERE sequence = 1) WHERE sequence = 4", 4),
        ("no end at all", "DELETE FROM audit_chain", 1),
    ];
    for (what, sql, first) in cases {
        database.execute(sql).await;
        let found = verify(store).await;
        let at = found.finding.as_ref().map(|found| found.sequence);
        assert_eq!((at, found.is_complete), (Some(first), false), "{what}: {found:?}");
        for table in tables {
            database
                .execute(format!(
                    "DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"
                ))
                .await;
        }
        assert!(verify(store).await.is_complete, "restored after: {what}");
    }
    made_anew(database).await;
}

/// Somebody makes the whole chain again, as it should be, but does not have the key.
async fn made_anew(database: &Database) {
    let liar = database.another().await;
    liar.set_auditor(keyed("a guess"));
    for table in ["audit_event", "audit_anchor"] {
        database.execute(format!("DELETE FROM {table}")).await;
    }
    let zeros = "0".repeat(64);
    database
        .execute(format!(
            "UPDATE audit_chain SET head_sequence = 0, head_hash = '{zeros}', head_mac = ''"
        ))
        .await;
    seal(&liar, &[pulls("bob", "web", 1, [1, 2, 3])], now()).await;
    assert!(verify(&liar).await.is_complete);
    assert!(verify(&database.store).await.finding.is_some());
    liar.close().await;
}

async fn old_records_go_and_the_rest_is_vouched_for(database: &Database) {
    let store = &database.store;
    store.set_auditor(auditor());
    for row in 0..6 {
        let pull = pulls("ada", "web", 1, [row * 100, row * 100 + 1]);
        seal(store, &[pull], after(row * 100)).await;
    }
    // Not sealed yet, however old.
    Trail::new(now(), RequestId::Number(1), facts("x"))
        .follow(create(store, "web"))
        .await;
    assert_eq!(store.expire_audit_events(after(0), 10).await.unwrap(), 0);
    assert_eq!(store.expire_audit_events(after(350), 3).await.unwrap(), 6);
    assert_eq!(store.expire_audit_events(after(350), 3).await.unwrap(), 2);
    assert_eq!(store.expire_audit_events(after(350), 3).await.unwrap(), 0);
    let verified = verify(store).await;
    assert_eq!(
        (verified.from.sequence, verified.records, verified.is_complete),
        (8, 4, true)
    );
    assert_eq!(all(store).await.len(), 5);
    assert_eq!(
        (
            database.count("audit_event").await,
            database.count("audit_event_also").await
        ),
        (3, 5),
        "what old records were filed under is gone, too"
    );
    // A check that was under way goes on with what is left.
    let early = hythe_meta::ChainPosition::START;
    assert!(store.verify_audit_events(Some(early), 1).await.unwrap().is_complete);
    seal(store, &[], after(900)).await;
    assert_eq!(verify(store).await.records, 5);
    database.execute("UPDATE audit_chain SET base_sequence = 7").await;
    assert!(verify(store).await.finding.is_some());
}

async fn settings_have_versions(database: &Database) {
    let store = &database.store;
    let first = store.audit_settings().await.unwrap();
    assert_eq!((first.retention_days, first.version), (90, 1));
    let second = store.put_audit_settings(0, Some(1)).await.unwrap();
    assert_eq!((second.retention_days, second.version), (0, 2));
    assert!(store.put_audit_settings(7, Some(1)).await.is_err());
    assert_eq!(store.audit_settings().await.unwrap(), second);
}
