// SPDX-License-Identifier: Apache-2.0

use std::collections::HashSet;

use hythe_catalog::ImageCatalog;
use hythe_meta::{
    BatchOutcome, ChangeRepositoryPolicyError, ClaimedRun, DeletionReason, FinishedRun, LifecycleBatch, LifecycleItem,
    LifecycleKind, LifecycleOutcome, LifecycleResult, LifecycleRow, LifecycleRunStatus, Pull, StartPreviewError,
    StartRunError, Store,
};
use hythe_model::{ImageStatus, Reference, StorageClass};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::contents::{after, create, digest, image, index, link, now, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    a_policy_is_kept_as_it_was_written,
    images_are_read_page_by_page_with_what_rules_ask_about,
    bytes_are_freed_only_if_nothing_else_needs_them,
    one_run_of_a_repository_at_a_time,
    a_due_policy_is_scheduled_once_however_many_nodes_look,
    a_job_whose_lease_ends_goes_to_another_node,
    a_lease_can_be_made_longer_while_it_lasts,
    an_image_that_changed_is_left_alone,
    a_rule_archives_images_unless_they_changed,
    runs_and_policies_do_not_wait_for_a_clock_that_was_ahead,
    another_policy_stops_a_run,
    a_preview_replaces_the_one_before,
    a_run_that_fails_is_tried_again,
    old_runs_are_forgotten,
    a_repository_takes_its_policy_and_runs_with_it,
);

const POLICY: &str = r#"{ "rules": [] }"#;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn put(store: &Store, name: &str) {
    store
        .put_lifecycle_policy(&path(name), POLICY, now(), after(3600), None)
        .await
        .unwrap();
}

async fn claim(store: &Store, at: Timestamp) -> Option<ClaimedRun> {
    store
        .claim_lifecycle_run(LifecycleKind::Run, at, at + HOUR)
        .await
        .unwrap()
}

async fn claim_preview(store: &Store, at: Timestamp) -> ClaimedRun {
    let claimed = store.claim_lifecycle_run(LifecycleKind::Preview, at, at + HOUR).await;
    claimed.unwrap().unwrap()
}

async fn rows(store: &Store, name: &str, page: usize) -> Vec<LifecycleRow> {
    let mut snapshot = store.lifecycle_snapshot(&path(name)).await.unwrap().unwrap();
    let mut all = Vec::new();
    loop {
        let rows = snapshot.next(page).await.unwrap();
        if rows.is_empty() {
            snapshot.end().await.unwrap();
            return all;
        }
        assert!(rows.len() <= page);
        all.extend(rows);
    }
}

fn finished(status: LifecycleRunStatus, at: Timestamp) -> FinishedRun {
    FinishedRun {
        status,
        at,
        evaluated_at: Some(at),
        totals: None,
        failure: None,
        details: None,
    }
}

fn expire(image: &LifecycleRow) -> LifecycleItem {
    LifecycleItem {
        image: image.clone(),
        outcome: LifecycleOutcome::Expire,
        rule: 1,
        counts_pulls: false,
        is_protected: false,
    }
}

fn archive(image: &LifecycleRow, counts_pulls: bool) -> LifecycleItem {
    LifecycleItem {
        outcome: LifecycleOutcome::Archive,
        counts_pulls,
        ..expire(image)
    }
}

async fn apply(store: &Store, run: &ClaimedRun, items: Vec<LifecycleItem>) -> BatchOutcome {
    let batch = LifecycleBatch {
        items,
        policy: json!({}),
        images: 3,
        protected: 1,
        evaluated_at: now(),
        at: now(),
        lease_until: after(3600),
    };
    store.apply_lifecycle_batch(run, batch).await.unwrap()
}

async fn a_policy_is_kept_as_it_was_written(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    assert_eq!(store.lifecycle_policy(&path("web")).await.unwrap(), None);
    let absent = store.delete_lifecycle_policy(&path("web"), None, now()).await;
    assert!(matches!(absent, Err(ChangeRepositoryPolicyError::Absent)), "{absent:?}");
    let unknown = store
        .put_lifecycle_policy(&path("no"), POLICY, now(), now(), None)
        .await;
    assert!(
        matches!(unknown, Err(ChangeRepositoryPolicyError::UnknownRepository)),
        "{unknown:?}"
    );

    put(store, "web").await;
    let found = store.lifecycle_policy(&path("web")).await.unwrap().unwrap();
    assert_eq!((found.document.text.as_str(), found.last_evaluated_at), (POLICY, None));
    let stale = store
        .put_lifecycle_policy(&path("web"), "{}", now(), now(), Some(found.document.version + 1))
        .await;
    assert!(
        matches!(stale, Err(ChangeRepositoryPolicyError::VersionMismatch)),
        "{stale:?}"
    );
    let deleted = store
        .delete_lifecycle_policy(&path("web"), Some(found.document.version), now())
        .await
        .unwrap();
    assert_eq!(deleted, found);
    assert_eq!(store.lifecycle_policy(&path("web")).await.unwrap(), None);
}

