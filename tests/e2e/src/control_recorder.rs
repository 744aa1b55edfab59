// SPDX-License-Identifier: Apache-2.0
//! A client of the REST API that notes in a [`Ledger`] what it asks for and what is acknowledged, as [`crate::Recorder`] does.

use std::sync::Arc;

use anyhow::{Error, Result, ensure};
use serde_json::{Value, json};

use crate::http::{self, Response};
use crate::ledger::{Effect, Ledger};
use crate::recorder::{Refused, blob, image, tag_of};
use crate::server::repository_path;
use crate::{Recorder, Server};

/// An image that was pushed, and what it needs.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// The repository.
    pub repository: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Its only tag.
    pub tag: String,
    /// Its blobs.
    pub blobs: Vec<String>,
}

impl Pushed {
    fn path(&self) -> String {
        format!("{}/deleted-images/{}", repository_path(&self.repository), self.digest)
    }

    /// It is there with its blobs.
    fn present(&self) -> Vec<Effect> {
        let blobs = self
            .blobs
            .iter()
            .map(|it| Effect::present(blob(&self.repository, it), it));
        let image = Effect::present(image(&self.repository, &self.digest), &self.digest);
        blobs.chain([image]).collect()
    }

    /// It is gone; its blobs may be collected.
    fn absent(&self) -> Vec<Effect> {
        let blobs = self
            .blobs
            .iter()
            .map(|it| Effect::either(blob(&self.repository, it), it));
        let image = Effect::absent(image(&self.repository, &self.digest));
        blobs.chain([image]).collect()
    }

    fn tagged(&self) -> Effect {
        Effect::present(tag_of(&self.repository, &self.tag), &self.digest)
    }

    fn untagged(&self) -> Effect {
        Effect::absent(tag_of(&self.repository, &self.tag))
    }

    /// Deletes it through the registry's own API.
    pub fn delete(&self, recorder: &Recorder) -> Result<()> {
        let blobs: Vec<&str> = self.blobs.iter().map(String::as_str).collect();
        recorder.delete_image(&self.repository, &self.digest, &[&self.tag], &blobs)
    }
}

/// Does things as the administrator and notes them.
#[derive(Clone, Debug)]
pub struct ControlRecorder {
    address: String,
    authorization: String,
    ledger: Arc<Ledger>,
}

impl ControlRecorder {
    /// Notes in `ledger` what is done at `server`.
    #[must_use]
    pub fn new(server: &Server, ledger: &Arc<Ledger>) -> Self {
        Self {
            address: server.credentials().control_address().to_owned(),
            authorization: server.credentials().basic(),
            ledger: Arc::clone(ledger),
        }
    }

    /// Asks without noting anything.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Response> {
        let headers = [
            ("Authorization", self.authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        let (headers, text) = if body.is_null() {
            (&headers[..1], String::new())
        } else {
            (&headers[..], body.to_string())
        };
        http::request(&self.address, method, path, headers, text.as_bytes())
    }

    fn perform(&self, effects: Vec<Effect>, method: &str, path: &str, body: &Value) -> Result<Response> {
        let operation = self.ledger.begin(effects);
        let response = self.ask(method, path, body)?;
        match response.status {
            200..300 => self.ledger.acknowledge(operation),
            400..500 => self.ledger.refuse(operation),
            _ => {}
        }
        if response.status >= 300 {
            return Err(Error::new(Refused {
                request: format!("{method} {path}"),
                response,
            }));
        }
        Ok(response)
    }

    /// Deletes several images of one repository at once.
    pub fn delete_images(&self, images: &[Pushed]) -> Result<()> {
        let effects = images
            .iter()
            .flat_map(|it| it.absent().into_iter().chain([it.untagged()]));
        let ids: Vec<Value> = images.iter().map(|it| json!({ "imageDigest": it.digest })).collect();
        let repository = images.first().map_or("", |it| it.repository.as_str());
        let path = format!("{}/image-deletions", repository_path(repository));
        let body = json!({ "imageIds": ids });
        let answer = self.perform(effects.collect(), "POST", &path, &body)?.json()?;
        ensure!(answer.get("failures") == Some(&json!([])), "{answer}");
        Ok(())
    }

    /// Restores a deleted image with its tag.
    pub fn restore(&self, image: &Pushed) -> Result<()> {
        let mut effects = image.present();
        effects.push(image.tagged());
        let path = format!("{}/restoration", image.path());
        self.perform(effects, "POST", &path, &json!({})).map(drop)
    }

    /// Takes away the possibility to restore a deleted image.
    pub fn purge(&self, image: &Pushed) -> Result<()> {
        self.perform(image.absent(), "DELETE", &image.path(), &Value::Null)
            .map(drop)
    }

    /// Points the tag of an image that is gone, or that the tag has left, to it again.
    pub fn roll_back(&self, image: &Pushed) -> Result<()> {
        let mut effects = image.present();
        effects.push(image.tagged());
        let path = format!("{}/tags/{}/rollback", repository_path(&image.repository), image.tag);
        self.perform(effects, "POST", &path, &json!({})).map(drop)
    }

    /// How many images of a repository can be restored, up to 1000.
    pub fn restorable(&self, repository: &str) -> Result<usize> {
        let path = format!("{}/deleted-images?maxResults=1000", repository_path(repository));
        let answer = self.ask("GET", &path, &Value::Null)?.expect(200)?.json()?;
        Ok(answer
            .get("deletedImages")
            .and_then(Value::as_array)
            .map_or(0, Vec::len))
    }
}
