// SPDX-License-Identifier: Apache-2.0
//! The suite that every [`BlobStore`] passes: `all`, or case by case. A case panics if the store fails it.
//!
//! Contents are new in each run, so that a store may keep them from one run to the next. It needs a tokio
//! runtime with time.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "support for tests: panicking is how a case fails"
)]

use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hythe_model::{Algorithm, Digest, StorageClass, UploadId};

use crate::{AppendError, Appended, BlobStore, ByteStream, CommitError, Hasher, Progress, delete_blob};

use Algorithm::{Sha256, Sha512};

const MAX_CHUNK_BYTES: usize = 256 * 1024;
const MIB: usize = 1024 * 1024;
const NO_LIMIT: u64 = u64::MAX;

/// Runs every case.
pub async fn all(store: &dyn BlobStore) {
    a_blob_reads_back_as_written(store).await;
    absent_blobs_are_none(store).await;
    ranges_are_cut_at_the_end(store).await;
    uploads_resume_from_a_serialised_state(store).await;
    bytes_behind_the_progress_are_overwritten(store).await;
    a_commit_takes_only_what_counts(store).await;
    a_progress_that_was_overwritten_is_not_believed(store).await;
    a_digest_mismatch_leaves_the_upload_usable(store).await;
    a_commit_may_name_another_algorithm(store).await;
    unknown_uploads_are_refused(store).await;
    abandoned_uploads_are_gone(store).await;
    deleted_blobs_are_gone(store).await;
    placed_blobs_are_found_wherever_they_are(store).await;
    two_uploads_of_one_content_both_commit(store).await;
    an_upload_has_one_writer(store).await;
    what_is_being_written_can_be_read(store).await;
    a_dropped_append_gives_the_upload_free(store).await;
    large_bodies_arrive_whole(store).await;
    broken_bodies_keep_what_arrived(store).await;
    bodies_above_the_limit_are_refused(store).await;
    stale_uploads_are_those_that_nobody_touches(store).await;
    store.check().await.expect("a healthy store says so");
}

/// A blob that is moved, once or again, there or back, reads as before; it can be pushed again and deleted.
pub async fn placed_blobs_are_found_wherever_they_are(store: &dyn BlobStore) {
    let content = content(MIB + 5);
    let digest = push(store, Sha256, &content).await;
    for class in [
        StorageClass::Archive,
        StorageClass::Archive,
        StorageClass::Standard,
        StorageClass::Archive,
    ] {
        let placed = store.place(&digest, class).await.unwrap();
        assert_eq!(placed, Some(content.len() as u64), "{class}");
        assert_eq!(store.size(&digest).await.unwrap(), Some(content.len() as u64));
        assert_eq!(read(store, &digest, 0..u64::MAX).await.as_ref(), Some(&content));
    }
    assert_eq!(push(store, Sha256, &content).await, digest);
    delete_blob(store, &digest).await.unwrap();
    assert_eq!(store.size(&digest).await.unwrap(), None);
    for class in [StorageClass::Archive, StorageClass::Standard] {
        assert_eq!(store.place(&digest, class).await.unwrap(), None);
    }
}

/// Who reads behind a writer gets what is written, in order and nothing else, and is told when nobody writes.
pub async fn what_is_being_written_can_be_read(store: &dyn BlobStore) {
    let content = content(5 * MIB + 77);
    let upload = UploadId::generate();
    assert_eq!(store.read_pending(upload, 0).await.unwrap(), None);
    let (sender, receiver) = futures::channel::mpsc::channel::<io::Result<Bytes>>(0);
    let writing = store.append(upload, start(Sha256), Box::pin(receiver), NO_LIMIT);
    let reading = async {
        let mut sender = sender;
        let mut seen = Vec::new();
        for part in content.chunks(MIB / 2) {
            let part = Ok(Bytes::copy_from_slice(part));
            futures::SinkExt::send(&mut sender, part).await.unwrap();
            while let Some(bytes) = store.read_pending(upload, seen.len() as u64).await.unwrap() {
                assert!(bytes.len() <= crate::MAX_PENDING_BYTES);
                seen.extend_from_slice(&bytes);
                if bytes.is_empty() {
                    break;
                }
            }
            assert!(content.starts_with(&seen), "{} bytes", seen.len());
        }
        // At most what waits to be written is missing.
        assert!(seen.len() >= 3 * MIB, "{} bytes", seen.len());
    };
    let (appended, ()) = futures::join!(writing, reading);
    assert!(appended.failure.is_none(), "{appended:?}");
    assert_eq!(store.read_pending(upload, 0).await.unwrap(), None);
    store.abandon(upload).await.unwrap();
}

