// SPDX-License-Identifier: Apache-2.0
//! What it costs to store a blob durably, beside what its SHA-256 alone costs: CPU seconds per GB of this process.
//!
//! `cargo run --release -p hythe-blobs --example push_cost -- FOLDER [MIB] [ROUNDS]`
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a tool for the terminal; figures of a few digits"
)]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hythe_blobs::{BlobStore, FsBlobStore, Hasher, Progress, delete_blob};
use hythe_model::{Algorithm, UploadId};

/// As a connection delivers them.
const FRAME_BYTES: usize = 256 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("the folder is missing")?).join("push-cost");
    let mib: usize = arguments.next().map_or(Ok(256), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let store = FsBlobStore::open(&folder)?;
    let mut frame: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(FRAME_BYTES).collect();
    let frames = (mib << 20) / FRAME_BYTES;
    for round in 0..rounds {
        // Distinct in each round.
        for (place, byte) in frame.iter_mut().zip(UploadId::generate().to_string().bytes()) {
            *place = byte;
        }
        let shared = Bytes::from(frame.clone());
        let before = (Instant::now(), cpu());
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for _ in 0..frames {
            hasher.update(&shared);
        }
        let digest = hasher.finish();
        report(round, "SHA-256 alone", before, mib);

        let before = (Instant::now(), cpu());
        let body = Box::pin(futures::stream::iter((0..frames).map(move |_| Ok(shared.clone()))));
        let (upload, hasher) = (UploadId::generate(), Hasher::new(Algorithm::Sha256));
        let appended = store
            .append(upload, Progress { bytes: 0, hasher }, body, u64::MAX)
            .await;
        if let Some(failure) = appended.failure {
            return Err(failure.into());
        }
        store.commit(upload, appended.progress, &digest).await?;
        report(round, "append and commit", before, mib);
        delete_blob(&store, &digest).await?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// CPU time of all threads of this process, in user space and in the kernel.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // 100 a second on every Linux that matters.
    Duration::from_millis(ticks * 10)
}

fn report(round: usize, what: &str, (started, cpu_before): (Instant, Duration), mib: usize) {
    let gigabytes = (mib << 20) as f64 / 1e9;
    let (took, spent) = (started.elapsed(), cpu().saturating_sub(cpu_before));
    println!(
        "round {round}: {what}: {:.0} MB/s, {:.2} CPU s/GB",
        gigabytes * 1000.0 / took.as_secs_f64(),
        spent.as_secs_f64() / gigabytes
    );
}
