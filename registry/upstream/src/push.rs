// SPDX-License-Identifier: Apache-2.0
//! Writing to another registry (OCI Distribution Specification 1.1, "Push").
//!
//! A blob goes in chunks that are in memory, so that each can be sent again: after a new login, and from where the registry
//! says that it has come to.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hythe_model::{Digest, MediaType, REFUSED_TAGS_HEADER, Reference};
use reqwest::{Response, Url};
use tokio::time::timeout;

use crate::UpstreamError;
use crate::challenge::Challenge;
use crate::remote::{Access, Ask, HEAD_TIMEOUT, Remote, refusal};

/// What a registry must take in a second of what is sent to it.
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;
/// The longest URL at which an upload can go on, in bytes: it is stored.
const MAX_LOCATION_BYTES: usize = 4096;
/// How much is kept of what a registry says about tags, in characters: it is stored, and shown.
const MAX_REFUSED_CHARS: usize = 512;
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The upload of a blob that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUpload {
    url: Url,
    /// How many bytes the registry has.
    pub offset: u64,
    /// The fewest bytes of a chunk that the registry takes, but for the last one; 0 if it does not say
    /// (OCI Distribution Specification 1.1, `OCI-Chunk-Min-Length`).
    pub min_chunk: u64,
}

impl RemoteUpload {
    /// Where it can be taken up again, by another process too.
    #[must_use]
    pub fn location(&self) -> &str {
        self.url.as_str()
    }
}

/// A manifest that the registry has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenManifest {
    /// Tags that the image was not given, as they may not be moved there; only Hythe says so.
    pub refused_tags: Option<String>,
}

impl Remote {
    /// Whether a repository has a blob.
    pub async fn blob_exists(&self, repository: &str, digest: &Digest) -> Result<bool, UpstreamError> {
        let url = self.url(&format!("{repository}/blobs/{digest}"))?;
        exists(
            self.write(Method::HEAD, url, repository, HeaderMap::new(), Bytes::new())
                .await,
        )
    }

