// SPDX-License-Identifier: Apache-2.0
//! A real Docker engine pulls through the cache what it pushed to another registry, Debian's `docker-registry`.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::image::{ImageRecipe, static_busybox};
use e2e::process::run;
use e2e::registry::digest;
use e2e::{DockerEngine, DockerRegistry, RegistryClient, Server, client};
use serde_json::json;

use super::{cache, imported, rule};

/// The layers of the image that is built.
const LAYERS: u64 = 4;
const FETCHES: &str = "hythe_registry_cache_fetches_total";

/// An engine that is logged in at a cache of a registry; `None` where one of them is not installed.
struct Stage {
    engine: DockerEngine,
    upstream: DockerRegistry,
    server: Server,
}

impl Stage {
    fn set() -> Result<Option<Self>> {
        if static_busybox().is_none() {
            client::skip("not installed: a static busybox (Debian: busybox-static)")?;
            return Ok(None);
        }
        let Some(engine) = DockerEngine::start()? else {
            return Ok(None);
        };
        let Some(upstream) = DockerRegistry::start()? else {
            return Ok(None);
        };
        let server = cache(&[])?;
        rule(
            &server,
            "hub",
            &format!("http://{}", upstream.address()),
            json!({ "tagFreshnessSeconds": 0 }),
        )?;
        let (password, _) = server.authorization_token(&json!({}))?;
        engine.login(server.registry(), "AWS", &password)?.ok()?;
        Ok(Some(Self {
            engine,
            upstream,
            server,
        }))
    }

    fn here(&self, name: &str) -> String {
        format!("{}/hub/{name}", self.server.registry())
    }

    /// Builds an image of several layers and pushes it to the upstream; the digest that docker printed.
    fn push(&self, name: &str, words: &str) -> Result<String> {
        let image = format!("{}/{name}", self.upstream.address());
        let context = self.engine.scratch().join("layers");
        std::fs::create_dir_all(&context)?;
        std::fs::copy(static_busybox().context("no static busybox")?, context.join("busybox"))?;
        let mut steps = "FROM scratch\nCOPY busybox /bin/busybox\n".to_owned();
        for layer in 1..LAYERS {
            std::fs::write(
                context.join(layer.to_string()),
                format!("{words} {layer}\n").repeat(50_000),
            )?;
            let _ = writeln!(steps, "COPY {layer} /data/{layer}");
        }
        let _ = writeln!(steps, "ENTRYPOINT [\"/bin/busybox\", \"echo\", \"{words}\"]");
        std::fs::write(context.join("Dockerfile"), steps)?;
        self.engine
            .docker(&["build", "--tag", &image, &context.display().to_string()])?;
        let printed = self.engine.docker(&["push", &image])?.stdout;
        let digest = printed.split_whitespace().find(|word| word.starts_with("sha256:"));
        Ok(digest.context("docker printed no digest")?.to_owned())
    }

    /// Nothing is left in the engine, so that a pull has to bring all of it.
    fn prune(&self) -> Result<()> {
        self.engine.docker(&["system", "prune", "--all", "--force"])?;
        let left = self.engine.docker(&["images", "--all", "--quiet"])?;
        ensure!(left.stdout.trim().is_empty(), "{}", left.stdout);
        Ok(())
    }

    /// Pulls an image with nothing of it there, and runs it; its digests.
    fn pull(&self, image: &str, words: &str) -> Result<String> {
        self.prune()?;
        self.engine.docker(&["pull", image])?;
        let said = self.engine.docker(&["run", "--rm", "--network=none", image])?;
        ensure!(said.stdout.trim() == words, "{image} says {}", said.stdout);
        let digests = ["image", "inspect", "--format", "{{json .RepoDigests}}", image];
        Ok(self.engine.docker(&digests)?.stdout)
    }
}

