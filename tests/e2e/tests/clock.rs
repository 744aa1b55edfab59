// SPDX-License-Identifier: Apache-2.0
//! A clock that jumps: forward past every expiry, and back to before what was written. Nothing acknowledged is lost, order
//! is kept, and everybody can go on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::churn::noise;
use e2e::client::find;
use e2e::oracle::{self, Scope};
use e2e::process::wait_until;
use e2e::recorder::Way;
use e2e::registry::{digest, with_query};
use e2e::{Ledger, Recorder, RegistryClient, Server, ServerOptions, TestClock, http, leftovers};
use serde_json::json;

const HOUR: i64 = 3600;
const LIMIT: Duration = Duration::from_mins(1);

/// A server that believes in another time.
struct TimeMachine {
    server: Server,
    ledger: Arc<Ledger>,
    recorder: Recorder,
    clock: TestClock,
}

impl TimeMachine {
    fn start() -> Result<Self> {
        let clock = TestClock::new()?;
        let environment = vec![
            clock.variable(),
            ("HYTHE_TEST_EXPIRY_MILLISECONDS".to_owned(), "100".to_owned()),
        ];
        let server = Server::start_with(ServerOptions {
            environment,
            ..ServerOptions::default()
        })?;
        server.create_repository("web")?;
        let ledger = Arc::new(Ledger::default());
        let recorder = Recorder::new(RegistryClient::new(&server), &ledger);
        Ok(Self {
            server,
            ledger,
            recorder,
            clock,
        })
    }

    /// The server's clock jumps to so many seconds from now.
    fn jump(&self, seconds: i64) -> Result<()> {
        self.clock.jump(seconds)
    }

    /// Five hours ahead, the server begins what `begin` asks of it and ends at a fail point; it starts again at the right time.
    /// `begin` is given the digest of an image, one of two.
    fn end_ahead(&mut self, point: &str, begin: impl FnOnce(&Server, &str) -> Result<()>) -> Result<()> {
        const POINT: &str = "HYTHE_TEST_FAIL_POINT";
        self.server.set_variable(POINT, &format!("{point}:1"));
        self.server.restart()?;
        self.jump(5 * HOUR)?;
        let client = RegistryClient::new(&self.server);
        let image = client.push_image("web", "first", &noise(point, 100_000))?;
        client.push_image("web", "second", point.as_bytes())?;
        begin(&self.server, &image)?;
        wait_until("the server has ended", LIMIT, || {
            self.server.exit_status().is_ok_and(|status| status.is_some())
        })
        .with_context(|| point.to_owned())?;
        self.jump(0)?;
        self.server.set_variable(POINT, "none:1");
        self.server.restart()
    }

    fn examine(&self) -> Result<()> {
        oracle::examine(self.recorder.client(), &self.ledger.now(), Scope::All)?.clean()
    }

    fn push(&self, tag: &str, content: &str) -> Result<String> {
        self.recorder
            .push_image("web", tag, &noise(content, 100_000), Way::Session)
    }

    /// As an engine does it: a password, a bearer token for it, a request.
    fn log_in(&self) -> Result<RegistryClient> {
        let (password, _) = self.server.authorization_token(&json!({}))?;
        let basic = http::basic("AWS", &password);
        let service = http::percent_encode(self.server.registry());
        let target = format!("/token?service={service}&scope=repository%3Aweb%3Apull%2Cpush");
        let headers = [("Authorization", basic.as_str())];
        let answer = http::request(self.server.registry(), "GET", &target, &headers, &[])?;
        let answer = answer.expect(200)?.json()?;
        let token = answer.get("token").and_then(|it| it.as_str()).context("no token")?;
        let client = RegistryClient::with(self.server.registry(), Some(format!("Bearer {token}")));
        client.call("GET", "/v2/", &[], &[])?.expect(200)?;
        Ok(client)
    }
}

#[test]
fn everybody_goes_on_whatever_the_clock_does() -> Result<()> {
    let mut machine = TimeMachine::start()?;
    // Hours, days and back again; years too, as from an empty battery.
    for (number, seconds) in [
        0,
        5 * HOUR,
        -5 * HOUR,
        30 * 24 * HOUR,
        -3 * 24 * HOUR,
        10 * 365 * 24 * HOUR,
        -20 * 365 * 24 * HOUR,
        0,
    ]
    .into_iter()
    .enumerate()
    {
        machine.jump(seconds)?;
        let tag = format!("t{number}");
        machine
            .push(&tag, &tag)
            .and_then(|_| machine.push("moving", &format!("moving-{number}")))
            .and_then(|_| machine.examine())
            .and_then(|()| machine.log_in().map(drop))
            .with_context(|| format!("{seconds} s from now"))?;
    }
    machine.server.kill9()?;
    machine.server.restart()?;
    machine.examine()
}

