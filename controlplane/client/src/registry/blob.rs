// SPDX-License-Identifier: Apache-2.0
//! Moving one blob, in either direction, with as many breaks as it takes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::TryStreamExt as _;
use hythe_model::{Descriptor, Digest};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use super::client::STALL_SECONDS;
use super::digester::Digester;
use super::error::file;
use super::source::Source;
use super::{BlobOutcome, RegistryClient, SharedProgress, TransferError};

/// Up to this many bytes, a blob goes in the request that finishes its upload.
const MAX_SINGLE_REQUEST_BYTES: u64 = 1024 * 1024;

/// Bytes that are read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// What has to arrive between two breaks, in bytes, for the second not to count as one more failure in a row.
const MIN_PROGRESS_BYTES: u64 = 1024 * 1024;

/// Puts a blob of `source` into the repository, if it is not there.
pub(super) async fn upload(
    client: &RegistryClient,
    repository: &str,
    source: &Source,
    blob: &Descriptor,
    progress: &SharedProgress,
) -> Result<BlobOutcome, TransferError> {
    progress.started(blob);
    let there = client
        .exists(client.request(Method::HEAD, repository, &format!("blobs/{}", blob.digest)))
        .await;
    let there = match there {
        // The answer to HEAD has no room for a reason; that to the upload has.
        Err(TransferError::Refused { status, .. }) if status == StatusCode::FORBIDDEN => false,
        there => there?,
    };
    if there {
        progress.finished(&blob.digest, BlobOutcome::Present);
        return Ok(BlobOutcome::Present);
    }
    match source.blob_bytes(&blob.digest).await? {
        None => return Err(TransferError::Missing(blob.digest)),
        Some(bytes) if bytes != blob.size => {
            return Err(TransferError::Damaged {
                expected: blob.digest,
                found: format!("{bytes} bytes in place of {}", blob.size),
            });
        }
        Some(_) => {}
    }
    let mut upload = Upload {
        client,
        repository,
        source,
        blob,
        progress,
        session: None,
        offset: 0,
    };
    let mut failures = 0;
    let mut best = 0;
    loop {
        let error = match upload.go_on().await {
            Ok(()) => break,
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(error),
        };
        if upload.find_out_where_it_stands().await? {
            break;
        }
        if upload.offset >= best + MIN_PROGRESS_BYTES {
            (failures, best) = (0, upload.offset);
        }
        failures += 1;
        let Some(pause) = client.pause(failures) else {
            return Err(error);
        };
        tracing::debug!(error = %error, blob.digest = %blob.digest, upload.offset_bytes = upload.offset, "upload goes on");
        tokio::time::sleep(pause).await;
    }
    progress.finished(&blob.digest, BlobOutcome::Transferred);
    Ok(BlobOutcome::Transferred)
}

struct Upload<'a> {
    client: &'a RegistryClient,
    repository: &'a str,
    source: &'a Source,
    blob: &'a Descriptor,
    progress: &'a SharedProgress,
    session: Option<Url>,
    /// Bytes that the registry has acknowledged.
    offset: u64,
}

