// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask demo`: the main job end to end, in plain words: a server, `terraform apply`, a push, a pull.

mod carrier;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use e2e::binary::{self, workspace_folder};
use e2e::client;
use e2e::image::ImageRecipe;
use e2e::process::{Finished, run as run_to_end, run_within};
use e2e::server::clean_environment;
use e2e::terraform::write_mirror;
use e2e::{Server, ServerOptions};
use serde_json::Value;
use tempfile::TempDir;

use self::carrier::Carrier;
use crate::command::{cargo, show};
use crate::say;

/// The repository that `examples/quickstart` makes and the demo fills.
const REPOSITORY: &str = "team-a/web";

/// The tag that is pushed.
const TAG: &str = "1.0";

/// The version under which the provider is offered to `terraform init`.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How to show it.
#[derive(Debug, Args)]
pub struct Options {
    /// Leave the server running and say what to try.
    #[arg(long)]
    keep: bool,
    /// Take the binaries that are there instead of building them.
    #[arg(long)]
    no_build: bool,
}

/// Runs the demo. Whatever it starts or writes is gone afterwards, on failure and Ctrl-C too, unless it is to be kept.
pub fn run(options: &Options) -> Result<()> {
    e2e::interrupt::watch()?;
    let started = Instant::now();
    if !options.no_build {
        say::step("Build hythe and its Terraform provider", || {
            show(&mut cargo(&["build", "--quiet", "-p", "hythe", "-p", "hythe-provider"]))
        })?;
    }
    ensure!(
        client::path_of("terraform").is_some(),
        "Terraform is not installed, and the demo is about it"
    );
    let built = Instant::now();

    let server = say::step(
        "Start a server in an empty folder: SQLite, its own keys, free ports",
        || {
            let server = Server::start_with(ServerOptions {
                has_own_group: true,
                ..Default::default()
            })?;
            let credentials = server.credentials();
            say::line(&format!(
                "    registry {}, control plane {}",
                credentials.registry, credentials.endpoint
            ));
            Ok(server)
        },
    )?;
    let stage = Stage::set(&server)?;

    say::step(
        "terraform init: take the provider from a mirror folder, as from a registry",
        || stage.terraform(&["init", "-no-color"]).map(drop),
    )?;
    say::step("terraform apply: make the repositories of examples/quickstart", || {
        let printed = stage.terraform(&["apply", "-auto-approve", "-no-color"])?.stdout;
        let is_result = |line: &&str| !line.starts_with(' ') && (line.contains("complete") || line.contains(" = "));
        indent(printed.lines().filter(is_result));
        Ok(())
    })?;

    let carrier = say::step(
        "Choose who carries the image: docker, podman, skopeo, or hythe itself",
        || {
            let carrier = Carrier::choose(&server, stage.folder.path())?;
            say::line(&format!("    {}", carrier.describe()));
            Ok(carrier)
        },
    )?;
    let image = format!("{}/{REPOSITORY}:{TAG}", server.registry());
    let digest = say::step(&format!("Push a real image to {image}"), || {
        let layout = stage.folder.path().join("layout");
        let recipe = ImageRecipe::busybox("Hello from an image that has landed in Hythe.")?;
        recipe
            .unwrap_or_else(|| ImageRecipe::text("Hello from Hythe.\n"))
            .write(&layout, TAG)?;
        carrier.push(&layout, REPOSITORY, TAG)?;
        digest_of(&server)
    })?;
    say::line(&format!("    {digest}"));
    say::step("Forget it here and pull it back", || {
        carrier.pull(REPOSITORY, TAG, &digest)
    })?;

    say::step("Ask the server what it has", || {
        for question in [
            &["repository", "list"][..],
            &["tag", "list", REPOSITORY],
            &["image", "list", REPOSITORY],
        ] {
            say::line(&format!("    $ hythe {}", question.join(" ")));
            indent(hythe(&server, question)?.stdout.lines());
        }
        Ok(())
    })?;
    say::step("terraform plan again: nothing to change", || {
        let finished = stage.run(&["plan", "-no-color", "-detailed-exitcode"])?;
        ensure!(
            finished.status.code() == Some(0),
            "the second plan is not empty:\n{}",
            finished.both()
        );
        Ok(())
    })?;

    if options.keep {
        drop(carrier);
        return keep(server, stage);
    }
    say::step("terraform destroy, and look that nothing is left", || {
        stage.terraform(&["destroy", "-auto-approve", "-no-color"])?;
        let left = server.repository_names("")?;
        ensure!(left.is_empty(), "still there: {}", left.join(", "));
        Ok(())
    })?;
    say::step("Stop the server and remove every file", move || {
        drop(carrier);
        let mut server = server;
        let status = server.stop();
        let folders = [server.scratch().to_owned(), stage.folder.path().to_owned()];
        drop(stage);
        drop(server);
        ensure!(
            status.is_some_and(|it| it.success()),
            "the server did not stop by itself"
        );
        ensure!(
            !folders.iter().any(|folder| folder.exists()),
            "a temporary folder is left"
        );
        Ok(())
    })?;
    let total = started.elapsed();
    let once_built = say::seconds(built.elapsed());
    say::line(&format!(
        "\nAll of it worked, in {} ({once_built} once built).",
        say::seconds(total)
    ));
    Ok(())
}

