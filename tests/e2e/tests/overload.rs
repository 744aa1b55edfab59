// SPDX-License-Identifier: Apache-2.0
//! A real server with low bounds, each of which is reached: who is too many is told so, who is there goes on, and when there is
//! room again everybody gets in.
#![allow(clippy::indexing_slicing, reason = "test code")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::churn::noise;
use e2e::http::{self, Connection, Response};
use e2e::process::{run, wait_until};
use e2e::registry::{OCI_MANIFEST, digest, location, with_query};
use e2e::{RegistryClient, Server, ServerOptions, binary, client};

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_mins(1);
/// A blob that no pair of socket buffers holds, in bytes.
const LARGE: usize = 16 * 1024 * 1024;
/// Bytes of an upload, and how many of them are sent at first.
const UPLOAD: usize = 200_000;
const HALF: usize = 100_000;
const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

fn start(arguments: &[&str]) -> Result<(Server, RegistryClient)> {
    let server = Server::start_with(ServerOptions {
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        ..ServerOptions::default()
    })?;
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    Ok((server, client))
}

/// How much of a bound is taken.
fn taken(server: &Server, bound: &str) -> Result<u64> {
    let name = format!("hythe_registry_bound_taken{{bound=\"{bound}\"}} ");
    let address = server.credentials().control_address();
    let metrics = http::request(address, "GET", "/metrics", &[], &[])?.expect(200)?.text();
    let figure = metrics.lines().find_map(|line| line.strip_prefix(&name));
    Ok(figure.with_context(|| format!("no `{name}`"))?.trim().parse()?)
}

fn wait_for(server: &Server, bound: &str, wanted: u64) -> Result<()> {
    wait_until(&format!("{wanted} of {bound} are taken"), LIMIT, || {
        taken(server, bound).is_ok_and(|taken| taken == wanted)
    })
}

fn is_told_to_wait(answer: &Response, status: u16, code: &str) -> Result<()> {
    ensure!(answer.status == status, "{} {}", answer.status, answer.text());
    let seconds: u32 = answer.header("retry-after").context("no Retry-After")?.parse()?;
    ensure!((1..=60).contains(&seconds), "{seconds} s");
    let document = answer.json()?;
    ensure!(document["errors"][0]["code"] == code, "{document}");
    Ok(())
}

/// Whether every part of the server is well. One that is only slow to say so, as a disk that others keep busy, is asked again.
fn is_ready(server: &Server) -> Result<()> {
    let mut last = server.readiness();
    wait_until("/readyz has heard of every part", LIMIT, || {
        if last.as_ref().is_ok_and(is_slow) {
            last = server.readiness();
        }
        !last.as_ref().is_ok_and(is_slow)
    })?;
    let last = last?;
    ensure!(last.status == 200, "{} {}", last.status, last.text());
    Ok(())
}

/// Whether `/readyz` says of a part that it does not answer in time, and nothing worse of any.
fn is_slow(readiness: &Response) -> bool {
    let parts = readiness.json().unwrap_or_default();
    let parts = [&parts["database"], &parts["blobs"]];
    readiness.status == 503
        && parts.iter().any(|part| *part == "timeout")
        && parts.iter().all(|part| *part == "timeout" || *part == "ok")
}

/// Sends the head of a request and a part of its body.
fn begin(
    client: &RegistryClient,
    method: &str,
    target: &str,
    length: usize,
    part: &[u8],
    media_type: &str,
) -> Result<Connection> {
    let mut connection = client.connect()?;
    let length = length.to_string();
    let headers = client.headers(&[("Content-Type", media_type), ("Content-Length", &length)]);
    connection.send_head(method, target, &headers)?;
    connection.write(part)?;
    Ok(connection)
}

/// An upload of which half has been sent.
fn begin_upload(client: &RegistryClient, repository: &str, bytes: &[u8]) -> Result<Connection> {
    let upload = client.begin_upload(repository)?;
    begin(client, "PATCH", &upload, bytes.len(), &bytes[..HALF], OCTETS.1)
}

/// A request that is sent, with the head of its answer; the rest is not read.
fn ask_only(address: &str, path: &str, authorization: Option<&str>) -> Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let authorization = authorization
        .map(|value| format!("Authorization: {value}\r\n"))
        .unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\n")?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            bail!("the connection was closed after `{}`", String::from_utf8_lossy(&head));
        }
        head.push(byte[0]);
    }
    Ok((stream, String::from_utf8(head)?))
}

fn is_refusal(head: &str, status: &str) -> bool {
    head.starts_with(&format!("HTTP/1.1 {status}")) && head.to_lowercase().contains("\r\nretry-after: ")
}