#[test]
fn docker_pulls_through_the_cache_cold_warm_and_without_the_upstream() -> Result<()> {
    let Some(mut stage) = Stage::set()? else {
        return Ok(());
    };
    let digest = stage.push("library/thing:v1", "landed")?;
    let image = stage.here("library/thing:v1");
    ensure!(stage.pull(&image, "landed")?.contains(&digest));
    ensure!(imported(&stage.server, "hub/library/thing", "v1")? == digest);
    let fetches = stage.server.metric(FETCHES)?;
    ensure!(fetches == LAYERS + 1, "{fetches} blobs were fetched");
    ensure!(stage.pull(&image, "landed")?.contains(&digest), "warm");

    // The tag moves there: what is new comes, what is the same is here.
    let moved = stage.push("library/thing:v1", "moved")?;
    ensure!(stage.pull(&image, "moved")?.contains(&moved));
    ensure!(imported(&stage.server, "hub/library/thing", "v1").is_ok());
    let all = stage.server.metric(FETCHES)?;
    // The layer with busybox may be the same.
    let of_the_move = all - fetches;
    ensure!(
        (LAYERS..=LAYERS + 1).contains(&of_the_move),
        "{of_the_move} blobs were fetched"
    );

    stage.upstream.kill9()?;
    ensure!(stage.pull(&image, "moved")?.contains(&moved), "without the upstream");
    let by_digest = format!("{}@{digest}", stage.here("library/thing"));
    ensure!(stage.pull(&by_digest, "landed")?.contains(&digest), "by digest");
    ensure!(stage.server.metric(FETCHES)? == all);
    stage
        .engine
        .docker_refused(&["pull", &stage.here("library/thing:v2")])?;
    Ok(())
}

#[test]
fn docker_pulls_the_platform_of_an_index_through_the_cache() -> Result<()> {
    let Some(programs) = client::find(&["skopeo"])? else {
        return Ok(());
    };
    let Some(mut stage) = Stage::set()? else {
        return Ok(());
    };
    let layout = stage.server.scratch().join("layout");
    let recipes = ["amd64", "arm64"].map(|architecture| ImageRecipe {
        architecture: architecture.to_owned(),
        ..ImageRecipe::text(architecture)
    });
    ImageRecipe::write_index(&recipes, &layout, "v1")?;
    let from = format!("oci:{}:v1", layout.display());
    let to = format!("docker://{}/library/multi:v1", stage.upstream.address());
    let mut copy = Command::new(&programs[0]);
    copy.args(["copy", "--all", "--dest-tls-verify=false", &from, &to])
        .env("HOME", stage.server.scratch());
    run(&mut copy)?.ok()?;
    // As it is there: skopeo may write it anew.
    let index = stage.upstream.client().manifest("library/multi", "v1")?.expect(200)?;
    let index = digest(&index.body);

    let image = stage.here("library/multi:v1");
    let pull = |stage: &Stage, architecture: &str| -> Result<()> {
        stage.prune()?;
        let platform = format!("linux/{architecture}");
        stage.engine.docker(&["pull", "--platform", &platform, &image])?;
        let inspected = [
            "image",
            "inspect",
            "--format",
            "{{.Architecture}} {{json .RepoDigests}}",
            &image,
        ];
        let inspected = stage.engine.docker(&inspected)?.stdout;
        ensure!(
            inspected.starts_with(architecture) && inspected.contains(&index),
            "{architecture}: {inspected}"
        );
        Ok(())
    };
    pull(&stage, "arm64")?;
    // The import brings the platforms that nobody pulled, too.
    ensure!(imported(&stage.server, "hub/library/multi", "v1")? == index);
    stage.upstream.kill9()?;
    for architecture in ["amd64", "arm64"] {
        pull(&stage, architecture)?;
    }
    let manifest = RegistryClient::new(&stage.server)
        .manifest("hub/library/multi", "v1")?
        .expect(200)?;
    ensure!(manifest.header("hythe-cache") == Some("STALE"), "{manifest:?}");
    stage
        .engine
        .docker_refused(&["pull", "--platform", "linux/s390x", &image])?;
    Ok(())
}
