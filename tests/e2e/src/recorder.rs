// SPDX-License-Identifier: Apache-2.0
//! A client that notes in a [`Ledger`] what it asks for and what is acknowledged.

use std::fmt;
use std::sync::Arc;

use anyhow::{Error, Result};

use crate::RegistryClient;
use crate::http::Response;
use crate::ledger::{Effect, Key, Ledger};
use crate::registry::{OCI_MANIFEST, config_of, digest, location, manifest, with_query};

const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One POST.
    Single,
    /// A POST for a session, and a PUT with all bytes.
    Session,
    /// A POST, so many times PATCH, and a PUT without bytes.
    Chunks(usize),
}

/// An answer other than 2xx.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Method and path.
    pub request: String,
    /// The answer.
    pub response: Response,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, response } = self;
        write!(formatter, "{request}: {} {}", response.status, response.text())
    }
}

impl std::error::Error for Refused {}

/// Does things and notes them.
#[derive(Clone, Debug)]
pub struct Recorder {
    client: RegistryClient,
    ledger: Arc<Ledger>,
}

impl Recorder {
    /// Notes in `ledger` what `client` does.
    #[must_use]
    pub fn new(client: RegistryClient, ledger: &Arc<Ledger>) -> Self {
        let ledger = Arc::clone(ledger);
        Self { client, ledger }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &RegistryClient {
        &self.client
    }

    /// Sends one request. Without an answer, or with 5xx, the effects stay open.
    fn perform(
        &self,
        effects: Vec<Effect>,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let operation = self.ledger.begin(effects);
        let response = self.client.call(method, target, headers, body)?;
        match response.status {
            200..300 => self.ledger.acknowledge(operation),
            400..500 => self.ledger.refuse(operation),
            _ => {}
        }
        if response.status >= 300 {
            return Err(Error::new(Refused {
                request: format!("{method} {target}"),
                response,
            }));
        }
        Ok(response)
    }

    /// Uploads a blob; answers its digest.
    pub fn push_blob(&self, repository: &str, bytes: &[u8], way: Way) -> Result<String> {
        let digest = digest(bytes);
        self.push_blob_as(repository, bytes, &digest, way)?;
        Ok(digest)
    }

    /// Uploads a blob under a digest of any algorithm.
    pub fn push_blob_as(&self, repository: &str, bytes: &[u8], digest: &str, way: Way) -> Result<()> {
        let stored = Effect::present(blob(repository, digest), digest);
        if way == Way::Single {
            let target = with_query(&format!("/v2/{repository}/blobs/uploads/"), "digest", digest);
            self.perform(vec![stored], "POST", &target, &[OCTETS], bytes)?;
            return Ok(());
        }
        let mut target = self.begin_upload(repository)?;
        let mut rest = bytes;
        if let Way::Chunks(count) = way {
            for chunk in bytes.chunks(bytes.len().div_ceil(count.max(1)).max(1)) {
                target = self.append(&target, bytes.len() - rest.len(), chunk)?;
                rest = rest.get(chunk.len()..).unwrap_or_default();
            }
        }
        let ended = Effect::absent(upload(&target));
        let target = with_query(&target, "digest", digest);
        self.perform(vec![stored, ended], "PUT", &target, &[OCTETS], rest)?;
        Ok(())
    }

    /// Begins an upload; answers the path for its bytes.
    pub fn begin_upload(&self, repository: &str) -> Result<String> {
        // What it is called only its answer says, so that nothing is expected of it before.
        let response = self.perform(
            Vec::new(),
            "POST",
            &format!("/v2/{repository}/blobs/uploads/"),
            &[],
            &[],
        )?;
        let target = location(&response)?;
        let begun = self.ledger.begin(vec![Effect::present(upload(&target), "0")]);
        self.ledger.acknowledge(begun);
        Ok(target)
    }

    /// Sends bytes to an upload that has `offset` of them; answers the path for the next ones.
    pub fn append(&self, target: &str, offset: usize, chunk: &[u8]) -> Result<String> {
        let end = offset + chunk.len();
        let range = format!("{offset}-{}", end.saturating_sub(1));
        let grown = Effect::present(upload(target), end.to_string());
        let response = self.perform(
            vec![grown],
            "PATCH",
            target,
            &[OCTETS, ("Content-Range", &range)],
            chunk,
        )?;
        location(&response)
    }

    /// Gives an upload up.
    pub fn cancel(&self, target: &str) -> Result<()> {
        self.perform(vec![Effect::absent(upload(target))], "DELETE", target, &[], &[])?;
        Ok(())
    }

    /// Notes that from now on an upload may expire.
    pub fn may_expire(&self, target: &str) {
        let expired = self.ledger.begin(vec![Effect::either(upload(target), "0")]);
        self.ledger.acknowledge(expired);
    }

    /// Notes that from now on an image may be deleted by the registry itself.
    pub fn may_go(&self, repository: &str, digest: &str) {
        let gone = self
            .ledger
            .begin(vec![Effect::either(image(repository, digest), digest)]);
        self.ledger.acknowledge(gone);
    }

    /// Puts a manifest under a tag; answers its digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let effects = vec![
            Effect::present(image(repository, &digest), digest.as_str()),
            Effect::present(tag_of(repository, tag), digest.as_str()),
        ];
        let target = format!("/v2/{repository}/manifests/{tag}");
        self.perform(effects, "PUT", &target, &[("Content-Type", media_type)], bytes)?;
        Ok(digest)
    }

    /// Puts a manifest under its digest only.
    pub fn put_untagged(&self, repository: &str, media_type: &str, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let effects = vec![Effect::present(image(repository, &digest), digest.as_str())];
        let target = format!("/v2/{repository}/manifests/{digest}");
        self.perform(effects, "PUT", &target, &[("Content-Type", media_type)], bytes)?;
        Ok(digest)
    }

    /// Pushes an image of one layer; answers its digest.
    pub fn push_image(&self, repository: &str, tag: &str, layer: &[u8], way: Way) -> Result<String> {
        let config = config_of(layer);
        let config_digest = self.push_blob(repository, config.as_bytes(), Way::Session)?;
        let layer_digest = self.push_blob(repository, layer, way)?;
        let bytes = manifest(&config_digest, config.len(), &layer_digest, layer.len());
        self.put_manifest(repository, tag, OCI_MANIFEST, &bytes)
    }

    /// Mounts a blob from another repository.
    pub fn mount(&self, to: &str, from: &str, digest: &str) -> Result<()> {
        let target = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
        let operation = self.ledger.begin(vec![Effect::present(blob(to, digest), digest)]);
        let response = self.client.call("POST", &target, &[], &[])?;
        match response.status {
            201 => self.ledger.acknowledge(operation),
            // An upload was begun instead.
            202 | 400..500 => self.ledger.refuse(operation),
            _ => {}
        }
        let request = format!("POST {target}");
        if response.status == 201 {
            return Ok(());
        }
        Err(Error::new(Refused { request, response }))
    }

    /// Deletes a tag. Its image may go with it, if it was the last tag, and then its blobs.
    pub fn delete_tag(&self, repository: &str, tag: &str, digest: &str, blobs: &[&str]) -> Result<()> {
        let target = format!("/v2/{repository}/manifests/{tag}");
        let mut effects = vec![
            Effect::absent(tag_of(repository, tag)),
            Effect::either(image(repository, digest), digest),
        ];
        effects.extend(blobs.iter().map(|it| Effect::either(blob(repository, it), *it)));
        self.perform(effects, "DELETE", &target, &[], &[])?;
        Ok(())
    }

    /// Deletes an image that no other refers to. Its tags go with it; its blobs may stay or be collected.
    pub fn delete_image(&self, repository: &str, digest: &str, tags: &[&str], blobs: &[&str]) -> Result<()> {
        let mut effects = vec![Effect::absent(image(repository, digest))];
        effects.extend(tags.iter().map(|tag| Effect::absent(tag_of(repository, tag))));
        effects.extend(blobs.iter().map(|it| Effect::either(blob(repository, it), *it)));
        self.perform(
            effects,
            "DELETE",
            &format!("/v2/{repository}/manifests/{digest}"),
            &[],
            &[],
        )?;
        Ok(())
    }

    /// Deletes a blob that no image needs.
    pub fn delete_blob(&self, repository: &str, digest: &str) -> Result<()> {
        let effects = vec![Effect::absent(blob(repository, digest))];
        self.perform(effects, "DELETE", &format!("/v2/{repository}/blobs/{digest}"), &[], &[])?;
        Ok(())
    }
}

pub(crate) fn blob(repository: &str, digest: &str) -> Key {
    let (repository, digest) = (repository.to_owned(), digest.to_owned());
    Key::Blob { repository, digest }
}

pub(crate) fn image(repository: &str, digest: &str) -> Key {
    let (repository, digest) = (repository.to_owned(), digest.to_owned());
    Key::Image { repository, digest }
}

pub(crate) fn tag_of(repository: &str, name: &str) -> Key {
    let (repository, name) = (repository.to_owned(), name.to_owned());
    Key::Tag { repository, name }
}

fn upload(target: &str) -> Key {
    let target = target.split('?').next().unwrap_or(target).to_owned();
    Key::Upload { target }
}
