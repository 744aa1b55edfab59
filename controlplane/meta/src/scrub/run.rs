// SPDX-License-Identifier: Apache-2.0
//! Scrubs: one row each, that a node works on, and their findings.

use hythe_model::Digest;
use jiff::Timestamp;

use crate::session::{Row, Session, values};
use crate::text_enum::text_enum;
use crate::writer::Durability;
use crate::{Store, StoreError, audit};

/// The most scrubs that are remembered; with one more, the oldest is forgotten.
pub const MAX_SCRUBS: usize = 100;
/// The most findings of one scrub that are kept. All are counted, and written to the log.
pub const MAX_KEPT_FINDINGS: u64 = 10_000;

text_enum!(
    /// How a scrub does.
    ScrubStatus, "status of a scrub" {
        /// It goes on, or waits for a node to take it up.
        Running = "RUNNING",
        /// It has seen everything.
        Complete = "COMPLETE",
        /// Somebody ended it.
        Cancelled = "CANCELLED",
        /// It could not go on.
        Failed = "FAILED",
    }
);

text_enum!(
    /// What a scrub looks at, in this order.
    ScrubPhase, "phase of a scrub" {
        /// Whether every row of a blob has its bytes, and they are right.
        Blobs = "BLOBS",
        /// Whether all bytes in the blob store have a row.
        Files = "FILES",
        /// Whether every link of a blob to a repository leads somewhere and is needed.
        Links = "LINKS",
        /// Whether every manifest is whole, and what it needs is written down.
        Images = "IMAGES",
        /// The same of images that were deleted and can be restored.
        DeletedImages = "DELETED_IMAGES",
        /// Whether what images need is there.
        ImageBlobs = "IMAGE_BLOBS",
        /// Whether what indexes list is there.
        ImageChildren = "IMAGE_CHILDREN",
        /// Whether what deleted images need is there.
        DeletedImageBlobs = "DELETED_IMAGE_BLOBS",
        /// Whether every tag points to an image, as its history says.
        Tags = "TAGS",
        /// Whether the manifests that came from upstream and are not images yet are whole.
        UpstreamManifests = "UPSTREAM_MANIFESTS",
        /// Whether it can be read what tags pointed to upstream.
        UpstreamTags = "UPSTREAM_TAGS",
        /// Whether it can be read by which registries replicas came.
        Replicas = "REPLICAS",
    }
);

impl ScrubPhase {
    /// What comes after it.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Some(match self {
            Self::Blobs => Self::Files,
            Self::Files => Self::Links,
            Self::Links => Self::Images,
            Self::Images => Self::DeletedImages,
            Self::DeletedImages => Self::ImageBlobs,
            Self::ImageBlobs => Self::ImageChildren,
            Self::ImageChildren => Self::DeletedImageBlobs,
            Self::DeletedImageBlobs => Self::Tags,
            Self::Tags => Self::UpstreamManifests,
            Self::UpstreamManifests => Self::UpstreamTags,
            Self::UpstreamTags => Self::Replicas,
            Self::Replicas => return None,
        })
    }
}

/// How much a scrub has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubCounts {
    /// Rows of blobs.
    pub blobs: u64,
    /// Bytes of blobs that were hashed.
    pub bytes: u64,
    /// Files of blobs.
    pub files: u64,
    /// Manifests, also of deleted images.
    pub images: u64,
    /// Links, and what images need.
    pub references: u64,
    /// Tags.
    pub tags: u64,
}

/// A scrub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubRecord {
    /// Its id; later ones sort behind.
    pub id: String,
    /// Who started it: the principal's ARN.
    pub started_by: String,
    /// Of how many blobs the bytes are hashed, in percent.
    pub sample_percent: u32,
    /// Whether damaged files are put aside.
    pub quarantine: bool,
    /// How it does.
    pub status: ScrubStatus,
    /// How far it is.
    pub progress: ScrubProgress,
    /// How much it has found.
    pub findings: u64,
    /// How many files it has put aside.
    pub quarantined: u64,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it last came further.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it could not go on.
    pub failure: Option<String>,
}

/// How far a scrub is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubProgress {
    /// What it looks at.
    pub phase: ScrubPhase,
    /// The key that the phase goes on from.
    pub position: String,
    /// How much it has looked at.
    pub counts: ScrubCounts,
}

/// Something that is wrong, to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFinding {
    /// What kind it is.
    pub kind: String,
    /// The blob or image.
    pub digest: Option<Digest>,
    /// The repository, as `account/name`, or its key if it is not there.
    pub repository: Option<String>,
    /// What is wrong, for people.
    pub detail: String,
    /// Whether the file was put aside.
    pub is_quarantined: bool,
}

/// Something that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubFinding {
    /// Counts the findings of a scrub, from 1.
    pub sequence: u64,
    /// What it is.
    pub finding: NewFinding,
    /// When it was found.
    pub found_at: Timestamp,
}

