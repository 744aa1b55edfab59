// SPDX-License-Identifier: Apache-2.0
//! podman, buildah and skopeo against a real server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::image::ImageRecipe;
use e2e::process::{Finished, run, run_with_input};
use e2e::{Server, client, docker};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One of the tools, with storage, configuration and login of its own.
struct Tool {
    name: &'static str,
    folder: TempDir,
    auth_file: PathBuf,
}

impl Tool {
    /// `None` where it is not installed (or, for tools with storage, where we are not root): said aloud.
    fn find(name: &'static str) -> Result<Option<Self>> {
        if client::find(&[name])?.is_none() {
            return Ok(None);
        }
        if name != "skopeo" && !client::is_root() {
            client::skip(&format!("{name} with storage of its own needs root"))?;
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("hythe-ct-").tempdir()?;
        // Anything goes here: what may be pulled is not what these tests are about.
        std::fs::write(
            folder.path().join("policy.json"),
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )?;
        std::fs::create_dir_all(folder.path().join("home"))?;
        let auth_file = folder.path().join("auth.json");
        Ok(Some(Self {
            name,
            folder,
            auth_file,
        }))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.name);
        let path = |name: &str| self.folder.path().join(name);
        match self.name {
            "skopeo" => command.arg("--policy").arg(path("policy.json")),
            _ => command
                .arg("--root")
                .arg(path("root"))
                .arg("--runroot")
                .arg(path("run"))
                .args(["--storage-driver=vfs"]),
        };
        if self.name == "podman" {
            command.args(["--cgroup-manager=cgroupfs", "--events-backend=none"]);
        }
        command.args(arguments).current_dir(self.folder.path());
        command
            .env("REGISTRY_AUTH_FILE", &self.auth_file)
            .env("HOME", path("home"))
            .env("TMPDIR", self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(arguments))?.ok()
    }

    fn refused(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(arguments))?.refused()
    }

    fn login(&self, server: &Server) -> Result<()> {
        let (password, _) = server.authorization_token(&json!({}))?;
        let login = [
            "login",
            "--tls-verify=false",
            "--username=AWS",
            "--password-stdin",
            server.registry(),
        ];
        run_with_input(&mut self.command(&login), password.as_bytes())?.ok()?;
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        docker::unmount_below(self.folder.path());
    }
}

fn layout(folder: &Path, words: &str) -> Result<String> {
    let recipe = ImageRecipe::busybox(words)?.context("no static busybox (Debian: busybox-static)")?;
    recipe.write(folder, "1")
}

#[test]
fn podman_builds_pushes_pulls_and_runs() -> Result<()> {
    let Some(podman) = Tool::find("podman")? else {
        return Ok(());
    };
    let server = Server::start()?;
    server.create_repository("team-a/web")?;
    podman.login(&server)?;
    let image = format!("{}/team-a/web:1", server.registry());

    let busybox = e2e::image::static_busybox().context("no static busybox (Debian: busybox-static)")?;
    std::fs::copy(busybox, podman.folder.path().join("busybox"))?;
    let steps = "FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT [\"/bin/busybox\", \"echo\", \"podded\"]\n";
    std::fs::write(podman.folder.path().join("Containerfile"), steps)?;
    podman.run(&["build", "--quiet", "--tag", &image, "."])?;
    podman.run(&["push", "--tls-verify=false", "--digestfile=digest", &image])?;
    podman.run(&["rmi", "--force", &image])?;
    podman.run(&["pull", "--tls-verify=false", &image])?;
    // A container may not ask for higher limits than this process has.
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
    let ran = podman.run(&["run", "--rm", "--network=none", limits[0], limits[1], &image])?;
    ensure!(ran.stdout.trim() == "podded", "{}", ran.both());

    let digest = std::fs::read_to_string(podman.path("digest"))?;
    podman.run(&["rmi", "--force", "--all"])?;
    podman.run(&[
        "pull",
        "--tls-verify=false",
        &format!("{}/team-a/web@{digest}", server.registry()),
    ])?;
    Ok(())
}

