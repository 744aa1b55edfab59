// SPDX-License-Identifier: Apache-2.0
//! Compares a running registry with what may be there, and looks for anything that is half there.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::RegistryClient;
use crate::ledger::{Expectation, Key, State};
use crate::registry::is_digest_of;

/// Most problems that a message lists.
const MAX_SHOWN: usize = 12;

/// Deepest nesting of indexes that is followed.
const MAX_DEPTH: usize = 4;

/// What an examination found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Acknowledged, but not there (or not gone).
    pub lost: Vec<String>,
    /// There, but not whole.
    pub half: Vec<String>,
    /// How many things were looked at.
    pub examined: usize,
    /// How many listed tags were pulled with everything they name.
    pub pulled: usize,
}

impl Verdict {
    /// Insists that nothing was found.
    pub fn clean(&self) -> Result<()> {
        let all: Vec<&str> = self.lost.iter().chain(&self.half).map(String::as_str).collect();
        let shown = all.get(..MAX_SHOWN.min(all.len())).unwrap_or_default();
        ensure!(
            all.is_empty(),
            "{} lost and {} half visible among {} things and {} tags:\n{}",
            self.lost.len(),
            self.half.len(),
            self.examined,
            self.pulled,
            shown.join("\n")
        );
        Ok(())
    }

    /// Adds what another examination found.
    pub fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.half.extend(other.half);
        self.examined += other.examined;
        self.pulled += other.pulled;
    }
}

/// What of a registry is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// All but uploads that have not ended: a power cut may take those.
    Finished,
}

/// Examines what `expected` names.
pub fn examine(client: &RegistryClient, expected: &Expectation, scope: Scope) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for (key, states) in expected {
        if scope == Scope::Finished && matches!(key, Key::Upload { .. }) {
            continue;
        }
        verdict.examined += 1;
        match observe(client, key) {
            Ok(found) if is_expected(key, &found, states) => {}
            Ok(found) => verdict
                .lost
                .push(format!("{key:?} is {found:?}, not one of {states:?}")),
            Err(error) => verdict.half.push(format!("{key:?}: {error:#}")),
        }
    }
    let repositories: BTreeSet<&str> = expected.keys().filter_map(repository_of).collect();
    for repository in repositories {
        let mut tags = match listed_tags(client, repository) {
            Ok(tags) => tags,
            Err(error) => {
                verdict.lost.push(format!("the tags of {repository}: {error:#}"));
                continue;
            }
        };
        let mut known = BTreeSet::new();
        for tag in &tags {
            if let Err(error) = pull(client, repository, tag, MAX_DEPTH, &mut known) {
                verdict.half.push(format!("tag {tag} of {repository}: {error:#}"));
            }
        }
        verdict.pulled += tags.len();
        tags.sort_unstable();
        for (key, states) in expected {
            if let Key::Tag { repository: of, name } = key
                && of == repository
                && !states.contains(&None)
                && tags.binary_search(name).is_err()
            {
                verdict.lost.push(format!("tag {name} of {repository} is not listed"));
            }
        }
    }
    Ok(verdict)
}

fn repository_of(key: &Key) -> Option<&str> {
    match key {
        Key::Blob { repository, .. } | Key::Image { repository, .. } | Key::Tag { repository, .. } => Some(repository),
        Key::Upload { .. } => None,
    }
}

fn is_expected(key: &Key, found: &State, states: &BTreeSet<State>) -> bool {
    if let (Key::Upload { .. }, Some(found)) = (key, found) {
        // An upload may have more than was acknowledged: bytes of a request that was cut off count.
        let bytes = |text: &String| text.parse::<u64>().ok();
        let least = states.iter().flatten().filter_map(bytes).min();
        return least.is_some_and(|least| bytes(found) >= Some(least));
    }
    states.contains(found)
}

