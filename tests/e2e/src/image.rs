// SPDX-License-Identifier: Apache-2.0
//! Small real images: OCI image layouts made of a static program or of plain files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::client;
use crate::registry::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, digest};

/// A file of an image.
#[derive(Clone, Debug)]
pub struct ImageFile {
    /// Its path without leading slash.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its mode, such as `0o755`.
    pub mode: u32,
}

/// An image to be.
#[derive(Clone, Debug)]
pub struct ImageRecipe {
    /// Its files, one layer.
    pub files: Vec<ImageFile>,
    /// The command that runs.
    pub entrypoint: Vec<String>,
    /// `amd64`, `arm64`, …
    pub architecture: String,
}

impl ImageRecipe {
    /// An image that runs busybox and says `words`; `None` if no static busybox is installed.
    pub fn busybox(words: &str) -> Result<Option<Self>> {
        let Some(program) = static_busybox() else {
            return Ok(None);
        };
        let file = ImageFile {
            path: "bin/busybox".into(),
            bytes: std::fs::read(program)?,
            mode: 0o755,
        };
        let entrypoint = ["/bin/busybox", "echo", words].map(str::to_owned).to_vec();
        Ok(Some(Self {
            files: vec![file],
            entrypoint,
            architecture: architecture().to_owned(),
        }))
    }

    /// An image that holds one text file and cannot run.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let file = ImageFile {
            path: "README".into(),
            bytes: text.as_bytes().to_vec(),
            mode: 0o644,
        };
        Self {
            files: vec![file],
            entrypoint: vec!["/README".into()],
            architecture: architecture().to_owned(),
        }
    }

    /// Writes the image into an OCI image layout at `folder` under `tag`, beside what is there; answers its digest.
    pub fn write(&self, folder: &Path, tag: &str) -> Result<String> {
        let (descriptor, digest) = self.write_blobs(folder)?;
        add_to_index(folder, descriptor, tag)?;
        Ok(digest)
    }

    /// Writes several images and an index over them; answers the index's digest.
    pub fn write_index(images: &[Self], folder: &Path, tag: &str) -> Result<String> {
        let mut manifests = Vec::new();
        for image in images {
            let (mut descriptor, _) = image.write_blobs(folder)?;
            insert(
                &mut descriptor,
                "platform",
                json!({ "os": "linux", "architecture": image.architecture }),
            );
            manifests.push(descriptor);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests }).to_string();
        let (digest, size) = write_blob(folder, index.as_bytes())?;
        add_to_index(
            folder,
            json!({ "mediaType": OCI_INDEX, "digest": digest, "size": size }),
            tag,
        )?;
        Ok(digest)
    }

    fn write_blobs(&self, folder: &Path) -> Result<(Value, String)> {
        let layer = self.layer()?;
        let (layer_digest, layer_size) = write_blob(folder, &layer)?;
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint },
            "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
            // As engines write it: what changes no file is an entry without a layer.
            "history": [{ "created_by": "hythe tests" }, { "created_by": "ENTRYPOINT", "empty_layer": true }],
        })
        .to_string();
        let (config_digest, config_size) = write_blob(folder, config.as_bytes())?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": { "mediaType": OCI_CONFIG, "digest": config_digest, "size": config_size },
            "layers": [{ "mediaType": OCI_LAYER, "digest": layer_digest, "size": layer_size }],
        })
        .to_string();
        let (digest, size) = write_blob(folder, manifest.as_bytes())?;
        Ok((
            json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": size }),
            digest,
        ))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for file in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.bytes.len() as u64);
            header.set_mode(file.mode);
            header.set_cksum();
            archive.append_data(&mut header, &file.path, file.bytes.as_slice())?;
        }
        Ok(archive.into_inner()?)
    }
}

/// A busybox that needs no libraries.
#[must_use]
pub fn static_busybox() -> Option<PathBuf> {
    let path = client::path_of("busybox")?;
    let bytes = std::fs::read(&path).ok()?;
    // A dynamic program names its loader.
    let is_dynamic = bytes
        .windows(8)
        .any(|window| window == b"/ld-linu" || window == b"/ld-musl");
    (!is_dynamic).then_some(path)
}

/// This machine's architecture as images spell it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn write_blob(folder: &Path, bytes: &[u8]) -> Result<(String, usize)> {
    let digest = digest(bytes);
    let name = digest.strip_prefix("sha256:").context("not sha256")?;
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    std::fs::write(blobs.join(name), bytes)?;
    Ok((digest, bytes.len()))
}

fn add_to_index(folder: &Path, mut descriptor: Value, tag: &str) -> Result<()> {
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let path = folder.join("index.json");
    let mut index: Value = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(_) => json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }),
    };
    insert(
        &mut descriptor,
        "annotations",
        json!({ "org.opencontainers.image.ref.name": tag }),
    );
    let manifests = index
        .get_mut("manifests")
        .and_then(Value::as_array_mut)
        .context("not an index")?;
    manifests.push(descriptor);
    std::fs::write(path, index.to_string())?;
    Ok(())
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
