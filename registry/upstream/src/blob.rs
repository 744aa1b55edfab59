// SPDX-License-Identifier: Apache-2.0
//! Blobs of another registry.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _, try_unfold};
use http::header::{ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hythe_model::Digest;
use reqwest::Response;
use tokio::time::{Instant, timeout};

use crate::UpstreamError;
use crate::remote::{Ask, Remote};

/// How long nothing may come.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a registry is waited for in all before its rate counts.
const RATE_AFTER: Duration = Duration::from_secs(30);
/// What must come in a second, over all the time that the registry was waited for.
const MIN_BYTES_PER_SECOND: u64 = 2048;

/// The bytes of a blob on their way. Nobody has compared them with the digest yet.
pub struct RemoteBlob {
    /// Where in the blob they begin: where they were asked from, or 0 if the registry does not know ranges.
    pub offset: u64,
    /// How many there are from there on, if the registry says it. More never come, and fewer are an error.
    pub length: Option<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, UpstreamError>>,
}

impl std::fmt::Debug for RemoteBlob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("RemoteBlob");
        shown
            .field("offset", &self.offset)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// The bytes of a blob from `offset` on. A redirect to a place that keeps blobs is followed, without any credentials.
    pub async fn blob(&self, repository: &str, digest: &Digest, offset: u64) -> Result<RemoteBlob, UpstreamError> {
        let url = self.url(&format!("{repository}/blobs/{digest}"))?;
        let mut ask = Ask::read(Method::GET, url, repository);
        // A length is worth more than what compressing a compressed layer would save.
        ask = ask.with(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-"));
            ask = ask.with(
                RANGE,
                range.map_err(|_| UpstreamError::invalid("a range that cannot be sent"))?,
            );
        }
        let response = self.ask(ask).await?;
        let offset = match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(offset) => offset,
            StatusCode::PARTIAL_CONTENT => return Err(UpstreamError::invalid("another range than was asked for")),
            _ => 0,
        };
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        if content_type.is_some_and(|content_type| content_type.starts_with("text/html")) {
            return Err(UpstreamError::invalid("`text/html` instead of a blob"));
        }
        Ok(RemoteBlob {
            offset,
            length: response.content_length(),
            bytes: paced(response),
        })
    }

    /// The size of a blob; `None` if the registry says none.
    pub async fn blob_size(&self, repository: &str, digest: &Digest) -> Result<Option<u64>, UpstreamError> {
        let url = self.url(&format!("{repository}/blobs/{digest}"))?;
        let response = self.ask(Ask::read(Method::HEAD, url, repository)).await?;
        let length = response.headers().get(http::header::CONTENT_LENGTH);
        Ok(length.and_then(|length| length.to_str().ok()?.parse().ok()))
    }
}

/// `bytes 5-9/10` begins at 5.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// How fast a registry sends, not counting the time in which nobody waited for it.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    received: u64,
}

impl Pace {
    fn is_too_slow(&self) -> bool {
        self.waited >= RATE_AFTER && self.received < self.waited.as_secs().saturating_mul(MIN_BYTES_PER_SECOND)
    }
}

fn paced(response: Response) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    let stream = try_unfold((response, Pace::default()), async |(mut response, mut pace)| {
        let began = Instant::now();
        let chunk = timeout(IDLE_TIMEOUT, response.chunk()).await;
        let chunk = chunk.map_err(|_| UpstreamError::Timeout("it stopped in the middle of a blob"))??;
        pace.waited += began.elapsed();
        let Some(chunk) = chunk else { return Ok(None) };
        pace.received += chunk.len() as u64;
        if pace.is_too_slow() {
            return Err(UpstreamError::Timeout("it sends a blob too slowly"));
        }
        Ok(Some((chunk, (response, pace))))
    });
    stream.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_after_a_while() {
        // Seconds waited, bytes received, whether that is too slow.
        let cases = [
            (0, 0, false),
            (29, 29, false),
            (30, 30, true),
            (30, 61_440, false),
            (60, 61_440, true),
        ];
        for (seconds, received, wanted) in cases {
            let pace = Pace {
                waited: Duration::from_secs(seconds),
                received,
            };
            assert_eq!(pace.is_too_slow(), wanted, "{seconds} s, {received} bytes");
        }
    }
}