/// What is there. An error if it is neither there nor gone.
fn observe(client: &RegistryClient, key: &Key) -> Result<State> {
    match key {
        Key::Blob { repository, digest } => {
            let target = format!("/v2/{repository}/blobs/{digest}");
            let is_there = both_ways(client, &target, Some(digest))?.is_some();
            Ok(is_there.then(|| digest.clone()))
        }
        Key::Image { repository, digest } => {
            let target = format!("/v2/{repository}/manifests/{digest}");
            let is_there = both_ways(client, &target, Some(digest))?.is_some();
            Ok(is_there.then(|| digest.clone()))
        }
        Key::Tag { repository, name } => both_ways(client, &format!("/v2/{repository}/manifests/{name}"), None),
        Key::Upload { target } => {
            let response = client.call("GET", target, &[], &[])?;
            match response.status {
                404 => Ok(None),
                204 => {
                    let end = response.header("range").and_then(|range| range.split_once('-'));
                    let end: u64 = end.context("no Range")?.1.parse()?;
                    // `0-0` stands for nothing and for one byte; no test sends one byte.
                    Ok(Some(if end == 0 { 0 } else { end + 1 }.to_string()))
                }
                status => bail!("the state of an upload is {status} {}", response.text()),
            }
        }
    }
}

/// HEAD and GET say the same, and the bytes are those that the digest names. Answers that digest.
fn both_ways(client: &RegistryClient, target: &str, digest: Option<&str>) -> Result<State> {
    let accept = [("Accept", "*/*")];
    let head = client.call("HEAD", target, &accept, &[])?;
    let got = client.call("GET", target, &accept, &[])?;
    ensure!(
        head.status == got.status,
        "HEAD is {} and GET is {} {}",
        head.status,
        got.status,
        got.text()
    );
    match got.status {
        404 => Ok(None),
        200 => {
            let named = got.header("docker-content-digest").map(str::to_owned);
            let wanted = digest.map(str::to_owned).or(named).context("no digest")?;
            ensure!(
                is_digest_of(&wanted, &got.body),
                "{target} came back as {} other bytes",
                got.body.len()
            );
            let length = got.body.len().to_string();
            ensure!(
                head.header("content-length") == Some(&length),
                "HEAD says another length: {:?}",
                head.headers
            );
            Ok(Some(wanted))
        }
        status => bail!("{target} is {status} {}", got.text()),
    }
}

/// Every tag of a repository, page by page.
pub fn listed_tags(client: &RegistryClient, repository: &str) -> Result<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    loop {
        let last = tags.last().map(|tag| format!("&last={tag}")).unwrap_or_default();
        let page = client.call("GET", &format!("/v2/{repository}/tags/list?n=1000{last}"), &[], &[])?;
        let page = page.expect(200)?.json()?;
        let Some(page) = page
            .get("tags")
            .and_then(Value::as_array)
            .filter(|page| !page.is_empty())
        else {
            return Ok(tags);
        };
        tags.extend(page.iter().filter_map(Value::as_str).map(str::to_owned));
    }
}

/// Reads everything that a manifest names, indexes to their leaves, but for the blobs that are known.
fn pull(
    client: &RegistryClient,
    repository: &str,
    reference: &str,
    depth: usize,
    known: &mut BTreeSet<String>,
) -> Result<()> {
    ensure!(depth > 0, "indexes are nested too deeply");
    let target = format!("/v2/{repository}/manifests/{reference}");
    let by_digest = reference.contains(':').then_some(reference);
    both_ways(client, &target, by_digest)?.with_context(|| format!("manifest {reference} is not there"))?;
    let manifest = client
        .call("GET", &target, &[("Accept", "*/*")], &[])?
        .expect(200)?
        .json()?;
    let list = |name: &str| {
        manifest
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    for child in list("manifests") {
        let digest = child.get("digest").and_then(Value::as_str).context("no digest")?;
        pull(client, repository, digest, depth - 1, known).with_context(|| format!("child {digest}"))?;
    }
    for descriptor in manifest.get("config").into_iter().chain(&list("layers")) {
        let digest = descriptor.get("digest").and_then(Value::as_str).context("no digest")?;
        if !known.contains(digest) {
            let target = format!("/v2/{repository}/blobs/{digest}");
            both_ways(client, &target, Some(digest))?.with_context(|| format!("blob {digest} is not there"))?;
            known.insert(digest.to_owned());
        }
    }
    Ok(())
}
