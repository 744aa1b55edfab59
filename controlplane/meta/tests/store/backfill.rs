// SPDX-License-Identifier: Apache-2.0
//! Backfills: what they queue, how far they go at once, and how they end.

use std::collections::BTreeSet;

use hythe_catalog::ImageCatalog as _;
use hythe_meta::{
    BackfillRecord, BackfillResult, BackfillStatus, ReplicationFailure, ReplicationOutcome, ReplicationSlots, RuleName,
    StartBackfillError, Store,
};
use hythe_model::ReplicationPath;

use crate::contents::{account, after, create, digest, image, index, link, now, path, push};
use crate::harness::{Database, on_each_engine};
use crate::replication::{claim, claim_into, destination, done, place, put, rule, shown, slots};

on_each_engine!(
    backfills_bring_what_was_there,
    backfills_go_page_by_page,
    a_stopped_backfill_leaves_what_others_want,
    hopeless_backfills_are_given_up,
);

async fn start(store: &Store) -> BackfillRecord {
    store
        .start_backfill(&account(), &place("eu"), "arn:me", now())
        .await
        .unwrap()
}

async fn found(store: &Store, id: &str) -> BackfillRecord {
    store.backfill(&account(), id).await.unwrap().unwrap()
}

/// Looks at the backfills once, at this second.
async fn advance(store: &Store, seconds: i64) -> u64 {
    let pass = store.advance_backfill(after(seconds)).await.unwrap();
    pass.map_or(0, |pass| pass.queued)
}

/// Repositories and destinations, as yet without rules.
async fn furnished(store: &Store) {
    for name in ["other", "web"] {
        create(store, name).await;
        link(store, name, 1).await;
    }
    for name in ["eu", "us"] {
        destination(store, name).await;
    }
}

async fn results(store: &Store, id: &str, result: BackfillResult) -> Vec<String> {
    let images = store.backfill_images(id, Some(result), None, 1000).await.unwrap();
    images
        .iter()
        .map(|image| format!("{}:{}", image.repository, image.reference))
        .collect()
}

async fn backfills_bring_what_was_there(database: &Database) {
    let store = &database.store;
    furnished(store).await;
    push(store, "web", image(10, &[1], &["v1", "v2"])).await;
    push(store, "web", image(11, &[1], &[])).await;
    push(store, "web", image(12, &[1], &[])).await;
    push(store, "web", index(20, &[10, 12], &["index"])).await;
    push(store, "other", image(10, &[1], &["not-meant"])).await;
    let came = ReplicationPath::from_origin(place("us"));
    store
        .put_replica(&path("web"), image(13, &[1], &["replica"]), &came)
        .await
        .unwrap();
    let mut web = rule(&["eu"]);
    web.filters = vec!["web".into()];
    put(store, "", vec![web]).await;
    assert_eq!(shown(store).await, Vec::<String>::new());

    let refused = store.start_backfill(&account(), &place("us"), "arn:me", now()).await;
    assert!(matches!(refused, Err(StartBackfillError::NotConfigured)));
    let started = start(store).await;
    assert_eq!((started.status, started.ended_at), (BackfillStatus::Preparing, None));
    let refused = store.start_backfill(&account(), &place("eu"), "arn:me", now()).await;
    assert!(matches!(refused, Err(StartBackfillError::InProgress(id)) if id == started.id));

    assert_eq!(advance(store, 1).await, 4);
    assert_eq!(shown(store).await, ["eu digest", "eu index", "eu v1", "eu v2"]);
    let running = found(store, &started.id).await;
    assert_eq!(
        (running.status, running.is_walked, running.queued),
        (BackfillStatus::InProgress, true, 4)
    );
    for claimed in claim(store, "me", 2).await {
        done(store, &claimed).await;
    }
    advance(store, 3).await;
    let ended = found(store, &started.id).await;
    assert_eq!((ended.status, ended.completed), (BackfillStatus::Complete, 4));
    assert_eq!(ended.ended_at, Some(after(3)));
    let there = format!("web:{}", digest(11));
    assert_eq!(
        results(store, &started.id, BackfillResult::Complete).await,
        ["web:index".to_owned(), there, "web:v1".into(), "web:v2".into()]
    );
    assert_eq!(store.advance_backfill(after(9)).await.unwrap(), None, "there is none");
    // Another one may follow, and an image that was given up is tried again by it.
    let again = start(store).await;
    assert_eq!(advance(store, 10).await, 4);
    let listed = store.backfills(&account(), None, 10).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|backfill| backfill.id.as_str()).collect();
    assert_eq!(ids, [again.id.as_str(), started.id.as_str()]);
}

