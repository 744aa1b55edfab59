// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use hythe_model::Algorithm;
use tempfile::TempDir;

use super::*;
use crate::faults::{EIO, Fault, Faults, FaultyBlobStore};
use crate::{FsBlobStore, conformance};

#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl DamageListener for Count {
    fn damaged(&self, _blob: &Digest) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Bench {
    store: VerifyingBlobStore,
    count: Arc<Count>,
    faults: Arc<Faults>,
    folder: TempDir,
}

const WINDOW: Duration = Duration::from_mins(1);
const HEADER_BYTES: u64 = 4096;

impl Bench {
    fn new() -> Self {
        Self::with(WINDOW)
    }

    fn with(window: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (count, faults) = (Arc::new(Count::default()), Arc::new(Faults::default()));
        let files = Arc::new(FsBlobStore::open(folder.path()).unwrap());
        let inner = Arc::new(FaultyBlobStore::new(files, Arc::clone(&faults)));
        Self {
            store: VerifyingBlobStore::new(inner, window, Arc::clone(&count) as _),
            count,
            faults,
            folder,
        }
    }

    fn found(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }

    fn path(&self, blob: &Digest) -> PathBuf {
        let hex = blob.hex();
        self.folder.path().join("blobs/sha256").join(&hex[..2]).join(&hex)
    }

    /// Flips one bit of the content.
    fn rot(&self, blob: &Digest, at: u64) {
        let file = OpenOptions::new().read(true).write(true).open(self.path(blob)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, HEADER_BYTES + at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], HEADER_BYTES + at).unwrap();
    }

    async fn push(&self, content: &[u8]) -> Digest {
        let (upload, progress) = self.upload(content).await;
        let digest = progress.hasher.finish();
        self.store.commit(upload, progress, &digest).await.unwrap();
        digest
    }

    async fn upload(&self, content: &[u8]) -> (UploadId, Progress) {
        let upload = UploadId::generate();
        let start = Progress {
            bytes: 0,
            hasher: Hasher::new(Algorithm::Sha256),
        };
        let bytes = Bytes::copy_from_slice(content);
        let body = Box::pin(futures::stream::once(async { Ok(bytes) }));
        let appended = self.store.append(upload, start, body, u64::MAX).await;
        (upload, appended.progress)
    }

    /// What a client gets, and whether that is all that it was promised.
    async fn read(&self, blob: &Digest, bytes: Range<u64>) -> (Vec<u8>, Result<(), io::ErrorKind>) {
        let mut all = Vec::new();
        let mut stream = match self.store.read(blob, bytes).await {
            Ok(stream) => stream.unwrap(),
            Err(error) => return (all, Err(error.0.kind())),
        };
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => all.extend_from_slice(&chunk),
                Err(error) => return (all, Err(error.kind())),
            }
        }
        (all, Ok(()))
    }
}

