// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::TryStreamExt;
use hythe_model::Algorithm;
use tempfile::TempDir;

use super::header::{HEADER_BYTES, Header};
use super::*;
use crate::faults::{EIO, Fault, Faults};
use crate::{Hasher, conformance, delete_blob};

/// The system's disk, with a diary, and with one call that fails.
#[derive(Debug, Default)]
struct WatchedDisk {
    root: PathBuf,
    diary: Mutex<Vec<String>>,
    fails_at: Mutex<Option<(usize, io::ErrorKind)>>,
    before: Mutex<Option<Interruption>>,
}

/// What happens once, just before the first call that its text begins with.
struct Interruption {
    call: &'static str,
    happens: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Interruption {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.call)
    }
}

impl WatchedDisk {
    fn note(&self, what: &str, path: &Path) -> io::Result<()> {
        let now = self
            .before
            .lock()
            .unwrap()
            .take_if(|planned| what.starts_with(planned.call));
        if let Some(interruption) = now {
            (interruption.happens)();
        }
        let mut diary = self.diary.lock().unwrap();
        let name = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        let shown: Vec<_> = name
            .split('/')
            .map(|part| if part.len() > 30 { "ID" } else { part })
            .collect();
        diary.push(format!("{what} {}", shown.join("/")).trim().into());
        let mut fails_at = self.fails_at.lock().unwrap();
        match &mut *fails_at {
            Some((0, kind)) => {
                let kind = *kind;
                *fails_at = None;
                Err(kind.into())
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for WatchedDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note(
            if offset == 0 { "write header" } else { "write content" },
            Path::new(""),
        )?;
        SystemDisk.write(file, bytes, offset)
    }

    fn write_past_cache(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note("write content", Path::new(""))?;
        // A file system that cannot gets the same diary.
        SystemDisk
            .write_past_cache(file, bytes, offset)
            .or_else(|_| SystemDisk.write(file, bytes, offset))
    }

    fn start_write_back(&self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        self.note("write back", Path::new(""))?;
        SystemDisk.start_write_back(file, offset, length)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.note("sync file", Path::new(""))?;
        SystemDisk.sync_file(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("rename to", to)?;
        SystemDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note("link to", to)?;
        SystemDisk.link(from, to)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.note("create", dir)?;
        SystemDisk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.note("sync", dir)?;
        SystemDisk.sync_dir(dir)
    }

    fn remove(&self, file: &Path) -> io::Result<bool> {
        self.note("remove", file)?;
        SystemDisk.remove(file)
    }
}

struct Watched {
    store: FsBlobStore,
    disk: Arc<WatchedDisk>,
    _folder: TempDir,
}

impl Watched {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(WatchedDisk {
            root: folder.path().into(),
            ..WatchedDisk::default()
        });
        let store = FsBlobStore::open_on(folder.path(), None, Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
        disk.diary.lock().unwrap().clear();
        Self {
            store,
            disk,
            _folder: folder,
        }
    }

    fn diary(&self) -> Vec<String> {
        std::mem::take(&mut *self.disk.diary.lock().unwrap())
    }

    fn fail_at(&self, call: usize, kind: io::ErrorKind) {
        *self.disk.fails_at.lock().unwrap() = Some((call, kind));
    }
}

const CONTENT: &[u8] = b"some bytes of a layer";

fn start() -> Progress {
    Progress {
        bytes: 0,
        hasher: Hasher::new(Algorithm::Sha256),
    }
}

fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

fn body(bytes: &[u8]) -> ByteStream {
    let bytes = Bytes::copy_from_slice(bytes);
    Box::pin(futures::stream::once(async { Ok(bytes) }))
}

async fn upload(store: &FsBlobStore, bytes: &[u8]) -> (UploadId, Progress) {
    let id = UploadId::generate();
    let appended = store.append(id, start(), body(bytes), u64::MAX).await;
    assert!(appended.failure.is_none(), "{appended:?}");
    (id, appended.progress)
}

async fn push(store: &FsBlobStore, bytes: &[u8]) -> Digest {
    let (id, progress) = upload(store, bytes).await;
    let digest = digest(bytes);
    store.commit(id, progress, &digest).await.unwrap();
    digest
}

async fn read(store: &FsBlobStore, blob: &Digest) -> Result<Option<Vec<u8>>, BlobError> {
    let Some(stream) = store.read(blob, 0..u64::MAX).await? else {
        return Ok(None);
    };
    Ok(Some(stream.try_collect::<Vec<_>>().await?.concat()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::all(&FsBlobStore::open(&folder.path().join("below/here")).unwrap()).await;
}

/// With one worker thread, nothing may wait for the future that waits for it.
#[tokio::test]
async fn it_conforms_on_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    conformance::all(&FsBlobStore::open(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn a_blob_is_durable_before_it_is_acknowledged() {
    let watched = Watched::open();
    push(&watched.store, CONTENT).await;
    let hex = digest(CONTENT).hex();
    let dir = format!("blobs/sha256/{}", &hex[..2]);
    let publishing = [
        "write header".into(),
        "sync file".into(),
        format!("rename to {dir}/ID"),
        format!("sync {dir}"),
    ];
    let first_publishing = [&publishing[..2], &["create locks".into()], &publishing[2..]].concat();
    let new_dir = [format!("create {dir}"), "sync blobs/sha256".into()];
    let content = ["write content".to_string()];
    assert_eq!(
        watched.diary(),
        [content.as_slice(), &new_dir, &first_publishing].concat()
    );

    // Again: what another request may have published a moment ago is made durable here as well.
    push(&watched.store, CONTENT).await;
    let again = [format!("sync {dir}"), "remove uploads/ID".into()];
    assert_eq!(watched.diary(), [content.as_slice(), &again].concat());

    delete_blob(&watched.store, &digest(CONTENT)).await.unwrap();
    let deleting = [format!("remove {dir}/ID"), format!("sync {dir}")];
    assert_eq!(watched.diary(), deleting);

    // The directory is known by now.
    push(&watched.store, CONTENT).await;
    assert_eq!(watched.diary(), [content.as_slice(), &publishing].concat());
}

#[tokio::test]
async fn a_failure_at_any_step_acknowledges_nothing_and_loses_nothing() {
    for kind in [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::Other,
    ] {
        // create, sync parent, header, sync file, rename, sync directory
        for call in 0..6 {
            let watched = Watched::open();
            let earlier = push(&watched.store, b"acknowledged earlier").await;
            let content = (0..1000_u32)
                .map(|n| n.to_string())
                .find(|text| digest(text.as_bytes()).hex()[..2] != earlier.hex()[..2]);
            let content = content.unwrap();
            let (id, progress) = upload(&watched.store, content.as_bytes()).await;
            watched.fail_at(call, kind);
            let expected = digest(content.as_bytes());
            let error = watched.store.commit(id, progress.clone(), &expected).await.unwrap_err();
            match kind {
                io::ErrorKind::Other => assert!(matches!(error, CommitError::Store(_)), "{call}: {error:?}"),
                _ => assert!(matches!(error, CommitError::Full(_)), "{call}: {error:?}"),
            }
            assert_eq!(
                read(&watched.store, &earlier).await.unwrap().unwrap(),
                b"acknowledged earlier"
            );
            // Whatever is visible under the name is whole.
            let visible = read(&watched.store, &expected).await.unwrap();
            assert!(visible.is_none_or(|bytes| bytes == content.as_bytes()), "call {call}");
            // Trying again works, or says that the bytes must be sent again: after a failed sync they cannot be trusted.
            let again = watched.store.commit(id, progress, &expected).await;
            match (call, again) {
                (0..=2 | 4, Ok(_)) | (3 | 5, Err(CommitError::UploadUnknown)) => {}
                (_, other) => panic!("call {call}: {other:?}"),
            }
            push(&watched.store, content.as_bytes()).await;
            assert_eq!(
                read(&watched.store, &expected).await.unwrap().unwrap(),
                content.as_bytes()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_keeps_what_was_written_before() {
    // The second case fails in a write that goes past the page cache.
    for (chunk_bytes, fails_at) in [(1000, 0), (600_000, 7)] {
        let watched = Watched::open();
        let content: Vec<u8> = (0..chunk_bytes * 10)
            .map(|n: usize| u8::try_from(n % 251).unwrap())
            .collect();
        let chunks: Vec<_> = content
            .chunks(chunk_bytes)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let id = UploadId::generate();
        watched.fail_at(fails_at, io::ErrorKind::StorageFull);
        let appended = watched
            .store
            .append(id, start(), Box::pin(futures::stream::iter(chunks)), u64::MAX)
            .await;
        assert!(matches!(appended.failure, Some(AppendError::Full(_))), "{appended:?}");
        let written = usize::try_from(appended.progress.bytes).unwrap();
        assert_eq!(written, fails_at * buffer::BUFFER_BYTES);
        let rest = watched
            .store
            .append(id, appended.progress, body(&content[written..]), u64::MAX)
            .await;
        assert!(rest.failure.is_none(), "{rest:?}");
        let expected = digest(&content);
        watched.store.commit(id, rest.progress, &expected).await.unwrap();
        assert_eq!(read(&watched.store, &expected).await.unwrap().unwrap(), content);
    }
}

/// In pieces of odd sizes, so that parts of blocks are written past what went past the page cache.
#[tokio::test]
async fn pieces_of_any_size_make_the_same_blob_with_the_page_cache_and_without() {
    for can_bypass in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let store = FsBlobStore::open(folder.path()).unwrap();
        store.inner.means.can_bypass.store(can_bypass, Ordering::Relaxed);
        let content: Vec<u8> = (0..6_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut progress, id) = (start(), UploadId::generate());
        let mut rest = content.as_slice();
        for length in [1, 70_000, 4_095, 1_500_000, 4_097, 65_537, 3, 11_000_000, usize::MAX] {
            let (piece, tail) = rest.split_at(length.min(rest.len()));
            rest = tail;
            let appended = store.append(id, progress, body(piece), u64::MAX).await;
            assert!(appended.failure.is_none(), "{appended:?}");
            progress = appended.progress;
        }
        let expected = digest(&content);
        store.commit(id, progress, &expected).await.unwrap();
        assert!(
            read(&store, &expected).await.unwrap().unwrap() == content,
            "{can_bypass}"
        );
    }
}

#[tokio::test]
async fn bytes_that_the_kernel_lost_after_taking_them_are_not_built_upon() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = FsBlobStore::open_faulty(folder.path(), Arc::clone(&faults)).unwrap();
    store.inner.means.can_bypass.store(false, Ordering::Relaxed);
    let content = vec![7; 20 << 20];
    let id = UploadId::generate();
    faults.plan(Fault::DiskWriteBack, 1, EIO);
    let appended = store.append(id, start(), body(&content), u64::MAX).await;
    assert!(matches!(appended.failure, Some(AppendError::Store(_))), "{appended:?}");
    assert_eq!(appended.progress.bytes, 0);
    assert!(!store.inner.layout.upload(id).exists());
    assert_eq!(push(&store, &content).await, digest(&content));
}

#[tokio::test]
async fn uploads_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let (id, progress) = upload(&store, CONTENT).await;
    let (leftover, _) = upload(&store, b"nobody comes back for this").await;
    drop(store);

    let store = FsBlobStore::open(folder.path()).unwrap();
    let expected = digest(&[CONTENT, b" and more"].concat());
    let appended = store.append(id, progress, body(b" and more"), u64::MAX).await;
    assert_eq!(
        store.commit(id, appended.progress, &expected).await.unwrap(),
        CONTENT.len() as u64 + 9
    );
    assert!(read(&store, &expected).await.unwrap().is_some());

    // A leftover is invisible, harmless, and goes when its session expires.
    assert_eq!(store.size(&digest(b"nobody comes back for this")).await.unwrap(), None);
    assert!(store.inner.layout.upload(leftover).exists());
    store.abandon(leftover).await.unwrap();
    assert!(!store.inner.layout.upload(leftover).exists());
}

#[tokio::test]
async fn bytes_that_a_power_cut_took_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let (id, progress) = upload(&store, CONTENT).await;
    let path = store.inner.layout.upload(id);
    drop(store);

    // The length reached the disk, the bytes did not; the caller remembers the hash of what they were.
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0; 5], HEADER_BYTES).unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let commit = store.commit(id, progress.clone(), &digest(CONTENT)).await;
    assert!(matches!(commit, Err(CommitError::DigestMismatch { .. })), "{commit:?}");
    assert_eq!(store.size(&digest(CONTENT)).await.unwrap(), None);

    file.set_len(HEADER_BYTES + 3).unwrap();
    let commit = store.commit(id, progress.clone(), &digest(CONTENT)).await;
    assert!(matches!(commit, Err(CommitError::UploadUnknown)), "{commit:?}");
    let appended = store.append(id, progress, body(b"more"), u64::MAX).await;
    assert!(
        matches!(appended.failure, Some(AppendError::UploadUnknown)),
        "{appended:?}"
    );
}

#[tokio::test]
async fn files_that_are_not_the_whole_blob_are_errors_and_repaired_by_a_push() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 6] = [
        ("truncated content", |path| truncate(path, HEADER_BYTES + 3)),
        ("truncated header", |path| truncate(path, 50)),
        ("empty", |path| truncate(path, 0)),
        ("longer", |path| truncate(path, HEADER_BYTES + 1000)),
        ("corrupt header", |path| {
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .write_all_at(&[0xff; 9], 20)
                .unwrap();
        }),
        ("another blob", |path| {
            let header = Header {
                digest: digest(b"other"),
                size: CONTENT.len() as u64,
            };
            OpenOptions::new()
                .write(true)
                .open(path)
                .unwrap()
                .write_all_at(&header.encode(), 0)
                .unwrap();
        }),
    ];
    for (what, damage) in cases {
        let folder = tempfile::tempdir().unwrap();
        let blob = push(&FsBlobStore::open(folder.path()).unwrap(), CONTENT).await;
        let store = FsBlobStore::open(folder.path()).unwrap();
        damage(&store.inner.layout.blob(&blob));
        for error in [store.size(&blob).await.err(), read(&store, &blob).await.err()] {
            assert_eq!(error.expect(what).0.kind(), io::ErrorKind::InvalidData, "{what}");
        }
        push(&store, CONTENT).await;
        assert_eq!(read(&store, &blob).await.unwrap().unwrap(), CONTENT, "{what}");
    }
}

#[tokio::test]
async fn a_file_that_shrinks_under_a_reader_ends_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let blob = push(&store, CONTENT).await;
    assert!(read(&store, &blob).await.unwrap().is_some());
    truncate(&store.inner.layout.blob(&blob), HEADER_BYTES + 4);
    assert_eq!(
        read(&store, &blob).await.unwrap_err().0.kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[tokio::test]
async fn sealed_blobs_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let blob = push(&FsBlobStore::open(folder.path()).unwrap(), CONTENT).await;
    let store = FsBlobStore::open(folder.path()).unwrap();
    let header = Header {
        digest: blob,
        size: CONTENT.len() as u64,
    }
    .encode_sealed();
    let file = OpenOptions::new()
        .write(true)
        .open(store.inner.layout.blob(&blob))
        .unwrap();
    file.write_all_at(&header, 0).unwrap();
    let error = read(&store, &blob).await.unwrap_err();
    assert!(error.0.to_string().contains("sealed"), "{error:?}");
    // A push does not take it for damage either.
    let (id, progress) = upload(&store, CONTENT).await;
    let commit = store.commit(id, progress, &blob).await;
    assert!(matches!(commit, Err(CommitError::Store(_))), "{commit:?}");
}

#[tokio::test]
async fn pages_that_are_not_in_memory_are_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let content: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = push(&store, &content).await;
    let file = File::open(store.inner.layout.blob(&blob)).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(read(&store, &blob).await.unwrap().unwrap() == content);
    // And from memory, with buffers that were used before.
    assert!(read(&store, &blob).await.unwrap().unwrap() == content);
}

#[tokio::test]
async fn readers_of_many_blobs_do_not_hold_all_of_them_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let mut blobs = Vec::new();
    for n in 0..300_u32 {
        blobs.push(push(&store, &n.to_le_bytes()).await);
        assert!(store.size(blobs.last().unwrap()).await.unwrap().is_some());
    }
    assert!(store.inner.open_blobs.get(&blobs[0]).is_none());
    assert!(store.inner.open_blobs.get(&blobs[299]).is_some());
    assert_eq!(read(&store, &blobs[0]).await.unwrap().unwrap(), 0_u32.to_le_bytes());
}

#[tokio::test]
async fn a_blob_that_is_deleted_while_it_is_opened_is_not_kept_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let blob = push(&store, CONTENT).await;
    let inner = &store.inner;
    let ticket = inner.open_blobs.ticket();
    let file = Arc::new(BlobFile::open(&inner.layout.blob(&blob), &blob).unwrap().unwrap());
    delete_blob(&store, &blob).await.unwrap();
    inner.open_blobs.keep(blob, &file, ticket);
    assert_eq!(store.size(&blob).await.unwrap(), None);
}