#[test]
fn a_token_ends_by_the_clock_and_never_lets_more_in() -> Result<()> {
    let machine = TimeMachine::start()?;
    machine.push("1", "1")?;
    let client = machine.log_in()?;
    let list = || client.call("GET", "/v2/web/tags/list", &[], &[]);
    list()?.expect(200)?;
    machine.jump(24 * HOUR)?;
    list()?.expect(401)?;
    // A new one takes its place, for as long as the clock is there.
    machine.log_in()?;
    // Back again, the first one is as good as it was; a token from the future is not needed for that.
    machine.jump(0)?;
    list()?.expect(200)?;
    machine.log_in()?;
    Ok(())
}

#[test]
fn an_upload_survives_a_jump_shorter_than_its_expiry_and_no_longer_one() -> Result<()> {
    let machine = TimeMachine::start()?;
    let bytes = noise("upload", 300_000);
    let (first, rest) = bytes.split_at(200_000);
    let upload = machine.recorder.begin_upload("web")?;
    let upload = machine.recorder.append(&upload, 0, first)?;
    // Each chunk sets the expiry anew; a clock that goes back makes it later, not sooner.
    for seconds in [20 * HOUR, -20 * HOUR, 3 * HOUR] {
        machine.jump(seconds)?;
        machine.examine().with_context(|| format!("{seconds} s from now"))?;
    }
    let upload = machine.recorder.append(&upload, first.len(), rest)?;
    machine.jump(20 * HOUR)?;
    let end = with_query(&upload, "digest", &digest(&bytes));
    let client = machine.recorder.client();
    client.call("PUT", &end, &[], &[])?.expect(201)?;
    let target = format!("/v2/web/blobs/{}", digest(&bytes));
    ensure!(client.call("GET", &target, &[], &[])?.expect(200)?.body == bytes);

    let given_up = machine.recorder.begin_upload("web")?;
    let given_up = machine.recorder.append(&given_up, 0, first)?;
    machine.jump(20 * HOUR + 25 * HOUR)?;
    client.call("GET", &given_up, &[], &[])?.expect(404)?;
    let uploads = machine.server.data_folder().join("blobs/uploads");
    wait_until("its bytes are gone", LIMIT, || {
        std::fs::read_dir(&uploads).is_ok_and(|mut left| left.next().is_none())
    })
}

#[test]
fn the_moves_of_a_tag_stay_in_order_when_the_clock_goes_back() -> Result<()> {
    if find(&["sqlite3"])?.is_none() {
        return Ok(());
    }
    let mut machine = TimeMachine::start()?;
    let mut pushed = Vec::new();
    for (number, seconds) in [0, 7 * HOUR, -7 * HOUR, HOUR].into_iter().enumerate() {
        machine.jump(seconds)?;
        pushed.push(machine.push("moving", &number.to_string())?);
    }
    machine.server.kill9()?;
    let database = machine.server.data_folder().join("hythe.db");
    let moves = leftovers::query(
        &database,
        "SELECT to_digest FROM tag_move WHERE name = 'moving' ORDER BY sequence",
    )?;
    let moves: Vec<_> = moves.iter().filter_map(|row| row.get("to_digest")?.as_str()).collect();
    ensure!(moves == pushed, "{moves:?} instead of {pushed:?}");
    machine.server.restart()?;
    machine.examine()
}

/// What a process that is gone had begun while the clock was ahead does not wait until the clock is there again.
#[test]
fn what_was_begun_while_the_clock_was_ahead_goes_on_when_it_goes_back() -> Result<()> {
    const POLICY: &str = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
        "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]}"#;
    const REPOSITORY: &str = "/api/v1/repositories/web";
    let mut machine = TimeMachine::start()?;
    machine.end_ahead("archive.move.claimed", |server, image| {
        let path = format!("{REPOSITORY}/images/{image}/storage-class");
        let body = json!({ "targetStorageClass": "ARCHIVE" });
        server.api("PUT", &path, Some(&body))?.expect(200).map(drop)
    })?;
    wait_until("the bytes are moved", LIMIT, || {
        machine.server.metric("hythe_archive_blobs_moved_total").unwrap_or(0) > 0
    })?;
    machine.end_ahead("lifecycle.run.claimed", |server, _| {
        let path = format!("{REPOSITORY}/lifecycle-policy");
        let body = json!({ "lifecyclePolicyText": POLICY });
        server.api("PUT", &path, Some(&body))?.expect(200)?;
        server.api("POST", &format!("{path}/runs"), None)?.expect(202).map(drop)
    })?;
    wait_until("the policy is evaluated", LIMIT, || {
        let expired = machine.server.metric("hythe_lifecycle_images_expired_total");
        expired.unwrap_or(0) > 0
    })
}
