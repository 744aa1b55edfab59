// SPDX-License-Identifier: Apache-2.0
//! What the data plane knows of virtual repositories.

use std::sync::Arc;

use async_trait::async_trait;
use hythe_catalog::CatalogError;
use hythe_distribution::VirtualRepositories;
use hythe_model::{AccountId, VirtualRepository};
use hythe_operations::ControlPlane;

/// The virtual repositories that the control plane knows.
#[derive(Debug)]
pub struct KnownVirtualNames(pub ControlPlane);

#[async_trait]
impl VirtualRepositories for KnownVirtualNames {
    fn known(&self, account: &AccountId) -> Option<Arc<[VirtualRepository]>> {
        self.0.virtual_names().known(account)
    }

    async fn read(&self, account: &AccountId) -> Result<Arc<[VirtualRepository]>, CatalogError> {
        Ok(self.0.virtual_names().read(account).await?)
    }
}
