// SPDX-License-Identifier: Apache-2.0
//! Access, which the specification leaves to RFC 9110 and RFC 6750, and clients to the Docker token flow.

use anyhow::{Context, Result, ensure};
use e2e::http::basic;

use crate::Level::{May, Must, Should};
use crate::Mode;
use crate::content::Algorithm;
use crate::table::Check;
use crate::target::Login;
use crate::token::{Challenge, token};
use crate::wire::Ask;
use crate::world::World;

const SECTION: &str = "Authentication and authorization";

pub(super) const CHECKS: &[Check] = &[
    Check::reading(
        "challenge",
        SECTION,
        Must,
        "a request without credentials is 401, and the challenge names realm, service and the scope that it needs",
        challenge,
    )
    .in_modes(&Mode::KNOWN),
    Check::reading(
        "challenge-hides",
        SECTION,
        Must,
        "who may not know what exists gets the same answer whether it exists or not",
        hides,
    )
    .in_modes(&Mode::KNOWN),
    Check::reading(
        "wrong-credentials",
        SECTION,
        Must,
        "wrong or garbled credentials are 401, `UNAUTHORIZED`, with a challenge",
        wrong_credentials,
    )
    .in_modes(&Mode::KNOWN),
    Check::reading(
        "token",
        SECTION,
        Must,
        "the realm gives a token for the scope of the challenge, and the token is good for the request",
        token_flow,
    )
    .in_modes(&Mode::KNOWN),
    Check::reading(
        "token-too-narrow",
        SECTION,
        Should,
        "a token of another scope is 401 with `insufficient_scope` and the scope that it takes (RFC 6750)",
        too_narrow,
    )
    .in_modes(&[Mode::Bearer]),
    Check::writing(
        "token-mount-scope",
        SECTION,
        May,
        "a mount whose source the token does not cover names both scopes in its challenge, if the caller may have them",
        mount_scope,
    )
    .in_modes(&[Mode::Bearer]),
];

fn login(world: &World<'_>) -> Result<(String, String)> {
    match &world.target().credentials {
        Login::Basic { user, password } | Login::Bearer { user, password } => Ok((user.clone(), password.clone())),
        Login::Nobody => anyhow::bail!("this mode has no credentials"),
    }
}

/// A request of each kind, with the rights that it takes.
fn asks(world: &World<'_>) -> Vec<(Ask, &'static str)> {
    let digest = Algorithm::Sha256.digest(b"none");
    let session = "blobs/uploads/01234567-89ab-7def-8123-456789abcdef";
    vec![
        (world.ask("GET", "manifests/v1"), "pull"),
        (world.ask("HEAD", "manifests/v1"), "pull"),
        (world.ask("GET", &format!("blobs/{digest}")), "pull"),
        (world.ask("HEAD", &format!("blobs/{digest}")), "pull"),
        (world.ask("GET", "tags/list"), "pull"),
        (world.ask("GET", &format!("referrers/{digest}")), "pull"),
        (world.ask("POST", "blobs/uploads/"), "pull,push"),
        (world.ask("PATCH", session).body("x"), "pull,push"),
        (world.ask("PUT", session).query("digest", &digest), "pull,push"),
        (world.ask("GET", session), "pull,push"),
        (world.ask("DELETE", session), "pull,push"),
        (world.ask("PUT", "manifests/v1").body("{}"), "pull,push"),
        (world.ask("DELETE", "manifests/v1"), "pull,delete"),
        (world.ask("DELETE", &format!("blobs/{digest}")), "pull,delete"),
    ]
}

fn challenge(world: &World<'_>) -> Result<()> {
    world.keep_image("v1")?;
    for (ask, rights) in asks(world) {
        let answer = world.send_bare(&ask)?.expect(401)?;
        let found = Challenge::read(&answer)?;
        let wanted = format!("repository:{}:{rights}", world.repository());
        let what = format!("{} {}", ask.method, ask.target);
        ensure!(
            found.scope.as_deref() == Some(&wanted),
            "{what} asks for {:?}",
            found.scope
        );
        ensure!(
            found.realm.ends_with("/token") && !found.service.is_empty(),
            "{what}: {found:?}"
        );
    }
    let mount = world
        .ask("POST", "blobs/uploads/")
        .query("mount", &Algorithm::Sha256.digest(b"none"));
    let found = Challenge::read(&world.send_bare(&mount.query("from", "a/b"))?.expect(401)?)?;
    let both = format!("repository:{}:pull,push repository:a/b:pull", world.repository());
    ensure!(
        found.scope.as_deref() == Some(&both),
        "a mount asks for {:?}",
        found.scope
    );
    let found = Challenge::read(&world.send_bare(&Ask::new("GET", "/v2/"))?.expect(401)?)?;
    ensure!(found.scope.is_none(), "`/v2/` is of no repository: {found:?}");
    Ok(())
}

