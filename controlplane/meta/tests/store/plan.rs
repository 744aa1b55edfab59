// SPDX-License-Identifier: Apache-2.0
//! A page costs what it holds, however much there is.

use hythe_catalog::{Catalog, ImageCatalog};
use hythe_meta::{AUDIT_STATEMENTS, PAGED_STATEMENTS, SCRUB_STATEMENTS, StoreConfig};
use hythe_model::{RepositoryName, Tag};

use crate::contents::{account, create, digest, image, link, path, push};
use crate::harness::{Database, on_each_engine};

on_each_engine!(pages_look_at_nothing_else, pages_of_much_are_whole);

/// So many rows in every table that is paged.
const ROWS: u64 = 5000;

/// Fills the tables that are paged.
async fn fill(database: &Database) {
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &[])).await;
    let (blob, image) = (digest(1), digest(10));
    let columns =
        "account_id, tag_mutability, tag_mutability_filters, scan_on_push, encryption_type, tags, version, created_ms";
    for statement in [
        format!(
            "INSERT INTO repository (id, name, {columns})
             SELECT 'r' || n.text, 'r' || n.text, {columns} FROM repository, n WHERE name = 'web'"
        ),
        format!(
            "INSERT INTO repository_blob (repository_id, digest, linked_ms)
             SELECT 'r' || n.text, '{blob}', 0 FROM n"
        ),
        format!(
            "INSERT INTO tag (repository_id, name, digest, moved_ms, version)
             SELECT id, 't' || n.text, '{image}', 0, 1 FROM repository, n WHERE name = 'web'"
        ),
        "INSERT INTO tag_move (repository_id, name, sequence, moved_ms, moved_by)
         SELECT id, 't', CAST(n.text AS BIGINT), 0, 'me' FROM repository, n WHERE name = 'web'"
            .to_owned(),
        format!(
            "INSERT INTO image (repository_id, digest, media_type, subject, manifest_bytes, image_bytes, pushed_ms,
                                annotations, manifest)
             SELECT id, 'i' || n.text, 'a/b', '{image}', 1, 1, 0, '{{}}', manifest
               FROM n, repository r JOIN image i ON i.repository_id = r.id AND i.digest = '{image}' WHERE name = 'web'"
        ),
        format!(
            "INSERT INTO policy (account_id, name, document, tags, created_ms, updated_ms, version)
             SELECT '{}', 'p' || n.text, '{{}}', '{{}}', 0, 0, 1 FROM n",
            account()
        ),
        format!(
            "INSERT INTO deleted_image (id, repository_id, digest, media_type, manifest_bytes, image_bytes, pushed_ms, annotations,
                                        manifest, tags, deleted_ms, deleted_by, reason, purge_ms)
             SELECT 'x' || n.text, i.repository_id, 'd' || n.text, 'a/b', 1, 1, 0, '{{}}', i.manifest, '[]',
                    CAST(n.text AS BIGINT), 'me', 'REQUEST', CAST(n.text AS BIGINT)
               FROM n, image i WHERE i.digest = '{image}'"
        ),
        format!(
            "INSERT INTO deleted_image_blob (deleted_id, repository_id, blob_digest)
             SELECT id, repository_id, '{blob}' FROM deleted_image, n WHERE id = 'x' || n.text"
        ),
        format!(
            "INSERT INTO image_blob (repository_id, image_digest, blob_digest)
             SELECT i.repository_id, i.digest, '{blob}' FROM image i JOIN n ON i.digest = 'i' || n.text"
        ),
        format!(
            "INSERT INTO image_child (repository_id, image_digest, child_digest)
             SELECT i.repository_id, i.digest, '{image}' FROM image i JOIN n ON i.digest = 'i' || n.text"
        ),
        "INSERT INTO blob (digest, size, created_ms) SELECT 'b' || n.text, 1, 0 FROM n".to_owned(),
        "INSERT INTO scrub (id, started_by, sample_percent, quarantine, status, phase, position, blobs, bytes, files,
                            images, references_seen, tags, findings, quarantined, started_ms, updated_ms, node, lease_ms)
         SELECT 's' || n.text, 'me', 100, false, 'COMPLETE', 'TAGS', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', 0 FROM n"
            .to_owned(),
        "INSERT INTO subject_change (repository_id, subject, change, changed_ms, changed_by, due_ms)
         SELECT id, 's' || n.text, 'DELETED', 0, 'me', CAST(n.text AS BIGINT) FROM repository, n WHERE name = 'web'"
            .to_owned(),
        "INSERT INTO upload (id, repository_id, algorithm, bytes, version, expires_ms)
         SELECT 'u' || n.text, id, 'sha256', 0, 0, CAST(n.text AS BIGINT) FROM repository, n WHERE name = 'web'"
            .to_owned(),
        format!(
            "INSERT INTO audit_event (id, account_id, principal, event_name, repository, digest, error_code, records, shared,
                                      members, sequence, previous_hash, hash)
             SELECT 'a' || n.text, '000000000000', 'arn:p', 'PutImage', '000000000000/web', '{blob}', 'DENIED', 1, '{{}}', '',
                    CAST(n.text AS BIGINT), '', '' FROM n"
        ),
        "INSERT INTO audit_event (id, account_id, principal, event_name, records, shared, members)
         SELECT 'b' || n.text, '000000000000', 'arn:p', 'PutImage', 1, '{}', '' FROM n"
            .to_owned(),
        "INSERT INTO repository_policy (repository_id, document, updated_ms, version)
         SELECT 'r' || n.text, '{}', 0, 1 FROM n"
            .to_owned(),
        "INSERT INTO lifecycle_policy (repository_id, document, updated_ms, version, due_ms)
         SELECT 'r' || n.text, '{}', 0, 1, CAST(n.text AS BIGINT) FROM n"
            .to_owned(),
        "INSERT INTO lifecycle_run (id, repository_id, kind, document, status, created_ms, ready_ms, lease, attempts, acted,
                                    totals)
         SELECT 'i' || n.text, 'r' || n.text, 'run', '{}', 'pending', 0, CAST(n.text AS BIGINT), 0, 0, 0, '{}' FROM n"
            .to_owned(),
        "INSERT INTO lifecycle_run (id, repository_id, kind, document, status, created_ms, finished_ms, ready_ms, lease,
                                    attempts, acted, totals)
         SELECT 'o' || n.text, 'r' || n.text, 'run', '{}', 'complete', 0, CAST(n.text AS BIGINT), 0, 0, 0, 0, '{}' FROM n"
            .to_owned(),
        "INSERT INTO lifecycle_run_page (run_id, page, images)
         SELECT 'i100001', CAST(n.text AS BIGINT), '[]' FROM n"
            .to_owned(),
        "INSERT INTO audit_event_also (value, id) SELECT 'account:111111111111', 'a' || n.text FROM n".to_owned(),
        format!(
            "INSERT INTO blob_review (repository_id, digest, due_ms)
             SELECT 'r' || n.text, '{blob}', CAST(n.text AS BIGINT) FROM n"
        ),
        format!(
            "INSERT INTO replication_destination (account_id, name, kind, endpoint, created_ms, updated_ms, version,
                                                  failures, open_ms)
             SELECT '{}', 'd' || n.text, 'OCI', '', 0, 0, 1, 0, 0 FROM n",
            account()
        ),
        format!(
            "INSERT INTO replication_task (id, account_id, destination, target_account, repository, reference, digest,
                                           may_delete, is_dead, attempts, due_ms, generation, created_ms)
             SELECT 't' || n.text, '{}', 'd100001', '', 'web', n.text, '', FALSE, FALSE, 0, CAST(n.text AS BIGINT), 0, 0
               FROM n",
            account()
        ),
        "INSERT INTO replication_task (id, account_id, destination, target_account, repository, reference, digest,
                                       may_delete, is_dead, attempts, due_ms, generation, created_ms)
         SELECT 's' || n.text, account_id, destination, '', 'r' || n.text, '', '', FALSE, FALSE, 0,
                CAST(n.text AS BIGINT), 0, 0
           FROM n, replication_task t WHERE t.id = 't100001'"
            .to_owned(),
        "INSERT INTO upstream_manifest (repository_id, digest, media_type, content, due_ms, attempts)
         SELECT i.repository_id, i.digest, '', i.manifest, 0, 0 FROM image i JOIN n ON i.digest = 'i' || n.text"
            .to_owned(),
        "INSERT INTO upstream_tag (repository_id, tag, digest, validated_ms)
         SELECT id, 't' || n.text, '', 0 FROM repository, n WHERE name = 'web'"
            .to_owned(),
        "INSERT INTO upstream_referrers (repository_id, subject, content, validated_ms, expires_ms)
         SELECT id, 's' || n.text, '[]', 0, CAST(n.text AS BIGINT) FROM repository, n WHERE name = 'web'"
            .to_owned(),
        "INSERT INTO replica (repository_id, digest, path, arrived_ms)
         SELECT i.repository_id, i.digest, '', 0 FROM image i JOIN n ON i.digest = 'i' || n.text"
            .to_owned(),
        format!(
            "INSERT INTO replication_backfill (id, account_id, destination, target_account, started_by, status, repository,
                                               digest, is_walked, queued, completed, failed, skipped, due_ms, started_ms,
                                               updated_ms)
             SELECT 'b' || n.text, '{}', 'd' || n.text, '', '', 'IN_PROGRESS', '', '', FALSE, 0, 0, 0, 0,
                    CAST(n.text AS BIGINT), 0, 0
               FROM n",
            account()
        ),
        "INSERT INTO replication_backfill_image (backfill_id, repository_id, repository, reference, digest, state,
                                                 updated_ms)
         SELECT 'b100001', '', 'r' || n.text, 't', '', 'COMPLETE', 0 FROM n"
            .to_owned(),
        "INSERT INTO audit_anchor (sequence, hash, made_ms, mac)
         SELECT CAST(n.text AS BIGINT), '', CAST(n.text AS BIGINT), '' FROM n"
            .to_owned(),
    ] {
        let numbers = format!(
            "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {ROWS}),
                            n(text) AS (SELECT CAST(i + 100000 AS TEXT) FROM c) "
        );
        database.execute(numbers + &statement).await;
    }
    // SQLite plans without statistics, as nobody makes any.
    if let StoreConfig::Postgres { .. } = database.config {
        database.execute("ANALYZE").await;
    }
}