#[test]
fn uploads_and_manifests_beyond_the_bounds_are_told_to_wait() -> Result<()> {
    let (server, client) = start(&[
        "--max-concurrent-uploads=1",
        "--max-concurrent-manifest-pushes=1",
        "--max-wait-seconds=1",
    ])?;
    let (first, second) = (noise("first", UPLOAD), noise("second", UPLOAD));
    let mut held = begin_upload(&client, "web", &first)?;
    wait_for(&server, "uploads", 1)?;
    let upload = client.begin_upload("web")?;
    is_told_to_wait(
        &client.call("PATCH", &upload, &[OCTETS], &second)?,
        429,
        "TOOMANYREQUESTS",
    )?;
    let whole = with_query("/v2/web/blobs/uploads/", "digest", &digest(&second));
    is_told_to_wait(
        &client.call("POST", &whole, &[OCTETS], &second)?,
        429,
        "TOOMANYREQUESTS",
    )?;
    held.write(&first[HALF..])?;
    held.receive(false)?.expect(202)?;
    client.call("PATCH", &upload, &[OCTETS], &second)?.expect(202)?;
    client.call("POST", &whole, &[OCTETS], &second)?.expect(201)?;

    let index = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let index_type = "application/vnd.oci.image.index.v1+json";
    let mut held = begin(
        &client,
        "PUT",
        "/v2/web/manifests/held",
        index.len(),
        &index[..10],
        index_type,
    )?;
    wait_for(&server, "manifest_pushes", 1)?;
    is_told_to_wait(
        &client.put_manifest("web", "other", index_type, index)?,
        429,
        "TOOMANYREQUESTS",
    )?;
    held.write(&index[10..])?;
    held.receive(false)?.expect(201)?;
    client.put_manifest("web", "other", index_type, index)?.expect(201)?;
    wait_for(&server, "uploads", 0)?;
    wait_for(&server, "manifest_pushes", 0)
}

#[test]
fn downloads_beyond_the_memory_for_bodies_are_told_to_wait() -> Result<()> {
    let (server, client) = start(&["--max-mib-in-flight=16", "--max-wait-seconds=1"])?;
    let bytes = noise("large", LARGE);
    let path = format!("/v2/web/blobs/{}", client.push_blob("web", &bytes)?);
    let authorization = server.credentials().basic();
    let mut unread = Vec::new();
    loop {
        let (stream, head) = ask_only(server.registry(), &path, Some(&authorization))?;
        if !head.starts_with("HTTP/1.1 200") {
            ensure!(is_refusal(&head, "503"), "{head}");
            break;
        }
        unread.push(stream);
        ensure!(unread.len() <= 32, "more than all of 16 MiB are handed out");
    }
    ensure!(!unread.is_empty(), "nobody gets anything");
    is_told_to_wait(&client.call("GET", &path, &[], &[])?, 503, "UNAVAILABLE")?;
    // What costs no memory goes on.
    client.call("HEAD", &path, &[], &[])?.expect(200)?;
    unread.clear();
    wait_for(&server, "bytes_in_flight", 0)?;
    ensure!(
        client.call("GET", &path, &[], &[])?.expect(200)?.body == bytes,
        "other bytes"
    );
    Ok(())
}

#[test]
fn requests_beyond_the_bound_are_told_to_wait_and_one_account_never_has_all() -> Result<()> {
    let (server, client) = start(&["--max-concurrent-requests=4"])?;
    let path = format!("/v2/web/blobs/{}", client.push_blob("web", &noise("large", LARGE))?);
    server.open_to_everybody("web")?;
    let authorization = server.credentials().basic();
    let mut unread = Vec::new();
    for _ in 0..3 {
        let (stream, head) = ask_only(server.registry(), &path, Some(&authorization))?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        unread.push(stream);
    }
    // A HEAD has no document; its status and header say it.
    let answer = client.call("HEAD", &path, &[], &[])?;
    ensure!(
        answer.status == 429 && answer.header("retry-after").is_some(),
        "{answer:?}"
    );
    is_told_to_wait(
        &client.call("GET", "/v2/web/tags/list", &[], &[])?,
        429,
        "TOOMANYREQUESTS",
    )?;
    // Somebody else finds the last place, and whoever comes then finds none.
    let (stream, head) = ask_only(server.registry(), &path, None)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    unread.push(stream);
    is_told_to_wait(&client.call("GET", "/v2/web/tags/list", &[], &[])?, 503, "UNAVAILABLE")?;
    unread.clear();
    wait_for(&server, "requests", 0)?;
    client.call("GET", "/v2/web/tags/list", &[], &[])?.expect(200)?;
    Ok(())
}