#[tokio::test]
async fn of_all_stores_on_a_folder_one_has_the_right_to_delete_a_blob() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let blob = push(&store, CONTENT).await;
    let lock = store.lock_deletion(&blob).await.unwrap();
    let name = folder.path().join("locks").join(&blob.hex()[..2]);
    let another = File::open(name).unwrap();
    assert!(matches!(another.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
    store.delete(lock).await.unwrap();
    another.try_lock().unwrap();
    assert_eq!(store.size(&blob).await.unwrap(), None);
}

#[test]
fn the_root_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("a/root");
    FsBlobStore::open(&root).unwrap();
    FsBlobStore::open(&root).unwrap();
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_store_whose_folder_is_gone_is_not_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    store.check().await.unwrap();
    store.check().await.unwrap();
    drop(folder);
    assert!(store.check().await.is_err());
}

fn truncate(path: &Path, length: u64) {
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(length)
        .unwrap();
}

/// Names of files below a folder, without those that mark it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_blob_has_a_durable_name_before_it_loses_another() {
    let watched = Watched::open();
    let digest = push_content(&watched.store, &vec![7; 100_000]).await;
    watched.store.place(&digest, StorageClass::Archive).await.unwrap();
    watched.diary();
    watched.store.place(&digest, StorageClass::Standard).await.unwrap();
    assert_eq!(
        watched.diary(),
        [
            "link to blobs/sha256/ID",
            "sync blobs/sha256/ID",
            "remove archive/blobs/sha256/ID",
            "sync archive/blobs/sha256/ID",
        ]
        .map(|line| line.replace("sha256/ID", &format!("sha256/{}", &digest.hex()[..2])))
        .map(|line| if line.starts_with("link") || line.starts_with("remove") {
            format!("{line}/ID")
        } else {
            line
        })
    );
}

