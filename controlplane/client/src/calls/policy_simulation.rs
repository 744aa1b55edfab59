// SPDX-License-Identifier: Apache-2.0
//! What somebody may do, and who may do something.

use hythe_model::RepositoryName;
use hythe_wire::{ListRepositoryAccess, PolicySimulation, RepositoryAccess, SimulatePolicy, path};
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// Asks what somebody may do, and why. Nothing changes.
    pub async fn simulate_policy(&self, request: &SimulatePolicy) -> Result<PolicySimulation, ClientError> {
        self.request(Method::POST, &path::policy_simulations())
            .body(request)
            .json()
            .await
    }

    /// Asks who may do something in a repository.
    pub async fn repository_access(
        &self,
        repository: &RepositoryName,
        query: &ListRepositoryAccess,
    ) -> Result<RepositoryAccess, ClientError> {
        self.get(&path::repository_access(repository)).query(query).json().await
    }
}
