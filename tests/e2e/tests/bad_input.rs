// SPDX-License-Identifier: Apache-2.0
//! What bad input gets from the real process: the right status and code, a message that helps, nothing half-stored.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::http::{self, Connection, Response};
use e2e::process::wait_until;
use e2e::registry::{OCI_MANIFEST, config_of, digest, manifest, with_query};
use e2e::{RegistryClient, Server, ServerOptions};
use serde_json::{Value, json};

/// Seconds after which the servers of this file give up a silent body.
const BODY_IDLE_SECONDS: u64 = 1;

fn serve() -> Result<Server> {
    let arguments = ["--body-idle-seconds".to_owned(), BODY_IDLE_SECONDS.to_string()];
    Server::start_with(ServerOptions {
        arguments: arguments.into(),
        ..Default::default()
    })
}

/// The first error of a registry answer: code and message.
fn oci_error(response: &Response) -> (String, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let member = |name: &str| body["errors"][0][name].as_str().unwrap_or_default().to_owned();
    (member("code"), member("message"))
}

/// The problem of a control-plane answer: code and detail.
fn problem(response: &Response) -> (String, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (member("code"), member("detail"))
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    Root,
    Nobody,
    /// With this `Authorization`.
    With(String),
}

/// One row of a table: what it shows, who sends, the request line, headers and body, and the wanted answer: status, code and
/// words of the message.
struct Row<'a>(&'a str, &'a Who, String, &'a [(&'a str, &'a str)], Vec<u8>, &'a str);