async fn images_are_read_page_by_page_with_what_rules_ask_about(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for number in 10..17 {
        push(store, "web", image(number, &[1], &[])).await;
    }
    push(store, "web", image(12, &[1], &["b", "a"])).await;
    push(store, "web", index(20, &[11, 13], &["all"])).await;
    assert!(store.lifecycle_snapshot(&path("no")).await.unwrap().is_none());
    let whole = rows(store, "web", 100).await;
    for page in [1, 2, 3, 8] {
        assert_eq!(rows(store, "web", page).await, whole, "pages of {page}");
    }
    assert_eq!(whole.len(), 8);
    let of = |number| whole.iter().find(|row| row.digest == digest(number)).unwrap();
    assert_eq!(of(12).tags, [tag("a"), tag("b")]);
    assert!(of(10).tags.is_empty() && !of(10).is_in_index && of(11).is_in_index && of(13).is_in_index);
    assert_eq!((of(20).tags.as_slice(), of(20).pushed_at), (&[tag("all")][..], now()));
}

async fn bytes_are_freed_only_if_nothing_else_needs_them(database: &Database) {
    let store = &database.store;
    for name in ["web", "api"] {
        create(store, name).await;
        link(store, name, 3).await;
    }
    for number in [1, 2] {
        link(store, "web", number).await;
    }
    // Each blob has four bytes; 1 is shared within the repository, 3 with another one.
    push(store, "web", image(10, &[1, 2, 3], &[])).await;
    push(store, "web", image(11, &[1, 3], &[])).await;
    let freed = async |numbers: &[u64]| {
        let gone: HashSet<_> = numbers.iter().copied().map(digest).collect();
        let mut snapshot = store.lifecycle_snapshot(&path("web")).await.unwrap().unwrap();
        let freed = snapshot.freed_bytes(&gone, 100).await.unwrap();
        snapshot.end().await.unwrap();
        freed
    };
    assert_eq!(freed(&[]).await, 100);
    assert_eq!(freed(&[10]).await, 104);
    assert_eq!(freed(&[11]).await, 100);
    assert_eq!(freed(&[10, 11]).await, 108);
}

async fn one_run_of_a_repository_at_a_time(database: &Database) {
    let store = &database.store;
    let start = async |name: &str| store.start_lifecycle_run(&path(name), "me", now()).await;
    assert!(matches!(start("web").await, Err(StartRunError::UnknownRepository)));
    create(store, "web").await;
    assert!(matches!(start("web").await, Err(StartRunError::NoPolicy)));
    put(store, "web").await;
    let first = start("web").await.unwrap();
    assert_eq!(first, start("web").await.unwrap());
    assert_eq!(
        (first.status, first.requested_by.as_deref()),
        (LifecycleRunStatus::Pending, Some("me"))
    );
    let run = claim(store, now()).await.unwrap();
    assert_eq!(
        (run.id.as_str(), run.kind, run.attempts),
        (first.id.as_str(), LifecycleKind::Run, 1)
    );
    assert!(claim(store, after(10)).await.is_none());
    let done = finished(LifecycleRunStatus::Complete, after(1));
    assert!(store.finish_lifecycle_run(&run, done.clone()).await.unwrap());
    assert!(!store.finish_lifecycle_run(&run, done).await.unwrap(), "it has ended");
    let policy = store.lifecycle_policy(&path("web")).await.unwrap().unwrap();
    assert_eq!(policy.last_evaluated_at, Some(after(1)));
    let second = store.start_lifecycle_run(&path("web"), "me", after(2)).await.unwrap();
    assert_ne!(second.id, first.id);
    let listed = store.lifecycle_runs(&path("web"), None, 10).await.unwrap().unwrap();
    let ids: Vec<_> = listed.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, [&second.id, &first.id], "newest first");
    let older = store
        .lifecycle_runs(&path("web"), Some(&second.id), 10)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(older.len(), 1);
    assert_eq!(store.lifecycle_runs(&path("no"), None, 10).await.unwrap(), None);
    let found = store.lifecycle_run(&path("web"), &first.id).await.unwrap().unwrap();
    assert_eq!(
        (found.status, found.finished_at),
        (LifecycleRunStatus::Complete, Some(after(1)))
    );
}

