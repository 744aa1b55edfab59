// SPDX-License-Identifier: Apache-2.0
//! Ends the server at every fail point of every operation, starts it again, and looks whether all that was acknowledged
//! is there, nothing is half there, and what is left over can be found and collected.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread::scope;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use e2e::churn::noise;
use e2e::client::say;
use e2e::control_recorder::Pushed;
use e2e::leftovers::Leftovers;
use e2e::oracle::{self, Scope, Verdict};
use e2e::process::wait_until;
use e2e::recorder::Way;
use e2e::registry::{OCI_INDEX, OCI_MANIFEST, config_of, digest, hex, manifest, with_query};
use e2e::server::Credentials;
use e2e::{
    ControlRecorder, Ledger, PostgresCluster, Recorder, RegistryClient, Server, ServerOptions, binary, client, http,
    leftovers,
};
use serde_json::json;
use sha2::{Digest as _, Sha512};

/// Bytes of a blob that becomes a row, and of one that becomes a file.
const SMALL: usize = 1_000;
const LARGE: usize = 180_000;
/// How many requests are sent at once, so that some of them share a commit.
const AT_ONCE: usize = 12;
/// How often one operation is ended at the same fail point, on different passes.
const MOST_PASSES: usize = 6;

/// Fail points that no scenario comes by: their own crates test them, or the tests that are named.
const UNUSED: &[&str] = &[
    // `scrub.rs` ends servers there: what is put aside has to be damaged first.
    "blob.quarantine.renamed",
    "blob.quarantine.dirs_synced",
    // tests/lifecycle.rs ends the server at these, where the clock moves past the lease of a run.
    "lifecycle.run.claimed",
    "lifecycle.batch.before",
    "lifecycle.batch.after",
    "lifecycle.run.finish.before",
    "lifecycle.preview.page",
    "scrub.finding.quarantined",
    // tests/replication ends the sender at these, where there is another deployment to send to.
    "replication.task.claimed",
    "replication.task.sent",
    "replication.task.ended",
    "replication.blob.begun",
    "replication.blob.sent",
    "replication.chunk.sent",
    "replication.manifest.sent",
    "replication.deletion.sent",
    "replication.setting.sent",
    "replication.backfill.advanced",
    // tests/pull_through_cache ends the server at these, where there is an upstream.
    "cache.import.complete",
    "cache.import.stored",
    // tests/mirrors does, where one is fetched from on a schedule.
    "mirror.run.claimed",
    "mirror.tags.seen",
    "mirror.image.queued",
    "mirror.repository.seen",
    "mirror.run.seen",
    // The other database: see the test with `POSTGRES_POINTS`.
    "meta.postgres_commit.before",
    "meta.postgres_commit.after",
    "meta.postgres_statement.before",
    "meta.postgres_statement.after",
];
/// Where PostgreSQL commits.
const POSTGRES_POINTS: &[&str] = &[
    "meta.postgres_commit.before",
    "meta.postgres_commit.after",
    "meta.postgres_statement.before",
    "meta.postgres_statement.after",
];
/// The scenarios that are run on PostgreSQL as well: one of each kind of transaction of the data plane.
const ON_POSTGRES: &[&str] = &[
    "push a small blob in one request",
    "push a large blob in chunks",
    "push an image",
    "mount a blob",
    "move a tag",
    "delete a tag",
    "delete an image",
    "delete a blob",
    "cancel an upload",
];
/// How far the clock goes forward to make uploads expire, in seconds.
const PAST_EXPIRY: i64 = 100 * 24 * 3600;
const LIMIT: Duration = Duration::from_mins(1);
/// A file system that is always another one than that of temporary folders on a disk.
const MEMORY: &str = "/dev/shm";

/// An operation: what has to be there before, and what is ended in the middle.
struct Scenario {
    name: &'static str,
    run: fn(&Stage, &mut dyn FnMut() -> Result<()>) -> Result<()>,
}