    /// Whether a repository has an image, asked with the rights to push it.
    pub async fn manifest_digest(
        &self,
        repository: &str,
        reference: &Reference,
    ) -> Result<Option<Digest>, UpstreamError> {
        let mut ask = self.manifest_ask(Method::HEAD, repository, reference)?;
        ask.access = Access::PullPush;
        let response = match self.ask(ask).await {
            Ok(response) => response,
            Err(UpstreamError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let said = response.headers().get("docker-content-digest");
        let said = said.and_then(|digest| digest.to_str().ok()?.parse().ok());
        Ok(said.or(match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => None,
        }))
    }

    /// Begins an upload. With a repository that may have the blob, it need not be sent: then there is no upload.
    pub async fn begin_upload(
        &self,
        repository: &str,
        digest: &Digest,
        from: Option<&str>,
    ) -> Result<Option<RemoteUpload>, UpstreamError> {
        let mut url = self.url(&format!("{repository}/blobs/uploads/"))?;
        if let Some(from) = from {
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", from);
        }
        let response = self
            .write(Method::POST, url.clone(), repository, HeaderMap::new(), Bytes::new())
            .await?;
        if response.status() == StatusCode::CREATED {
            return Ok(None);
        }
        Ok(Some(RemoteUpload {
            url: location(&url, response.headers())?,
            offset: 0,
            min_chunk: min_chunk(response.headers()),
        }))
    }

    /// Sends a small blob with one request, where the registry can do that; otherwise there is an upload to go on with.
    pub async fn push_blob(
        &self,
        repository: &str,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<Option<RemoteUpload>, UpstreamError> {
        let mut url = self.url(&format!("{repository}/blobs/uploads/"))?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, OCTETS)]);
        let response = self
            .write(Method::POST, url.clone(), repository, headers, bytes)
            .await?;
        if response.status() == StatusCode::CREATED {
            return Ok(None);
        }
        Ok(Some(RemoteUpload {
            url: location(&url, response.headers())?,
            offset: 0,
            min_chunk: min_chunk(response.headers()),
        }))
    }

    /// How far an upload has come that was begun earlier.
    pub async fn resume_upload(&self, repository: &str, location_text: &str) -> Result<RemoteUpload, UpstreamError> {
        let url = Url::parse(location_text).map_err(|error| UpstreamError::invalid(error.to_string()))?;
        if url.origin() != self.url("")?.origin() {
            return Err(UpstreamError::NotFound); // begun with another registry
        }
        let response = self
            .write(Method::GET, url.clone(), repository, HeaderMap::new(), Bytes::new())
            .await?;
        Ok(RemoteUpload {
            offset: received(response.headers()),
            min_chunk: min_chunk(response.headers()),
            url: location(&url, response.headers()).unwrap_or(url),
        })
    }

    /// Sends the next bytes.
    pub async fn append(&self, repository: &str, upload: &mut RemoteUpload, bytes: Bytes) -> Result<(), UpstreamError> {
        let length = bytes.len() as u64;
        if length == 0 {
            return Ok(());
        }
        let (first, last) = (upload.offset, upload.offset + length - 1);
        let range = HeaderValue::try_from(format!("{first}-{last}"));
        let range = range.map_err(|_| UpstreamError::invalid("a range that cannot be sent"))?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, OCTETS), (CONTENT_RANGE, range)]);
        let url = upload.url.clone();
        let response = self
            .write(Method::PATCH, url.clone(), repository, headers, bytes)
            .await?;
        upload.url = location(&url, response.headers()).unwrap_or(url);
        upload.offset += length;
        Ok(())
    }

    /// Sends the last bytes, and has the registry compare the digest.
    pub async fn finish_upload(
        &self,
        repository: &str,
        upload: &RemoteUpload,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(), UpstreamError> {
        let mut url = upload.url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, OCTETS)]);
        self.write(Method::PUT, url, repository, headers, bytes).await.map(drop)
    }

    /// Stores a manifest.
    pub async fn put_manifest(
        &self,
        repository: &str,
        reference: &Reference,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<TakenManifest, UpstreamError> {
        let url = self.url(&format!("{repository}/manifests/{reference}"))?;
        let content_type = HeaderValue::try_from(media_type.as_str());
        let content_type = content_type.map_err(|_| UpstreamError::invalid("a media type that cannot be sent"))?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        let response = self.write(Method::PUT, url, repository, headers, bytes).await?;
        let refused = response.headers().get(REFUSED_TAGS_HEADER);
        Ok(TakenManifest {
            refused_tags: refused.and_then(|tags| Some(tags.to_str().ok()?.chars().take(MAX_REFUSED_CHARS).collect())),
        })
    }

    /// Deletes a tag or an image; says whether it was there.
    pub async fn delete_manifest(&self, repository: &str, reference: &Reference) -> Result<bool, UpstreamError> {
        let url = self.url(&format!("{repository}/manifests/{reference}"))?;
        let ask = Ask {
            access: Access::PullDelete,
            ..Ask::read(Method::DELETE, url, repository)
        };
        exists(self.ask(ask).await)
    }

    /// Sends a request that writes, and a second time if a login was missing.
    async fn write(
        &self,
        method: Method,
        url: Url,
        repository: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, UpstreamError> {
        let ask = Ask {
            access: Access::PullPush,
            headers,
            body: (method != Method::HEAD && method != Method::GET).then_some(body),
            ..Ask::read(method, url, repository)
        };
        let known = self.tokens.known(repository, ask.access);
        let mut response = self.send_body(&ask, known.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = Challenge::of(response.headers())
        {
            let authorization = self.log_in(&ask, &challenge, known.as_ref()).await?;
            response = self.send_body(&ask, Some(&authorization)).await?;
        }
        match refusal(response.status(), response.headers()) {
            None => Ok(response),
            Some(error) => Err(error),
        }
    }

    /// Sends a request once, to where the registry said and nowhere else, in the time that its body may take.
    async fn send_body(&self, ask: &Ask<'_>, authorization: Option<&HeaderValue>) -> Result<Response, UpstreamError> {
        let mut headers = ask.headers.clone();
        // Some registries send uploads elsewhere: to a place with its own authorization in its URL.
        if ask.url.origin() == self.url("")?.origin() {
            headers.extend(self.headers.clone());
            if let Some(authorization) = authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
        }
        let length = ask.body.as_ref().map_or(0, Bytes::len) as u64;
        let request = self
            .outgoing
            .client(&ask.url)?
            .request(ask.method.clone(), ask.url.clone());
        let request = match &ask.body {
            Some(body) => request.headers(headers).body(body.clone()),
            None => request.headers(headers),
        };
        let most = HEAD_TIMEOUT + Duration::from_secs(length / MIN_BYTES_PER_SECOND);
        let response = timeout(most, request.send()).await;
        Ok(response.map_err(|_| UpstreamError::Timeout("no answer within the time for it"))??)
    }
}

fn exists(asked: Result<Response, UpstreamError>) -> Result<bool, UpstreamError> {
    match asked {
        Ok(_) => Ok(true),
        Err(UpstreamError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where an upload goes on.
fn location(url: &Url, headers: &HeaderMap) -> Result<Url, UpstreamError> {
    let said = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let next = said.and_then(|said| url.join(said).ok());
    let next = next.ok_or_else(|| UpstreamError::invalid("an upload without a place to go on"))?;
    if next.as_str().len() > MAX_LOCATION_BYTES {
        return Err(UpstreamError::invalid("an upload that goes on at too long a URL"));
    }
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(UpstreamError::invalid("an upload that goes on without TLS"));
    }
    Ok(next)
}

fn min_chunk(headers: &HeaderMap) -> u64 {
    let text = headers
        .get("oci-chunk-min-length")
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// `0-4` are five bytes. None and one look alike; nobody sends so small a chunk.
fn received(headers: &HeaderMap) -> u64 {
    let last = headers.get(RANGE).and_then(|range| {
        let text = range.to_str().ok()?;
        text.strip_prefix("bytes=")
            .unwrap_or(text)
            .split_once('-')?
            .1
            .parse::<u64>()
            .ok()
    });
    match last {
        None | Some(0) => 0,
        Some(last) => last.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_goes_on_where_the_registry_says() {
        let cases = [
            ("0-0", 0),
            ("0-4", 5),
            ("bytes=0-99", 100),
            ("x", 0),
            ("0-18446744073709551615", u64::MAX),
        ];
        for (text, wanted) in cases {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(text))]);
            assert_eq!(received(&headers), wanted, "{text}");
        }
        for (text, wanted) in [("5242880", 5_242_880), (" 1 ", 1), ("-1", 0), ("many", 0)] {
            let name = http::HeaderName::from_static("oci-chunk-min-length");
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(text))]);
            assert_eq!(min_chunk(&headers), wanted, "{text}");
        }
        let url = Url::parse("https://r.example.com/v2/a/blobs/uploads/").unwrap();
        let next = |text: &'static str| {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(text))]);
            location(&url, &headers).ok().map(String::from)
        };
        assert_eq!(
            next("/v2/a/blobs/uploads/1").as_deref(),
            Some("https://r.example.com/v2/a/blobs/uploads/1")
        );
        assert_eq!(
            next("https://s.example.com/1?x=y").as_deref(),
            Some("https://s.example.com/1?x=y")
        );
        assert_eq!(next("http://r.example.com/1"), None);
        assert!(location(&url, &HeaderMap::new()).is_err());
        // As much of it as may be stored.
        for (extra, is_taken) in [(MAX_LOCATION_BYTES - 26, true), (MAX_LOCATION_BYTES - 25, false)] {
            let text = format!("https://r.example.com/1?x={}", "x".repeat(extra));
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::try_from(text).unwrap())]);
            assert_eq!(location(&url, &headers).is_ok(), is_taken);
        }
    }
}
