// SPDX-License-Identifier: Apache-2.0
//! What runs of mirrors note: the first of each kind, by number.

use jiff::Timestamp;

use crate::session::{Row, Session, values};
use crate::text_enum::text_enum;
use crate::{Store, StoreError};

/// The most notes of one kind that a run keeps. All are counted.
pub const MAX_MIRROR_NOTES: u64 = 100;

text_enum!(
    /// What a note of a run is about.
    MirrorNoteKind, "kind of a note of a run of a mirror" {
        /// Something that stays as it is here.
        Skipped = "SKIPPED",
        /// Something that could not be brought.
        Failed = "FAILED",
        /// A tag that was gone at the other registry, and was removed here.
        Removed = "REMOVED",
    }
);

/// Something to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorNote {
    /// What the note is about.
    pub kind: MirrorNoteKind,
    /// The repository: as it is called here, or, if it cannot be here, at the other registry; empty for all of them.
    pub repository: String,
    /// The tag, or the digest of an image without one.
    pub tag: Option<String>,
    /// What happened, for programs.
    pub code: String,
    /// What happened, for people.
    pub reason: String,
}

/// Something that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRunNote {
    /// What it is.
    pub note: MirrorNote,
    /// When it was noted.
    pub noted_at: Timestamp,
}

const NOTES: &str = "
    SELECT kind, repository, tag, code, reason, noted_ms FROM mirror_run_note
     WHERE run_id = $1 ORDER BY kind, sequence LIMIT $2";
const ADD_NOTE: &str = "
    INSERT INTO mirror_run_note (run_id, kind, sequence, repository, tag, code, reason, noted_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

impl Store {
    /// What a run has noted, by kind, in the order in which it was.
    pub async fn mirror_run_notes(&self, id: &str) -> Result<Vec<MirrorRunNote>, StoreError> {
        // There are three kinds.
        let limit = 3 * MAX_MIRROR_NOTES;
        let rows = self.reader().await?.fetch_all(NOTES, values![id, limit]).await?;
        let note = |row: &Row| {
            Ok(MirrorRunNote {
                note: MirrorNote {
                    kind: row.parsed(0)?,
                    repository: row.text(1)?,
                    tag: row.optional_text(2)?,
                    code: row.text(3)?,
                    reason: row.text(4)?,
                },
                noted_at: row.time(5)?,
            })
        };
        rows.iter().map(note).collect()
    }
}

/// How many notes of each kind a run has.
pub(super) struct NoteCounts {
    skipped: u64,
    failed: u64,
    removed: u64,
}

impl NoteCounts {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            skipped: row.size(0)?,
            failed: row.size(1)?,
            removed: row.size(2)?,
        })
    }
}

pub(super) async fn add_notes(
    session: &mut Session,
    run_id: &str,
    mut counted: NoteCounts,
    notes: &[MirrorNote],
    now: Timestamp,
) -> Result<(), StoreError> {
    for note in notes {
        let count = match note.kind {
            MirrorNoteKind::Skipped => &mut counted.skipped,
            MirrorNoteKind::Failed => &mut counted.failed,
            MirrorNoteKind::Removed => &mut counted.removed,
        };
        *count += 1;
        if *count > MAX_MIRROR_NOTES {
            continue;
        }
        let values = values![
            run_id,
            note.kind.as_str(),
            *count,
            &note.repository,
            note.tag.as_deref(),
            &note.code,
            &note.reason,
            now
        ];
        session.execute(ADD_NOTE, values).await?;
    }
    Ok(())
}