/// Each calls its second argument once, when the preparation is done.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "push a small blob in one request",
        run: |stage, ready| stage.push(SMALL, Way::Single, ready),
    },
    Scenario {
        name: "push a small blob in a session",
        run: |stage, ready| stage.push(SMALL, Way::Session, ready),
    },
    Scenario {
        name: "push a large blob in one request",
        run: |stage, ready| stage.push(LARGE, Way::Single, ready),
    },
    Scenario {
        name: "push a large blob in a session",
        run: |stage, ready| stage.push(LARGE, Way::Session, ready),
    },
    Scenario {
        name: "push a large blob in chunks",
        run: |stage, ready| stage.push(LARGE, Way::Chunks(3), ready),
    },
    Scenario {
        name: "push a large blob that is there already",
        run: |stage, ready| {
            let bytes = stage.bytes(LARGE);
            stage.recorder.push_blob("other", &bytes, Way::Session)?;
            ready()?;
            stage.recorder.push_blob("web", &bytes, Way::Session).map(drop)
        },
    },
    Scenario {
        name: "push a large blob under another algorithm than it was hashed with",
        run: |stage, ready| {
            let bytes = stage.bytes(LARGE);
            ready()?;
            let digest = format!("sha512:{}", hex(&Sha512::digest(&bytes)));
            stage.recorder.push_blob_as("web", &bytes, &digest, Way::Chunks(2))
        },
    },
    Scenario {
        name: "push many small blobs at once",
        run: |stage, ready| {
            ready()?;
            scope(|threads| {
                let push = |number: usize| {
                    let bytes = noise(&format!("{}/{number}", stage.number), SMALL);
                    stage.recorder.push_blob("web", &bytes, Way::Single).map(drop)
                };
                let pushes: Vec<_> = (0..AT_ONCE).map(|number| threads.spawn(move || push(number))).collect();
                pushes.into_iter().try_for_each(|push| push.join().unwrap())
            })
        },
    },
    Scenario {
        name: "push an image",
        run: |stage, ready| {
            ready()?;
            let (tag, layer) = (stage.tag("a"), stage.bytes(LARGE));
            stage.recorder.push_image("web", &tag, &layer, Way::Session).map(drop)
        },
    },
    Scenario {
        name: "push an image by digest and an index over it",
        run: |stage, ready| {
            let image = stage.image_without_manifest("web")?;
            ready()?;
            let child = stage.recorder.put_untagged("web", OCI_MANIFEST, &image)?;
            let descriptor = json!({ "mediaType": OCI_MANIFEST, "digest": child, "size": image.len() });
            let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor] }).to_string();
            let tag = stage.tag("index");
            stage
                .recorder
                .put_manifest("web", &tag, OCI_INDEX, index.as_bytes())
                .map(drop)
        },
    },
    Scenario {
        name: "mount a blob",
        run: |stage, ready| {
            let digest = stage.recorder.push_blob("other", &stage.bytes(LARGE), Way::Session)?;
            ready()?;
            stage.recorder.mount("web", "other", &digest)
        },
    },
    Scenario {
        name: "move a tag",
        run: |stage, ready| {
            let tag = stage.tag("moving");
            stage
                .recorder
                .push_image("web", &tag, &stage.bytes(SMALL), Way::Session)?;
            let image = stage.image_without_manifest("web")?;
            ready()?;
            stage.recorder.put_manifest("web", &tag, OCI_MANIFEST, &image).map(drop)
        },
    },
    Scenario {
        name: "delete a tag",
        run: |stage, ready| {
            let (tag, layer) = (stage.tag("a"), stage.bytes(LARGE));
            let image = stage.recorder.push_image("web", &tag, &layer, Way::Session)?;
            ready()?;
            let blobs = [digest(config_of(&layer).as_bytes()), digest(&layer)];
            stage
                .recorder
                .delete_tag("web", &tag, &image, &blobs.each_ref().map(String::as_str))
        },
    },
    Scenario {
        name: "delete an image",
        run: |stage, ready| {
            let (tag, layer) = (stage.tag("a"), stage.bytes(LARGE));
            let image = stage.recorder.push_image("web", &tag, &layer, Way::Session)?;
            ready()?;
            let blobs = [digest(config_of(&layer).as_bytes()), digest(&layer)];
            let blobs = blobs.each_ref().map(String::as_str);
            stage.recorder.delete_image("web", &image, &[&tag], &blobs)
        },
    },
    Scenario {
        name: "delete several images at once",
        run: |stage, ready| {
            let images = [stage.pushed("a", LARGE)?, stage.pushed("b", SMALL)?];
            ready()?;
            stage.control.delete_images(&images)
        },
    },
    Scenario {
        name: "restore a deleted image",
        run: |stage, ready| {
            let image = stage.pushed("a", LARGE)?;
            image.delete(&stage.recorder)?;
            ready()?;
            stage.control.restore(&image)
        },
    },
    Scenario {
        name: "purge a deleted image",
        run: |stage, ready| {
            let image = stage.pushed("a", LARGE)?;
            image.delete(&stage.recorder)?;
            ready()?;
            stage.control.purge(&image)
        },
    },
    Scenario {
        name: "let deleted images be purged",
        run: |stage, ready| {
            stage.pushed("a", LARGE)?.delete(&stage.recorder)?;
            ready()?;
            std::fs::write(&stage.clock_file, PAST_EXPIRY.to_string())?;
            let purged = stage.wait_until(
                "deleted images are purged",
                || Ok(stage.control.restorable("web")? == 0),
            );
            std::fs::remove_file(&stage.clock_file)?;
            purged
        },
    },
    Scenario {
        name: "roll a tag back to an image that was deleted",
        run: |stage, ready| {
            let image = stage.pushed("a", LARGE)?;
            let other = stage.bytes(SMALL);
            stage.recorder.push_image("web", &image.tag, &other, Way::Session)?;
            let blobs: Vec<&str> = image.blobs.iter().map(String::as_str).collect();
            stage.recorder.delete_image("web", &image.digest, &[], &blobs)?;
            ready()?;
            stage.control.roll_back(&image)
        },
    },
    Scenario {
        name: "delete an image with what refers to it",
        run: |stage, ready| {
            let image = stage.pushed("a", LARGE)?;
            let referrer = stage.push_referrer(&image)?;
            ready()?;
            stage.recorder.may_go("web", &referrer);
            image.delete(&stage.recorder)?;
            stage.wait_until("the referrer has followed", || {
                Ok(stage.recorder.client().manifest("web", &referrer)?.status == 404)
            })
        },
    },
    Scenario {
        name: "delete a blob",
        run: |stage, ready| {
            let digest = stage.recorder.push_blob("web", &stage.bytes(LARGE), Way::Session)?;
            ready()?;
            stage.recorder.delete_blob("web", &digest)
        },
    },
    Scenario {
        name: "cancel an upload",
        run: |stage, ready| {
            let upload = stage.recorder.begin_upload("web")?;
            let upload = stage.recorder.append(&upload, 0, &stage.bytes(LARGE))?;
            ready()?;
            stage.recorder.cancel(&upload)
        },
    },
    Scenario {
        name: "let uploads expire",
        run: |stage, ready| {
            let mut ids = Vec::new();
            for size in [SMALL, LARGE] {
                let upload = stage.recorder.begin_upload("web")?;
                let upload = stage.recorder.append(&upload, 0, &stage.bytes(size))?;
                stage.recorder.may_expire(&upload);
                ids.push(id_of(&upload)?);
            }
            ready()?;
            stage.expire_uploads(|left| ids.iter().any(|id| left.contains(id)))
        },
    },
    Scenario {
        name: "find bytes that no session leads to",
        run: |stage, ready| {
            let upload = stage.recorder.begin_upload("web")?;
            let id = id_of(&upload)?;
            stage.recorder.cancel(&upload)?;
            ready()?;
            std::fs::write(stage.upload_files().join(&id), stage.bytes(LARGE))?;
            stage.make_old(&id)?;
            stage.expire_uploads(|left| left.contains(&id))
        },
    },
    // Before what deletes blobs, which looks into the archive once there is one.
    Scenario {
        name: "archive an image and bring it back",
        run: |stage, ready| {
            // What a crash cut off is done first.
            stage.finish_moves()?;
            let image = stage.image_without_manifest("web")?;
            let client = stage.recorder.client();
            // The ledger watches the blobs only: whether the image can be pulled depends on where the crash is.
            let digest = digest(&image);
            client.put_manifest("web", &digest, OCI_MANIFEST, &image)?.expect(201)?;
            ready()?;
            for class in ["ARCHIVE", "STANDARD"] {
                stage.change_class(&digest, class)?;
                stage.finish_moves()?;
            }
            client.manifest("web", &digest)?.expect(200).map(drop)
        },
    },
    Scenario {
        name: "collect a blob that nobody needs",
        run: |stage, ready| {
            let digest = stage.recorder.push_blob("web", &stage.bytes(LARGE), Way::Session)?;
            stage.recorder.delete_blob("web", &digest)?;
            ready()?;
            stage.collect()
        },
    },
    Scenario {
        name: "go on with a deletion that somebody has begun",
        run: |stage, ready| {
            ready()?;
            let statement = format!(
                "PRAGMA busy_timeout = 5000; INSERT INTO blob_deletion (digest, repository_id, bytes, due_ms, token, lease_ms) \
                 VALUES ('{}', '', 0, 0, 'gone', 0)",
                digest(&stage.bytes(LARGE))
            );
            leftovers::query(&stage.data_folder.join("hythe.db"), &statement)?;
            stage.collect()
        },
    },
];