impl Upload<'_> {
    async fn go_on(&mut self) -> Result<(), TransferError> {
        let session = if let Some(session) = self.session.take() {
            session
        } else {
            let request = self
                .client
                .request(Method::POST, self.repository, "blobs/uploads/")
                .header(CONTENT_LENGTH, 0);
            let response = self.client.send(request).await?;
            self.offset = 0;
            self.client.location(&response)?
        };
        self.session = Some(session.clone());
        if self.blob.size <= MAX_SINGLE_REQUEST_BYTES && self.offset == 0 {
            return self.finish(session, true).await;
        }
        let session = if self.offset < self.blob.size {
            self.send_rest(session).await?
        } else {
            session
        };
        self.session = Some(session.clone());
        self.finish(session, false).await
    }

    /// Sends everything from the offset on, as one chunk.
    async fn send_rest(&mut self, session: Url) -> Result<Url, TransferError> {
        let (offset, size) = (self.offset, self.blob.size);
        let sent = Arc::new(AtomicU64::new(offset));
        let request = self
            .client
            .request_at(Method::PATCH, session)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size - offset)
            .header(CONTENT_RANGE, format!("{offset}-{}", size - 1))
            .body(self.body(offset, &sent).await?);
        let response = watched(self.client.send_once(request), &sent).await?;
        let next = self.client.location(&response)?;
        self.offset = acknowledged(&response).unwrap_or(size);
        if self.offset < size {
            // A registry may take less than it was given; the rest goes with the next chunk.
            self.session = Some(next);
            return Err(TransferError::Refused {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                code: String::new(),
                message: format!("it took {} of {size} bytes", self.offset),
            });
        }
        Ok(next)
    }

    async fn finish(&self, mut session: Url, with_body: bool) -> Result<(), TransferError> {
        session
            .query_pairs_mut()
            .append_pair("digest", &self.blob.digest.to_string());
        let request = self
            .client
            .request_at(Method::PUT, session)
            .header(CONTENT_TYPE, "application/octet-stream");
        let sent = Arc::new(AtomicU64::new(0));
        let response = if with_body {
            let body = self.body(0, &sent).await?;
            watched(
                self.client
                    .send_once(request.header(CONTENT_LENGTH, self.blob.size).body(body)),
                &sent,
            )
            .await
        } else {
            watched(self.client.send_once(request.header(CONTENT_LENGTH, 0)), &sent).await
        };
        response.map(drop)
    }

    async fn body(&self, offset: u64, sent: &Arc<AtomicU64>) -> Result<Body, TransferError> {
        let reader = self.source.open_blob(&self.blob.digest, offset).await?;
        let (sent, progress, digest) = (sent.clone(), self.progress.clone(), self.blob.digest);
        let stream =
            ReaderStream::with_capacity(reader.take(self.blob.size - offset), READ_BYTES).inspect_ok(move |chunk| {
                let before = sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                progress.advanced(&digest, before + chunk.len() as u64);
            });
        Ok(Body::wrap_stream(stream))
    }

    /// Asks the registry how much it has; an upload that it does not know any more starts anew, unless it was the answer to
    /// its end that got lost. Returns whether the blob is there.
    async fn find_out_where_it_stands(&mut self) -> Result<bool, TransferError> {
        let Some(session) = self.session.clone() else {
            return Ok(false);
        };
        match self
            .client
            .send(self.client.request_at(Method::GET, session.clone()))
            .await
        {
            Ok(response) => {
                self.offset = acknowledged(&response).unwrap_or(0).min(self.blob.size);
                self.session = Some(self.client.location(&response).unwrap_or(session));
                Ok(false)
            }
            Err(TransferError::Refused { status, .. }) if status.is_client_error() => {
                self.session = None;
                let blob = format!("blobs/{}", self.blob.digest);
                self.client
                    .exists(self.client.request(Method::HEAD, self.repository, &blob))
                    .await
            }
            Err(error) if error.is_transient() => Ok(false), // the next attempt will see
            Err(error) => Err(error),
        }
    }
}

/// How many bytes of an upload an answer acknowledges: `Range: 0-<last>`.
fn acknowledged(response: &Response) -> Option<u64> {
    let range = response.headers().get(RANGE)?.to_str().ok()?;
    let last: u64 = range.trim_start_matches("bytes=").split_once('-')?.1.parse().ok()?;
    // `0-0` is what registries say of an empty upload as well as of one byte; one byte is sent again at worst.
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}

/// Waits for an answer as long as bytes move.
async fn watched(
    answer: impl Future<Output = Result<Response, TransferError>>,
    sent: &AtomicU64,
) -> Result<Response, TransferError> {
    let watch = async {
        let mut seen = sent.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(Duration::from_secs(STALL_SECONDS)).await;
            let now = sent.load(Ordering::Relaxed);
            if now == seen {
                return TransferError::Stalled(STALL_SECONDS);
            }
            seen = now;
        }
    };
    tokio::select! {
        answer = answer => answer,
        stalled = watch => Err(stalled),
    }
}