/// What was committed can be read, of any size and with either algorithm.
pub async fn a_blob_reads_back_as_written(store: &dyn BlobStore) {
    for algorithm in [Sha256, Sha512] {
        for length in [0, 1, 4095, 65537, MAX_CHUNK_BYTES, 3 * MAX_CHUNK_BYTES + 7] {
            let content = content(length);
            let digest = push(store, algorithm, &content).await;
            assert_eq!(store.size(&digest).await.unwrap(), Some(length as u64));
            assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content), "{length} bytes");
        }
    }
}

/// A blob that nobody pushed has no size and no bytes, and deleting it is no error.
pub async fn absent_blobs_are_none(store: &dyn BlobStore) {
    let digest = digest_of(Sha256, &content(10));
    assert_eq!(store.size(&digest).await.unwrap(), None);
    assert_eq!(read(store, &digest, 0..10).await, None);
    delete_blob(store, &digest).await.unwrap();
}

/// Any range gives the bytes of the blob that are in it.
pub async fn ranges_are_cut_at_the_end(store: &dyn BlobStore) {
    let content = content(MIB + 11);
    let digest = push(store, Sha256, &content).await;
    let length = content.len();
    let cases = [
        (0, 0),
        (0, 1),
        (length - 1, length),
        (5, 5),
        (4095, 4097),
        (MAX_CHUNK_BYTES - 1, 2 * MAX_CHUNK_BYTES + 1),
        (length - 3, length + 100),
        (length, length + 1),
        (length + 50, length + 60),
        (7, 3),
    ];
    for (start, end) in cases {
        let want = content.get(start..end.min(length)).unwrap_or_default();
        let got = read(store, &digest, start as u64..end as u64).await.unwrap();
        assert!(
            got == want,
            "{start}..{end} gave {} bytes instead of {}",
            got.len(),
            want.len()
        );
    }
}

/// An upload goes on from a progress that was written down in between, request by request.
pub async fn uploads_resume_from_a_serialised_state(store: &dyn BlobStore) {
    let content = content(300_000);
    let digest = digest_of(Sha512, &content);
    let upload = UploadId::generate();
    let mut progress = start(Sha512);
    for part in content.chunks(70_001) {
        let hasher = Hasher::from_state(&progress.hasher.to_state()).unwrap();
        progress = append(
            store,
            upload,
            Progress {
                bytes: progress.bytes,
                hasher,
            },
            part,
        )
        .await;
    }
    assert_eq!(progress.bytes, 300_000);
    assert_eq!(store.commit(upload, progress, &digest).await.unwrap(), 300_000);
    assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
}

/// Bytes that a broken request left behind the progress do not count.
pub async fn bytes_behind_the_progress_are_overwritten(store: &dyn BlobStore) {
    let content = content(10_000);
    let upload = UploadId::generate();
    let kept = append(store, upload, start(Sha256), &content[..6000]).await;
    append(store, upload, kept.clone(), &[0xee; 9000]).await;
    let progress = append(store, upload, kept, &content[6000..]).await;
    let digest = digest_of(Sha256, &content);
    assert_eq!(store.commit(upload, progress, &digest).await.unwrap(), 10_000);
    assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
}

