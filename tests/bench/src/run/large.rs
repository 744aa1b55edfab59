// SPDX-License-Identifier: Apache-2.0
//! Our own server with much stored: how long it takes to start, and how long pages of long lists take.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::{Server, ServerOptions};
use serde_json::{Value, json};

use super::{Content, Plan};
use crate::figures::{Figures, Sample, Section, metric};
use crate::load::body::Random;
use crate::load::connection::Connection;
use crate::load::endpoint::Endpoint;
use crate::load::push;
use crate::measure;
use crate::process::Tree;
use crate::report::terminal::Progress;
use crate::subject::{Kind, REPOSITORY, hythe};
use crate::work::fill::{self, fill};
use crate::work::image::{self, How, Size};

/// Entries of a page.
const PAGE: usize = 1000;

/// How many steps this is in the progress.
pub fn steps(plan: &Plan) -> usize {
    let start = if plan.wants(Section::Start) { 2 * plan.rounds } else { 0 };
    let listing = if plan.wants(Section::Listing) {
        2 * plan.rounds
    } else {
        0
    };
    if start + listing > 0 { start + listing + 2 } else { 0 }
}

/// Names of the rows, which say how much was stored.
#[must_use]
pub fn start_row(manifests: u64) -> String {
    if manifests == 1 {
        return "start to ready, one image".to_owned();
    }
    format!("start to ready, {} manifests", grouped(manifests))
}

/// The row of tag list pages.
#[must_use]
pub fn tags_row(tags: u64) -> String {
    format!("tag list page of {PAGE}, {} tags", grouped(tags))
}

/// The row of catalog pages.
#[must_use]
pub fn catalog_row(repositories: u64) -> String {
    format!("catalog page of {PAGE}, {} repositories", grouped(repositories))
}

/// Measures.
pub fn run(plan: &Plan, content: &Content, figures: &mut Figures, progress: &mut Progress) -> Result<()> {
    let ours = Kind::Hythe.name();
    let folder = tempfile::Builder::new().prefix("hythe-bench-").tempdir()?;
    let small = folder.path().join("small");
    let large = folder.path().join("large");
    for data in [&small, &large] {
        progress.step(0, ours, "store one image");
        let server = start(data)?;
        server.create_repository(REPOSITORY)?;
        let mut connection = Connection::open(&known(&server)?)?;
        let layer = content.layers.of(Size::Small)?.make();
        image::push(&mut connection, REPOSITORY, "latest", &layer, How::Monolith)?;
    }
    let amount = plan.amount;
    progress.note(&format!(
        "filling the store: {} manifests, {} tags, {} repositories",
        grouped(amount.manifests),
        grouped(amount.tags),
        grouped(amount.repositories)
    ));
    let took = fill(&large.join("hythe.db"), amount)?;
    progress.note(&format!("filled in {:.1} s", took.as_secs_f64()));
    if plan.wants(Section::Start) {
        for round in 0..plan.rounds {
            let mut pair = [(start_row(1), &small), (start_row(amount.manifests), &large)];
            if round % 2 == 1 {
                pair.reverse();
            }
            for (name, data) in pair {
                progress.step(round, ours, &name);
                let began = Instant::now();
                let server = start(data)?;
                let took = began.elapsed().as_secs_f64() * 1000.0;
                let memory = Tree::of(&[server.pid()])?.resident_mib()?;
                let sample = Sample::from([(metric::MILLISECONDS, took), (metric::MEMORY, memory)]);
                figures.add(Section::Start, &name, metric::MILLISECONDS, ours, round, sample);
            }
        }
    }
    if plan.wants(Section::Listing) {
        let server = start(&large)?;
        let endpoint = known(&server)?;
        let tree = Tree::of(&[server.pid()])?;
        for round in 0..plan.rounds {
            let tags = format!("/v2/{REPOSITORY}/tags/list?n={PAGE}&last=");
            let name = tags_row(amount.tags);
            progress.step(round, ours, &name);
            let sample = pages(&endpoint, &tree, plan.length, &tags, "tags", amount.tags, fill::tag)?;
            figures.add(Section::Listing, &name, metric::P99, ours, round, sample);
            let catalog = format!("/v2/_catalog?n={PAGE}&last=");
            let name = catalog_row(amount.repositories);
            progress.step(round, ours, &name);
            let count = amount.repositories;
            let sample = pages(
                &endpoint,
                &tree,
                plan.length,
                &catalog,
                "repositories",
                count,
                fill::repository,
            )?;
            figures.add(Section::Listing, &name, metric::P99, ours, round, sample);
        }
    }
    Ok(())
}

/// Gets pages behind names picked at random, one after the other; the first one is the check of what is in it.
fn pages(
    endpoint: &Endpoint,
    tree: &Tree,
    length: Duration,
    target: &str,
    member: &str,
    count: u64,
    name: fn(u64) -> String,
) -> Result<Sample> {
    let last = count.saturating_sub(PAGE as u64).max(1);
    let page = |connection: &mut Connection, turn: u64| -> Result<Vec<u8>> {
        let behind = Random::new(turn).below(last);
        let target = format!("{target}{}", e2e::http::percent_encode(&name(behind)));
        Ok(connection.call("GET", &target, "", &[])?.expect(200)?.body)
    };
    let first: Value = serde_json::from_slice(&page(&mut Connection::open(endpoint)?, 0)?)?;
    let entries = first.get(member).and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(
        entries == PAGE.min(usize::try_from(count)?),
        "a page of {entries} {member}"
    );
    measure::work(tree, || {
        // Twice as long as other measurements: the target is about the slowest of a hundred.
        push::in_parallel(endpoint, 1, length * 2, u64::MAX, |connection, turn| {
            Ok(page(connection, turn)?.len() as u64)
        })
    })
}

fn start(data: &std::path::Path) -> Result<Server> {
    Server::start_with(ServerOptions {
        data_folder: Some(data.to_owned()),
        ..ServerOptions::default()
    })
}

pub fn known(server: &Server) -> Result<Endpoint> {
    let (password, _) = server.authorization_token(&json!({}))?;
    let endpoint = Endpoint::plain(server.registry())?.with(e2e::http::basic("AWS", &password));
    let token = hythe::bearer(&endpoint, &[REPOSITORY])?;
    Ok(endpoint.with(token))
}

/// A number with a comma between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_parted() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