async fn a_due_policy_is_scheduled_once_however_many_nodes_look(database: &Database) {
    let (store, other) = (&database.store, database.another().await);
    for name in ["aa", "bb", "cc"] {
        create(store, name).await;
        put(store, name).await;
    }
    assert_eq!(store.schedule_lifecycle_runs(after(3599), HOUR, 10).await.unwrap(), 0);
    let (one, two) = tokio::join!(
        store.schedule_lifecycle_runs(after(3600), HOUR, 10),
        other.schedule_lifecycle_runs(after(3600), HOUR, 10),
    );
    assert_eq!(one.unwrap() + two.unwrap(), 3);
    assert_eq!(store.open_lifecycle_runs().await.unwrap(), 3);
    let mut claimed = HashSet::new();
    loop {
        let (one, two) = tokio::join!(claim(store, after(3600)), claim(&other, after(3600)));
        if one.is_none() && two.is_none() {
            break;
        }
        for run in [one, two].into_iter().flatten() {
            assert!(
                claimed.insert(run.path.name.to_string()),
                "{} was taken twice",
                run.path
            );
        }
    }
    assert_eq!(claimed.len(), 3);
    other.close().await;
}

async fn a_job_whose_lease_ends_goes_to_another_node(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    put(store, "web").await;
    store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let lost = claim(store, now()).await.unwrap();
    assert!(claim(store, after(3599)).await.is_none());
    let run = claim(store, after(3600)).await.unwrap();
    assert_eq!((run.id.as_str(), run.attempts), (lost.id.as_str(), 2));
    let row = rows(store, "web", 10).await.remove(0);
    assert_eq!(apply(store, &lost, vec![expire(&row)]).await, BatchOutcome::Lost);
    assert!(
        !store
            .finish_lifecycle_run(&lost, finished(LifecycleRunStatus::Complete, now()))
            .await
            .unwrap()
    );
    assert!(
        !store
            .put_lifecycle_preview_page(&lost, 0, "[]".into(), after(9))
            .await
            .unwrap()
    );
    assert!(matches!(
        apply(store, &run, vec![expire(&row)]).await,
        BatchOutcome::Done(_)
    ));
    assert_eq!(rows(store, "web", 10).await, []);
}

async fn an_image_that_changed_is_left_alone(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for number in 10..15 {
        push(store, "web", image(number, &[1], &[])).await;
    }
    push(store, "web", index(20, &[14], &[])).await;
    put(store, "web").await;
    store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let run = claim(store, now()).await.unwrap();
    let seen = rows(store, "web", 10).await;
    push(store, "web", image(11, &[1], &["prod"])).await;
    let gone = Reference::Digest(digest(12));
    store
        .delete_image(&path("web"), &gone, now(), "me")
        .await
        .unwrap()
        .unwrap();
    let items: Vec<_> = seen.iter().filter(|row| row.digest != digest(20)).map(expire).collect();
    let BatchOutcome::Done(done) = apply(store, &run, items).await else {
        panic!("the run is ours")
    };
    let results: Vec<_> = done.iter().map(|image| &image.result).collect();
    assert!(
        matches!(
            results[..],
            [
                LifecycleResult::Done,
                LifecycleResult::Skipped,
                LifecycleResult::Skipped,
                LifecycleResult::Done,
                LifecycleResult::Failed { .. }
            ]
        ),
        "{results:?}"
    );
    let left: Vec<_> = rows(store, "web", 10).await.iter().map(|row| row.digest).collect();
    assert_eq!(left, [11, 14, 20].map(digest));
    let recorded = store.lifecycle_run(&path("web"), &run.id).await.unwrap().unwrap();
    assert_eq!(
        (
            recorded.totals.images,
            recorded.totals.expired,
            recorded.totals.failed,
            recorded.totals.protected
        ),
        (3, 2, 1, 1)
    );
    let pages = store.lifecycle_run_pages(&run.id, 0, 10).await.unwrap();
    let told: Vec<hythe_meta::LifecycleRunImage> = serde_json::from_str(&pages[0].1).unwrap();
    assert_eq!((pages.len(), told), (1, done));
    let kept = store.deleted_images(&path("web"), None, 10).await.unwrap().unwrap();
    let by_rule = kept.iter().filter(|image| {
        matches!(
            &image.reason,
            DeletionReason::Lifecycle {
                rule_priority: 1,
                policy_hash: Some(_)
            }
        ) && image.deleted_by == "lifecycle"
    });
    assert_eq!((by_rule.count(), kept.len()), (2, 3));
    let restored = store
        .restore_image(&path("web"), &digest(10), None, after(9), "me")
        .await
        .unwrap();
    assert!(restored.is_restored);
    let back = rows(store, "web", 1).await.remove(0);
    assert_eq!(
        (back.digest, back.pushed_at, back.activated_at),
        (digest(10), now(), Some(after(9))),
        "its age begins anew"
    );
}