#[tokio::test]
async fn a_move_that_fails_at_any_call_loses_nothing_and_can_be_done_again() {
    for class in [StorageClass::Archive, StorageClass::Standard] {
        for call in 0.. {
            let watched = Watched::open();
            let content = vec![9; 100_000];
            let digest = push_content(&watched.store, &content).await;
            if class == StorageClass::Standard {
                watched.store.place(&digest, StorageClass::Archive).await.unwrap();
            }
            watched.fail_at(call, io::ErrorKind::Other);
            let failed = watched.store.place(&digest, class).await.is_err();
            assert_eq!(read_all(&watched.store, &digest).await, content, "{class}, call {call}");
            if !failed {
                assert!(call > 2);
                break;
            }
            let again = watched.store.place(&digest, class).await.unwrap();
            assert_eq!(again, Some(100_000), "{class}, call {call}");
            assert_eq!(read_all(&watched.store, &digest).await, content);
        }
    }
}

#[tokio::test]
async fn a_blob_is_copied_to_another_disk_and_back() {
    let shared = Path::new("/dev/shm");
    if !shared.is_dir() {
        return; // a system without a second file system that tests may write to
    }
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in(shared).unwrap());
    let store = FsBlobStore::open_with_archive(folder.path(), other.path()).unwrap();
    conformance::placed_blobs_are_found_wherever_they_are(&store).await;
    let content = vec![3; 3_000_000];
    let digest = push_content(&store, &content).await;
    store.place(&digest, StorageClass::Archive).await.unwrap();
    assert!(files(&folder.path().join("blobs")).is_empty());
    assert_eq!(files(&other.path().join("blobs")).len(), 1);
    assert!(files(&other.path().join("moving")).is_empty());
    drop(store);

    // Without its archive the store does not start: what is in it would look absent.
    let marked = std::fs::rename(other.path().join("archive.in-use"), other.path().join("hidden"));
    marked.unwrap();
    let error = FsBlobStore::open_with_archive(folder.path(), other.path()).unwrap_err();
    assert!(error.to_string().contains("mounted"), "{error}");
    std::fs::rename(other.path().join("hidden"), other.path().join("archive.in-use")).unwrap();
    let store = FsBlobStore::open_with_archive(folder.path(), other.path()).unwrap();
    assert_eq!(read_all(&store, &digest).await, content);
    // And one that goes away later is a failure, not an absent blob.
    std::fs::remove_dir_all(other.path()).unwrap();
    store.inner.open_blobs.remove(&digest);
    assert!(store.size(&digest).await.is_err());
    assert!(delete_blob(&store, &digest).await.is_err());
}