/// Why no scrub was started.
#[derive(Debug, thiserror::Error)]
pub enum StartScrubError {
    /// One is running: its id.
    #[error("scrub `{0}` is running: wait for it, or cancel it")]
    Running(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

macro_rules! columns {
    () => {
        "id, started_by, sample_percent, quarantine, status, phase, position, blobs, bytes, files, images,
         references_seen, tags, findings, quarantined, started_ms, updated_ms, ended_ms, failure"
    };
}

const RUNNING: &str = "SELECT id FROM scrub WHERE status = 'RUNNING'";
const INSERT: &str = concat!(
    "INSERT INTO scrub (id, started_by, sample_percent, quarantine, status, phase, position, blobs, bytes, files,
        images, references_seen, tags, findings, quarantined, started_ms, updated_ms, node, lease_ms)
     VALUES ($1, $2, $3, $4, 'RUNNING', $5, '', 0, 0, 0, 0, 0, 0, 0, 0, $6, $6, '', 0) RETURNING ",
    columns!()
);
/// By key, as all pages: the newest ones stay.
const OLDEST_KEPT: &str = "SELECT id FROM scrub ORDER BY id DESC LIMIT 1 OFFSET $1";
const FORGET: &str = "DELETE FROM scrub WHERE id <= $1 AND status <> 'RUNNING'";
const SELECT: &str = concat!("SELECT ", columns!(), " FROM scrub WHERE id = $1");
pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM scrub WHERE id < $1 ORDER BY id DESC LIMIT $2"
);
const FINDINGS: &str = "
    SELECT sequence, kind, digest, repository, detail, is_quarantined, found_ms FROM scrub_finding
     WHERE scrub_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
/// A lease that ends too late to be one was made while the clock was wrong.
const TAKE: &str = concat!(
    "UPDATE scrub SET node = $1, lease_ms = $3
      WHERE status = 'RUNNING' AND (node = $1 OR lease_ms <= $2 OR lease_ms > $2 + 3600000) RETURNING ",
    columns!()
);
const ADVANCE: &str = "
    UPDATE scrub SET phase = $3, position = $4, blobs = $5, bytes = $6, files = $7, images = $8, references_seen = $9,
           tags = $10, findings = findings + $11, quarantined = quarantined + $12, updated_ms = $13, lease_ms = $14
     WHERE id = $1 AND node = $2 AND status = 'RUNNING' RETURNING findings";
