// SPDX-License-Identifier: Apache-2.0
//! The same content for every server, checked once: what comes back is what was sent.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{BLOB_SIZES, Content, Plan};
use crate::figures::Section;
use crate::load::body::Body;
use crate::load::connection::Connection;
use crate::load::push;
use crate::subject::{CATALOG_REPOSITORIES, REPOSITORY, Subject, catalog_repository};
use crate::work::image::{self, How, Size};

/// What a server holds before anything is measured.
#[derive(Debug, Default)]
pub struct Seeded {
    /// Sizes and digests of single blobs.
    pub blobs: Vec<(usize, String)>,
    /// Digest and length of the manifest behind the tag [`TAG`].
    pub manifest: Option<(String, usize)>,
}

/// The tag of the manifest that is read over and over.
pub const TAG: &str = "latest";

impl Seeded {
    /// Fills a server.
    pub fn fill(subject: &Subject, content: &Content, plan: &Plan) -> Result<Self> {
        let mut seeded = Self::default();
        let mut connection = Connection::open(&subject.endpoint)?;
        for (bodies, (bytes, name)) in content.blobs.iter().zip(BLOB_SIZES) {
            // The memory group needs the largest only.
            let is_needed = plan.wants(Section::Get) || plan.wants(Section::Memory) && name == "256 MiB";
            if !is_needed {
                continue;
            }
            let body = bodies.make();
            match subject.files() {
                Some(folder) => write_file(folder, &body)?,
                None => push::blob(&mut connection, REPOSITORY, &body)?,
            }
            let target = format!("/v2/{REPOSITORY}/blobs/{}", body.digest);
            let (got, size) = connection.digest_of(&target, "")?;
            ensure!(got == body.digest && size == bytes as u64, "{name} came back as {got}");
            seeded.blobs.push((bytes, body.digest));
        }
        if !subject.kind.is_registry() {
            return Ok(seeded);
        }
        if plan.wants(Section::Manifest) {
            let layer = content.layers.of(Size::Small)?.make();
            let pushed = image::push(&mut connection, REPOSITORY, TAG, &layer, How::Monolith)?;
            image::pull(&mut connection, REPOSITORY, TAG)?;
            seeded.manifest = Some((pushed.digest, pushed.manifest.len()));
        }
        if plan.wants(Section::Images) {
            for size in Size::ALL {
                for number in 0..size.seeded() {
                    let layer = content.layers.of(size)?.make();
                    image::push(&mut connection, REPOSITORY, &size.tag(number), &layer, How::Monolith)?;
                }
            }
            for number in 0..CATALOG_REPOSITORIES {
                let name = catalog_repository(number);
                // A repository of the others exists once something was pushed to it.
                if let Some(server) = subject.server() {
                    server.create_repository(&name)?;
                } else {
                    push::monolith(&mut connection, &name, &content.layers.of(Size::Small)?.make())?;
                }
            }
        }
        Ok(seeded)
    }
}

fn write_file(folder: &Path, body: &Body<'_>) -> Result<()> {
    let folder = folder.join(format!("v2/{REPOSITORY}/blobs"));
    std::fs::create_dir_all(&folder)?;
    let mut file = std::fs::File::create(folder.join(&body.digest))?;
    for part in body.parts() {
        file.write_all(part)?;
    }
    Ok(file.sync_all()?)
}