/// The Terraform working folder.
struct Stage {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Stage {
    fn set(server: &Server) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hythe-demo-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("terraform"))?;
        let source = workspace_folder().join("examples/quickstart/main.tf");
        std::fs::copy(&source, path("terraform/main.tf")).with_context(|| format!("no `{}`", source.display()))?;
        write_mirror(&path("mirror"), VERSION)?;
        let mirror = path("mirror").display().to_string();
        std::fs::write(
            path("terraform.rc"),
            format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{mirror}\"\n  }}\n}}\n"),
        )?;
        let own = [
            ("TF_CLI_CONFIG_FILE", path("terraform.rc").display().to_string()),
            ("TF_IN_AUTOMATION", "1".to_owned()),
            ("TF_INPUT", "0".to_owned()),
            ("CHECKPOINT_DISABLE", "1".to_owned()),
        ];
        let environment = server.credentials().environment().into_iter().chain(own);
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).collect();
        Ok(Self { folder, environment })
    }

    fn run(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = Command::new("terraform");
        clean_environment(&mut command);
        command
            .args(arguments)
            .current_dir(self.folder.path().join("terraform"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Ctrl-C is ours to pass on, once.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        run_within(&mut command, Duration::from_mins(2))
    }

    fn terraform(&self, arguments: &[&str]) -> Result<Finished> {
        self.run(arguments)?.ok()
    }
}

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run_to_end(&mut server.command(arguments)?)?.ok()
}

/// The digest that the server says the tag names.
fn digest_of(server: &Server) -> Result<String> {
    let path = format!("{}/tags/{TAG}", e2e::server::repository_path(REPOSITORY));
    let tag = server.api("GET", &path, None)?.expect(200)?.json()?;
    Ok(tag
        .get("imageDigest")
        .and_then(Value::as_str)
        .context("the tag names no digest")?
        .to_owned())
}

fn indent<'a>(lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        say::line(&format!("      {line}"));
    }
}

fn keep(server: Server, stage: Stage) -> Result<()> {
    let (registry, endpoint, pid) = (
        server.registry().to_owned(),
        server.credentials().endpoint.clone(),
        server.pid(),
    );
    // Every Hythe program finds the credentials in `hythe-data` of the folder it runs in.
    let folder = stage.folder.path().join("terraform");
    std::os::unix::fs::symlink(server.data_folder(), folder.join("hythe-data"))?;
    let program = binary::hythe()?;
    let (terraform, server) = (stage.folder.keep(), server.keep_running());
    let (program, folder) = (program.display(), folder.display());
    let (terraform, server) = (terraform.display(), server.display());
    say::line(&format!(
        "
The server is still running (process {pid}): registry {registry}, control plane {endpoint}.

To look around, from the folder where its credentials are found:
  cd {folder}
  {program} repository list
  {program} image list {REPOSITORY}
  {program} login docker && docker pull {registry}/{REPOSITORY}:{TAG}
  TF_CLI_CONFIG_FILE={terraform}/terraform.rc terraform plan

To end it:
  kill {pid} && rm -r {server} {terraform}"
    ));
    Ok(())
}
