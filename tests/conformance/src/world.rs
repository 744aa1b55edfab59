// SPDX-License-Identifier: Apache-2.0
//! What a check has at hand: a repository of its own, somebody to ask as, and bytes that nobody else pushes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::content::{Algorithm, Content, OCI_CONFIG, OCI_LAYER, OCTETS, image};
use crate::observer::Observer;
use crate::target::{Login, RepositoryOptions, Target};
use crate::token::{Challenge, token};
use crate::wire::{Answer, Ask, Connection};

/// How many challenges a client follows for one request: the first asks for a token, the second for a wider one.
const MAX_CHALLENGES: usize = 2;

/// An image that is in the registry.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Content,
    pub(crate) config: Content,
    pub(crate) layer: Content,
}

/// The surroundings of one check.
#[derive(Debug)]
pub struct World<'a> {
    target: &'a Target,
    observer: &'a Observer,
    id: &'static str,
    serial: Cell<u64>,
    tokens: RefCell<HashMap<(String, &'static str), String>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(target: &'a Target, observer: &'a Observer, id: &'static str) -> Result<Self> {
        let world = Self {
            target,
            observer,
            id,
            serial: Cell::new(0),
            tokens: RefCell::default(),
        };
        world.create(&world.name(""), RepositoryOptions::default())?;
        Ok(world)
    }

    fn create(&self, name: &str, options: RepositoryOptions) -> Result<()> {
        (self.target.create_repository)(name, options)
    }

    fn name(&self, suffix: &str) -> String {
        format!("conformance/{}{suffix}", self.id)
    }

    /// The name of the repository.
    pub(crate) fn repository(&self) -> String {
        self.name("")
    }

    /// Makes a second repository; returns its name.
    pub(crate) fn another(&self, suffix: &str, options: RepositoryOptions) -> Result<String> {
        let name = self.name(&format!("-{suffix}"));
        self.create(&name, options)?;
        Ok(name)
    }

    /// A repository that does not exist.
    pub(crate) fn nowhere(&self) -> String {
        self.name("-nowhere")
    }

    /// A request within the repository.
    pub(crate) fn ask(&self, method: &'static str, rest: &str) -> Ask {
        Ask::new(method, format!("/v2/{}/{rest}", self.repository()))
    }

    /// The registry that is asked.
    pub(crate) fn target(&self) -> &Target {
        self.target
    }

    /// Asks as whom the mode says.
    pub(crate) fn send(&self, ask: &Ask) -> Result<Answer> {
        self.send_as(&self.target.credentials, "", ask)
    }

    /// Asks as the one who fills the registry.
    pub(crate) fn keep(&self, ask: &Ask) -> Result<Answer> {
        self.send_as(&self.target.keeper, "keeper", ask)
    }

    /// Asks without credentials.
    pub(crate) fn send_bare(&self, ask: &Ask) -> Result<Answer> {
        let mut ask = ask.clone();
        ask.headers.push(("Connection".to_owned(), "close".to_owned()));
        let answer = Connection::open(&self.target.address)?.talk(&ask)?;
        self.observer.look(&ask, &answer)?;
        Ok(answer)
    }

    fn send_as(&self, login: &Login, who: &'static str, ask: &Ask) -> Result<Answer> {
        match login {
            Login::Nobody => self.send_bare(ask),
            Login::Basic { user, password } => {
                self.send_bare(&ask.clone().header("Authorization", e2e::http::basic(user, password)))
            }
            Login::Bearer { user, password } => {
                // As clients do: one token for each repository and kind of work.
                let work = match ask.method {
                    "GET" | "HEAD" => "pull",
                    "DELETE" => "delete",
                    _ => "push",
                };
                let key = (format!("{who} {}", repository_of(&ask.target)), work);
                let known = self.tokens.borrow().get(&key).cloned();
                let mut answer = self.send_with(known.as_deref(), ask)?;
                for _ in 0..MAX_CHALLENGES {
                    if answer.status != 401 {
                        break;
                    }
                    let challenge = Challenge::read(&answer)?;
                    let token = token(&self.send_bare(&challenge.ask(user, password))?)?;
                    answer = self.send_with(Some(&token), ask)?;
                    self.tokens.borrow_mut().insert(key.clone(), token);
                }
                Ok(answer)
            }
        }
    }

    /// Asks with a token or without one.
    pub(crate) fn send_with(&self, token: Option<&str>, ask: &Ask) -> Result<Answer> {
        match token {
            Some(token) => self.send_bare(&ask.clone().header("Authorization", format!("Bearer {token}"))),
            None => self.send_bare(ask),
        }
    }

    /// What a request is sent with, for checks that write bytes themselves.
    pub(crate) fn authorized(&self, ask: &Ask) -> Result<Ask> {
        match &self.target.credentials {
            Login::Nobody => Ok(ask.clone()),
            Login::Basic { user, password } => {
                Ok(ask.clone().header("Authorization", e2e::http::basic(user, password)))
            }
            Login::Bearer { user, password } => {
                let bare = Ask {
                    body: Vec::new(),
                    ..ask.clone()
                };
                let answer = self.send_bare(&bare)?;
                if answer.status != 401 {
                    return Ok(bare); // malformed, whoever sends it
                }
                let token = token(&self.send_bare(&Challenge::read(&answer)?.ask(user, password))?)?;
                Ok(ask.clone().header("Authorization", format!("Bearer {token}")))
            }
        }
    }

    pub(crate) fn get(&self, rest: &str) -> Result<Answer> {
        self.send(&self.ask("GET", rest))
    }

    pub(crate) fn head(&self, rest: &str) -> Result<Answer> {
        self.send(&self.ask("HEAD", rest))
    }

    pub(crate) fn delete(&self, rest: &str) -> Result<Answer> {
        self.send(&self.ask("DELETE", rest))
    }

    /// Bytes that nobody else pushes.
    pub(crate) fn bytes(&self, length: usize) -> Vec<u8> {
        let serial = self.serial.get();
        self.serial.set(serial + 1);
        let hash = Sha256::digest(format!("{} {serial}", self.id));
        let mut state = hash.iter().take(8).fold(1, |state, byte| state << 8 | u64::from(*byte)) | 1;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .flatten()
        .take(length)
        .collect()
    }

    /// A blob that is not pushed yet.
    pub(crate) fn blob(&self, algorithm: Algorithm, length: usize) -> Content {
        Content::new(algorithm, OCTETS, self.bytes(length))
    }

    /// A configuration that is not pushed yet.
    pub(crate) fn config(&self, algorithm: Algorithm) -> Content {
        let config = json!({ "os": "linux", "architecture": "amd64", "author": Algorithm::Sha256.digest(&self.bytes(8)),
            "rootfs": { "type": "layers", "diff_ids": [] } });
        Content::new(algorithm, OCI_CONFIG, config.to_string().into_bytes())
    }

    /// A layer that is not pushed yet.
    pub(crate) fn layer(&self, algorithm: Algorithm) -> Content {
        Content::new(algorithm, OCI_LAYER, self.bytes(512))
    }

    /// Puts a blob into a repository, as the keeper; checks nothing but that it worked.
    pub(crate) fn keep_blob_in(&self, repository: &str, blob: &Content) -> Result<()> {
        let begun = Ask::new("POST", format!("/v2/{repository}/blobs/uploads/"));
        let location = self.keep(&begun)?.expect(202)?.location()?;
        let put = Ask::new("PUT", location).query("digest", &blob.digest);
        self.keep(&put.body(blob.bytes.clone()))?.expect(201)?;
        Ok(())
    }

    /// Puts blobs into the repository, as the keeper.
    pub(crate) fn keep_blobs(&self, blobs: &[&Content]) -> Result<()> {
        blobs
            .iter()
            .try_for_each(|blob| self.keep_blob_in(&self.repository(), blob))
    }

    /// Puts a new blob into the repository, as the keeper.
    pub(crate) fn keep_blob(&self, algorithm: Algorithm, length: usize) -> Result<Content> {
        let blob = self.blob(algorithm, length);
        self.keep_blobs(&[&blob])?;
        Ok(blob)
    }

    /// The request that puts a manifest under a tag or digest.
    pub(crate) fn put(&self, reference: &str, manifest: &Content) -> Ask {
        self.ask("PUT", &format!("manifests/{reference}"))
            .header("Content-Type", manifest.media_type.clone())
            .body(manifest.bytes.clone())
    }

    /// Puts a manifest under a tag or digest, as the keeper.
    pub(crate) fn keep_manifest(&self, reference: &str, manifest: &Content) -> Result<()> {
        self.keep(&self.put(reference, manifest))?.expect(201)?;
        Ok(())
    }

    /// Puts the blobs of a new image into the repository, as the keeper; its manifest is not pushed yet.
    pub(crate) fn prepare_image(&self, algorithm: Algorithm, more: &Value) -> Result<Image> {
        let (config, layer) = (self.config(algorithm), self.layer(algorithm));
        self.keep_blobs(&[&config, &layer])?;
        let manifest = Content::manifest(algorithm, &image(&config, std::slice::from_ref(&layer), more));
        Ok(Image {
            manifest,
            config,
            layer,
        })
    }

    /// Puts a new image into the repository under a tag, as the keeper.
    pub(crate) fn keep_image(&self, tag: &str) -> Result<Image> {
        let image = self.prepare_image(Algorithm::Sha256, &Value::Null)?;
        self.keep_manifest(tag, &image.manifest)?;
        Ok(image)
    }

    /// Begins an upload; returns where to send its bytes.
    pub(crate) fn begin(&self, query: &str) -> Result<String> {
        self.send(&self.ask("POST", &format!("blobs/uploads/{query}")))?
            .expect(202)?
            .location()
    }

    /// Insists that a blob can be read, as it is.
    pub(crate) fn expect_blob(&self, blob: &Content) -> Result<()> {
        let answer = self.get(&format!("blobs/{}", blob.digest))?.expect(200)?;
        answer.with_body(&blob.bytes)?;
        Ok(())
    }

    /// Insists that a manifest can be read under a reference, as it is.
    pub(crate) fn expect_manifest(&self, reference: &str, manifest: &Content) -> Result<()> {
        let answer = self.get(&format!("manifests/{reference}"))?.expect(200)?;
        answer
            .with_body(&manifest.bytes)?
            .with("content-type", &manifest.media_type)?
            .with("docker-content-digest", &manifest.digest)?;
        Ok(())
    }

    /// Insists that something is not there, by GET and by HEAD.
    pub(crate) fn expect_absent(&self, rest: &str) -> Result<()> {
        self.get(rest)?.expect(404)?;
        self.head(rest)?.expect(404)?;
        Ok(())
    }
}

/// The repository in a path; empty if there is none.
fn repository_of(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    let Some(rest) = path.strip_prefix("/v2/") else {
        return "";
    };
    let markers = ["/blobs/", "/manifests/", "/tags/", "/referrers/"];
    let end = markers.iter().filter_map(|marker| rest.rfind(marker)).min();
    end.and_then(|end| rest.get(..end)).unwrap_or_default()
}

/// Does something once for each algorithm, and says for which it failed.
pub(crate) fn for_each_algorithm(mut body: impl FnMut(Algorithm) -> Result<()>) -> Result<()> {
    for algorithm in Algorithm::ALL {
        if let Err(error) = body(algorithm) {
            bail!("{}: {error:#}", algorithm.name());
        }
    }
    Ok(())
}
