// SPDX-License-Identifier: Apache-2.0
//! "API": determining support, errors, and HTTP itself.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::Level::{May, Must, Should};
use crate::content::Algorithm;
use crate::table::Check;
use crate::wire::{Ask, Connection, Framing};
use crate::world::World;

const SUPPORT: &str = "Determining Support";
const ERRORS: &str = "Error Codes";
const HTTP: &str = "HTTP (RFC 9110, RFC 9112)";

pub(super) const CHECKS: &[Check] = &[
    Check::reading("ping", SUPPORT, Must, "GET and HEAD of `/v2/` answer 200", ping),
    Check::reading(
        "api-version-header",
        SUPPORT,
        May,
        "every answer has `Docker-Distribution-Api-Version: registry/2.0`, which old clients look for",
        api_version,
    ),
    Check::reading(
        "error-documents",
        ERRORS,
        Must,
        "an error document has `errors`, each with one of the specification's codes in capitals and with a message",
        error_documents,
    ),
    Check::reading(
        "unknown-routes",
        ERRORS,
        Must,
        "paths that are no part of the API are 404",
        unknown_routes,
    ),
    Check::reading(
        "method-not-allowed",
        HTTP,
        Must,
        "a method that a path does not have is 405, and `Allow` names those that it has",
        method_not_allowed,
    ),
    Check::reading(
        "keep-alive",
        HTTP,
        Must,
        "a connection serves one request after the other, errors among them",
        keep_alive,
    ),
    Check::reading(
        "header-case",
        HTTP,
        Must,
        "names of headers count in any case",
        header_case,
    ),
    Check::reading(
        "unread-body",
        HTTP,
        Should,
        "a body where none is expected disturbs nothing",
        unread_body,
    ),
    Check::reading(
        "escaped-path",
        HTTP,
        Must,
        "an escaped path is the same path",
        escaped_path,
    ),
];

fn ping(world: &World<'_>) -> Result<()> {
    for method in ["GET", "HEAD"] {
        world.send(&Ask::new(method, "/v2/"))?.expect(200)?;
    }
    Ok(())
}

fn api_version(world: &World<'_>) -> Result<()> {
    let paths = ["/v2/", "/v2/nowhere", "/elsewhere"].map(|path| Ask::new("GET", path));
    for ask in paths.into_iter().chain([world.ask("GET", "manifests/none")]) {
        for answer in [world.send(&ask)?, world.send_bare(&ask)?] {
            answer.with("docker-distribution-api-version", "registry/2.0")?;
        }
    }
    Ok(())
}

fn error_documents(world: &World<'_>) -> Result<()> {
    let digest = Algorithm::Sha256.digest(b"none");
    let cases = [
        ("manifests/none", 404, "MANIFEST_UNKNOWN"),
        (&format!("blobs/{digest}"), 404, "BLOB_UNKNOWN"),
        ("blobs/sha256:x", 400, "DIGEST_INVALID"),
        ("manifests/sha256:x", 400, "DIGEST_INVALID"),
        ("tags/list?n=x", 400, "UNSUPPORTED"),
    ];
    for (rest, status, code) in cases {
        let answer = world
            .get(rest)?
            .refused(status, code)?
            .with("content-type", "application/json")?;
        let errors = answer.json()?.get("errors").and_then(Value::as_array).map(Vec::len);
        ensure!(errors == Some(1), "not one error: {}", answer.text());
    }
    let ask = Ask::new("GET", format!("/v2/{}/tags/list", world.nowhere()));
    world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
    world
        .send(&Ask::new("GET", "/v2/Upper/tags/list"))?
        .refused(400, "NAME_INVALID")?;
    Ok(())
}

fn unknown_routes(world: &World<'_>) -> Result<()> {
    let own = format!("/v2/{}", world.repository());
    for path in [
        &own,
        &format!("{own}/tags"),
        &format!("{own}/tags/v1"),
        "/v2/tags/list",
        "/v1/",
        "/",
        "/v2x",
        "/v2//",
    ] {
        for method in ["GET", "HEAD"] {
            world.send(&Ask::new(method, path))?.expect(404)?;
        }
    }
    Ok(())
}

fn method_not_allowed(world: &World<'_>) -> Result<()> {
    let digest = Algorithm::Sha256.digest(b"none");
    let cases = [
        ("PUT", "tags/list", "GET"),
        ("DELETE", "tags/list", "GET"),
        ("POST", "manifests/v1", "HEAD, GET, PUT, DELETE"),
        ("PATCH", "manifests/v1", "HEAD, GET, PUT, DELETE"),
        ("PUT", &format!("blobs/{digest}"), "HEAD, GET, DELETE"),
        ("PUT", &format!("referrers/{digest}"), "GET"),
        ("GET", "blobs/uploads/", "POST"),
        ("HEAD", "blobs/uploads/", "POST"),
    ];
    for (method, rest, allowed) in cases {
        let answer = world.send(&world.ask(method, rest))?.expect(405)?;
        let mut found: Vec<&str> = answer.need("allow")?.split(", ").collect();
        let mut wanted: Vec<&str> = allowed.split(", ").collect();
        found.sort_unstable();
        wanted.sort_unstable();
        ensure!(found == wanted, "{rest} allows {found:?}");
    }
    Ok(())
}

fn keep_alive(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let blob = world.keep_blob(Algorithm::Sha256, 200_000)?;
    let asks = [
        (world.ask("HEAD", "manifests/v1"), 200),
        (world.ask("GET", "manifests/none"), 404),
        (world.ask("GET", &format!("blobs/{}", blob.digest)), 200),
        (world.ask("HEAD", "blobs/sha256:x"), 400),
        (world.ask("HEAD", &format!("blobs/{}", blob.digest)), 200),
        (world.ask("GET", "manifests/v1"), 200),
    ];
    let mut connection = Connection::open(&world.target().address)?;
    for _ in 0..2 {
        for (ask, status) in &asks {
            let answer = connection.talk(&world.authorized(ask)?)?.expect(*status)?;
            if ask.method == "GET" && ask.target.ends_with("/v1") {
                answer.with_body(&image.manifest.bytes)?;
            } else if ask.method == "GET" && *status == 200 {
                answer.with_body(&blob.bytes)?;
            }
        }
    }
    Ok(())
}

fn header_case(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    let put = world.ask("PUT", "manifests/v1").body(image.manifest.bytes.clone());
    world
        .keep(&put.header("cOnTeNt-TyPe", image.manifest.media_type.clone()))?
        .expect(201)?;
    let blob = world.keep_blob(Algorithm::Sha256, 100)?;
    let get = world.ask("GET", &format!("blobs/{}", blob.digest));
    world.send(&get.header("RANGE", "bytes=0-9"))?.expect(206)?;
    world.expect_manifest("v1", &image.manifest)
}

fn unread_body(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    for framing in [Framing::Length, Framing::Chunked] {
        let get = world.ask("GET", "manifests/v1").body(world.bytes(5000)).framed(framing);
        world.send(&get)?.expect(200)?.with_body(&image.manifest.bytes)?;
    }
    Ok(())
}

fn escaped_path(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let blob = world.keep_blob(Algorithm::Sha512, 100)?;
    let escaped = blob.digest.replace(':', "%3a");
    world
        .get(&format!("blobs/{escaped}"))?
        .expect(200)?
        .with_body(&blob.bytes)?;
    world
        .get("manifests/%76%31")?
        .expect(200)?
        .with_body(&image.manifest.bytes)?;
    Ok(())
}
