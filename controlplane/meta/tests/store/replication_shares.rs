// SPDX-License-Identifier: Apache-2.0
//! Replication: how destinations and accounts share the slots of a node, and what the end of work says about a destination
//! that has changed, come back, or gone.

use std::collections::BTreeMap;

use hythe_catalog::{BlobCatalog as _, ImageCatalog as _};
use hythe_meta::{
    ClaimedReplication, DestinationLoad, DestinationRecord, DestinationSettings, NewRepository, ReplicationFailure,
    ReplicationOutcome, ReplicationSlots, RuleName, Store,
};
use hythe_model::{AccountId, RegistryPlace, ReplicatedSetting, RepositoryPath};
use hythe_rules::replication::ReplicationRule;

use crate::contents::{account, after, blob, create, digest, image, link, new_repository, now, path, push};
use crate::harness::{Database, on_each_engine};
use crate::replication::{
    bringing, claim, claim_into, done, found, put, region, rule, shown, slots, tagged, waiting, world,
};

on_each_engine!(
    a_backlog_leaves_room_for_others,
    a_destination_in_trouble_gets_one_task_and_holds_up_nobody,
    a_change_of_a_destination_counts_for_work_that_is_under_way,
    settings_that_fail_together_leave_one_to_try_again,
    a_repository_goes_when_its_last_image_has_gone,
    what_goes_nowhere_any_more_is_dropped,
);

fn failure() -> ReplicationFailure {
    ReplicationFailure {
        code: "DestinationUnavailable".into(),
        reason: "no".into(),
    }
}

/// How many were claimed for each destination.
fn counts(claimed: &[ClaimedReplication]) -> BTreeMap<(AccountId, String), usize> {
    let mut counts = BTreeMap::new();
    for claimed in claimed {
        let destination = &claimed.destination;
        let key = (destination.account.clone(), destination.name.to_string());
        *counts.entry(key).or_default() += 1;
    }
    counts
}

async fn push_many(store: &Store, repository: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        push(store, repository, image(number, &[1], &[])).await;
    }
}

/// A repository of another account with images that go to its destination `eu`.
async fn another_account(store: &Store, images: std::ops::Range<u64>) -> AccountId {
    let other: AccountId = "111111111111".parse().unwrap();
    let web = RepositoryPath {
        account: other.clone(),
        name: "web".parse().unwrap(),
    };
    let repository = NewRepository {
        path: web.clone(),
        ..new_repository("web")
    };
    store.create_repository(repository).await.unwrap();
    let eu = DestinationRecord {
        account: other.clone(),
        ..found(store, "eu").await
    };
    store.create_replication_destination(&eu).await.unwrap();
    let place = RegistryPlace {
        region: region("eu"),
        account: other.clone(),
    };
    let rules = vec![ReplicationRule {
        destinations: vec![place],
        ..rule(&[])
    }];
    store
        .put_replication_rules(&other, &RuleName::document(), rules, now(), None)
        .await
        .unwrap();
    store.link_blob(&web, blob(1, b"blob"), now()).await.unwrap();
    for number in images {
        store.put_image(&web, image(number, &[1], &[])).await.unwrap();
    }
    other
}

async fn a_backlog_leaves_room_for_others(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    let slots = ReplicationSlots { tasks: 24, ..slots() };
    push_many(store, "web", 100..130).await;
    let first = claim_into(store, slots.clone(), 1).await;
    assert_eq!(first.len(), 8, "a part, with nobody else there");
    // What is under way counts: no more of these, and room for those of others, however old the backlog is.
    put(store, "", vec![rule(&["us"])]).await;
    push_many(store, "web", 200..230).await;
    put(store, "", vec![rule(&["eu", "us"])]).await;
    let other = another_account(store, 300..330).await;
    let load = DestinationLoad { images: 8, settings: 0 };
    let busy = ReplicationSlots {
        tasks: 16,
        now: [((account(), region("eu")), load)].into(),
        ..slots
    };
    let more = claim_into(store, busy, 2).await;
    let expected = [((account(), "us".to_owned()), 3), ((other, "eu".to_owned()), 5)];
    assert_eq!(counts(&more), expected.into());
}

async fn a_destination_in_trouble_gets_one_task_and_holds_up_nobody(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    push_many(store, "web", 100..140).await;
    put(store, "", vec![rule(&["eu", "us"])]).await;
    push_many(store, "web", 200..203).await;
    for _ in 0..3 {
        let eu = found(store, "eu").await;
        store
            .note_destination_reached(&eu, Some(after(5)), after(1))
            .await
            .unwrap();
    }
    let small = ReplicationSlots { tasks: 10, ..slots() };
    let first = claim_into(store, small.clone(), 6).await;
    let expected = [((account(), "eu".to_owned()), 1), ((account(), "us".to_owned()), 3)];
    assert_eq!(counts(&first), expected.into());
    // While that one is under way, there is none beside it.
    let load = DestinationLoad { images: 1, settings: 0 };
    let busy = ReplicationSlots {
        now: [((account(), region("eu")), load)].into(),
        ..small
    };
    assert!(claim_into(store, busy.clone(), 7).await.is_empty());
    // Nor if its account has what it may have by others.
    let load = DestinationLoad {
        images: 10,
        settings: 0,
    };
    let full = ReplicationSlots {
        now: [((account(), region("us")), load)].into(),
        ..busy
    };
    store.release_replications(Some("me"), after(7)).await.unwrap();
    assert!(claim_into(store, full, 8).await.is_empty());
}