/// One run of a scenario.
struct Stage {
    recorder: Recorder,
    control: ControlRecorder,
    ledger: Arc<Ledger>,
    number: usize,
    data_folder: PathBuf,
    clock_file: PathBuf,
    credentials: Credentials,
}

impl Stage {
    /// Bytes that no other run pushes.
    fn bytes(&self, size: usize) -> Vec<u8> {
        noise(&format!("{}/{size}", self.number), size)
    }

    fn tag(&self, name: &str) -> String {
        format!("{name}-{}", self.number)
    }

    fn push(&self, size: usize, way: Way, ready: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        ready()?;
        self.recorder.push_blob("web", &self.bytes(size), way).map(drop)
    }

    /// Pushes an image of one layer with one tag.
    fn pushed(&self, name: &str, size: usize) -> Result<Pushed> {
        let (tag, layer) = (self.tag(name), self.bytes(size));
        Ok(Pushed {
            repository: "web".into(),
            digest: self.recorder.push_image("web", &tag, &layer, Way::Session)?,
            tag,
            blobs: vec![digest(config_of(&layer).as_bytes()), digest(&layer)],
        })
    }

    /// Pushes an artifact that refers to an image; answers its digest.
    fn push_referrer(&self, image: &Pushed) -> Result<String> {
        let config = self.recorder.push_blob("web", b"{}", Way::Session)?;
        let empty = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 });
        let size = self.recorder.client().manifest("web", &image.digest)?.body.len();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.signature",
            "config": empty,
            "layers": [empty],
            "subject": { "mediaType": OCI_MANIFEST, "digest": image.digest, "size": size },
        })
        .to_string();
        self.recorder.put_untagged("web", OCI_MANIFEST, manifest.as_bytes())
    }

    /// Waits for a condition, or for the end of the server, which is for the caller to notice.
    fn wait_until(&self, what: &str, is_met: impl Fn() -> Result<bool>) -> Result<()> {
        let address = self.recorder.client().address().to_owned();
        wait_until(what, LIMIT, || {
            is_met().unwrap_or(false) || std::net::TcpStream::connect(&address).is_err()
        })?;
        ensure!(is_met()?, "the server ended first");
        Ok(())
    }

    /// Everything that an image needs but its manifest, which is the answer.
    fn image_without_manifest(&self, repository: &str) -> Result<Vec<u8>> {
        let layer = self.bytes(LARGE + 1);
        let config = config_of(&layer);
        let config_digest = self.recorder.push_blob(repository, config.as_bytes(), Way::Session)?;
        let layer_digest = self.recorder.push_blob(repository, &layer, Way::Session)?;
        Ok(manifest(&config_digest, config.len(), &layer_digest, layer.len()))
    }

    /// Sets the clock forward and waits until no wanted trace of an upload is left: no session and no bytes.
    fn expire_uploads(&self, is_wanted: impl Fn(&str) -> bool) -> Result<()> {
        let left = || -> Result<Vec<String>> { Ok(self.uploads()?.into_iter().filter(|it| is_wanted(it)).collect()) };
        std::fs::write(&self.clock_file, PAST_EXPIRY.to_string())?;
        let address = self.recorder.client().address().to_owned();
        let waited = wait_until("uploads have expired", LIMIT, || {
            // The server may have ended: that is for the caller to notice.
            std::net::TcpStream::connect(&address).is_err() || left().is_ok_and(|left| left.is_empty())
        });
        std::fs::remove_file(&self.clock_file)?;
        waited.with_context(|| format!("left: {:?}", left()))?;
        ensure!(left()?.is_empty(), "the server ended first");
        Ok(())
    }

    /// Asks for a collection, and waits until it has come to its end or the server has.
    fn collect(&self) -> Result<()> {
        let (address, authorization) = (self.credentials.control_address(), self.credentials.basic());
        let call = |method: &str, path: &str| {
            http::request(address, method, path, &[("Authorization", authorization.as_str())], &[])
        };
        let run = call("POST", "/api/v1/garbage-collection/runs")?.expect(201)?.json()?;
        let id = run.get("runId").and_then(|id| id.as_str()).context("no run")?;
        let path = format!("/api/v1/garbage-collection/runs/{id}");
        let mut is_complete = false;
        wait_until("the collection has come to its end", LIMIT, || {
            match call("GET", &path) {
                Ok(answer) => {
                    let status = answer.json().ok().and_then(|run| run.get("status").cloned());
                    is_complete = status == Some("COMPLETE".into());
                    is_complete
                }
                // The server may have ended: that is for the caller to notice.
                Err(_) => true,
            }
        })?;
        ensure!(is_complete, "the server ended first");
        Ok(())
    }

    fn change_class(&self, image: &str, class: &str) -> Result<()> {
        let path = format!("/api/v1/repositories/web/images/{image}/storage-class");
        let body = json!({ "targetStorageClass": class }).to_string();
        let authorization = self.credentials.basic();
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        let address = self.credentials.control_address();
        http::request(address, "PUT", &path, &headers, body.as_bytes())?.expect(200)?;
        Ok(())
    }

    /// Waits until all bytes are where they belong, and no image is on its way out of the archive.
    fn finish_moves(&self) -> Result<()> {
        let database = self.data_folder.join("hythe.db");
        let left = || {
            let blobs = leftovers::query(&database, "SELECT * FROM blob_tier WHERE due_ms IS NOT NULL")?;
            let images = leftovers::query(&database, "SELECT digest FROM image WHERE status = 'ACTIVATING'")?;
            Ok::<_, anyhow::Error>([blobs, images].concat())
        };
        let address = self.recorder.client().address().to_owned();
        wait_until("the bytes of blobs are moved", LIMIT, || {
            // The server may have ended: that is for the caller to notice.
            std::net::TcpStream::connect(&address).is_err() || left().is_ok_and(|left| left.is_empty())
        })
        .with_context(|| format!("left: {:?}", left()))?;
        ensure!(left()?.is_empty(), "the server ended first");
        Ok(())
    }

    /// Every trace of an upload: rows and files.
    fn uploads(&self) -> Result<Vec<String>> {
        let database = self.data_folder.join("hythe.db");
        let rows = leftovers::query(&database, "SELECT id FROM upload")?;
        let mut left: Vec<String> = rows.iter().map(ToString::to_string).collect();
        for entry in std::fs::read_dir(self.upload_files())? {
            left.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(left)
    }

    fn upload_files(&self) -> PathBuf {
        self.data_folder.join("blobs/uploads")
    }

    /// Makes the bytes of an upload look as if nobody had touched them for long.
    fn make_old(&self, id: &str) -> Result<()> {
        let file = File::options().write(true).open(self.upload_files().join(id))?;
        Ok(file.set_modified(SystemTime::UNIX_EPOCH)?)
    }
}

