// SPDX-License-Identifier: Apache-2.0
//! What refers to a manifest of another registry (OCI Distribution Specification 1.1, "Listing Referrers").

use http::Method;
use http::header::LINK;
use hythe_model::{Descriptor, Digest, MAX_MANIFEST_BYTES, Reference, Tag};
use serde::Deserialize;

use crate::UpstreamError;
use crate::remote::{Ask, Remote, read_all};

/// The most pages that are read.
const MAX_PAGES: usize = 16;
/// The most referrers that are told of.
const MAX_REFERRERS: usize = 2048;
/// From this many bytes on no further page is read.
const ENOUGH_BYTES: usize = MAX_MANIFEST_BYTES;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

impl Remote {
    /// What refers to `digest`, from the registry's list or from the tag that stands for it where there is no list.
    pub async fn referrers(&self, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>, UpstreamError> {
        let mut url = self.url(&format!("{repository}/referrers/{digest}"))?;
        let (mut found, mut bytes_read) = (Vec::new(), 0);
        for page in 0..MAX_PAGES {
            let response = match self.ask(Ask::read(Method::GET, url.clone(), repository)).await {
                Ok(response) => response,
                Err(UpstreamError::NotFound) if page == 0 => return self.tagged_referrers(repository, digest).await,
                Err(error) => return Err(error),
            };
            let next = response
                .headers()
                .get(LINK)
                .and_then(|link| link.to_str().ok())
                .and_then(next_page);
            let next = next.and_then(|next| url.join(next).ok());
            let bytes = read_all(response, MAX_MANIFEST_BYTES, "a list of referrers").await?;
            bytes_read += bytes.len();
            found.extend(parse(&bytes)?);
            found.truncate(MAX_REFERRERS);
            let is_enough = found.len() >= MAX_REFERRERS || bytes_read >= ENOUGH_BYTES;
            match next {
                // A next page elsewhere is no page of this list.
                Some(next) if next.origin() == url.origin() && !is_enough => url = next,
                _ => break,
            }
        }
        Ok(found)
    }

    /// "Referrers Tag Schema" of the specification.
    async fn tagged_referrers(&self, repository: &str, digest: &Digest) -> Result<Vec<Descriptor>, UpstreamError> {
        let tag: Result<Tag, _> = format!("{}-{}", digest.algorithm().as_str(), digest.hex()).parse();
        let Ok(tag) = tag else { return Ok(Vec::new()) };
        match self.manifest(repository, &Reference::Tag(tag)).await {
            Ok(index) => parse(&index.bytes),
            Err(UpstreamError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Descriptor>, UpstreamError> {
    let index: Result<Index, _> = serde_json::from_slice(bytes);
    index
        .map(|index| index.manifests)
        .map_err(|_| UpstreamError::invalid("a list of referrers that is none"))
}

/// The target of `<…>; rel="next"`.
pub(crate) fn next_page(link: &str) -> Option<&str> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let mut parameters = rest.split(';').map(str::trim);
    // RFC 8288: the value may be a token or a quoted string.
    let is_next = |it: &str| {
        it.split_once('=')
            .is_some_and(|(name, value)| name.trim() == "rel" && value.trim().trim_matches('"') == "next")
    };
    parameters.any(is_next).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_told_by_tokens_and_by_quoted_strings() {
        let cases = [
            ("</v2/x?last=a>; rel=\"next\"", Some("/v2/x?last=a")),
            ("</v2/x?last=a>; rel=next", Some("/v2/x?last=a")),
            ("</v2/x?last=a> ; title=\"a\"; rel=next", Some("/v2/x?last=a")),
            ("</v2/x?last=a>; rel=\"prev\"", None),
            ("</v2/x?last=a>; rel=nextpage", None),
            ("/v2/x?last=a", None),
        ];
        for (link, wanted) in cases {
            assert_eq!(next_page(link), wanted, "{link}");
        }
    }
}
