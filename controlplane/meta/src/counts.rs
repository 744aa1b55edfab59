// SPDX-License-Identifier: Apache-2.0
//! What this process did with images, for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::DeletionReason;

/// How many images were deleted, restored and purged by this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageCounts {
    /// Deleted because somebody asked for it.
    pub deleted_by_request: u64,
    /// Deleted by a lifecycle policy.
    pub deleted_by_lifecycle: u64,
    /// Deleted because their subject was.
    pub deleted_with_subject: u64,
    /// Restored.
    pub restored: u64,
    /// Deleted images that cannot be restored any more.
    pub purged: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_request: AtomicU64,
    by_lifecycle: AtomicU64,
    with_subject: AtomicU64,
    restored: AtomicU64,
    purged: AtomicU64,
}

impl Counts {
    pub(crate) fn deleted(&self, reason: &DeletionReason, images: usize) {
        let count = match reason {
            DeletionReason::Request => &self.by_request,
            DeletionReason::Lifecycle { .. } => &self.by_lifecycle,
            DeletionReason::SubjectDeleted(_) => &self.with_subject,
        };
        add(count, images);
    }

    pub(crate) fn restored(&self, images: usize) {
        add(&self.restored, images);
    }

    pub(crate) fn purged(&self, images: usize) {
        add(&self.purged, images);
    }

    pub(crate) fn read(&self) -> ImageCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ImageCounts {
            deleted_by_request: read(&self.by_request),
            deleted_by_lifecycle: read(&self.by_lifecycle),
            deleted_with_subject: read(&self.with_subject),
            restored: read(&self.restored),
            purged: read(&self.purged),
        }
    }
}

fn add(count: &AtomicU64, images: usize) {
    count.fetch_add(images as u64, Ordering::Relaxed);
}
