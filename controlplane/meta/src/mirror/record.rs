// SPDX-License-Identifier: Apache-2.0
//! What is known of a run of a mirror.

use hythe_model::{AccountId, RepositoryPrefix};
use jiff::Timestamp;

use crate::StoreError;
use crate::session::Row;
use crate::text_enum::text_enum;

text_enum!(
    /// How a run does.
    MirrorRunStatus, "status of a run of a mirror" {
        /// It goes on, or waits for a node to take it up.
        Running = "RUNNING",
        /// It has brought everything.
        Complete = "COMPLETE",
        /// It has seen everything, and could not bring all of it.
        Incomplete = "INCOMPLETE",
        /// It could not go on.
        Failed = "FAILED",
        /// The mirror was changed or removed meanwhile.
        Cancelled = "CANCELLED",
    }
);

text_enum!(
    /// Why there is a run.
    MirrorRunCause, "cause of a run of a mirror" {
        /// It was time for it.
        Schedule = "SCHEDULE",
        /// Somebody asked for it.
        Request = "REQUEST",
    }
);

/// What a run has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounts {
    /// Repositories whose tags were looked at.
    pub repositories: u64,
    /// Tags that were looked at.
    pub tags: u64,
    /// Tags that were not here.
    pub created: u64,
    /// Tags that pointed to another image here.
    pub moved: u64,
    /// Tags that are as they are there.
    pub unchanged: u64,
    /// Tags and repositories that stay as they are here.
    pub skipped: u64,
    /// Repositories, tags and images that could not be brought.
    pub failed: u64,
    /// Tags that were removed.
    pub removed: u64,
    /// Signatures and other referrers of images that were not here.
    pub referrers: u64,
}

/// A run of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRunRecord {
    /// Its id; later ones sort behind.
    pub id: String,
    /// The account of the rule.
    pub account: AccountId,
    /// The prefix of the rule.
    pub prefix: RepositoryPrefix,
    /// Why there is a run.
    pub cause: MirrorRunCause,
    /// Who asked for it: the principal's ARN.
    pub started_by: Option<String>,
    /// How it does.
    pub status: MirrorRunStatus,
    /// How far it is.
    pub progress: MirrorProgress,
    /// How many images wait to be fetched.
    pub waiting: u64,
    /// The attempts that failed since it last came further.
    pub attempts: u64,
    /// Why it could not go on, or was cancelled.
    pub failure: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it last came further.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it goes on, if it waits for the other registry.
    pub resumes_at: Option<Timestamp>,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorProgress {
    /// The repository that it looks at, as the other registry calls it; empty at the start.
    pub repository: String,
    /// The tag of it that was looked at last, by bytes.
    pub tag: String,
    /// What it has counted.
    pub counts: MirrorCounts,
}

/// The columns of a run that [`read`] reads.
macro_rules! columns {
    () => {
        "id, account_id, prefix, cause, started_by, status, repository, tag, repositories, tags, created, moved, unchanged,
         skipped, failed, removed, attempts, failure, started_ms, updated_ms, ended_ms, resume_ms, referrers"
    };
}

pub(super) use columns;

/// Reads the columns of a run; how many images wait is not among them.
pub(super) fn read(row: &Row) -> Result<MirrorRunRecord, StoreError> {
    let resumes_at = row.time(21)?;
    let ended_at = row.optional_time(20)?;
    Ok(MirrorRunRecord {
        id: row.text(0)?,
        account: row.parsed(1)?,
        prefix: row.parsed(2)?,
        cause: row.parsed(3)?,
        started_by: row.optional_text(4)?,
        status: row.parsed(5)?,
        progress: MirrorProgress {
            repository: row.text(6)?,
            tag: row.text(7)?,
            counts: MirrorCounts {
                repositories: row.size(8)?,
                tags: row.size(9)?,
                created: row.size(10)?,
                moved: row.size(11)?,
                unchanged: row.size(12)?,
                skipped: row.size(13)?,
                failed: row.size(14)?,
                removed: row.size(15)?,
                referrers: row.size(22)?,
            },
        },
        waiting: 0,
        attempts: row.size(16)?,
        failure: row.optional_text(17)?,
        started_at: row.time(18)?,
        updated_at: row.time(19)?,
        ended_at,
        resumes_at: (ended_at.is_none() && resumes_at > Timestamp::UNIX_EPOCH).then_some(resumes_at),
    })
}