async fn a_rule_archives_images_unless_they_changed(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for number in 10..14 {
        push(store, "web", image(number, &[1], &[])).await;
    }
    push(store, "web", index(20, &[13], &[])).await;
    put(store, "web").await;
    store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let run = claim(store, now()).await.unwrap();
    let seen = rows(store, "web", 10).await;
    for number in [10, 11] {
        let pull = Pull {
            repository: path("web"),
            digest: digest(number),
            at: after(3),
        };
        store.append_pulls(&[pull]).await.unwrap();
    }
    store.fold_pulls().await.unwrap();
    let items = vec![
        archive(&seen[0], true),
        archive(&seen[1], false),
        archive(&seen[2], true),
        archive(&seen[3], false),
    ];
    let BatchOutcome::Done(done) = apply(store, &run, items).await else {
        panic!("the run is ours")
    };
    let results: Vec<_> = done.iter().map(|image| &image.result).collect();
    assert!(
        matches!(
            results[..],
            [
                LifecycleResult::Skipped,
                LifecycleResult::Done,
                LifecycleResult::Done,
                LifecycleResult::Failed { .. }
            ]
        ),
        "{results:?}"
    );
    let recorded = store.lifecycle_run(&path("web"), &run.id).await.unwrap().unwrap();
    assert_eq!(
        (
            recorded.totals.archived,
            recorded.totals.expired,
            recorded.totals.failed
        ),
        (2, 0, 1)
    );
    let found = rows(store, "web", 10).await;
    let states: Vec<_> = found
        .iter()
        .map(|row| (row.status, row.archived_at, row.last_pulled_at))
        .collect();
    let (active, archived) = (ImageStatus::Active, ImageStatus::Archived);
    assert_eq!(
        states,
        [
            (active, None, Some(after(3))),
            (archived, Some(now()), Some(after(3))),
            (archived, Some(now()), None),
            (active, None, None),
            (active, None, None),
        ]
    );
    // What is on its way back is seen, so that what refers to it is known to; no rule is asked about it.
    let back = store
        .transition_images(&path("web"), &[digest(11)], StorageClass::Standard, after(5))
        .await;
    back.unwrap().unwrap();
    let found: Vec<_> = rows(store, "web", 10).await.iter().map(|row| row.status).collect();
    assert_eq!(found, [active, ImageStatus::Activating, archived, active, active]);
}

async fn a_lease_can_be_made_longer_while_it_lasts(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    put(store, "web").await;
    store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let run = claim(store, now()).await.unwrap();
    assert!(store.keep_lifecycle_run(&run, after(7200), None).await.unwrap());
    assert!(claim(store, after(7199)).await.is_none());
    let taken = claim(store, after(7200)).await.unwrap();
    assert!(
        !store.keep_lifecycle_run(&run, after(9000), None).await.unwrap(),
        "it was taken"
    );
    assert!(store.keep_lifecycle_run(&taken, after(9000), None).await.unwrap());
}