/// A commit publishes the bytes of its progress, without what lies behind.
pub async fn a_commit_takes_only_what_counts(store: &dyn BlobStore) {
    let content = content(10_000);
    let upload = UploadId::generate();
    let kept = append(store, upload, start(Sha256), &content).await;
    append(store, upload, kept.clone(), &[0xee; 9000]).await;
    let digest = digest_of(Sha256, &content);
    assert_eq!(store.commit(upload, kept, &digest).await.unwrap(), 10_000);
    assert_eq!(store.size(&digest).await.unwrap(), Some(10_000));
    assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
}

/// Two requests start from the same progress; the store keeps the bytes of the later one. The hash of the
/// earlier one must not publish them.
pub async fn a_progress_that_was_overwritten_is_not_believed(store: &dyn BlobStore) {
    let (first, second) = (content(70_000), content(80_000));
    let upload = UploadId::generate();
    let overwritten = append(store, upload, start(Sha256), &first).await;
    append(store, upload, start(Sha256), &second).await;
    let digest = digest_of(Sha256, &first);
    let error = store.commit(upload, overwritten, &digest).await.unwrap_err();
    assert!(matches!(error, CommitError::DigestMismatch { .. }), "{error:?}");
    assert_eq!(store.size(&digest).await.unwrap(), None);
}

/// A wrong digest is refused with the right one, and the upload can still be committed.
pub async fn a_digest_mismatch_leaves_the_upload_usable(store: &dyn BlobStore) {
    let content = content(100_000);
    let (right, wrong) = (digest_of(Sha256, &content), digest_of(Sha256, b"something else"));
    let upload = UploadId::generate();
    let progress = append(store, upload, start(Sha256), &content).await;
    match store.commit(upload, progress.clone(), &wrong).await {
        Err(CommitError::DigestMismatch { expected, actual }) => assert_eq!((expected, actual), (wrong, right)),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.size(&wrong).await.unwrap(), None);
    store.commit(upload, progress, &right).await.unwrap();
    assert_eq!(read(store, &right, 0..u64::MAX).await, Some(content));
}

/// A client may only say at the end which algorithm it uses.
pub async fn a_commit_may_name_another_algorithm(store: &dyn BlobStore) {
    for (hashed, named) in [(Sha256, Sha512), (Sha512, Sha256)] {
        let content = content(2 * MIB + 5);
        let upload = UploadId::generate();
        let progress = append(store, upload, start(hashed), &content).await;
        let wrong = digest_of(named, b"something else");
        let error = store.commit(upload, progress.clone(), &wrong).await.unwrap_err();
        assert!(matches!(error, CommitError::DigestMismatch { .. }), "{error:?}");
        let digest = digest_of(named, &content);
        assert_eq!(
            store.commit(upload, progress, &digest).await.unwrap(),
            content.len() as u64
        );
        assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
    }
}

/// An upload without bytes, or with fewer than its progress says, is not published.
pub async fn unknown_uploads_are_refused(store: &dyn BlobStore) {
    let content = content(1000);
    let digest = digest_of(Sha256, &content);
    let mut progress = start(Sha256);
    progress.hasher.update(&content);
    progress.bytes = 1000;
    let commit = store.commit(UploadId::generate(), progress.clone(), &digest).await;
    assert!(matches!(commit, Err(CommitError::UploadUnknown)), "{commit:?}");

    let upload = UploadId::generate();
    append(store, upload, start(Sha256), &content[..500]).await;
    let commit = store.commit(upload, progress.clone(), &digest).await;
    assert!(matches!(commit, Err(CommitError::UploadUnknown)), "{commit:?}");

    // Going on behind bytes that are not there is refused, and does not invent them.
    let appended = store
        .append(UploadId::generate(), progress, body(&[b"more"]), NO_LIMIT)
        .await;
    assert!(
        matches!(appended.failure, Some(AppendError::UploadUnknown)),
        "{appended:?}"
    );
    assert_eq!(store.size(&digest).await.unwrap(), None);
}

