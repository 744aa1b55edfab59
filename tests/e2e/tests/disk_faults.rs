// SPDX-License-Identifier: Apache-2.0
//! Disks that are full, become read-only, or fail: what cannot be stored is refused with a code, what was acknowledged
//! stays, and the server recovers with its disk.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::scope;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use e2e::churn::{Churn, REPOSITORIES, noise};
use e2e::http::Response;
use e2e::loop_disk::{Mount, is_possible, make_btrfs, make_ext4};
use e2e::oracle::{self, Scope};
use e2e::process::{run, wait_until};
use e2e::recorder::{Refused, Way};
use e2e::{Ledger, Recorder, RegistryClient, Server, ServerOptions};

const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");
const LIMIT: Duration = Duration::from_secs(90);

/// A server whose rows or files, or both, are on a disk of the test's own.
struct Subject {
    server: Server,
    ledger: Arc<Ledger>,
    recorder: Recorder,
}

impl Subject {
    fn start(options: ServerOptions) -> Result<Self> {
        let server = Server::start_with(options)?;
        for repository in REPOSITORIES {
            server.create_repository(repository)?;
        }
        let ledger = Arc::new(Ledger::default());
        let recorder = Recorder::new(RegistryClient::new(&server), &ledger);
        Ok(Self {
            server,
            ledger,
            recorder,
        })
    }

    fn push(&self, tag: &str, layer_bytes: usize) -> Result<String> {
        let layer = noise(tag, layer_bytes);
        self.recorder.push_image(REPOSITORIES[0], tag, &layer, Way::Session)
    }

    fn examine(&self, scope: Scope) -> Result<()> {
        oracle::examine(&RegistryClient::new(&self.server), &self.ledger.now(), scope)?.clean()
    }

    fn wait_until_ready(&self, is_ready: bool) -> Result<()> {
        let status = if is_ready { 200 } else { 503 };
        wait_until(&format!("/readyz says {status}"), LIMIT, || {
            self.server.readiness().is_ok_and(|answer| answer.status == status)
        })
    }
}

fn data_on(folder: &Path) -> ServerOptions {
    ServerOptions {
        data_folder: Some(folder.join("hythe")),
        ..ServerOptions::default()
    }
}

fn blobs_on(folder: &Path) -> ServerOptions {
    ServerOptions {
        arguments: vec!["--blobs-path".into(), folder.join("blobs").display().to_string()],
        ..ServerOptions::default()
    }
}

/// Insists on an error of the registry, with a code that programs understand.
fn is_coded(answer: &Response) -> Result<()> {
    let code = answer.json()?.pointer("/errors/0/code").cloned();
    ensure!(code.is_some_and(|code| code.is_string()), "{}", answer.text());
    Ok(())
}

/// The answer that a recorded operation got instead of 2xx.
fn refusal<T>(outcome: Result<T>) -> Result<Response> {
    let error = outcome.err().context("this should have been refused")?;
    let refused = error.downcast::<Refused>()?;
    is_coded(&refused.response)?;
    Ok(refused.response)
}

/// A file that takes the last byte of a disk. Removing it makes room again.
fn fill(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("filler");
    let mut file = File::create(&path)?;
    for size in [1 << 20, 1 << 12] {
        let block = vec![0x5a; size];
        while file.write_all(&block).is_ok() {}
        let _ = file.sync_data(); // gives back what was reserved for no need, for the second round
    }
    Ok(path)
}

