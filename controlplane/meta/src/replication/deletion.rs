// SPDX-License-Identifier: Apache-2.0
//! What the deletion of a repository means to destinations: its images go there, and where its settings are replicated, the
//! repository when it is empty, if it is one that came from here.

use hythe_model::{RegistryPlace, ReplicationPath, RepositoryPath};
use hythe_rules::replication::targets;
use jiff::Timestamp;
use uuid::Uuid;

use super::task::changed_again;
use super::{rule, settings};
use crate::StoreError;
use crate::session::{Session, values};

/// An id is that of the statement, which no other has however soon it follows, and a part of the digest. An image goes by its
/// digest, with all its tags. What no index lists goes first, since an image that is listed stays. `$8`
/// is by which registries the images came; null for those that were pushed here.
const QUEUE: &str = concat!(
    "
    INSERT INTO replication_task (id, account_id, destination, target_account, repository, reference, digest, path,
                                  may_delete, is_dead, attempts, due_ms, generation, created_ms)
    SELECT $1 || SUBSTR(i.digest, 8, 32), $2, $3, $4, $5, i.digest, i.digest, r.path, TRUE, FALSE, 0,
           CASE WHEN EXISTS (SELECT 1 FROM image_child c WHERE c.repository_id = i.repository_id AND c.child_digest = i.digest)
                THEN $7 + 1 ELSE $7 END, 0, $7
      FROM image i LEFT JOIN replica r ON r.repository_id = i.repository_id AND r.digest = i.digest
     WHERE i.repository_id = $6
       AND (r.path = $8 OR (r.path IS NULL AND CAST($8 AS TEXT) IS NULL))",
    changed_again!()
);
/// What is being sent just now is looked at again when it is there, and found to be gone.
const MAY_DELETE: &str = "
    UPDATE replication_task SET may_delete = TRUE, is_dead = FALSE, attempts = 0, generation = generation + 1
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4";
/// Few: one for each chain by which images come.
const PATHS: &str = "SELECT DISTINCT path FROM replica WHERE repository_id = $1";

/// Queues, within the transaction that deletes a repository and before its images are gone, that these are to be deleted at
/// the destinations of rules that replicate deletions. `replica`: by which registries the deletion itself came.
pub(crate) async fn enqueue_deletion(
    session: &mut Session,
    id: &str,
    repository: &RepositoryPath,
    replica: Option<&ReplicationPath>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rules = rule::all(session, &repository.account).await?;
    if rules.is_empty() {
        return Ok(());
    }
    let mut paths = vec![None];
    for row in session.fetch_all(PATHS, values![id]).await? {
        paths.push(Some(row.parsed::<ReplicationPath>(0)?));
    }
    for path in &paths {
        for (place, wanted) in targets(&rules, &repository.name, path.as_ref()) {
            if wanted.deletes {
                queue(session, id, repository, place, path.as_ref(), now).await?;
            }
        }
    }
    for (place, wanted) in targets(&rules, &repository.name, replica) {
        let is_wanted = wanted.deletes && !wanted.settings.is_empty();
        if is_wanted && settings::has_arrived(session, id, place).await? {
            settings::queue(session, repository, place, replica, true, now).await?;
        }
    }
    Ok(())
}

async fn queue(
    session: &mut Session,
    id: &str,
    repository: &RepositoryPath,
    place: &RegistryPlace,
    path: Option<&ReplicationPath>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (account, name) = (&repository.account, &repository.name);
    let values = values![account, place.region.as_str(), &place.account, name];
    session.execute(MAY_DELETE, values).await?;
    let path = path.map(ToString::to_string);
    let values = values![
        Uuid::now_v7().to_string(),
        &repository.account,
        place.region.as_str(),
        &place.account,
        &repository.name,
        id,
        now,
        path.as_deref()
    ];
    session.execute(QUEUE, values).await.map(drop)
}