#[test]
fn hythe_login_lets_podman_and_skopeo_in() -> Result<()> {
    for name in ["podman", "skopeo"] {
        let Some(tool) = Tool::find(name)? else { return Ok(()) };
        let server = Server::start()?;
        server.create_repository("entered")?;
        layout(&tool.folder.path().join("layout"), "entered")?;
        let image = format!("{}/entered:1", server.registry());
        let look: &dyn Fn() -> Command = &|| match name {
            "podman" => tool.command(&["pull", "--tls-verify=false", &image]),
            _ => tool.command(&["inspect", "--tls-verify=false", &format!("docker://{image}")]),
        };
        run(&mut server.command(&["image", "push", &tool.path("layout"), "entered:1"])?)?.ok()?;
        run(&mut look())?.refused()?;
        let mut login = server.command(&["login", name])?;
        run(login
            .env("REGISTRY_AUTH_FILE", &tool.auth_file)
            .env("HOME", tool.path("home")))?
        .ok()?;
        run(&mut look())?.ok()?;
    }
    Ok(())
}

#[test]
fn podman_and_skopeo_pull_what_is_open_to_everybody_without_a_login() -> Result<()> {
    for name in ["podman", "skopeo"] {
        let Some(tool) = Tool::find(name)? else { return Ok(()) };
        // podman insists on the file that it is told of.
        std::fs::write(&tool.auth_file, "{}")?;
        let server = Server::start()?;
        layout(&tool.folder.path().join("layout"), "open")?;
        for repository in ["team/open", "team/closed"] {
            server.create_repository(repository)?;
            let target = format!("{repository}:1");
            run(&mut server.command(&["image", "push", &tool.path("layout"), &target])?)?.ok()?;
        }
        let image = |repository: &str| format!("{}/team/{repository}:1", server.registry());
        let pull = |repository: &str| {
            if name == "podman" {
                return tool.command(&["pull", "--tls-verify=false", &image(repository)]);
            }
            let (from, to) = (format!("docker://{}", image(repository)), format!("dir:{repository}"));
            tool.command(&["copy", "--src-tls-verify=false", &from, &to])
        };
        // Neither is open at first, and what is not there looks the same.
        for repository in ["open", "closed", "absent"] {
            let refused = run(&mut pull(repository))?.refused()?;
            ensure!(
                refused.stderr.to_lowercase().contains("authentication required")
                    || refused.stderr.to_lowercase().contains("unauthorized")
                    || refused.stderr.contains("Not Authorized"),
                "{name} {repository}: {}",
                refused.stderr
            );
        }
        server.open_to_everybody("team/open")?;
        run(&mut pull("open"))?.ok()?;
        run(&mut pull("closed"))?.refused()?;
        // To pull is all that is open.
        let source = format!("oci:{}:1", tool.path("layout"));
        let push = match name {
            "podman" => vec!["push", "--tls-verify=false"],
            _ => vec!["copy", "--dest-tls-verify=false"],
        };
        let source = if name == "podman" { image("open") } else { source };
        let target = format!("docker://{}/team/open:2", server.registry());
        run(&mut tool.command(&[&push[..], &[&source, &target]].concat()))?.refused()?;
        let tags = server
            .api("GET", "/api/v1/repositories/team%2Fopen/tags", None)?
            .expect(200)?;
        ensure!(!tags.text().contains("\"2\""), "{}", tags.text());
    }
    Ok(())
}

