// SPDX-License-Identifier: Apache-2.0

use hythe_meta::{
    AccountChange, CacheRuleRecord, CacheRuleUpdate, MAX_MIRROR_NOTES, MAX_MIRROR_RUNS, MirrorCounts, MirrorNote,
    MirrorNoteKind, MirrorProgress, MirrorRecord, MirrorRunCause, MirrorRunStatus, MirroredManifest,
    StartMirrorRunError, UpstreamImport,
};
use hythe_model::MirrorSettings;
use jiff::SignedDuration;

use crate::contents::{account, after, new_repository, now, path};
use crate::harness::{Database, on_each_engine};
use crate::upstream::{digest, manifest, prefix, rule};

on_each_engine!(
    a_mirror_comes_back_changes_and_goes,
    a_mirror_that_is_due_gets_one_run_and_the_next_one_later,
    a_run_is_given_to_one_node_at_a_time,
    what_a_clock_that_was_ahead_put_off_is_recalled,
    a_run_that_failed_is_followed_by_another_one_soon,
    mirrors_of_closed_accounts_rest,
    a_run_goes_on_where_it_was_and_keeps_the_first_notes,
    a_run_waits_for_its_images_and_gives_up_those_that_fail,
    runs_end_with_the_mirror_and_go_with_the_rule,
    the_newest_runs_are_kept,
);

fn settings(minutes: u64) -> MirrorSettings {
    MirrorSettings {
        interval_minutes: minutes,
        repositories: vec!["library/*".parse().unwrap()],
        tags: vec!["1.*".parse().unwrap()],
        exclude_tags: Vec::new(),
        newest_tags: Some(3),
        remove_vanished: true,
    }
}

/// A rule with a mirror, of an account that is not closed.
async fn mirrored(database: &Database, name: &str) -> CacheRuleRecord {
    database.store.create_account(&account(), "a", now()).await.unwrap();
    let rule = CacheRuleRecord {
        mirror: Some(MirrorRecord::new(settings(60), now())),
        ..rule(name)
    };
    database.store.create_cache_rule(&rule).await.unwrap()
}

fn note(kind: MirrorNoteKind, tag: &str) -> MirrorNote {
    MirrorNote {
        kind,
        repository: "hub/web".into(),
        tag: Some(tag.into()),
        code: "CODE".into(),
        reason: "why".into(),
    }
}

async fn a_mirror_comes_back_changes_and_goes(database: &Database) {
    let store = &database.store;
    let created = mirrored(database, "hub").await;
    let found = store.cache_rule(&account(), &prefix("hub")).await.unwrap().unwrap();
    assert_eq!(found, created);
    let change = async |mirror, version| {
        let update = CacheRuleUpdate {
            credential: None,
            tag_freshness_seconds: 5,
            mirror,
        };
        let prefix = prefix("hub");
        store
            .update_cache_rule(&account(), &prefix, update, after(9), version)
            .await
            .unwrap()
    };
    let kept = change(None, created.version).await;
    assert_eq!(kept.mirror.as_ref().map(|it| &it.settings), Some(&settings(60)));
    let changed = change(Some(Some(settings(5))), kept.version).await;
    let mirror = changed.mirror.unwrap();
    assert_eq!(
        (mirror.settings, mirror.set_at, mirror.due_at),
        (settings(5), after(9), after(9))
    );
    let removed = change(Some(None), changed.version).await;
    assert_eq!(removed.mirror, None);
    let listed = store.cache_rules(&account(), None, 10).await.unwrap();
    assert_eq!(listed, [removed]);
}

async fn a_mirror_that_is_due_gets_one_run_and_the_next_one_later(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    mirrored(database, "other").await;
    assert_eq!(store.schedule_mirror_runs(now(), 10).await.unwrap(), 2);
    assert_eq!(store.schedule_mirror_runs(now(), 10).await.unwrap(), 0);
    let runs = store.mirror_runs(&account(), &prefix("hub"), None, 10).await.unwrap();
    let run = runs.first().unwrap();
    assert_eq!(
        (runs.len(), run.cause, run.status),
        (1, MirrorRunCause::Schedule, MirrorRunStatus::Running)
    );
    let due = store.cache_rule(&account(), &prefix("hub")).await.unwrap().unwrap();
    let due = due.mirror.unwrap().due_at;
    assert!(after(54 * 60) <= due && due <= after(66 * 60), "{due}");
    // While one is open, there is no other one, whoever asks.
    assert_eq!(store.schedule_mirror_runs(after(67 * 60), 10).await.unwrap(), 2);
    let asked = store
        .start_mirror_run(&account(), &prefix("hub"), "arn", after(70 * 60))
        .await;
    assert!(matches!(asked, Err(StartMirrorRunError::Running(id)) if id == run.id));
    let runs = store.mirror_runs(&account(), &prefix("hub"), None, 10).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(store.mirror_lag_millis(after(30)).await.unwrap(), 30_000);
    for (name, wanted) in [("none", "the rule does not exist"), ("plain", "the rule has no mirror")] {
        if name == "plain" {
            store.create_cache_rule(&rule("plain")).await.unwrap();
        }
        let refused = store.start_mirror_run(&account(), &prefix(name), "arn", now()).await;
        assert_eq!(refused.unwrap_err().to_string(), wanted);
    }
}