/// A server whose fail points are watched.
struct Theatre {
    server: Server,
    folder: tempfile::TempDir,
    /// On another file system if there is one, so that bytes are copied.
    archive: tempfile::TempDir,
    /// The database, if it is not that in the data folder.
    postgres: Option<PostgresCluster>,
    runs: usize,
    /// What is expected of every run so far.
    ledgers: Vec<Arc<Ledger>>,
    visited: BTreeSet<String>,
}

impl Theatre {
    fn open() -> Result<Self> {
        Self::open_on(None)
    }

    fn open_on(postgres: Option<PostgresCluster>) -> Result<Self> {
        let database = postgres.as_ref().map(PostgresCluster::create_database).transpose()?;
        let mut named = tempfile::Builder::new();
        named.prefix("hythe-crash-");
        let folder = named.tempdir()?;
        let archive = if Path::new(MEMORY).is_dir() {
            named.tempdir_in(MEMORY)?
        } else {
            named.tempdir()?
        };
        let variable = |name: &str, value: &Path| (name.to_owned(), value.display().to_string());
        let options = ServerOptions {
            arguments: database.map(|url| vec!["--database".into(), url]).unwrap_or_default(),
            environment: vec![
                variable("HYTHE_TEST_FAIL_POINTS", folder.path()),
                variable("HYTHE_ARCHIVE_PATH", archive.path()),
                variable("HYTHE_TEST_CLOCK_OFFSET_FILE", &folder.path().join("clock")),
                ("HYTHE_TEST_EXPIRY_MILLISECONDS".into(), "250".into()),
                // Only when a scenario asks for it.
                ("HYTHE_COLLECTION".into(), "false".into()),
            ],
            ..ServerOptions::default()
        };
        let server = Server::start_with(options)?;
        for repository in ["web", "other"] {
            server.create_repository(repository)?;
        }
        Ok(Self {
            server,
            folder,
            archive,
            postgres,
            runs: 0,
            ledgers: Vec::new(),
            visited: BTreeSet::new(),
        })
    }