#[tokio::test]
async fn nodes_that_move_a_blob_to_different_places_do_not_lose_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || FsBlobStore::open(folder.path()).unwrap();
    let (first, second) = (open(), open());
    let content = vec![5; 100_000];
    let digest = push_content(&first, &content).await;
    for round in 0..30 {
        let there = first.place(&digest, StorageClass::Archive);
        let back = second.place(&digest, StorageClass::Standard);
        let (there, back) = tokio::join!(there, back);
        for moved in [there, back] {
            // Who is too late is told to try again.
            let is_late = |error: &BlobError| error.0.kind() == io::ErrorKind::WouldBlock;
            assert!(
                moved.is_ok() || moved.as_ref().is_err_and(is_late),
                "round {round}: {moved:?}"
            );
            assert!(!matches!(moved, Ok(None)), "round {round}: it is there");
        }
        assert_eq!(read_all(&open(), &digest).await, content, "round {round}");
    }
}

#[tokio::test]
async fn what_a_push_repairs_takes_the_place_of_damaged_bytes_in_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let store = FsBlobStore::open(folder.path()).unwrap();
    let content = vec![9; 100_000];
    let digest = push_content(&store, &content).await;
    store.place(&digest, StorageClass::Archive).await.unwrap();
    let archived = store.inner.layout.blob_in(&digest, StorageClass::Archive);
    let file = std::fs::OpenOptions::new().write(true).open(&archived).unwrap();
    file.write_all_at(b"damage", HEADER_BYTES).unwrap();
    push_content(&store, &content).await;
    store.place(&digest, StorageClass::Archive).await.unwrap();
    assert!(!store.inner.layout.blob(&digest).exists());
    let reopened = FsBlobStore::open(folder.path()).unwrap();
    assert_eq!(read_all(&reopened, &digest).await, content);
}

