// SPDX-License-Identifier: Apache-2.0
//! Replication: what changes queue, how work is shared, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use hythe_catalog::ImageCatalog as _;
use hythe_meta::{
    AccountChange, ChangeDestinationError, ClaimedReplication, Deletion, DeletionReason, DestinationKind,
    DestinationLoad, DestinationRecord, DestinationSettings, ImageIdentifier, PutReplicationRulesError,
    ReplicationFailure, ReplicationOutcome, ReplicationSlots, ReplicationState, ReplicationTask, RepositoryChange,
    RuleName, Store, TagChange, TaskFilter,
};
use hythe_model::{Region, RegistryPlace, ReplicatedSetting, ReplicationPath, ResourceTags};
use hythe_rules::replication::{ReplicationRule, ReplicationRuleError};
use jiff::Timestamp;

use crate::contents::{account, after, create, digest, image, index, link, now, path, push, tag};
use crate::harness::{Database, on_each_engine};

on_each_engine!(
    changes_queue_what_rules_want,
    moves_of_a_tag_are_one_task,
    replicas_go_on_only_by_chains,
    a_change_during_the_work_is_not_lost,
    what_fails_is_tried_again_and_given_up,
    destinations_that_are_away_are_left_alone,
    work_of_deleted_rules_is_dropped,
    rules_and_destinations_change_by_version,
    settings_go_with_changes_and_after_the_first_image,
    settings_need_a_control_plane_there,
    settings_take_a_part_of_the_slots,
    what_is_read_beside_the_first_image_is_read_again,
    images_of_a_deleted_repository_are_deleted_there,
    a_deleted_repository_is_emptied_everywhere,
    a_tag_that_is_being_brought_goes_with_its_image,
    what_a_clock_that_was_ahead_put_off_is_recalled,
    what_was_pushed_here_is_no_replica_whoever_brings_it_later,
    blobs_are_mounted_from_what_the_destination_knows,
    closed_accounts_wait,
);

pub fn region(name: &str) -> Region {
    name.parse().unwrap()
}

pub fn place(name: &str) -> RegistryPlace {
    RegistryPlace {
        region: region(name),
        account: account(),
    }
}

pub fn rule(destinations: &[&str]) -> ReplicationRule {
    ReplicationRule {
        destinations: destinations.iter().map(|name| place(name)).collect(),
        filters: Vec::new(),
        deletes: false,
        chains: false,
        settings: BTreeSet::new(),
    }
}

pub async fn destination(store: &Store, name: &str) -> DestinationRecord {
    let destination = DestinationRecord {
        account: account(),
        name: region(name),
        settings: DestinationSettings {
            kind: DestinationKind::Hythe,
            endpoint: "registry.example.com".into(),
            control_endpoint: None,
            description: Some("größe".into()),
            username: Some("u".into()),
            sealed_password: Some(vec![0, 1, 255]),
            repository_prefix: None,
            bytes_per_second: Some(1 << 20),
        },
        created_at: now(),
        updated_at: now(),
        version: 0,
        failures: 0,
        open_at: Timestamp::UNIX_EPOCH,
    };
    store.create_replication_destination(&destination).await.unwrap()
}

/// A destination as it is now.
pub async fn found(store: &Store, name: &str) -> DestinationRecord {
    let found = store.replication_destination(&account(), &region(name)).await.unwrap();
    found.unwrap()
}

pub async fn put(store: &Store, name: &str, rules: Vec<ReplicationRule>) {
    let name = if name.is_empty() {
        RuleName::document()
    } else {
        name.parse().unwrap()
    };
    store
        .put_replication_rules(&account(), &name, rules, now(), None)
        .await
        .unwrap();
}

/// A repository `web` with a blob, destinations, and a document with these rules.
pub async fn world(database: &Database, rules: Vec<ReplicationRule>) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    for name in ["eu", "us"] {
        destination(store, name).await;
    }
    put(store, "", rules).await;
}

pub async fn waiting(store: &Store) -> Vec<ReplicationTask> {
    store
        .replication_tasks(&account(), &TaskFilter::default(), None, 100)
        .await
        .unwrap()
}

/// As `destination reference`, with `-` in front of deletions.
pub async fn shown(store: &Store) -> Vec<String> {
    let show = |task: ReplicationTask| {
        let sign = if task.may_delete { "-" } else { "" };
        let reference = task.subject.to_string();
        let reference = if reference.contains(':') {
            "digest".to_owned()
        } else {
            reference
        };
        format!("{sign}{} {reference}", task.place.region)
    };
    let mut shown: Vec<_> = waiting(store).await.into_iter().map(show).collect();
    shown.sort();
    shown
}

