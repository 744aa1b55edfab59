// SPDX-License-Identifier: Apache-2.0
//! Pushing images to, and pulling them from, any OCI registry that takes Basic authentication.
//!
//! Images come from, and go to, an OCI image layout: a folder, or the same as a `.tar` archive. Bytes are moved exactly as
//! they are, streamed, at most [`MAX_PARALLEL_BLOBS`] blobs at once; a transfer that breaks goes on where it stood.

mod blob;
mod client;
mod destination;
mod digester;
mod error;
mod layout;
mod pull;
mod push;
mod source;

use std::fmt::Debug;
use std::sync::Arc;

use hythe_model::{Descriptor, Digest, MediaType};

pub use client::RegistryClient;
pub use destination::Destination;
pub use error::TransferError;
pub use layout::Platform;
pub use pull::{PullOptions, pull};
pub use push::push;
pub use source::Source;

/// Blobs that travel at the same time.
pub const MAX_PARALLEL_BLOBS: usize = 4;

/// The most manifests below one index, and the deepest nesting of indexes.
const MAX_MANIFESTS: usize = 1000;
const MAX_DEPTH: usize = 8;

/// What became of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was moved.
    Transferred,
    /// It was there already.
    Present,
}

/// Is told how far a transfer is. All methods return at once.
pub trait Progress: Debug + Send + Sync {
    /// A blob is about to be moved.
    fn started(&self, blob: &Descriptor);
    /// So many bytes of it have been moved so far; fewer than before after a break.
    fn advanced(&self, blob: &Digest, bytes: u64);
    /// It is where it should be.
    fn finished(&self, blob: &Digest, outcome: BlobOutcome);
}

/// A [`Progress`] that nobody looks at.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Progress for Unobserved {
    fn started(&self, _: &Descriptor) {}
    fn advanced(&self, _: &Digest, _: u64) {}
    fn finished(&self, _: &Digest, _: BlobOutcome) {}
}

/// What was pushed or pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The digest of the image or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Manifests, indexes included.
    pub manifests: usize,
    /// Blobs that were moved.
    pub blobs: usize,
    /// Blobs that were there already.
    pub present_blobs: usize,
    /// Bytes of the blobs that were moved.
    pub bytes: u64,
}

impl Transferred {
    fn new(digest: Digest, media_type: MediaType, manifests: usize) -> Self {
        Self {
            digest,
            media_type,
            manifests,
            blobs: 0,
            present_blobs: 0,
            bytes: 0,
        }
    }

    fn count(&mut self, outcome: BlobOutcome, bytes: u64) {
        match outcome {
            BlobOutcome::Transferred => {
                self.blobs += 1;
                self.bytes += bytes;
            }
            BlobOutcome::Present => self.present_blobs += 1,
        }
    }
}

type SharedProgress = Arc<dyn Progress>;
