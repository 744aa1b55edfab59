// SPDX-License-Identifier: Apache-2.0
//! Those who fail to log in, or ask too often, against a real server: told to wait, and nobody else is.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::http::{Response, request};
use e2e::image::ImageRecipe;
use e2e::process::{run, run_with_input};
use e2e::{RegistryClient, Server, ServerOptions, client};
use serde_json::{Value, json};

/// Enough logins for any limit that these tests set.
const MANY: usize = 40;

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn with_settings(settings: &str) -> Result<Server> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("hythe.toml");
    std::fs::write(&file, settings)?;
    Server::start_with(ServerOptions {
        arguments: vec!["--config".into(), file.display().to_string()],
        ..ServerOptions::default()
    })
}

/// A key of a new user, and its secret.
fn new_key(server: &Server, user: &str) -> Result<(String, String)> {
    let body = json!({ "userName": user });
    server.api("POST", "/api/v1/users", Some(&body))?.expect(201)?;
    let made = server.api("POST", &format!("/api/v1/users/{user}/access-keys"), Some(&json!({})))?;
    let made = made.expect(201)?.json()?;
    let text = |name: &str| {
        made.get(name)
            .and_then(serde_json::Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("no `{name}`"))
    };
    Ok((text("accessKeyId")?, text("secretAccessKey")?))
}

/// What a place of either plane answers to a login.
fn log_in(server: &Server, place: &str, authorization: &str) -> Result<Response> {
    let address = if place.starts_with("/api") {
        server.credentials().control_address()
    } else {
        server.registry()
    };
    request(address, "GET", place, &[("Authorization", authorization)], &[])
}

/// What the first of many logins is answered, and the next one that is told to wait: room for another comes with time. If none
/// is, what the last of them is answered.
fn fail_often(server: &Server, place: &str, authorization: impl Fn(usize) -> String) -> Result<(Response, Response)> {
    let first = log_in(server, place, &authorization(0))?;
    let mut last = log_in(server, place, &authorization(1))?;
    for number in 2..MANY {
        if last.status == 429 {
            break;
        }
        last = log_in(server, place, &authorization(number))?;
    }
    Ok((first, last))
}

fn is_told_to_wait(place: &str, answer: &Response) -> Result<()> {
    ensure!(answer.status == 429, "{place}: {} {}", answer.status, answer.text());
    let seconds: u32 = answer.header("retry-after").context("no Retry-After")?.parse()?;
    ensure!((1..=60).contains(&seconds), "{place}: {seconds} s");
    let body = answer.json()?;
    let code = body
        .get("code")
        .or(body.pointer("/errors/0/code"))
        .and_then(Value::as_str);
    let want = if place.starts_with("/api") {
        "ThrottlingException"
    } else {
        "TOOMANYREQUESTS"
    };
    ensure!(code == Some(want), "{place}: {body}");
    Ok(())
}

#[test]
fn guessing_at_a_key_is_slow_and_other_keys_and_addresses_are_not() -> Result<()> {
    let server = with_settings("[rates]\nfailed_logins_per_key_per_minute = 5\n")?;
    let credentials = server.credentials();
    // A key of its own for each place, so that one does not use up what another is tested with.
    for place in ["/v2/", "/token", "/api/v1/caller-identity"] {
        let (key, secret) = new_key(
            &server,
            place.trim_matches('/').split('/').next_back().unwrap_or_default(),
        )?;
        let (first, last) = fail_often(&server, place, |number| basic(&key, &format!("guess-{number}")))?;
        ensure!(first.status == 401, "{place}: {}", first.text());
        is_told_to_wait(place, &last)?;
        // The right secret does not help where somebody guesses, or guessing would not be slow.
        is_told_to_wait(place, &log_in(&server, place, &basic(&key, &secret))?)?;
        let own = log_in(&server, place, &credentials.basic())?;
        ensure!(own.status == 200, "{place}: another key: {}", own.text());
        if client::find(&["curl"])?.is_some() {
            let url = if place.starts_with("/api") {
                format!("{}{place}", credentials.endpoint)
            } else {
                format!("http://{}{place}", server.registry())
            };
            let mut curl = Command::new("curl");
            curl.args([
                "--silent",
                "--interface",
                "127.0.0.2",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ]);
            let said = run(curl.args(["--user", &format!("{key}:{secret}"), &url]))?
                .ok()?
                .stdout;
            ensure!(said == "200", "{place} from another address: {said}");
        }
    }
    let metrics = request(credentials.control_address(), "GET", "/metrics", &[], &[])?.text();
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("hythe_logins_throttled_total "));
    ensure!(count.is_some_and(|count| count != "0"), "{metrics}");
    Ok(())
}

