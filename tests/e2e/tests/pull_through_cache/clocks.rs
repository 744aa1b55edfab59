// SPDX-License-Identifier: Apache-2.0
//! Clocks that jump, and nodes whose clocks do not agree: tags are asked about when that is due, and come with their images.

use anyhow::{Context as _, Result, ensure};
use e2e::nodes::TwoNodes;
use e2e::process::wait_until;
use e2e::registry::{OCI_MANIFEST, digest};
use e2e::upstream::ScriptedUpstream;
use e2e::{RegistryClient, Server, ServerOptions, TestClock};
use serde_json::json;

use super::{IMPORT_LIMIT, Shelf, having_digest, imported, rule};

const HOUR: i64 = 3600;
const IMPORTS: &str = "hythe_registry_cache_imports_total";
const TARGET: &str = "/v2/up/a/b/manifests/v1";

fn start(clock: &TestClock) -> Result<Server> {
    Server::start_with(ServerOptions {
        arguments: vec!["--outgoing-allow".into(), "127.0.0.0/8".into()],
        environment: vec![clock.variable()],
        ..ServerOptions::default()
    })
}

/// How a pull of the tag came about.
fn outcome(client: &RegistryClient) -> Result<String> {
    let answer = client.manifest("up/a/b", "v1")?.expect(200)?;
    Ok(answer.header("hythe-cache").context("no Hythe-Cache")?.to_owned())
}

/// Has the tag asked about whatever is known, and says what it is.
fn asked_now(client: &RegistryClient) -> Result<String> {
    let headers = [("Cache-Control", "no-cache"), ("Accept", OCI_MANIFEST)];
    let answer = client.call("GET", TARGET, &headers, &[])?.expect(200)?;
    Ok(digest(&answer.body))
}

/// Waits until the tag points to `image` here.
fn moved(server: &Server, image: &str) -> Result<()> {
    wait_until("the tag has moved here", IMPORT_LIMIT, || {
        imported(server, "up/a/b", "v1").is_ok_and(|found| found == image)
    })
    .with_context(|| server.log())
}

#[test]
fn a_tag_is_asked_about_when_it_is_old_whatever_the_clock_does() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", b"layer");
    let upstream = ScriptedUpstream::start(move |asked| shelf.reply(asked))?;
    let clock = TestClock::new()?;
    let server = start(&clock)?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    // The clock, and how pulls come about from then on: each jump has the upstream asked once.
    for (hours, outcomes) in [
        (0, ["MISS", "HIT"]),
        (25, ["REVALIDATED", "HIT"]),
        (48, ["HIT", "HIT"]),
        (0, ["REVALIDATED", "HIT"]),
        (-30, ["REVALIDATED", "HIT"]),
        (0, ["REVALIDATED", "HIT"]),
    ] {
        clock.jump(hours * HOUR)?;
        for wanted in outcomes {
            let before = upstream.count("/manifests/");
            let found = outcome(&here)?;
            ensure!(found == wanted, "{found} instead of {wanted} at {hours} h");
            let asked = upstream.count("/manifests/") - before;
            ensure!(asked == usize::from(wanted != "HIT"), "{asked} at {hours} h");
        }
    }
    // So are referrers.
    let image = imported(&server, "up/a/b", "v1")?;
    let target = format!("/v2/up/a/b/referrers/{image}");
    for (hours, wanted) in [(9, "MISS"), (9, "HIT"), (0, "REVALIDATED"), (0, "HIT")] {
        clock.jump(hours * HOUR)?;
        let answer = here.call("GET", &target, &[], &[])?.expect(200)?;
        ensure!(
            answer.header("hythe-cache") == Some(wanted),
            "{hours} h: {:?}",
            answer.header("hythe-cache")
        );
    }
    Ok(())
}