async fn a_run_is_given_to_one_node_at_a_time(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    store.schedule_mirror_runs(now(), 10).await.unwrap();
    let claim = async |node, at, until| {
        let claimed = store.claim_mirror_runs(node, after(at), after(until), 5).await.unwrap();
        claimed.first().map(|run| run.id.clone())
    };
    let id = claim("a", 1, 60).await.unwrap();
    assert_eq!(claim("b", 2, 60).await, None);
    assert!(store.renew_mirror_run(&id, "a", after(90)).await.unwrap());
    assert!(!store.renew_mirror_run(&id, "b", after(90)).await.unwrap());
    assert_eq!(claim("b", 61, 120).await, None);
    // Whose time is over loses it.
    assert_eq!(claim("b", 90, 150).await, Some(id.clone()));
    let progress = MirrorProgress::default();
    let advance = async |node| {
        let advanced = store.advance_mirror_run(&id, node, &progress, Vec::new(), after(91), after(150));
        advanced.await.unwrap()
    };
    assert!(!advance("a").await && advance("b").await);
    // One that waits for the other registry is nobody's until then.
    store.put_off_mirror_run(&id, "b", after(200), 2).await.unwrap();
    assert_eq!(claim("a", 199, 250).await, None);
    let shown = store
        .mirror_run(&account(), &prefix("hub"), &id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((shown.resumes_at, shown.attempts), (Some(after(200)), 2));
    assert_eq!(claim("a", 200, 250).await, Some(id.clone()));
    let shown = store.mirror_run(&account(), &prefix("hub"), &id).await.unwrap();
    assert_eq!(shown.unwrap().resumes_at, None, "it goes on");
    store.release_mirror_runs(Some("a")).await.unwrap();
    assert_eq!(claim("c", 201, 250).await, Some(id.clone()));
    let end = async |node| {
        let ended = store.end_mirror_run(&id, node, MirrorRunStatus::Complete, None, after(210));
        ended.await.unwrap().is_some()
    };
    assert!(!end("a").await && end("c").await && !end("c").await);
    assert_eq!(store.mirror_lag_millis(after(230)).await.unwrap(), 20_000);
}

async fn what_a_clock_that_was_ahead_put_off_is_recalled(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    let day = 24 * 3600;
    let (claimed_until, lease) = (after(day + 60), SignedDuration::from_secs(60));
    // By a clock that is a day ahead, a run was made and taken.
    store.schedule_mirror_runs(after(day), 10).await.unwrap();
    assert_eq!(
        store
            .claim_mirror_runs("a", after(day), claimed_until, 5)
            .await
            .unwrap()
            .len(),
        1
    );
    let claim = async |at| {
        store
            .claim_mirror_runs("b", after(at), after(at + 60), 5)
            .await
            .unwrap()
            .len()
    };
    assert_eq!(claim(10).await, 0);
    // What may wait so long stays.
    store.recall_mirror_runs(after(day), lease).await.unwrap();
    assert_eq!(claim(10).await, 0);
    store.recall_mirror_runs(after(10), lease).await.unwrap();
    assert_eq!(claim(11).await, 1);
    let id = store.mirror_runs(&account(), &prefix("hub"), None, 1).await.unwrap()[0]
        .id
        .clone();
    // A pause of six hours may be; one of a day may not.
    let claimed_again = async |pause| {
        store.put_off_mirror_run(&id, "b", after(12 + pause), 0).await.unwrap();
        store.recall_mirror_runs(after(12), lease).await.unwrap();
        claim(13).await
    };
    assert_eq!(claimed_again(6 * 3600).await, 0);
    assert_eq!(claimed_again(day).await, 0, "it is not this node's any more");
    assert_eq!(claim(13 + 6 * 3600).await, 1);
    assert_eq!(claimed_again(day).await, 1);
    let ended = store.end_mirror_run(&id, "b", MirrorRunStatus::Complete, None, after(14));
    assert!(ended.await.unwrap().is_some());
    // The next one was due a day and an hour from now.
    store.schedule_mirror_runs(after(15), 10).await.unwrap();
    assert_eq!(
        store
            .mirror_runs(&account(), &prefix("hub"), None, 5)
            .await
            .unwrap()
            .len(),
        2
    );
}

async fn a_run_that_failed_is_followed_by_another_one_soon(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    let mut at = 0;
    for (status, next) in [
        (MirrorRunStatus::Incomplete, 70 * 60),
        (MirrorRunStatus::Failed, 16 * 60),
    ] {
        store.schedule_mirror_runs(after(at), 10).await.unwrap();
        let claimed = store
            .claim_mirror_runs("a", after(at), after(at + 60), 5)
            .await
            .unwrap();
        let id = claimed[0].id.clone();
        store
            .end_mirror_run(&id, "a", status, Some("why"), after(at))
            .await
            .unwrap();
        let before = if status == MirrorRunStatus::Failed { 14 } else { 50 };
        assert_eq!(
            store.schedule_mirror_runs(after(at + before * 60), 10).await.unwrap(),
            0
        );
        at += next;
        assert_eq!(store.schedule_mirror_runs(after(at), 10).await.unwrap(), 1);
        // That one ends before the next round.
        let claimed = store
            .claim_mirror_runs("a", after(at), after(at + 60), 5)
            .await
            .unwrap();
        let complete = MirrorRunStatus::Complete;
        store
            .end_mirror_run(&claimed[0].id, "a", complete, None, after(at))
            .await
            .unwrap();
        at += 70 * 60;
    }
}

async fn mirrors_of_closed_accounts_rest(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    store.schedule_mirror_runs(now(), 10).await.unwrap();
    let close = async |is_closed| {
        let change = AccountChange {
            name: None,
            is_closed: Some(is_closed),
        };
        store.update_account(&account(), change, true, None).await.unwrap();
    };
    let claim = async |at| {
        store
            .claim_mirror_runs("a", after(at), after(at + 60), 5)
            .await
            .unwrap()
            .len()
    };
    close(true).await;
    assert_eq!(claim(1).await, 0);
    assert_eq!(store.mirror_lag_millis(after(60)).await.unwrap(), 0);
    close(false).await;
    assert_eq!(claim(2).await, 1);
    assert_eq!(store.mirror_lag_millis(after(60)).await.unwrap(), 60_000);
}

async fn a_run_goes_on_where_it_was_and_keeps_the_first_notes(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    let run = store
        .start_mirror_run(&account(), &prefix("hub"), "arn:x", now())
        .await
        .unwrap();
    assert_eq!(
        (run.cause, run.started_by.as_deref()),
        (MirrorRunCause::Request, Some("arn:x"))
    );
    store.claim_mirror_runs("a", now(), after(60), 5).await.unwrap();
    let many = MAX_MIRROR_NOTES + 5;
    let mut progress = MirrorProgress {
        repository: "library/web".into(),
        tag: "v1".into(),
        counts: MirrorCounts {
            skipped: many,
            removed: 1,
            referrers: 3,
            tags: 500,
            ..MirrorCounts::default()
        },
    };
    let mut notes = vec![note(MirrorNoteKind::Removed, "gone")];
    notes.extend((0..many).map(|number| note(MirrorNoteKind::Skipped, &format!("s{number:03}"))));
    let advance = async |progress: &MirrorProgress, notes| {
        let advanced = store.advance_mirror_run(&run.id, "a", progress, notes, after(1), after(60));
        assert!(advanced.await.unwrap());
    };
    advance(&progress, notes).await;
    progress.counts.skipped += 1;
    progress.counts.failed += 1;
    let more = vec![
        note(MirrorNoteKind::Skipped, "late"),
        note(MirrorNoteKind::Failed, "bad"),
    ];
    advance(&progress, more).await;
    let found = store
        .mirror_run(&account(), &prefix("hub"), &run.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.progress, progress);
    let notes = store.mirror_run_notes(&run.id).await.unwrap();
    let of = |kind| notes.iter().filter(|it| it.note.kind == kind).collect::<Vec<_>>();
    assert_eq!(of(MirrorNoteKind::Skipped).len() as u64, MAX_MIRROR_NOTES);
    assert_eq!(
        of(MirrorNoteKind::Skipped).first().unwrap().note.tag.as_deref(),
        Some("s000")
    );
    assert_eq!(
        of(MirrorNoteKind::Failed).first().unwrap().note,
        note(MirrorNoteKind::Failed, "bad")
    );
    assert_eq!(of(MirrorNoteKind::Removed).len(), 1);
    assert_eq!(
        store.mirror_run(&account(), &prefix("other"), &run.id).await.unwrap(),
        None
    );
}

async fn a_run_waits_for_its_images_and_gives_up_those_that_fail(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    let run = store
        .start_mirror_run(&account(), &prefix("hub"), "arn", now())
        .await
        .unwrap();
    store.claim_mirror_runs("a", now(), after(60), 5).await.unwrap();
    let path = path("hub/web");
    let queue = async |byte: u8, tag: &str| {
        let mirrored = MirroredManifest {
            tag: (!tag.is_empty()).then(|| tag.parse().unwrap()),
            manifest: manifest(byte),
        };
        store.queue_mirrored(&path, &run.id, mirrored, now()).await.unwrap()
    };
    assert!(!queue(1, "v1").await, "there is no such repository");
    store.create_repository(new_repository("hub/web")).await.unwrap();
    assert!(queue(1, "v1").await && queue(2, "v2").await);
    let wait = async || {
        let awaited = store
            .await_mirrored(&run.id, "a", 3, after(1), after(60))
            .await
            .unwrap();
        awaited.map(|it| (it.waiting, it.failed))
    };
    assert_eq!(wait().await, Some((2, 0)));
    let put_off = async |byte, attempts| {
        let waiting = store.waiting_upstream_import(&path, &digest(byte)).await.unwrap();
        let failed = UpstreamImport {
            attempts,
            ..waiting.unwrap()
        };
        let put_off = store.put_off_upstream_import(&failed, after(9), Some("broken"));
        assert!(put_off.await.unwrap());
    };
    put_off(2, 2).await;
    assert_eq!(wait().await, Some((2, 0)));
    put_off(2, 3).await;
    assert_eq!(wait().await, Some((1, 1)));
    let found = store
        .mirror_run(&account(), &prefix("hub"), &run.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((found.progress.counts.failed, found.waiting), (1, 1));
    let notes = store.mirror_run_notes(&run.id).await.unwrap();
    let written = &notes.first().unwrap().note;
    assert_eq!(
        (written.repository.as_str(), written.tag.as_deref()),
        ("hub/web", Some("v2"))
    );
    let first = store.waiting_upstream_import(&path, &digest(1)).await.unwrap();
    store.end_upstream_import(&first.unwrap()).await.unwrap();
    assert_eq!(wait().await, Some((0, 0)));
    // What failed is tried again by the next run.
    assert!(queue(2, "v2").await);
    assert_eq!(wait().await, Some((1, 0)));
    let other = store
        .await_mirrored(&run.id, "b", 3, after(1), after(60))
        .await
        .unwrap();
    assert_eq!(other, None);
}

async fn runs_end_with_the_mirror_and_go_with_the_rule(database: &Database) {
    let store = &database.store;
    let created = mirrored(database, "hub").await;
    store.schedule_mirror_runs(now(), 10).await.unwrap();
    let claimed = store.claim_mirror_runs("a", now(), after(60), 5).await.unwrap();
    let id = claimed.first().unwrap().id.clone();
    let update = CacheRuleUpdate {
        credential: None,
        tag_freshness_seconds: 5,
        mirror: Some(None),
    };
    store
        .update_cache_rule(&account(), &prefix("hub"), update, after(5), created.version)
        .await
        .unwrap();
    assert!(!store.renew_mirror_run(&id, "a", after(60)).await.unwrap());
    let run = store
        .mirror_run(&account(), &prefix("hub"), &id)
        .await
        .unwrap()
        .unwrap();
    let why = "the mirror was removed";
    assert_eq!(
        (run.status, run.failure.as_deref()),
        (MirrorRunStatus::Cancelled, Some(why))
    );
    store.delete_cache_rule(&account(), &prefix("hub"), None).await.unwrap();
    assert_eq!(store.mirror_run(&account(), &prefix("hub"), &id).await.unwrap(), None);
    // A rule of the same name begins anew.
    let again = store.create_cache_rule(&rule("hub")).await.unwrap();
    assert_eq!(again.mirror, None);
    assert_eq!(store.schedule_mirror_runs(after(999_999), 10).await.unwrap(), 0);
}

async fn the_newest_runs_are_kept(database: &Database) {
    let store = &database.store;
    mirrored(database, "hub").await;
    let run = async |at| {
        let run = store
            .start_mirror_run(&account(), &prefix("hub"), "arn", after(at))
            .await
            .unwrap();
        store.claim_mirror_runs("a", after(at), after(at + 1), 5).await.unwrap();
        let ended = store.end_mirror_run(&run.id, "a", MirrorRunStatus::Failed, Some("no"), after(at));
        ended.await.unwrap().unwrap().id
    };
    let first = run(0).await;
    let second = run(10).await;
    for at in 2..=MAX_MIRROR_RUNS {
        run(10 * i64::try_from(at).unwrap()).await;
    }
    let kept = async || {
        let runs = store.mirror_runs(&account(), &prefix("hub"), None, 1000).await.unwrap();
        runs.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let runs = kept().await;
    assert_eq!(runs.len(), MAX_MIRROR_RUNS);
    assert!(!runs.contains(&first) && runs.last() == Some(&second));
    // And none for longer than 90 days.
    let last = run(91 * 24 * 3600).await;
    assert_eq!(kept().await, [last]);
}
