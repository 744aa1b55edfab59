// SPDX-License-Identifier: Apache-2.0
//! Checks of everything that is stored: what was asked for and found (`run.rs`), and the pages of facts to check
//! (`walk.rs`). What is wrong with a fact is for the verifier to say.

mod run;
mod walk;

pub use run::{
    MAX_KEPT_FINDINGS, MAX_SCRUBS, NewFinding, ScrubCounts, ScrubFinding, ScrubPhase, ScrubProgress, ScrubRecord,
    ScrubStatus, StartScrubError,
};
pub(crate) use walk::STATEMENTS;
pub use walk::{
    BlobFacts, DigestFacts, ImageFacts, ImageKey, LinkFacts, ManifestTable, ReferenceFacts, ReferenceKind,
    ReplicaFacts, ScrubPage, TagFacts, TierFacts, UpstreamTagFacts,
};