const ADD_FINDING: &str = "
    INSERT INTO scrub_finding (scrub_id, sequence, kind, digest, repository, detail, is_quarantined, found_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const RELEASE: &str = "UPDATE scrub SET lease_ms = 0, node = '' WHERE id = $1 AND node = $2 AND status = 'RUNNING'";
const END: &str = "
    UPDATE scrub SET status = $3, failure = $4, ended_ms = $5, updated_ms = $5
     WHERE id = $1 AND node = $2 AND status = 'RUNNING' RETURNING id";
const CANCEL: &str = concat!(
    "UPDATE scrub SET status = 'CANCELLED', ended_ms = $2, updated_ms = $2
      WHERE id = $1 AND status = 'RUNNING' RETURNING ",
    columns!()
);

impl Store {
    /// Starts a scrub; some node will take it.
    pub async fn start_scrub(
        &self,
        started_by: &str,
        sample_percent: u32,
        quarantine: bool,
        now: Timestamp,
    ) -> Result<ScrubRecord, StartScrubError> {
        let input = (started_by.to_owned(), sample_percent, quarantine, now);
        self.write(
            Durability::Full,
            input,
            |session, (started_by, sample, quarantine, now)| {
                Box::pin(start(session, started_by, *sample, *quarantine, *now))
            },
        )
        .await
    }

    /// The scrub.
    pub async fn scrub(&self, id: &str) -> Result<Option<ScrubRecord>, StoreError> {
        let row = self.reader().await?.fetch_optional(SELECT, values![id]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The scrubs before `before`, newest first, at most `limit` of them.
    pub async fn scrubs(&self, before: Option<&str>, limit: usize) -> Result<Vec<ScrubRecord>, StoreError> {
        // Behind every id.
        let before = before.unwrap_or("~");
        let rows = self.reader().await?.fetch_all(LIST, values![before, limit]).await?;
        rows.iter().map(read).collect()
    }

    /// The findings of a scrub after `after`, at most `limit` of them.
    pub async fn scrub_findings(&self, id: &str, after: u64, limit: usize) -> Result<Vec<ScrubFinding>, StoreError> {
        let values = values![id, after, limit];
        let rows = self.reader().await?.fetch_all(FINDINGS, values).await?;
        let finding = |row: &Row| {
            Ok(ScrubFinding {
                sequence: row.size(0)?,
                finding: NewFinding {
                    kind: row.text(1)?,
                    digest: row.optional_parsed(2)?,
                    repository: row.optional_text(3)?,
                    detail: row.text(4)?,
                    is_quarantined: row.bool(5)?,
                },
                found_at: row.time(6)?,
            })
        };
        rows.iter().map(finding).collect()
    }

    /// Whether a scrub is running, on whatever node.
    pub async fn is_scrub_running(&self) -> Result<bool, StoreError> {
        Ok(!self.point(RUNNING, values![]).await?.is_empty())
    }

    /// Takes the scrub that is running, if no other node works on it.
    pub async fn take_scrub(
        &self,
        node: &str,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<ScrubRecord>, StoreError> {
        let values = values![node, now, lease_until];
        let rows = self.write_one(Durability::Relaxed, TAKE, values).await?;
        rows.first().map(read).transpose()
    }

    /// Writes down how far a scrub is and what it has found, in one step. `false` if it is no longer this node's: it
    /// was cancelled, or another node has taken it.
    pub async fn advance_scrub(
        &self,
        id: &str,
        node: &str,
        progress: &ScrubProgress,
        findings: Vec<NewFinding>,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let input = (
            id.to_owned(),
            node.to_owned(),
            progress.clone(),
            findings,
            now,
            lease_until,
        );
        // What was found must not be lost; how far it is may be.
        let durability = if input.3.is_empty() {
            Durability::Relaxed
        } else {
            Durability::Full
        };
        self.write(
            durability,
            input,
            |session, (id, node, progress, findings, now, lease)| {
                Box::pin(advance(session, id, node, progress, findings, *now, *lease))
            },
        )
        .await
    }

    /// Gives a scrub back, for any node to go on with.
    pub async fn release_scrub(&self, id: &str, node: &str) -> Result<(), StoreError> {
        self.write_one(Durability::Relaxed, RELEASE, values![id, node])
            .await
            .map(drop)
    }

    /// Ends a scrub of this node; says whether it was.
    pub async fn end_scrub(
        &self,
        id: &str,
        node: &str,
        status: ScrubStatus,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let values = values![id, node, status.as_str(), failure, now];
        Ok(!self.write_one(Durability::Full, END, values).await?.is_empty())
    }

    /// Ends a scrub that is running. One that has ended stays as it is; `None` if there is none.
    pub async fn cancel_scrub(&self, id: &str, now: Timestamp) -> Result<Option<ScrubRecord>, StoreError> {
        let rows = self.write_one(Durability::Full, CANCEL, values![id, now]).await?;
        match rows.first() {
            Some(row) => read(row).map(Some),
            None => self.scrub(id).await,
        }
    }
}

async fn start(
    session: &mut Session,
    started_by: &str,
    sample_percent: u32,
    quarantine: bool,
    now: Timestamp,
) -> Result<ScrubRecord, StartScrubError> {
    if let Some(running) = session.fetch_optional(RUNNING, values![]).await? {
        return Err(StartScrubError::Running(running.text(0)?));
    }
    if let Some(oldest) = session.fetch_optional(OLDEST_KEPT, values![MAX_SCRUBS - 1]).await? {
        session.execute(FORGET, values![oldest.text(0)?]).await?;
    }
    let id = audit::new_id(now).to_string();
    let phase = ScrubPhase::Blobs.as_str();
    let sample = i64::from(sample_percent);
    let row = session
        .fetch_one(INSERT, values![&id, started_by, sample, quarantine, phase, now])
        .await?;
    Ok(read(&row)?)
}

async fn advance(
    session: &mut Session,
    id: &str,
    node: &str,
    progress: &ScrubProgress,
    findings: &[NewFinding],
    now: Timestamp,
    lease: Timestamp,
) -> Result<bool, StoreError> {
    let ScrubProgress {
        phase,
        position,
        counts,
    } = progress;
    let quarantined = findings.iter().filter(|finding| finding.is_quarantined).count();
    let values = values![
        id,
        node,
        phase.as_str(),
        position,
        counts.blobs,
        counts.bytes,
        counts.files,
        counts.images,
        counts.references,
        counts.tags,
        findings.len(),
        quarantined,
        now,
        lease
    ];
    let Some(row) = session.fetch_optional(ADVANCE, values).await? else {
        return Ok(false);
    };
    let before = row.size(0)?.saturating_sub(findings.len() as u64);
    for (sequence, found) in (before + 1..=MAX_KEPT_FINDINGS).zip(findings) {
        let NewFinding {
            kind,
            digest,
            repository,
            detail,
            is_quarantined,
        } = found;
        let values = values![
            id,
            sequence,
            kind,
            digest.as_ref(),
            repository.as_deref(),
            detail,
            *is_quarantined,
            now
        ];
        session.execute(ADD_FINDING, values).await?;
    }
    Ok(true)
}

fn read(row: &Row) -> Result<ScrubRecord, StoreError> {
    Ok(ScrubRecord {
        id: row.text(0)?,
        started_by: row.text(1)?,
        sample_percent: u32::try_from(row.size(2)?).unwrap_or(100),
        quarantine: row.bool(3)?,
        status: row.parsed(4)?,
        progress: ScrubProgress {
            phase: row.parsed(5)?,
            position: row.text(6)?,
            counts: ScrubCounts {
                blobs: row.size(7)?,
                bytes: row.size(8)?,
                files: row.size(9)?,
                images: row.size(10)?,
                references: row.size(11)?,
                tags: row.size(12)?,
            },
        },
        findings: row.size(13)?,
        quarantined: row.size(14)?,
        started_at: row.time(15)?,
        updated_at: row.time(16)?,
        ended_at: row.optional_time(17)?,
        failure: row.optional_text(18)?,
    })
}