    fn stage(&mut self) -> Stage {
        self.runs += 1;
        let ledger = Arc::new(Ledger::default());
        self.ledgers.push(Arc::clone(&ledger));
        Stage {
            recorder: Recorder::new(RegistryClient::new(&self.server), &ledger),
            control: ControlRecorder::new(&self.server, &ledger),
            ledger,
            number: self.runs,
            data_folder: self.server.data_folder().to_owned(),
            clock_file: self.folder.path().join("clock"),
            credentials: self.server.credentials().clone(),
        }
    }

    fn leftovers(&self) -> Result<Leftovers> {
        let folder = self.server.data_folder();
        leftovers::examine_in(folder, &[&folder.join("blobs"), self.archive.path()])
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a scenario to its end; answers the fail points it came by, in order.
    fn rehearse(&mut self, scenario: &Scenario) -> Result<Vec<String>> {
        let stage = self.stage();
        let reached = self.file("reached");
        (scenario.run)(&stage, &mut || Ok(std::fs::write(&reached, "")?))?;
        let points = std::fs::read_to_string(&reached)?;
        self.compare(&stage)?;
        Ok(points.lines().map(str::to_owned).collect())
    }

    /// Runs a scenario until the server ends at a fail point; false if it did not come by.
    fn crash(&mut self, scenario: &Scenario, point: &str, pass: usize) -> Result<bool> {
        let stage = self.stage();
        let (armed, reached) = (self.file("armed"), self.file("reached"));
        let outcome = (scenario.run)(&stage, &mut || {
            std::fs::write(&reached, "")?;
            Ok(std::fs::write(&armed, format!("{point}:{pass}"))?)
        });
        std::fs::remove_file(&armed)?;
        let passes = std::fs::read_to_string(&reached)?;
        // What the server did by itself before it was armed does not count.
        let counted = format!("{point} armed");
        let is_reached = passes.lines().filter(|line| *line == counted).count() >= pass;
        let status = match self.end_within(if is_reached { LIMIT } else { Duration::ZERO }) {
            Some(status) => status,
            None if is_reached => bail!("the server has not ended at the fail point: {outcome:?}"),
            None => {
                let Err(error) = outcome.and_then(|()| self.compare(&stage)) else {
                    return Ok(false);
                };
                // By itself it may have read `armed` just before that went, and have come to its end after `reached` was read.
                self.end_within(LIMIT).ok_or(error)?
            }
        };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        ensure!(
            signal == Some(6),
            "the server ended with {status}, not by the fail point"
        );

        if self.postgres.is_none() {
            let found = self.leftovers()?;
            ensure!(found.problems.is_empty(), "{}", found.problems.join("\n"));
        }
        self.server.restart()?;
        stage.ledger.restarted();
        self.compare(&stage)?;
        self.visited.insert(point.to_owned());
        Ok(true)
    }

    /// How the server has ended; `None` if it has not within `limit`.
    fn end_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let mut status = None;
        let _in_vain = wait_until("the server has ended", limit, || {
            status = self.server.exit_status().ok().flatten();
            status.is_some()
        });
        status
    }