/// Room for everything.
pub fn slots() -> ReplicationSlots {
    ReplicationSlots {
        tasks: 100,
        settings: 10,
        settings_each: 10,
        now: BTreeMap::new(),
    }
}

pub async fn claim_into(store: &Store, slots: ReplicationSlots, seconds: i64) -> Vec<ClaimedReplication> {
    let (now, until) = (after(seconds), after(seconds + 60));
    store.claim_replications("me", now, until, slots).await.unwrap()
}

pub async fn claim(store: &Store, owner: &str, seconds: i64) -> Vec<ClaimedReplication> {
    let (now, until) = (after(seconds), after(seconds + 60));
    store.claim_replications(owner, now, until, slots()).await.unwrap()
}

pub async fn done(store: &Store, claimed: &ClaimedReplication) {
    let outcome = ReplicationOutcome::Done {
        sent: claimed.task.subject.digest().copied().into_iter().collect(),
        short_of: None,
    };
    store.end_replication(claimed, outcome, after(1)).await.unwrap();
}

/// Does all that waits, and what follows from it.
async fn all_done(store: &Store, seconds: i64) {
    loop {
        let claimed = claim(store, "me", seconds).await;
        if claimed.is_empty() {
            return;
        }
        for claimed in &claimed {
            done(store, claimed).await;
        }
    }
}

async fn state(store: &Store, number: u64) -> Option<ReplicationState> {
    let found = store
        .replication_status(&path("web"), &digest(number))
        .await
        .unwrap()
        .unwrap();
    found.first().map(|status| status.state)
}

async fn changes_queue_what_rules_want(database: &Database) {
    let deletes = ReplicationRule {
        deletes: true,
        ..rule(&["us"])
    };
    world(database, vec![rule(&["eu"]), deletes]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1", "v2"])).await;
    push(store, "web", index(20, &[10], &[])).await;
    assert_eq!(
        shown(store).await,
        ["eu digest", "eu v1", "eu v2", "us digest", "us v1", "us v2"]
    );
    assert_eq!(state(store, 10).await, Some(ReplicationState::InProgress));
    for claimed in claim(store, "me", 1).await {
        done(store, &claimed).await;
    }
    assert!(waiting(store).await.is_empty());
    assert_eq!(state(store, 20).await, Some(ReplicationState::Complete));
    let deletion = Deletion {
        at: after(2),
        by: "arn:me".into(),
        reason: DeletionReason::Request,
    };
    let images = [ImageIdentifier::Tag(tag("v1")), ImageIdentifier::Digest(digest(20))];
    store.delete_images(&path("web"), &images, &deletion).await.unwrap();
    assert_eq!(shown(store).await, ["-us digest", "-us v1"]);
    store
        .restore_image(&path("web"), &digest(20), None, after(3), "arn:me")
        .await
        .unwrap();
    assert_eq!(shown(store).await, ["-us v1", "eu digest", "us digest"]);
    // Without rules nothing is queued, and another registry's rules say nothing.
    put(store, "", Vec::new()).await;
    push(store, "web", image(11, &[1], &["v3"])).await;
    assert_eq!(shown(store).await.len(), 3);
}

async fn moves_of_a_tag_are_one_task(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    for number in 10..15 {
        push(store, "web", image(number, &[1], &["latest"])).await;
    }
    let tasks = waiting(store).await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].subject.digest(), Some(&digest(14)));
    assert_eq!(state(store, 10).await, None, "it is not on its way any more");
    assert_eq!(state(store, 14).await, Some(ReplicationState::InProgress));
}

async fn replicas_go_on_only_by_chains(database: &Database) {
    let chain = ReplicationRule {
        chains: true,
        ..rule(&["us", "eu"])
    };
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    let came = ReplicationPath::from_origin(place("us"));
    store
        .put_replica(&path("web"), image(10, &[1], &["v1"]), &came)
        .await
        .unwrap();
    assert!(waiting(store).await.is_empty());
    put(store, "chain", vec![chain]).await;
    store
        .put_replica(&path("web"), image(11, &[1], &["v2"]), &came)
        .await
        .unwrap();
    assert_eq!(shown(store).await, ["eu v2"], "not back to where it came from");
    assert_eq!(waiting(store).await[0].path, Some(came));
    // Pushed here by itself, it is no replica any more.
    push(store, "web", image(10, &[1], &["v1"])).await;
    assert_eq!(shown(store).await, ["eu v1", "eu v2", "us v1"]);
}

