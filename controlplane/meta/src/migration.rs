// SPDX-License-Identifier: Apache-2.0
//! Brings the schema to what this binary needs. Forward only.
//!
//! INVARIANT: a migration only adds. The previous binary keeps running on the schema of the next one, so
//! that nodes can be replaced one after another; that is why a version above the known ones is no error.

use crate::session::{Session, values};
use crate::{OpenError, StoreError};

/// The versions with their texts, in order; a gap is a number that nobody used. `{collate}` after the type of a text
/// column stands for the engine's way to sort by bytes: the one difference between the two schemas.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../migrations/0001_initial.sql")),
    (2, include_str!("../migrations/0002_sparse_and_sealed.sql")),
    (3, include_str!("../migrations/0003_principals.sql")),
    (4, include_str!("../migrations/0004_documents.sql")),
    (5, include_str!("../migrations/0005_audit.sql")),
    (6, include_str!("../migrations/0006_signing_keys.sql")),
    (7, include_str!("../migrations/0007_federation.sql")),
    (8, include_str!("../migrations/0008_retention.sql")),
    (9, include_str!("../migrations/0009_collection.sql")),
    (10, include_str!("../migrations/0010_lifecycle.sql")),
    (11, include_str!("../migrations/0011_archive.sql")),
    (12, include_str!("../migrations/0012_scrub.sql")),
    (13, include_str!("../migrations/0013_audit_also.sql")),
    (14, include_str!("../migrations/0014_creation_templates.sql")),
    (15, include_str!("../migrations/0015_pull_through_cache.sql")),
    (16, include_str!("../migrations/0016_replication.sql")),
    (18, include_str!("../migrations/0018_replication_backfill.sql")),
    (19, include_str!("../migrations/0019_virtual_repositories.sql")),
    (20, include_str!("../migrations/0020_statement_times.sql")),
    (21, include_str!("../migrations/0021_trust_times.sql")),
    (22, include_str!("../migrations/0022_upstream_referrers.sql")),
    (23, include_str!("../migrations/0023_replicated_settings.sql")),
    (24, include_str!("../migrations/0024_mirrors.sql")),
    (25, include_str!("../migrations/0025_replication_shares.sql")),
];

const CREATE_VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL PRIMARY KEY)";
const APPLIED: &str = "SELECT version FROM schema_version";
const RECORD_VERSION: &str = "INSERT INTO schema_version (version) VALUES ($1)";

/// Runs what is missing, in the caller's transaction.
pub(crate) async fn run(session: &mut Session, collate: &str) -> Result<(), OpenError> {
    session.execute(CREATE_VERSION_TABLE, values![]).await?;
    let rows = session.fetch_all(APPLIED, values![]).await?;
    let applied = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
    for &(version, text) in MIGRATIONS.iter().filter(|(version, _)| !applied.contains(version)) {
        apply(session, version, text, collate)
            .await
            .map_err(|cause| OpenError::Migration { version, cause })?;
        tracing::info!(schema.version = version, "the database schema was migrated");
    }
    Ok(())
}

async fn apply(session: &mut Session, version: i64, text: &str, collate: &str) -> Result<(), StoreError> {
    session.execute_script(text.replace("{collate}", collate)).await?;
    session.execute(RECORD_VERSION, values![version]).await.map(drop)
}