#[test]
fn who_tries_many_keys_is_told_to_wait_and_who_is_right_is_let_in() -> Result<()> {
    let server = with_settings("[rates]\nfailed_logins_per_minute = 10\n")?;
    let key = |number: usize| basic(&format!("AKIA{number:016}"), "guess");
    for (place, authorization) in [
        ("/v2/", Box::new(key) as Box<dyn Fn(usize) -> String>),
        (
            "/api/v1/caller-identity",
            Box::new(|number| format!("Bearer token-{number}")),
        ),
    ] {
        let (_, last) = fail_often(&server, place, authorization)?;
        is_told_to_wait(place, &last)?;
        let own = log_in(&server, place, &server.credentials().basic())?;
        ensure!(own.status == 200, "{place}: {}", own.text());
    }
    Ok(())
}

#[test]
fn requests_are_limited_for_each_principal_and_skopeo_waits_and_goes_on() -> Result<()> {
    let settings = "[rates]\nlimit_requests = true\nburst_seconds = 1\nbatch_get_image = 1\nget_download_url_for_layer = 1\n\
                    other = 100\n";
    let server = with_settings(settings)?;
    server.create_repository("web")?;
    let layout = server.scratch().join("layout");
    ImageRecipe::text("a").write(&layout, "1")?;
    let layout = layout.display().to_string();
    run(&mut server.command(&["image", "push", &layout, "web:1"])?)?.ok()?;

    let place = "/v2/web/manifests/1";
    let layer = RegistryClient::new(&server).push_blob("web", b"a layer")?;
    for place in [place, &format!("/v2/web/blobs/{layer}")] {
        let (_, last) = fail_often(&server, place, |_| server.credentials().basic())?;
        is_told_to_wait(place, &last)?;
    }
    // Other things may still be asked for, and other principals may ask for the same.
    ensure!(log_in(&server, "/v2/web/tags/list", &server.credentials().basic())?.status == 200);
    let (password, _) = server.authorization_token(&json!({}))?;
    let (key, secret) = new_key(&server, "reader")?;
    let other = log_in(&server, place, &basic(&key, &secret))?;
    ensure!(
        other.status == 403,
        "another principal: {} {}",
        other.status,
        other.text()
    );

    if client::find(&["skopeo"])?.is_none() {
        return Ok(());
    }
    // Manifest, configuration and layer at once are more than the rates give out: it has to wait, as it is told.
    let (auth, policy) = (server.scratch().join("auth.json"), server.scratch().join("policy.json"));
    std::fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let skopeo = |arguments: &[&str]| {
        let mut command = Command::new("skopeo");
        command.arg("--policy").arg(&policy).args(arguments);
        command.env("REGISTRY_AUTH_FILE", &auth).current_dir(server.scratch());
        command
    };
    let login = [
        "login",
        "--tls-verify=false",
        "--username=AWS",
        "--password-stdin",
        server.registry(),
    ];
    run_with_input(&mut skopeo(&login), password.as_bytes())?.ok()?;
    let (from, to) = (format!("docker://{}/web:1", server.registry()), "dir:pulled");
    run(&mut skopeo(&["copy", "--src-tls-verify=false", &from, to]))?.ok()?;
    let metrics = request(server.credentials().control_address(), "GET", "/metrics", &[], &[])?.text();
    for class in ["batch_get_image", "get_download_url_for_layer"] {
        let name = format!("hythe_requests_throttled_total{{class=\"{class}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
        ensure!(count.is_some_and(|count| count != "0"), "{class}: {metrics}");
    }
    Ok(())
}
