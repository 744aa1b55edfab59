// SPDX-License-Identifier: Apache-2.0
//! A plain client of the OCI distribution API, for what no real client can be made to do.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::http::{self, Connection, Response};
use crate::server::Server;

/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of the blob `{}`.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an uncompressed OCI layer.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Talks to a registry as somebody.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    address: String,
    authorization: Option<String>,
}

impl RegistryClient {
    /// As the administrator of a server.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        Self::with(server.registry(), Some(server.credentials().basic()))
    }

    /// With an `Authorization` value of its own, or none.
    #[must_use]
    pub fn with(address: &str, authorization: Option<String>) -> Self {
        Self {
            address: address.to_owned(),
            authorization,
        }
    }

    /// The registry as `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The headers of every request, with `more` behind them.
    #[must_use]
    pub fn headers<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self.authorization.as_deref().map(|value| ("Authorization", value));
        own.into_iter().chain(more.iter().copied()).collect()
    }

    /// Sends one request.
    pub fn call(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        http::request(&self.address, method, target, &self.headers(headers), body)
    }

    /// Opens a connection for several requests.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address)
    }

    /// Begins an upload and answers the path to send its bytes to.
    pub fn begin_upload(&self, repository: &str) -> Result<String> {
        let response = self
            .call("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], &[])?
            .expect(202)?;
        location(&response)
    }

    /// Uploads a blob in one piece and answers its digest.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let upload = self.begin_upload(repository)?;
        let headers = [("Content-Type", "application/octet-stream")];
        self.call("PUT", &with_query(&upload, "digest", &digest), &headers, bytes)?
            .expect(201)?;
        Ok(digest)
    }

    /// Puts a manifest under a tag or digest.
    pub fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, bytes: &[u8]) -> Result<Response> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        self.call("PUT", &target, &[("Content-Type", media_type)], bytes)
    }

    /// Gets a manifest of any kind.
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Response> {
        let accept = format!("{OCI_MANIFEST}, {OCI_INDEX}, application/vnd.docker.distribution.manifest.v2+json");
        self.call(
            "GET",
            &format!("/v2/{repository}/manifests/{reference}"),
            &[("Accept", &accept)],
            &[],
        )
    }

    /// Pushes a small image that differs from every other by `content`; answers its digest.
    pub fn push_image(&self, repository: &str, tag: &str, content: &[u8]) -> Result<String> {
        let config = self.push_blob(repository, config_of(content).as_bytes())?;
        let layer = self.push_blob(repository, content)?;
        let bytes = manifest(&config, config_of(content).len(), &layer, content.len());
        self.put_manifest(repository, tag, OCI_MANIFEST, &bytes)?.expect(201)?;
        Ok(digest(&bytes))
    }

    /// Pushes an artifact that refers to an image by its descriptor; answers its digest.
    pub fn push_artifact(&self, repository: &str, subject: &Value, kind: &str, text: &str) -> Result<String> {
        self.push_blob(repository, b"{}")?;
        let bytes = artifact(subject, kind, text);
        let name = digest(&bytes);
        self.put_manifest(repository, &name, OCI_MANIFEST, &bytes)?
            .expect(201)?;
        Ok(name)
    }

    /// Pulls an image: manifest, configuration and layers, each checked against its digest. Answers the bytes of all.
    pub fn pull_image(&self, repository: &str, reference: &str) -> Result<u64> {
        let response = self.manifest(repository, reference)?.expect(200)?;
        let manifest = response.json()?;
        let mut total = 0;
        let config = manifest.get("config").into_iter();
        for blob in config.chain(manifest.get("layers").and_then(Value::as_array).into_iter().flatten()) {
            let wanted = blob
                .get("digest")
                .and_then(Value::as_str)
                .context("a descriptor without digest")?;
            let got = self
                .call("GET", &format!("/v2/{repository}/blobs/{wanted}"), &[], &[])?
                .expect(200)?;
            ensure!(digest(&got.body) == wanted, "blob {wanted} came back as other bytes");
            total += got.body.len() as u64;
        }
        Ok(total)
    }
}

/// The path and query of a `Location`, whether it is absolute or not.
pub fn location(response: &Response) -> Result<String> {
    let location = response.header("location").context("no Location")?;
    Ok(match location.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned(),
        None => location.to_owned(),
    })
}

/// Adds a query parameter.
#[must_use]
pub fn with_query(target: &str, name: &str, value: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{name}={}", http::percent_encode(value))
}

/// The sha256 digest of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    digest_text(&Sha256::digest(bytes))
}

/// Whether a digest of any algorithm is that of some bytes.
#[must_use]
pub fn is_digest_of(wanted: &str, bytes: &[u8]) -> bool {
    if wanted.starts_with("sha512:") {
        return wanted.strip_prefix("sha512:") == Some(hex(&sha2::Sha512::digest(bytes)).as_str());
    }
    digest(bytes) == wanted
}

/// The text of a sha256 digest.
#[must_use]
pub fn digest_text(hash: &[u8]) -> String {
    format!("sha256:{}", hex(hash))
}

/// Bytes in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A minimal image configuration for one layer.
#[must_use]
pub fn config_of(layer: &[u8]) -> String {
    let rootfs = json!({ "type": "layers", "diff_ids": [digest(layer)] });
    json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs }).to_string()
}

/// An artifact that refers to an image, as bytes of its manifest; its one blob is `{}`.
#[must_use]
pub fn artifact(subject: &Value, kind: &str, text: &str) -> Vec<u8> {
    let empty = json!({ "mediaType": OCI_EMPTY, "digest": digest(b"{}"), "size": 2 });
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": empty,
        "layers": [empty],
        "subject": subject,
        "annotations": { "text": text },
    })
    .to_string()
    .into_bytes()
}

/// The descriptor of an OCI manifest.
#[must_use]
pub fn descriptor_of(bytes: &[u8]) -> Value {
    json!({ "mediaType": OCI_MANIFEST, "digest": digest(bytes), "size": bytes.len() })
}

/// An OCI manifest with one layer.
#[must_use]
pub fn manifest(config: &str, config_bytes: usize, layer: &str, layer_bytes: usize) -> Vec<u8> {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": config, "size": config_bytes },
        "layers": [{ "mediaType": OCI_LAYER, "digest": layer, "size": layer_bytes }],
    })
    .to_string()
    .into_bytes()
}
