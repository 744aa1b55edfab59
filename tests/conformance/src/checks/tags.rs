// SPDX-License-Identifier: Apache-2.0
//! "Listing Tags".

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Level::{May, Must, Should};
use crate::table::Check;
use crate::wire::{Answer, Ask};
use crate::world::World;

const SECTION: &str = "Listing Tags";

pub(super) const CHECKS: &[Check] = &[
    Check::reading(
        "tags-list",
        SECTION,
        Must,
        "GET of the tags answers 200 with a JSON document of `name` and `tags`",
        list,
    ),
    Check::reading(
        "tags-list-empty",
        SECTION,
        Must,
        "a repository without tags has an empty list",
        empty,
    ),
    Check::reading(
        "tags-order",
        SECTION,
        Must,
        "tags come in lexical order, by bytes",
        order,
    ),
    Check::reading(
        "tags-n",
        SECTION,
        Must,
        "`n` gives that many tags, and fewer only if there are no more",
        n,
    ),
    Check::reading(
        "tags-n-zero",
        SECTION,
        Must,
        "`n=0` gives an empty list and no `Link`",
        n_zero,
    ),
    Check::reading(
        "tags-n-large",
        SECTION,
        Must,
        "an `n` that is larger than a page gives a page",
        n_large,
    ),
    Check::reading(
        "tags-n-invalid",
        SECTION,
        Should,
        "an `n` that is no number is 400",
        n_invalid,
    ),
    Check::reading(
        "tags-last",
        SECTION,
        Must,
        "`last` gives the tags behind that one, whether there is such a tag or not, with `n` or without",
        last,
    ),
    Check::reading(
        "tags-last-beyond",
        SECTION,
        Must,
        "a `last` behind all tags gives an empty list",
        last_beyond,
    ),
    Check::reading(
        "tags-link",
        SECTION,
        May,
        "`Link` with `rel=\"next\"` (RFC 8288) leads from page to page, each tag once, and is absent on the last",
        link,
    ),
    Check::reading(
        "tags-unknown-repository",
        SECTION,
        Must,
        "the tags of a repository that does not exist are 404",
        unknown_repository,
    ),
];

/// Tags in the order of their bytes.
const TAGS: [&str; 9] = ["0.9", "1.0", "10", "2", "V1", "_a", "v1", "v1-a", "v1.0"];

/// Puts an image under all of [`TAGS`], in another order.
fn keep_tags(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(crate::content::Algorithm::Sha256, &Value::Null)?;
    for tag in TAGS.iter().rev() {
        world.keep_manifest(tag, &image.manifest)?;
    }
    Ok(())
}

fn tags(answer: &Answer) -> Result<Vec<String>> {
    let body = answer.json()?;
    let tags = body.get("tags").and_then(Value::as_array).context("no `tags`")?;
    Ok(tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect())
}

fn expect_tags(world: &World<'_>, query: &str, wanted: &[&str]) -> Result<Answer> {
    let answer = world.get(&format!("tags/list{query}"))?.expect(200)?;
    let found = tags(&answer)?;
    ensure!(found == wanted, "`{query}` gives {found:?}, not {wanted:?}");
    Ok(answer)
}

fn list(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    let answer = expect_tags(world, "", &TAGS)?.with("content-type", "application/json")?;
    ensure!(answer.header("link").is_none(), "a whole list has a `Link`");
    let wanted = json!({ "name": world.repository(), "tags": TAGS });
    ensure!(answer.json()? == wanted, "not `name` and `tags`: {}", answer.text());
    Ok(())
}

fn empty(world: &World<'_>) -> Result<()> {
    let answer = expect_tags(world, "", &[])?;
    ensure!(
        answer.json()? == json!({ "name": world.repository(), "tags": [] }),
        "{}",
        answer.text()
    );
    let image = world.prepare_image(crate::content::Algorithm::Sha256, &Value::Null)?;
    world.keep_manifest(&image.manifest.digest, &image.manifest)?;
    expect_tags(world, "", &[])?;
    Ok(())
}

