// SPDX-License-Identifier: Apache-2.0
//! Queues, within the transaction of a change, that it is to be brought to other registries.

use hythe_model::{Digest, Reference, RegistryPlace, ReplicationPath, RepositoryPath, Tag};
use hythe_rules::replication::targets;
use jiff::Timestamp;
use uuid::Uuid;

use super::rule;
use super::status::BEGIN;
use super::task::changed_again;
use crate::StoreError;
use crate::session::{Session, values};

/// What has happened to an image.
pub(crate) struct Change<'c> {
    /// The key of its repository.
    pub(crate) id: &'c str,
    pub(crate) repository: &'c RepositoryPath,
    pub(crate) digest: &'c Digest,
    /// What is to be brought there: tags, or the image itself.
    pub(crate) references: Vec<Reference>,
    /// By which registries it came, if it is a replica.
    pub(crate) path: Option<ReplicationPath>,
    /// Whether it is gone: only by rules that replicate deletions.
    pub(crate) is_deletion: bool,
    pub(crate) at: Timestamp,
}

/// What a tag or, without one, an image stands for in tasks.
fn references(digest: &Digest, tags: impl IntoIterator<Item = Tag>) -> Vec<Reference> {
    let tags: Vec<_> = tags.into_iter().map(Reference::Tag).collect();
    if tags.is_empty() {
        vec![Reference::Digest(*digest)]
    } else {
        tags
    }
}

const FIND: &str = "
    SELECT digest FROM replication_task
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND reference = $5";
const QUEUE: &str = concat!(
    "
    INSERT INTO replication_task (id, account_id, destination, target_account, repository, reference, digest, path,
                                  may_delete, is_dead, attempts, due_ms, generation, created_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, FALSE, 0, $10, 0, $10)",
    changed_again!()
);
/// An image whose tag has moved on before it was sent is not sent.
const SKIP: &str = "
    DELETE FROM replication_status
     WHERE repository_id = $1 AND digest = $2 AND destination = $3 AND target_account = $4 AND state = 'IN_PROGRESS'";

/// With its image a tag goes that is being brought there just now: it is looked at again when it is there.
const MAY_DELETE: &str = "
    UPDATE replication_task SET may_delete = TRUE, generation = generation + 1
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND digest = $5";

/// Queues a change where the rules of its registry want it; says whether they do anywhere.
pub(crate) async fn enqueue(session: &mut Session, change: Change<'_>) -> Result<bool, StoreError> {
    let rules = rule::all(session, &change.repository.account).await?;
    let targets = targets(&rules, &change.repository.name, change.path.as_ref());
    let mut is_queued = false;
    for (place, wanted) in targets {
        if change.is_deletion && !wanted.deletes {
            continue;
        }
        let is_whole = |reference: &Reference| matches!(reference, Reference::Digest(_));
        if change.is_deletion && change.references.iter().any(is_whole) {
            let RepositoryPath { account, name } = change.repository;
            let values = values![account, place.region.as_str(), &place.account, name, change.digest];
            session.execute(MAY_DELETE, values).await?;
        }
        for reference in &change.references {
            queue(session, &change, place, reference).await?;
            is_queued = true;
        }
        if !change.is_deletion {
            let values = values![
                change.id,
                change.digest,
                place.region.as_str(),
                &place.account,
                change.at
            ];
            session.execute(BEGIN, values).await?;
        }
    }
    Ok(is_queued)
}

async fn queue(
    session: &mut Session,
    change: &Change<'_>,
    place: &RegistryPlace,
    reference: &Reference,
) -> Result<(), StoreError> {
    let RepositoryPath { account, name } = change.repository;
    let (region, reference) = (place.region.as_str(), reference.to_string());
    let key = values![account, region, &place.account, name, &reference];
    if let Some(row) = session.fetch_optional(FIND, key).await? {
        let before: Digest = row.parsed(0)?;
        if before != *change.digest {
            session
                .execute(SKIP, values![change.id, &before, region, &place.account])
                .await?;
        }
    }
    let path = change.path.as_ref().map(ToString::to_string);
    let values = values![
        Uuid::now_v7().to_string(),
        account,
        region,
        &place.account,
        name,
        &reference,
        change.digest,
        path.as_deref(),
        change.is_deletion,
        change.at,
    ];
    session.execute(QUEUE, values).await.map(drop)
}

const HAS_RULES: &str = "SELECT 1 FROM replication_rule WHERE account_id = $1 LIMIT 1";
const REPLICA: &str = "SELECT path FROM replica WHERE repository_id = $1 AND digest = $2";

/// By which registries an image came, if it is a replica.
async fn path_of(session: &mut Session, id: &str, digest: &Digest) -> Result<Option<ReplicationPath>, StoreError> {
    let row = session.fetch_optional(REPLICA, values![id, digest]).await?;
    row.map(|row| row.parsed(0)).transpose()
}

const PATH: &str = "SELECT account_id, name FROM repository WHERE id = $1";

/// The same as [`enqueue`] for a change of an image that was there before. Costs one look at an index where there are no rules.
pub(crate) async fn enqueue_present(
    session: &mut Session,
    id: &str,
    repository: Option<&RepositoryPath>,
    digest: &Digest,
    tags: &[Tag],
    is_deletion: bool,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let found;
    let repository = if let Some(repository) = repository {
        repository
    } else {
        let row = session.fetch_one(PATH, values![id]).await?;
        found = RepositoryPath {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
        };
        &found
    };
    let rules = session.fetch_optional(HAS_RULES, values![&repository.account]).await?;
    if rules.is_none() {
        return Ok(false);
    }
    let change = Change {
        id,
        repository,
        digest,
        references: references(digest, tags.iter().cloned()),
        path: path_of(session, id, digest).await?,
        is_deletion,
        at,
    };
    enqueue(session, change).await
}

/// What a push names.
pub(crate) fn pushed(digest: &Digest, tags: &[Tag]) -> Vec<Reference> {
    references(digest, tags.iter().cloned())
}
