// SPDX-License-Identifier: Apache-2.0
//! Who carries the image to the registry and back: the first real client that works here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::process::{Finished, run, run_with_input};
use e2e::{Server, client, docker};
use serde_json::json;

use crate::command::works;

/// A client with configuration and storage of its own: nothing of the user's is touched.
#[derive(Debug)]
pub struct Carrier {
    kind: Kind,
    registry: String,
    folder: PathBuf,
    /// `hythe`, pointed at the server.
    hythe: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// The user's Docker engine, which may be named by a context that our own configuration lacks.
    docker_host: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Docker,
    Podman,
    Skopeo,
    Hythe,
}

impl Carrier {
    /// Takes the first client that works, and logs it in.
    pub fn choose(server: &Server, folder: &Path) -> Result<Self> {
        let folder = folder.join("carrier");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(
            folder.join("policy.json"),
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )?;
        let mut carrier = Self {
            kind: Kind::Docker,
            registry: server.registry().to_owned(),
            folder,
            hythe: e2e::binary::hythe()?,
            environment: server.credentials().environment(),
            docker_host: docker_host(),
        };
        for kind in [Kind::Docker, Kind::Podman, Kind::Skopeo] {
            carrier.kind = kind;
            if carrier.is_usable() {
                carrier.login(server)?;
                return Ok(carrier);
            }
        }
        carrier.kind = Kind::Hythe;
        Ok(carrier)
    }

