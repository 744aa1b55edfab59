// SPDX-License-Identifier: Apache-2.0
//! Connections to other registries.

use std::path::PathBuf;

use hythe_upstream::{Network, Outgoing};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Connections to other registries: upstreams of pull-through caches, and destinations of replication.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutgoingConfig {
    /// Networks besides the public ones that may be reached, such as `10.0.0.0/8`; in these also without TLS. Addresses
    /// of this machine, private and link-local ones are closed otherwise. Whoever may make a rule may look around there.
    pub allow: Vec<Network>,
    /// File (PEM) with authorities that certificates of other registries may come from, besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl OutgoingConfig {
    /// The connections.
    pub(crate) fn connections(&self) -> Result<Outgoing, ConfigError> {
        let pem = match &self.ca_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|cause| {
                ConfigError::Contradiction(format!(
                    "`outgoing.ca_file` `{}` cannot be read: {cause}",
                    path.display()
                ))
            })?),
            None => None,
        };
        Outgoing::new(&self.allow, pem.as_deref())
            .map_err(|why| ConfigError::Contradiction(format!("`outgoing.ca_file` cannot be used: {why}")))
    }
}