/// Fetches a blob into a new file at `path`, and checks its size and digest.
pub(super) async fn download(
    client: &RegistryClient,
    repository: &str,
    blob: &Descriptor,
    path: &Path,
    progress: &SharedProgress,
) -> Result<(), TransferError> {
    let mut download = Download {
        client,
        repository,
        blob,
        progress,
        path,
        file: tokio::fs::File::create(path).await.map_err(file("write", path))?,
        digester: Digester::new(blob.digest.algorithm()),
        offset: 0,
    };
    let mut failures = 0;
    let mut best = 0;
    loop {
        let error = match download.go_on().await {
            Ok(()) => break,
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(error),
        };
        if download.offset >= best + MIN_PROGRESS_BYTES {
            (failures, best) = (0, download.offset);
        }
        failures += 1;
        let Some(pause) = client.pause(failures) else {
            return Err(error);
        };
        tracing::debug!(error = %error, blob.digest = %blob.digest, download.offset_bytes = download.offset, "download goes on");
        tokio::time::sleep(pause).await;
    }
    let Download {
        file: mut written,
        digester,
        ..
    } = download;
    written.flush().await.map_err(file("write", path))?;
    written.sync_all().await.map_err(file("write", path))?;
    if digester.finish() != Some(blob.digest) {
        return Err(TransferError::Damaged {
            expected: blob.digest,
            found: "another digest".into(),
        });
    }
    Ok(())
}

struct Download<'a> {
    client: &'a RegistryClient,
    repository: &'a str,
    blob: &'a Descriptor,
    progress: &'a SharedProgress,
    path: &'a Path,
    file: tokio::fs::File,
    digester: Digester,
    offset: u64,
}

impl Download<'_> {
    async fn go_on(&mut self) -> Result<(), TransferError> {
        if self.offset == self.blob.size && self.offset > 0 {
            return Ok(());
        }
        let mut request = self
            .client
            .request(Method::GET, self.repository, &format!("blobs/{}", self.blob.digest));
        if self.offset > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.offset));
        }
        let mut response = self.client.send(request).await?;
        let starts_at = content_start(&response);
        if self.offset > 0 && starts_at != Some(self.offset) {
            self.start_again().await?;
            if starts_at.is_some_and(|start| start > 0) {
                return Err(self.client.odd("a range that was not asked for").into());
            }
        }
        while let Some(chunk) = self.client.chunk(&mut response).await? {
            let after = self.offset + chunk.len() as u64;
            if after > self.blob.size {
                let found = format!("more than {} bytes", self.blob.size);
                return Err(TransferError::Damaged {
                    expected: self.blob.digest,
                    found,
                });
            }
            self.file.write_all(&chunk).await.map_err(file("write", self.path))?;
            self.digester.update(&chunk);
            self.offset = after;
            self.progress.advanced(&self.blob.digest, after);
        }
        if self.offset < self.blob.size {
            let found = format!("{} bytes in place of {}", self.offset, self.blob.size);
            return Err(TransferError::Damaged {
                expected: self.blob.digest,
                found,
            });
        }
        Ok(())
    }

    async fn start_again(&mut self) -> Result<(), TransferError> {
        self.file.set_len(0).await.map_err(file("write", self.path))?;
        self.file.rewind().await.map_err(file("write", self.path))?;
        self.digester = Digester::new(self.blob.digest.algorithm());
        self.offset = 0;
        Ok(())
    }
}

/// Where a partial answer starts; `None` if it is the whole.
fn content_start(response: &Response) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return None;
    }
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Whether the file at `path` holds exactly the bytes of `digest`; a file that is not there does not.
pub(super) async fn is_intact(path: &Path, digest: &Digest, size: u64) -> bool {
    let Ok(mut opened) = tokio::fs::File::open(path).await else {
        return false;
    };
    if !opened
        .metadata()
        .await
        .is_ok_and(|facts| facts.is_file() && facts.len() == size)
    {
        return false;
    }
    let mut digester = Digester::new(digest.algorithm());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match opened.read(&mut buffer).await {
            Ok(0) => return digester.finish().as_ref() == Some(digest),
            Ok(read) => digester.update(buffer.get(..read).unwrap_or_default()),
            Err(_) => return false,
        }
    }
}