fn content(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

const DAMAGED: Result<(), io::ErrorKind> = Err(io::ErrorKind::InvalidData);

#[tokio::test]
async fn it_conforms() {
    let bench = Bench::new();
    conformance::all(&bench.store).await;
    assert_eq!(bench.found(), 0);
}

#[tokio::test]
async fn a_damaged_blob_is_never_served_whole_and_is_refused_afterwards() {
    for (length, at) in [(70_000, 0), (70_000, 69_999), (1_000_000, 10), (1_000_000, 999_999)] {
        let bench = Bench::new();
        let content = content(length);
        let blob = bench.push(&content).await;
        let size = content.len() as u64;
        assert_eq!(bench.read(&blob, 0..size).await, (content.clone(), Ok(())));
        bench.rot(&blob, at);
        let (served, end) = bench.read(&blob, 0..size).await;
        assert_eq!(end, DAMAGED, "{length} {at}");
        assert!(served.len() < content.len());
        assert_eq!(bench.found(), 1);
        assert!(bench.store.is_damaged(&blob));
        // At once, and without another report.
        for range in [0..size, 5..10] {
            assert_eq!(bench.read(&blob, range).await, (Vec::new(), DAMAGED));
        }
        assert!(bench.store.size(&blob).await.is_err());
        assert_eq!(bench.found(), 1);
    }
}

#[tokio::test]
async fn parts_of_a_damaged_blob_are_not_served_either() {
    let bench = Bench::new();
    let content = content(600_000);
    let blob = bench.push(&content).await;
    bench.rot(&blob, 599_000);
    assert_eq!(bench.read(&blob, 0..10).await, (Vec::new(), DAMAGED));
    assert_eq!(bench.found(), 1);
}

#[tokio::test]
async fn parts_are_checked_again_when_the_time_is_over() {
    for window in [WINDOW, Duration::ZERO] {
        let bench = Bench::with(window);
        let content = content(600_000);
        let blob = bench.push(&content).await;
        assert_eq!(bench.read(&blob, 5..10).await, (content[5..10].to_vec(), Ok(())));
        bench.rot(&blob, 599_000);
        // Within the time nobody looks at the rest.
        let want = if window.is_zero() {
            (Vec::new(), DAMAGED)
        } else {
            (content[7..10].to_vec(), Ok(()))
        };
        assert_eq!(bench.read(&blob, 7..10).await, want);
    }
}

#[tokio::test]
async fn a_push_repairs_a_damaged_blob_and_a_wrong_one_does_not() {
    let bench = Bench::new();
    let content = content(300_000);
    let blob = bench.push(&content).await;
    // Who reads the old file to its end does not blame the new one.
    let mut slow = bench.store.read(&blob, 0..300_000).await.unwrap().unwrap();
    assert!(slow.next().await.unwrap().is_ok());
    bench.rot(&blob, 100);
    assert_eq!(bench.read(&blob, 0..300_000).await.1, DAMAGED);

    let mut wrong = Hasher::new(Algorithm::Sha256);
    wrong.update(b"something else");
    let progress = Progress {
        bytes: 14,
        hasher: wrong,
    };
    assert!(bench.store.commit(UploadId::generate(), progress, &blob).await.is_err());
    assert!(bench.store.is_damaged(&blob) && bench.path(&blob).exists());

    assert_eq!(bench.push(&content).await, blob);
    assert!(!bench.store.is_damaged(&blob));
    while slow.next().await.is_some() {}
    assert_eq!(bench.read(&blob, 0..300_000).await, (content, Ok(())));
    assert_eq!(bench.found(), 1);
}

#[tokio::test]
async fn a_repair_that_fails_takes_nothing_away_and_the_next_one_mends() {
    let bench = Bench::new();
    let content = content(300_000);
    let blob = bench.push(&content).await;
    bench.rot(&blob, 100);
    assert_eq!(bench.read(&blob, 0..300_000).await.1, DAMAGED);
    for fault in [Fault::Commit, Fault::CommitDone] {
        let (upload, progress) = bench.upload(&content).await;
        bench.faults.plan(fault, 0, EIO);
        assert!(bench.store.commit(upload, progress, &blob).await.is_err());
        assert!(bench.path(&blob).exists(), "{fault:?}");
    }
    assert_eq!(bench.push(&content).await, blob);
    assert_eq!(bench.read(&blob, 0..300_000).await, (content, Ok(())));
}

#[tokio::test]
async fn a_disk_that_fails_is_not_taken_for_damage() {
    let bench = Bench::new();
    let content = content(600_000);
    let blob = bench.push(&content).await;
    for (fault, range) in [
        (Fault::Read, 0..600_000),
        (Fault::ReadMidway, 0..600_000),
        (Fault::ReadMidway, 3..9),
        (Fault::Size, 0..600_000),
    ] {
        bench.faults.plan(fault, 0, EIO);
        let (served, end) = bench.read(&blob, range).await;
        assert!(end.is_err() && served.len() < content.len(), "{fault:?}");
        assert!(!bench.store.is_damaged(&blob));
        assert_eq!(bench.read(&blob, 0..600_000).await, (content.clone(), Ok(())));
    }
    assert_eq!(bench.found(), 0);
}

#[tokio::test]
async fn a_file_that_is_no_blob_any_more_is_damage() {
    let bench = Bench::new();
    let blob = bench.push(&content(300_000)).await;
    OpenOptions::new()
        .write(true)
        .open(bench.path(&blob))
        .unwrap()
        .set_len(100)
        .unwrap();
    assert_eq!(bench.read(&blob, 0..300_000).await, (Vec::new(), DAMAGED));
    assert_eq!((bench.found(), bench.store.is_damaged(&blob)), (1, true));
}

#[test]
fn bytes_of_the_metadata_store_are_checked() {
    let bench = Bench::new();
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(b"small");
    let blob = hasher.finish();
    bench.store.check_bytes(&blob, b"small").unwrap();
    assert_eq!(bench.found(), 0);
    let error = bench.store.check_bytes(&blob, b"smell").unwrap_err();
    assert_eq!(error.0.kind(), io::ErrorKind::InvalidData);
    assert_eq!(bench.found(), 1);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut recent = Recent::default();
    let blobs: Vec<_> = (0..5_u8)
        .map(|n| Digest::new(Algorithm::Sha256, &[n; 32]).unwrap())
        .collect();
    for blob in &blobs {
        assert!(recent.put(*blob, (), 3));
        assert!(!recent.put(*blob, (), 3));
    }
    recent.remove(&blobs[3]);
    assert_eq!((recent.entries.len(), recent.order.len()), (2, 2));
    assert!(recent.entries.contains_key(&blobs[4]) && !recent.entries.contains_key(&blobs[1]));
}

#[tokio::test]
async fn what_is_known_to_be_damaged_is_not_called_present_until_a_push_mends_it() {
    let bench = Bench::new();
    let content = vec![3; 700_000];
    let blob = bench.push(&content).await;
    assert!(bench.store.is_sound(&blob, None).await.unwrap());
    bench.rot(&blob, 500_000);
    // Nobody has read it since.
    assert!(bench.store.is_sound(&blob, None).await.unwrap());
    let mut stream = bench.store.read(&blob, 0..u64::MAX).await.unwrap().unwrap();
    while let Ok(Some(_)) = stream.try_next().await {}
    assert!(!bench.store.is_sound(&blob, None).await.unwrap());
    bench.push(&content).await;
    assert!(bench.store.is_sound(&blob, None).await.unwrap());

    std::fs::remove_file(bench.path(&blob)).unwrap();
    let again = VerifyingBlobStore::new(
        Arc::new(FsBlobStore::open(bench.folder.path()).unwrap()),
        WINDOW,
        Arc::new(()),
    );
    assert!(!again.is_sound(&blob, None).await.unwrap(), "the file is gone");

    let small = Bytes::from_static(b"a small blob");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&small);
    let digest = hasher.finish();
    assert!(bench.store.is_sound(&digest, Some(&small)).await.unwrap());
    assert!(!bench.store.is_sound(&digest, Some(&small.slice(1..))).await.unwrap());
}
