// SPDX-License-Identifier: Apache-2.0
//! Caches of caches, and caches that name each other.

use std::sync::{Arc, Barrier, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use e2e::registry::digest;
use e2e::upstream::{Reply, ScriptedUpstream};
use e2e::{RegistryClient, Server};
use serde_json::{Value, json};

use super::{Shelf, cache, having_digest, imported, rule};

const QUESTIONS: &str = "hythe_registry_cache_questions_total";
const LOOPS: &str = "hythe_registry_cache_loops_total";
const HEADER: &str = "hythe-pull-path";

/// The rest of a rule that asks `server` as its administrator.
fn as_administrator(server: &Server, prefix: &str) -> Value {
    let key = server.credentials();
    json!({
        "upstreamRepositoryPrefix": prefix,
        "credential": { "username": key.access_key_id, "accessToken": key.secret_access_key },
        "tagFreshnessSeconds": 0,
    })
}

/// Two servers each of which has `shared/…` from the other.
fn two_that_name_each_other() -> Result<(Server, Server)> {
    let (one, other) = (cache(&[])?, cache(&[])?);
    for (from, to) in [(&one, &other), (&other, &one)] {
        let url = format!("http://{}", to.registry());
        rule(from, "shared", &url, as_administrator(to, "shared"))?;
    }
    Ok((one, other))
}

#[test]
fn caches_that_name_each_other_answer_at_once() -> Result<()> {
    let (one, other) = two_that_name_each_other()?;
    let (here, there) = (RegistryClient::new(&one), RegistryClient::new(&other));
    let absent = digest(b"of no image");
    for reference in ["absent", &absent] {
        let before = (one.metric(QUESTIONS)?, other.metric(QUESTIONS)?, one.metric(LOOPS)?);
        let answer = here.manifest("shared/web", reference)?;
        ensure!(answer.status == 404, "{} {}", answer.status, answer.text());
        // One question there, and the one that comes back is not passed on.
        ensure!(one.metric(QUESTIONS)? == before.0 + 1, "{}", one.metric(QUESTIONS)?);
        ensure!(other.metric(QUESTIONS)? == before.1 + 1, "{}", other.metric(QUESTIONS)?);
        ensure!(one.metric(LOOPS)? == before.2 + 1, "{}", one.metric(LOOPS)?);
    }
    let loops = one.metric(LOOPS)?;
    let target = format!("/v2/shared/web/referrers/{absent}");
    let listed = here.call("GET", &target, &[], &[])?.expect(200)?.json()?;
    ensure!(listed["manifests"] == json!([]), "{listed}");
    ensure!(one.metric(LOOPS)? == loops + 1, "{}", one.metric(LOOPS)?);

    // What exists in one of them is found from both.
    one.create_repository("shared/api")?;
    other.create_repository("shared/app")?;
    let api = here.push_image("shared/api", "v1", &vec![1; 100_000])?;
    let app = there.push_image("shared/app", "v1", &vec![2; 100_000])?;
    there.pull_image("shared/api", "v1")?;
    here.pull_image("shared/app", "v1")?;
    ensure!(imported(&other, "shared/api", "v1")? == api);
    ensure!(imported(&one, "shared/app", "v1")? == app);
    // A tag that came from there is asked about there, where it is nobody else's.
    for (client, name) in [(&here, "shared/app"), (&there, "shared/api")] {
        let same = client.manifest(name, "v1")?.expect(200)?;
        ensure!(same.header("hythe-cache") == Some("REVALIDATED"), "{same:?}");
    }
    Ok(())
}

#[test]
fn both_asked_at_once_do_not_wait_for_each_other() -> Result<()> {
    const CLIENTS: usize = 6;
    let (one, other) = two_that_name_each_other()?;
    let start = Arc::new(Barrier::new(2 * CLIENTS));
    let pulls: Vec<_> = [&one, &other]
        .into_iter()
        .flat_map(|server| vec![RegistryClient::new(server); CLIENTS])
        .map(|client| {
            let start = Arc::clone(&start);
            std::thread::spawn(move || {
                start.wait();
                client.manifest("shared/web", "absent")
            })
        })
        .collect();
    for pull in pulls {
        let answer = pull.join().map_err(|_| anyhow::anyhow!("a pull panicked"))??;
        ensure!(answer.status == 404, "{} {}", answer.status, answer.text());
    }
    let asked = one.metric(QUESTIONS)? + other.metric(QUESTIONS)?;
    ensure!(asked <= 8, "{asked} questions");
    Ok(())
}

#[test]
fn a_chain_of_caches_has_an_end() -> Result<()> {
    // One deployment, which comes from itself by other names: p0 from p1, p1 from p2, and so on.
    let server = cache(&[])?;
    let url = format!("http://{}", server.registry());
    for number in 0..10 {
        let next = as_administrator(&server, &format!("p{}", number + 1));
        rule(&server, &format!("p{number}"), &url, next)?;
    }
    server.create_repository("p10/web")?;
    let here = RegistryClient::new(&server);
    let image = here.push_image("p10/web", "v1", &vec![1; 100_000])?;
    // Eight hops, and nine.
    let near = here.manifest("p2/web", "v1")?.expect(200)?;
    ensure!(digest(&near.body) == image, "another image");
    here.pull_image("p2/web", "v1")?;
    ensure!(server.metric(LOOPS)? == 0);
    server.create_repository("p10/api")?;
    here.push_image("p10/api", "v1", &vec![2; 100_000])?;
    let far = here.manifest("p1/api", "v1")?;
    ensure!(far.status == 404, "{} {}", far.status, far.text());
    ensure!(server.metric(LOOPS)? == 1, "{}", server.metric(LOOPS)?);
    Ok(())
}

#[test]
fn each_question_tells_by_which_repositories_it_came_and_nothing_else() -> Result<()> {
    let shelf = Shelf::of("a/b", "v1", &vec![1; 100_000]);
    let image = having_digest(&shelf)?;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let upstream = ScriptedUpstream::start(move |asked| {
        let path = asked.headers.iter().find(|(name, _)| name == HEADER);
        let path = path.map(|(_, value)| value.clone());
        hearing.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        if asked.target.contains("/referrers/") {
            return Reply::new(404, &[], "{}");
        }
        shelf.reply(asked)
    })?;
    let mut server = cache(&[])?;
    rule(&server, "up", &upstream.url(), json!({ "tagFreshnessSeconds": 0 }))?;
    let here = RegistryClient::new(&server);
    here.pull_image("up/a/b", "v1")?;
    imported(&server, "up/a/b", "v1")?;
    server.kill9()?;
    server.restart()?;
    here.manifest("up/a/b", "v1")?.expect(200)?;
    let target = format!("/v2/up/a/b/referrers/{image}");
    here.call("GET", &target, &[], &[])?.expect(200)?;
    let paths = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let first = paths.first().cloned().flatten().context("no path")?;
    ensure!(
        first.len() == 16 && first.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{first}"
    );
    ensure!(
        paths.len() >= 6 && paths.iter().all(|path| path.as_ref() == Some(&first)),
        "{paths:?}"
    );

    // A sender who says that it came by here is not asked on behalf of, and gets what is here.
    let before = upstream.asked().len();
    let claim = |path: &str, reference: &str| {
        let headers = [("Hythe-Pull-Path", path)];
        here.call("GET", &format!("/v2/up/a/b/manifests/{reference}"), &headers, &[])
    };
    let stale = claim(&first, "v1")?.expect(200)?;
    ensure!(stale.header("hythe-cache") == Some("STALE"), "{stale:?}");
    let absent = claim(&first, "v2")?;
    ensure!(
        absent.status == 404 && absent.text().contains("MANIFEST_UNKNOWN"),
        "{}",
        absent.text()
    );
    let long = ["0123456789abcdef"; 9].join(",");
    ensure!(claim(&long, "v2")?.status == 404);
    ensure!(upstream.asked().len() == before, "{:?}", upstream.asked());
    for nonsense in ["nonsense", "", "0123456789ABCDEF", &format!("{first},,")] {
        let refused = claim(nonsense, "v1")?;
        ensure!(refused.status == 400, "{nonsense}: {}", refused.text());
    }
    // What was claimed changes nothing for others.
    let asked = here.manifest("up/a/b", "v1")?.expect(200)?;
    ensure!(asked.header("hythe-cache") == Some("REVALIDATED"), "{asked:?}");
    Ok(())
}
