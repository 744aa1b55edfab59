// SPDX-License-Identifier: Apache-2.0
//! What another registry has: repositories, and tags of one (OCI Distribution Specification 1.1, "Listing Tags"; the
//! catalog is Docker's, "Listing Repositories").

use std::collections::BTreeSet;

use http::Method;
use http::header::LINK;
use hythe_model::Tag;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::UpstreamError;
use crate::referrers::next_page;
use crate::remote::{Ask, Remote, read_all};

/// How many names one page shall have. Some registries give fewer, some all.
const PAGE: usize = 1000;
/// The longest page, in bytes.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// The most pages of one list.
const MAX_PAGES: usize = 1000;
/// The most tags of one repository.
pub const MAX_LISTED_TAGS: usize = 50_000;
/// The most repositories that are looked through.
const MAX_LISTED_REPOSITORIES: usize = 1_000_000;
/// The longest name of a repository that is told of, in bytes: what is longer has no name here (ECR has 256 characters).
const MAX_NAME_BYTES: usize = 256;

#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RepositoryPage {
    repositories: Option<Vec<String>>,
}

impl Remote {
    /// All tags of a repository, by bytes. Names that are no tags are left out: nothing could be asked for by them.
    ///
    /// # Errors
    /// A list that has more than [`MAX_LISTED_TAGS`], does not end, or goes on at another registry is an error as a whole: a
    /// part of it says nothing about what is not there.
    pub async fn tags(&self, repository: &str) -> Result<BTreeSet<Tag>, UpstreamError> {
        let mut tags = BTreeSet::new();
        let path = format!("{repository}/tags/list?n={PAGE}");
        let what = "a list of tags";
        self.pages(&path, repository, what, MAX_LISTED_TAGS, |page: TagPage| {
            let names = page.tags.unwrap_or_default();
            // One more than may be is enough to see that there are too many.
            let room = (MAX_LISTED_TAGS + 1).saturating_sub(tags.len());
            tags.extend(names.iter().filter_map(|name| name.parse::<Tag>().ok()).take(room));
            names.len()
        })
        .await?;
        Ok(tags)
    }

    /// The repositories that `is_wanted` says yes to, by bytes, at most `limit` of them. Names that are longer than any may be here
    /// are left out.
    ///
    /// # Errors
    /// As [`Remote::tags`]; more than `limit` are an error, too. A registry without a catalog has
    /// [`UpstreamError::NotFound`] or [`UpstreamError::Denied`].
    pub async fn repositories(
        &self,
        is_wanted: impl Fn(&str) -> bool + Send + Sync,
        limit: usize,
    ) -> Result<BTreeSet<String>, UpstreamError> {
        let mut wanted = BTreeSet::new();
        let path = format!("_catalog?n={PAGE}");
        let what = "a list of repositories";
        self.pages(&path, "", what, MAX_LISTED_REPOSITORIES, |page: RepositoryPage| {
            let names = page.repositories.unwrap_or_default();
            let count = names.len();
            // One more than may be is enough to see that there are too many.
            let room = (limit + 1).saturating_sub(wanted.len());
            let may_be = |name: &String| name.len() <= MAX_NAME_BYTES && is_wanted(name);
            wanted.extend(names.into_iter().filter(may_be).take(room));
            count
        })
        .await?;
        if wanted.len() > limit {
            return Err(UpstreamError::invalid(format!(
                "more than {limit} repositories match the patterns"
            )));
        }
        Ok(wanted)
    }

    /// Reads a list page by page; `take` says how many names each had.
    async fn pages<P: DeserializeOwned>(
        &self,
        path: &str,
        repository: &str,
        what: &str,
        limit: usize,
        mut take: impl FnMut(P) -> usize + Send,
    ) -> Result<(), UpstreamError> {
        let endless = || UpstreamError::invalid(format!("{what} that does not end, or has more than {limit} entries"));
        let mut url = self.url(path)?;
        let mut count = 0;
        for _ in 0..MAX_PAGES {
            let response = self.ask(Ask::read(Method::GET, url.clone(), repository)).await?;
            let link = response
                .headers()
                .get(LINK)
                .map(|link| link.to_str().map(str::to_owned));
            let bytes = read_all(response, MAX_PAGE_BYTES, what).await?;
            let page = serde_json::from_slice(&bytes);
            let page = page.map_err(|_| UpstreamError::invalid(format!("{what} that is none")))?;
            let names = take(page);
            count += names;
            let Some(next) = next_url(&url, link.transpose().ok().flatten().as_deref())? else {
                return if count > limit { Err(endless()) } else { Ok(()) };
            };
            // One that leads to itself, or to more and more of nothing.
            if count > limit || names == 0 || next == url {
                return Err(endless());
            }
            url = next;
        }
        Err(endless())
    }
}

/// Where a list goes on: at the registry that it began at, since the next request carries the authorization.
fn next_url(url: &Url, link: Option<&str>) -> Result<Option<Url>, UpstreamError> {
    let Some(next) = link.and_then(next_page) else {
        return Ok(None);
    };
    match url.join(next) {
        Ok(next) if next.origin() == url.origin() => Ok(Some(next)),
        _ => Err(UpstreamError::invalid("a list whose next page is at another place")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_at_the_same_registry_only() {
        let url = Url::parse("https://registry.example.com/v2/a/tags/list?n=2").unwrap();
        let next = "https://registry.example.com/v2/a/tags/list?last=b&n=2";
        // The header, where the list goes on; `None` for an error, empty for its end.
        let cases = [
            (None, Some("")),
            (Some("</v2/a/tags/list?last=b&n=2>; rel=\"next\""), Some(next)),
            (Some("<?last=b&n=2>; rel=\"next\""), Some(next)),
            (Some("</v2/a/tags/list?last=b&n=2>; rel=\"prev\""), Some("")),
            (Some("nonsense"), Some("")),
            (Some("<https://evil.example.com/v2/a/tags/list>; rel=\"next\""), None),
            (Some("<//evil.example.com/>; rel=\"next\""), None),
            (Some("<http://registry.example.com/v2/>; rel=\"next\""), None),
            (Some("<file:///etc/passwd>; rel=\"next\""), None),
        ];
        for (link, wanted) in cases {
            let found = next_url(&url, link).map(|next| next.map_or_else(String::new, String::from));
            assert_eq!(found.ok().as_deref(), wanted, "{link:?}");
        }
    }
}
