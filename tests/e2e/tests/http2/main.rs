// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 over TLS against the real server: everything a client does, several things at once, and clients that take nothing.

mod line;

use anyhow::{Context, Result, ensure};
use e2e::churn::noise;
use e2e::registry::{OCI_MANIFEST, config_of, digest, location, manifest, with_query};
use e2e::{Server, ServerOptions};
use serde_json::json;
use tokio::task::JoinSet;

use line::{Line, Windows, head, rest, send, send_at_once, whole, within};

/// Bytes of a blob that is larger than any window.
const LARGE: usize = 6 * 1024 * 1024;
/// Bytes of a blob that is kept in a row, and handed over in one piece.
const SMALL: usize = 60 * 1024;
/// How many requests are under way at once.
const AT_ONCE: usize = 24;
const REQUESTS: &str = "hythe_registry_bound_taken{bound=\"requests\"}";
const UPLOADS: &str = "hythe_registry_bound_taken{bound=\"uploads\"}";
const BYTES: &str = "hythe_registry_bound_taken{bound=\"bytes_in_flight\"}";

/// Runs a test against a server with TLS and a repository `web`; `line` leads to the control plane.
fn with_server(arguments: &[&str], test: impl AsyncFnOnce(&mut Server, Line) -> Result<()>) -> Result<()> {
    let mut all = vec!["--tls-mode".to_owned(), "development".to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let mut server = Server::start_with(ServerOptions {
        arguments: all,
        ..ServerOptions::default()
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut control = Line::to_control(&server).await?;
        let body = json!({ "repositoryName": "web" }).to_string();
        let headers = [("content-type", "application/json")];
        let made = control
            .ask("POST", "/api/v1/repositories", &headers, body.as_bytes())
            .await?;
        made.expect(201)?;
        test(&mut server, control).await
    })
}

fn blob(digest: &str) -> String {
    format!("/v2/web/blobs/{digest}")
}

#[test]
fn an_image_is_pushed_and_pulled_over_one_connection() -> Result<()> {
    with_server(&[], async |server, _| {
        let mut line = Line::to_registry(server, Windows::default()).await?;
        let layer = noise("layer", LARGE);
        let config = config_of(&layer);
        let layer_digest = line.push_blob("web", &layer).await?;
        let config_digest = line.push_blob("web", config.as_bytes()).await?;
        let bytes = manifest(&config_digest, config.len(), &layer_digest, layer.len());
        let headers = [("content-type", OCI_MANIFEST)];
        let put = line
            .ask("PUT", "/v2/web/manifests/1", &headers, &bytes)
            .await?
            .expect(201)?;
        ensure!(put.header("docker-content-digest") == Some(&digest(&bytes)), "{put:?}");

        let got = line
            .ask("GET", "/v2/web/manifests/1", &[("accept", OCI_MANIFEST)], &[])
            .await?;
        ensure!(got.expect(200)?.body == bytes, "another manifest");
        let got = line.ask("GET", &blob(&config_digest), &[], &[]).await?.expect(200)?;
        ensure!(got.body == config.as_bytes(), "another configuration");
        let path = blob(&layer_digest);
        let head = line.ask("HEAD", &path, &[], &[]).await?.expect(200)?;
        ensure!(
            head.header("content-length") == Some(&LARGE.to_string()) && head.body.is_empty(),
            "{head:?}"
        );
        let got = line.ask("GET", &path, &[], &[]).await?.expect(200)?;
        ensure!(got.body == layer, "another layer");

        let part = line
            .ask("GET", &path, &[("range", "bytes=1000-4999999")], &[])
            .await?
            .expect(206)?;
        ensure!(part.body == layer[1000..5_000_000], "another part");
        ensure!(
            part.header("content-range") == Some(&format!("bytes 1000-4999999/{LARGE}")),
            "{:?}",
            part.headers
        );
        let end = line
            .ask("GET", &path, &[("range", "bytes=-10")], &[])
            .await?
            .expect(206)?;
        ensure!(end.body == layer[LARGE - 10..], "another end");
        let parts = line
            .ask("GET", &path, &[("range", "bytes=0-9,4000000-4000009")], &[])
            .await?
            .expect(206)?;
        let has = |wanted: &[u8]| parts.body.windows(wanted.len()).any(|window| window == wanted);
        ensure!(
            has(&layer[..10]) && has(&layer[4_000_000..4_000_010]) && parts.body.len() < 1000,
            "other parts"
        );
        let beyond = format!("bytes={LARGE}-");
        line.ask("GET", &path, &[("range", &beyond)], &[]).await?.expect(416)?;
        let etag = got.header("etag").context("no ETag")?;
        line.ask("GET", &path, &[("if-none-match", etag)], &[])
            .await?
            .expect(304)?;
        line.ask("GET", "/v2/web/manifests/none", &[], &[]).await?.expect(404)?;
        line.ask("DELETE", "/v2/web/manifests/1", &[], &[]).await?.expect(202)?;
        Ok(())
    })
}

#[test]
fn streams_share_a_connection_and_one_that_reads_nothing_holds_up_nobody() -> Result<()> {
    with_server(&[], async |server, _| {
        let windows = Windows {
            stream: 65_535,
            connection: 8 * 1024 * 1024,
        };
        let mut line = Line::to_registry(server, windows).await?;
        let large = noise("large", LARGE);
        let path = blob(&line.push_blob("web", &large).await?);
        let stalled = line.begin("GET", &path, &[], true).await?;
        let (stalled_head, mut stalled) = head(stalled.answer).await?;
        ensure!(stalled_head.status == 200, "{stalled_head:?}");

        let mut others = JoinSet::new();
        for number in 0..AT_ONCE {
            let small = noise(&format!("small {number}"), 1000 + number);
            let target = with_query("/v2/web/blobs/uploads/", "digest", &digest(&small));
            let mut push = line
                .begin("POST", &target, &[("content-type", "application/octet-stream")], false)
                .await?;
            let pull = line.begin("GET", &path, &[], true).await?;
            let (large, target) = (large.clone(), blob(&digest(&small)));
            others.spawn(async move {
                send(&mut push.body, &small, true).await?;
                whole(push.answer).await?.expect(201)?;
                ensure!(whole(pull.answer).await?.expect(200)?.body == large, "other bytes");
                Ok((target, small))
            });
        }
        while let Some(done) = others.join_next().await {
            let (target, small) = done??;
            ensure!(
                line.ask("GET", &target, &[], &[]).await?.expect(200)?.body == small,
                "{target}"
            );
        }
        ensure!(rest(&mut stalled).await? == large, "the stalled stream has other bytes");
        Ok(())
    })
}

#[test]
fn a_stream_that_is_never_read_is_cut_off_and_its_memory_comes_back() -> Result<()> {
    with_server(&["--write-idle-seconds", "5"], async |server, mut control| {
        let mut line = Line::to_registry(server, Windows::default()).await?;
        let path = blob(&line.push_blob("web", &noise("unread", LARGE)).await?);
        let narrow = Windows {
            stream: 1,
            connection: 1024 * 1024,
        };
        let mut stalling = Line::to_registry(server, narrow).await?;
        let begun = stalling.begin("GET", &path, &[], true).await?;
        let (answer, mut body) = head(begun.answer).await?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(control.metric(BYTES).await? > 0, "nothing is reserved");
        // It answers pings, so that it is there; what it asked for it does not take.
        stalling.fence().await?;
        control.wait_for(BYTES, 0).await?;
        ensure!(rest(&mut body).await.is_err(), "the body came to its end");
        line.ask("HEAD", &path, &[], &[]).await?.expect(200)?;
        Ok(())
    })
}

/// The whole of a small answer is handed over with its end as soon as a byte of it may be sent, and waits there.
#[test]
fn an_answer_counts_until_its_last_byte_is_taken() -> Result<()> {
    with_server(&[], async |server, mut control| {
        let mut line = Line::to_registry(server, Windows::default()).await?;
        let small = noise("small", SMALL);
        let path = blob(&line.push_blob("web", &small).await?);
        let narrow = Windows {
            stream: 16 * 1024,
            connection: 1024 * 1024,
        };
        let mut stalling = Line::to_registry(server, narrow).await?;
        let mut bodies = Vec::new();
        for _ in 0..AT_ONCE {
            let begun = stalling.begin("GET", &path, &[], true).await?;
            let (answer, mut body) = head(begun.answer).await?;
            ensure!(answer.status == 200, "{answer:?}");
            let first = within("the first byte", body.data()).await?.context("no body")??;
            ensure!(small.starts_with(&first), "other bytes");
            bodies.push((body, first.len()));
        }
        stalling.fence().await?;
        ensure!(
            control.metric(REQUESTS).await? == AT_ONCE as u64,
            "answers that are not taken do not count"
        );
        for (mut body, had) in bodies {
            body.flow_control().release_capacity(had)?;
            ensure!(rest(&mut body).await? == small[had..], "other bytes");
        }
        control.wait_for(REQUESTS, 0).await
    })
}

#[test]
fn a_header_list_that_is_too_large_is_refused_and_the_connection_goes_on() -> Result<()> {
    with_server(&[], async |server, mut control| {
        let mut line = Line::to_registry(server, Windows::default()).await?;
        let long = "x".repeat(40 * 1024);
        for line in [&mut line, &mut control] {
            let path = "/v2/web/tags/list";
            let refused = line
                .ask("GET", path, &[("x-first", &long), ("x-second", &long)], &[])
                .await?;
            ensure!(refused.status == 431, "{refused:?}");
            let fine = line.ask("GET", path, &[("x-first", &long)], &[]).await?;
            ensure!(fine.status == 200 || fine.status == 404, "{fine:?}");
        }
        Ok(())
    })
}

#[test]
fn sigterm_lets_streams_finish_and_takes_no_new_ones() -> Result<()> {
    with_server(&[], async |server, control| {
        let narrow = Windows {
            stream: 65_535,
            connection: 1024 * 1024,
        };
        let mut line = Line::to_registry(server, narrow).await?;
        let (pulled, pushed) = (noise("pulled", LARGE), noise("pushed", LARGE));
        let path = blob(&line.push_blob("web", &pulled).await?);
        let upload = line.begin_upload("web").await?;
        let end = with_query(&upload, "digest", &digest(&pushed));
        let mut push = line.begin("PUT", &end, &[], false).await?;
        let (first, second) = pushed.split_at(LARGE / 2);
        send(&mut push.body, first, false).await?;
        let pull = line.begin("GET", &path, &[], true).await?;
        let (answer, mut pull) = head(pull.answer).await?;
        ensure!(answer.status == 200, "{answer:?}");
        line.fence().await?;

        server.ask_to_stop()?;
        within("the end of new streams", async {
            while line.ask("GET", "/v2/", &[], &[]).await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await?;
        ensure!(server.exit_status()?.is_none(), "it did not wait");
        send(&mut push.body, second, true).await?;
        whole(push.answer).await?.expect(201)?;
        ensure!(rest(&mut pull).await? == pulled, "other bytes");
        drop((push.body, pull));
        line.end().await?;
        drop(control);
        let status = server.stop().context("it had to be killed")?;
        ensure!(status.success(), "{status}");
        Ok(())
    })
}

/// What bodies may bring before anybody reads them. The server has room for two wide connections; all others have 128 KiB.
#[test]
fn uploads_that_wait_for_their_turn_hold_little_and_all_of_them_go_on() -> Result<()> {
    const HELD: usize = 7;
    const WAITING: usize = 3;
    const WIDE: usize = 2 * 1024 * 1024;
    const NARROW: usize = 128 * 1024;
    const SIZE: usize = 1024 * 1024 + 500_000;
    let arguments = [
        "--max-concurrent-uploads",
        "8",
        "--max-mib-in-flight",
        "16",
        "--max-wait-seconds",
        "120",
    ];
    with_server(&arguments, async |server, mut control| {
        let bytes = noise("waiting", SIZE);
        let octets = [("content-type", "application/octet-stream")];
        let mut first = Line::to_registry(server, Windows::default()).await?;
        let mut held = Vec::new();
        for _ in 0..HELD {
            let upload = first.begin_upload("web").await?;
            let mut begun = first.begin("PATCH", &upload, &octets, false).await?;
            send(&mut begun.body, &bytes[..100_000], false).await?;
            held.push(begun);
        }
        control.wait_for(UPLOADS, HELD as u64).await?;

        // The first of these is wide, too.
        let (mut lines, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let mut line = Line::to_registry(server, Windows::default()).await?;
            let mut streams = Vec::new();
            for _ in 0..WAITING {
                let upload = line.begin_upload("web").await?;
                streams.push((line.begin("PATCH", &upload, &octets, false).await?, 0));
            }
            line.fence().await?;
            let mut quiet = 0;
            while quiet < 5 {
                let mut sent = 0;
                for (begun, done) in &mut streams {
                    let now = send_at_once(&mut begun.body, &bytes[*done..])?;
                    *done += now;
                    sent += now;
                }
                quiet = if sent == 0 { quiet + 1 } else { 0 };
                line.fence().await?;
            }
            waiting.push(streams);
            lines.push(line);
        }
        let sums: Vec<usize> = waiting
            .iter()
            .map(|streams| streams.iter().map(|(_, sent)| sent).sum())
            .collect();
        ensure!(sums[0] <= WIDE && sums[0] > NARROW, "the wide one took {sums:?}");
        ensure!(
            sums[1..].iter().all(|&sum| sum > 0 && sum <= NARROW),
            "the narrow ones took {sums:?}"
        );
        ensure!(control.metric(UPLOADS).await? == HELD as u64);

        let mut ends = JoinSet::new();
        for (mut begun, done) in held
            .into_iter()
            .map(|begun| (begun, 100_000))
            .chain(waiting.into_iter().flatten())
        {
            let bytes = bytes.clone();
            ends.spawn(async move {
                send(&mut begun.body, &bytes[done..], true).await?;
                whole(begun.answer).await?.expect(202)
            });
        }
        while let Some(answer) = ends.join_next().await {
            let answer = answer??;
            let end = with_query(&location(&answer)?, "digest", &digest(&bytes));
            first.ask("PUT", &end, &[], &[]).await?.expect(201)?;
        }
        Ok(())
    })
}
