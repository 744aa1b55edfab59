// SPDX-License-Identifier: Apache-2.0
//! Several parts of a blob in one answer: `multipart/byteranges` (RFC 9110, section 14.6).

use std::future::Future;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use hythe_blobs::ByteStream;
use hythe_model::{Digest, MediaType};

use crate::range::content_range;

/// How many characters of a digest make a boundary: as many bits as a random one has.
const BOUNDARY_CHARS: usize = 32;

/// What stands around the parts.
#[derive(Debug)]
pub(super) struct Multipart {
    boundary: String,
    /// What comes before each part.
    heads: Vec<Bytes>,
    end: Bytes,
    bytes: u64,
}

impl Multipart {
    /// Around `parts` of a blob of `size` bytes. The boundary is taken from the blob's digest, which the blob cannot contain.
    pub(super) fn new(digest: &Digest, size: u64, parts: &[Range<u64>]) -> Self {
        let boundary: String = digest.hex().chars().take(BOUNDARY_CHARS).collect();
        let head = |part| {
            let range = content_range(part, size);
            let media_type = MediaType::OCTET_STREAM;
            Bytes::from(format!(
                "\r\n--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {range}\r\n\r\n"
            ))
        };
        let heads: Vec<Bytes> = parts.iter().map(head).collect();
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let content: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let around = heads.iter().map(Bytes::len).sum::<usize>() + end.len();
        Self {
            boundary,
            heads,
            end,
            bytes: content + around as u64,
        }
    }

    pub(super) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The length of the whole, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The whole, with each part opened by `read` when its turn comes.
    pub(super) fn stream<F>(
        self,
        parts: Vec<Range<u64>>,
        read: impl Fn(Range<u64>) -> F + Send + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send
    where
        F: Future<Output = io::Result<ByteStream>> + Send,
    {
        let bodies = stream::iter(self.heads.into_iter().zip(parts)).then(move |(head, part)| {
            let opened = read(part);
            async move {
                let body = opened.await?;
                Ok::<_, io::Error>(stream::iter([Ok(head)]).chain(body))
            }
        });
        bodies.try_flatten().chain(stream::iter([Ok(self.end)]))
    }
}