/// Sends every row and lists those whose answer is another one.
fn check(rows: Vec<Row>, server: &Server, address: &str, read: fn(&Response) -> (String, String)) -> Result<()> {
    let (count, mut wrong) = (rows.len(), Vec::new());
    for Row(what, who, line, headers, body, wanted) in rows {
        let authorization = match who {
            Who::Root => Some(server.credentials().basic()),
            Who::Nobody => None,
            Who::With(authorization) => Some(authorization.clone()),
        };
        let mut all = headers.to_vec();
        all.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let (method, target) = line.split_once(' ').context("not a request line")?;
        let response = http::request(address, method, target, &all, &body).context(what.to_owned())?;
        let (code, message) = read(&response);
        let (status, rest) = wanted.split_once(' ').context("not an answer")?;
        let (codes, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let fits = response.status.to_string() == status
            && codes.split('|').any(|it| it == code)
            && message.to_lowercase().contains(&words.to_lowercase());
        if !fits {
            wrong.push(format!(
                "{what}: wanted {wanted}, got {} {}",
                response.status,
                response.text()
            ));
        }
        let has_leak = ["panicked", "sqlx", ".rs:"]
            .iter()
            .any(|word| response.text().contains(word));
        ensure!(!has_leak && response.status < 500, "{what}: {}", response.text());
    }
    ensure!(
        wrong.is_empty(),
        "{} of {count} rows are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// Tokens that are worth nothing, or less than asked for.
struct Tokens {
    revoked: Who,
    forged: Who,
    /// May only read from `other`.
    scoped: Who,
}

fn tokens(server: &Server) -> Result<Tokens> {
    let who = |password: &str| Who::With(http::basic("AWS", password));
    let (revoked, id) = server.authorization_token(&json!({}))?;
    server
        .api("DELETE", &format!("/api/v1/authorization-tokens/{id}"), None)?
        .expect(200)?;
    let (forged, _) = server.authorization_token(&json!({}))?;
    let mut forged = forged.into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let reading = json!({ "scope": [{ "repositories": ["other"], "actions": ["ecr:BatchGetImage"] }] });
    let (scoped, _) = server.authorization_token(&reading)?;
    Ok(Tokens {
        revoked: who(&revoked),
        forged: who(&String::from_utf8(forged)?),
        scoped: who(&scoped),
    })
}

#[test]
fn the_registry_answers_bad_requests_with_status_code_and_reason() -> Result<()> {
    let server = serve()?;
    let root = RegistryClient::new(&server);
    server.create_repository("web")?;
    server.create_repository("other")?;
    server.create_repository_with(&json!({ "repositoryName": "fixed", "imageTagMutability": "IMMUTABLE" }))?;
    root.push_image("fixed", "1", b"the first")?;
    let Tokens {
        revoked,
        forged,
        scoped,
    } = tokens(&server)?;
    let (root_, nobody) = (Who::Root, Who::Nobody);
    let basic = |user, password| Who::With(http::basic(user, password));
    let (wrong, unknown, garbled) = (
        basic("AWS", "wrong"),
        basic("HYTHEAAAAAAAAAAAAAAA", "x"),
        Who::With("Basic !!!".into()),
    );

    let absent = digest(b"nobody has this");
    let layer = root.push_blob("other", b"layer")?;
    let config = root.push_blob("web", config_of(b"layer").as_bytes())?;
    let absent_layer = || manifest(&config, config_of(b"layer").len(), &absent, 5);
    let foreign_layer = manifest(&config, config_of(b"layer").len(), &layer, 5);
    let huge = [absent_layer(), vec![b' '; 5 * 1024 * 1024]].concat();
    let second = {
        let config = root.push_blob("fixed", config_of(b"the second").as_bytes())?;
        manifest(
            &config,
            config_of(b"the second").len(),
            &root.push_blob("fixed", b"the second")?,
            10,
        )
    };
    let (ahead, mismatched) = (
        root.begin_upload("web")?,
        with_query(&root.begin_upload("web")?, "digest", &absent),
    );
    let put = |reference: &str| format!("PUT /v2/web/manifests/{reference}");
    let start = |name: &str| format!("POST /v2/{name}/blobs/uploads/");
    let get = |path: &str| format!("GET /v2/{path}");
    let json_ = &[("Content-Type", OCI_MANIFEST)][..];
    let octets = &[("Content-Type", "application/octet-stream")][..];
    let from_five = &[octets[0], ("Content-Range", "5-9")][..];
    let none = &[][..];
    let layer_named = format!("400 MANIFEST_BLOB_UNKNOWN {absent}");

    #[rustfmt::skip]
    let rows = vec![
        Row("no password", &nobody, get("web/tags/list"), none, vec![], "401 UNAUTHORIZED"),
        Row("no password at the door", &nobody, get(""), none, vec![], "401 UNAUTHORIZED"),
        Row("wrong password", &wrong, get(""), none, vec![], "401 UNAUTHORIZED"),
        Row("unknown key", &unknown, get(""), none, vec![], "401 UNAUTHORIZED"),
        Row("garbled header", &garbled, get(""), none, vec![], "401 UNAUTHORIZED"),
        Row("forged token", &forged, get(""), none, vec![], "401 UNAUTHORIZED"),
        Row("revoked token", &revoked, get(""), none, vec![], "403 DENIED revoked"),
        Row("token for something else", &scoped, get("web/manifests/1"), none, vec![], "403 DENIED ecr:BatchGetImage"),
        Row("token for reading only", &scoped, start("other"), none, vec![], "403 DENIED ecr:InitiateLayerUpload"),
        Row("unknown repository", &root_, start("absent"), none, vec![], "404 NAME_UNKNOWN 'absent' does not exist"),
        Row("name in upper case", &root_, start("Upper"), none, vec![], "400 NAME_INVALID"),
        Row("name with double slash", &root_, start("a//b"), none, vec![], "400 NAME_INVALID"),
        Row("name too long", &root_, start(&"a".repeat(257)), none, vec![], "400 NAME_INVALID"),
        Row("unknown tag", &root_, get("web/manifests/absent"), none, vec![], "404 MANIFEST_UNKNOWN"),
        Row("unknown manifest", &root_, get(&format!("web/manifests/{absent}")), none, vec![], "404 MANIFEST_UNKNOWN"),
        Row("unknown blob", &root_, get(&format!("web/blobs/{absent}")), none, vec![], "404 BLOB_UNKNOWN"),
        Row("another repository's blob", &root_, get(&format!("web/blobs/{layer}")), none, vec![], "404 BLOB_UNKNOWN"),
        Row("digest too short", &root_, get("web/blobs/sha256:abc"), none, vec![], "400 DIGEST_INVALID"),
        Row("unknown algorithm", &root_, get("web/blobs/md5:d41d8cd98f00b204e9800998ecf8427e"), none, vec![], "400 DIGEST_INVALID"),
        Row("tag too long", &root_, put(&"t".repeat(129)), json_, absent_layer(), "400 TAG_INVALID"),
        Row("tag with a space", &root_, put("a%20b"), json_, absent_layer(), "400 TAG_INVALID"),
        Row("digest that does not match", &root_, format!("PUT {mismatched}"), octets, b"something else".into(), "400 DIGEST_INVALID"),
        Row("chunk out of order", &root_, format!("PATCH {ahead}"), from_five, b"fghij".into(), "416 BLOB_UPLOAD_INVALID"),
        Row("unknown upload", &root_, get("web/blobs/uploads/00000000-0000-7000-8000-000000000000"), none, vec![], "404 BLOB_UPLOAD_UNKNOWN"),
        Row("manifest of an absent layer", &root_, put("x"), json_, absent_layer(), &layer_named),
        Row("manifest of another repository's layer", &root_, put("x"), json_, foreign_layer, "400 MANIFEST_BLOB_UNKNOWN"),
        Row("manifest that is not JSON", &root_, put("x"), json_, b"{".into(), "400 MANIFEST_INVALID"),
        Row("manifest that is an array", &root_, put("x"), json_, b"[]".into(), "400 MANIFEST_INVALID"),
        Row("manifest under another digest", &root_, put(&absent), json_, absent_layer(), "400 DIGEST_INVALID|MANIFEST_INVALID"),
        Row("manifest of 5 MiB", &root_, put("huge"), json_, huge, "413 SIZE_INVALID"),
        Row("immutable tag", &root_, "PUT /v2/fixed/manifests/1".into(), json_, second, "400 TAG_INVALID cannot be overwritten because the tag is immutable"),
        Row("page of no size", &root_, get("web/tags/list?n=x"), none, vec![], "400 UNSUPPORTED"),
        Row("path that is none", &root_, get("web/nonsense"), none, vec![], "404 UNSUPPORTED|NAME_UNKNOWN|NAME_INVALID"),
        Row("method that is none", &root_, "POST /v2/web/manifests/x".into(), none, vec![], "405 UNSUPPORTED"),
    ];
    check(rows, &server, server.registry(), oci_error)?;
    nothing_half_stored(&server, &root)?;
    let challenge = http::request(server.registry(), "GET", "/v2/", &[], &[])?;
    let challenge = challenge.header("www-authenticate").context("no challenge")?;
    ensure!(
        challenge.starts_with("Bearer ") || challenge.starts_with("Basic "),
        "{challenge}"
    );
    Ok(())
}

/// No tag, no image, and no blob of an upload that did not match.
fn nothing_half_stored(server: &Server, root: &RegistryClient) -> Result<()> {
    for (repository, wanted) in [("web", vec![]), ("fixed", vec!["1"])] {
        let list = root
            .call("GET", &format!("/v2/{repository}/tags/list"), &[], &[])?
            .expect(200)?
            .json()?;
        let tags: Vec<&str> = list["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        ensure!(tags == wanted, "{repository}: {list}");
    }
    let images = server
        .api("GET", "/api/v1/repositories/web/images", None)?
        .expect(200)?
        .json()?;
    ensure!(images["images"] == json!([]), "{images}");
    let mismatched = format!("/v2/web/blobs/{}", digest(b"something else"));
    ensure!(
        root.call("HEAD", &mismatched, &[], &[])?.status == 404,
        "a blob that did not match was stored"
    );
    Ok(())
}

#[test]
fn the_control_plane_answers_bad_requests_with_status_code_and_reason() -> Result<()> {
    let server = serve()?;
    server.create_repository("web")?;
    let (root, nobody) = (Who::Root, Who::Nobody);
    let wrong = Who::With(http::basic(&server.credentials().access_key_id, "wrong"));
    let nonsense = Who::With("Bearer nonsense".into());
    let get = |path: &str| format!("GET /api/v1/{path}");
    let create = || "POST /api/v1/repositories".to_owned();
    let body = |value: Value| value.to_string().into_bytes();
    let tags: Vec<Value> = (0..51)
        .map(|n| json!({ "Key": format!("k{n}"), "Value": "v" }))
        .collect();
    let json_ = &[("Content-Type", "application/json")][..];
    let text = &[("Content-Type", "text/plain")][..];
    let none = &[][..];

    #[rustfmt::skip]
    let rows = vec![
        Row("nobody", &nobody, get("repositories"), none, vec![], "401 MissingAuthenticationTokenException"),
        Row("wrong secret", &wrong, get("repositories"), none, vec![], "401 UnrecognizedClientException"),
        Row("no token", &nonsense, get("repositories"), none, vec![], "401 UnrecognizedClientException"),
        Row("unknown repository", &root, get("repositories/absent"), none, vec![],
            "404 RepositoryNotFoundException The repository with name 'absent' does not exist in the registry with id '000000000000'"),
        Row("unknown path", &root, get("nonsense"), none, vec![], "404 ResourceNotFoundException"),
        Row("unknown method", &root, "PUT /api/v1/repositories".into(), json_, body(json!({})), "405 MethodNotAllowedException"),
        Row("repository twice", &root, create(), json_, body(json!({ "repositoryName": "web" })),
            "409 RepositoryAlreadyExistsException The repository with name 'web' already exists in the registry with id '000000000000'"),
        Row("name against the grammar", &root, create(), json_, body(json!({ "repositoryName": "Not/Good" })), "400 InvalidParameterException repositoryName"),
        Row("unknown member", &root, create(), json_, body(json!({ "repositoryName": "x1", "colour": "red" })), "400 InvalidParameterException|ValidationException colour"),
        Row("unknown value", &root, create(), json_, body(json!({ "repositoryName": "x1", "imageTagMutability": "MAYBE" })),
            "400 InvalidParameterException imageTagMutability"),
        Row("member missing", &root, create(), json_, body(json!({})), "400 InvalidParameterException|ValidationException repositoryName"),
        Row("not JSON", &root, create(), json_, b"{".into(), "400 InvalidParameterException|ValidationException"),
        Row("another media type", &root, create(), text, b"{}".into(), "415 UnsupportedMediaTypeException"),
        Row("body of 3 MiB", &root, create(), json_, vec![b' '; 3 * 1024 * 1024], "413 RequestEntityTooLarge"),
        Row("51 tags", &root, create(), json_, body(json!({ "repositoryName": "x1", "tags": tags })), "400 TooManyTagsException"),
        Row("page too large", &root, get("repositories?maxResults=1001"), none, vec![], "400 InvalidParameterException maxResults"),
        Row("page from nowhere", &root, get("repositories?nextToken=x"), none, vec![], "400 InvalidParameterException nextToken"),
        Row("path against the grammar", &root, get("repositories/Not%2FGood"), none, vec![], "400 InvalidParameterException"),
    ];
    check(rows, &server, server.credentials().control_address(), problem)?;
    let names = server.repository_names("")?;
    ensure!(names == ["web"], "something half-made is left: {names:?}");
    let refused = server.api("GET", "/api/v1/repositories/absent", None)?;
    ensure!(
        refused.header("content-type") == Some("application/problem+json"),
        "{:?}",
        refused.headers
    );
    Ok(())
}

#[test]
fn a_body_that_stalls_is_given_up_and_the_upload_goes_on_from_what_arrived() -> Result<()> {
    let server = serve()?;
    server.create_repository("web")?;
    let root = RegistryClient::new(&server);
    let upload = root.begin_upload("web")?;
    let started = Instant::now();
    let mut connection = root.connect()?;
    let headers = root.headers(&[
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", "1000000"),
    ]);
    connection.send_head("PATCH", &upload, &headers)?;
    connection.write(&[7; 1000])?;
    // Silence. The server must not wait for ever.
    let response = connection.receive(false)?;
    ensure!(response.status == 408, "{} {}", response.status, response.text());
    ensure!(
        started.elapsed() < Duration::from_secs(BODY_IDLE_SECONDS + 30),
        "it took {:?}",
        started.elapsed()
    );

    // The session is still good.
    let status = root.call("GET", &upload, &[], &[])?.expect(204)?;
    let held = status
        .header("range")
        .and_then(|range| range.rsplit('-').next())
        .and_then(|it| it.parse::<usize>().ok());
    let held = held.context("no Range")?;
    ensure!(held == 0 || held == 999, "the server says it holds bytes up to {held}");
    root.call("DELETE", &upload, &[], &[])?.expect(204)?;
    Ok(())
}

#[test]
fn a_client_that_goes_away_leaves_nothing_and_can_come_back() -> Result<()> {
    let server = serve()?;
    server.create_repository("web")?;
    let root = RegistryClient::new(&server);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = digest(&bytes);

    // In the middle of a single-request upload: nothing may be stored under that digest.
    let upload = root.begin_upload("web")?;
    let length = bytes.len().to_string();
    {
        let mut connection = root.connect()?;
        let headers = root.headers(&[
            ("Content-Type", "application/octet-stream"),
            ("Content-Length", &length),
        ]);
        connection.send_head("PUT", &with_query(&upload, "digest", &digest), &headers)?;
        connection.write(&bytes[..2_000_000])?;
    }
    ensure!(root.call("HEAD", &format!("/v2/web/blobs/{digest}"), &[], &[])?.status == 404);

    // In the middle of a chunk: the session says how far it got, and goes on from there.
    let upload = root.begin_upload("web")?;
    {
        let mut connection = root.connect()?;
        let headers = root.headers(&[
            ("Content-Type", "application/octet-stream"),
            ("Content-Length", &length),
        ]);
        connection.send_head("PATCH", &upload, &headers)?;
        connection.write(&bytes[..1_000_000])?;
    }
    let mut held = 0;
    wait_until("the server lets go of the upload", Duration::from_mins(1), || {
        let Ok(status) = root.call("GET", &upload, &[], &[]) else {
            return false;
        };
        let range = status.header("range").unwrap_or_default().to_owned();
        held = range
            .rsplit('-')
            .next()
            .and_then(|it| it.parse::<usize>().ok())
            .map_or(0, |last| last + 1);
        if range == "0-0" {
            held = 0;
        }
        let from = held.to_string() + "-" + &(bytes.len() - 1).to_string();
        let headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Range", from.as_str()),
        ];
        root.call("PATCH", &upload, &headers, &bytes[held..])
            .is_ok_and(|response| response.status == 202)
    })?;
    root.call("PUT", &with_query(&upload, "digest", &digest), &[], &[])?
        .expect(201)?;
    let back = root
        .call("GET", &format!("/v2/web/blobs/{digest}"), &[], &[])?
        .expect(200)?;
    ensure!(back.body == bytes, "other bytes came back");
    Ok(())
}

#[test]
fn a_truncated_upload_is_refused() -> Result<()> {
    let server = serve()?;
    server.create_repository("web")?;
    let root = RegistryClient::new(&server);
    let bytes = vec![3_u8; 200_000];
    let upload = root.begin_upload("web")?;
    root.call(
        "PATCH",
        &upload,
        &[("Content-Type", "application/octet-stream")],
        &bytes[..100_000],
    )?
    .expect(202)?;
    let response = root.call("PUT", &with_query(&upload, "digest", &digest(&bytes)), &[], &[])?;
    let (code, _) = oci_error(&response);
    ensure!(
        (response.status, code.as_str()) == (400, "DIGEST_INVALID"),
        "{} {}",
        response.status,
        response.text()
    );
    ensure!(
        root.call("HEAD", &format!("/v2/web/blobs/{}", digest(&bytes)), &[], &[])?
            .status
            == 404
    );
    Ok(())
}

#[test]
fn an_expired_token_is_refused() -> Result<()> {
    let server = serve()?;
    // The shortest that can be asked for is a minute, so that a test need not wait for that long it asks for less.
    let response = server.api(
        "POST",
        "/api/v1/authorization-tokens",
        Some(&json!({ "durationSeconds": 59 })),
    )?;
    let (code, detail) = problem(&response);
    ensure!(
        response.status == 400 && code == "InvalidParameterException" && detail.contains("durationSeconds"),
        "{detail}"
    );

    let renewable = json!({ "durationSeconds": 60, "renewable": true });
    let (password, _) = server.authorization_token(&renewable)?;
    let client = RegistryClient::with(server.registry(), Some(http::basic("AWS", &password)));
    let made = Instant::now();
    client.call("GET", "/v2/", &[], &[])?.expect(200)?;
    while made.elapsed() < Duration::from_secs(58) {
        sleep(Duration::from_millis(500));
    }
    let mut last = Response::default();
    wait_until("the token expires", Duration::from_secs(20), || {
        last = client.call("GET", "/v2/", &[], &[]).unwrap_or_default();
        last.status != 200
    })?;
    let (_, message) = oci_error(&last);
    ensure!(
        [401, 403].contains(&last.status) && message.contains("expired"),
        "{} {}",
        last.status,
        last.text()
    );
    Ok(())
}

#[test]
fn memory_does_not_grow_with_what_is_pushed_or_pulled() -> Result<()> {
    const MEBIBYTE: usize = 1024 * 1024;
    const LAYER_MEBIBYTES: usize = 300;
    const MAX_GROWTH_KIB: u64 = 64 * 1024;
    let server = serve()?;
    server.create_repository("web")?;
    let root = RegistryClient::new(&server);
    root.push_image("web", "warm", b"up")?;
    server.reset_peak_memory()?;
    let before = server.memory_kib("VmRSS")?;

    let piece: Vec<u8> = (0..=250_u8).cycle().take(MEBIBYTE).collect();
    let digest = {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for _ in 0..LAYER_MEBIBYTES {
            hash.update(&piece);
        }
        e2e::registry::digest_text(&hash.finalize())
    };
    let upload = root.begin_upload("web")?;
    let mut connection = root.connect()?;
    let length = (LAYER_MEBIBYTES * MEBIBYTE).to_string();
    let headers = root.headers(&[
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", &length),
    ]);
    connection.send_head("PUT", &with_query(&upload, "digest", &digest), &headers)?;
    for _ in 0..LAYER_MEBIBYTES {
        connection.write(&piece)?;
    }
    connection.receive(false)?.expect(201)?;
    pull_slowly(&root, &digest, LAYER_MEBIBYTES * MEBIBYTE)?;

    let growth = server.memory_kib("VmHWM")?.saturating_sub(before);
    ensure!(
        growth < MAX_GROWTH_KIB,
        "{LAYER_MEBIBYTES} MiB through the server made it grow by {growth} KiB"
    );
    Ok(())
}

/// Reads a blob in sips, so that a server that does not wait for its client has to buffer.
fn pull_slowly(root: &RegistryClient, digest: &str, length: usize) -> Result<()> {
    struct Sips(usize);
    impl std::io::Write for Sips {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                // One pause at the start is enough: all that the server is willing to buffer piles up here.
                sleep(Duration::from_millis(500));
            }
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut connection = Connection::open(root.address())?;
    connection.send_head("GET", &format!("/v2/web/blobs/{digest}"), &root.headers(&[]))?;
    let mut sips = Sips(0);
    connection.receive_to(false, &mut sips)?.expect(200)?;
    ensure!(sips.0 == length, "{} bytes came back", sips.0);
    Ok(())
}