fn hides(world: &World<'_>) -> Result<()> {
    world.keep_image("v1")?;
    let (here, nowhere) = (world.repository(), world.nowhere());
    for (ask, _) in asks(world) {
        let there = world.send_bare(&ask)?.expect(401)?;
        let mut absent = ask.clone();
        absent.target = ask.target.replace(&here, &nowhere);
        let absent = world.send_bare(&absent)?.expect(401)?;
        let cleaned = |text: &str| text.replace(&nowhere, &here);
        ensure!(
            there.text_without_id() == cleaned(&absent.text_without_id()),
            "{} {} tells",
            ask.method,
            ask.target
        );
        let challenges = (there.need("www-authenticate")?, absent.need("www-authenticate")?);
        ensure!(
            challenges.0 == cleaned(challenges.1),
            "{} {} tells",
            ask.method,
            ask.target
        );
    }
    Ok(())
}

fn wrong_credentials(world: &World<'_>) -> Result<()> {
    let (user, password) = login(world)?;
    let ask = world.ask("GET", "tags/list");
    let wrong = [
        basic(&user, "wrong"),
        basic("nobody", &password),
        basic("", ""),
        "Basic !!!".to_owned(),
        "Bearer nonsense".to_owned(),
        "Digest x".to_owned(),
        "x".to_owned(),
    ];
    for authorization in wrong {
        for ask in [&ask, &Ask::new("GET", "/v2/")] {
            let answer = world.send_bare(&ask.clone().header("Authorization", authorization.clone()))?;
            Challenge::read(&answer.refused(401, "UNAUTHORIZED")?)?;
        }
    }
    Ok(())
}

fn token_flow(world: &World<'_>) -> Result<()> {
    let (user, password) = login(world)?;
    let image = world.keep_image("v1")?;
    let ask = world.ask("GET", "manifests/v1");
    let challenge = Challenge::read(&world.send_bare(&ask)?.expect(401)?)?;
    let answer = world.send_bare(&challenge.ask(&user, &password))?.expect(200)?;
    let seconds = answer.json()?.get("expires_in").and_then(serde_json::Value::as_u64);
    ensure!(
        seconds.is_some_and(|seconds| seconds >= 60),
        "too short: {}",
        answer.text()
    );
    let token = token(&answer)?;
    world
        .send_with(Some(&token), &ask)?
        .expect(200)?
        .with_body(&image.manifest.bytes)?;
    world.send_with(Some(&token), &Ask::new("GET", "/v2/"))?.expect(200)?;
    Ok(())
}

/// A token for a request, got by its challenge.
fn token_for(world: &World<'_>, ask: &Ask) -> Result<String> {
    let (user, password) = login(world)?;
    let challenge = Challenge::read(&world.send_bare(ask)?.expect(401)?)?;
    token(&world.send_bare(&challenge.ask(&user, &password))?)
}

fn too_narrow(world: &World<'_>) -> Result<()> {
    let pull = token_for(world, &world.ask("GET", "tags/list"))?;
    let push = world.ask("POST", "blobs/uploads/");
    let answer = world.send_with(Some(&pull), &push)?.expect(401)?;
    let challenge = Challenge::read(&answer)?;
    ensure!(
        challenge.error.as_deref() == Some("insufficient_scope"),
        "{challenge:?}"
    );
    let scope = format!("repository:{}:pull,push", world.repository());
    ensure!(challenge.scope.as_deref() == Some(&scope), "{challenge:?}");
    let (user, password) = login(world)?;
    let wider = token(&world.send_bare(&challenge.ask(&user, &password))?)?;
    world.send_with(Some(&wider), &push)?.expect(202)?;
    Ok(())
}

fn mount_scope(world: &World<'_>) -> Result<()> {
    let source = world.another("source", crate::RepositoryOptions::default())?;
    let blob = world.blob(Algorithm::Sha256, 100);
    world.keep_blob_in(&source, &blob)?;
    let push = token_for(world, &world.ask("POST", "blobs/uploads/"))?;
    let mount = world.ask("POST", "blobs/uploads/").query("mount", &blob.digest);
    for mount in [mount.clone().query("from", &source), mount] {
        let challenge = Challenge::read(&world.send_with(Some(&push), &mount)?.expect(401)?)?;
        let scope = challenge.scope.clone().context("no scope")?;
        let (target, other) = (
            format!("repository:{}:", world.repository()),
            format!("repository:{source}:pull"),
        );
        ensure!(scope.contains(&target) && scope.contains(&other), "not both: {scope}");
        let (user, password) = login(world)?;
        let both = token(&world.send_bare(&challenge.ask(&user, &password))?)?;
        world.send_with(Some(&both), &mount)?.expect(201)?;
        world.delete(&format!("blobs/{}", blob.digest))?.expect(202)?;
    }
    Ok(())
}
