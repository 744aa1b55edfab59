// SPDX-License-Identifier: Apache-2.0
//! The command line and the credential helper against a real server.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::image::ImageRecipe;
use e2e::process::{Finished, run, run_with_input};
use e2e::registry::OCI_MANIFEST;
use e2e::{RegistryClient, Server, ServerOptions, binary, http};
use serde_json::{Value, json};

fn hythe(server: &Server, arguments: &[&str]) -> Result<Finished> {
    run(server.command(arguments)?.env("HOME", server.scratch()))
}

fn json(server: &Server, arguments: &[&str]) -> Result<Value> {
    let finished = hythe(server, &[arguments, &["--output", "json"]].concat())?.ok()?;
    serde_json::from_str(&finished.stdout).with_context(|| format!("not JSON:\n{}", finished.both()))
}

#[test]
fn repositories_are_created_listed_described_and_deleted() -> Result<()> {
    let server = Server::start()?;
    let created = json(&server, &["repository", "create", "team-a/web"])?;
    ensure!(created["repositoryName"] == "team-a/web", "{created}");
    hythe(&server, &["repository", "create", "team-a/api"])?.ok()?;

    let listed = json(&server, &["repository", "list"])?;
    let text = listed.to_string();
    ensure!(text.contains("team-a/web") && text.contains("team-a/api"), "{text}");
    let table = hythe(&server, &["repository", "list"])?.ok()?.stdout;
    ensure!(table.contains("team-a/web"), "{table}");
    let described = json(&server, &["repository", "describe", "team-a/web"])?;
    ensure!(
        described["repositoryArn"] == "arn:aws:ecr:local:000000000000:repository/team-a/web",
        "{described}"
    );

    hythe(&server, &["repository", "delete", "team-a/api", "--yes"])?.ok()?;
    ensure!(server.repository("team-a/api")?.is_none());
    Ok(())
}

#[test]
fn a_repository_takes_sparse_indexes_if_it_is_told_to() -> Result<()> {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let server = Server::start()?;
    let created = json(&server, &["repository", "create", "web", "--allow-sparse-indexes"])?;
    ensure!(created["allowSparseIndexes"] == true, "{created}");
    let client = RegistryClient::new(&server);
    let there = client.push_image("web", "amd64", b"a platform")?;
    let size = client.manifest("web", &there)?.expect(200)?.body.len();
    // The image of the other platform stays where it is.
    let index = |size: usize| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{there}","size":{size}}},{{"mediaType":"{OCI_MANIFEST}","digest":"sha256:{}","size":7}}]}}"#,
            "5".repeat(64)
        )
    };
    client
        .put_manifest("web", "all", INDEX, index(size).as_bytes())?
        .expect(201)?;
    ensure!(client.manifest("web", "all")?.expect(200)?.body == index(size).as_bytes());
    // The child that is there is protected, as in any index.
    let path = format!("/v2/web/manifests/{there}");
    ensure!(client.call("DELETE", &path, &[], &[])?.status == 405);

    let updated = json(
        &server,
        &["repository", "update", "web", "--allow-sparse-indexes", "false"],
    )?;
    ensure!(updated["allowSparseIndexes"] == false, "{updated}");
    let refused = client.put_manifest("web", "all2", INDEX, (index(size) + "\n").as_bytes())?;
    ensure!(
        refused.status == 400 && refused.text().contains("MANIFEST_BLOB_UNKNOWN"),
        "{} {}",
        refused.status,
        refused.text()
    );
    ensure!(
        client.manifest("web", "all")?.status == 200,
        "an index that was there is gone"
    );
    Ok(())
}