/// An abandoned upload cannot be committed; abandoning twice is no error.
pub async fn abandoned_uploads_are_gone(store: &dyn BlobStore) {
    let content = content(1000);
    let upload = UploadId::generate();
    let progress = append(store, upload, start(Sha256), &content).await;
    store.abandon(upload).await.unwrap();
    store.abandon(upload).await.unwrap();
    let digest = digest_of(Sha256, &content);
    let commit = store.commit(upload, progress, &digest).await;
    assert!(matches!(commit, Err(CommitError::UploadUnknown)), "{commit:?}");
    assert_eq!(store.size(&digest).await.unwrap(), None);
}

/// A deleted blob is gone, also for those who have just read it, and can be pushed again.
pub async fn deleted_blobs_are_gone(store: &dyn BlobStore) {
    let content = content(100_000);
    let digest = push(store, Sha256, &content).await;
    assert!(read(store, &digest, 0..u64::MAX).await.is_some());
    delete_blob(store, &digest).await.unwrap();
    delete_blob(store, &digest).await.unwrap();
    assert_eq!(store.size(&digest).await.unwrap(), None);
    assert_eq!(read(store, &digest, 0..u64::MAX).await, None);
    assert_eq!(push(store, Sha256, &content).await, digest);
    assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
}

/// The same content may come twice, also at the same time; both pushes succeed.
pub async fn two_uploads_of_one_content_both_commit(store: &dyn BlobStore) {
    let content = content(200_000);
    let digest = digest_of(Sha256, &content);
    let (one, two, three) = (UploadId::generate(), UploadId::generate(), UploadId::generate());
    let mut progress = Vec::new();
    for upload in [one, two, three] {
        progress.push(append(store, upload, start(Sha256), &content).await);
    }
    assert_eq!(store.commit(one, progress[0].clone(), &digest).await.unwrap(), 200_000);
    let (second, third) = futures::join!(
        store.commit(two, progress[1].clone(), &digest),
        store.commit(three, progress[2].clone(), &digest)
    );
    assert_eq!((second.unwrap(), third.unwrap()), (200_000, 200_000));
    assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
    for (upload, progress) in [one, two, three].into_iter().zip(progress) {
        // Whoever did not come to know that it is done may ask again, as long as the blob is there.
        let again = store.commit(upload, progress.clone(), &digest).await;
        assert_eq!(again.unwrap(), 200_000);
        let other = store.commit(upload, progress, &digest_of(Sha256, b"other")).await;
        assert!(matches!(other, Err(CommitError::UploadUnknown)), "{other:?}");
    }

    let (one, two) = futures::join!(push(store, Sha512, b"the same"), push(store, Sha512, b"the same"));
    assert_eq!(one, two);
}

/// While a request writes to an upload, no other may write or publish it.
pub async fn an_upload_has_one_writer(store: &dyn BlobStore) {
    let content = content(3 * MIB);
    let upload = UploadId::generate();
    let (sender, receiver) = futures::channel::mpsc::channel::<io::Result<Bytes>>(0);
    let writing = store.append(upload, start(Sha256), Box::pin(receiver), NO_LIMIT);
    let disturbing = async {
        let mut sender = sender;
        let (head, tail) = content.split_at(2 * MIB);
        // A channel without room: when the second chunk is taken, the writer has the first.
        for part in head.chunks(MIB) {
            futures::SinkExt::send(&mut sender, Ok(Bytes::copy_from_slice(part)))
                .await
                .unwrap();
        }
        let other = store.append(upload, start(Sha256), body(&[b"other"]), NO_LIMIT).await;
        assert!(matches!(other.failure, Some(AppendError::Busy)), "{other:?}");
        assert_eq!(other.progress.bytes, 0);
        let commit = store.commit(upload, start(Sha256), &digest_of(Sha256, b"")).await;
        assert!(matches!(commit, Err(CommitError::Busy)), "{commit:?}");
        futures::SinkExt::send(&mut sender, Ok(Bytes::copy_from_slice(tail)))
            .await
            .unwrap();
    };
    let (appended, ()) = futures::join!(writing, disturbing);
    let progress = finished(appended);
    let digest = digest_of(Sha256, &content);
    assert_eq!(
        store.commit(upload, progress, &digest).await.unwrap(),
        content.len() as u64
    );
    assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
}