async fn runs_and_policies_do_not_wait_for_a_clock_that_was_ahead(database: &Database) {
    const DAY: i64 = 86_400;
    let store = &database.store;
    for name in ["aa", "bb", "cc"] {
        create(store, name).await;
    }
    // A clock that is a day ahead: a run of somebody who is gone, a preview that waits, and policies that are due later.
    for name in ["aa", "bb"] {
        let due = after(DAY + 3600);
        store
            .put_lifecycle_policy(&path(name), POLICY, after(DAY), due, None)
            .await
            .unwrap();
    }
    put(store, "cc").await;
    store.start_lifecycle_run(&path("aa"), "me", after(DAY)).await.unwrap();
    let gone = store
        .claim_lifecycle_run(LifecycleKind::Run, after(DAY), after(DAY + 120))
        .await;
    assert!(gone.unwrap().is_some());
    store
        .start_lifecycle_preview(&path("bb"), None, "me", after(DAY))
        .await
        .unwrap();
    let recall = async |at| {
        let longest_wait = SignedDuration::from_mins(8);
        store
            .recall_lifecycle_runs(after(at), HOUR, longest_wait)
            .await
            .unwrap();
    };
    let due = async |at| store.schedule_lifecycle_runs(after(at), HOUR, 10).await.unwrap();
    // What may wait so long does.
    recall(DAY).await;
    assert!(claim(store, after(DAY + 119)).await.is_none());
    recall(10).await;
    let run = claim(store, after(10)).await.unwrap();
    assert_eq!((run.path.name.as_str(), run.attempts), ("aa", 2));
    assert_eq!(claim_preview(store, after(10)).await.path.name.as_str(), "bb");
    assert_eq!(due(3609).await, 1, "that of cc is due when it was");
    assert_eq!(due(3610).await, 2, "the others as if they were new");
}

async fn another_policy_stops_a_run(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    put(store, "web").await;
    store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let run = claim(store, now()).await.unwrap();
    put(store, "web").await;
    let row = rows(store, "web", 10).await.remove(0);
    assert_eq!(apply(store, &run, vec![expire(&row)]).await, BatchOutcome::Superseded);
    assert_eq!(rows(store, "web", 10).await, [row]);
    let superseded = finished(LifecycleRunStatus::Superseded, after(1));
    assert!(store.finish_lifecycle_run(&run, superseded).await.unwrap());
    // A run that waits takes the policy there is when its turn comes, and ends if there is none.
    let waiting = store.start_lifecycle_run(&path("web"), "me", after(2)).await.unwrap();
    store.delete_lifecycle_policy(&path("web"), None, now()).await.unwrap();
    assert!(claim(store, after(3)).await.is_none());
    let ended = store.lifecycle_run(&path("web"), &waiting.id).await.unwrap().unwrap();
    assert_eq!(ended.status, LifecycleRunStatus::Superseded);
}

async fn a_preview_replaces_the_one_before(database: &Database) {
    let store = &database.store;
    let start = async |proposed: Option<&str>, seconds: i64| {
        store
            .start_lifecycle_preview(&path("web"), proposed, "me", after(seconds))
            .await
    };
    assert!(matches!(
        start(None, 0).await,
        Err(StartPreviewError::UnknownRepository)
    ));
    create(store, "web").await;
    assert!(matches!(start(None, 0).await, Err(StartPreviewError::NoPolicy)));
    assert_eq!(store.lifecycle_preview(&path("web")).await.unwrap(), None);
    let first = start(Some("{}"), 0).await.unwrap();
    assert!(matches!(start(Some("{}"), 1).await, Err(StartPreviewError::InProgress)));
    assert!(claim(store, now()).await.is_none(), "it is no run");
    let run = claim_preview(store, now()).await;
    assert_eq!(
        (run.id.as_str(), run.document.as_str(), &run.stored_document),
        (first.id.as_str(), "{}", &Some(String::new())),
        "compared with nothing"
    );
    assert!(
        store
            .put_lifecycle_preview_page(&run, 0, "[1]".into(), after(9))
            .await
            .unwrap()
    );
    assert!(
        store
            .put_lifecycle_preview_page(&run, 0, "[2]".into(), after(9))
            .await
            .unwrap(),
        "again, after a crash"
    );
    assert!(
        store
            .put_lifecycle_preview_page(&run, 1, "[3]".into(), after(9))
            .await
            .unwrap()
    );
    assert!(
        store
            .finish_lifecycle_run(&run, finished(LifecycleRunStatus::Complete, after(3)))
            .await
            .unwrap()
    );
    let pages = store.lifecycle_run_pages(&first.id, 0, 10).await.unwrap();
    assert_eq!(pages, [(0, "[2]".to_owned()), (1, "[3]".to_owned())]);
    assert_eq!(store.lifecycle_run_pages(&first.id, 1, 10).await.unwrap().len(), 1);

    put(store, "web").await;
    let second = start(Some("{}"), 4).await.unwrap();
    assert_eq!(
        store.lifecycle_preview(&path("web")).await.unwrap().unwrap().id,
        second.id
    );
    assert!(store.lifecycle_run_pages(&first.id, 0, 10).await.unwrap().is_empty());
    let run = claim_preview(store, after(4)).await;
    assert_eq!(run.stored_document.as_deref(), Some(POLICY));
    assert!(
        store
            .lifecycle_runs(&path("web"), None, 10)
            .await
            .unwrap()
            .unwrap()
            .is_empty()
    );
}

