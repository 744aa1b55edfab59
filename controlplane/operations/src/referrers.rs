// SPDX-License-Identifier: Apache-2.0
//! Images that refer to another: signatures, SBOMs, attestations.

use hythe_access::{Granted, kinds};
use hythe_catalog::{ImageCatalog as _, Referrer};
use hythe_model::Digest;

use crate::{ControlPlane, ImageError, Page, UnknownRepository};

impl ControlPlane {
    /// Lists the images that refer to `subject`, by digest. The subject need not exist.
    #[tracing::instrument(name = "referrers.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn referrers(
        &self,
        granted: &Granted<kinds::BatchGetImage>,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<Digest>,
        limit: usize,
    ) -> Result<Page<Referrer, Digest>, ImageError> {
        let path = granted.resource();
        let found = self
            .store()
            .referrers(path, subject, artifact_type, after.as_ref(), limit + 1)
            .await?;
        if found.is_empty() && self.store().repository(path).await?.is_none() {
            return Err(UnknownRepository(path.clone()).into());
        }
        Ok(Page::of(found, limit, |last| last.digest))
    }
}