async fn backfills_go_page_by_page(database: &Database) {
    let store = &database.store;
    furnished(store).await;
    for number in 100..200 {
        let name = if number % 2 == 0 { "web" } else { "other" };
        let tag = format!("v{number}");
        push(store, name, image(number, &[1], &[&tag])).await;
    }
    put(store, "", vec![rule(&["eu"])]).await;
    let started = start(store).await;
    let first = advance(store, 1).await;
    assert!((32..=64).contains(&first), "{first}");
    assert_eq!(advance(store, 2).await, 0, "enough is under way");
    let mut sent = BTreeSet::new();
    for second in 3..100 {
        for claimed in claim(store, "me", second).await {
            let name = format!("{}:{}", claimed.task.repository.name, claimed.task.subject);
            assert!(sent.insert(name), "it was sent twice");
            done(store, &claimed).await;
        }
        advance(store, second).await;
        if found(store, &started.id).await.ended_at.is_some() {
            break;
        }
    }
    let ended = found(store, &started.id).await;
    assert_eq!((ended.status, ended.completed), (BackfillStatus::Complete, 100));
    assert_eq!(sent.len(), 100);
    // By pages of seven.
    let (mut seen, mut last) = (Vec::new(), None);
    loop {
        let page = store
            .backfill_images(&started.id, None, last.as_ref(), 7)
            .await
            .unwrap();
        let Some(end) = page.last() else { break };
        last = Some((end.repository.to_string(), end.reference.clone()));
        seen.extend(
            page.iter()
                .map(|image| format!("{}:{}", image.repository, image.reference)),
        );
    }
    assert_eq!(seen, sent.into_iter().collect::<Vec<_>>());
}

async fn a_stopped_backfill_leaves_what_others_want(database: &Database) {
    let store = &database.store;
    furnished(store).await;
    for number in 10..30 {
        let tag = format!("v{number}");
        push(store, "web", image(number, &[1], &[&tag])).await;
    }
    put(store, "", vec![rule(&["eu"])]).await;
    let started = start(store).await;
    assert_eq!(advance(store, 1).await, 20);
    let slots = ReplicationSlots { tasks: 28, ..slots() };
    let claimed = claim_into(store, slots, 2).await;
    assert_eq!(claimed.len(), 10, "a part of the slots");
    push(store, "web", image(30, &[1], &["pushed"])).await;
    let waits = shown(store).await;
    let pushed_again = (10..30)
        .map(|number| format!("v{number}"))
        .find(|tag| claimed.iter().all(|claimed| claimed.task.subject.to_string() != *tag))
        .unwrap();
    let number: u64 = pushed_again[1..].parse().unwrap();
    push(store, "web", image(number, &[1], &[&pushed_again])).await;
    assert_eq!(waits.len(), 21);

    let stopping = store.stop_backfill(&account(), &started.id, after(3)).await.unwrap();
    assert_eq!(stopping.unwrap().status, BackfillStatus::Stopping);
    advance(store, 4).await;
    assert_eq!(shown(store).await.len(), 12, "what is under way, and what was pushed");
    assert_eq!(found(store, &started.id).await.status, BackfillStatus::Stopping);
    for claimed in &claimed {
        done(store, claimed).await;
    }
    for claimed in claim(store, "me", 5).await {
        done(store, &claimed).await;
    }
    advance(store, 6).await;
    let stopped = found(store, &started.id).await;
    assert_eq!(stopped.status, BackfillStatus::Stopped);
    assert_eq!((stopped.completed, stopped.skipped), (10, 10));
    assert_eq!(results(store, &started.id, BackfillResult::Skipped).await.len(), 10);
    let again = store.stop_backfill(&account(), &started.id, after(7)).await.unwrap();
    assert_eq!(again, None, "it has ended");
    let images = store.backfill_images(&started.id, Some(BackfillResult::Skipped), None, 20);
    let images = images.await.unwrap();
    let skipped = images
        .iter()
        .find(|image| image.reference != pushed_again)
        .unwrap()
        .digest;
    let status = store.replication_status(&path("web"), &skipped).await.unwrap();
    assert_eq!(status, Some(Vec::new()), "it is not on its way any more");
}

async fn hopeless_backfills_are_given_up(database: &Database) {
    let store = &database.store;
    furnished(store).await;
    for number in 100..300 {
        let tag = format!("v{number}");
        push(store, "web", image(number, &[1], &[&tag])).await;
    }
    put(store, "", vec![rule(&["eu"])]).await;
    let started = start(store).await;
    let failure = ReplicationFailure {
        code: "DestinationRefused".into(),
        reason: "no".into(),
    };
    for second in 1..100 {
        advance(store, second).await;
        for (number, claimed) in claim(store, "me", second).await.iter().enumerate() {
            if number % 3 == 0 {
                done(store, claimed).await;
            } else {
                let outcome = ReplicationOutcome::Dead(failure.clone());
                store.end_replication(claimed, outcome, after(second)).await.unwrap();
            }
        }
        if found(store, &started.id).await.ended_at.is_some() {
            break;
        }
    }
    let ended = found(store, &started.id).await;
    assert_eq!(ended.status, BackfillStatus::Failed);
    assert!(ended.failure.unwrap().contains("half"));
    assert!(
        ended.completed + ended.failed >= 100 && ended.queued < 200,
        "it went on"
    );
    let failed = store.backfill_images(&started.id, Some(BackfillResult::Failed), None, 1);
    assert_eq!(failed.await.unwrap()[0].failure, Some(failure));

    // A backfill to what no rule names any more ends, too.
    let started = start(store).await;
    assert!(advance(store, 101).await > 0);
    store
        .put_replication_rules(&account(), &RuleName::document(), Vec::new(), after(102), None)
        .await
        .unwrap();
    advance(store, 103).await;
    advance(store, 104).await;
    let ended = found(store, &started.id).await;
    assert_eq!((ended.status, ended.completed), (BackfillStatus::Failed, 0));
    assert!(ended.failure.unwrap().contains("no rule"));
}
