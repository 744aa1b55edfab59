// SPDX-License-Identifier: Apache-2.0
//! Upload sessions (OCI Distribution Specification 1.1, "Pushing blobs").
//!
//! A session is a row with what has arrived: few bytes in the row itself, more in the blob store with the state
//! of the hash over them. Small blobs therefore never touch the blob store. Before bytes of the blob store are
//! published, the row is sealed: it says as what, so that a row names them whatever happens in between.

mod alive;
mod append;
mod begin;
mod expire;
mod finish;
mod receive;
mod status;
mod writers;

use std::io;

use http::{StatusCode, header};
use hythe_blobs::{AppendError, BlobError, CommitError, HashStateError};
use hythe_catalog::CatalogError;
use hythe_model::{Digest, UploadId};

use crate::account::Named;
use crate::body::is_stall;
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::range::ContentRange;
use crate::response::{Answer, DOCKER_CONTENT_DIGEST, DOCKER_UPLOAD_UUID};

pub(crate) use append::append;
pub(crate) use begin::{begin, take_whole};
pub use expire::{ExpireError, discard_stale_uploads, expire_uploads};
pub(crate) use finish::finish;
pub(crate) use status::{cancel, status};
pub(crate) use writers::Writers;

/// Why an upload did not go on. Bytes that arrived before count, and the session stays, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// There is no such session in the repository, or it is over.
    #[error("Upload with id '{0}' could not be found: start a new one")]
    Unknown(UploadId),
    /// The chunk does not start where the last one ended.
    #[error("the chunk starts at byte {start}, and {received} bytes have arrived: go on there")]
    OutOfOrder { start: u64, received: u64 },
    /// The client went away, or sent less than it said.
    #[error("the body broke off; {received} bytes of the blob have arrived")]
    Broken { received: u64, source: io::Error },
    /// The client sent too little for too long.
    #[error("{source}; {received} bytes of the blob have arrived")]
    Stalled { received: u64, source: io::Error },
    /// More bytes than a blob may have. The session is over.
    #[error("a blob may have at most {0} bytes")]
    TooLarge(u64),
    /// The bytes are not what the client said they are. Nothing was stored.
    #[error("the content has the digest `{actual}`, not `{expected}`")]
    DigestMismatch { expected: Box<Digest>, actual: Box<Digest> },
    /// Another request writes to the same session.
    #[error("another request is writing to upload `{0}`")]
    Busy(UploadId),
    /// The blob store has no room.
    #[error("the registry has no room for the blob: ask its operator to make some, then go on")]
    Full(#[source] io::Error),
    /// The row holds a hash state that cannot be read.
    #[error("the state of the upload cannot be read")]
    HashState(#[from] HashStateError),
    /// The blob store failed to write.
    #[error("the blob store failed")]
    Store(#[source] io::Error),
    /// The blob store failed to read.
    #[error(transparent)]
    Read(#[from] BlobError),
    /// The metadata store refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl UploadError {
    /// Why receiving stopped, when the session has come as far as `received`.
    fn from_append(error: AppendError, id: UploadId, received: u64) -> Self {
        match error {
            AppendError::Body(source) if is_stall(&source) => Self::Stalled { received, source },
            AppendError::Body(source) => Self::Broken { received, source },
            AppendError::TooLarge(max_bytes) => Self::TooLarge(max_bytes),
            AppendError::Busy => Self::Busy(id),
            AppendError::UploadUnknown => Self::Unknown(id),
            AppendError::Full(source) => Self::Full(source),
            AppendError::Store(source) => Self::Store(source),
        }
    }

    fn digest_mismatch(expected: Digest, actual: Digest) -> Self {
        Self::DigestMismatch {
            expected: Box::new(expected),
            actual: Box::new(actual),
        }
    }

    fn from_commit(error: CommitError, id: UploadId) -> Self {
        match error {
            CommitError::DigestMismatch { expected, actual } => Self::digest_mismatch(expected, actual),
            CommitError::UploadUnknown => Self::Unknown(id),
            CommitError::Busy => Self::Busy(id),
            CommitError::Full(source) => Self::Full(source),
            CommitError::Store(source) => Self::Store(source),
        }
    }
}

/// The session that a path names. An id that is no UUID names none.
fn session_id(input: &Input) -> Result<UploadId, InputError> {
    input
        .argument
        .parse()
        .map_err(|_| InputError::UploadUnknown(input.argument.chars().take(64).collect()))
}

fn session_location(named: &Named, id: UploadId) -> String {
    named.location(format_args!("blobs/uploads/{id}"))
}

/// An answer that tells how far a session has come.
fn session_answer(status: StatusCode, named: &Named, id: UploadId, received: u64) -> Answer {
    Answer::new(status)
        .with(header::LOCATION, session_location(named, id))
        .with(header::RANGE, range_header(received))
        .with(DOCKER_UPLOAD_UUID, id)
}

/// The answer to a blob that is now in the repository.
fn created(named: &Named, digest: &Digest) -> Answer {
    Answer::new(StatusCode::CREATED)
        .with(header::LOCATION, named.location(format_args!("blobs/{digest}")))
        .with(DOCKER_CONTENT_DIGEST, digest)
}

/// An error within a session, with the way back into it if there is one.
fn session_error(error: UploadError, named: &Named, id: UploadId) -> OciError {
    let (is_there, received) = match &error {
        UploadError::OutOfOrder { received, .. }
        | UploadError::Broken { received, .. }
        | UploadError::Stalled { received, .. } => (true, Some(*received)),
        UploadError::Busy(_) => (true, None),
        UploadError::Unknown(_)
        | UploadError::TooLarge(_)
        | UploadError::DigestMismatch { .. }
        | UploadError::Full(_)
        | UploadError::HashState(_)
        | UploadError::Store(_)
        | UploadError::Read(_)
        | UploadError::Catalog(_) => (false, None),
    };
    let mut error = OciError::from(error);
    if is_there {
        error = error.with(header::LOCATION, session_location(named, id));
    }
    if let Some(received) = received {
        error = error.with(header::RANGE, range_header(received));
    }
    error
}

/// The value of `Range` in a session's answers. It cannot tell no bytes from one; clients treat `0-0` as none at the start.
fn range_header(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

/// Reads `Content-Range`, which must agree with `Content-Length` if both are there.
fn chunk_range(input: &Input) -> Result<Option<ContentRange>, InputError> {
    let Some(text) = input.header(&header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let range = ContentRange::parse(text)?;
    match input.content_length() {
        Some(length) if length != range.length => Err(InputError::LengthMismatch {
            range: range.length,
            length,
        }),
        Some(_) | None => Ok(Some(range)),
    }
}
