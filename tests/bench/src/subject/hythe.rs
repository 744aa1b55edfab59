// SPDX-License-Identifier: Apache-2.0
//! Ours: SQLite, authorization on every request, metrics and logs on, as it comes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::{Server, ServerOptions, http};
use serde_json::{Value, json};

use super::{Kind, REPOSITORY, Running, Subject};
use crate::load::connection::Connection;
use crate::load::endpoint::Endpoint;
use crate::load::tls::Identity;
use crate::process::Tree;

/// Starts one in an empty folder, with its repositories.
pub fn start(kind: &Kind) -> Result<Subject> {
    start_with(kind, None)
}

/// Starts one with this data folder, which may be there already.
pub fn start_on(kind: &Kind, data: &Path) -> Result<Subject> {
    start_with(kind, Some(data))
}

fn start_with(kind: &Kind, data: Option<&Path>) -> Result<Subject> {
    let started = Instant::now();
    let server = Server::start_with(ServerOptions {
        arguments: arguments(kind),
        data_folder: data.map(Path::to_owned),
        ..ServerOptions::default()
    })?;
    let ready_after = started.elapsed();
    if server.repository(REPOSITORY)?.is_none() {
        server.create_repository(REPOSITORY)?;
    }
    let endpoint = Endpoint::plain(server.registry())?;
    let (password, _) = server.authorization_token(&json!({}))?;
    let mut endpoint = endpoint.with(http::basic("AWS", &password));
    endpoint.authorization = Some(bearer(&endpoint, &[REPOSITORY])?);
    Ok(Subject {
        kind: kind.clone(),
        endpoint,
        tree: Tree::of(&[server.pid()])?,
        ready_after,
        running: Running::Hythe {
            server: Box::new(server),
            _data: None,
        },
    })
}

/// Starts it again on the same data, with TLS.
pub fn into_tls(subject: Subject, identity: &Identity) -> Result<Subject> {
    let Running::Hythe { server: mut first, .. } = subject.running else {
        anyhow::bail!("not a server of ours")
    };
    first.stop();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut arguments = arguments(&subject.kind);
    arguments.extend([
        "--tls-mode".to_owned(),
        "files".to_owned(),
        "--tls-certificate".to_owned(),
        text(&identity.certificate),
        "--tls-key".to_owned(),
        text(&identity.key),
    ]);
    let options = ServerOptions {
        arguments,
        data_folder: Some(first.data_folder().to_owned()),
        credentials: Some(first.credentials().clone()),
        ..ServerOptions::default()
    };
    let started = Instant::now();
    let server = Server::start_with(options)?;
    let ready_after = started.elapsed();
    let mut endpoint = Endpoint::plain(server.registry())?.over(identity.client.clone());
    // A token speaks for the account, wherever the listener is.
    endpoint.authorization.clone_from(&subject.endpoint.authorization);
    Ok(Subject {
        kind: subject.kind,
        tree: Tree::of(&[server.pid()])?,
        endpoint,
        ready_after,
        running: Running::Hythe {
            server: Box::new(server),
            _data: Some(first),
        },
    })
}

/// What is not as it comes.
fn arguments(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Unaudited => vec!["--audit-reads=false".to_owned()],
        _ => Vec::new(),
    }
}

/// A bearer token for some repositories and the catalog, as an engine gets it: a password once, then the token.
pub fn bearer(endpoint: &Endpoint, repositories: &[&str]) -> Result<String> {
    let mut target = format!("/token?service={}", http::percent_encode(&endpoint.address.to_string()));
    let own = repositories
        .iter()
        .map(|name| format!("repository:{name}:pull,push,delete"));
    for scope in own.chain(["registry:catalog:*".to_owned()]) {
        target.push_str("&scope=");
        target.push_str(&http::percent_encode(&scope));
    }
    let answer = Connection::open(endpoint)?.call("GET", &target, "", &[])?.expect(200)?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let token = answer.get("token").and_then(Value::as_str).context("no token")?;
    ensure!(!token.is_empty(), "an empty token");
    Ok(format!("Bearer {token}"))
}
