// SPDX-License-Identifier: Apache-2.0
//! Image tags and the history of their moves.

use hythe_access::MovedTag;
use hythe_model::{Digest, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::{Row, Session, values};
use crate::{Store, StoreError};

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagDetail {
    /// The tag.
    pub tag: Tag,
    /// The image that it points to.
    pub digest: Digest,
    /// Since when.
    pub moved_at: Timestamp,
    /// Counts the moves of the name; goes on after a deletion.
    pub version: i64,
}

/// A move of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagMove {
    /// The tag.
    pub tag: Tag,
    /// Counts the moves of the name.
    pub sequence: i64,
    /// When it was moved.
    pub moved_at: Timestamp,
    /// The image that it pointed to; `None` if it was created.
    pub from: Option<Digest>,
    /// The image that it points to since; `None` if it was deleted.
    pub to: Option<Digest>,
    /// Who moved it.
    pub moved_by: String,
}

impl TagDetail {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            tag: row.parsed(0)?,
            digest: row.parsed(1)?,
            moved_at: row.time(2)?,
            version: row.int(3)?,
        })
    }
}

impl TagMove {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            tag: row.parsed(0)?,
            sequence: row.int(1)?,
            moved_at: row.time(2)?,
            from: row.optional_parsed(3)?,
            to: row.optional_parsed(4)?,
            moved_by: row.text(5)?,
        })
    }
}

/// By the key of the repository, not by a join with it: PostgreSQL does not see that a join with one row keeps the
/// order of the index, and would sort all tags for each page.
pub(crate) const LIST: &str = "
    SELECT name, digest, moved_ms, version
      FROM tag WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3";
/// Without those of images that are in the archive, which cannot be pulled. Each tag is looked up only in a repository
/// that has such images.
pub(crate) const LIST_NAMES: &str = "
    SELECT name FROM tag t
     WHERE repository_id = $1 AND name > $2
       AND (NOT EXISTS (SELECT 1 FROM image i WHERE i.repository_id = $1 AND i.status <> 'ACTIVE')
            OR NOT EXISTS (SELECT 1 FROM image i
                            WHERE i.repository_id = $1 AND i.digest = t.digest AND i.status <> 'ACTIVE'))
     ORDER BY name LIMIT $3";
const SELECT: &str = "
    SELECT t.name, t.digest, t.moved_ms, t.version
      FROM repository r JOIN tag t ON t.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND t.name = $3";
pub(crate) const HISTORY: &str = "
    SELECT name, sequence, moved_ms, from_digest, to_digest, moved_by
      FROM tag_move
     WHERE repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
       AND name = $3 AND sequence < $4
     ORDER BY sequence DESC LIMIT $5";

