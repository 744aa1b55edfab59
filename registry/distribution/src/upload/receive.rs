// SPDX-License-Identifier: Apache-2.0
//! Receiving bytes: in memory while they are few, into the blob store when they are more.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use hythe_blobs::{AppendError, ByteStream, HashStateError, Hasher, Progress};
use hythe_catalog::{MAX_INLINE_BLOB_BYTES, UploadState};
use hythe_model::{Algorithm, UploadId};

use super::UploadError;
use crate::Registry;

/// What a session holds.
#[derive(Debug)]
pub(super) enum Held {
    /// Bytes in memory, at most [`MAX_INLINE_BLOB_BYTES`].
    Buffered(Bytes),
    /// Bytes in the blob store.
    Stored(Box<Progress>),
}

/// What a body turned out to be.
pub(super) enum Gathered {
    /// All of it, few enough to stay in memory.
    Whole(Bytes),
    /// More than may stay in memory: everything, from the first byte on, as a stream.
    Spilling(ByteStream),
    /// It stopped early; what came before.
    Stopped(Bytes, AppendError),
}

impl Held {
    /// What a row holds.
    pub(super) fn from_state(state: UploadState) -> Result<Self, UploadError> {
        match state {
            UploadState::Buffered(bytes) => Ok(Self::Buffered(bytes)),
            UploadState::Stored { bytes, hash_state } => {
                let hasher = Hasher::from_state(&hash_state)?;
                // A hash over other bytes than those that count would let them pass for what they are not.
                if hasher.bytes() == bytes {
                    Ok(Self::Stored(Box::new(Progress { bytes, hasher })))
                } else {
                    Err(HashStateError::Damaged.into())
                }
            }
        }
    }

    /// How a row holds it.
    pub(super) fn to_state(&self) -> UploadState {
        match self {
            Self::Buffered(bytes) => UploadState::Buffered(bytes.clone()),
            Self::Stored(progress) => UploadState::Stored {
                bytes: progress.bytes,
                hash_state: progress.hasher.to_state(),
            },
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Buffered(bytes) => bytes.len() as u64,
            Self::Stored(progress) => progress.bytes,
        }
    }
}

/// Reads a body behind `prefix` until it ends or is too much for memory.
pub(super) async fn gather(prefix: Bytes, mut body: ByteStream) -> Gathered {
    let mut buffer = BytesMut::from(prefix);
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) if buffer.len() + chunk.len() <= MAX_INLINE_BLOB_BYTES => buffer.extend_from_slice(&chunk),
            Ok(chunk) => {
                let head = [buffer.freeze(), chunk]
                    .into_iter()
                    .filter(|part| !part.is_empty())
                    .map(Ok);
                return Gathered::Spilling(Box::pin(stream::iter(head.collect::<Vec<_>>()).chain(body)));
            }
            Err(error) => return Gathered::Stopped(buffer.freeze(), AppendError::Body(error)),
        }
    }
    Gathered::Whole(buffer.freeze())
}

/// Receives a body behind what the session holds. `algorithm` is hashed if the bytes leave memory with this body.
/// The second part is why it stopped early, if it did; the first counts in any case.
pub(super) async fn receive(
    registry: &Registry,
    id: UploadId,
    algorithm: Algorithm,
    held: Held,
    body: ByteStream,
) -> (Held, Option<AppendError>) {
    let max_bytes = registry.limits().max_blob_bytes;
    let (prefix, from, body) = match held {
        Held::Stored(progress) => (None, *progress, body),
        Held::Buffered(prefix) => match gather(prefix.clone(), body).await {
            Gathered::Whole(bytes) if bytes.len() as u64 > max_bytes => {
                return (Held::Buffered(prefix), Some(AppendError::TooLarge(max_bytes)));
            }
            Gathered::Whole(bytes) => return (Held::Buffered(bytes), None),
            Gathered::Stopped(bytes, error) => return (Held::Buffered(bytes), Some(error)),
            Gathered::Spilling(body) => (
                Some(prefix),
                Progress {
                    bytes: 0,
                    hasher: Hasher::new(algorithm),
                },
                body,
            ),
        },
    };
    if prefix.is_some() {
        registry.writers().spill(id);
    }
    let appended = registry.blobs().append(id, from, body, max_bytes).await;
    match prefix {
        // The store failed before it had what the row has: the row is still right.
        Some(prefix) if appended.progress.bytes < prefix.len() as u64 => {
            if let Err(error) = registry.blobs().abandon(id).await {
                tracing::debug!(upload.id = %id, error = %error, "bytes of an upload stay until they are stale");
            }
            (Held::Buffered(prefix), appended.failure)
        }
        Some(_) | None => (Held::Stored(Box::new(appended.progress)), appended.failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_whose_hash_is_over_other_bytes_is_damaged() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"four");
        let state = |bytes| UploadState::Stored {
            bytes,
            hash_state: hasher.to_state(),
        };
        assert_eq!(Held::from_state(state(4)).unwrap().bytes(), 4);
        for bytes in [0, 3, 5, u64::MAX] {
            let error = Held::from_state(state(bytes)).unwrap_err();
            assert!(
                matches!(error, UploadError::HashState(HashStateError::Damaged)),
                "{bytes}"
            );
        }
    }
}