    fn compare(&self, stage: &Stage) -> Result<()> {
        let client = RegistryClient::new(&self.server);
        oracle::examine(&client, &stage.ledger.now(), Scope::All)?.clean()
    }

    /// Looks at everything once more, and lets what was left over be collected.
    fn close(mut self) -> Result<Verdict> {
        let stage = self.stage();
        let client = RegistryClient::new(&self.server);
        let mut verdict = Verdict::default();
        for ledger in &self.ledgers {
            // Uploads that had not ended have expired when the clock jumped.
            verdict.add(oracle::examine(&client, &ledger.now(), Scope::Finished)?);
        }
        verdict.clean()?;
        for entry in std::fs::read_dir(stage.upload_files())? {
            stage.make_old(&entry?.file_name().to_string_lossy())?;
        }
        stage
            .expire_uploads(|_| true)
            .context("what crashes left over is not collected")?;
        stage.finish_moves()?;
        let status = self.server.stop().context("it does not stop")?;
        ensure!(status.success(), "{status}");
        let found = self.leftovers()?;
        ensure!(found.problems.is_empty(), "{}", found.problems.join("\n"));
        Ok(verdict)
    }
}

#[test]
fn a_crash_at_any_fail_point_of_any_operation_loses_nothing() -> Result<()> {
    if client::find(&["sqlite3"])?.is_none() {
        return Ok(());
    }
    let written = fail_points_in_the_source()?;
    ensure!(!written.is_empty(), "there are no fail points");
    let mut theatre = Theatre::open()?;
    let mut crashes = 0;
    for scenario in SCENARIOS {
        let points = theatre
            .rehearse(scenario)
            .with_context(|| format!("{}: without a crash", scenario.name))?;
        let mut passes: Vec<(&str, usize)> = Vec::new();
        for point in &points {
            let pass = 1 + passes.iter().filter(|(known, _)| known == point).count();
            if pass <= MOST_PASSES {
                passes.push((point, pass));
            }
        }
        say(&format!("{}: {}", scenario.name, points.join(" ")));
        for (point, pass) in passes {
            let ended = theatre
                .crash(scenario, point, pass)
                .with_context(|| format!("{}: ended at {point}, pass {pass}", scenario.name))?;
            crashes += usize::from(ended);
        }
    }
    let unused: BTreeSet<String> = UNUSED.iter().map(|it| (*it).to_owned()).collect();
    let wanted: BTreeSet<String> = written.difference(&unused).cloned().collect();
    let missed: Vec<String> = wanted.difference(&theatre.visited).cloned().collect();
    let unknown: Vec<String> = theatre.visited.difference(&wanted).cloned().collect();
    let visited = theatre.visited.len();
    let verdict = theatre.close()?;
    say(&format!(
        "{crashes} crashes at {visited} fail points; {} things examined",
        verdict.examined
    ));
    ensure!(
        missed.is_empty(),
        "no scenario comes by these fail points, so nothing shows that a crash there is harmless: {missed:?}"
    );
    ensure!(
        unknown.is_empty(),
        "not found in the source, or said to be unused: {unknown:?}"
    );
    Ok(())
}