impl Store {
    /// The tags of a repository after `after`, by bytes, at most `limit` of them; `None` if there is no repository.
    pub async fn tag_details(
        &self,
        repository: &RepositoryPath,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Option<Vec<TagDetail>>, StoreError> {
        let after = after.map_or("", Tag::as_str);
        self.page(LIST, repository, after, limit, TagDetail::read).await
    }

    /// The names of tags, as [`Store::tag_details`].
    pub(crate) async fn tag_names(
        &self,
        repository: &RepositoryPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, StoreError> {
        self.page(LIST_NAMES, repository, after.unwrap_or_default(), limit, |row| {
            row.parsed(0)
        })
        .await
    }

    async fn page<T>(
        &self,
        sql: &'static str,
        repository: &RepositoryPath,
        after: &str,
        limit: usize,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Option<Vec<T>>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = find_id(&mut session, repository).await? else {
            return Ok(None);
        };
        let rows = session.fetch_all(sql, values![&id, after, limit]).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// The tag.
    pub async fn tag_detail(&self, repository: &RepositoryPath, tag: &Tag) -> Result<Option<TagDetail>, StoreError> {
        let values = values![&repository.account, &repository.name, tag];
        let row = self.reader().await?.fetch_optional(SELECT, values).await?;
        row.as_ref().map(TagDetail::read).transpose()
    }

    /// The move that decided where a tag pointed at `at`; `None` if it was not there before.
    pub async fn tag_as_of(
        &self,
        repository: &RepositoryPath,
        tag: &Tag,
        at: Timestamp,
    ) -> Result<Option<TagMove>, StoreError> {
        let mut session = self.reader().await?;
        match find_id(&mut session, repository).await? {
            Some(id) => last_move_until(&mut session, &id, tag, at).await,
            None => Ok(None),
        }
    }

    /// The moves of a tag before the one with sequence number `before`, newest first, at most `limit` of them.
    pub async fn tag_history(
        &self,
        repository: &RepositoryPath,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<TagMove>, StoreError> {
        let before = before.unwrap_or(i64::MAX);
        let values = values![&repository.account, &repository.name, tag, before, limit];
        let rows = self.reader().await?.fetch_all(HISTORY, values).await?;
        rows.iter().map(TagMove::read).collect()
    }
}

const LAST_MOVE: &str = "
    SELECT name, sequence, moved_ms, from_digest, to_digest, moved_by
      FROM tag_move WHERE repository_id = $1 AND name = $2 AND sequence <= $3
     ORDER BY sequence DESC LIMIT 1";
/// The last move of a tag up to the one with this number.
pub(crate) async fn last_move(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
    sequence: i64,
) -> Result<Option<TagMove>, StoreError> {
    let values = values![repository_id, tag, sequence];
    let row = session.fetch_optional(LAST_MOVE, values).await?;
    row.as_ref().map(TagMove::read).transpose()
}

/// The last move of a tag that is not after `at`. Looks at few moves, however many there are, since their times
/// grow with their numbers; where a clock has gone back, one of the moves around that time is found.
pub(crate) async fn last_move_until(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
    at: Timestamp,
) -> Result<Option<TagMove>, StoreError> {
    let newest = last_move(session, repository_id, tag, i64::MAX).await?;
    let mut after = match newest {
        Some(newest) if newest.moved_at > at => newest.sequence,
        found => return Ok(found),
    };
    let (mut before, mut found) = (0, None);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        match last_move(session, repository_id, tag, middle).await? {
            Some(it) if it.sequence > before && it.moved_at > at => after = it.sequence,
            it => {
                found = it;
                before = middle;
            }
        }
    }
    Ok(found)
}

const SELECT_IN: &str = "SELECT name, digest, moved_ms, version FROM tag WHERE repository_id = $1 AND name = $2";
/// A tag of the repository with this key.
pub(crate) async fn detail(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
) -> Result<Option<TagDetail>, StoreError> {
    let row = session.fetch_optional(SELECT_IN, values![repository_id, tag]).await?;
    row.as_ref().map(TagDetail::read).transpose()
}

/// When a tag was moved, and by whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mover<'m> {
    pub(crate) at: Timestamp,
    pub(crate) by: &'m str,
}

const TARGET: &str = "SELECT digest FROM tag WHERE repository_id = $1 AND name = $2";
/// The image that a tag points to.
pub(crate) async fn target(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
) -> Result<Option<Digest>, StoreError> {
    let row = session.fetch_optional(TARGET, values![repository_id, tag]).await?;
    row.map(|row| row.parsed(0)).transpose()
}

const RECORD_MOVE: &str = "
    INSERT INTO tag_move (repository_id, name, sequence, moved_ms, from_digest, to_digest, moved_by)
    SELECT $1, $2, COALESCE(MAX(sequence), 0) + 1, $3, $4, $5, $6 FROM tag_move WHERE repository_id = $1 AND name = $2
 RETURNING sequence";
const POINT: &str = "
    INSERT INTO tag (repository_id, name, digest, moved_ms, version) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (repository_id, name) DO UPDATE
       SET digest = excluded.digest, moved_ms = excluded.moved_ms, version = excluded.version";
/// Points a tag to another image.
pub(crate) async fn point(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
    from: Option<&Digest>,
    to: &Digest,
    mover: Mover<'_>,
) -> Result<(), StoreError> {
    let values = values![repository_id, tag, mover.at, from, Some(to), mover.by];
    let sequence = session.fetch_one(RECORD_MOVE, values).await?.int(0)?;
    session.note_tag(MovedTag {
        tag: tag.clone(),
        from: from.copied(),
        to: Some(*to),
    });
    session
        .execute(POINT, values![repository_id, tag, to, mover.at, sequence])
        .await
        .map(drop)
}

const REMOVE: &str = "DELETE FROM tag WHERE repository_id = $1 AND name = $2";
/// Removes one tag.
pub(crate) async fn remove(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
    from: &Digest,
    mover: Mover<'_>,
) -> Result<(), StoreError> {
    let values = values![repository_id, tag, mover.at, Some(from), None::<&Digest>, mover.by];
    session.execute(RECORD_MOVE, values).await?;
    session.note_tag(removed(tag, from));
    session.execute(REMOVE, values![repository_id, tag]).await.map(drop)
}

const RECORD_REMOVALS: &str = "
    INSERT INTO tag_move (repository_id, name, sequence, moved_ms, from_digest, to_digest, moved_by)
    SELECT t.repository_id, t.name, t.version + 1, $3, t.digest, NULL, $4
      FROM tag t WHERE t.repository_id = $1 AND t.digest = $2";
const REMOVE_ALL: &str = "DELETE FROM tag WHERE repository_id = $1 AND digest = $2 RETURNING name";
/// Removes all tags of an image and returns them, sorted.
pub(crate) async fn remove_all(
    session: &mut Session,
    repository_id: &str,
    image: &Digest,
    mover: Mover<'_>,
) -> Result<Vec<Tag>, StoreError> {
    // The version of a tag is the sequence number of its last move, so that the next one is known.
    session
        .execute(RECORD_REMOVALS, values![repository_id, image, mover.at, mover.by])
        .await?;
    let rows = session.fetch_all(REMOVE_ALL, values![repository_id, image]).await?;
    let mut tags = rows.iter().map(|row| row.parsed(0)).collect::<Result<Vec<Tag>, _>>()?;
    tags.sort();
    for tag in &tags {
        session.note_tag(removed(tag, image));
    }
    Ok(tags)
}

fn removed(tag: &Tag, from: &Digest) -> MovedTag {
    MovedTag {
        tag: tag.clone(),
        from: Some(*from),
        to: None,
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM tag WHERE repository_id = $1 AND digest = $2";
/// How many tags an image has.
pub(crate) async fn count(session: &mut Session, repository_id: &str, image: &Digest) -> Result<u64, StoreError> {
    session.fetch_one(COUNT, values![repository_id, image]).await?.size(0)
}