async fn a_run_that_fails_is_tried_again(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    put(store, "web").await;
    let started = store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let run = claim(store, now()).await.unwrap();
    store.retry_lifecycle_run(&run, after(60), "no answer").await.unwrap();
    assert!(claim(store, after(59)).await.is_none());
    let waiting = store.lifecycle_run(&path("web"), &started.id).await.unwrap().unwrap();
    assert_eq!(
        (waiting.status, waiting.failure.as_deref()),
        (LifecycleRunStatus::Pending, Some("no answer"))
    );
    assert_eq!(claim(store, after(60)).await.unwrap().attempts, 2);
}

async fn old_runs_are_forgotten(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    put(store, "web").await;
    let run = async |at: i64| {
        store.start_lifecycle_run(&path("web"), "me", after(at)).await.unwrap();
        let run = claim(store, after(at)).await.unwrap();
        store
            .finish_lifecycle_run(&run, finished(LifecycleRunStatus::Complete, after(at)))
            .await
            .unwrap();
        run.id
    };
    let (_, young) = (run(0).await, run(100).await);
    store
        .start_lifecycle_preview(&path("web"), None, "me", after(100))
        .await
        .unwrap();
    let preview = claim_preview(store, after(100)).await;
    assert!(
        store
            .put_lifecycle_preview_page(&preview, 0, "[]".into(), after(200))
            .await
            .unwrap()
    );
    store
        .finish_lifecycle_run(&preview, finished(LifecycleRunStatus::Complete, after(101)))
        .await
        .unwrap();
    assert_eq!(store.prune_lifecycle_runs(after(100), after(100), 10).await.unwrap(), 1);
    let left = store.lifecycle_runs(&path("web"), None, 10).await.unwrap().unwrap();
    assert_eq!(left.iter().map(|run| &run.id).collect::<Vec<_>>(), [&young]);
    assert_eq!(store.prune_lifecycle_runs(after(0), after(200), 10).await.unwrap(), 1);
    let expired = store.lifecycle_preview(&path("web")).await.unwrap().unwrap();
    assert_eq!(expired.status, LifecycleRunStatus::Expired);
    assert!(store.lifecycle_run_pages(&expired.id, 0, 10).await.unwrap().is_empty());
    assert_eq!(store.prune_lifecycle_runs(after(0), after(200), 10).await.unwrap(), 0);
    // Runs that it was time for and that changed nothing leave one record, the last, also if images were protected.
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    let row = rows(store, "web", 10).await.remove(0);
    for round in 1..4 {
        let at = now() + HOUR * (2 * round);
        assert_eq!(store.schedule_lifecycle_runs(at, HOUR, 10).await.unwrap(), 1);
        let run = claim(store, at).await.unwrap();
        let protected = LifecycleItem {
            is_protected: true,
            ..expire(&row)
        };
        apply(store, &run, vec![protected]).await;
        store
            .finish_lifecycle_run(&run, finished(LifecycleRunStatus::Complete, at))
            .await
            .unwrap();
    }
    assert_eq!(
        store
            .lifecycle_runs(&path("web"), None, 10)
            .await
            .unwrap()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(database.count("lifecycle_run_page").await, 1);
}

async fn a_repository_takes_its_policy_and_runs_with_it(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    put(store, "web").await;
    store.start_lifecycle_run(&path("web"), "me", now()).await.unwrap();
    let run = claim(store, now()).await.unwrap();
    store.delete_repository(&path("web"), true, None, now()).await.unwrap();
    for table in ["lifecycle_policy", "lifecycle_run", "lifecycle_run_page"] {
        assert_eq!(database.count(table).await, 0, "{table}");
    }
    assert_eq!(apply(store, &run, Vec::new()).await, BatchOutcome::Lost);
}