#[test]
fn a_full_disk_in_memory_refuses_the_push_and_loses_nothing() -> Result<()> {
    const MEBIBYTES: usize = 48;
    if !is_possible(&["mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = Mount::tmpfs(&folder.path().join("disk"), MEBIBYTES)?;
    let mut subject = Subject::start(data_on(disk.path()))?;
    let [web, _] = REPOSITORIES;
    subject.push("before", 300_000)?;

    let large = vec![7_u8; MEBIBYTES * 1024 * 1024];
    let upload = subject.recorder.begin_upload(web)?;
    let end = e2e::registry::with_query(&upload, "digest", &e2e::registry::digest(&large));
    let refused = subject.recorder.client().call("PUT", &end, &[OCTETS], &large)?;
    ensure!(refused.status == 507, "{} {}", refused.status, refused.text());
    is_coded(&refused)?;
    subject.examine(Scope::Finished)?;

    // Giving the upload up gives its bytes back, and then there is room again.
    subject.recorder.cancel(&upload)?;
    subject.push("after", 300_000)?;
    subject.server.kill9()?;
    subject.server.restart()?;
    subject.examine(Scope::All)?;
    ensure!(subject.server.stop().is_some_and(|status| status.success()));
    Ok(())
}

#[test]
fn a_full_disk_of_files_refuses_files_and_takes_rows() -> Result<()> {
    if !is_possible(&["mkfs.ext4", "losetup", "mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("disk.img");
    make_ext4(&image, 32, &[])?;
    let disk = Mount::image(&image, &folder.path().join("disk"), "noatime")?;
    let mut subject = Subject::start(blobs_on(disk.path()))?;
    subject.push("before", 300_000)?;
    let filler = fill(disk.path())?;
    let refused = refusal(subject.push("refused", 300_000))?;
    ensure!(refused.status == 507, "{} {}", refused.status, refused.text());
    subject.push("rows-only", 300)?;
    subject.examine(Scope::Finished)?;
    std::fs::remove_file(filler)?;
    subject.push("after", 300_000)?;
    subject.server.kill9()?;
    subject.server.restart()?;
    subject.examine(Scope::Finished)
}

#[test]
fn a_full_disk_of_the_database_refuses_changes_and_serves_what_is_there() -> Result<()> {
    if !is_possible(&["mkfs.ext4", "losetup", "mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("disk.img");
    make_ext4(&image, 64, &[])?;
    let disk = Mount::image(&image, &folder.path().join("disk"), "noatime")?;
    let blobs = folder.path().join("elsewhere");
    let mut options = blobs_on(&blobs);
    options.data_folder = Some(disk.path().join("hythe"));
    let mut subject = Subject::start(options)?;
    subject.push("before", 300_000)?;
    let filler = fill(disk.path())?;
    // What the log of the database has room for already still goes in; then nothing does.
    let mut refused = None;
    for number in 0..200 {
        if let Err(error) = subject.push(&format!("t{number}"), 60_000) {
            refused = Some(refusal::<()>(Err(error))?);
            break;
        }
    }
    let refused = refused.context("a full disk takes everything")?;
    ensure!(refused.status == 507, "{} {}", refused.status, refused.text());
    subject.examine(Scope::Finished)?;
    std::fs::remove_file(filler)?;
    subject.push("after", 60_000)?;
    subject.wait_until_ready(true)?;
    subject.server.kill9()?;
    subject.server.restart()?;
    subject.examine(Scope::Finished)
}

#[test]
fn a_disk_that_becomes_read_only_under_load_makes_the_server_not_ready_until_it_is_back() -> Result<()> {
    const CLIENTS: usize = 3;
    if !is_possible(&["mkfs.ext4", "losetup", "mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("disk.img");
    make_ext4(&image, 512, &[])?;
    let disk = Mount::image(&image, &folder.path().join("disk"), "noatime")?;
    let mut subject = Subject::start(blobs_on(disk.path()))?;
    let churn = Churn::default();
    let errors: Mutex<Vec<Error>> = Mutex::default();
    let registry = RegistryClient::new(&subject.server);
    scope(|threads| -> Result<()> {
        for client in 0..CLIENTS {
            let (churn, errors, registry, ledger) = (&churn, &errors, &registry, &subject.ledger);
            threads.spawn(move || {
                for life in 0.. {
                    match churn.work(registry, ledger, client, life) {
                        Ok(()) => return,
                        Err(error) => errors.lock().unwrap().push(error),
                    }
                }
            });
        }
        let pushed = |more: usize| {
            let goal = churn.images.load(Ordering::SeqCst) + more;
            wait_until("images are pushed", LIMIT, || {
                churn.images.load(Ordering::SeqCst) >= goal
            })
        };
        let outcome = (|| -> Result<()> {
            pushed(2 * CLIENTS)?;
            // Refused while a file is open for writing: then again a moment later.
            wait_until("the disk is read-only", LIMIT, || disk.remount("ro").is_ok())?;
            subject.wait_until_ready(false)?;
            wait_until("pushes fail", LIMIT, || errors.lock().unwrap().len() >= CLIENTS)?;
            disk.remount("rw")?;
            subject.wait_until_ready(true)?;
            pushed(2 * CLIENTS)
        })();
        churn.stop.store(true, Ordering::SeqCst);
        outcome
    })?;
    for error in errors.into_inner()? {
        let refused = refusal::<()>(Err(error))?;
        ensure!(refused.status >= 500, "{} {}", refused.status, refused.text());
    }
    subject.examine(Scope::Finished)?;
    subject.server.kill9()?;
    subject.server.restart()?;
    subject.examine(Scope::Finished)
}

/// What lies on the disk that breaks.
#[derive(Clone, Copy)]
enum Broken {
    RowsAndFiles,
    Rows,
}

/// Breaks the file system of rows, and of files, while pushes go on; then it is mounted again, as an operator would.
///
/// It breaks between two requests of the server to the kernel, never within an fsync: ext4 reports as done what the abort
/// of its journal drops (Linux 6.18). That was traced (`strace -ttt -T -e fsync,fdatasync,pwrite64`): each time a blob that
/// was answered with 201 was not there after the next mount, the last fsync of the log had begun before the abort,
/// overlapped it (one of 26 ms) and returned 0, and the next write got EROFS. No fsync had failed and none was missing:
/// no program can know. Journals that are lost at any instant are what `power_cut` tries.
fn breaks(what: Broken, options: &str, break_it: impl FnOnce(&Mount) -> Result<()>) -> Result<()> {
    const CLIENTS: usize = 3;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("disk.img");
    make_ext4(&image, 512, &[])?;
    let disk = Mount::image(&image, &folder.path().join("disk"), options)?;
    let mut subject = Subject::start(match what {
        Broken::RowsAndFiles => data_on(disk.path()),
        Broken::Rows => ServerOptions {
            arguments: blobs_on(folder.path()).arguments,
            ..data_on(disk.path())
        },
    })?;
    let churn = Churn::default();
    let registry = RegistryClient::new(&subject.server);
    let ends = scope(|threads| -> Result<Vec<Error>> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (churn, registry, ledger) = (&churn, &registry, &subject.ledger);
                threads.spawn(move || churn.work(registry, ledger, client, 0))
            })
            .collect();
        let outcome = wait_until("images are pushed", LIMIT, || {
            churn.images.load(Ordering::SeqCst) >= 2 * CLIENTS
        })
        .and_then(|()| subject.server.while_stopped(|| break_it(&disk)))
        .and_then(|()| subject.wait_until_ready(false));
        // Each client ends with its first error.
        if outcome.is_err() {
            churn.stop.store(true, Ordering::SeqCst);
        }
        let ends = clients.into_iter().filter_map(|client| client.join().unwrap().err());
        let ends = ends.collect();
        outcome.map(|()| ends)
    })?;
    ensure!(ends.len() == CLIENTS, "a broken disk takes pushes");
    for error in ends {
        // Bytes that were promised may also break off in the middle.
        if let Ok(refused) = error.downcast::<Refused>() {
            is_coded(&refused.response)?;
            ensure!(refused.response.status >= 500, "{refused}");
        }
    }
    subject.server.kill9()?;
    drop(disk);
    let disk = Mount::image(&image, &folder.path().join("disk"), "noatime")?;
    subject.server.restart()?;
    subject.ledger.restarted();
    subject.examine(Scope::Finished)?;
    subject.push("after", 300_000)?;
    subject.server.kill9()?;
    drop((subject, disk));
    Ok(())
}

fn turns_read_only(what: Broken) -> Result<()> {
    if !is_possible(&["mkfs.ext4", "losetup", "mount"])? {
        return Ok(());
    }
    breaks(what, "noatime,errors=remount-ro", |disk| {
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", disk.device_name()?);
        Ok(std::fs::write(trigger, "1")?)
    })
}

#[test]
fn a_file_system_that_turns_read_only_by_itself_loses_nothing() -> Result<()> {
    turns_read_only(Broken::RowsAndFiles)
}

#[test]
fn a_file_system_of_the_database_that_turns_read_only_makes_the_server_not_ready() -> Result<()> {
    turns_read_only(Broken::Rows)
}

fn answers_with_errors(what: Broken) -> Result<()> {
    if !is_possible(&["mkfs.ext4", "losetup", "mount", "xfs_io"])? {
        return Ok(());
    }
    // From then on every read and write of this file system is EIO, and what it had in memory is gone, its journal too.
    breaks(what, "noatime", |disk| {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(disk.path()))?.ok()?;
        Ok(())
    })
}

#[test]
fn a_disk_that_answers_every_request_with_an_error_loses_nothing() -> Result<()> {
    answers_with_errors(Broken::RowsAndFiles)
}

#[test]
fn a_disk_of_the_database_that_answers_with_errors_makes_the_server_not_ready() -> Result<()> {
    answers_with_errors(Broken::Rows)
}

#[test]
fn bytes_that_cannot_be_read_are_an_error_and_never_other_bytes() -> Result<()> {
    const BLOCK: usize = 4096;
    if !is_possible(&["mkfs.btrfs", "losetup", "mount"])? {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("disk.img");
    make_btrfs(&image, 256)?;
    let disk = Mount::image(&image, &folder.path().join("disk"), "noatime")?;
    let mut subject = Subject::start(blobs_on(disk.path()))?;
    subject.push("good", 400_000)?;
    let bytes = noise("bad", 400_000);
    let [web, _] = REPOSITORIES;
    // Not through the ledger: this one is going to be lost.
    let bad = subject.recorder.client().push_blob(web, &bytes)?;
    subject.server.kill9()?;
    drop(disk);

    // btrfs keeps a checksum of every block: one that does not match any more is EIO.
    let wanted = bytes.get(40 * BLOCK..41 * BLOCK).unwrap_or_default();
    let file = File::options().read(true).write(true).open(&image)?;
    let mut block = vec![0; BLOCK];
    let mut place = 0;
    while file.read_exact_at(&mut block, place).is_ok() && block != wanted {
        place += BLOCK as u64;
    }
    ensure!(block == wanted, "the bytes are not in the image");
    file.write_all_at(b"bit rot", place + 100)?;
    drop(file);

    let disk = Mount::image(&image, &folder.path().join("disk"), "noatime")?;
    subject.server.restart()?;
    subject.examine(Scope::Finished)?;
    let target = format!("/v2/{web}/blobs/{bad}");
    // The head may be on its way when the error comes; then the body breaks off.
    if let Ok(answer) = subject.recorder.client().call("GET", &target, &[], &[]) {
        ensure!(
            answer.status >= 500,
            "{} with {} bytes",
            answer.status,
            answer.body.len()
        );
        is_coded(&answer)?;
    }
    let log = subject.server.log();
    ensure!(log.contains("os error 5"), "the log does not tell why: {log}");
    subject.push("after", 400_000)?;
    subject.examine(Scope::Finished)?;
    subject.server.kill9()?;
    drop((subject, disk));
    Ok(())
}