/// How long a push beside a move is waited for, which has to wait for the move. One that does not wait needs a
/// fraction of it, so that a fault shows.
const NOT_WAITING: Duration = Duration::from_millis(300);

/// One node moves a blob with damaged bytes; just before one of its calls, another node pushes the blob again, with good bytes.
async fn repaired_beside_a_move(class: StorageClass, call: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(WatchedDisk {
        root: folder.path().into(),
        ..WatchedDisk::default()
    });
    let mover = FsBlobStore::open_on(folder.path(), None, Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
    let pusher = FsBlobStore::open(folder.path()).unwrap();
    let content = vec![9; 100_000];
    let digest = push_content(&mover, &content).await;
    let other = match class {
        StorageClass::Archive => StorageClass::Standard,
        StorageClass::Standard => StorageClass::Archive,
    };
    mover.place(&digest, other).await.unwrap();
    let damaged = mover.inner.layout.blob_in(&digest, other);
    let file = OpenOptions::new().write(true).open(&damaged).unwrap();
    file.write_all_at(b"damage", HEADER_BYTES).unwrap();
    pusher.distrust(&digest);

    let (sender, ended) = std::sync::mpsc::channel();
    let (starter, begin) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    let bytes = content.clone();
    let push = std::thread::spawn(move || {
        begin.recv().unwrap();
        runtime.block_on(push_content(&pusher, &bytes));
        // Nobody may wait for it any more.
        let _ = sender.send(());
    });
    *disk.before.lock().unwrap() = Some(Interruption {
        call,
        happens: Box::new(move || {
            starter.send(()).unwrap();
            let _ = ended.recv_timeout(NOT_WAITING);
        }),
    });
    match mover.place(&digest, class).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.0.kind(), io::ErrorKind::WouldBlock, "{error:?}"),
    }
    assert!(disk.before.lock().unwrap().is_none(), "there is no call `{call}`");
    tokio::task::spawn_blocking(|| push.join().unwrap()).await.unwrap();
    for place in [class, other, class] {
        let placed = FsBlobStore::open(folder.path()).unwrap();
        assert_eq!(read_all(&placed, &digest).await, content, "{class}, before `{call}`");
        placed.place(&digest, place).await.unwrap();
    }
    let files = files(&folder.path().join("archive/blobs")).len() + files(&folder.path().join("blobs")).len();
    assert_eq!(files, 1, "{class}, before `{call}`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_beside_a_move_on_another_node_keeps_its_bytes() {
    for call in ["link", "sync", "remove"] {
        for class in [StorageClass::Archive, StorageClass::Standard] {
            repaired_beside_a_move(class, call).await;
        }
    }
}

