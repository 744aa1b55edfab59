// SPDX-License-Identifier: Apache-2.0
//! Referrers of which some are not in the catalog.

use hythe_model::{Digest, RepositoryPath};

use crate::{CatalogError, ImageCatalog, Referrer};

/// Lists the referrers of `subject` in the catalog together with `others`, which are sorted by digest: by digest, after `after`, at
/// most `limit`, only of `artifact_type` if given. What is in the catalog counts where both have a digest, also for the type.
pub async fn referrers_with<C: ImageCatalog + ?Sized>(
    catalog: &C,
    repository: &RepositoryPath,
    subject: &Digest,
    others: &[Referrer],
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: usize,
) -> Result<Vec<Referrer>, CatalogError> {
    if others.is_empty() || limit == 0 {
        return catalog
            .referrers(repository, subject, artifact_type, after, limit)
            .await;
    }
    let is_wanted =
        |referrer: &Referrer| artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted));
    let first = others.partition_point(|other| after.is_some_and(|after| other.digest <= *after));
    let mut others = others.iter().skip(first).peekable();
    let mut after = after.copied();
    let mut found = Vec::new();
    loop {
        // Those of every type: what another registry says of one that is here does not count.
        let own = catalog
            .referrers(repository, subject, None, after.as_ref(), limit)
            .await?;
        let is_last = own.len() < limit;
        for referrer in own {
            while let Some(other) = others.next_if(|other| other.digest < referrer.digest) {
                found.extend(Some(other).filter(|other| is_wanted(other)).cloned());
            }
            others.next_if(|other| other.digest == referrer.digest);
            after = Some(referrer.digest);
            found.extend(Some(referrer).filter(is_wanted));
            if found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
        if is_last {
            let room = limit.saturating_sub(found.len());
            found.extend(others.filter(|other| is_wanted(other)).take(room).cloned());
            return Ok(found);
        }
    }
}
