// SPDX-License-Identifier: Apache-2.0
//! The registry of an account.

use hythe_access::{Granted, kinds};
use hythe_model::{AccountId, Region};

use crate::ControlPlane;

/// What a client can know of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryDescription {
    /// The account, which is also the registry's id.
    pub account: AccountId,
    /// The region that the deployment is.
    pub region: Region,
    /// What stands before the name of a repository in the name of an image.
    pub registry_uri: String,
    /// The ARN.
    pub arn: String,
    /// The URL of the control plane.
    pub endpoint: String,
    /// The version of the server.
    pub version: String,
    /// What this server can do beyond the first version of the API.
    pub capabilities: Vec<String>,
}

impl ControlPlane {
    /// Describes the registry.
    #[must_use]
    pub fn registry(&self, granted: &Granted<kinds::DescribeRegistry>) -> RegistryDescription {
        let (account, settings) = (granted.resource(), self.settings());
        RegistryDescription {
            account: account.clone(),
            region: settings.region.clone(),
            registry_uri: settings.registry_uri(account),
            arn: format!("arn:aws:ecr:{}:{account}:registry", settings.region),
            endpoint: settings.control_endpoint.clone(),
            version: settings.version.clone(),
            capabilities: Vec::new(),
        }
    }
}
