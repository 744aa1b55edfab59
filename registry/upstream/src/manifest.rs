// SPDX-License-Identifier: Apache-2.0
//! Manifests of another registry.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hythe_model::{Algorithm, Digest, MAX_MANIFEST_BYTES, MediaType, Reference};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};

use crate::UpstreamError;
use crate::remote::{Ask, Remote, read_all};

/// The digest of what is answered.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The forms that are asked for: those that a registry keeps as they are.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.docker.distribution.manifest.v2+json";

/// What another registry says of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHead {
    /// Its digest, if the registry says it.
    pub digest: Option<Digest>,
    /// Its media type, if the registry says one.
    pub media_type: Option<MediaType>,
    /// Its size in bytes, if the registry says it.
    pub size: Option<u64>,
}

/// A manifest of another registry. Its bytes have its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its bytes.
    pub bytes: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<MediaType>,
}

impl Remote {
    /// What the registry says of a manifest, without the manifest.
    pub async fn head_manifest(&self, repository: &str, reference: &Reference) -> Result<RemoteHead, UpstreamError> {
        let response = self
            .ask(self.manifest_ask(Method::HEAD, repository, reference)?)
            .await?;
        let headers = response.headers();
        let size = headers
            .get(CONTENT_LENGTH)
            .and_then(|size| size.to_str().ok()?.parse().ok());
        let digest = said_digest(headers)?;
        if let (Reference::Digest(wanted), Some(said)) = (reference, &digest)
            && wanted != said
        {
            return Err(UpstreamError::invalid("a manifest with another digest"));
        }
        Ok(RemoteHead {
            digest,
            media_type: said_type(headers),
            size,
        })
    }

    /// A manifest, compared with its digest.
    pub async fn manifest(&self, repository: &str, reference: &Reference) -> Result<RemoteManifest, UpstreamError> {
        let response = self.ask(self.manifest_ask(Method::GET, repository, reference)?).await?;
        let said = said_digest(response.headers())?;
        let media_type = said_type(response.headers());
        let bytes = read_all(response, MAX_MANIFEST_BYTES, "a manifest").await?;
        let wanted = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => said,
        };
        let algorithm = wanted.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let digest = digest_of(algorithm, &bytes)?;
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(UpstreamError::invalid("a manifest whose bytes do not have its digest"));
        }
        // Registries that are files behind a web server say nothing, or nothing of use.
        let is_vague = |media_type: &MediaType| {
            let text = media_type.as_str();
            text == MediaType::JSON || text == MediaType::OCTET_STREAM || text.starts_with("text/plain")
        };
        let media_type = media_type.filter(|media_type| !is_vague(media_type)).or_else(|| {
            let typed: Option<Typed> = serde_json::from_slice(&bytes).ok();
            typed.and_then(|typed| typed.media_type)
        });
        let media_type = media_type.ok_or_else(|| UpstreamError::invalid("a manifest without a media type"))?;
        if media_type.as_str().starts_with("text/") {
            return Err(UpstreamError::invalid(format!("`{media_type}` instead of a manifest")));
        }
        Ok(RemoteManifest {
            digest,
            media_type,
            bytes,
        })
    }

    pub(crate) fn manifest_ask<'a>(
        &self,
        method: Method,
        repository: &'a str,
        reference: &Reference,
    ) -> Result<Ask<'a>, UpstreamError> {
        let url = self.url(&format!("{repository}/manifests/{reference}"))?;
        Ok(Ask::read(method, url, repository).with(ACCEPT, HeaderValue::from_static(ACCEPTED)))
    }
}

/// `Docker-Content-Digest`. One that is there and is none is a sign that nothing else can be relied on.
fn said_digest(headers: &HeaderMap) -> Result<Option<Digest>, UpstreamError> {
    let Some(value) = headers.get(DOCKER_CONTENT_DIGEST) else {
        return Ok(None);
    };
    let digest = value.to_str().ok().and_then(|text| text.parse().ok());
    digest
        .map(Some)
        .ok_or_else(|| UpstreamError::invalid("a digest that is none"))
}

/// `Content-Type` without parameters.
fn said_type(headers: &HeaderMap) -> Option<MediaType> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    text.split(';').next()?.trim().parse().ok()
}

fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Result<Digest, UpstreamError> {
    let digest = match algorithm {
        Algorithm::Sha256 => Digest::new(algorithm, &Sha256::digest(bytes)),
        Algorithm::Sha512 => Digest::new(algorithm, &Sha512::digest(bytes)),
    };
    digest.ok_or_else(|| UpstreamError::invalid("a digest that is none"))
}