#[test]
fn failures_say_what_to_do_and_end_with_a_code() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("there")?;
    for (arguments, words, code) in [
        (&["repository", "describe", "absent"][..], "does not exist", 3),
        (&["repository", "create", "there"], "already exists", 5),
        (&["repository", "create", "Not/Good"], "Not/Good", 2),
        (&["repository", "delete", "there"], "--yes", 2),
    ] {
        let refused = hythe(&server, arguments)?.refused()?;
        ensure!(
            refused.status.code() == Some(code),
            "{arguments:?}: {} {}",
            refused.status,
            refused.both()
        );
        ensure!(
            refused.stderr.contains(words) && refused.stdout.is_empty(),
            "{arguments:?}: {}",
            refused.both()
        );
        ensure!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
    }
    // A mistake in the command line itself has its own code, as usual.
    ensure!(hythe(&server, &["repository", "nonsense"])?.status.code() == Some(2));

    let mut wrong = server.command(&["repository", "list"])?;
    let refused = run(wrong.env("HYTHE_SECRET_ACCESS_KEY", "wrong"))?.refused()?;
    ensure!(refused.stderr.to_lowercase().contains("hint"), "{}", refused.stderr);
    let mut nowhere = server.command(&["repository", "list"])?;
    let refused = run(nowhere.env("HYTHE_ENDPOINT", "http://127.0.0.1:1"))?.refused()?;
    ensure!(refused.stderr.contains("127.0.0.1:1"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_rule_that_cannot_be_used_is_a_failure() -> Result<()> {
    let server = Server::start_with(ServerOptions {
        arguments: ["--outgoing-allow", "127.0.0.0/8"].map(str::to_owned).to_vec(),
        ..ServerOptions::default()
    })?;
    for (prefix, upstream) in [("up", "http://127.0.0.1:1"), ("plain", server.registry())] {
        let body = json!({ "ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": upstream });
        server
            .api("POST", "/api/v1/pull-through-cache-rules", Some(&body))?
            .expect(201)?;
    }
    let plain = hythe(&server, &["pull-through-cache", "validate", "plain"])?.refused()?;
    ensure!(
        plain.stderr.contains("does not speak TLS") && plain.stderr.contains("write `http://`"),
        "{plain:?}"
    );
    let nothing = hythe(&server, &["pull-through-cache", "update", "up"])?.refused()?;
    ensure!(
        nothing.status.code() == Some(2) && nothing.stderr.contains("--no-credential"),
        "{nothing:?}"
    );
    let body = json!({ "virtualRepositoryName": "all", "sources": [{ "repositoryPrefix": "team" }] });
    server
        .api("POST", "/api/v1/virtual-repositories", Some(&body))?
        .expect(201)?;
    let images = hythe(&server, &["image", "list", "all/web"])?.refused()?;
    ensure!(
        images.status.code() == Some(3) && images.stderr.contains("hythe virtual-repository show all"),
        "{images:?}"
    );
    for (more, is_json) in [(&[][..], false), (&["--output", "json"], true)] {
        let arguments = [&["pull-through-cache", "validate", "up"], more].concat();
        let refused = hythe(&server, &arguments)?.refused()?;
        ensure!(
            refused.status.code() == Some(1) && refused.stderr.contains("127.0.0.1:1 cannot be used: "),
            "{refused:?}"
        );
        if is_json {
            let answer: Value = serde_json::from_str(&refused.stdout)?;
            ensure!(
                answer["isValid"] == json!(false) && answer["failure"].is_string(),
                "{answer}"
            );
        } else {
            ensure!(refused.stdout.is_empty(), "{refused:?}");
        }
    }
    Ok(())
}

#[test]
fn login_prints_a_password_that_the_registry_takes() -> Result<()> {
    let server = Server::start()?;
    let password = hythe(&server, &["login", "--print-password"])?
        .ok()?
        .stdout
        .trim()
        .to_owned();
    let client = RegistryClient::with(server.registry(), Some(http::basic("AWS", &password)));
    client.call("GET", "/v2/", &[], &[])?.expect(200)?;
    Ok(())
}

#[test]
fn an_image_goes_up_and_comes_back_as_layout_and_as_archive() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("images")?;
    let path = |name: &str| server.scratch().join(name).display().to_string();
    let digest = ImageRecipe::text("carried by hythe itself").write(&server.scratch().join("layout"), "1")?;

    hythe(&server, &["image", "push", &path("layout"), "images:1"])?.ok()?;
    hythe(&server, &["image", "pull", "images:1", &path("back")])?.ok()?;
    hythe(&server, &["image", "pull", "images:1", &path("back.tar")])?.ok()?;
    hythe(&server, &["image", "push", &path("back.tar"), "images:2"])?.ok()?;
    for tag in ["1", "2"] {
        let got = RegistryClient::new(&server).manifest("images", tag)?.expect(200)?;
        ensure!(e2e::registry::digest(&got.body) == digest, "tag {tag} is another image");
    }
    let name = digest.trim_start_matches("sha256:");
    ensure!(
        server.scratch().join("back/blobs/sha256").join(name).is_file(),
        "the layout came back without its manifest"
    );

    let images = json(&server, &["image", "list", "images"])?;
    ensure!(images.to_string().contains(&digest), "{images}");
    let tags = json(&server, &["tag", "list", "images"])?;
    ensure!(tags.to_string().contains(&digest), "{tags}");
    Ok(())
}

#[test]
fn the_credential_helper_gets_lists_stores_and_erases() -> Result<()> {
    let server = Server::start()?;
    let helper = server.scratch().join("docker-credential-hythe");
    std::os::unix::fs::symlink(binary::hythe()?, &helper)?;
    let call = |verb: &str, input: &str| {
        let mut command = Command::new(&helper);
        e2e::server::clean_environment(&mut command);
        // The credentials file in `hythe-data` is all it needs.
        command
            .arg(verb)
            .current_dir(server.scratch())
            .env("HOME", server.scratch());
        run_with_input(&mut command, input.as_bytes())
    };
    let got: Value = serde_json::from_str(&call("get", server.registry())?.ok()?.stdout)?;
    ensure!(got["Username"] == "AWS", "{got}");
    let password = got["Secret"].as_str().context("no secret")?;
    let client = RegistryClient::with(server.registry(), Some(http::basic("AWS", password)));
    client.call("GET", "/v2/", &[], &[])?.expect(200)?;

    let listed: Value = serde_json::from_str(&call("list", "")?.ok()?.stdout)?;
    ensure!(listed.to_string().contains(server.registry()), "{listed}");
    let entry = serde_json::json!({ "ServerURL": server.registry(), "Username": "AWS", "Secret": "x" }).to_string();
    call("store", &entry)?.ok()?;
    call("erase", server.registry())?.ok()?;
    // Docker recognises these very words and goes on without a password.
    let refused = call("get", "elsewhere.example.com")?.refused()?;
    ensure!(
        refused.stdout.contains("credentials not found in native keychain"),
        "{}",
        refused.both()
    );
    Ok(())
}

#[test]
fn a_user_may_do_what_its_policies_say_and_nothing_more() -> Result<()> {
    let server = Server::start()?;
    server.create_repository("images")?;
    RegistryClient::new(&server).push_image("images", "1", b"to be read")?;
    json(&server, &["user", "create", "reader", "--policy", "PullOnly"])?;
    let key = json(&server, &["access-key", "create", "reader"])?;
    let member = |name: &str| {
        key[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no {name} in {key}"))
    };
    let (id, secret) = (member("accessKeyId")?, member("secretAccessKey")?);

    let reader = RegistryClient::with(server.registry(), Some(http::basic(&id, &secret)));
    reader.pull_image("images", "1")?;
    let refused = reader.call("POST", "/v2/images/blobs/uploads/", &[], &[])?;
    ensure!(
        refused.status == 403 && refused.text().contains("user/reader"),
        "{} {}",
        refused.status,
        refused.text()
    );
    let mut create = server.command(&["repository", "create", "more"])?;
    create
        .env("HYTHE_ACCESS_KEY_ID", &id)
        .env("HYTHE_SECRET_ACCESS_KEY", &secret);
    let refused = run(&mut create)?.refused()?;
    ensure!(refused.status.code() == Some(4), "{}", refused.both());

    // A key that is taken back stops at once.
    hythe(&server, &["access-key", "delete", "reader", &id, "--yes"])?.ok()?;
    ensure!(reader.call("GET", "/v2/", &[], &[])?.status == 401);
    Ok(())
}