async fn a_change_during_the_work_is_not_lost(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let claimed = claim(store, "me", 1).await;
    assert_eq!(claimed.len(), 1);
    assert!(claim(store, "you", 2).await.is_empty(), "somebody works on it");
    push(store, "web", image(11, &[1], &["v1"])).await;
    done(store, &claimed[0]).await;
    let again = claim(store, "you", 3).await;
    assert_eq!(again[0].task.subject.digest(), Some(&digest(11)));
    // Whoever is too slow has lost it.
    let taken = claim(store, "me", 100).await;
    assert_eq!(taken.len(), 1);
    assert!(!store.renew_replication(&again[0], after(200)).await.unwrap());
    assert!(store.renew_replication(&taken[0], after(200)).await.unwrap());
    done(store, &again[0]).await;
    assert_eq!(waiting(store).await.len(), 1);
    done(store, &taken[0]).await;
    assert!(waiting(store).await.is_empty());
    push(store, "web", image(12, &[1], &["v1"])).await;
    claim(store, "me", 300).await;
    store.release_replications(Some("me"), after(300)).await.unwrap();
    assert_eq!(claim(store, "you", 301).await.len(), 1, "released");
}

async fn what_fails_is_tried_again_and_given_up(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let failure = ReplicationFailure {
        code: "DestinationRefused".into(),
        reason: "no".into(),
    };
    let claimed = claim(store, "me", 1).await;
    let again = ReplicationOutcome::Again {
        at: after(10),
        failure: failure.clone(),
    };
    store.end_replication(&claimed[0], again, after(1)).await.unwrap();
    assert!(claim(store, "me", 9).await.is_empty());
    let claimed = claim(store, "me", 10).await;
    assert_eq!(
        (claimed[0].task.attempts, &claimed[0].task.failure),
        (1, &Some(failure.clone()))
    );
    store
        .end_replication(&claimed[0], ReplicationOutcome::Dead(failure), after(11))
        .await
        .unwrap();
    assert_eq!(state(store, 10).await, Some(ReplicationState::Failed));
    assert!(claim(store, "me", 1000).await.is_empty());
    let backlog = store.replication_backlog(Some(&account())).await.unwrap();
    assert_eq!(
        (backlog[0].waiting, backlog[0].dead, backlog[0].oldest_at),
        (0, 1, None)
    );
    let dead = TaskFilter {
        is_dead: Some(true),
        ..TaskFilter::default()
    };
    assert_eq!(
        store
            .replication_tasks(&account(), &dead, None, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    let elsewhere = TaskFilter {
        destination: Some(region("us")),
        ..TaskFilter::default()
    };
    assert_eq!(
        store
            .retry_replications(&account(), &elsewhere, after(12))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store
            .retry_replications(&account(), &TaskFilter::default(), after(12))
            .await
            .unwrap(),
        1
    );
    let claimed = claim(store, "me", 12).await;
    done(store, &claimed[0]).await;
    assert_eq!(state(store, 10).await, Some(ReplicationState::Complete));
    assert_eq!(
        store
            .drop_replications(&account(), &TaskFilter::default())
            .await
            .unwrap(),
        0
    );
}

async fn destinations_that_are_away_are_left_alone(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    for number in 10..13 {
        push(store, "web", image(number, &[1], &[])).await;
    }
    for _ in 0..3 {
        let eu = found(store, "eu").await;
        // However many tasks were under way.
        for _ in 0..4 {
            let noted = store.note_destination_reached(&eu, Some(after(30)), after(1));
            noted.await.unwrap();
        }
    }
    assert!(claim(store, "me", 29).await.is_empty());
    let claimed = claim(store, "me", 30).await;
    assert_eq!(claimed.len(), 1, "one tries whether it is back");
    assert_eq!(claimed[0].destination.failures, 3);
    let destination = &claimed[0].destination;
    store
        .note_destination_reached(destination, None, after(31))
        .await
        .unwrap();
    // One that began before fails late: it says nothing about now.
    let noted = store.note_destination_reached(destination, Some(after(300)), after(31));
    noted.await.unwrap();
    assert_eq!(claim(store, "me", 31).await.len(), 2);
}

async fn work_of_deleted_rules_is_dropped(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1"])).await;
    put(store, "", vec![rule(&["us"])]).await;
    assert!(claim(store, "me", 1).await.is_empty());
    assert!(waiting(store).await.is_empty());
    assert_eq!(state(store, 10).await, None);
}

async fn rules_and_destinations_change_by_version(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let (store, account) = (&database.store, account());
    let found = store
        .replication_destination(&account, &region("eu"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.settings.sealed_password, Some(vec![0, 1, 255]));
    let settings = DestinationSettings {
        sealed_password: None,
        ..found.settings.clone()
    };
    let update =
        |version| store.update_replication_destination(&account, &found.name, settings.clone(), after(1), version);
    let updated = update(found.version).await.unwrap();
    assert_eq!(updated.settings.sealed_password, None);
    assert!(matches!(
        update(found.version).await,
        Err(ChangeDestinationError::VersionMismatch)
    ));
    let deleted = store
        .delete_replication_destination(&account, &region("eu"), None)
        .await;
    assert!(matches!(deleted, Err(ChangeDestinationError::InUse)), "{deleted:?}");
    store
        .delete_replication_destination(&account, &region("us"), None)
        .await
        .unwrap();

    let document = RuleName::document();
    let put = |rules, version| store.put_replication_rules(&account, &document, rules, after(1), version);
    let gone = put(vec![rule(&["us"])], None).await;
    assert!(
        matches!(gone, Err(PutReplicationRulesError::UnknownDestination(_))),
        "{gone:?}"
    );
    let stale = put(vec![rule(&["eu"])], Some(0)).await;
    assert!(
        matches!(stale, Err(PutReplicationRulesError::VersionMismatch)),
        "{stale:?}"
    );
    let (before, after_) = put(Vec::new(), None).await.unwrap();
    assert!(before.is_some() && after_.is_none());
    let (_, first) = put(vec![rule(&["eu"])], Some(0)).await.unwrap();
    assert!(first.is_some());
    for number in 0..25 {
        destination(store, &format!("r{number}")).await;
    }
    let many: Vec<String> = (0..25).map(|number| format!("r{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let name: RuleName = "many".parse().unwrap();
    let too_many = store
        .put_replication_rules(&account, &name, vec![rule(&many)], after(1), None)
        .await;
    assert!(
        matches!(
            too_many,
            Err(PutReplicationRulesError::Rule(
                ReplicationRuleError::TooManyDestinations
            ))
        ),
        "{too_many:?}"
    );
    let none = store.replication_rules(&account, &name).await.unwrap();
    assert_eq!(none, None, "nothing was put");
    let unknown = store
        .put_replication_rules(&account, &name, Vec::new(), after(1), None)
        .await;
    assert!(matches!(unknown, Err(PutReplicationRulesError::Unknown)), "{unknown:?}");
}

/// A rule that brings settings to `eu`, whose control plane is known.
pub async fn bringing(store: &Store, settings: &[ReplicatedSetting]) -> ReplicationRule {
    let known = found(store, "eu").await;
    let settings_there = DestinationSettings {
        control_endpoint: Some("control.example.com".into()),
        ..known.settings
    };
    store
        .update_replication_destination(&account(), &region("eu"), settings_there, now(), known.version)
        .await
        .unwrap();
    ReplicationRule {
        settings: settings.iter().copied().collect(),
        deletes: true,
        ..rule(&["eu"])
    }
}

async fn settings_state(store: &Store) -> Option<ReplicationState> {
    let found = store.settings_replication_status(&path("web")).await.unwrap().unwrap();
    found.first().map(|status| status.state)
}

pub fn tagged(value: &str) -> RepositoryChange {
    let tags = [("team".to_owned(), value.to_owned())];
    RepositoryChange {
        tags: Some(TagChange::Replace(ResourceTags::new(tags).unwrap())),
        ..RepositoryChange::default()
    }
}

async fn settings_go_with_changes_and_after_the_first_image(database: &Database) {
    world(database, vec![rule(&["us"])]).await;
    let store = &database.store;
    let rule = bringing(
        store,
        &[ReplicatedSetting::ResourceTags, ReplicatedSetting::RepositoryPolicy],
    )
    .await;
    put(store, "", vec![rule]).await;
    let scan = RepositoryChange {
        scan_on_push: Some(true),
        ..RepositoryChange::default()
    };
    store.update_repository(&path("web"), scan, None, now()).await.unwrap();
    store
        .put_lifecycle_policy(&path("web"), "{}", now(), after(100), None)
        .await
        .unwrap();
    assert!(shown(store).await.is_empty(), "what no rule brings");
    let change = async |value: &str, policy: &str| {
        let (web, tags) = (path("web"), tagged(value));
        store.update_repository(&web, tags, None, now()).await.unwrap();
        store.set_repository_policy(&web, policy, now(), None).await.unwrap();
    };
    // What has its name there is somebody else's, before an image has arrived; the first makes up for it.
    change("a", "{}").await;
    let none: [&str; 0] = [];
    assert_eq!(
        (shown(store).await, settings_state(store).await),
        (none.map(String::from).to_vec(), None)
    );
    push(store, "web", image(10, &[1], &["v1"])).await;
    assert_eq!(shown(store).await, ["eu v1"]);
    change("b", "[]").await;
    assert_eq!(shown(store).await, ["eu v1"], "it is on its way");
    assert!(!store.has_arrived(&path("web"), &place("eu")).await.unwrap());
    done(store, &claim(store, "me", 1).await[0]).await;
    assert_eq!(shown(store).await, ["eu settings"]);
    assert!(store.has_arrived(&path("web"), &place("eu")).await.unwrap());
    assert!(!store.has_arrived(&path("web"), &place("us")).await.unwrap());
    change("a", "{}").await;
    assert_eq!(shown(store).await, ["eu settings"], "one task for all");
    assert_eq!(settings_state(store).await, Some(ReplicationState::InProgress));
    // The repository is gone there: nothing is done, and the next image makes up for it.
    let claimed = claim(store, "me", 2).await;
    assert_eq!(claimed[0].wanted.settings.len(), 2);
    let absent = ReplicationOutcome::Absent;
    store.end_replication(&claimed[0], absent, after(2)).await.unwrap();
    assert_eq!((shown(store).await.len(), settings_state(store).await), (0, None));
    push(store, "web", image(12, &[1], &["v0"])).await;
    done(store, &claim(store, "me", 3).await[0]).await;
    assert_eq!(shown(store).await, ["eu settings"]);
    done(store, &claim(store, "me", 3).await[0]).await;
    assert_eq!(settings_state(store).await, Some(ReplicationState::Complete));
    push(store, "web", image(11, &[1], &["v2"])).await;
    done(store, &claim(store, "me", 4).await[0]).await;
    assert!(shown(store).await.is_empty(), "they are there");
    // The same again is no change; a change during the work is not lost; failures are told.
    store
        .update_repository(&path("web"), tagged("a"), None, now())
        .await
        .unwrap();
    store
        .set_repository_policy(&path("web"), "{}", now(), None)
        .await
        .unwrap();
    assert!(shown(store).await.is_empty());
    store.delete_repository_policy(&path("web"), None, now()).await.unwrap();
    let claimed = claim(store, "me", 5).await;
    store
        .update_repository(&path("web"), tagged("b"), None, now())
        .await
        .unwrap();
    done(store, &claimed[0]).await;
    assert_eq!(settings_state(store).await, Some(ReplicationState::InProgress));
    let claimed = claim(store, "me", 6).await;
    let dead = ReplicationOutcome::Dead(ReplicationFailure {
        code: "DestinationAccessDenied".into(),
        reason: "no".into(),
    });
    store.end_replication(&claimed[0], dead, after(6)).await.unwrap();
    assert_eq!(settings_state(store).await, Some(ReplicationState::Failed));
    let retried = store
        .retry_replications(&account(), &TaskFilter::default(), after(7))
        .await
        .unwrap();
    assert_eq!(retried, 1);
    // Without the rule there is nothing to do any more.
    put(store, "", Vec::new()).await;
    assert!(claim(store, "me", 8).await.is_empty());
    assert_eq!((shown(store).await.len(), settings_state(store).await), (0, None));
}

async fn settings_need_a_control_plane_there(database: &Database) {
    world(database, Vec::new()).await;
    let store = &database.store;
    let rule = bringing(store, &[ReplicatedSetting::LifecyclePolicy]).await;
    let elsewhere = ReplicationRule {
        destinations: vec![place("eu"), place("us")],
        ..rule.clone()
    };
    let name = RuleName::document();
    let refused = store
        .put_replication_rules(&account(), &name, vec![elsewhere], now(), None)
        .await;
    assert!(matches!(refused, Err(PutReplicationRulesError::NoControlPlane(name)) if name == region("us")));
    put(store, "", vec![rule]).await;
    let known = store.replication_destination(&account(), &region("eu")).await.unwrap();
    let known = known.unwrap();
    let without = DestinationSettings {
        control_endpoint: None,
        ..known.settings
    };
    let (account, eu) = (account(), region("eu"));
    let taken = |settings: DestinationSettings| {
        store.update_replication_destination(&account, &eu, settings, now(), known.version)
    };
    let refused = taken(without.clone()).await;
    assert!(matches!(refused, Err(ChangeDestinationError::NeedsControlPlane)));
    put(store, "", vec![self::rule(&["eu"])]).await;
    taken(without).await.unwrap();
}

async fn settings_take_a_part_of_the_slots(database: &Database) {
    world(database, vec![rule(&["us"])]).await;
    let store = &database.store;
    let names = ["a1", "a2", "a3", "a4", "a5"];
    put(store, "", vec![rule(&["eu"])]).await;
    for name in names {
        create(store, name).await;
        link(store, name, 1).await;
        push(store, name, image(50, &[1], &["v1"])).await;
    }
    all_done(store, 1).await;
    let brings = bringing(store, &[ReplicatedSetting::ResourceTags]).await;
    put(store, "", vec![brings, rule(&["us"])]).await;
    for name in names {
        store
            .update_repository(&path(name), tagged("a"), None, now())
            .await
            .unwrap();
    }
    push(store, "web", image(10, &[1], &["v1"])).await;
    // All settings are older; the images get their slots.
    let two = ReplicationSlots {
        tasks: 5,
        settings_each: 2,
        ..slots()
    };
    let shown = |claimed: &[ClaimedReplication]| -> Vec<String> {
        let mut shown: Vec<_> = claimed
            .iter()
            .map(|claimed| format!("{} {}", claimed.task.place.region, claimed.task.subject))
            .collect();
        shown.sort();
        shown
    };
    let none = ReplicationSlots {
        settings: 0,
        ..two.clone()
    };
    let one = ReplicationSlots {
        tasks: 1,
        ..none.clone()
    };
    assert_eq!(claim_into(store, one, 1).await.len(), 1, "of the images");
    let claimed = claim_into(store, two.clone(), 1).await;
    assert_eq!(claimed.len(), 3);
    assert_eq!(shown(&claimed)[..2], ["eu settings", "eu settings"]);
    // Those are being worked on: no more of them, however many slots are free.
    let busy = |name: &str, settings: usize| {
        let load = DestinationLoad { images: 0, settings };
        ((account(), region(name)), load)
    };
    let full = ReplicationSlots {
        now: [busy("eu", 2)].into(),
        ..two.clone()
    };
    assert!(claim_into(store, full.clone(), 2).await.is_empty());
    assert!(claim_into(store, none, 2).await.is_empty());
    let free = ReplicationSlots {
        now: [busy("eu", 1), busy("us", 2)].into(),
        ..two
    };
    let third = claim_into(store, free, 2).await;
    assert_eq!(shown(&third), ["eu settings"]);
    // Nobody answers: the one that has found out is the first to try again, and what is under way goes on.
    let failure = ReplicationFailure {
        code: "DestinationUnavailable".into(),
        reason: "no".into(),
    };
    let again = ReplicationOutcome::Again { at: after(9), failure };
    let end = store.end_settings_replication(&third[0], again, after(3), Some(after(30)));
    end.await.unwrap();
    assert!(claim_into(store, slots(), 8).await.is_empty());
    let first = claim_into(store, slots(), 29).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].task.id, third[0].task.id);
    done(store, &first[0]).await;
    store
        .hurry_settings(&account(), &region("eu"), after(20))
        .await
        .unwrap();
    assert_eq!(claim_into(store, slots(), 20).await.len(), 2);
}

async fn what_is_read_beside_the_first_image_is_read_again(database: &Database) {
    world(database, vec![rule(&["us"])]).await;
    let store = &database.store;
    let rule = bringing(store, &[ReplicatedSetting::ResourceTags]).await;
    put(store, "", vec![rule]).await;
    push(store, "web", image(12, &[1], &["v0"])).await;
    all_done(store, 1).await;
    assert_eq!(settings_state(store).await, Some(ReplicationState::Complete));
    // It is deleted there, and made again by the next image.
    store
        .update_repository(&path("web"), tagged("a"), None, now())
        .await
        .unwrap();
    push(store, "web", image(10, &[1], &["v1"])).await;
    let claimed = claim(store, "me", 1).await;
    let (settings, images): (Vec<_>, Vec<_>) = claimed
        .into_iter()
        .partition(|claimed| claimed.task.subject.digest().is_none());
    // The settings were read before there was a repository, and that is noted after its image has arrived.
    done(store, &images[0]).await;
    store
        .end_replication(&settings[0], ReplicationOutcome::Absent, after(2))
        .await
        .unwrap();
    assert_eq!(shown(store).await, ["eu settings"]);
    assert_eq!(settings_state(store).await, Some(ReplicationState::InProgress));
    let claimed = claim(store, "me", 3).await;
    done(store, &claimed[0]).await;
    assert_eq!(settings_state(store).await, Some(ReplicationState::Complete));
    assert!(shown(store).await.is_empty(), "once is enough");
    // What was given up stays so: it is no image that makes it possible.
    store
        .update_repository(&path("web"), tagged("b"), None, now())
        .await
        .unwrap();
    let claimed = claim(store, "me", 4).await;
    let dead = ReplicationOutcome::Dead(ReplicationFailure {
        code: "DestinationAccessDenied".into(),
        reason: "no".into(),
    });
    store.end_replication(&claimed[0], dead, after(4)).await.unwrap();
    push(store, "web", image(11, &[1], &["v2"])).await;
    done(store, &claim(store, "me", 5).await[0]).await;
    assert!(claim(store, "me", 6).await.is_empty());
    assert_eq!(settings_state(store).await, Some(ReplicationState::Failed));
}

async fn a_deleted_repository_is_emptied_everywhere(database: &Database) {
    let deletes = ReplicationRule {
        deletes: true,
        chains: true,
        ..rule(&["eu", "us"])
    };
    world(database, vec![deletes]).await;
    let store = &database.store;
    for number in 10..14 {
        push(store, "web", image(number, &[1], &[])).await;
    }
    let came = ReplicationPath::from_origin(place("asia"));
    for number in 20..23 {
        store
            .put_replica(&path("web"), image(number, &[1], &[]), &came)
            .await
            .unwrap();
    }
    loop {
        let claimed = claim(store, "me", 1).await;
        if claimed.is_empty() {
            break;
        }
        for claimed in claimed {
            done(store, &claimed).await;
        }
    }
    store
        .delete_repository(&path("web"), true, None, after(2))
        .await
        .unwrap();
    let tasks = waiting(store).await;
    assert_eq!(tasks.len(), 2 * 7);
    assert!(tasks.is_sorted_by(|one, other| one.id < other.id));
    for place in [place("eu"), place("us")] {
        let there = tasks.iter().filter(|task| task.place == place && task.may_delete);
        let digests: BTreeSet<_> = there.filter_map(|task| task.subject.digest()).collect();
        assert_eq!(digests.len(), 7, "{place}");
    }
}

async fn images_of_a_deleted_repository_are_deleted_there(database: &Database) {
    let deletes = ReplicationRule {
        deletes: true,
        ..rule(&["us"])
    };
    world(database, vec![rule(&["eu"]), deletes]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1", "v2"])).await;
    push(store, "web", index(20, &[10], &["list"])).await;
    let came = ReplicationPath::from_origin(place("asia"));
    store
        .put_replica(&path("web"), image(30, &[1], &["replica"]), &came)
        .await
        .unwrap();
    for claimed in claim(store, "me", 1).await {
        done(store, &claimed).await;
    }
    // One of them is being brought just now.
    push(store, "web", image(11, &[1], &["v3"])).await;
    let claimed = claim(store, "me", 2).await;
    store
        .delete_repository(&path("web"), true, None, after(3))
        .await
        .unwrap();
    let mut tasks = shown(store).await;
    tasks.retain(|task| task.starts_with("-us"));
    assert_eq!(tasks, ["-us digest", "-us digest", "-us digest", "-us v3"]);
    let first = claim(store, "you", 3).await;
    assert_eq!(first.len(), 2, "what an index lists goes a moment later");
    for claimed in claimed {
        done(store, &claimed).await;
    }
    let again = claim(store, "you", 4).await;
    assert!(
        again
            .iter()
            .any(|claimed| claimed.task.may_delete && claimed.task.subject.to_string() == "v3")
    );
    // With its settings, the repository goes too, if it has come there: that an earlier one of its name had says nothing.
    let rule = bringing(store, &[ReplicatedSetting::ResourceTags]).await;
    put(store, "", vec![rule]).await;
    for claimed in claim(store, "you", 5).await {
        done(store, &claimed).await;
    }
    for has_come in [false, true] {
        create(store, "web").await;
        link(store, "web", 1).await;
        push(store, "web", image(40, &[1], &["v1"])).await;
        if has_come {
            for _ in 0..2 {
                for claimed in claim(store, "you", 6).await {
                    done(store, &claimed).await;
                }
            }
            assert_eq!(settings_state(store).await, Some(ReplicationState::Complete));
        }
        // That it is empty by then says nothing either.
        let deletion = Deletion {
            at: after(6),
            by: "arn:me".into(),
            reason: DeletionReason::Request,
        };
        let images = [ImageIdentifier::Digest(digest(40))];
        store.delete_images(&path("web"), &images, &deletion).await.unwrap();
        store
            .delete_repository(&path("web"), false, None, after(6))
            .await
            .unwrap();
        let goes = shown(store).await.contains(&"-eu settings".to_owned());
        assert_eq!(goes, has_come);
    }
}

async fn a_tag_that_is_being_brought_goes_with_its_image(database: &Database) {
    let deletes = ReplicationRule {
        deletes: true,
        ..rule(&["eu"])
    };
    world(database, vec![deletes]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let claimed = claim(store, "me", 1).await;
    let deletion = Deletion {
        at: after(2),
        by: "arn:me".into(),
        reason: DeletionReason::Request,
    };
    let images = [ImageIdentifier::Digest(digest(10))];
    store.delete_images(&path("web"), &images, &deletion).await.unwrap();
    done(store, &claimed[0]).await;
    assert_eq!(shown(store).await, ["-eu digest", "-eu v1"]);
}

async fn what_a_clock_that_was_ahead_put_off_is_recalled(database: &Database) {
    world(database, vec![rule(&["eu", "us"])]).await;
    let store = &database.store;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let hours = |hours: i64| after(hours * 3600);
    // A claim, and a pause, of a clock that is five hours ahead.
    let claimed = claim(store, "me", 5 * 3600).await;
    assert_eq!(claimed.len(), 2);
    let failure = ReplicationFailure {
        code: "DestinationUnavailable".into(),
        reason: "no".into(),
    };
    let again = ReplicationOutcome::Again { at: hours(5), failure };
    store.end_replication(&claimed[0], again, hours(5)).await.unwrap();
    store
        .note_destination_reached(&found(store, "eu").await, Some(hours(5)), hours(5))
        .await
        .unwrap();
    assert!(claim(store, "you", 60).await.is_empty());
    store.recall_replications(after(60), hours(6)).await.unwrap();
    assert!(claim(store, "you", 60).await.is_empty(), "they may wait for so long");
    store.recall_replications(after(60), hours(1)).await.unwrap();
    assert_eq!(claim(store, "you", 61).await.len(), 2);
}

async fn what_was_pushed_here_is_no_replica_whoever_brings_it_later(database: &Database) {
    let deletes = ReplicationRule {
        deletes: true,
        ..rule(&["eu"])
    };
    world(database, vec![deletes]).await;
    let store = &database.store;
    let came = ReplicationPath::from_origin(place("us"));
    push(store, "web", image(10, &[1], &["v1"])).await;
    for claimed in claim(store, "me", 1).await {
        done(store, &claimed).await;
    }
    store
        .put_replica(&path("web"), image(10, &[1], &["v1"]), &came)
        .await
        .unwrap();
    store
        .put_replica(&path("web"), image(11, &[1], &["v2"]), &came)
        .await
        .unwrap();
    assert!(waiting(store).await.is_empty(), "no rule is for replicas");
    let deletion = Deletion {
        at: after(2),
        by: "arn:me".into(),
        reason: DeletionReason::Request,
    };
    let images = ["v1", "v2"].map(|name| ImageIdentifier::Tag(tag(name)));
    store.delete_images(&path("web"), &images, &deletion).await.unwrap();
    assert_eq!(
        shown(store).await,
        ["-eu digest"],
        "what was pushed here goes on, and nothing else"
    );
    assert_eq!(waiting(store).await[0].subject.digest(), Some(&digest(10)));
}

async fn blobs_are_mounted_from_what_the_destination_knows(database: &Database) {
    let filtered = ReplicationRule {
        filters: vec!["team/".into()],
        ..rule(&["eu"])
    };
    world(database, vec![filtered.clone()]).await;
    let store = &database.store;
    for name in ["team/one", "team/two"] {
        create(store, name).await;
        link(store, name, 1).await;
    }
    push(store, "web", image(10, &[1], &["v1"])).await;
    let source = async |place_name: &str| {
        let (asker, blob, place) = (path("team/two"), digest(1), place(place_name));
        let found = store.replicated_source(&asker, &blob, &place).await.unwrap();
        found.map(|source| source.name.to_string())
    };
    assert_eq!(source("eu").await, None, "nothing has arrived");
    push(store, "team/one", image(11, &[1], &["v1"])).await;
    assert_eq!(source("eu").await, None, "it is on its way");
    let claimed = claim(store, "me", 1).await;
    assert_eq!(claimed.len(), 1, "`web` goes nowhere");
    done(store, &claimed[0]).await;
    assert_eq!(source("eu").await.as_deref(), Some("team/one"));
    assert_eq!(source("us").await, None, "no rule brings it there");
    // Nor is a repository told of that no rule brings there any more.
    let other = ReplicationRule {
        filters: vec!["team/two".into()],
        ..filtered
    };
    put(store, "", vec![other]).await;
    assert_eq!(source("eu").await, None);
}

async fn closed_accounts_wait(database: &Database) {
    world(database, vec![rule(&["eu"])]).await;
    let store = &database.store;
    store.create_account(&account(), "default", now()).await.unwrap();
    push(store, "web", image(10, &[1], &["v1"])).await;
    let close = async |is_closed: bool| {
        let change = AccountChange {
            is_closed: Some(is_closed),
            ..AccountChange::default()
        };
        store.update_account(&account(), change, true, None).await.unwrap();
    };
    close(true).await;
    assert!(claim(store, "me", 1).await.is_empty());
    assert_eq!(waiting(store).await.len(), 1, "it waits");
    close(false).await;
    let claimed = claim(store, "me", 2).await;
    assert_eq!(claimed.len(), 1);
    done(store, &claimed[0]).await;
    assert_eq!(state(store, 10).await, Some(ReplicationState::Complete));
}