/// When the request is dropped, the upload can be written again soon, from where it was.
pub async fn a_dropped_append_gives_the_upload_free(store: &dyn BlobStore) {
    for length in [1000, 5 * MIB] {
        let content = content(length);
        let upload = UploadId::generate();
        let garbage = futures::stream::iter([Ok(Bytes::from(vec![0xee; length]))]);
        let stalled = Box::pin(garbage.chain(futures::stream::pending()));
        let dropped = tokio::time::timeout(
            Duration::from_millis(50),
            store.append(upload, start(Sha256), stalled, NO_LIMIT),
        );
        assert!(dropped.await.is_err(), "the body never ends");
        let mut attempts = 0;
        let progress = loop {
            let appended = store.append(upload, start(Sha256), body(&[&content]), NO_LIMIT).await;
            if !matches!(appended.failure, Some(AppendError::Busy)) {
                break finished(appended);
            }
            attempts += 1;
            assert!(attempts < 1000, "the upload is still claimed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let digest = digest_of(Sha256, &content);
        assert_eq!(store.commit(upload, progress, &digest).await.unwrap(), length as u64);
        assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
    }
}

/// Large bodies, in chunks of very different sizes.
pub async fn large_bodies_arrive_whole(store: &dyn BlobStore) {
    let content = content(40 * MIB + 13);
    let digest = digest_of(Sha256, &content);
    let mut rest = Bytes::from(content.clone());
    let mut chunks = Vec::new();
    for length in [1, 16 * 1024, 0, 400_000, 3 * MIB, 9 * MIB].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunks.push(Ok(rest.split_to(length.min(rest.len()))));
    }
    let upload = UploadId::generate();
    let body = Box::pin(futures::stream::iter(chunks));
    let progress = finished(store.append(upload, start(Sha256), body, NO_LIMIT).await);
    assert_eq!(
        store.commit(upload, progress, &digest).await.unwrap(),
        content.len() as u64
    );
    let got = read(store, &digest, 0..u64::MAX).await.unwrap();
    assert!(got == content, "the bytes differ");
}

/// A body that breaks off keeps what arrived, and the upload goes on behind that.
pub async fn broken_bodies_keep_what_arrived(store: &dyn BlobStore) {
    for length in [1000, 4 * MIB] {
        let content = content(length);
        let (head, tail) = content.split_at(length - 100);
        let upload = UploadId::generate();
        let mut chunks: Vec<_> = head
            .chunks(100_000)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        chunks.push(Err(io::ErrorKind::ConnectionReset.into()));
        let appended = store
            .append(upload, start(Sha256), Box::pin(futures::stream::iter(chunks)), NO_LIMIT)
            .await;
        assert!(matches!(appended.failure, Some(AppendError::Body(_))), "{appended:?}");
        assert_eq!(appended.progress.bytes, head.len() as u64);
        let progress = append(store, upload, appended.progress, tail).await;
        let digest = digest_of(Sha256, &content);
        assert_eq!(store.commit(upload, progress, &digest).await.unwrap(), length as u64);
        assert_eq!(read(store, &digest, 0..u64::MAX).await, Some(content));
    }
}

/// `max_bytes` counts the whole upload, and is itself allowed.
pub async fn bodies_above_the_limit_are_refused(store: &dyn BlobStore) {
    let upload = UploadId::generate();
    let progress = append(store, upload, start(Sha256), &[1; 600]).await;
    let appended = store
        .append(upload, progress.clone(), body(&[&[2; 300], &[3; 101]]), 1000)
        .await;
    assert!(
        matches!(appended.failure, Some(AppendError::TooLarge(1000))),
        "{appended:?}"
    );
    assert!((600..=1000).contains(&appended.progress.bytes));
    let appended = store
        .append(upload, progress, body(&[&[2; 300], &[3; 100]]), 1000)
        .await;
    assert_eq!(finished(appended).bytes, 1000);
}

/// Uploads that nobody touches are listed, those under way and those that are over are not.
pub async fn stale_uploads_are_those_that_nobody_touches(store: &dyn BlobStore) {
    let stale = async |seconds| {
        let untouched_for = Duration::from_secs(seconds);
        store.stale_uploads(untouched_for, usize::MAX).await.unwrap()
    };
    let content = content(100_000);
    let (left, ended) = (UploadId::generate(), UploadId::generate());
    for upload in [left, ended] {
        append(store, upload, start(Sha256), &content[..70_000]).await;
        assert!(stale(0).await.contains(&upload));
        assert!(!stale(3600).await.contains(&upload));
    }
    assert_eq!(store.stale_uploads(Duration::ZERO, 1).await.unwrap().len(), 1);
    assert_eq!(store.stale_uploads(Duration::ZERO, 0).await.unwrap(), []);

    let (sender, receiver) = futures::channel::mpsc::channel::<io::Result<Bytes>>(0);
    let writing = store.append(left, start(Sha256), Box::pin(receiver), NO_LIMIT);
    let watching = async {
        let mut sender = sender;
        for part in content.chunks(50_000) {
            // A channel without room: when the second part is taken, the writer has begun.
            futures::SinkExt::send(&mut sender, Ok(Bytes::copy_from_slice(part)))
                .await
                .unwrap();
        }
        assert!(!stale(0).await.contains(&left), "a request is writing to it");
    };
    let (appended, ()) = futures::join!(writing, watching);
    let progress = finished(appended);
    assert!(stale(0).await.contains(&left));
    store
        .commit(left, progress, &digest_of(Sha256, &content))
        .await
        .unwrap();
    store.abandon(ended).await.unwrap();
    let found = stale(0).await;
    assert!(!found.contains(&left) && !found.contains(&ended));
}

fn start(algorithm: Algorithm) -> Progress {
    Progress {
        bytes: 0,
        hasher: Hasher::new(algorithm),
    }
}

fn body(chunks: &[&[u8]]) -> ByteStream {
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Box::pin(futures::stream::iter(chunks))
}

async fn append(store: &dyn BlobStore, upload: UploadId, from: Progress, bytes: &[u8]) -> Progress {
    finished(store.append(upload, from, body(&[bytes]), NO_LIMIT).await)
}

fn finished(appended: Appended) -> Progress {
    assert!(appended.failure.is_none(), "{:?}", appended.failure);
    appended.progress
}

async fn push(store: &dyn BlobStore, algorithm: Algorithm, content: &[u8]) -> Digest {
    let upload = UploadId::generate();
    let progress = append(store, upload, start(algorithm), content).await;
    let digest = digest_of(algorithm, content);
    assert_eq!(progress.hasher.finish(), digest);
    assert_eq!(
        store.commit(upload, progress, &digest).await.unwrap(),
        content.len() as u64
    );
    digest
}

async fn read(store: &dyn BlobStore, blob: &Digest, bytes: Range<u64>) -> Option<Vec<u8>> {
    let stream = store.read(blob, bytes).await.unwrap()?;
    let add = |mut all: Vec<u8>, chunk: Bytes| async move {
        assert!(
            (1..=MAX_CHUNK_BYTES).contains(&chunk.len()),
            "a chunk of {} bytes",
            chunk.len()
        );
        all.extend_from_slice(&chunk);
        Ok(all)
    };
    Some(stream.try_fold(Vec::new(), add).await.unwrap())
}

fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes that nobody has seen before.
fn content(length: usize) -> Vec<u8> {
    let seed = digest_of(Sha256, UploadId::generate().to_string().as_bytes());
    let mut state = u64::from_le_bytes(*seed.hash().first_chunk().unwrap()) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64: fast, and no page is like another.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
