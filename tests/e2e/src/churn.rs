// SPDX-License-Identifier: Apache-2.0
//! Clients that push, move, mount and delete until they are told to stop, and note everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;

use crate::recorder::Way;
use crate::registry::{config_of, digest};
use crate::{Ledger, Recorder, RegistryClient};

/// The repositories that the clients work in. They must be there.
pub const REPOSITORIES: [&str; 2] = ["churn/web", "churn/other"];

/// Sizes of layers, in bytes, taken in turn: rows, files, and now and then a large file.
const LAYER_BYTES: [usize; 7] = [100, 70_000, 3_000, 200_000, 100, 90_000, 2_500_000];

/// What the clients share.
#[derive(Debug, Default)]
pub struct Churn {
    /// Makes every client stop after what it is doing.
    pub stop: AtomicBool,
    /// Whole images that were pushed.
    pub images: AtomicUsize,
}

impl Churn {
    /// Works as client number `client`, in its own tags, until it is told to stop or something fails.
    pub fn work(&self, registry: &RegistryClient, ledger: &Arc<Ledger>, client: usize, life: usize) -> Result<()> {
        let recorder = Recorder::new(registry.clone(), ledger);
        let [web, other] = REPOSITORIES;
        let mut round = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let name = |round: usize| format!("t{life}-{client}-{round}");
            let bytes = LAYER_BYTES.get(round % LAYER_BYTES.len()).copied().unwrap_or_default();
            let layer = noise(&name(round), bytes);
            let way = match round % 3 {
                0 => Way::Session,
                1 => Way::Single,
                _ => Way::Chunks(3),
            };
            let tag = name(round);
            let pushed = recorder.push_image(web, &tag, &layer, way)?;
            self.images.fetch_add(1, Ordering::SeqCst);
            let blobs = [digest(config_of(&layer).as_bytes()), digest(&layer)];
            let blobs = blobs.each_ref().map(String::as_str);
            match round % 6 {
                1 => recorder.mount(other, web, &digest(&layer))?,
                2 => {
                    // The same image under a tag that moves on with every round.
                    let image = registry.manifest(web, &pushed)?.expect(200)?;
                    let kind = image.header("content-type").unwrap_or_default().to_owned();
                    recorder.put_manifest(web, &format!("moving-{client}"), &kind, &image.body)?;
                }
                3 => recorder.delete_tag(web, &tag, &pushed, &blobs)?,
                4 => recorder.delete_image(web, &pushed, &[&tag], &blobs)?,
                5 => {
                    let upload = recorder.begin_upload(web)?;
                    let upload = recorder.append(&upload, 0, &layer)?;
                    recorder.cancel(&upload)?;
                }
                _ => {}
            }
            round += 1;
        }
        Ok(())
    }
}

/// Bytes that do not compress and that no other seed makes.
#[must_use]
pub fn noise(seed: &str, bytes: usize) -> Vec<u8> {
    // FNV-1a over the seed and the process, then xorshift64*: distinct, not secret.
    let salted = format!("{seed}/{}", std::process::id());
    let mut state = salted
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
        .max(1);
    let mut made = Vec::with_capacity(bytes + 8);
    while made.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        made.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    made.truncate(bytes);
    made
}