#[test]
fn images_come_with_their_tags_after_the_clock_went_back() -> Result<()> {
    let shelves = [b"one", b"two", b"six"].map(|layer| Shelf::of("a/b", "v1", layer));
    let upstream = ScriptedUpstream::start({
        let shelf = shelves[0].clone();
        move |asked| shelf.reply(asked)
    })?;
    let clock = TestClock::new()?;
    clock.jump(3 * HOUR)?;
    let server = start(&clock)?;
    rule(&server, "up", &upstream.url(), json!({}))?;
    let here = RegistryClient::new(&server);
    here.pull_image("up/a/b", "v1")?;
    moved(&server, &having_digest(&shelves[0])?)?;
    // The tag was set at a time that is yet to come.
    clock.jump(0)?;
    for shelf in shelves.iter().skip(1) {
        let image = having_digest(shelf)?;
        let shelf = shelf.clone();
        upstream.answer_with(move |asked| shelf.reply(asked));
        ensure!(asked_now(&here)? == image);
        moved(&server, &image)?;
        here.pull_image("up/a/b", &image)?;
    }
    // What somebody sets here after the question stays where it is.
    let imports = server.metric(IMPORTS)?;
    let shelf = shelves[0].clone();
    upstream.answer_with(move |asked| shelf.reply(asked));
    ensure!(asked_now(&here)? == having_digest(&shelves[0])?);
    let own = here.push_image("up/a/b", "v1", b"our own")?;
    wait_until("the import has ended", IMPORT_LIMIT, || {
        server.metric(IMPORTS).is_ok_and(|now| now > imports)
    })?;
    ensure!(imported(&server, "up/a/b", "v1")? == own);

    // An import that a clock put off that was ahead is not waited for.
    clock.jump(3 * HOUR)?;
    let image = having_digest(&shelves[0])?;
    rule(&server, "other", &upstream.url(), json!({}))?;
    here.manifest("other/a/b", "v1")?.expect(200)?;
    clock.jump(0)?;
    ensure!(imported(&server, "other/a/b", "v1")? == image);
    Ok(())
}

#[test]
fn nodes_whose_clocks_differ_agree_on_tags() -> Result<()> {
    let (clock, ahead) = (TestClock::new()?, TestClock::new()?);
    let own = clock.variable();
    let variables = [
        ("HYTHE_OUTGOING_ALLOW", "127.0.0.0/8"),
        (own.0.as_str(), own.1.as_str()),
    ];
    let Some(mut nodes) = TwoNodes::start(&variables)? else {
        return Ok(());
    };
    ahead.jump(2 * HOUR)?;
    let (name, file) = ahead.variable();
    nodes.second.set_variable(&name, &file);
    nodes.second.restart()?;
    let shelves = [b"one", b"two", b"six"].map(|layer| Shelf::of("a/b", "v1", layer));
    let first_shelf = shelves[0].clone();
    let upstream = ScriptedUpstream::start(move |asked| first_shelf.reply(asked))?;
    rule(&nodes.first, "up", &upstream.url(), json!({}))?;
    let clients = [RegistryClient::new(&nodes.first), RegistryClient::new(&nodes.second)];
    wait_until("the other node knows of the rule", IMPORT_LIMIT, || {
        clients[1]
            .manifest("up/a/b", "v1")
            .is_ok_and(|answer| answer.status == 200)
    })?;
    // What the one that is ahead was told is no answer for the other: it asks once, and then both know.
    let before = upstream.count("/manifests/");
    for (client, wanted) in [(0, "REVALIDATED"), (0, "HIT"), (1, "HIT"), (1, "HIT"), (0, "HIT")] {
        let found = outcome(&clients[client])?;
        ensure!(found == wanted, "{found} instead of {wanted}");
    }
    ensure!(upstream.count("/manifests/") == before + 1, "{:?}", upstream.asked());
    moved(&nodes.first, &having_digest(&shelves[0])?)?;
    // Each of them hears first of a move, and whoever imports it, the tag follows.
    for (client, shelf) in [(1, &shelves[1]), (0, &shelves[2]), (1, &shelves[0]), (0, &shelves[1])] {
        let image = having_digest(shelf)?;
        let shelf = shelf.clone();
        upstream.answer_with(move |asked| shelf.reply(asked));
        ensure!(asked_now(&clients[client])? == image);
        moved(&nodes.first, &image)?;
        for client in &clients {
            client.pull_image("up/a/b", &image)?;
        }
    }
    Ok(())
}
