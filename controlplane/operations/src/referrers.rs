// SPDX-License-Identifier: Apache-2.0
//! Images that refer to another: signatures, SBOMs, attestations.

use hythe_access::{Granted, kinds};
use hythe_catalog::{Referrer, referrers_with};
use hythe_model::Digest;

use crate::{ControlPlane, ImageError, Page, UnknownRepository};

impl ControlPlane {
    /// Lists the images that refer to `subject`, by digest. The subject need not exist. If the repository comes from another
    /// registry, those that refer to it there are among them; that one is asked if its last answer is old and `import` says that the
    /// caller may.
    #[tracing::instrument(name = "referrers.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn referrers(
        &self,
        granted: &Granted<kinds::BatchGetImage>,
        import: Option<&Granted<kinds::BatchImportUpstreamImage>>,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<Digest>,
        limit: usize,
    ) -> Result<Page<Referrer, Digest>, ImageError> {
        let path = granted.resource();
        let elsewhere = match self.upstream_referrers() {
            Some(upstream) => upstream.list(path, subject, import).await?,
            None => Vec::new(),
        };
        let found = referrers_with(
            self.store(),
            path,
            subject,
            &elsewhere,
            artifact_type,
            after.as_ref(),
            limit + 1,
        );
        let found = found.await?;
        if found.is_empty() && self.store().repository(path).await?.is_none() {
            return Err(UnknownRepository(path.clone()).into());
        }
        Ok(Page::of(found, limit, |last| last.digest))
    }
}
