// SPDX-License-Identifier: Apache-2.0
//! Taking away what nobody needs any more.
//!
//! A row of `blob_review` leads to a link that may have lost its last reference. It is looked at again in one
//! serializable transaction (`examine.rs`); what is needed stays. With the last link of a blob its row goes, and the
//! digest becomes a row of `blob_deletion` in the same transaction (`deletion.rs`): from then on, until the bytes are
//! gone and the row with them, nobody begins to publish bytes under this digest. `docs/adr/0035-online-collection.md`
//! shows why no interleaving loses anything.

mod deletion;
mod examine;
mod run;

pub use deletion::BlobDeletion;
pub use examine::{CollectionRules, DueReview, Reviewed};
pub use run::{CollectionBacklog, CollectionRun, CollectionTotals, MAX_COUNTED_REVIEWS};

pub(crate) use deletion::is_claimed;
pub(crate) use examine::DUE;
