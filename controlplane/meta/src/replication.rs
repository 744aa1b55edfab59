// SPDX-License-Identifier: Apache-2.0
//! Replication: destinations, rules, work that is still to be done, and what became of each image.
//!
//! What changes a tag or an image queues, in its own transaction, that this is to be brought to the destinations that the
//! rules name (`enqueue.rs`). A task says which tag or digest of which repository; what it has become is looked up when
//! it is sent, so that many moves of a tag are one task.

mod backfill;
mod claim;
mod deletion;
mod destination;
mod enqueue;
mod rule;
mod settings;
mod source;
mod status;
mod task;
mod upload;

pub(crate) use backfill::{BACKFILL_IMAGES, DUE_BACKFILL, LIST_BACKFILLS};
pub use backfill::{
    BackfillImage, BackfillPass, BackfillRecord, BackfillResult, BackfillStatus, MAX_RUNNING_BACKFILLS,
    StartBackfillError,
};
pub(crate) use claim::{DUE_IMAGES, DUE_SETTINGS};
pub use claim::{DestinationLoad, ReplicationSlots};
pub(crate) use deletion::enqueue_deletion;
pub use destination::{
    ChangeDestinationError, CreateDestinationError, DestinationKind, DestinationRecord, DestinationSettings,
    MAX_REPLICATION_DESTINATION_OBJECTS,
};
pub(crate) use enqueue::{Change, enqueue, enqueue_present, pushed};
pub use rule::{PutReplicationRulesError, ReplicationRules, RuleName};
pub use settings::RepositoryReplicationStatus;
pub(crate) use settings::enqueue_settings;
pub(crate) use status::FORGET_IMAGE;
pub use status::{ImageReplicationStatus, ReplicationState};
pub use task::{
    ClaimedReplication, ReplicationBacklog, ReplicationFailure, ReplicationOutcome, ReplicationSubject,
    ReplicationTask, TaskFilter,
};

pub(crate) use task::LIST;
