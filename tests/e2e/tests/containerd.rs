// SPDX-License-Identifier: Apache-2.0
//! A containerd of our own, driven by `ctr`, against a real server.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::image::ImageRecipe;
use e2e::process::{Daemon, Finished, run};
use e2e::{RegistryClient, Server, client, docker};
use tempfile::TempDir;

/// A running daemon with its own root, state and socket.
struct Containerd {
    // Order matters: the daemon stops, then its mounts go, then its folder.
    _daemon: Daemon,
    _mounts: Mounts,
    folder: TempDir,
}

struct Mounts(std::path::PathBuf);

impl Drop for Mounts {
    fn drop(&mut self) {
        docker::unmount_below(&self.0);
    }
}

impl Containerd {
    fn start() -> Result<Option<Self>> {
        if !client::is_root() {
            client::skip("a containerd of our own needs root")?;
            return Ok(None);
        }
        if client::find(&["containerd", "ctr"])?.is_none() {
            return Ok(None);
        }
        // Short: a socket's path has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("hythe-cd-").tempdir_in("/tmp")?;
        let path = |name: &str| folder.path().join(name);
        // What is left out would look for a network, a device mapper or a place outside the folder.
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\", \"io.containerd.internal.v1.tracing\"]\n[grpc]\naddress = \"{0}/sock\"\n",
            folder.path().display()
        );
        std::fs::write(path("config.toml"), config)?;
        let mounts = Mounts(folder.path().to_owned());
        let mut command = Command::new(client::path_of("containerd").context("no containerd")?);
        command.arg("--config").arg(path("config.toml"));
        let mut daemon = Daemon::start("containerd", &mut command, &path("log"))?;
        let socket = path("sock");
        daemon.wait_until("containerd answers", Duration::from_mins(1), || {
            let mut version = Command::new("ctr");
            version.arg("--address").arg(&socket).arg("version");
            run(&mut version).is_ok_and(|finished| finished.status.success())
        })?;
        Ok(Some(Self {
            _daemon: daemon,
            _mounts: mounts,
            folder,
        }))
    }

    fn ctr(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.folder.path().join("sock"))
            .args(arguments);
        run(&mut command)
    }
}

/// What says who we are, and that the server has no TLS.
fn access(server: &Server) -> [String; 3] {
    let credentials = server.credentials();
    let user = format!("{}:{}", credentials.access_key_id, credentials.secret_access_key);
    ["--plain-http".into(), "--user".into(), user]
}

#[test]
fn ctr_pulls_and_pushes_an_image_and_an_index() -> Result<()> {
    let Some(containerd) = Containerd::start()? else {
        return Ok(());
    };
    let server = Server::start()?;
    for name in ["from", "into"] {
        server.create_repository(name)?;
    }
    let own = ImageRecipe::text("carried by containerd");
    let other = ImageRecipe {
        architecture: "riscv64".into(),
        ..ImageRecipe::text("for another machine")
    };
    let layout = containerd.folder.path().join("layout");
    let image = own.write(&layout, "1")?;
    let index = ImageRecipe::write_index(&[own, other], &layout, "all")?;
    let folder = layout.display().to_string();
    for tag in ["1", "all"] {
        let push = ["image", "push", "--source-name", tag, &folder, &format!("from:{tag}")];
        run(&mut server.command(&push)?)?.ok()?;
    }
    let access = access(&server);
    let access: Vec<&str> = access.iter().map(String::as_str).collect();
    let registry = server.registry();
    for (tag, digest, more) in [("1", &image, &[][..]), ("all", &index, &["--all-platforms"][..])] {
        let (from, into) = (format!("{registry}/from:{tag}"), format!("{registry}/into:{tag}"));
        // The plain snapshotter works on every file system.
        let pull = [&["images", "pull", "--snapshotter", "native"], more, &access, &[&from]].concat();
        containerd.ctr(&pull)?.ok()?;
        let listed = containerd.ctr(&["images", "list"])?.ok()?.stdout;
        ensure!(listed.contains(digest.as_str()), "{listed}");
        containerd.ctr(&["images", "tag", &from, &into])?.ok()?;
        containerd
            .ctr(&[&["images", "push"], &access[..], &[&into]].concat())?
            .ok()?;
        let pushed = RegistryClient::new(&server).manifest("into", tag)?.expect(200)?;
        ensure!(
            pushed.header("docker-content-digest") == Some(digest.as_str()),
            "{tag} came back as another"
        );
        containerd
            .ctr(&[&["content", "fetch"], more, &access, &[&from]].concat())?
            .ok()?;
    }
    Ok(())
}

#[test]
fn ctr_is_refused_without_credentials() -> Result<()> {
    let Some(containerd) = Containerd::start()? else {
        return Ok(());
    };
    let server = Server::start()?;
    server.create_repository("closed")?;
    RegistryClient::new(&server).push_image("closed", "1", b"closed")?;
    let image = format!("{}/closed:1", server.registry());
    let refused = containerd
        .ctr(&["content", "fetch", "--plain-http", &image])?
        .refused()?;
    let said = refused.both().to_lowercase();
    ensure!(said.contains("authoriz") || said.contains("401"), "{said}");
    Ok(())
}
