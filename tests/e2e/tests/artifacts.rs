// SPDX-License-Identifier: Apache-2.0
//! Clients that push, copy and sign whatever is no ordinary image: oras, crane, cosign and notation.
//!
//! These clients are in later Debian suites than the others. `cargo xtask test` leaves out the module of one that is not
//! to be had, and says so.
#![allow(clippy::indexing_slicing, reason = "test code")]

use anyhow::{Context, Result};
use e2e::client_home::ClientHome;
use e2e::image::ImageRecipe;
use e2e::{RegistryClient, Server};
use serde_json::Value;

/// A server with one repository that holds one image, `1`; answers the image's digest too.
fn server_with_image(repository: &str) -> Result<(Server, String)> {
    let server = Server::start()?;
    server.create_repository(repository)?;
    let layout = server.scratch().join("layout");
    let digest = ImageRecipe::text(repository).write(&layout, "1")?;
    let layout = layout.display().to_string();
    e2e::process::run(&mut server.command(&["image", "push", &layout, &format!("{repository}:1")])?)?.ok()?;
    Ok((server, digest))
}

fn tags(server: &Server, repository: &str) -> Result<Vec<String>> {
    let client = RegistryClient::new(server);
    let path = format!("/v2/{repository}/tags/list");
    let list = client.call("GET", &path, &[], b"")?.expect(200)?.json()?;
    let tags = list["tags"].as_array().context("no tags")?;
    Ok(tags.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// The artifact types of what refers to an image.
fn referrers(server: &Server, repository: &str, digest: &str) -> Result<Vec<String>> {
    let client = RegistryClient::new(server);
    let path = format!("/v2/{repository}/referrers/{digest}");
    let list = client.call("GET", &path, &[], b"")?.expect(200)?.json()?;
    let manifests = list["manifests"].as_array().context("no manifests")?;
    let types = manifests.iter().filter_map(|it| it["artifactType"].as_str());
    Ok(types.map(str::to_owned).collect())
}

/// The digest in what a client printed.
fn digest_in(text: &str) -> Result<String> {
    let at = text.find("sha256:").with_context(|| format!("no digest in {text}"))?;
    Ok(text.get(at..at + 71).context("the digest is cut short")?.to_owned())
}

mod oras {
    use anyhow::{Result, ensure};
    use e2e::Server;
    use e2e::client_home::ClientHome;

    use super::{digest_in, referrers, server_with_image, tags};

    #[test]
    fn pushes_pulls_and_copies_a_chart_and_a_module() -> Result<()> {
        let server = Server::start()?;
        let Some(oras) = ClientHome::logged_in("oras", &server)? else {
            return Ok(());
        };
        for (repository, artifact, config, layer) in [
            (
                "charts/web",
                None,
                Some("application/vnd.cncf.helm.config.v1+json"),
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            ),
            (
                "modules/web",
                Some("application/vnd.wasm.component.v1"),
                None,
                "application/wasm",
            ),
        ] {
            server.create_repository(repository)?;
            oras.write("content", repository)?;
            oras.write("config.json", "{\"name\":\"web\",\"version\":\"1.0.0\"}")?;
            let image = format!("{}/{repository}:1.0.0", server.registry());
            let file = format!("content:{layer}");
            let config = config.map(|config| format!("config.json:{config}"));
            let mut push = vec!["push", "--plain-http", image.as_str()];
            if let Some(config) = &config {
                push.extend(["--config", config.as_str()]);
            }
            if let Some(artifact) = artifact {
                push.extend(["--artifact-type", artifact]);
            }
            push.push(&file);
            let pushed = digest_in(&oras.run(&push)?.stdout)?;
            let resolved = oras.run(&["resolve", "--plain-http", &image])?.stdout;
            ensure!(resolved.trim() == pushed, "{resolved} is not {pushed}");
            std::fs::remove_file(oras.folder().join("content"))?;
            oras.run(&["pull", "--plain-http", "--output", ".", &image])?;
            ensure!(std::fs::read_to_string(oras.folder().join("content"))? == repository);
        }
        Ok(())
    }

    #[test]
    fn attaches_an_sbom_discovers_it_and_copies_it_along() -> Result<()> {
        let (server, digest) = server_with_image("attached")?;
        let Some(oras) = ClientHome::logged_in("oras", &server)? else {
            return Ok(());
        };
        server.create_repository("promoted")?;
        oras.write("sbom.json", "{\"spdxVersion\":\"SPDX-2.3\"}")?;
        let (from, to) = (
            format!("{}/attached:1", server.registry()),
            format!("{}/promoted:1", server.registry()),
        );
        let kind = "application/spdx+json";
        let file = format!("sbom.json:{kind}");
        oras.run(&["attach", "--plain-http", "--artifact-type", kind, &from, &file])?;
        ensure!(referrers(&server, "attached", &digest)? == [kind]);
        let found = oras.run(&["discover", "--plain-http", "--artifact-type", kind, &from])?;
        ensure!(found.stdout.contains(kind), "{}", found.both());

        oras.run(&["copy", "-r", "--from-plain-http", "--to-plain-http", &from, &to])?;
        ensure!(
            referrers(&server, "promoted", &digest)? == [kind],
            "the referrer stayed behind"
        );
        oras.run(&["tag", "--plain-http", &to, "stable"])?;
        ensure!(tags(&server, "promoted")? == ["1", "stable"]);
        oras.run(&["manifest", "delete", "--plain-http", "--force", &to])?;
        // By its digest, and so with all its tags.
        ensure!(tags(&server, "promoted")?.is_empty());
        Ok(())
    }
}

mod crane {
    use anyhow::{Result, ensure};
    use e2e::client_home::ClientHome;
    use serde_json::{Value, json};

    use super::server_with_image;

    #[test]
    fn pushes_pulls_copies_changes_lists_and_deletes() -> Result<()> {
        let (server, digest) = server_with_image("moved")?;
        let Some(crane) = ClientHome::logged_in("crane", &server)? else {
            return Ok(());
        };
        let run = |arguments: &[&str]| crane.run(&[arguments, &["--insecure"]].concat());
        let image = |tag: &str| format!("{}/moved:{tag}", server.registry());
        let digest_of = |tag: &str| anyhow::Ok(run(&["digest", &image(tag)])?.stdout.trim().to_owned());
        ensure!(digest_of("1")? == digest);

        run(&["pull", "--format=oci", &image("1"), "layout"])?;
        run(&["push", "layout", &image("pushed")])?;
        ensure!(digest_of("pushed")? == digest, "the image came back as another");
        run(&["pull", &image("1"), "image.tar"])?;
        run(&["push", "image.tar", &image("from-tar")])?;
        run(&["copy", &image("1"), &image("copied")])?;
        run(&["tag", &image("1"), "tagged"])?;
        run(&["mutate", "--label", "a=b", "--tag", &image("changed"), &image("1")])?;
        let config: Value = serde_json::from_str(&run(&["config", &image("changed")])?.stdout)?;
        ensure!(config["config"]["Labels"] == json!({ "a": "b" }), "{config}");
        let manifest: Value = serde_json::from_str(&run(&["manifest", &image("1")])?.stdout)?;
        let layer = manifest["layers"][0]["digest"].as_str().unwrap_or_default();
        let layer = format!("layout/blobs/sha256/{}", layer.trim_start_matches("sha256:"));
        run(&["append", "--new_layer", &layer, "--new_tag", &image("built")])?;
        run(&["validate", "--remote", &image("built")])?;

        let listed = run(&["ls", &format!("{}/moved", server.registry())])?.stdout;
        let listed: Vec<&str> = listed.split_whitespace().collect();
        ensure!(
            listed == ["1", "built", "changed", "copied", "from-tar", "pushed", "tagged"],
            "{listed:?}"
        );
        ensure!(run(&["catalog", server.registry()])?.stdout.trim() == "moved");
        run(&["delete", &image("copied")])?;
        crane.refused(&["digest", "--insecure", &image("copied")])?;
        ensure!(digest_of("1")? == digest, "more went than the tag");
        Ok(())
    }

    #[test]
    fn makes_an_index_that_protects_its_images() -> Result<()> {
        let (server, digest) = server_with_image("many")?;
        let Some(crane) = ClientHome::logged_in("crane", &server)? else {
            return Ok(());
        };
        let image = |tag: &str| format!("{}/many:{tag}", server.registry());
        let run = |arguments: &[&str]| crane.run(&[arguments, &["--insecure"]].concat());
        run(&["mutate", "--label", "a=b", "--tag", &image("2"), &image("1")])?;
        run(&[
            "index",
            "append",
            "-m",
            &image("1"),
            "-m",
            &image("2"),
            "-t",
            &image("all"),
        ])?;
        let index: Value = serde_json::from_str(&run(&["manifest", &image("all")])?.stdout)?;
        ensure!(
            index["manifests"].as_array().is_some_and(|images| images.len() == 2),
            "{index}"
        );
        let child = format!("{}/many@{digest}", server.registry());
        let refused = crane.refused(&["delete", "--insecure", &child])?;
        ensure!(
            refused.stderr.contains("referenced by manifest list"),
            "{}",
            refused.stderr
        );
        Ok(())
    }
}

/// What cosign needs to talk to a server without TLS.
const COSIGN_PLAIN: [&str; 2] = ["--allow-http-registry", "--allow-insecure-registry"];

fn cosign(home: &ClientHome, arguments: &[&str], image: &str) -> Result<e2e::process::Finished> {
    home.run(&[arguments, &COSIGN_PLAIN, &[image]].concat())
}

const VERIFY: [&str; 4] = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog"];
const VERIFY_ATTESTATION: [&str; 6] = [
    "verify-attestation",
    "--key",
    "cosign.pub",
    "--insecure-ignore-tlog",
    "--type",
    "spdxjson",
];

mod cosign2 {
    use anyhow::{Result, ensure};
    use e2e::client_home::ClientHome;

    use super::{COSIGN_PLAIN, VERIFY, VERIFY_ATTESTATION, cosign, server_with_image, tags};

    #[test]
    fn signs_attests_and_attaches_by_tag() -> Result<()> {
        let (server, digest) = server_with_image("signed")?;
        let Some(home) = ClientHome::logged_in("cosign", &server)? else {
            return Ok(());
        };
        let image = format!("{}/signed@{digest}", server.registry());
        home.write("sbom.json", "{\"spdxVersion\":\"SPDX-2.3\"}")?;
        home.run(&["generate-key-pair"])?;
        home.refused(&[&VERIFY[..], &COSIGN_PLAIN, &[&image]].concat())?;
        let offline = ["-y", "--key", "cosign.key", "--tlog-upload=false"];
        cosign(&home, &[&["sign"], &offline[..]].concat(), &image)?;
        let verified = cosign(&home, &VERIFY, &image)?;
        ensure!(verified.stdout.contains(&digest), "{}", verified.both());
        cosign(&home, &["attach", "sbom", "--sbom", "sbom.json"], &image)?;
        let attest = ["attest", "--type", "spdxjson", "--predicate", "sbom.json"];
        cosign(&home, &[&attest[..], &offline].concat(), &image)?;
        cosign(&home, &VERIFY_ATTESTATION, &image)?;
        let name = digest.replace(':', "-");
        let want = [
            "1".to_owned(),
            format!("{name}.att"),
            format!("{name}.sbom"),
            format!("{name}.sig"),
        ];
        ensure!(tags(&server, "signed")? == want);
        Ok(())
    }
}

mod cosign3 {
    use anyhow::{Result, ensure};
    use e2e::client_home::ClientHome;

    use super::{VERIFY, VERIFY_ATTESTATION, cosign, referrers, server_with_image, tags};

    #[test]
    fn signs_and_attests_by_referrer() -> Result<()> {
        let (server, digest) = server_with_image("bundled")?;
        let Some(home) = ClientHome::logged_in("cosign-3", &server)? else {
            return Ok(());
        };
        let image = format!("{}/bundled@{digest}", server.registry());
        home.write("sbom.json", "{\"spdxVersion\":\"SPDX-2.3\"}")?;
        home.run(&["generate-key-pair"])?;
        // No transparency log and no time stamps: nothing leaves this machine.
        home.run(&["signing-config", "create", "--out", "offline.json"])?;
        let offline = ["-y", "--key", "cosign.key", "--signing-config", "offline.json"];
        cosign(&home, &[&["sign"], &offline[..]].concat(), &image)?;
        cosign(&home, &VERIFY, &image)?;
        let attest = ["attest", "--type", "spdxjson", "--predicate", "sbom.json"];
        cosign(&home, &[&attest[..], &offline].concat(), &image)?;
        cosign(&home, &VERIFY_ATTESTATION, &image)?;
        let kinds = referrers(&server, "bundled", &digest)?;
        ensure!(
            kinds.len() == 2
                && kinds
                    .iter()
                    .all(|kind| kind.starts_with("application/vnd.dev.sigstore.bundle")),
            "{kinds:?}"
        );
        ensure!(tags(&server, "bundled")? == ["1"], "a signature took a tag");
        Ok(())
    }
}

mod notation {
    use anyhow::{Result, ensure};
    use e2e::client_home::ClientHome;
    use serde_json::json;

    use super::{referrers, server_with_image};

    #[test]
    fn signs_and_verifies_with_a_test_certificate() -> Result<()> {
        let (server, digest) = server_with_image("notated")?;
        let Some(notation) = ClientHome::logged_in("notation", &server)? else {
            return Ok(());
        };
        let image = format!("{}/notated@{digest}", server.registry());
        let credentials = server.credentials();
        let login = [
            "--insecure-registry",
            "--username",
            &credentials.access_key_id,
            "--password",
            &credentials.secret_access_key,
            &image,
        ];
        let policy = json!({ "version": "1.0", "trustPolicies": [{
            "name": "test", "registryScopes": ["*"], "signatureVerification": { "level": "strict" },
            "trustStores": ["ca:hythe-test"], "trustedIdentities": ["*"],
        }] });
        notation.write("policy.json", &policy.to_string())?;
        notation.run(&["cert", "generate-test", "--default", "hythe-test"])?;
        notation.run(&["policy", "import", "policy.json"])?;
        notation.refused(&[&["verify"], &login[..]].concat())?;
        notation.run(&[&["sign"], &login[..]].concat())?;
        let verified = notation.run(&[&["verify"], &login[..]].concat())?;
        ensure!(verified.both().contains("Successfully verified"), "{}", verified.both());
        ensure!(referrers(&server, "notated", &digest)? == ["application/vnd.cncf.notary.signature"]);
        Ok(())
    }
}

mod umoci {
    use anyhow::{Result, ensure};
    use e2e::client_home::ClientHome;
    use e2e::image::ImageRecipe;
    use e2e::{Server, client};

    #[test]
    fn edits_an_image_that_skopeo_carries() -> Result<()> {
        let server = Server::start()?;
        let Some(home) = ClientHome::logged_in("umoci", &server)? else {
            return Ok(());
        };
        let Some(skopeo) = client::find(&["skopeo"])?.and_then(|found| found.into_iter().next()) else {
            return Ok(());
        };
        server.create_repository("edited")?;
        home.write("policy.json", "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}")?;
        let carry = |arguments: &[&str]| {
            let policy = ["--policy", "policy.json", "copy"];
            e2e::process::run(&mut home.command_of(&skopeo, &[&policy, arguments].concat()))?.ok()
        };
        let image = |tag: &str| format!("docker://{}/edited:{tag}", server.registry());
        ImageRecipe::text("first").write(&home.folder().join("layout"), "1")?;
        carry(&["--dest-tls-verify=false", "oci:layout:1", &image("1")])?;
        carry(&["--src-tls-verify=false", &image("1"), "oci:here:1"])?;
        home.run(&["unpack", "--rootless", "--image", "here:1", "bundle"])?;
        home.write("bundle/rootfs/more.txt", "more")?;
        home.run(&["repack", "--image", "here:2", "bundle"])?;
        home.run(&["config", "--image", "here:2", "--config.label", "edited=yes"])?;
        carry(&["--dest-tls-verify=false", "oci:here:2", &image("2")])?;
        carry(&["--src-tls-verify=false", &image("2"), "oci:back:2"])?;
        home.run(&["unpack", "--rootless", "--image", "back:2", "again"])?;
        for (file, want) in [("README", "first"), ("more.txt", "more")] {
            let text = std::fs::read_to_string(home.folder().join("again/rootfs").join(file))?;
            ensure!(text == want, "{file}: {text}");
        }
        Ok(())
    }
}