    /// Which client it is and why.
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "docker: its engine answers",
            Kind::Podman => "podman: no Docker engine answers, podman works here",
            Kind::Skopeo => "skopeo: neither docker nor podman works here",
            Kind::Hythe => "hythe image push and pull: no container client works here",
        }
    }

    /// Pushes the image of an OCI layout.
    pub fn push(&self, layout: &Path, repository: &str, tag: &str) -> Result<()> {
        let image = format!("{}/{repository}:{tag}", self.registry);
        let source = format!("oci:{}:{tag}", layout.display());
        match self.kind {
            Kind::Docker => {
                self.build(layout, &image)?;
                self.ok(&["push", &image])?;
            }
            Kind::Podman => {
                self.build(layout, &image)?;
                self.ok(&["push", "--tls-verify=false", &image])?;
            }
            Kind::Skopeo => {
                self.ok(&["copy", "--dest-tls-verify=false", &source, &format!("docker://{image}")])?;
            }
            Kind::Hythe => {
                let layout = layout.display().to_string();
                self.ok(&["image", "push", &layout, &format!("{repository}:{tag}")])?;
            }
        }
        Ok(())
    }

    /// Forgets the image, pulls it by tag and by digest, and runs it where the client can.
    pub fn pull(&self, repository: &str, tag: &str, digest: &str) -> Result<()> {
        let image = format!("{}/{repository}:{tag}", self.registry);
        let pinned = format!("{}/{repository}@{digest}", self.registry);
        let place = |name: &str| self.folder.join(name).display().to_string();
        match self.kind {
            Kind::Docker => {
                self.ok(&["rmi", "--force", &image])?;
                self.ok(&["pull", &pinned])?;
                self.ok(&["pull", &image])?;
                let ran = run(self
                    .command(&["run", "--rm", "--network=none", &image])
                    .stdin(Stdio::null()))?;
                report_run(&ran);
                self.ok(&["rmi", "--force", &image, &pinned])?;
            }
            Kind::Podman => {
                self.ok(&["rmi", "--all", "--force"])?;
                self.ok(&["pull", "--quiet", "--tls-verify=false", &pinned])?;
                self.ok(&["pull", "--quiet", "--tls-verify=false", &image])?;
                let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
                let arguments = ["run", "--rm", "--network=none", limits[0], limits[1], &image];
                report_run(&run(&mut self.command(&arguments))?);
            }
            Kind::Skopeo => {
                let (source, target) = (format!("docker://{pinned}"), format!("oci:{}:{tag}", place("back")));
                self.ok(&["copy", "--src-tls-verify=false", &source, &target])?;
            }
            Kind::Hythe => {
                self.ok(&["image", "pull", &format!("{repository}:{tag}"), &place("back")])?;
            }
        }
        if matches!(self.kind, Kind::Skopeo | Kind::Hythe) {
            let name = digest.strip_prefix("sha256:").context("not a sha256 digest")?;
            let manifest = self.folder.join("back/blobs/sha256").join(name);
            ensure!(manifest.is_file(), "the image came back without its manifest {digest}");
        }
        Ok(())
    }

    fn is_usable(&self) -> bool {
        let question: &[&str] = match self.kind {
            Kind::Docker => &["info"],
            Kind::Podman => &["info", "--format={{.Store.GraphRoot}}"],
            Kind::Skopeo => &["--version"],
            Kind::Hythe => return true,
        };
        client::path_of(self.program()).is_some() && works(self.command(question).stdin(Stdio::null()))
    }

    fn login(&self, server: &Server) -> Result<()> {
        let (password, _) = server.authorization_token(&json!({}))?;
        let user = ["--username=AWS", "--password-stdin", &self.registry];
        let insecure: &[&str] = if self.kind == Kind::Docker {
            &[]
        } else {
            &["--tls-verify=false"]
        };
        let mut command = self.command(&[&["login"], insecure, &user[..]].concat());
        run_with_input(&mut command, password.as_bytes())?.ok()?;
        Ok(())
    }

    /// Engines do not read a layout, or not every one; they build from the same layer instead.
    fn build(&self, layout: &Path, image: &str) -> Result<()> {
        let blobs = layout.join("blobs/sha256");
        let largest = std::fs::read_dir(&blobs)?
            .filter_map(|entry| entry.ok().and_then(|it| Some((it.metadata().ok()?.len(), it.path()))))
            .max()
            .context("the layout is empty")?
            .1;
        let context = self.folder.join("context");
        std::fs::create_dir_all(&context)?;
        std::fs::copy(largest, context.join("layer.tar"))?;
        let runs = "ENTRYPOINT [\"/bin/busybox\", \"echo\", \"Hello from an image that has landed in Hythe.\"]";
        std::fs::write(
            context.join("Dockerfile"),
            format!("FROM scratch\nADD layer.tar /\n{runs}\n"),
        )?;
        let context = context.display().to_string();
        self.ok(&["build", "--quiet", "--tag", image, &context])?;
        Ok(())
    }

    const fn program(&self) -> &'static str {
        match self.kind {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
            Kind::Skopeo => "skopeo",
            Kind::Hythe => "hythe",
        }
    }

    fn ok(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(arguments))?.ok()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = |name: &str| self.folder.join(name);
        let mut command = match self.kind {
            Kind::Hythe => Command::new(&self.hythe),
            _ => Command::new(self.program()),
        };
        e2e::server::clean_environment(&mut command);
        match self.kind {
            Kind::Docker => {
                command.env("DOCKER_CONFIG", path("docker"));
                command.envs(self.docker_host.iter().map(|host| ("DOCKER_HOST", host)));
            }
            Kind::Podman => {
                command
                    .arg("--root")
                    .arg(path("storage"))
                    .arg("--runroot")
                    .arg(path("run"));
                command.args([
                    "--storage-driver=vfs",
                    "--cgroup-manager=cgroupfs",
                    "--events-backend=none",
                ]);
            }
            Kind::Skopeo => {
                command.arg("--policy").arg(path("policy.json"));
            }
            Kind::Hythe => {
                command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
            }
        }
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("REGISTRY_AUTH_FILE", path("auth.json"));
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        docker::unmount_below(&self.folder);
    }
}

/// Not every machine may run a container; that is no failure of the registry.
fn report_run(ran: &Finished) {
    if ran.status.success() {
        crate::say::line(&format!("    it runs: {}", ran.stdout.trim()));
    } else {
        crate::say::line("    (pulled by tag and digest; containers cannot be run here)");
    }
}

/// The engine of the user's current context.
fn docker_host() -> Option<String> {
    let mut command = Command::new("docker");
    command.args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
    let finished = run(&mut command).ok()?.ok().ok()?;
    Some(finished.stdout.trim().to_owned()).filter(|host| !host.is_empty())
}