async fn a_change_of_a_destination_counts_for_work_that_is_under_way(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    push_many(store, "web", 10..12).await;
    let claimed = claim(store, "me", 1).await;
    assert_eq!(claimed.len(), 2);
    let eu = found(store, "eu").await;
    let settings = DestinationSettings {
        endpoint: "other.example.com".into(),
        ..eu.settings
    };
    store
        .update_replication_destination(&account(), &region("eu"), settings, after(2), eu.version)
        .await
        .unwrap();
    // What was known before the change ends in vain: given up, or put off with the destination.
    let dead = ReplicationOutcome::Dead(failure());
    store.end_replication(&claimed[0], dead, after(3)).await.unwrap();
    let again = ReplicationOutcome::Again {
        at: after(300),
        failure: failure(),
    };
    store.end_replication(&claimed[1], again, after(3)).await.unwrap();
    store
        .note_destination_reached(&claimed[1].destination, Some(after(300)), after(3))
        .await
        .unwrap();
    let tasks = waiting(store).await;
    assert!(tasks.iter().all(|task| !task.is_dead), "{tasks:?}");
    let claimed = claim(store, "me", 4).await;
    assert_eq!(claimed.len(), 2, "both go to the new address at once");
    let endpoint = &claimed[0].destination.settings.endpoint;
    assert_eq!(endpoint, "other.example.com");
}

async fn settings_that_fail_together_leave_one_to_try_again(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    let names = ["a1", "a2", "a3"];
    for name in names {
        create(store, name).await;
        link(store, name, 1).await;
        push(store, name, image(50, &[1], &[])).await;
    }
    for claimed in claim(store, "me", 1).await {
        done(store, &claimed).await;
    }
    let brings = bringing(store, &[ReplicatedSetting::ResourceTags]).await;
    put(store, "", vec![brings]).await;
    for name in names {
        store
            .update_repository(&path(name), tagged("a"), None, now())
            .await
            .unwrap();
    }
    let two = ReplicationSlots {
        settings_each: 2,
        ..slots()
    };
    let claimed = claim_into(store, two, 2).await;
    assert_eq!(claimed.len(), 2);
    for claimed in &claimed {
        let again = ReplicationOutcome::Again {
            at: after(5),
            failure: failure(),
        };
        let end = store.end_settings_replication(claimed, again, after(3), Some(after(35)));
        end.await.unwrap();
    }
    assert!(claim(store, "me", 4).await.is_empty());
    assert_eq!(claim(store, "me", 5).await.len(), 1, "one asks whether it is back");
    assert!(claim(store, "me", 34).await.is_empty(), "the others wait");
    assert_eq!(claim(store, "me", 35).await.len(), 2);
}

async fn a_repository_goes_when_its_last_image_has_gone(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    let brings = bringing(store, &[ReplicatedSetting::ResourceTags]).await;
    put(store, "", vec![brings]).await;
    push_many(store, "web", 10..12).await;
    for seconds in [1, 2] {
        for claimed in claim(store, "me", seconds).await {
            done(store, &claimed).await;
        }
    }
    store
        .delete_repository(&path("web"), true, None, after(3))
        .await
        .unwrap();
    let claimed = claim(store, "me", 4).await;
    assert_eq!(claimed.len(), 3, "two images, and the repository");
    let (images, repository): (Vec<_>, Vec<_>) = claimed
        .iter()
        .partition(|claimed| claimed.task.subject.digest().is_some());
    // Images are still there.
    let again = ReplicationOutcome::Again {
        at: after(300),
        failure: failure(),
    };
    store.end_replication(repository[0], again, after(4)).await.unwrap();
    done(store, images[0]).await;
    assert!(claim(store, "me", 5).await.is_empty(), "one of them still is");
    let outcome = ReplicationOutcome::Done {
        sent: Vec::new(),
        short_of: None,
    };
    store.end_replication(images[1], outcome, after(6)).await.unwrap();
    let claimed = claim(store, "me", 6).await;
    assert_eq!(claimed.len(), 1, "now it goes");
    // Its own failure is no reason to try at once.
    let again = ReplicationOutcome::Again {
        at: after(300),
        failure: failure(),
    };
    let end = store.end_settings_replication(&claimed[0], again, after(7), Some(after(330)));
    end.await.unwrap();
    assert!(claim(store, "me", 299).await.is_empty());
    assert_eq!(claim(store, "me", 300).await.len(), 1);
}

async fn what_goes_nowhere_any_more_is_dropped(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1"])).await;
    store.drop_lost_replications().await.unwrap();
    assert_eq!(shown(store).await, ["eu v1"]);
    // As a push does that has read its rules before these and the destination were deleted.
    database
        .execute("DELETE FROM replication_destination WHERE name = 'eu'")
        .await;
    assert!(claim(store, "me", 1).await.is_empty());
    store.drop_lost_replications().await.unwrap();
    assert!(waiting(store).await.is_empty());
    // More than a claim looks at is dropped by one claim, if no rule wants it.
    put(store, "", vec![rule(&["us"])]).await;
    push_many(store, "web", 100..140).await;
    put(store, "", Vec::new()).await;
    let small = ReplicationSlots { tasks: 10, ..slots() };
    assert!(claim_into(store, small, 1).await.is_empty());
    assert!(waiting(store).await.is_empty());
    assert_eq!(
        store
            .replication_status(&path("web"), &digest(100))
            .await
            .unwrap()
            .unwrap(),
        []
    );
}