#[test]
fn connections_beyond_the_bounds_are_told_to_try_again() -> Result<()> {
    for (bounds, others) in [
        ("--max-connections=6", "503"),
        ("--max-connections-per-address=6", "401"),
    ] {
        let (server, client) = start(&[bounds])?;
        drop(client);
        let mut kept = Vec::new();
        wait_until("six connections are answered", LIMIT, || {
            // The connection that made the repository may not be gone yet.
            if let Ok((stream, head)) = ask_only(server.registry(), "/v2/", None)
                && head.starts_with("HTTP/1.1 401")
            {
                kept.push(stream);
            }
            kept.len() == 6
        })?;
        let (_, head) = ask_only(server.registry(), "/v2/", None)?;
        ensure!(is_refusal(&head, "503"), "{head}");
        if client::find(&["curl"])?.is_some() {
            let url = format!("http://{}/v2/", server.registry());
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--interface", "127.0.0.2", "--output", "/dev/null"]);
            let said = run(curl.args(["--write-out", "%{http_code}", &url]))?.ok()?.stdout;
            ensure!(said == others, "another address is answered {said} with {bounds}");
        }
        // Those that are there go on, and one that leaves makes room.
        let mut first = kept.remove(0);
        write!(first, "GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        drop(first);
        wait_until("there is room again", LIMIT, || {
            ask_only(server.registry(), "/v2/", None).is_ok_and(|(_, head)| head.starts_with("HTTP/1.1 401"))
        })?;
    }
    Ok(())
}

/// A new account with a repository: its administrator, as a client.
fn account(server: &Server, id: &str) -> Result<RegistryClient> {
    let authorization = server.create_account(id)?;
    let made = http::request(
        server.credentials().control_address(),
        "POST",
        "/api/v1/repositories",
        &[("Authorization", &authorization), ("Content-Type", "application/json")],
        br#"{"repositoryName":"web"}"#,
    )?;
    made.expect(201)?;
    Ok(RegistryClient::with(server.registry(), Some(authorization)))
}

#[test]
fn an_account_that_pushes_a_lot_leaves_room_for_another() -> Result<()> {
    let (server, _) = start(&[
        "--max-concurrent-uploads=4",
        "--tenant-share-percent=50",
        "--max-wait-seconds=120",
    ])?;
    let (busy, other) = (account(&server, "111111111111")?, account(&server, "222222222222")?);
    let (ours, theirs) = ("111111111111/web", "222222222222/web");
    let bytes = noise("busy", UPLOAD);
    // Alone, it may have nearly all.
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(begin_upload(&busy, ours, &bytes)?);
    }
    wait_for(&server, "uploads", 3)?;
    let mut more = begin_upload(&busy, ours, &bytes)?;
    more.write(&bytes[HALF..])?;
    // Whoever comes next finds room each time.
    for number in 0..10 {
        other.push_blob(theirs, &noise(&format!("other {number}"), UPLOAD))?;
    }
    let mut one = begin_upload(&other, theirs, &bytes)?;
    wait_for(&server, "uploads", 4)?;
    let mut two = begin_upload(&other, theirs, &bytes)?;
    two.write(&bytes[HALF..])?;
    // What becomes free goes to who has less than its share, not to who was there first.
    let mut first = held.remove(0);
    first.write(&bytes[HALF..])?;
    first.receive(false)?.expect(202)?;
    two.receive(false)?.expect(202)?;
    wait_for(&server, "uploads", 3)?;
    one.write(&bytes[HALF..])?;
    one.receive(false)?.expect(202)?;
    more.receive(false)?.expect(202)?;
    for mut rest in held {
        rest.write(&bytes[HALF..])?;
        rest.receive(false)?.expect(202)?;
    }
    wait_for(&server, "uploads", 0)
}