async fn pages_look_at_nothing_else(database: &Database) {
    fill(database).await;
    let (account, blob, image) = (account(), digest(1), digest(10));
    let account = account.as_str();
    let (blob, image) = (blob.to_string(), image.to_string());
    let key = "00000000-0000-0000-0000-000000000000";
    for (what, sql) in AUDIT_STATEMENTS.iter().chain(PAGED_STATEMENTS).chain(SCRUB_STATEMENTS) {
        let values: &[&str] = match *what {
            "tags" | "tag names" | "tags to check" | "upstream tags to check" => &[key, "t104000", "10"],
            "moves of a tag" => &[account, "web", "t", "104000", "10"],
            "referrers" => &[account, "web", &image, "i104000", "NULL", "10"],
            "images" => &[key, "i104000", "10", "0", "ANY"],
            "policies" => &[account, "p104000", "10"],
            "repositories" => &[account, "r104000", "r", "s", "10"],
            "repository names" => &[account, "r104000", "10"],
            "policies of neighbours" => &[account, "r104000", "r104009", "10"],
            "deleted images" => &[key, "104000", "d104000", "10"],
            "subjects to follow" => &["104000", "105000", "10"],
            "sources of a blob" => &[&blob, account, "10"],
            "deleted images to purge"
            | "expired uploads"
            | "due lifecycle policies"
            | "due reviews"
            | "old referrers of upstreams" => &["104000", "10"],
            "due replications of images" | "due replications of settings" => &[account, "d100001", "104000", "10"],
            "due backfills" => &["104000"],
            "backfills" => &[account, "b104000", "10"],
            "images of a backfill" => &["b100001", "r104000", "t", "NULL", "10"],
            "replications" => &[account, "t104000", "NULL", "NULL", "FALSE", "NULL", "10"],
            "audit events" => &[key, "-", "10"],
            "audit events of an account" => &[key, "-", "10", account],
            "audit events of a principal" => &[key, "-", "10", "arn:p"],
            "audit events of a name" => &[key, "-", "10", "PutImage"],
            "audit events of a repository" => &[key, "-", "10", "000000000000/web"],
            "audit events of a digest" => &[key, "-", "10", &blob],
            "audit events of an error" => &[key, "-", "10", "DENIED"],
            "audit events filed twice" => &[key, "-", "10", "account:111111111111"],
            "audit events in order" | "audit events to verify" | "oldest audit events" => &["4000", "10"],
            "audit events to seal" => &["10"],
            "audit anchors" => &["4000", "4100"],
            "blobs to check" => &["b104000", "10"],
            "links to check" => &[key, &blob, "10"],
            "deleted images to check" => &[key, "d104000", "10"],
            "needed blobs to check" | "children to check" => &[key, "i104000", "-", "10"],
            "needed blobs of deleted images to check" => &["x104000", "-", "10"],
            "scrubs" => &["s104000", "10"],
            "accounts" => &["104000000000", "10"],
            "lifecycle images" | "images to check" | "upstream manifests to check" | "replicas to check" => {
                &[key, "i104000", "10"]
            }
            "lifecycle runs" => &[key, "run", "i104000", "10"],
            "lifecycle run pages" => &[key, "4000", "10"],
            "old lifecycle runs" | "ready lifecycle runs" => &["104000", "10", "run"],
            "users" | "groups" | "roles" => &[account, "u104000", "10"],
            other => panic!("what are the values of `{other}`?"),
        };
        let mut text = (*sql).to_owned();
        for (at, value) in values.iter().enumerate().rev() {
            let is_bare = |value: &str| ["NULL", "TRUE"].contains(&value);
            let is_number = value.len() < 9 && value.bytes().all(|byte| byte.is_ascii_digit());
            let literal = if is_number || is_bare(value) {
                (*value).to_owned()
            } else {
                format!("'{value}'")
            };
            text = text.replace(&format!("${}", at + 1), &literal);
        }
        let plan = database.explain(&text).await;
        let is_whole = |line: &String| {
            let line = line.trim_start_matches([' ', '-', '>']);
            [
                "SCAN ",
                "Seq Scan",
                "USE TEMP B-TREE",
                "Sort",
                "Incremental Sort",
                "Bitmap",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        };
        assert!(
            !plan.is_empty() && !plan.iter().any(is_whole),
            "{what}:\n{}",
            plan.join("\n")
        );
    }
}

async fn pages_of_much_are_whole(database: &Database) {
    fill(database).await;
    let store = &database.store;
    let (mut names, mut tags): (Vec<RepositoryName>, Vec<Tag>) = (Vec::new(), Vec::new());
    loop {
        let page = store.repository_names(&account(), names.last(), 999).await.unwrap();
        if page.is_empty() {
            break;
        }
        names.extend(page);
    }
    loop {
        let page = store
            .tags(&path("web"), tags.last().map(Tag::as_str), 999)
            .await
            .unwrap();
        let page = page.unwrap();
        if page.is_empty() {
            break;
        }
        tags.extend(page);
    }
    assert_eq!((names.len() as u64, tags.len() as u64), (ROWS + 1, ROWS));
    assert!(names.is_sorted() && tags.is_sorted());
}
