// SPDX-License-Identifier: Apache-2.0
//! Faults that are planted, to show that the test finds such.

/// What a registry does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Looks which blobs may be garbage, and deletes their bytes a while later without a second look at what needs them.
    Sweep,
    /// Publishes bytes after their row.
    LateBytes,
    /// Says that bytes are deleted, and leaves them.
    ForgetfulDelete,
    /// Forgets to queue what lost its last reference.
    UnqueuedDeletion,
    /// Restores an image without a layer.
    HalfRestored,
    /// Acknowledges an image whose tag it did not move.
    LostTag,
    /// Remembers blobs that are gone, and tells clients not to send them.
    StaleCache,
    /// Says that bytes are moved to the archive or back, and leaves them where they are.
    ForgottenMove,
    /// Brings an archived image back that is pushed again, and never asks for its bytes.
    LostWish,
    /// Forgets what refers to an image that is deleted.
    ForgottenReferrers,
    /// Acknowledges that a tag is rolled back, and leaves it where it was.
    LostRollback,
}

impl Bug {
    pub const ALL: &[Self] = &[
        Self::Sweep,
        Self::LateBytes,
        Self::ForgetfulDelete,
        Self::UnqueuedDeletion,
        Self::HalfRestored,
        Self::LostTag,
        Self::StaleCache,
        Self::ForgottenMove,
        Self::LostWish,
        Self::ForgottenReferrers,
        Self::LostRollback,
    ];

    /// Whether only long histories show it: several things have to have happened to the same image before.
    pub fn shows_late(self) -> bool {
        matches!(self, Self::HalfRestored | Self::LostWish)
    }
}