/// The operations of requests, ended where PostgreSQL commits. What is left over is not looked at here: that is up to the files,
/// which are the same, and to transactions, which are all or nothing.
#[test]
fn a_crash_where_postgresql_commits_loses_nothing() -> Result<()> {
    let Some(cluster) = PostgresCluster::find_or_start()? else {
        return Ok(());
    };
    let mut theatre = Theatre::open_on(Some(cluster))?;
    let scenarios: Vec<_> = SCENARIOS.iter().filter(|it| ON_POSTGRES.contains(&it.name)).collect();
    ensure!(scenarios.len() == ON_POSTGRES.len(), "a scenario has another name");
    let mut crashes = 0;
    for scenario in scenarios {
        let points = theatre
            .rehearse(scenario)
            .with_context(|| format!("{}: without a crash", scenario.name))?;
        for point in POSTGRES_POINTS {
            let passes = points.iter().filter(|it| it == point).count().min(MOST_PASSES);
            for pass in 1..=passes {
                let ended = theatre
                    .crash(scenario, point, pass)
                    .with_context(|| format!("{}: ended at {point}, pass {pass}", scenario.name))?;
                crashes += usize::from(ended);
            }
        }
    }
    let wanted: BTreeSet<String> = POSTGRES_POINTS.iter().map(|it| (*it).to_owned()).collect();
    ensure!(theatre.visited == wanted, "visited: {:?}", theatre.visited);
    let client = RegistryClient::new(&theatre.server);
    for ledger in &theatre.ledgers {
        oracle::examine(&client, &ledger.now(), Scope::All)?.clean()?;
    }
    say(&format!("{crashes} crashes where PostgreSQL commits"));
    Ok(())
}