#[test]
fn few_file_descriptors_are_enough_when_all_of_them_are_wanted() -> Result<()> {
    const CONNECTIONS: usize = 200;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("hythe");
    let script = format!(
        "#!/bin/sh\nulimit -n 720\nexec '{}' \"$@\"\n",
        binary::hythe()?.display()
    );
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let server = Server::start_with(ServerOptions {
        program: Some(program),
        ..ServerOptions::default()
    })?;
    ensure!(server.log().contains("RLIMIT_NOFILE"), "no warning");
    server.create_repository("web")?;
    let client = RegistryClient::new(&server);
    let path = format!("/v2/web/blobs/{}", client.push_blob("web", &noise("large", LARGE))?);
    let authorization = server.credentials().basic();
    let (mut answered, mut refused) = (Vec::new(), 0);
    for _ in 0..CONNECTIONS {
        // Each that is let in keeps a connection and a file open.
        match ask_only(server.registry(), &path, Some(&authorization)) {
            Ok((stream, head)) if head.starts_with("HTTP/1.1 200") => answered.push(stream),
            Ok((stream, head)) if head.starts_with("HTTP/1.1 429") => answered.push(stream),
            Ok((_, head)) => {
                ensure!(is_refusal(&head, "503"), "{head}");
                refused += 1;
            }
            // Beyond those that are told, connections are closed.
            Err(_) => refused += 1,
        }
        is_ready(&server).with_context(|| format!("with {} connections", answered.len()))?;
    }
    ensure!(
        !answered.is_empty() && refused > 0,
        "{} answered, {refused} refused",
        answered.len()
    );
    let log = server.log();
    ensure!(
        !log.contains("cannot accept a connection"),
        "descriptors ran out:\n{log}"
    );
    drop(answered);
    wait_for(&server, "requests", 0)?;
    wait_until("everybody is let in again", LIMIT, || {
        client.push_blob("web", b"after that").is_ok()
    })
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() -> Result<()> {
    let (server, client) = start(&["--write-idle-seconds=5"])?;
    let path = format!("/v2/web/blobs/{}", client.push_blob("web", &noise("large", LARGE))?);
    let (mut stream, head) = ask_only(server.registry(), &path, Some(&server.credentials().basic()))?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    wait_for(&server, "requests", 0)?;
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest); // the end may be a reset
    ensure!(rest.len() < LARGE, "all of it came");
    ensure!(client.call("GET", &path, &[], &[])?.expect(200)?.body.len() == LARGE);
    Ok(())
}

#[test]
fn a_client_that_sends_nothing_is_cut_off_and_can_go_on() -> Result<()> {
    let (server, client) = start(&["--body-idle-seconds=5"])?;
    let bytes = noise("slow", UPLOAD);
    let upload = client.begin_upload("web")?;
    let mut stalled = begin(&client, "PATCH", &upload, UPLOAD, &bytes[..HALF], OCTETS.1)?;
    let answer = stalled.receive(false)?;
    ensure!(answer.status == 408, "{} {}", answer.status, answer.text());
    ensure!(
        answer.json()?["errors"][0]["code"] == "BLOB_UPLOAD_INVALID",
        "{}",
        answer.text()
    );
    wait_for(&server, "uploads", 0)?;
    let known = client.call("GET", &upload, &[], &[])?.expect(204)?;
    let range = known.header("range").context("no Range")?;
    let had: usize = range.strip_prefix("0-").context("no range")?.parse::<usize>()? + 1;
    ensure!(had <= HALF, "{range}");
    let end = with_query(&location(&known)?, "digest", &digest(&bytes));
    client.call("PUT", &end, &[OCTETS], &bytes[had..])?.expect(201)?;

    let mut stalled = begin(&client, "PUT", "/v2/web/manifests/1", 1000, b"{", OCI_MANIFEST)?;
    ensure!(stalled.receive(false)?.status == 408);
    wait_for(&server, "manifest_pushes", 0)
}

#[test]
fn headers_that_are_too_large_are_refused_with_a_document() -> Result<()> {
    let (server, client) = start(&["--max-header-kib=16"])?;
    let long = "x".repeat(17 * 1024);
    let refused = client.call("GET", "/v2/web/tags/list", &[("X-Long", &long)], &[])?;
    ensure!(refused.status == 431, "{} {}", refused.status, refused.text());
    ensure!(
        refused.json()?["errors"][0]["code"] == "SIZE_INVALID",
        "{}",
        refused.text()
    );
    let control = server.credentials().control_address();
    let refused = http::request(control, "GET", "/api/v1/repositories", &[("X-Long", &long)], &[])?;
    ensure!(refused.status == 431, "{} {}", refused.status, refused.text());
    let problem = refused.json()?;
    ensure!(
        problem["code"] == "InvalidParameterException" && problem["status"] == 431,
        "{problem}"
    );
    // A head without an end is not read on and on.
    let mut endless = client.connect()?;
    endless
        .send_head("GET", "/v2/", &[("X-Longer", &long.repeat(20))])
        .and_then(|()| endless.receive(false))
        .map_or(Ok(()), |answer| {
            ensure!(answer.status == 431, "{}", answer.status);
            Ok(())
        })?;
    client.call("GET", "/v2/web/tags/list", &[], &[])?.expect(200)?;
    Ok(())
}