fn order(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    let found = tags(&world.get("tags/list")?.expect(200)?)?;
    let mut sorted = found.clone();
    sorted.sort();
    ensure!(found == sorted && found.len() == TAGS.len(), "not in order: {found:?}");
    Ok(())
}

fn n(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    for count in 1..=TAGS.len() {
        let wanted = TAGS.get(..count).unwrap_or_default();
        let answer = expect_tags(world, &format!("?n={count}"), wanted)?;
        let has_link = answer.header("link").is_some();
        ensure!(has_link == (count < TAGS.len()), "`n={count}`: `Link` is wrong");
    }
    Ok(())
}

fn n_zero(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    for query in ["?n=0", "?n=0&last=1.0"] {
        let answer = expect_tags(world, query, &[])?;
        ensure!(answer.header("link").is_none(), "`{query}` has a `Link`");
    }
    Ok(())
}

fn n_large(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    for n in ["10", "1000", "1001", "4294967296", "99999999999999999999999"] {
        let answer = expect_tags(world, &format!("?n={n}"), &TAGS)?;
        ensure!(answer.header("link").is_none(), "`n={n}` has a `Link`");
    }
    Ok(())
}

fn n_invalid(world: &World<'_>) -> Result<()> {
    for n in ["-1", "x", "", "1.5", "0x10", "%2B1"] {
        world
            .get(&format!("tags/list?n={n}"))?
            .expect(400)
            .with_context(|| n.to_owned())?;
    }
    Ok(())
}

fn last(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    for (nth, tag) in TAGS.iter().enumerate() {
        let behind = TAGS.get(nth + 1..).unwrap_or_default();
        expect_tags(world, &format!("?last={tag}"), behind)?;
        expect_tags(world, &format!("?n=2&last={tag}"), behind.get(..2).unwrap_or(behind))?;
    }
    // Between two tags.
    expect_tags(world, "?last=1.5", TAGS.get(2..).unwrap_or_default())?;
    expect_tags(world, "?last=1.5&n=1", &["10"])?;
    Ok(())
}

fn last_beyond(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    for query in ["?last=zzz", "?last=v1.0", "?n=5&last=zzz"] {
        let answer = expect_tags(world, query, &[])?;
        ensure!(answer.header("link").is_none(), "`{query}` has a `Link`");
    }
    Ok(())
}

/// The target of a `Link` to the next page.
pub(super) fn next(answer: &Answer) -> Result<Option<String>> {
    let Some(link) = answer.header("link") else {
        return Ok(None);
    };
    let target = link
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    let target = target.with_context(|| format!("not a link to the next page: `{link}`"))?;
    ensure!(target.starts_with("/v2/"), "a link to somewhere else: `{link}`");
    Ok(Some(target.to_owned()))
}

fn link(world: &World<'_>) -> Result<()> {
    keep_tags(world)?;
    for size in [1, 2, 4, 8] {
        let mut found = Vec::new();
        let mut target = Some(world.ask("GET", &format!("tags/list?n={size}")).target);
        while let Some(page) = target {
            let answer = world.send(&Ask::new("GET", page))?.expect(200)?;
            let tags = tags(&answer)?;
            target = next(&answer)?;
            ensure!(
                tags.len() == size || target.is_none(),
                "a page of {} of {size}",
                tags.len()
            );
            ensure!(!tags.is_empty(), "a page of nothing");
            found.extend(tags);
            ensure!(found.len() <= TAGS.len(), "the pages do not end");
        }
        ensure!(found == TAGS, "pages of {size} give {found:?}");
    }
    Ok(())
}

fn unknown_repository(world: &World<'_>) -> Result<()> {
    for query in ["", "?n=0", "?n=2&last=a"] {
        let ask = Ask::new("GET", format!("/v2/{}/tags/list{query}", world.nowhere()));
        world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
    }
    Ok(())
}