#[test]
fn an_upload_that_was_cut_off_goes_on_where_it_was() -> Result<()> {
    let mut theatre = Theatre::open()?;
    let bytes = noise("goes on", 3 * LARGE);
    let (first, rest) = bytes.split_at(LARGE);
    let stage = theatre.stage();
    let upload = stage.recorder.begin_upload("web")?;
    let upload = stage.recorder.append(&upload, 0, first)?;
    theatre.server.kill9()?;
    theatre.server.restart()?;
    stage.ledger.restarted();
    theatre.compare(&stage)?;
    let upload = stage.recorder.append(&upload, LARGE, rest)?;
    let end = with_query(&upload, "digest", &digest(&bytes));
    stage.recorder.client().call("PUT", &end, &[], &[])?.expect(201)?;
    let target = format!("/v2/web/blobs/{}", digest(&bytes));
    let got = stage.recorder.client().call("GET", &target, &[], &[])?.expect(200)?;
    ensure!(got.body == bytes, "{} other bytes", got.body.len());
    Ok(())
}

/// The name of an upload, from the path for its bytes.
fn id_of(target: &str) -> Result<String> {
    let path = target.split('?').next().unwrap_or(target);
    Ok(path.rsplit('/').next().context("no name")?.to_owned())
}

/// The names in all calls of `fail_point` in the product.
fn fail_points_in_the_source() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let root = binary::workspace_folder();
    let mut folders = vec![root.join("registry"), root.join("controlplane")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)?;
                for call in text.split("fail_point(").skip(1) {
                    let argument = call.trim_start().strip_prefix('"');
                    names.extend(argument.and_then(|it| it.split('"').next()).map(str::to_owned));
                }
            }
        }
    }
    Ok(names)
}