#[test]
fn podman_is_refused_with_a_wrong_password() -> Result<()> {
    let Some(podman) = Tool::find("podman")? else {
        return Ok(());
    };
    let server = Server::start()?;
    let login = [
        "login",
        "--tls-verify=false",
        "--username=AWS",
        "--password-stdin",
        server.registry(),
    ];
    let refused = run_with_input(&mut podman.command(&login), b"wrong")?.refused()?;
    ensure!(
        refused.stderr.contains("invalid username/password"),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn buildah_builds_from_scratch_and_pushes_an_image_and_an_index() -> Result<()> {
    let Some(buildah) = Tool::find("buildah")? else {
        return Ok(());
    };
    let server = Server::start()?;
    server.create_repository("built")?;
    buildah.login(&server)?;
    let registry = server.registry();
    let busybox = e2e::image::static_busybox().context("no static busybox (Debian: busybox-static)")?;
    let busybox = busybox.display().to_string();
    let index = format!("{registry}/built:all");
    buildah.run(&["manifest", "create", &index])?;
    for architecture in ["amd64", "arm64"] {
        let image = format!("{registry}/built:{architecture}");
        let container = buildah
            .run(&["from", "--arch", architecture, "scratch"])?
            .stdout
            .trim()
            .to_owned();
        buildah.run(&["copy", &container, &busybox, "/bin/busybox"])?;
        buildah.run(&[
            "config",
            "--arch",
            architecture,
            "--entrypoint",
            "[\"/bin/busybox\"]",
            &container,
        ])?;
        buildah.run(&["commit", &container, &image])?;
        buildah.run(&["push", "--tls-verify=false", &image])?;
        buildah.run(&["manifest", "add", &index, &image])?;
    }
    buildah.run(&[
        "manifest",
        "push",
        "--all",
        "--tls-verify=false",
        &index,
        &format!("docker://{index}"),
    ])?;
    buildah.run(&["rmi", "--all", "--force"])?;
    buildah.run(&["pull", "--tls-verify=false", "--arch=arm64", &index])?;

    let images = server
        .api("GET", "/api/v1/repositories/built/images", None)?
        .expect(200)?
        .json()?;
    let kinds = images["images"].as_array().context("no images")?;
    let indexes = kinds.iter().filter(|it| {
        it["imageManifestMediaType"]
            .as_str()
            .is_some_and(|it| it.contains("index") || it.contains("manifest.list"))
    });
    ensure!(kinds.len() == 3 && indexes.count() == 1, "{images}");
    Ok(())
}

#[test]
fn skopeo_copies_every_format_inspects_lists_and_deletes() -> Result<()> {
    let Some(skopeo) = Tool::find("skopeo")? else {
        return Ok(());
    };
    let server = Server::start()?;
    server.create_repository("copied")?;
    skopeo.login(&server)?;
    let digest = layout(&skopeo.folder.path().join("layout"), "copied")?;
    let source = format!("oci:{}:1", skopeo.path("layout"));
    let target = |tag: &str| format!("docker://{}/copied:{tag}", server.registry());
    let push = ["copy", "--dest-tls-verify=false"];

    // As it is: the digest must survive.
    skopeo.run(&[&push[..], &["--preserve-digests", &source, &target("as-is")]].concat())?;
    let inspected = skopeo.run(&["inspect", "--tls-verify=false", &target("as-is")])?;
    let inspected: Value = serde_json::from_str(&inspected.stdout)?;
    ensure!(inspected["Digest"] == digest.as_str(), "{inspected}");
    ensure!(inspected["Architecture"] == e2e::image::architecture(), "{inspected}");

    for (format, media_type) in [
        ("oci", "application/vnd.oci.image.manifest.v1+json"),
        ("v2s2", "application/vnd.docker.distribution.manifest.v2+json"),
    ] {
        skopeo.run(&[&push[..], &["--format", format, &source, &target(format)]].concat())?;
        let raw = skopeo.run(&["inspect", "--raw", "--tls-verify=false", &target(format)])?;
        let raw: Value = serde_json::from_str(&raw.stdout)?;
        ensure!(raw["mediaType"] == media_type, "{format}: {raw}");
        let archive = format!("oci-archive:{}:{format}", skopeo.path(&format!("{format}.tar")));
        skopeo.run(&["copy", "--src-tls-verify=false", &target(format), &archive])?;
        let folder = format!("dir:{}", skopeo.path(&format!("{format}-dir")));
        skopeo.run(&["copy", "--src-tls-verify=false", &target(format), &folder])?;
    }
    // Schema 1 has no `mediaType`; its signatures come back with it.
    skopeo.run(&[&push[..], &["--format", "v2s1", &source, &target("v2s1")]].concat())?;
    let raw = skopeo.run(&["inspect", "--raw", "--tls-verify=false", &target("v2s1")])?;
    let raw: Value = serde_json::from_str(&raw.stdout)?;
    ensure!(raw["schemaVersion"] == 1 && raw["signatures"].is_array(), "v2s1: {raw}");
    let folder = format!("dir:{}", skopeo.path("v2s1-dir"));
    skopeo.run(&["copy", "--src-tls-verify=false", &target("v2s1"), &folder])?;

    let tags = skopeo.run(&[
        "list-tags",
        "--tls-verify=false",
        &format!("docker://{}/copied", server.registry()),
    ])?;
    let tags: Value = serde_json::from_str(&tags.stdout)?;
    ensure!(tags["Tags"] == json!(["as-is", "oci", "v2s1", "v2s2"]), "{tags}");

    skopeo.run(&["delete", "--tls-verify=false", &target("v2s2")])?;
    skopeo.refused(&["inspect", "--tls-verify=false", &target("v2s2")])?;
    skopeo.run(&["inspect", "--tls-verify=false", &target("as-is")])?;
    Ok(())
}

#[test]
fn skopeo_mirrors_a_repository_to_a_folder_and_back() -> Result<()> {
    let Some(skopeo) = Tool::find("skopeo")? else {
        return Ok(());
    };
    let server = Server::start()?;
    let registry = server.registry();
    for name in ["mirrored", "back/mirrored"] {
        server.create_repository(name)?;
    }
    skopeo.login(&server)?;
    for tag in ["1", "2"] {
        ImageRecipe::text(tag).write(&skopeo.folder.path().join("layout"), tag)?;
        let (source, target) = (
            format!("oci:layout:{tag}"),
            format!("docker://{registry}/mirrored:{tag}"),
        );
        skopeo.run(&["copy", "--dest-tls-verify=false", &source, &target])?;
    }
    let from = format!("{registry}/mirrored");
    let sync = ["sync", "--all"];
    skopeo.run(
        &[
            &sync[..],
            &["--src-tls-verify=false", "--src=docker", "--dest=dir", &from, "folder"],
        ]
        .concat(),
    )?;
    let to = format!("{registry}/back");
    skopeo.run(
        &[
            &sync[..],
            &["--dest-tls-verify=false", "--src=dir", "--dest=docker", "folder", &to],
        ]
        .concat(),
    )?;
    let client = e2e::RegistryClient::new(&server);
    for tag in ["1", "2"] {
        let there = client.manifest("mirrored", tag)?.expect(200)?;
        let back = client.manifest("back/mirrored", tag)?.expect(200)?;
        ensure!(there.body == back.body, "{tag} came back as another");
    }
    Ok(())
}

#[test]
fn skopeo_copies_an_index_with_all_its_images() -> Result<()> {
    let Some(skopeo) = Tool::find("skopeo")? else {
        return Ok(());
    };
    let server = Server::start()?;
    server.create_repository("indexed")?;
    skopeo.login(&server)?;
    let amd64 = ImageRecipe {
        architecture: "amd64".into(),
        ..ImageRecipe::text("for amd64")
    };
    let arm64 = ImageRecipe {
        architecture: "arm64".into(),
        ..ImageRecipe::text("for arm64")
    };
    let digest = ImageRecipe::write_index(&[amd64, arm64], &skopeo.folder.path().join("layout"), "all")?;
    let source = format!("oci:{}:all", skopeo.path("layout"));
    let target = format!("docker://{}/indexed:all", server.registry());
    let copy = ["copy", "--all", "--preserve-digests"];
    skopeo.run(&[&copy[..], &["--dest-tls-verify=false", &source, &target]].concat())?;
    let back = skopeo.path("back");
    let layout = format!("oci:{back}:all");
    skopeo.run(&[&copy[..], &["--src-tls-verify=false", &target, &layout]].concat())?;
    let name = digest.trim_start_matches("sha256:");
    ensure!(
        Path::new(&back).join("blobs/sha256").join(name).is_file(),
        "the index came back as something else"
    );
    Ok(())
}

#[test]
fn skopeo_trusts_the_development_ca_and_nothing_less() -> Result<()> {
    let Some(skopeo) = Tool::find("skopeo")? else {
        return Ok(());
    };
    let server = Server::start_with(e2e::ServerOptions {
        arguments: vec!["--tls-mode".into(), "development".into()],
        ..Default::default()
    })?;
    let credentials = server.credentials();
    ensure!(credentials.endpoint.starts_with("https://"), "{}", credentials.endpoint);
    let bundle = credentials.ca_bundle.clone().context("the credentials name no CA")?;
    run(&mut server.command(&["repository", "create", "sealed"])?)?.ok()?;

    std::fs::create_dir_all(skopeo.path("certs"))?;
    std::fs::copy(bundle, skopeo.folder.path().join("certs/ca.crt"))?;
    layout(&skopeo.folder.path().join("layout"), "sealed")?;
    let source = format!("oci:{}:1", skopeo.path("layout"));
    let target = format!("docker://{}/sealed:1", server.registry());
    let user = format!("{}:{}", credentials.access_key_id, credentials.secret_access_key);
    let certs = skopeo.path("certs");
    skopeo.run(&[
        "copy",
        "--dest-cert-dir",
        &certs,
        "--dest-creds",
        &user,
        &source,
        &target,
    ])?;
    skopeo.run(&["inspect", "--cert-dir", &certs, "--creds", &user, &target])?;
    let refused = skopeo.refused(&["inspect", "--creds", &user, &target])?;
    ensure!(refused.stderr.contains("x509"), "{}", refused.stderr);
    Ok(())
}