#[tokio::test]
async fn names_are_given_and_taken_under_the_lock_of_all_nodes() {
    let watched = Watched::open();
    let content = vec![3; 100_000];
    let digest = push_content(&watched.store, &content).await;
    // (the call, what does it, whether others may publish meanwhile)
    let cases: [(&'static str, Option<StorageClass>, bool); 4] = [
        ("link", Some(StorageClass::Archive), false),
        ("remove", Some(StorageClass::Standard), false),
        ("remove", Some(StorageClass::Archive), false),
        ("rename", None, true),
    ];
    for (call, class, is_shared) in cases {
        let lock = watched.store.inner.layout.locks().join(&digest.hex()[..2]);
        *watched.disk.before.lock().unwrap() = Some(Interruption {
            call,
            happens: Box::new(move || {
                let file = std::fs::File::open(lock).unwrap();
                assert!(file.try_lock().is_err(), "{call}");
                assert_eq!(file.try_lock_shared().is_ok(), is_shared, "{call}");
            }),
        });
        if let Some(class) = class {
            watched.store.place(&digest, class).await.unwrap();
        } else {
            watched.store.distrust(&digest);
            push_content(&watched.store, &content).await;
        }
        assert!(watched.disk.before.lock().unwrap().is_none(), "{call}");
    }
}

async fn push_content(store: &FsBlobStore, content: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let from = Progress {
        bytes: 0,
        hasher: hasher.clone(),
    };
    hasher.update(content);
    let digest = hasher.finish();
    let upload = UploadId::generate();
    let body = Box::pin(futures::stream::iter([Ok(Bytes::copy_from_slice(content))]));
    let appended = store.append(upload, from, body, u64::MAX).await;
    store.commit(upload, appended.progress, &digest).await.unwrap();
    digest
}

async fn read_all(store: &FsBlobStore, digest: &Digest) -> Vec<u8> {
    let stream = store.read(digest, 0..u64::MAX).await.unwrap().unwrap();
    stream.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}
